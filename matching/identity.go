package matching

import (
	"cpis/matching/compare"
	"cpis/matching/weigh"
	"cpis/schemas"
)

// agreement is how far a registration and an indicator under the same verified
// number agree about who the person is.
type agreement struct {
	birth         compare.Birth
	given, family compare.Level
	place         compare.Place
	sexes         bool // both are known, and differ
}

func agree(held, sent weigh.Record) agreement {
	return agreement{
		birth:  compare.BirthDates(held.Born, sent.Born),
		given:  compare.GivenNames(held.Given, sent.Given),
		family: compare.FamilyNames(held.Family, sent.Family),
		place:  compare.Postcodes(held.Postcode, sent.Postcode),
		sexes:  held.Sex != 0 && sent.Sex != 0 && held.Sex != sent.Sex,
	}
}

// conflict reports that a verified number does not seem to be this person's. A
// number can be right in itself and another's: the twin's, a sibling's, a
// namesake's chosen from a list. Then nothing certain may be said.
//
//	date of birth        given name           family name          conflict
//	same, or not given   same                 same                 no
//	same                 same                 different            no: the other parent's
//	same, or not given   one of the two the same, the other like it  if the postcodes differ
//	same, or not given   like                 like                 unless the postcodes agree
//	same                 like                 different            if the postcodes differ
//	same, or not given   not given            like, or not given   no
//	same, or not given   not given            different            yes
//	not given            any                  different            yes
//	same, or not given   different            any                  yes: the other twin
//	a slip apart         like                 like                 no
//	a slip apart         otherwise                                 yes
//	different            any                  any                  yes
//
// Another form of a name is the same name. A given name that is only like the
// other does not count where the sexes differ: Daniel and Danielle may be twins.
// One given date of birth and name too few is no conflict: a trace said that the
// number is this person's, and nothing speaks against it.
func conflict(held, sent weigh.Record) bool {
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
		if family == compare.Different && a.birth == compare.BirthMissing {
			return true
		}
		return a.namesakes(given, family)
	case compare.BirthSwapped, compare.BirthDigit, compare.BirthTwoParts:
		return given <= compare.Different || family <= compare.Different
	}
	return true
}

// namesakes reports that two people of one birthday whose names are alike are
// rather two than one: a record that somebody picked from a list.
func (a agreement) namesakes(given, family compare.Level) bool {
	same := func(l compare.Level) bool { return l >= compare.Alias || l == compare.Missing }
	switch {
	case same(given) && (same(family) || family == compare.Different):
		return false
	case same(given) || same(family) || family == compare.Different:
		return a.place == compare.PlaceDifferent
	}
	return a.place < compare.PlaceOutward
}

// Disagree reports that none of the descriptions under which a number is held
// is of the person who was registered under it, by any name they are known by.
func Disagree(held, sent []weigh.Record) bool {
	for _, h := range held {
		for _, s := range sent {
			if !conflict(h, s) {
				return false
			}
		}
	}
	return true
}

// described are the descriptions of a person: by name, and by each of the other
// names they go by.
func described(p schemas.Person, others []string) []weigh.Record {
	return weigh.Person{GivenNames: p.GivenNames, FamilyName: p.FamilyName, Born: string(p.DateOfBirth), Sex: p.Sex, Postcode: p.Postcode, Others: others}.Records()
}

// exactly reports that somebody is described as they are held, but for other
// forms of the names: what it takes to trust a number that nobody has traced.
func exactly(held, sent []weigh.Record) bool {
	for _, h := range held {
		for _, s := range sent {
			a := agree(h, s)
			if a.birth == compare.BirthExact && a.given >= compare.Alias && a.family >= compare.Similar && !a.sexes {
				return true
			}
		}
	}
	return false
}
