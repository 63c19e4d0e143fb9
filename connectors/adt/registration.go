package adt

import (
	"errors"
	"slices"
	"time"

	"cpis/connectors/hl7"
	"cpis/schemas"
)

// Registrations reads an ADT message as its sender's profile has it: one
// record, or one for each pair of records that a merge names. A message that
// cannot be about one person is an *hl7.Error; a missing or wrong NHS number is
// not: it leads to an answer that says so. What was odd and harmed nobody is in
// the records' Marks.
func Registrations(m *hl7.Message, p *Profile) ([]schemas.Registration, error) {
	msh, evn := m.Segment("MSH"), m.Segment("EVN")
	kind := msh.Field(9).First()
	event, second := kind.Component(2), evn.Field(1).Text()
	if event == "" { // versions 2.1 and 2.2 may say it only here
		event = second
	}
	if kind.Component(1) != "ADT" || event == "" {
		return nil, &hl7.Error{Code: "CPIS-H007", Location: "MSH-9", Reason: "not an ADT message with a trigger event"}
	}
	meaning := p.meaning(event)
	records := make([]schemas.Registration, 1)
	r := &records[0]
	r.Feed, r.ODS, r.Setting, r.ControlID = p.Name, p.ODS, p.Setting, msh.Field(10).Text()
	r.Sender = msh.Between(3, 4)
	r.Event, r.Class, r.Link = event, meaning.Class, meaning.Link
	r.Mark(schemas.Code(m.Charset.Doubt))
	if m.LowerCase {
		r.Mark("CPIS-H117")
	}
	if r.ControlID == "" {
		r.Mark("CPIS-H106")
	}
	if second != "" && second != event {
		r.Mark("CPIS-H114")
	}
	place := m.Zone(p.Place())
	p.times(m, place, r)
	if meaning.Class == schemas.ClassNone { // nobody is named without need
		r.NumberStatus = schemas.NumberAbsent
		return records, nil
	}
	groups, err := groupsOf(m, meaning)
	if err != nil {
		return nil, err
	}
	p.visit(m, place, meaning, r)
	for range groups[1:] {
		next := *r
		next.Marks = slices.Clone(r.Marks)
		records = append(records, next)
	}
	for i, g := range groups {
		p.about(m, g, &records[i])
	}
	return records, nil
}

// group is the segments about one person: PID, and in a merge the MRG that
// follows it. A link has a second PID instead.
type group struct{ pid, mrg, other hl7.Segment }

// groupsOf finds the persons of a message. Segments may stand in any order,
// but an MRG belongs to the PID before it.
func groupsOf(m *hl7.Message, meaning Meaning) ([]group, error) {
	groups := make([]group, 0, 1)
	for _, s := range m.Segments() {
		switch {
		case s.Name() == "PID":
			groups = append(groups, group{pid: s})
		case s.Name() == "MRG" && len(groups) > 0:
			last := &groups[len(groups)-1]
			if last.mrg.Present() { // another record retired in favour of the same person
				groups = append(groups, group{pid: last.pid, mrg: s})
			} else {
				last.mrg = s
			}
		}
	}
	pairs := meaning.Link == schemas.LinkLink || meaning.Link == schemas.LinkUnlink
	switch {
	case len(groups) == 0:
		return nil, &hl7.Error{Code: "CPIS-H010", Location: "PID-3", Reason: "the message names no person"}
	case pairs && len(groups) == 2:
		return []group{{pid: groups[0].pid, other: groups[1].pid}}, nil
	case len(groups) > 1 && meaning.Link == "" || pairs && len(groups) > 2:
		return nil, &hl7.Error{Code: "CPIS-H011", Location: "PID-3", Reason: "the message names several persons"}
	}
	return groups, nil
}

