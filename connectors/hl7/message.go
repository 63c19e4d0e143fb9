// Package hl7 reads and writes the messages in which hospitals say that a
// person has registered: HL7 version 2 in its vertical-bar encoding (ER7). It
// does no input or output and knows nothing of the rest of the broker.
//
// A message is segments, each on a line; a segment is fields between "|";
// a field is repetitions between "~", of components between "^", of
// subcomponents between "&". The separators come from the message's own MSH
// segment. Senders are forgiven what harms nobody: other line ends, missing
// trailing fields, fields beyond the version, unknown segments.
package hl7

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Limits of a message. What exceeds one is refused with a code.
const (
	MaxMessage  = 1 << 20 // bytes
	MaxSegments = 1000
	MaxField    = 64 << 10 // bytes
	MaxRepeats  = 100
)

// Null is the value `""`: the sender says that there is none. An empty field
// says nothing.
const Null = `""`

// Error is a message that cannot be taken, with the code that explains it.
// Location is a field position and Reason holds nobody's details.
type Error struct {
	Code     string
	Location string
	Reason   string
}

func (e *Error) Error() string { return fmt.Sprintf("%s at %s: %s", e.Code, e.Location, e.Reason) }

// Separators are the delimiters a message declares in MSH-1 and MSH-2.
type Separators struct {
	Field, Component, Repetition, Escape, Subcomponent byte
}

func defaultSeparators() Separators { return Separators{'|', '^', '~', '\\', '&'} }

// Segment is one line of a message. Fields[0] is the segment's name; in MSH,
// Fields[1] is the field separator itself, so that indexes are the standard's.
type Segment struct {
	Fields []string
}

// Name is the segment's three letters.
func (s Segment) Name() string { return s.Fields[0] }

// Message is a parsed message. It is read-only.
type Message struct {
	Separators Separators
	Segments   []Segment
	// Recoded is true where the text was not valid UTF-8 and was read as
	// Windows-1252.
	Recoded bool
}

// Parse reads one message. Errors are *Error.
func Parse(raw []byte) (*Message, error) {
	if len(raw) > MaxMessage {
		return nil, &Error{"CPIS-H003", "MSH", fmt.Sprintf("%d bytes, at most %d", len(raw), MaxMessage)}
	}
	raw = trimStart(raw)
	if !bytes.HasPrefix(raw, []byte("MSH")) {
		return nil, &Error{"CPIS-H001", "MSH", "the message does not begin with an MSH segment"}
	}
	m := &Message{}
	text := string(raw)
	if !utf8.ValidString(text) {
		text, m.Recoded = fromWindows1252(raw), true
	}
	var err error
	if m.Separators, err = separators(text); err != nil {
		return nil, err
	}
	return m, m.split(text)
}

// trimStart drops what some senders put before MSH: blanks, line ends, a
// byte-order mark.
func trimStart(raw []byte) []byte {
	const blank = " \t\r\n\x00"
	return bytes.TrimLeft(bytes.TrimPrefix(bytes.TrimLeft(raw, blank), []byte("\xef\xbb\xbf")), blank)
}

func separators(text string) (Separators, error) {
	s := defaultSeparators()
	if len(text) < 4 || !mark(text[3]) {
		return s, &Error{"CPIS-H002", "MSH-1", "no field separator"}
	}
	s.Field = text[3]
	declared := text[4:]
	if i := strings.IndexAny(declared, string(s.Field)+"\r\n"); i >= 0 {
		declared = declared[:i]
	}
	if len(declared) == 0 || len(declared) > 5 {
		return s, &Error{"CPIS-H002", "MSH-2", "want one to five encoding characters"}
	}
	for i, to := range []*byte{&s.Component, &s.Repetition, &s.Escape, &s.Subcomponent} {
		if i < len(declared) {
			*to = declared[i]
		}
	}
	seen := map[byte]bool{}
	for _, b := range []byte{s.Field, s.Component, s.Repetition, s.Escape, s.Subcomponent} {
		if seen[b] || !mark(b) {
			return s, &Error{"CPIS-H002", "MSH-2", "the encoding characters are not distinct marks"}
		}
		seen[b] = true
	}
	return s, nil
}

// mark reports whether a byte can separate: a visible ASCII sign that is
// neither a letter nor a digit.
func mark(b byte) bool {
	return b > ' ' && b < 0x7f && (b < '0' || b > '9') && (b < 'A' || b > 'Z') && (b < 'a' || b > 'z')
}

func (m *Message) split(text string) error {
	for len(text) > 0 {
		line := text
		if i := strings.IndexAny(text, "\r\n"); i >= 0 {
			line, text = text[:i], text[i+1:]
		} else {
			text = ""
		}
		if strings.TrimSpace(line) == "" {
			continue
		}
		if len(m.Segments) == MaxSegments {
			return &Error{"CPIS-H005", "MSH", fmt.Sprintf("more than %d segments", MaxSegments)}
		}
		s, err := m.segment(line)
		if err != nil {
			return err
		}
		if s.Name() == "MSH" && len(m.Segments) > 0 {
			return &Error{"CPIS-H009", "MSH", "a second message begins in the same frame"}
		}
		m.Segments = append(m.Segments, s)
	}
	return nil
}

