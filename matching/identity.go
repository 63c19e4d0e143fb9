package matching

import (
	"strings"

	"cpis/matching/compare"
	"cpis/schemas"
)

// agreement is how far a registration and an indicator under the same verified
// number agree about who the person is.
type agreement struct {
	birth         compare.Birth
	given, family compare.Level
	sexes         bool // both are known, and differ
}

func agree(held, sent schemas.Person) agreement {
	return agreement{
		birth:  compare.BirthDates(string(held.DateOfBirth), string(sent.DateOfBirth)),
		given:  compare.GivenNames(held.GivenNames, sent.GivenNames),
		family: compare.FamilyNames(held.FamilyName, sent.FamilyName),
		sexes:  (held.Sex == "M" || held.Sex == "F") && (sent.Sex == "M" || sent.Sex == "F") && held.Sex != sent.Sex,
	}
}

// conflict reports that a verified number does not seem to be this person's. A
// number can be right in itself and another's: the twin's, a sibling's, a
// namesake's chosen from a list. Then nothing certain may be said.
//
//	date of birth        given name           family name          conflict
//	same, or not given   like                 any *                no
//	same, or not given   not given            like, or not given   no
//	same, or not given   not given            different            yes
//	same, or not given   different            any                  yes: the other twin
//	a slip apart         like                 like                 no
//	a slip apart         otherwise                                 yes
//	different            any                  any                  yes
//
// * With no date of birth, not a different one. A given name that is only like
// the other does not count where the sexes differ: Daniel and Danielle may be
// twins. One given date of birth and name too few is no conflict: a trace said
// that the number is this person's, and nothing speaks against it.
func conflict(held, sent schemas.Person) bool {
	a := agree(held, sent)
	given, family := a.given, a.family
	if a.sexes && given != compare.Exact && given != compare.Missing {
		given = compare.Different
	}
	switch a.birth {
	case compare.BirthExact, compare.BirthMissing:
		switch given {
		case compare.Different:
			return true
		case compare.Missing:
			return family == compare.Different
		}
		return a.birth == compare.BirthMissing && family == compare.Different
	case compare.BirthSwapped, compare.BirthDigit, compare.BirthTwoParts:
		return given <= compare.Different || family <= compare.Different
	}
	return true
}

// renderings are the ways in which a registration names its person: as it is,
// and by each of the other names it knows.
func renderings(r schemas.Registration) []schemas.Person {
	all := []schemas.Person{r.Person}
	for _, alias := range r.Evidence.Aliases {
		other := r.Person
		family, given, _ := strings.Cut(alias, "^")
		if family != "" {
			other.FamilyName = family
		}
		if given != "" {
			other.GivenNames = given
		}
		all = append(all, other)
	}
	return all
}

// disagrees reports that no name the registration knows for its person makes
// it the one the authority means.
func disagrees(held schemas.Person, sent []schemas.Person) bool {
	for _, p := range sent {
		if !conflict(held, p) {
			return false
		}
	}
	return true
}
