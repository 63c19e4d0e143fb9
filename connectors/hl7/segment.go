package hl7

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Segment is one line of a message.
type Segment struct {
	m            *Message
	name         string
	start        int32 // of the line in the message's text
	first, count int32 // of its fields in the message's ends
}

// Name is the segment's three letters.
func (s Segment) Name() string { return s.name }

// Present reports whether the message has the segment.
func (s Segment) Present() bool { return s.m != nil }

// Raw is the line as text.
func (s Segment) Raw() string {
	if s.m == nil {
		return ""
	}
	return s.m.text[s.start:s.m.ends[s.first+s.count-1]]
}

// Between is the raw text from one field to another, with the separators
// between them. In MSH, first is 2 or more.
func (s Segment) Between(first, last int) string {
	if s.name == "MSH" {
		first, last = first-1, last-1
	}
	last = min(last, int(s.count)-1)
	if s.m == nil || first < 1 || first > last {
		return ""
	}
	return s.m.text[s.m.ends[s.first+int32(first)-1]+1 : s.m.ends[s.first+int32(last)]]
}

// Fields is the number of the last field that was sent.
func (s Segment) Fields() int {
	switch s.name {
	case "":
		return 0
	case "MSH":
		return int(s.count)
	}
	return int(s.count) - 1
}

// Field is the n-th field, counted as the standard counts; empty where it was
// not sent. In MSH the first field is the separator itself.
func (s Segment) Field(n int) Field {
	if s.m == nil || n < 1 {
		return Field{}
	}
	if s.name == "MSH" {
		if n == 1 {
			return Field{string(s.m.Separators.Field), &s.m.Separators}
		}
		n--
	}
	return Field{s.part(int32(n)), &s.m.Separators}
}

// part is the n-th part of the line between separators; the first, the name,
// is part 0.
func (s Segment) part(n int32) string {
	if n >= s.count {
		return ""
	}
	from := s.start
	if n > 0 {
		from = s.m.ends[s.first+n-1] + 1
	}
	return s.m.text[from:s.m.ends[s.first+n]]
}

func (s Segment) limits() error {
	repetition := string(s.m.Separators.Repetition)
	for i := range s.count {
		f := s.part(i)
		if len(f) < MaxRepeats {
			continue
		}
		at := s.name + "-" + strconv.Itoa(int(i))
		if len(f) > MaxField {
			return &Error{"CPIS-H006", at, fmt.Sprintf("%d bytes, at most %d", len(f), MaxField)}
		}
		if n := strings.Count(f, repetition); n >= MaxRepeats && s.name != "MSH" {
			return &Error{"CPIS-H006", at, fmt.Sprintf("%d repetitions, at most %d", n+1, MaxRepeats)}
		}
	}
	return nil
}

// Field is one field as sent. It is in one of three states: with a value, Null,
// or empty.
type Field struct {
	raw string
	sep *Separators // the message's; may be nil where raw is empty
}

// Raw is the field as sent, separators and escapes in it.
func (f Field) Raw() string { return f.raw }

// Null reports whether the sender says that there is no value.
func (f Field) Null() bool { return f.raw == Null }

// Repetitions splits the field; an empty field has none. A repetition that is
// empty keeps its place.
func (f Field) Repetitions() []Repetition { return slices.Collect(f.Each) }

// Each goes through the repetitions, as Repetitions lists them.
func (f Field) Each(yield func(Repetition) bool) {
	if f.raw == "" || f.raw == Null {
		return
	}
	for rest := f.raw; ; {
		i := strings.IndexByte(rest, f.sep.Repetition)
		if i < 0 {
			yield(Repetition{rest, f.sep})
			return
		}
		if !yield(Repetition{rest[:i], f.sep}) {
			return
		}
		rest = rest[i+1:]
	}
}

// First is the first repetition.
func (f Field) First() Repetition {
	if f.raw == "" {
		return Repetition{}
	}
	if i := strings.IndexByte(f.raw, f.sep.Repetition); i >= 0 {
		return Repetition{f.raw[:i], f.sep}
	}
	return Repetition(f)
}

// Text is the first component of the first repetition, with escapes resolved
// and blanks trimmed: the whole of a simple field.
func (f Field) Text() string {
	raw := f.raw
	for i := range len(raw) {
		if c := raw[i]; c == f.sep.Component || c == f.sep.Repetition {
			raw = raw[:i]
			break
		}
	}
	return leaf(raw, f.sep)
}

// Repetition is one repetition of a field.
type Repetition struct {
	raw string
	sep *Separators // may be nil where raw is empty
}

// Raw is the repetition as sent.
func (r Repetition) Raw() string { return r.raw }

// RawComponent gives the n-th component, counted from 1, as sent.
func (r Repetition) RawComponent(n int) string {
	if r.raw == "" {
		return ""
	}
	return nth(r.raw, r.sep.Component, n)
}

// Component gives the n-th component, counted from 1, joined over its
// subcomponents, with escapes resolved and blanks trimmed. Null is empty.
//
// Joined, because many senders write "HEALTH & WELLNESS" without an escape: a
// stray subcomponent mark is text.
func (r Repetition) Component(n int) string { return leaf(r.RawComponent(n), r.sep) }

// Components fills into with the first components, each as Component gives it,
// in one pass.
func (r Repetition) Components(into []string) {
	rest := r.raw
	if rest == "" {
		clear(into)
		return
	}
	for i := range into {
		end := strings.IndexByte(rest, r.sep.Component)
		if end < 0 {
			into[i] = leaf(rest, r.sep)
			clear(into[i+1:])
			return
		}
		into[i] = leaf(rest[:end], r.sep)
		rest = rest[end+1:]
	}
}

// Subcomponent gives the n-th subcomponent of the component c, both counted
// from 1.
func (r Repetition) Subcomponent(c, n int) string {
	raw := r.RawComponent(c)
	if raw == "" {
		return ""
	}
	return leaf(nth(raw, r.sep.Subcomponent, n), r.sep)
}

func nth(text string, sep byte, n int) string {
	for ; n > 1; n-- {
		i := strings.IndexByte(text, sep)
		if i < 0 {
			return ""
		}
		text = text[i+1:]
	}
	if i := strings.IndexByte(text, sep); i >= 0 {
		return text[:i]
	}
	return text
}

func leaf(raw string, sep *Separators) string {
	if raw == "" || raw == Null {
		return ""
	}
	if raw[0] > ' ' && raw[len(raw)-1] > ' ' && strings.IndexByte(raw, sep.Escape) < 0 {
		return raw // nearly always
	}
	return strings.TrimSpace(unescape(raw, sep))
}
