package hl7

import (
	"bytes"
	"crypto/rand"
	"strings"
	"time"
)

// AckCode is what an acknowledgement says in MSA-1. In original mode the
// answer is AA, AE or AR. In enhanced mode the first answer says whether the
// message is safe, CA, CE or CR, and an AA, AE or AR may follow.
type AckCode string

const (
	AA AckCode = "AA" // taken: it is safe here, do not send it again
	AE AckCode = "AE" // refused: something in the message
	AR AckCode = "AR" // refused: the message could not be read at all
	CA AckCode = "CA" // safe here
	CE AckCode = "CE" // not taken: something in the message, or trouble here
	CR AckCode = "CR" // not taken: the message could not be read at all
)

// Accept is the code that says the same in the accept acknowledgement of the
// enhanced mode.
func (c AckCode) Accept() AckCode { return "C" + c[1:] }

// ackTime is the layout of times in answers.
const ackTime = "20060102150405-0700"

// AckOptions are the parts of an acknowledgement that the message does not
// give.
type AckOptions struct {
	Now       time.Time
	ControlID string // MSH-10 of the answer; default random
	Error     *Error // why not; nil for a yes
}

// Ack answers a message. The sender's and receiver's names are swapped whole;
// MSH-10 is the answer's own; MSH-9 has the shape of the message's version;
// MSH-11, MSH-12 and MSH-18 are the sender's; MSA-2 is the message's control
// id. All of these are the sender's own bytes, in whatever character set. An
// error goes into ERR in the form of the version, by position and code, never
// with content.
func Ack(m *Message, code AckCode, o AckOptions) []byte {
	version := m.Value("MSH-12")
	if o.ControlID == "" {
		o.ControlID = rand.Text()[:20]
	}
	kind := []byte("ACK")
	c := m.Separators.Component
	if atLeast(version, "2.4") {
		event := nth(string(nthBytes(m.RawField(9), m.Separators.Repetition)), c, 2)
		kind = bytes.Join([][]byte{kind, []byte(event), kind}, []byte{c})
	}
	raw := m.RawField
	header := [][]byte{[]byte("MSH"), raw(2), raw(5), raw(6), raw(3), raw(4), []byte(o.Now.Format(ackTime)), nil, kind, []byte(o.ControlID), raw(11), raw(12), nil, nil, nil, nil, nil, raw(18)}
	sep := []byte{m.Separators.Field}
	var out bytes.Buffer
	out.Grow(256)
	out.Write(bytes.TrimRight(bytes.Join(header, sep), string(sep)))
	out.WriteByte('\r')
	out.Write(bytes.Join([][]byte{[]byte("MSA"), []byte(code), raw(10)}, sep))
	out.WriteByte('\r')
	if o.Error != nil {
		out.WriteString(errSegment(o.Error, m.Separators, version))
		out.WriteByte('\r')
	}
	return out.Bytes()
}

func nthBytes(field []byte, sep byte) []byte {
	first, _, _ := bytes.Cut(field, []byte{sep})
	return first
}

// errSegment writes ERR. From 2.5 on location (ERR-2), code of table 0357
// (ERR-3), severity (ERR-4), our own code (ERR-5) and words (ERR-8) have fields
// of their own; before that they share ERR-1, of which some receivers keep 80
// characters.
func errSegment(e *Error, s Separators, version string) string {
	c, sub, f := string(s.Component), string(s.Subcomponent), string(s.Field)
	segment, position, _ := strings.Cut(e.Location, "-")
	field, component, _ := strings.Cut(position, ".")
	condition := table0357(e.Code)
	if !atLeast(version, "2.5") {
		return "ERR" + f + segment + c + "1" + c + field + c + condition.code + sub + e.Code
	}
	where := strings.TrimRight(strings.Join([]string{segment, "1", field, "", component}, c), c)
	what := strings.Join([]string{condition.code, condition.text, "HL70357"}, c)
	return strings.Join([]string{"ERR", "", where, what, "E", e.Code, "", "", escapeFor(s).Replace(e.Reason)}, f)
}

// escapeFor writes text as a leaf between the separators of a message.
func escapeFor(s Separators) *strings.Replacer {
	e := string(s.Escape)
	pair := func(b byte, code string) []string { return []string{string(b), e + code + e} }
	var list []string
	for _, p := range [][]string{pair(s.Escape, "E"), pair(s.Field, "F"), pair(s.Component, "S"), pair(s.Subcomponent, "T"), pair(s.Repetition, "R"), {"\r", " ", "\n", " "}} {
		list = append(list, p...)
	}
	return strings.NewReplacer(list...)
}

// condition is an entry of HL7 table 0357.
type condition struct{ code, text string }

// table0357 is the standard's own word for an error.
func table0357(code string) condition {
	switch code {
	case "CPIS-H007", "CPIS-H009":
		return condition{"200", "Unsupported message type"}
	case "CPIS-H008":
		return condition{"100", "Segment sequence error"}
	case "CPIS-H010":
		return condition{"101", "Required field missing"}
	case "CPIS-H003", "CPIS-H005", "CPIS-H006":
		return condition{"104", "Value too long"}
	case "CPIS-H014", "CPIS-H015":
		return condition{"204", "Unknown key identifier"}
	case "CPIS-H016":
		return condition{"202", "Unsupported processing id"}
	}
	return condition{"207", "Application internal error"}
}

// AckRaw answers bytes that are no message. Where at least the header can be
// read it is used; else the answer names no message at all.
func AckRaw(raw []byte, code AckCode, o AckOptions) []byte {
	if m, err := ParseHeader(raw); err == nil {
		return Ack(m, code, o)
	}
	return Ack(&Message{Separators: defaultSeparators(), header: []byte(`MSH|^~\&`)}, code, o)
}

// atLeast compares versions such as 2.3.1 and 2.10 by their numbers.
func atLeast(version, want string) bool {
	second := func(v string) int {
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
	return strings.HasPrefix(version, "2.") && second(version) >= second(want)
}
