package adt

import (
	"strconv"
	"strings"

	"cpis/connectors/hl7"
	"cpis/schemas"
)

// person reads who a PID segment is about, and all identifiers and names.
func (p *Profile) person(pid hl7.Segment) (schemas.Person, number, []identifier, []name) {
	list := p.identifiers("PID-3", pid.Field(3))
	names := namesIn(pid.Field(5))
	found := p.nhsNumber(pid, list)
	current := currentName(names)
	who := schemas.Person{
		Number:     found.value,
		FamilyName: current.family,
		GivenNames: current.given,
		Sex:        sex(pid.Field(8).Text()),
		Postcode:   postcode(pid.Field(11)),
		LocalID:    p.localID(pid, list),
	}
	if d, ok := hl7.Date(pid.Field(7).Text()); ok {
		who.DateOfBirth = schemas.Date(d)
	}
	return who, found, list, names
}

// name is one repetition of a list of names (data type XPN).
type name struct{ family, given, use string }

func namesIn(f hl7.Field) []name {
	if f.Raw() == "" || f.Null() {
		return nil
	}
	out := make([]name, 0, 2)
	for r := range f.Each {
		var c [7]string
		r.Components(c[:])
		family := c[0]
		if strings.IndexByte(family, '&') >= 0 { // from 2.4 on the parts of a surname follow it
			if first := r.Subcomponent(1, 1); first != "" {
				family = first
			}
		}
		out = append(out, name{family, givenNames(c[1], c[2]), c[6]})
	}
	return out
}

// currentName prefers the name that is marked current or not marked at all.
func currentName(names []name) name {
	for _, n := range names {
		switch n.use {
		case "", "L", "CURRENT":
			if n.family+n.given != "" {
				return n
			}
		}
	}
	if len(names) > 0 {
		return names[0]
	}
	return name{}
}

func givenNames(first, others string) string {
	if others == "" {
		return first
	}
	return strings.TrimSpace(first + " " + others)
}

// deleted lists the fields whose null says something about the person: null as
// a whole, or in its first component.
func deleted(pid hl7.Segment) []string {
	if !strings.Contains(pid.Raw(), hl7.Null) {
		return nil
	}
	var out []string
	for _, n := range [...]int{2, 3, 5, 7, 8, 11, 19, 32} {
		if pid.Field(n).First().RawComponent(1) == hl7.Null {
			out = append(out, "PID-"+strconv.Itoa(n))
		}
	}
	return out
}

func sex(code string) string {
	switch code {
	case "M", "m", "1":
		return "M"
	case "F", "f", "2":
		return "F"
	case "O", "o", "9", "I", "i", "A", "a":
		return "O"
	}
	return "U"
}

// postcode is that of the home address, in capitals with one blank; of several
// the last that can be one.
func postcode(f hl7.Field) string {
	home, other := "", ""
	for r := range f.Each {
		var c [7]string
		r.Components(c[:])
		code, ok := tidyPostcode(c[4])
		if !ok {
			continue
		}
		switch c[6] {
		case "", "H", "HOME", "h", "home":
			home = code
		default:
			other = code
		}
	}
	if home != "" {
		return home
	}
	return other
}

// tidyPostcode writes a postcode in capitals with one blank. It reports false
// where the text cannot be one.
func tidyPostcode(text string) (string, bool) {
	var c [7]byte
	n := 0
	for i := range len(text) {
		b := text[i]
		if b >= 'a' && b <= 'z' {
			b -= 'a' - 'A'
		}
		switch {
		case b == ' ':
			continue
		case n == len(c), (b < 'A' || b > 'Z') && (b < '0' || b > '9'):
			return "", false
		}
		c[n] = b
		n++
	}
	if n < 5 {
		return "", false
	}
	if tidy := string(c[:n-3]) + " " + string(c[n-3:n]); tidy != text {
		return tidy, true
	}
	return text, true
}

// localID is the hospital's own number, with its authority: the first
// identifier of PID-3 that is not an NHS number and says what it is, else the
// first of PID-3 or PID-2.
func (p *Profile) localID(pid hl7.Segment, list []identifier) string {
	first := ""
	for _, i := range list {
		switch {
		case i.nhs:
		case !i.bare():
			return i.local()
		case first == "":
			first = i.local()
		}
	}
	if first == "" {
		for _, i := range p.identifiers("PID-2", pid.Field(2)) {
			if !i.nhs {
				return i.local()
			}
		}
	}
	return first
}

// record is a person record that MRG, NK1 or PID-21 names by a list of
// identifiers.
func (p *Profile) record(f hl7.Field) schemas.Person {
	var who schemas.Person
	for _, i := range p.identifiers("", f) {
		if n, err := schemas.ParseNHSNumber(i.id); err == nil && i.nhs && who.Number.IsZero() {
			who.Number = n
		} else if who.LocalID == "" && !i.nhs {
			who.LocalID = i.local()
		}
	}
	return who
}
