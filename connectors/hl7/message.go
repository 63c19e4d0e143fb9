// Package hl7 reads and writes the messages in which hospitals say that a
// person has registered: HL7 version 2 in its vertical-bar encoding (ER7). It
// does no input or output and knows nothing of the rest of the broker.
//
// A message is segments, each on a line; a segment is fields between "|"; a
// field is repetitions between "~", of components between "^", of subcomponents
// between "&". The separators come from the message's own MSH segment.
//
//	MSH|^~\&|PAS|RXX|…              segment MSH: MSH-1 is "|", MSH-2 "^~\&", MSH-3 "PAS"
//	PID|1||999…^^^NHS^NH~H1^^^RXX   PID-3 repeats; PID-3.4 of the first is "NHS"
//
// Senders are forgiven what harms nobody: other line ends, missing trailing
// fields, fields beyond the version, unknown segments, any order. What could
// make one person of two is refused.
//
// Parse copies the bytes once and notes where the fields end; values are cut
// out of that text when they are asked for.
package hl7

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/bits"
	"strconv"
	"strings"
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
// Truncation, the fifth, exists from version 2.7 on.
type Separators struct {
	Field, Component, Repetition, Escape, Subcomponent, Truncation byte
}

func defaultSeparators() Separators { return Separators{'|', '^', '~', '\\', '&', '#'} }

// Message is a parsed message. It is read-only and safe for concurrent use.
type Message struct {
	Separators Separators
	Charset    Charset
	LowerCase  bool // a segment name was in small letters

	header   []byte // the MSH line, as received
	text     string // the message as text
	segments []Segment
	ends     []int32 // where each field of each segment ends in text
}

// Options are what a sender's profile knows of its messages.
type Options struct {
	// Charset is the character set where MSH-18 is empty, as MSH-18 would name
	// it. Default UTF-8, and Windows-1252 where the bytes are no UTF-8.
	Charset string
}

// Parse reads one message. Errors are *Error.
func Parse(raw []byte) (*Message, error) { return ParseWith(raw, Options{}) }

// ParseWith reads one message of a known sender. The message keeps its header
// line as received, so raw must not be changed while it is in use.
func ParseWith(raw []byte, o Options) (*Message, error) {
	if len(raw) > MaxMessage {
		return nil, &Error{"CPIS-H003", "MSH", fmt.Sprintf("%d bytes, at most %d", len(raw), MaxMessage)}
	}
	body := trimStart(raw)
	if !bytes.HasPrefix(body, []byte("MSH")) {
		return nil, noMessage(raw)
	}
	m := &Message{header: firstLine(body)}
	var err error
	if m.Separators, err = separators(m.header[3:]); err != nil {
		return nil, err
	}
	m.text, m.Charset = decode(body, len(body) < len(raw) && bytes.Contains(raw[:len(raw)-len(body)], []byte(byteOrderMark)), m.RawField(18), o.Charset, m.Separators)
	data := body
	if m.Charset.recoded {
		data = []byte(m.text)
	}
	return m, m.split(data)
}

// ParseHeader reads the MSH segment alone, of a message whose rest may not be
// readable.
func ParseHeader(raw []byte) (*Message, error) {
	head := firstLine(trimStart(raw))
	if len(head) > MaxField {
		return nil, &Error{"CPIS-H006", "MSH", "the header is too long"}
	}
	return Parse(head)
}

// noMessage says what bytes are that do not begin with MSH.
func noMessage(raw []byte) *Error {
	switch {
	case bytes.HasPrefix(trimStart(raw), []byte("<")):
		return &Error{"CPIS-H012", "MSH", "the message is XML"}
	case wide(raw):
		return &Error{"CPIS-H013", "MSH", "the message is in a double-byte encoding"}
	}
	return &Error{"CPIS-H001", "MSH", "the message does not begin with an MSH segment"}
}

// wide reports the marks of UTF-16: its byte-order mark, or a letter beside a
// zero byte.
func wide(raw []byte) bool {
	return bytes.HasPrefix(raw, []byte("\xff\xfe")) || bytes.HasPrefix(raw, []byte("\xfe\xff")) ||
		bytes.HasPrefix(raw, []byte("M\x00S\x00")) || bytes.HasPrefix(raw, []byte("\x00M\x00S"))
}

const (
	blanks        = " \t\r\n\x00"
	byteOrderMark = "\xef\xbb\xbf"
)

// trimStart drops what some senders put before MSH: blanks, line ends, a
// byte-order mark.
func trimStart(raw []byte) []byte {
	return bytes.TrimLeft(bytes.TrimPrefix(bytes.TrimLeft(raw, blanks), []byte(byteOrderMark)), blanks)
}

func firstLine(text []byte) []byte {
	for _, end := range []byte("\r\n") {
		if i := bytes.IndexByte(text, end); i >= 0 {
			text = text[:i]
		}
	}
	return text
}

// separators reads the delimiters from what follows the name of a header
// segment.
func separators(header []byte) (Separators, error) {
	s := defaultSeparators()
	if len(header) == 0 || !mark(header[0]) {
		return s, &Error{"CPIS-H002", "MSH-1", "no field separator"}
	}
	s.Field = header[0]
	declared, _, _ := bytes.Cut(header[1:], header[:1])
	if len(declared) == 0 || len(declared) > 5 {
		return s, &Error{"CPIS-H002", "MSH-2", "want one to five encoding characters"}
	}
	for i, to := range []*byte{&s.Component, &s.Repetition, &s.Escape, &s.Subcomponent, &s.Truncation} {
		if i < len(declared) {
			*to = declared[i]
		}
	}
	all := []byte{s.Field, s.Component, s.Repetition, s.Escape, s.Subcomponent}
	for i, b := range all {
		if !mark(b) || bytes.IndexByte(all[:i], b) >= 0 {
			return s, &Error{"CPIS-H002", "MSH-2", "the encoding characters are not distinct marks"}
		}
	}
	return s, nil
}

