package compare

import (
	"slices"
	"strings"
)

// Level is how far two values of a field agree. Levels are ordered: a higher
// one is closer. Missing is outside of the order: nothing is known.
type Level int

const (
	Missing   Level = iota // one of the two is not given, or is no name
	Different              // nothing in common
	Initial                // one is the first letter of the other
	Phonetic               // sounds alike, or is fairly like it
	Similar                // a slip of the keyboard apart
	Alias                  // another form of the name, or one of several names
	Exact
)

// String is the level in words.
func (l Level) String() string {
	return [...]string{"not given", "different", "initial", "sounds alike", "similar", "another form", "same"}[l]
}

// Likeness at which two words count as a slip apart, as fairly alike, and, if
// they have one Soundex code, as sounding alike. Given names need more: Rupert
// and Robert may be twins, Meyer and Maier are hardly two families.
const (
	similar       = 0.92
	alike         = 0.86
	soundsGiven   = 0.82
	soundsFamily  = 0.70
	shortestTyped = 4 // letters of a word in which one slip is a slip and no other name
)

// Name is the folded words of a given or family name, ready to be compared.
type Name struct {
	Words  []string
	Joined string // all words as one: Mary Ann and Maryann
}

// NewName prepares words, as Given and Family give them.
func NewName(words []string) Name { return Name{words, strings.Join(words, "")} }

// GivenName prepares given names as they are written.
func GivenName(names string) Name { return NewName(Given(names)) }

// FamilyName prepares a family name as it is written.
func FamilyName(name string) Name { return NewName(Family(name)) }

// First is the first word, empty where there is no name.
func (n Name) First() string {
	if len(n.Words) == 0 {
		return ""
	}
	return n.Words[0]
}

// GivenNames compares the given names of two records. Of several names the
// first counts; one record's first may be another of the other's, since many
// people go by their second name. Shared second names say nothing: sisters
// have them.
func GivenNames(a, b Name) Level {
	x, y := a.Words, b.Words
	if len(x) == 0 || len(y) == 0 {
		return Missing
	}
	best := word(x[0], y[0], soundsGiven)
	if best < Exact && len(x)+len(y) > 2 {
		best = max(best, word(a.Joined, b.Joined, soundsGiven))
		if best < Alias && (slices.Contains(y[1:], x[0]) || slices.Contains(x[1:], y[0])) {
			best = Alias
		}
	}
	return best
}

// FamilyNames compares the family names of two records. One part of a double
// name in common makes them forms of one another.
func FamilyNames(a, b Name) Level {
	x, y := a.Words, b.Words
	if len(x) == 0 || len(y) == 0 {
		return Missing
	}
	best := word(a.Joined, b.Joined, soundsFamily)
	if len(x)+len(y) == 2 {
		return best
	}
	for _, w := range x {
		if best < Alias && len(w) > 2 && slices.Contains(y, w) {
			best = Alias
		}
	}
	return best
}

// word compares two folded words; sounds is the likeness at which one Soundex
// code counts.
func word(a, b string, sounds float64) Level {
	switch {
	case a == b:
		return Exact
	case len(a) == 1 || len(b) == 1:
		if a[0] == b[0] {
			return Initial
		}
		return Different
	}
	likeness := JaroWinkler(a, b)
	switch {
	case aliases(a, b):
		return Alias
	case likeness >= similar:
		return Similar
	case a[0] == b[0] && min(len(a), len(b)) >= shortestTyped && Edits(a, b) == 1:
		return Similar
	case likeness >= alike, likeness >= sounds && Soundex(a) != "" && Soundex(a) == Soundex(b):
		return Phonetic
	}
	return Different
}

// Birth is how far two dates of birth agree.
type Birth int

const (
	BirthMissing   Birth = iota // one of the two is not given
	BirthDifferent              // no slip explains it
	BirthTwoParts               // two of year, month and day are the same
	BirthDigit                  // one digit differs
	BirthSwapped                // day and month changed places
	BirthExact
)

// String is the level in words.
func (b Birth) String() string {
	return [...]string{"not given", "different", "two parts the same", "one digit apart", "day and month swapped", "same"}[b]
}

// BirthDates compares two civil dates, YYYY-MM-DD, or empty where not known.
func BirthDates(a, b string) Birth {
	if len(a) != 10 || len(b) != 10 {
		return BirthMissing
	}
	if a == b {
		return BirthExact
	}
	if a[:5] == b[:5] && a[5:7] == b[8:] && a[8:] == b[5:7] {
		return BirthSwapped
	}
	digits, parts := 0, 0
	for i := range a {
		if a[i] != b[i] {
			digits++
		}
	}
	for _, p := range [][2]int{{0, 4}, {5, 7}, {8, 10}} {
		if a[p[0]:p[1]] == b[p[0]:p[1]] {
			parts++
		}
	}
	switch {
	case digits == 1:
		return BirthDigit
	case parts == 2:
		return BirthTwoParts
	}
	return BirthDifferent
}

// Swapped is a date of birth with day and month changed round; empty where
// that is no date, or the same.
func Swapped(born string) string {
	if len(born) != 10 || born[8:] > "12" || born[5:7] == born[8:] {
		return ""
	}
	return born[:5] + born[8:] + "-" + born[5:7]
}

// Place is how far two postcodes agree.
type Place int

const (
	PlaceMissing   Place = iota // one of the two is not given
	PlaceDifferent              // another outward code
	PlaceOutward                // the same outward code: a town or a part of one
	PlaceSector                 // and the digit after it
	PlaceTyped                  // one character apart
	PlaceExact
)

// String is the level in words.
func (p Place) String() string {
	return [...]string{"not given", "different", "same outward code", "same sector", "one character apart", "same"}[p]
}

// Postcode is a postcode in capitals and without spaces; empty where it cannot
// be one, or is one that stands for no fixed abode or an unknown place (the
// codes that begin ZZ99).
func Postcode(text string) string {
	var out [8]byte
	n := 0
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case c == ' ':
			continue
		case c >= 'a' && c <= 'z':
			c -= 'a' - 'A'
		case c >= 'A' && c <= 'Z', c >= '0' && c <= '9':
		default:
			return ""
		}
		if n == 7 {
			return ""
		}
		out[n] = c
		n++
	}
	if n < 5 || string(out[:4]) == "ZZ99" {
		return ""
	}
	return string(out[:n])
}

// Postcodes compares two postcodes as Postcode gives them.
func Postcodes(a, b string) Place {
	switch {
	case a == "" || b == "":
		return PlaceMissing
	case a == b:
		return PlaceExact
	case len(a) == len(b):
		differ := 0
		for i := range len(a) {
			if a[i] != b[i] {
				differ++
			}
		}
		if differ == 1 {
			return PlaceTyped
		}
	}
	outA, outB := a[:len(a)-3], b[:len(b)-3]
	switch {
	case outA != outB:
		return PlaceDifferent
	case a[len(outA)] == b[len(outB)]:
		return PlaceSector
	}
	return PlaceOutward
}
