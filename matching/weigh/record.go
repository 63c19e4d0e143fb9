// Package weigh tells how likely it is that someone who was registered without
// a verified NHS number is one of the people whom a local authority protects.
// It weighs what agrees and what does not against how often strangers,
// siblings and twins agree as much, and says so field by field. It knows no
// one: it is given two descriptions and compares them.
package weigh

import (
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"

	"cpis/matching/compare"
)

// Person is who somebody is, as the sources describe them.
type Person struct {
	GivenNames, FamilyName string
	Born                   string // YYYY-MM-DD, empty where not known
	Sex                    string // M, F; anything else says nothing
	Postcode               string
	Others                 []string // further names, FAMILY^GIVEN: former, preferred, written otherwise
}

const redacted = "[redacted]"

// A description of a person redacts itself: it is weighed, and never written.
func (p Person) String() string               { return redacted }
func (p Person) GoString() string             { return redacted }
func (p Person) Format(f fmt.State, _ rune)   { _, _ = io.WriteString(f, redacted) }
func (p Person) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }
func (p Person) LogValue() slog.Value         { return slog.StringValue(redacted) }
func (r Record) String() string               { return redacted }
func (r Record) GoString() string             { return redacted }
func (r Record) Format(f fmt.State, _ rune)   { _, _ = io.WriteString(f, redacted) }
func (r Record) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }
func (r Record) LogValue() slog.Value         { return slog.StringValue(redacted) }

// Record is one description of a person, ready to be weighed.
type Record struct {
	Given, Family compare.Name
	Born          string
	Sex           byte // M, F or 0
	Postcode      string
}

// Records are the descriptions of a person: one for each name they go by. The
// first is the one their papers have.
func (p Person) Records() []Record {
	first := Record{Given: compare.GivenName(p.GivenNames), Family: compare.FamilyName(p.FamilyName), Postcode: compare.Postcode(p.Postcode)}
	if len(p.Born) == len("2006-01-02") {
		first.Born = p.Born
	}
	if p.Sex == "M" || p.Sex == "F" {
		first.Sex = p.Sex[0]
	}
	out := []Record{first}
	for _, other := range p.Others {
		family, given, _ := strings.Cut(other, "^")
		r := first
		if n := compare.FamilyName(family); len(n.Words) > 0 {
			r.Family = n
		}
		if n := compare.GivenName(given); len(n.Words) > 0 {
			r.Given = n
		}
		if len(out) < maxRecords && (r.Family.Joined != first.Family.Joined || r.Given.Joined != first.Given.Joined) {
			out = append(out, r)
		}
	}
	return out
}

// maxRecords bounds the descriptions of one person.
const maxRecords = 8

// Blocks are the things at least one of which two descriptions of one person
// share, as good as always: what to look for among the protected, since they
// cannot all be compared. Each is a kind and a value; they become keys only
// under a keyed hash.
//
//	born  date of birth
//	post  postcode
//	name  the sounds of given and family name, in order of the alphabet, so
//	      that names which were swapped meet
//	same  both of date of birth and name, for those who agree on nearly all
//
// A description is posted under all of its blocks. Asked and AskedSame are what
// to look for.
func Blocks(records []Record) []string {
	var out []string
	add := func(kind, value string) {
		for _, b := range out {
			if b == kind+value {
				return
			}
		}
		out = append(out, kind+value)
	}
	for _, r := range records {
		if r.Born != "" {
			add("born ", r.Born)
		}
		if r.Postcode != "" {
			add("post ", r.Postcode)
		}
		if pair := sounds(r.Given.First(), r.Family.Joined); pair != "" {
			add("name ", pair)
			if r.Born != "" {
				add("same ", r.Born+" "+pair)
			}
		}
	}
	return out
}

// Asked are the blocks in which to look for a person without a number: all but
// the narrowest of their own, and the date of birth with day and month changed
// round.
func Asked(records []Record) []string {
	out := slices.DeleteFunc(Blocks(records), func(b string) bool { return strings.HasPrefix(b, "same ") })
	if len(records) > 0 {
		if born := compare.Swapped(records[0].Born); born != "" {
			out = append(out, "born "+born)
		}
	}
	return out
}

// AskedSame are the blocks in which to look for a person whose number nobody
// holds: only those who agree on nearly all could be meant.
func AskedSame(records []Record) []string {
	return slices.DeleteFunc(Blocks(records), func(b string) bool { return !strings.HasPrefix(b, "same ") })
}

func sounds(a, b string) string {
	x, y := sound(a), sound(b)
	if x == "" || y == "" {
		return ""
	}
	return min(x, y) + " " + max(x, y)
}

// sound is a word's Soundex; a word in letters that have none stands for itself.
func sound(word string) string {
	if s := compare.Soundex(word); s != "" {
		return s
	}
	return word
}