func (m *Message) segment(line string) (Segment, error) {
	fields := strings.Split(line, string(m.Separators.Field))
	fields[0] = strings.ToUpper(strings.TrimSpace(fields[0]))
	if !segmentName(fields[0]) {
		return Segment{}, &Error{"CPIS-H008", "MSH", "a line begins with no segment name"}
	}
	if fields[0] == "MSH" {
		fields = append([]string{"MSH", string(m.Separators.Field)}, fields[1:]...)
	}
	for i, f := range fields {
		if len(f) > MaxField {
			return Segment{}, &Error{"CPIS-H006", fields[0] + "-" + strconv.Itoa(i), fmt.Sprintf("%d bytes, at most %d", len(f), MaxField)}
		}
		if n := strings.Count(f, string(m.Separators.Repetition)); n >= MaxRepeats && fields[0] != "MSH" {
			return Segment{}, &Error{"CPIS-H006", fields[0] + "-" + strconv.Itoa(i), fmt.Sprintf("%d repetitions, at most %d", n+1, MaxRepeats)}
		}
	}
	return Segment{fields}, nil
}

// segmentName reports whether a line begins as a segment does: a letter and
// two letters or digits. A line that does not is most often the rest of a field
// that holds a line end, whose own segment has lost what stood behind it.
func segmentName(s string) bool {
	if len(s) != 3 || s[0] < 'A' || s[0] > 'Z' {
		return false
	}
	return strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789") == ""
}

// Segment finds the first segment of a name.
func (m *Message) Segment(name string) (Segment, bool) {
	for _, s := range m.Segments {
		if s.Name() == name {
			return s, true
		}
	}
	return Segment{}, false
}

// Count is how often a segment occurs.
func (m *Message) Count(name string) int {
	n := 0
	for _, s := range m.Segments {
		if s.Name() == name {
			n++
		}
	}
	return n
}

// Field is a field of the first segment of a name; empty where there is none.
func (m *Message) Field(segment string, n int) Field {
	s, ok := m.Segment(segment)
	if !ok || n >= len(s.Fields) {
		return Field{sep: m.Separators}
	}
	return Field{s.Fields[n], m.Separators}
}

// Value gives a leaf by its path, "PID-5.1" or "MSH-10": the first repetition,
// with escapes resolved and blanks trimmed. Null and absent are both empty.
func (m *Message) Value(path string) string {
	segment, position, ok := strings.Cut(path, "-")
	if !ok {
		return ""
	}
	number, component, _ := strings.Cut(position, ".")
	n, err := strconv.Atoi(number)
	if err != nil {
		return ""
	}
	f := m.Field(segment, n)
	if segment == "MSH" && n <= 2 {
		return f.raw
	}
	c := 1
	if component != "" {
		if c, err = strconv.Atoi(component); err != nil {
			return ""
		}
	}
	return f.First().Component(c)
}

// Field is one field as sent.
type Field struct {
	raw string
	sep Separators
}

// Raw is the field as sent, separators and escapes in it.
func (f Field) Raw() string { return f.raw }

// Null reports whether the sender says that there is no value.
func (f Field) Null() bool { return f.raw == Null }

// Repetitions splits the field; an empty field has none.
func (f Field) Repetitions() []Repetition {
	if f.raw == "" || f.raw == Null {
		return nil
	}
	parts := strings.Split(f.raw, string(f.sep.Repetition))
	out := make([]Repetition, len(parts))
	for i, p := range parts {
		out[i] = Repetition{p, f.sep}
	}
	return out
}

// First is the first repetition.
func (f Field) First() Repetition {
	if i := strings.IndexByte(f.raw, f.sep.Repetition); i >= 0 {
		return Repetition{f.raw[:i], f.sep}
	}
	return Repetition(f)
}

// Repetition is one repetition of a field.
type Repetition struct {
	raw string
	sep Separators
}

// Component gives the n-th component, counted from 1, joined over its
// subcomponents, with escapes resolved and blanks trimmed. Null is empty.
func (r Repetition) Component(n int) string {
	rest := r.raw
	for ; n > 1; n-- {
		i := strings.IndexByte(rest, r.sep.Component)
		if i < 0 {
			return ""
		}
		rest = rest[i+1:]
	}
	if i := strings.IndexByte(rest, r.sep.Component); i >= 0 {
		rest = rest[:i]
	}
	if rest == Null {
		return ""
	}
	return strings.TrimSpace(unescape(rest, r.sep))
}

// RawComponent gives the n-th component as sent, escapes in it.
func (r Repetition) RawComponent(n int) string {
	parts := strings.Split(r.raw, string(r.sep.Component))
	if n > len(parts) {
		return ""
	}
	return parts[n-1]
}

// Subcomponent gives the n-th subcomponent of the component c, both counted
// from 1.
func (r Repetition) Subcomponent(c, n int) string {
	parts := strings.Split(r.raw, string(r.sep.Component))
	if c > len(parts) {
		return ""
	}
	parts = strings.Split(parts[c-1], string(r.sep.Subcomponent))
	if n > len(parts) || parts[n-1] == Null {
		return ""
	}
	return strings.TrimSpace(unescape(parts[n-1], r.sep))
}
