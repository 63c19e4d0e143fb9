package hl7

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

// TestCharsets: the declaration is followed unless the bytes speak against it,
// and the answer holds the sender's own bytes either way.
func TestCharsets(t *testing.T) {
	const utf8Zoe, latinZoe = "Zo\xc3\xab", "Zo\xeb"
	for name, c := range map[string]struct{ declared, otherwise, sent, read, used, doubt string }{
		"plain":                      {"", "", "Zoe", "Zoe", "ASCII", ""},
		"nothing declared, UTF-8":    {"", "", utf8Zoe, "Zoë", "UTF-8", ""},
		"nothing declared, Latin-1":  {"", "", latinZoe, "Zoë", "WINDOWS-1252", "CPIS-H103"},
		"profile says Latin-1":       {"", "8859/1", latinZoe, "Zoë", "ISO-8859-1", ""},
		"profile says Windows-1252":  {"", "WINDOWS-1252", "O\x92Neil", "O’Neil", "WINDOWS-1252", ""},
		"null, profile says Latin-9": {`""`, "8859/15", "\xa4", "€", "ISO-8859-15", ""},
		"ASCII that is UTF-8":        {"ASCII", "", utf8Zoe, "Zoë", "UTF-8", ""},
		"ASCII that is not":          {"ASCII", "", latinZoe, "Zoë", "WINDOWS-1252", "CPIS-H103"},
		"UNICODE":                    {"UNICODE", "", utf8Zoe, "Zoë", "UTF-8", ""},
		"UNICODE over 8-bit text":    {"UNICODE", "", latinZoe, "Zoë", "WINDOWS-1252", "CPIS-H103"},
		"UNICODE UTF-8":              {"UNICODE UTF-8", "", utf8Zoe, "Zoë", "UTF-8", ""},
		"UTF8":                       {"utf8", "", utf8Zoe, "Zoë", "UTF-8", ""},
		"8859/1":                     {"8859/1", "", latinZoe, "Zoë", "ISO-8859-1", ""},
		"8859/1 that is UTF-8":       {"8859/1", "", utf8Zoe, "Zoë", "UTF-8", "CPIS-H103"},
		"8859/1 with Windows quotes": {"8859/1", "", "O\x92Neil", "O’Neil", "WINDOWS-1252", "CPIS-H103"},
		"8859/2":                     {"8859/2", "", "\xa3ukasz", "Łukasz", "ISO-8859-2", ""},
		"ISO-8859-7":                 {"ISO-8859-7", "", "\xc1", "Α", "ISO-8859-7", ""},
		"ISO IR100":                  {"ISO IR100", "", latinZoe, "Zoë", "ISO-8859-1", ""},
		"WINDOWS-1252":               {"WINDOWS-1252", "", "O\x92Neil", "O’Neil", "WINDOWS-1252", "CPIS-H104"},
		"not known":                  {"KLINGON", "", latinZoe, "Zoë", "WINDOWS-1252", "CPIS-H104"},
		"not known but UTF-8":        {"KLINGON", "", utf8Zoe, "Zoë", "UTF-8", "CPIS-H104"},
		"shifted":                    {"ASCII~ISO IR87", "", "A\x1b$B\x1b(B", "A\x1b$B\x1b(B", "ASCII", "CPIS-H104"},
		"first of several":           {"8859/1~ISO IR87", "", latinZoe, "Zoë", "ISO-8859-1", ""},
	} {
		t.Run(name, func(t *testing.T) {
			raw := "MSH|^~\\&|" + c.sent + "|RXX|||||ADT^A04|" + c.sent + "|P|2.4||||||" + c.declared + "\rPID|||||" + c.sent + "\r"
			m, err := ParseWith([]byte(raw), Options{Charset: c.otherwise})
			if err != nil {
				t.Fatal(err)
			}
			label, _, _ := strings.Cut(c.declared, "~")
			if got := m.Value("PID-5"); got != c.read || m.Charset.Declared != label || m.Charset.Used != c.used || m.Charset.Doubt != c.doubt {
				t.Errorf("%q as %+v", got, m.Charset)
			}
			if ack := Ack(m, AA, AckOptions{}); !bytes.Contains(ack, []byte("\rMSA|AA|"+c.sent+"\r")) || !bytes.Contains(ack, []byte("|||"+c.sent+"|RXX|")) {
				t.Errorf("the answer %q", ack)
			}
		})
	}
}

func TestByteOrderMark(t *testing.T) {
	m := parse(t, byteOrderMark+"MSH|^~\\&|||||||||||||||||8859/1\rPID|||||Zo\xc3\xab\r")
	if m.Value("PID-5") != "Zoë" || m.Charset.Doubt != "" {
		t.Errorf("%q %+v", m.Value("PID-5"), m.Charset)
	}
}

// TestOtherEncodings are refused by name, so that the sender learns what to
// change.
func TestOtherEncodings(t *testing.T) {
	wide := func(s string, low, high int) string {
		var out strings.Builder
		for i := range len(s) {
			pair := [2]byte{}
			pair[low], pair[high] = s[i], 0
			out.Write(pair[:])
		}
		return out.String()
	}
	for name, c := range map[string]struct{ raw, code string }{
		"XML": {"<ADT_A01/>", "CPIS-H012"}, "XML after a mark": {byteOrderMark + " <ADT_A01/>", "CPIS-H012"},
		"UTF-16":            {"\xff\xfe" + wide("MSH|^~\\&|", 0, 1), "CPIS-H013"},
		"UTF-16, other way": {wide("MSH|^~\\&|", 1, 0), "CPIS-H013"},
		"UTF-16, no mark":   {wide("MSH|^~\\&|", 0, 1), "CPIS-H013"},
	} {
		_, err := Parse([]byte(c.raw))
		var e *Error
		if !errors.As(err, &e) || e.Code != c.code {
			t.Errorf("%s: %v, want %s", name, err, c.code)
		}
	}
}
