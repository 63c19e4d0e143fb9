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

// GivenNames compares the given names of two records. Of several names the
// first counts; one record's first may be another of the other's, since many
// people go by their second name. Shared second names say nothing: sisters
// have them.
func GivenNames(a, b string) Level {
	x, y := Given(a), Given(b)
	if len(x) == 0 || len(y) == 0 {
		return Missing
	}
	best := word(x[0], y[0], soundsGiven)
	if joined := word(strings.Join(x, ""), strings.Join(y, ""), soundsGiven); joined > best { // Mary Ann and Maryann
		best = joined
	}
	if best < Alias && (slices.Contains(y[1:], x[0]) || slices.Contains(x[1:], y[0])) {
		best = Alias
	}
	return best
}

// FamilyNames compares the family names of two records. One part of a double
// name in common makes them forms of one another.
func FamilyNames(a, b string) Level {
	x, y := Family(a), Family(b)
	if len(x) == 0 || len(y) == 0 {
		return Missing
	}
	best := word(strings.Join(x, ""), strings.Join(y, ""), soundsFamily)
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
	case aliases(a, b):
		return Alias
	case len(a) == 1 || len(b) == 1:
		if a[0] == b[0] {
			return Initial
		}
		return Different
	}
	switch likeness := JaroWinkler(a, b); {
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
	if a[:5]+a[8:]+"-"+a[5:7] == b {
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
