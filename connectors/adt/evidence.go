package adt

import (
	"slices"
	"strconv"
	"strings"

	"cpis/connectors/hl7"
	"cpis/schemas"
)

// evidence reads what a message says beside who the person is.
func (p *Profile) evidence(m *hl7.Message, pid hl7.Segment, r *schemas.Registration, found number, list []identifier, names []name) schemas.Evidence {
	var e schemas.Evidence
	if by := m.Segment("EVN").Field(5).First(); by.Raw() != "" {
		var c [3]string
		by.Components(c[:])
		if family := by.Subcomponent(2, 1); family != "" {
			c[1] = family
		}
		if e.OperatorID, e.OperatorName = c[0], strings.TrimSpace(c[2]+" "+c[1]); e.OperatorID+e.OperatorName != "" {
			e.OperatorSource = "EVN-5"
		}
	}
	e.Location = location(m.Segment("PV1").Field(3).First())
	e.Restricted = m.Segment("PD1").Field(12).Text() == "Y"
	p.mother(m, pid, &e)
	if pid.Field(24).Text() == "Y" {
		e.BirthOrder = pid.Field(25).Text()
		if e.BirthOrder == "" {
			e.BirthOrder = "Y"
		}
	}
	e.Pregnancy = p.pregnancy(m)
	e.Newborn = newborn(m, r, found)
	e.Aliases = aliases(append(names, namesIn(pid.Field(9))...), r.Person)
	for _, i := range list {
		if !i.nhs && i.local() != r.Person.LocalID {
			e.Identifiers = append(e.Identifiers, i.local())
		}
	}
	return e
}

// maxLocation bounds what a board shows of a place.
const maxLocation = 40

// location is where in the care setting somebody is, as the sender names it: the point
// of care, the room and the bed (PV1-3.1 to PV1-3.3).
func location(at hl7.Repetition) string {
	var c [3]string
	at.Components(c[:])
	words := strings.Fields(strings.Join(c[:], " "))
	text := []rune(strings.Join(slices.Compact(words), " "))
	return string(text[:min(len(text), maxLocation)])
}

// mother reads her identifiers: PID-21, or the NK1 whose relationship is mother
// with hers in NK1-33. Nobody is linked by a name.
func (p *Profile) mother(m *hl7.Message, pid hl7.Segment, e *schemas.Evidence) {
	if who := p.record(pid.Field(21)); !who.IsZero() {
		e.Mother, e.MotherSource = who, "PID-21"
	}
	for _, s := range m.Segments() {
		if s.Name() != "NK1" || !isMother(s.Field(3).First()) {
			continue
		}
		who := p.record(s.Field(33))
		if who.IsZero() || !e.Mother.Number.IsZero() {
			continue
		}
		if names := namesIn(s.Field(2)); len(names) > 0 {
			who.FamilyName = strings.TrimSpace(names[0].given + " " + names[0].family)
		}
		e.Mother, e.MotherSource = who, "NK1-33"
	}
}

// isMother reads table 0063 as English senders fill it.
func isMother(r hl7.Repetition) bool {
	switch strings.ToUpper(r.Component(1)) {
	case "MTH", "MOTHER", "16":
		return true
	}
	return strings.EqualFold(r.Component(2), "mother")
}

// pregnancy lists the fields that say that the person is pregnant or in labour.
// An unborn plan sits on the mother, so she is to be matched whatever her age.
func (p *Profile) pregnancy(m *hl7.Message) []string {
	var out []string
	if p.Setting == schemas.SettingMaternity {
		out = append(out, "setting")
	}
	pv1, pv2 := m.Segment("PV1"), m.Segment("PV2")
	for _, f := range [...]struct {
		at   string
		n    int
		says func(string) bool
	}{
		{"PV1-2", 2, func(class string) bool { return class == "B" }}, // obstetrics
		{"PV1-3", 3, func(ward string) bool { return begins(ward, "MAT") }},
		{"PV1-10", 10, maternitySpecialty},
		{"PV1-15", 15, nil},
		{"PV1-18", 18, func(kind string) bool { return begins(kind, "PREGNAN") }},
	} {
		field := pv1.Field(f.n)
		switch {
		case field.Raw() == "":
		case f.says == nil: // table 0009: any repetition may be B6, pregnant
			for r := range field.Each {
				if r.Component(1) == "B6" {
					out = append(out, f.at)
				}
			}
		case f.says(field.Text()):
			out = append(out, f.at)
		}
	}
	if reason := pv2.Field(3).First().Raw(); reason != "" {
		if reason = strings.ToUpper(reason); strings.Contains(reason, "LABOUR") || strings.Contains(reason, "PREGNAN") {
			out = append(out, "PV2-3")
		}
	}
	return out
}

// begins compares without regard to capitals.
func begins(text, with string) bool {
	return len(text) >= len(with) && strings.EqualFold(text[:len(with)], with)
}

// maternitySpecialty knows the treatment functions of obstetrics and
// gynaecology, obstetrics, antenatal care and midwifery.
func maternitySpecialty(code string) bool {
	switch code {
	case "500", "501", "510", "560":
		return true
	}
	return false
}

// newbornDays is how long NSTS08, "baby under six weeks", applies.
const newbornDays = 42

// newborn lists the fields that say that the person was just born.
func newborn(m *hl7.Message, r *schemas.Registration, found number) []string {
	var out []string
	if slices.Contains(found.stated, "08") {
		out = append(out, "PID-32")
	}
	if m.Segment("PV1").Field(4).Text() == "N" { // table 0007
		out = append(out, "PV1-4")
	}
	if born := r.Person.DateOfBirth; born != "" && !r.OccurredAt.IsZero() {
		year, _ := strconv.Atoi(string(born[:4]))
		if age := r.OccurredAt.Year() - year; age == 0 || age == 1 { // the rest is dear
			day := schemas.DateOf(r.OccurredAt, r.OccurredAt.Location())
			if born <= day && born.AddDays(newbornDays) > day {
				out = append(out, "PID-7")
			}
		}
	}
	return out
}

// aliases lists the other names of a person: repetitions of PID-5, and PID-9.
func aliases(names []name, who schemas.Person) []string {
	var out []string
	for _, n := range names {
		if n.family == who.FamilyName && n.given == who.GivenNames || n.family+n.given == "" {
			continue
		}
		if a := n.family + "^" + n.given; !slices.Contains(out, a) {
			out = append(out, a)
		}
	}
	return out
}
