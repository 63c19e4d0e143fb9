package hl7

import (
	"encoding/hex"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"
)

// unescape resolves the escape sequences of a leaf once, left to right:
//
//	\F\ \S\ \T\ \R\ \E\ \P\   the separators
//	\Xhh…\                    bytes in hexadecimal; \X00hh\ is one character
//	\.br\ \.sp\ …             formatting: a blank
//	\H\ \N\                   highlighting: nothing
//
// Anything else, a change of character set and a sender's own \Z…\ among it,
// stays as it stands, and so does an escape character with no partner: text
// that a sender forgot to escape is still text.
func unescape(s string, sep *Separators) string {
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

func sequence(code string, sep *Separators) (string, bool) {
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
	case "P":
		return string(sep.Truncation), true
	case "H", "N":
		return "", true
	}
	if len(code) >= 3 && code[0] == '.' {
		switch code[1:3] {
		case "br", "sp", "in", "ti", "fi", "nf", "ce", "sk":
			return " ", true
		}
	}
	if digits, ok := strings.CutPrefix(code, "X"); ok && digits != "" {
		if b, err := hex.DecodeString(digits); err == nil {
			return fromHex(b), true
		}
	}
	return "", false
}

// fromHex reads the bytes of \X…\. Two bytes of which the first is zero are one
// character: some libraries write four digits for each.
func fromHex(b []byte) string {
	switch {
	case len(b) == 2 && b[0] == 0:
		return string(rune(b[1]))
	case utf8.Valid(b):
		return string(b)
	}
	return fromPage(b, charmap.Windows1252)
}

// Escape writes text as a leaf of a message with the default separators. Line
// ends become blanks, for a line end would begin a segment; frame marks go.
func Escape(s string) string {
	return strings.NewReplacer(`\`, `\E\`, "|", `\F\`, "^", `\S\`, "&", `\T\`, "~", `\R\`, "\r", " ", "\n", " ", "\x0b", "", "\x1c", "").Replace(s)
}
