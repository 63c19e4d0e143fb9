package hl7

import (
	"bytes"
	"crypto/rand"
	"strings"
	"time"
)

// AckCode is what an acknowledgement says in MSA-1.
type AckCode string

const (
	AA AckCode = "AA" // taken: it is safe here, do not send it again
	AE AckCode = "AE" // refused: something in the message
	AR AckCode = "AR" // refused: the message could not be read at all
)

// AckOptions are the parts of an acknowledgement that the message does not
// give.
type AckOptions struct {
	Now   time.Time
	Error *Error // why not; nil for AA
}

// Ack answers a message. The sender's and receiver's names are swapped whole;
// MSH-10 is the answer's own; MSH-9 has the shape of the message's version;
// MSH-11, MSH-12 and MSH-18 are the sender's; MSA-2 is the message's control
// id, byte for byte. An error goes into ERR in the form of the version, by
// position and code, never with content.
func Ack(m *Message, code AckCode, o AckOptions) []byte {
	sep := string(m.Separators.Field)
	raw := func(n int) string { return m.Field("MSH", n).Raw() }
	version := m.Value("MSH-12")
	kind := "ACK"
	if atLeast(version, "2.4") {
		c := string(m.Separators.Component)
		kind = "ACK" + c + m.Field("MSH", 9).First().RawComponent(2) + c + "ACK"
	}
	header := []string{"MSH", raw(2), raw(5), raw(6), raw(3), raw(4), o.Now.Format("20060102150405-0700"), "", kind, newControlID(), raw(11), raw(12), "", "", "", "", "", raw(18)}
	lines := []string{strings.TrimRight(strings.Join(header, sep), sep), strings.Join([]string{"MSA", string(code), raw(10)}, sep)}
	if o.Error != nil {
		lines = append(lines, errSegment(o.Error, m.Separators, version))
	}
	text := strings.Join(lines, "\r") + "\r"
	if m.Recoded { // in the sender's own bytes
		return toWindows1252(text)
	}
	return []byte(text)
}

// errSegment writes ERR: from 2.5 on location, code and severity have fields
// of their own, before that they share ERR-1.
func errSegment(e *Error, s Separators, version string) string {
	c, sub, f := string(s.Component), string(s.Subcomponent), string(s.Field)
	segment, field, _ := strings.Cut(e.Location, "-")
	text := e.Code
	if !atLeast(version, "2.5") {
		return "ERR" + f + segment + c + "1" + c + field + c + table0357(e.Code) + sub + text
	}
	return strings.Join([]string{"ERR", "", segment + c + "1" + c + field, table0357(e.Code), "E", "", "", text}, f)
}

// table0357 is the standard's own word for an error.
func table0357(code string) string {
	switch code {
	case "CPIS-H007", "CPIS-H009":
		return "200" // unsupported message type
	case "CPIS-H010":
		return "101" // required field missing
	case "CPIS-H014":
		return "204" // unknown key identifier
	case "CPIS-H005", "CPIS-H006", "CPIS-H003":
		return "104" // value too long
	}
	return "207" // application internal error
}

// AckRaw answers bytes that are no message. Where at least the header can be
// read it is used; else the answer names no message at all.
func AckRaw(raw []byte, code AckCode, e *Error, o AckOptions) []byte {
	o.Error = e
	head := trimStart(raw)
	if i := bytes.IndexAny(head, "\r\n"); i >= 0 {
		head = head[:i]
	}
	if len(head) <= MaxField {
		if m, err := Parse(head); err == nil {
			return Ack(m, code, o)
		}
	}
	m := &Message{Separators: defaultSeparators(), Segments: []Segment{{[]string{"MSH", "|", `^~\&`}}}}
	return Ack(m, code, o)
}

func newControlID() string { return rand.Text()[:20] }

// atLeast compares versions such as 2.3.1 and 2.10 by their numbers.
func atLeast(version, want string) bool {
	number := func(v string) int {
		rest, _ := strings.CutPrefix(v, "2.")
		n := 0
		for _, r := range rest {
			if r < '0' || r > '9' {
				break
			}
			n = n*10 + int(r-'0')
		}
		return n
	}
	return strings.HasPrefix(version, "2.") && number(version) >= number(want)
}
