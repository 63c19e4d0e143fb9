package adt

import (
	"slices"
	"strings"

	"cpis/connectors/hl7"
	"cpis/schemas"
)

// identifier is one repetition of a list of identifiers (data type CX):
//
//	number ^ check digit or status ^ … ^ authority ^ type
type identifier struct {
	field                    string // where it stands
	id, second, issuer, kind string
	nhs                      bool // marked as an NHS number
	foreign                  bool // marked as a Scottish or Northern Irish number
}

// identifiers reads a list of identifiers. An entry without a number stays
// out.
func (p *Profile) identifiers(field string, f hl7.Field) []identifier {
	if f.Raw() == "" || f.Null() {
		return nil
	}
	out := make([]identifier, 0, 3)
	for r := range f.Each {
		var c [5]string
		r.Components(c[:])
		i := identifier{field: field, id: c[0], second: c[1], issuer: c[3], kind: c[4]}
		if i.id == "" {
			continue
		}
		kind, _, _ := strings.Cut(i.kind, "{") // NH{status:01}
		i.nhs = p.isMarker(kind) || p.isMarker(i.issuer)
		i.foreign = isForeignMarker(kind) || isForeignMarker(i.issuer)
		if strings.IndexByte(i.issuer, '&') >= 0 {
			for n := range 2 {
				part := r.Subcomponent(4, n+1)
				i.nhs, i.foreign = i.nhs || p.isMarker(part), i.foreign || isForeignMarker(part)
			}
		}
		i.foreign = i.foreign && !i.nhs
		out = append(out, i)
	}
	return out
}

// isMarker reports whether CX.4 or CX.5 says that the identifier is an NHS
// number.
func (p *Profile) isMarker(text string) bool {
	if len(p.Markers) > 0 {
		return slices.Contains(p.Markers, text)
	}
	switch text {
	case "NHS", "NH", "NHSNBR", "NHSNMBR", "2.16.840.1.113883.2.1.4.1":
		return true
	}
	return false
}

// isForeignMarker knows Scottish (CHI) and Northern Irish (health and care)
// numbers, which have the shape and the check digit of an English one.
func isForeignMarker(text string) bool {
	switch text {
	case "CHI", "HSCNI", "HCN", "H&C", "HSC", "2.16.840.1.113883.2.1.3.2.4.16.53", "2.16.840.1.113883.2.1.3.2.4.18.23":
		return true
	}
	return false
}

// bare is an identifier of which nothing says what it is.
func (i identifier) bare() bool { return i.second == "" && i.issuer == "" && i.kind == "" }

// local is the identifier as the sender's own number, with its authority.
func (i identifier) local() string { return i.id + "@" + i.issuer }

// number is an NHS number as a message has it.
type number struct {
	value  schemas.NHSNumber
	status schemas.NumberStatus
	stated []string // the status codes beside it, NSTS off
}

// nhsNumber looks where English senders put it: a marked identifier of PID-3,
// of PID-2 and of PID-4, then PID-19, which holds it bare in some systems. Two
// different numbers for one person are a conflict. NI, which marks a national
// identifier, counts where the number is one.
func (p *Profile) nhsNumber(pid hl7.Segment, list []identifier) number {
	var found number
	beside := ""
	invalid, several, foreign := false, false, false
	look := func(i *identifier) {
		last := i.field == "PID-19" && i.bare()
		switch {
		case i.foreign:
			foreign = true
			return
		case !i.nhs && !last && i.issuer != "NI":
			return
		}
		n, err := schemas.ParseNHSNumber(i.id)
		switch {
		case err != nil:
			invalid = invalid || i.nhs
		case found.value.IsZero():
			found.value = n
			beside = i.besides()
			i.nhs = true
		case n != found.value:
			several = true
		}
	}
	for k := range list {
		look(&list[k])
	}
	for _, f := range [...]struct {
		name string
		n    int
	}{{"PID-2", 2}, {"PID-4", 4}, {"PID-19", 19}} {
		for _, i := range p.identifiers(f.name, pid.Field(f.n)) {
			look(&i)
		}
	}
	found.stated = p.stated(pid.Field(32), beside)
	switch {
	case several:
		found.status = schemas.NumberConflict
	case !found.value.IsZero():
		found.status = p.status(found.stated)
	case foreign:
		found.status = schemas.NumberOtherCountry
	case invalid:
		found.status = schemas.NumberInvalid
	default:
		found.status = schemas.NumberAbsent
	}
	return found
}

// besides is the status that some systems write into the identifier itself:
// in a brace in CX.5, or in CX.2, where in others a check digit stands.
func (i identifier) besides() string {
	if _, brace, ok := strings.Cut(i.kind, "{status:"); ok {
		return strings.TrimSuffix(brace, "}")
	}
	if len(i.second) == 2 && i.second[0] == '0' {
		return i.second
	}
	return ""
}

// stated lists the status codes of a number: PID-32 as NSTS01 or 01, and what
// stands beside the number itself.
func (p *Profile) stated(f hl7.Field, beside string) []string {
	var out []string
	add := func(code string) {
		if own, ok := p.Statuses[code]; ok {
			code = own
		}
		out = append(out, code)
	}
	if f.Raw() == "" && beside == "" {
		return nil
	}
	for r := range f.Each {
		switch c := strings.ToUpper(strings.ReplaceAll(r.Component(1), " ", "")); c {
		case "", "AL", "ED", "UA", "UD": // table 0445's own codes say nothing of the number
		default:
			add(strings.TrimPrefix(c, "NSTS"))
		}
	}
	if beside != "" {
		add(beside)
	}
	return out
}

// status says how far a number is traced. Only 01, and nothing beside it that
// says otherwise, is verified. A status that is stated and cannot be read is
// not "unstated".
func (p *Profile) status(stated []string) schemas.NumberStatus {
	switch {
	case len(stated) == 0 && p.UnstatedStatus == "verified":
		return schemas.NumberVerified
	case len(stated) == 0:
		return schemas.NumberUnverified
	case slices.Contains(stated, "04") || slices.Contains(stated, "05"):
		return schemas.NumberConflict
	case slices.ContainsFunc(stated, func(c string) bool { return c != "01" }):
		return schemas.NumberUnverified
	}
	return schemas.NumberVerified
}

// foreign reports whether a number lies in another country's range. Its status
// stays what the sender says: matching shows a plan found under any number,
// and never says "none" of a foreign one.
func foreign(n schemas.NHSNumber) bool {
	switch n.Country() {
	case schemas.Scotland, schemas.NorthernIreland, schemas.Ireland:
		return true
	}
	return false
}
