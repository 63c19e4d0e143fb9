package hl7

import (
	"encoding/hex"
	"slices"
	"strings"
)

// unescape resolves escape sequences of a leaf once, left to right:
//
//	\F\ \S\ \T\ \R\ \E\   the five separators
//	\Xhh…\                bytes in hexadecimal
//	\.br\ \H\ \N\         formatting: a blank, or nothing
//
// An unknown sequence, and an escape character with no partner, stay as they
// stand: text that a sender forgot to escape is still text.
func unescape(s string, sep Separators) string {
	if strings.IndexByte(s, sep.Escape) < 0 {
		return s
	}
	var out strings.Builder
	for {
		i := strings.IndexByte(s, sep.Escape)
		if i < 0 {
			out.WriteString(s)
			return out.String()
		}
		j := strings.IndexByte(s[i+1:], sep.Escape)
		if j < 0 {
			out.WriteString(s)
			return out.String()
		}
		text, ok := sequence(s[i+1:i+1+j], sep)
		if !ok { // the second mark may open the next sequence
			out.WriteString(s[:i+1+j])
			s = s[i+1+j:]
			continue
		}
		out.WriteString(s[:i])
		out.WriteString(text)
		s = s[i+j+2:]
	}
}

func sequence(code string, sep Separators) (string, bool) {
	switch code {
	case "F":
		return string(sep.Field), true
	case "S":
		return string(sep.Component), true
	case "T":
		return string(sep.Subcomponent), true
	case "R":
		return string(sep.Repetition), true
	case "E":
		return string(sep.Escape), true
	case "H", "N":
		return "", true
	case ".br", ".sp":
		return " ", true
	}
	if strings.HasPrefix(code, "X") {
		if b, err := hex.DecodeString(code[1:]); err == nil {
			return strings.ToValidUTF8(string(b), "\uFFFD"), true
		}
	}
	return "", false
}

// Escape writes text as a leaf of a message with the default separators. Line
// ends become blanks, for a line end would begin a segment.
func Escape(s string) string {
	return strings.NewReplacer(`\`, `\E\`, "|", `\F\`, "^", `\S\`, "&", `\T\`, "~", `\R\`, "\r", " ", "\n", " ", "\x0b", "", "\x1c", "").Replace(s)
}

// windows1252 are the characters of bytes 0x80 to 0x9F of the code page most
// senders mean when they declare none. The five it leaves undefined stand for
// themselves, so that what was read can be written back byte for byte.
const windows1252 = "€\u0081‚ƒ„…†‡ˆ‰Š‹Œ\u008dŽ\u008f\u0090‘’“”•–—˜™š›œ\u009džŸ"

func fromWindows1252(raw []byte) string {
	table := []rune(windows1252)
	var out strings.Builder
	out.Grow(len(raw) + len(raw)/8)
	for _, b := range raw {
		if b >= 0x80 && b < 0xa0 {
			out.WriteRune(table[b-0x80])
		} else {
			out.WriteRune(rune(b))
		}
	}
	return out.String()
}

// toWindows1252 writes text back as it was read.
func toWindows1252(text string) []byte {
	table := []rune(windows1252)
	out := make([]byte, 0, len(text))
	for _, r := range text {
		switch i := slices.Index(table, r); {
		case i >= 0:
			out = append(out, byte(0x80+i))
		case r < 0x100:
			out = append(out, byte(r))
		default:
			out = append(out, '?')
		}
	}
	return out
}
