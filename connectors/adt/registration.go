package adt

import (
	"errors"
	"slices"
	"strings"
	"time"

	"cpis/connectors/hl7"
	"cpis/schemas"
)

// Registration reads an ADT message as its sender's profile has it. A message
// that cannot be about one person is an *hl7.Error; a missing or wrong NHS
// number is not: it leads to an answer that says so.
func Registration(m *hl7.Message, p Profile) (schemas.Registration, error) {
	event := m.Value("MSH-9.2")
	if event == "" { // versions 2.1 and 2.2 may say it only here
		event = m.Value("EVN-1")
	}
	if m.Value("MSH-9.1") != "ADT" || event == "" {
		return schemas.Registration{}, &hl7.Error{Code: "CPIS-H007", Location: "MSH-9", Reason: "not an ADT message with a trigger event"}
	}
	r := schemas.Registration{Feed: p.Name, ODS: p.ODS, Setting: p.Setting, ControlID: m.Value("MSH-10"), Event: event, Class: p.class(event)}
	if m.Count("PID") == 0 && r.Class != schemas.ClassNone {
		return r, &hl7.Error{Code: "CPIS-H010", Location: "PID-3", Reason: "the message names no person"}
	}
	if m.Count("PID") > 1 && r.Class.Checked() {
		return r, &hl7.Error{Code: "CPIS-H011", Location: "PID-3", Reason: "the message names several persons"}
	}
	r.Person, r.NumberStatus = person(m, p)
	r.VisitNumber = m.Value("PV1-19")
	r.OccurredAt, r.OccurredSource = occurred(m, p)
	if merges(event) {
		r.Retired = retired(m, p)
	}
	return r, nil
}

func person(m *hl7.Message, p Profile) (schemas.Person, schemas.NumberStatus) {
	name := currentName(m.Field("PID", 5))
	who := schemas.Person{
		FamilyName: name.Component(1),
		GivenNames: strings.TrimSpace(name.Component(2) + " " + name.Component(3)),
		Sex:        sex(m.Value("PID-8")),
		Postcode:   postcode(m.Field("PID", 11)),
		LocalID:    localID(m, p),
	}
	if d, ok := hl7.Date(m.Value("PID-7")); ok {
		who.DateOfBirth = schemas.Date(d)
	}
	number, status := nhsNumber(m, p)
	who.Number = number
	return who, status
}

// nhsNumber looks where English senders put it: a marked repetition of PID-3,
// then a typed PID-2, then PID-19, which holds it bare in some systems. Two
// different numbers for one person are a conflict.
func nhsNumber(m *hl7.Message, p Profile) (schemas.NHSNumber, schemas.NumberStatus) {
	candidates := m.Field("PID", 3).Repetitions()
	candidates = slices.DeleteFunc(candidates, func(r hl7.Repetition) bool { return !p.marked(r) })
	if r := m.Field("PID", 2).First(); p.marked(r) {
		candidates = append(candidates, r)
	}
	if r := m.Field("PID", 19).First(); p.marked(r) || r.Component(2)+r.Component(4)+r.Component(5) == "" {
		candidates = append(candidates, r)
	}
	var found schemas.NHSNumber
	var from hl7.Repetition
	invalid, several := false, false
	for _, r := range candidates {
		if r.Component(1) == "" {
			continue
		}
		n, err := schemas.ParseNHSNumber(r.Component(1))
		switch {
		case err != nil:
			invalid = invalid || p.marked(r)
		case found.IsZero():
			found, from = n, r
		case n != found:
			several = true
		}
	}
	switch {
	case several:
		return found, schemas.NumberConflict
	case !found.IsZero():
		return found, status(m, p, from)
	case invalid:
		return found, schemas.NumberInvalid
	}
	return found, schemas.NumberAbsent
}

