package hl7

import (
	"encoding/binary"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"
)

// Charset says how the bytes of a message became text. A declaration is
// followed unless the bytes speak against it: bytes that are no UTF-8 are read
// as Windows-1252, and bytes beyond ASCII that are UTF-8 are UTF-8, since no
// name of another character set is so by chance.
type Charset struct {
	Declared string // MSH-18, first repetition, as sent
	Used     string // ASCII, UTF-8, WINDOWS-1252, ISO-8859-1, …
	// Doubt is the code of what is odd about it, empty where nothing is:
	// CPIS-H103 where the bytes speak against the declaration, CPIS-H104 where
	// the declaration is not understood.
	Doubt string

	recoded bool // the text is not the bytes as they came
}

const (
	usedASCII       = "ASCII"
	usedUTF8        = "UTF-8"
	usedWindows1252 = "WINDOWS-1252"
	escapeCode      = 0x1b // opens a change of character set in ISO 2022
)

// decode turns bytes into text.
func decode(raw []byte, marked bool, declared []byte, otherwise string, sep Separators) (string, Charset) {
	label := nth(string(declared), sep.Repetition, 1)
	c := Charset{Declared: label}
	text := string(raw)
	if ascii(raw) {
		c.Used = usedASCII
		if strings.IndexByte(text, escapeCode) >= 0 {
			c.Doubt = "CPIS-H104"
		}
		return text, c
	}
	if label == "" || label == Null {
		label = otherwise
	}
	want, page := charset(label)
	c.Used = want
	switch {
	case utf8.ValidString(text):
		c.Used = usedUTF8
		if page != nil && !marked {
			c.Doubt = "CPIS-H103"
		}
	case page != nil && (want != "ISO-8859-1" || !hasControls(raw)):
		text, c.recoded = fromPage(raw, page), true
		if want == usedWindows1252 && otherwise == "" { // no name of table 0211
			c.Doubt = "CPIS-H104"
		}
	default:
		text, c.recoded, c.Used, c.Doubt = fromPage(raw, charmap.Windows1252), true, usedWindows1252, "CPIS-H103"
	}
	if want == "" {
		c.Doubt = "CPIS-H104"
	}
	return text, c
}

// KnownCharset reports whether a name of MSH-18 is one that can be decoded.
func KnownCharset(label string) bool {
	name, _ := charset(label)
	return name != ""
}

// charset understands the names of HL7 table 0211 and those that senders use
// instead. UNICODE means UTF-8 to some and UTF-16 to others; as UTF-16 would
// have been refused before, it is UTF-8. The page is nil for UTF-8; the name is
// empty where the label is not known.
func charset(label string) (string, *charmap.Charmap) {
	switch key := strings.NewReplacer(" ", "", "-", "", "_", "", "/", "").Replace(strings.ToUpper(label)); key {
	case "", "ASCII", "USASCII", "UNICODE", "UNICODEUTF8", "UTF8":
		return usedUTF8, nil
	case "WINDOWS1252", "CP1252", "ANSI":
		return usedWindows1252, charmap.Windows1252
	case "ISOIR100", "LATIN1":
		return "ISO-8859-1", charmap.ISO8859_1
	default:
		part := strings.TrimPrefix(strings.TrimPrefix(key, "ISO"), "8859")
		if page := latin(part); page != nil && strings.Contains(key, "8859") {
			return "ISO-8859-" + part, page
		}
	}
	return "", nil
}

func latin(part string) *charmap.Charmap {
	switch part {
	case "1":
		return charmap.ISO8859_1
	case "2":
		return charmap.ISO8859_2
	case "3":
		return charmap.ISO8859_3
	case "4":
		return charmap.ISO8859_4
	case "5":
		return charmap.ISO8859_5
	case "6":
		return charmap.ISO8859_6
	case "7":
		return charmap.ISO8859_7
	case "8":
		return charmap.ISO8859_8
	case "9":
		return charmap.ISO8859_9
	case "10":
		return charmap.ISO8859_10
	case "13":
		return charmap.ISO8859_13
	case "14":
		return charmap.ISO8859_14
	case "15":
		return charmap.ISO8859_15
	case "16":
		return charmap.ISO8859_16
	}
	return nil
}

func fromPage(raw []byte, page *charmap.Charmap) string {
	var out strings.Builder
	out.Grow(len(raw) + len(raw)/8)
	for _, b := range raw {
		out.WriteRune(page.DecodeByte(b))
	}
	return out.String()
}

// ascii looks at eight bytes at a time: nearly every message is.
func ascii(raw []byte) bool {
	for ; len(raw) >= 8; raw = raw[8:] {
		if binary.NativeEndian.Uint64(raw)&0x8080808080808080 != 0 {
			return false
		}
	}
	for _, b := range raw {
		if b >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// hasControls reports bytes that are control codes in ISO 8859-1, and quotation
// marks in the Windows code page that is often meant by that name.
func hasControls(raw []byte) bool {
	for _, b := range raw {
		if b >= 0x80 && b < 0xa0 {
			return true
		}
	}
	return false
}
