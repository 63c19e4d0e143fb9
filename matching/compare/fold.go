// Package compare says how far two records agree about a person: given name,
// family name, date of birth, as a careful clerk would who has seen how names
// are mistyped, shortened and written in other alphabets. It says "similar" or
// "different", never who the person is, and keeps nothing.
package compare

import (
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// Words are the words of a name, folded: without marks, in small letters, in
// the Latin letters nearest to those written. Hyphens, apostrophes and stops
// part words, but O'Neil and D'Arcy stay whole. Titles are dropped.
func Words(name string) []string {
	var words []string
	var word strings.Builder
	end := func() {
		if w := word.String(); w != "" && !title(w) {
			words = append(words, w)
		}
		word.Reset()
	}
	for _, r := range norm.NFKD.String(name) {
		switch {
		case unicode.Is(unicode.Mn, r), r == '\'', r == '’', r == '‘', r == '`', r == 'ʼ':
			// a mark of the letter before, or inside a word
		case unicode.IsLetter(r):
			if latin := folded(r); latin != "" {
				word.WriteString(latin)
			} else {
				word.WriteRune(unicode.ToLower(r))
			}
		default:
			end()
		}
	}
	end()
	return words
}

// folded are letters that decomposition leaves as they are.
func folded(r rune) string {
	switch r {
	case 'ł', 'Ł':
		return "l"
	case 'ø', 'Ø':
		return "o"
	case 'đ', 'Đ', 'ð', 'Ð':
		return "d"
	case 'ß', 'ẞ':
		return "ss"
	case 'ı':
		return "i"
	case 'æ', 'Æ':
		return "ae"
	case 'œ', 'Œ':
		return "oe"
	case 'þ', 'Þ':
		return "th"
	case 'ħ', 'Ħ':
		return "h"
	}
	return ""
}

func title(w string) bool {
	switch w {
	case "mr", "mrs", "miss", "ms", "mx", "master", "dr", "prof", "rev", "sir", "lady":
		return true
	}
	return false
}

// Given are the words of given names, none where what is written is no name:
// "Baby", "Twin 2", "Baby of Eve", "Not known".
func Given(names string) []string {
	words := Words(names)
	if len(words) == 0 || words[0] == "baby" || words[0] == "infant" || words[0] == "babe" {
		return nil
	}
	return named(words, func(w string) bool {
		switch w {
		case "newborn", "boy", "girl", "male", "female", "child", "twin", "triplet", "test":
			return true
		}
		return unknown(w)
	})
}

// Family are the words of a family name, none where it is no name. Child, Boy
// and Male are family names.
func Family(name string) []string { return named(Words(name), unknown) }

// named is the words, or none where at least one says that there is no name and
// no other is one.
func named(words []string, noName func(string) bool) []string {
	none := false
	for _, w := range words {
		switch {
		case noName(w):
			none = true
		case !filler(w):
			return words
		}
	}
	if none {
		return nil
	}
	return words
}

// unknown knows words that stand where no name is known.
func unknown(w string) bool {
	switch w {
	case "unknown", "unk", "notknown", "known", "unnamed", "anonymous", "anon", "xxx", "xx", "none", "baby", "infant":
		return true
	}
	return false
}

// filler knows words that name nobody where another says that there is no name:
// the of and the number in Twin two of Eve.
func filler(w string) bool {
	switch w {
	case "of", "not", "the", "son", "daughter", "one", "two", "three", "ii", "iii":
		return true
	}
	return len(w) == 1
}