// status reads how far the number is traced: PID-32 as NSTS01 or 01, the brace
// in CX.5, or CX.2. Only 01, and nothing beside it that says otherwise, is
// verified. A status that is stated and cannot be read is not "unstated".
func status(m *hl7.Message, p Profile, rep hl7.Repetition) schemas.NumberStatus {
	var stated []string
	for _, r := range m.Field("PID", 32).Repetitions() {
		switch c := strings.ToUpper(strings.ReplaceAll(r.Component(1), " ", "")); c {
		case "", "AL", "ED", "UA", "UD": // table 0445's own codes say nothing of the number
		default:
			stated = append(stated, strings.TrimPrefix(c, "NSTS"))
		}
	}
	if _, brace, ok := strings.Cut(rep.Component(5), "{status:"); ok {
		stated = append(stated, strings.TrimSuffix(brace, "}"))
	}
	if c := rep.Component(2); len(stated) == 0 && len(c) == 2 && c[0] == '0' { // in some systems a check digit stands here
		stated = append(stated, c)
	}
	if len(stated) == 0 {
		if p.UnstatedStatus == "verified" {
			return schemas.NumberVerified
		}
		return schemas.NumberUnverified
	}
	if slices.Contains(stated, "04") || slices.Contains(stated, "05") {
		return schemas.NumberConflict
	}
	if slices.ContainsFunc(stated, func(c string) bool { return c != "01" }) {
		return schemas.NumberUnverified
	}
	return schemas.NumberVerified
}

// currentName prefers the name that is marked current or not marked at all.
func currentName(f hl7.Field) hl7.Repetition {
	for _, r := range f.Repetitions() {
		switch r.Component(7) {
		case "", "L", "CURRENT":
			return r
		}
	}
	return f.First()
}

func sex(code string) string {
	switch strings.ToUpper(code) {
	case "M", "1":
		return "M"
	case "F", "2":
		return "F"
	case "O", "9", "I", "A":
		return "O"
	}
	return "U"
}

// postcode is that of the home address, in capitals with one blank.
func postcode(f hl7.Field) string {
	best := ""
	for _, r := range f.Repetitions() {
		code := strings.ToUpper(strings.ReplaceAll(r.Component(5), " ", ""))
		if len(code) < 5 || len(code) > 7 {
			continue
		}
		code = code[:len(code)-3] + " " + code[len(code)-3:]
		switch r.Component(7) {
		case "", "H", "HOME":
			return code
		}
		best = code
	}
	return best
}

// localID is the hospital's own number: the first identifier of PID-3 that is
// not an NHS number, with its authority.
func localID(m *hl7.Message, p Profile) string {
	for _, rep := range m.Field("PID", 3).Repetitions() {
		if id := rep.Component(1); id != "" && !p.marked(rep) {
			return id + "@" + rep.Component(4)
		}
	}
	if id := m.Value("PID-2"); id != "" {
		return id + "@"
	}
	return ""
}

// retired is the person record that a merge retires: MRG-1.
func retired(m *hl7.Message, p Profile) schemas.Person {
	var who schemas.Person
	for _, rep := range m.Field("MRG", 1).Repetitions() {
		id := rep.Component(1)
		if n, err := schemas.ParseNHSNumber(id); err == nil && p.marked(rep) {
			who.Number = n
		} else if id != "" && who.LocalID == "" {
			who.LocalID = id + "@" + rep.Component(4)
		}
	}
	return who
}

// occurred is when the person registered: the first of these that is a time.
func occurred(m *hl7.Message, p Profile) (time.Time, string) {
	place, err := p.location()
	if err != nil {
		place = time.UTC // refused by Validate
	}
	for _, path := range []string{"PV1-44", "EVN-6", "EVN-2", "MSH-7"} {
		if t, ok := hl7.Time(m.Value(path), place); ok {
			return t, path
		}
	}
	return time.Time{}, ""
}

// Code is the code that explains why a message could not be taken.
func Code(err error) (schemas.Code, bool) {
	var e *hl7.Error
	if !errors.As(err, &e) {
		return "", false
	}
	return schemas.Code(e.Code), true
}