// about fills in who a record is about and, in identity events, the other
// record.
func (p *Profile) about(m *hl7.Message, g group, r *schemas.Registration) {
	var found number
	var list []identifier
	var names []name
	r.Person, found, list, names = p.person(g.pid)
	r.NumberStatus, r.Deleted = found.status, deleted(g.pid)
	if dob := g.pid.Field(7); r.Person.DateOfBirth == "" && dob.Raw() != "" && !dob.Null() {
		r.Mark("CPIS-H113")
	}
	if found.status == schemas.NumberOtherCountry || foreign(found.value) {
		r.Mark("CPIS-H115")
	}
	r.Evidence = p.evidence(m, g.pid, r, found, list, names)
	r.Evidence.ResponsibleName, r.Evidence.ResponsibleRole = p.Responsible.Name, p.Responsible.Role
	r.Notify, r.UnopenedAfter = p.policy(), int64(p.UnopenedAfter/time.Second)
	if r.Link == "" {
		return
	}
	if g.other.Present() {
		r.Retired, _, _, _ = p.person(g.other)
	} else {
		r.Retired = p.retired(g.mrg)
	}
	if r.Retired.IsZero() {
		r.Mark("CPIS-H108")
		return
	}
	sameNumber := r.Retired.Number == r.Person.Number
	switch sameRecord := r.Retired.LocalID == r.Person.LocalID || r.Retired.LocalID == ""; {
	case sameNumber && sameRecord:
		r.Mark("CPIS-H109")
		r.Retired = schemas.Person{}
	case sameNumber: // two hospital records of one number
		r.Retired.Number = schemas.NHSNumber{}
	}
}

// retired is the record that MRG names: in MRG-1, in older messages in MRG-4.
func (p *Profile) retired(mrg hl7.Segment) schemas.Person {
	who := p.record(mrg.Field(1))
	if who.IsZero() {
		who = p.record(mrg.Field(4))
	}
	return who
}

// visit reads which visit a message is about.
func (p *Profile) visit(m *hl7.Message, place *time.Location, meaning Meaning, r *schemas.Registration) {
	pv1, pid, mrg := m.Segment("PV1"), m.Segment("PID"), m.Segment("MRG")
	r.VisitNumber = pv1.Field(19).Text()
	if account := pid.Field(18).Text(); r.VisitNumber == "" && account != "" {
		r.VisitNumber = "account " + account
	}
	if r.PriorVisitNumber = mrg.Field(5).Text(); r.PriorVisitNumber == "" {
		if account := mrg.Field(3).Text(); account != "" {
			r.PriorVisitNumber = "account " + account
		}
	}
	if s, ok := pv1.Field(44).First().Stamp(place); ok && p.Promote != "always" {
		r.VisitBegan = s.Time
	}
	r.Promotable = meaning.Visit && r.Class == schemas.ClassIdentity && r.VisitNumber != "" && p.promotes(!r.VisitBegan.IsZero(), pv1.Field(2).Text())
}

// promotes says whether an update about a visit may stand in for a registration
// that never came. Where the message says when the visit began, the intake
// decides by that. Where it does not, a visit to a place that keeps nobody for
// long is a recent one; a ward's may be weeks old.
func (p *Profile) promotes(began bool, class string) bool {
	switch {
	case p.Promote == "never" || class == "P": // pre-admitted: not there yet
		return false
	case p.Promote == "always" || began:
		return true
	}
	return p.Setting != schemas.SettingPaediatricWard && p.Setting != schemas.SettingMaternity
}

// times reads when the event happened: the first of these fields that is a
// time, as sent and as understood.
func (p *Profile) times(m *hl7.Message, place *time.Location, r *schemas.Registration) {
	home := p.Place()
	for _, at := range [...]struct {
		segment string
		field   int
		name    string
	}{{"PV1", 44, "PV1-44"}, {"EVN", 6, "EVN-6"}, {"EVN", 2, "EVN-2"}, {"MSH", 7, "MSH-7"}} {
		text := m.Segment(at.segment).Field(at.field).First()
		if text.Raw() == "" {
			continue
		}
		s, ok := text.Stamp(place)
		if !ok {
			r.Mark("CPIS-H112")
			continue
		}
		r.OccurredAt, r.OccurredSource, r.OccurredAsSent, r.OccurredPrecision, r.OccurredOther = s.Time, at.name, text.Raw(), string(s.Precision), s.Other
		switch {
		case s.Stated:
			r.OccurredZone = "STATED"
		case place.String() != home.String():
			r.OccurredZone = "MESSAGE"
		default:
			r.OccurredZone = "PROFILE"
		}
		if s.Odd {
			r.Mark("CPIS-H112")
		}
		if !s.Other.IsZero() {
			r.Mark("CPIS-H111")
		}
		return
	}
	r.Mark("CPIS-H110")
}

// Code is the code that explains why a message could not be taken.
func Code(err error) (schemas.Code, bool) {
	var e *hl7.Error
	if !errors.As(err, &e) {
		return "", false
	}
	return schemas.Code(e.Code), true
}