// mark reports whether a byte can separate: a visible ASCII sign that is
// neither a letter nor a digit.
func mark(b byte) bool {
	return b > ' ' && b < 0x7f && (b < '0' || b > '9') && (b < 'A' || b > 'Z') && (b < 'a' || b > 'z')
}

// split notes where the segments and their fields are: one pass over the
// bytes, eight at a time, which stops at separators and control codes only.
func (m *Message) split(data []byte) error {
	sep := m.Separators.Field
	pattern := ones * uint64(sep)
	m.segments = make([]Segment, 0, 12)
	ends := make([]int32, 0, 16+bytes.Count(data, []byte{sep}))
	start, first, field, longest := 0, 0, 0, 0 // of the line: where it begins, its first end, its field in hand, its longest
	for at := 0; at < len(data); at += 8 {
		var word uint64
		if at+8 <= len(data) {
			word = binary.LittleEndian.Uint64(data[at:])
		} else { // no stops behind the end
			tail := [8]byte{' ', ' ', ' ', ' ', ' ', ' ', ' ', ' '}
			copy(tail[:], data[at:])
			word = binary.LittleEndian.Uint64(tail[:])
		}
		for hits := stops(word, pattern); hits != 0; hits &= hits - 1 {
			i := at + bits.TrailingZeros64(hits)>>3
			b := data[i]
			if b != sep && b != '\r' && b != '\n' {
				continue
			}
			ends = append(ends, int32(i))
			longest = max(longest, i-field)
			field = i + 1
			if b != sep {
				m.ends = ends
				if err := m.close(start, first, longest); err != nil {
					return err
				}
				start, first, longest = i+1, len(ends), 0
			}
		}
	}
	m.ends = append(ends, int32(len(data)))
	return m.close(start, first, max(longest, len(data)-field))
}

const (
	ones = 0x0101010101010101
	low7 = 0x7f7f7f7f7f7f7f7f
)

// stops marks, by its high bit, each byte of a word that is the separator of
// the pattern or below a blank.
func stops(word, pattern uint64) uint64 {
	other := word ^ pattern                                   // zero where the byte is the separator
	rest := (other&low7 + low7) | other                       // high bit set where it is not
	return ^(rest & ((word&low7 + ones*0x60) | word)) &^ low7 // and where it is a blank or above
}

// close adds the segment whose fields are found; a blank line is none.
func (m *Message) close(start, first, longest int) error {
	s := Segment{m: m, start: int32(start), first: int32(first), count: int32(len(m.ends) - first)}
	sent := s.part(0)
	s.name = segmentName(sent)
	m.LowerCase = m.LowerCase || s.name != "" && sent[0] >= 'a'
	switch {
	case s.name == "" && s.count == 1 && strings.TrimSpace(sent) == "":
		return nil
	case len(m.segments) == MaxSegments:
		return &Error{"CPIS-H005", "MSH", fmt.Sprintf("more than %d segments", MaxSegments)}
	case s.name == "":
		return &Error{"CPIS-H008", "MSH", "a line begins with no segment name"}
	case s.name == "MSH" && len(m.segments) > 0:
		return &Error{"CPIS-H009", "MSH", "a second message begins in the same frame"}
	case longest >= MaxRepeats: // shorter fields exceed no limit
		if err := s.limits(); err != nil {
			return err
		}
	}
	m.segments = append(m.segments, s)
	return nil
}

// segmentName is the name a line begins with, in capitals: a letter and two
// letters or digits. A line that does not begin so is most often the rest of a
// field that holds a line end, whose own segment has lost what stood behind it.
func segmentName(s string) string {
	s = strings.TrimSpace(s)
	if len(s) != 3 || s[0] >= '0' && s[0] <= '9' {
		return ""
	}
	lower := false
	for i := range 3 {
		switch c := s[i]; {
		case c >= 'a' && c <= 'z':
			lower = true
		case (c < 'A' || c > 'Z') && (c < '0' || c > '9'):
			return ""
		}
	}
	if lower {
		return strings.ToUpper(s)
	}
	return s
}

// Segments lists the segments in the order they stand.
func (m *Message) Segments() []Segment { return m.segments }

// Segment finds the first segment of a name; where there is none, one without
// fields, which is not Present.
func (m *Message) Segment(name string) Segment {
	for _, s := range m.segments {
		if s.name == name {
			return s
		}
	}
	return Segment{}
}

// Count is how often a segment occurs.
func (m *Message) Count(name string) int {
	n := 0
	for _, s := range m.segments {
		if s.name == name {
			n++
		}
	}
	return n
}

// RawField is a field of MSH in the bytes it was sent in. Where a sender
// compares what comes back byte by byte, these come back.
func (m *Message) RawField(n int) []byte {
	rest := m.header
	for ; n > 1; n-- {
		i := bytes.IndexByte(rest, m.Separators.Field)
		if i < 0 {
			return nil
		}
		rest = rest[i+1:]
	}
	if i := bytes.IndexByte(rest, m.Separators.Field); i >= 0 {
		rest = rest[:i]
	}
	return rest
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
	f := m.Segment(segment).Field(n)
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
