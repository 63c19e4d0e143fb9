package router

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"cpis/router/topics"
	"cpis/schemas"
)

// Ledger proves, from the topics alone, that nothing was lost: what was taken
// has been acknowledged, decided, audited and delivered. It keeps no books of
// its own that could be wrong.
type Ledger struct {
	Client *topics.Client
	Codec  *schemas.Codec
	// DeliverGroup is the consumer group whose committed offsets say which
	// outcomes have been delivered.
	DeliverGroup string
}

// Line is the account of one setting in one hour. All counts are of distinct
// messages; Repeats counts copies of a message that stand on the topic more
// than once because its sender sent again before it had an answer.
type Line struct {
	Feed    string              `json:"feed"`
	ODS     schemas.ODSCode     `json:"ods"`
	Setting schemas.CareSetting `json:"setting"`
	Hour    time.Time           `json:"hour"`

	Received     int `json:"received"`     // taken or refused with an answer
	Refused      int `json:"refused"`      // answered no, and quarantined
	Acknowledged int `json:"acknowledged"` // answered yes: committed before the answer
	NoCheck      int `json:"no_check"`     // acknowledged, of a kind that asks nothing
	Decided      int `json:"decided"`
	Audited      int `json:"audited"`
	Delivered    int `json:"delivered"`
	SetAside     int `json:"set_aside"` // acknowledged, then unreadable: in the dead letters
	Repeats      int `json:"repeats"`

	Missing []Missing `json:"missing,omitempty"`
}

// Missing names a message that the ledger cannot account for.
type Missing struct {
	ControlID string `json:"control_id"`
	EventID   string `json:"event_id"`
	What      string `json:"what"` // undecided, unaudited, undelivered, unanswered or not received
}

// Balanced reports whether everything acknowledged is accounted for.
func (l Line) Balanced() bool { return len(l.Missing) == 0 }

type ledgerEntry struct {
	line      *Line
	control   string
	checked   bool
	final     bool
	told      bool // provisional answer only
	audited   bool
	delivered bool
}

// Read makes up the account of everything taken from since on. acknowledged
// may name control ids that a sender says were acknowledged; any that no topic
// knows is missing.
func (l *Ledger) Read(ctx context.Context, since time.Time, acknowledged []string) ([]Line, error) {
	b := &books{lines: map[string]*Line{}, events: map[string]*ledgerEntry{}, controls: map[string]bool{}, aside: map[string]bool{}}
	for _, step := range []func(context.Context, time.Time, *books) error{l.deadLetters, l.registrations, l.audits, l.outcomes} {
		if err := step(ctx, since, b); err != nil {
			return nil, fmt.Errorf("read ledger: %w", err)
		}
	}
	return b.close(acknowledged), nil
}

type books struct {
	lines    map[string]*Line
	events   map[string]*ledgerEntry
	controls map[string]bool
	aside    map[string]bool // "topic/partition/offset" of dead letters
}

func (b *books) line(feed string, ods schemas.ODSCode, setting schemas.CareSetting, at time.Time) *Line {
	hour := at.UTC().Truncate(time.Hour)
	key := fmt.Sprintf("%s|%s|%s|%d", feed, ods, setting, hour.Unix())
	if b.lines[key] == nil {
		b.lines[key] = &Line{Feed: feed, ODS: ods, Setting: setting, Hour: hour}
	}
	return b.lines[key]
}

func (l *Ledger) registrations(ctx context.Context, since time.Time, b *books) error {
	return ReadSince(ctx, l.Client, schemas.TopicRegistration, since, func(r topics.Record) error {
		var reg schemas.Registration
		if err := l.Codec.Decode(ctx, schemas.TopicRegistration, r.Value, &reg); err != nil {
			line := b.line("unreadable", "", "", r.Time)
			line.Received++
			line.Acknowledged++
			if b.aside[place(r.Topic, r.Partition, r.Offset)] {
				line.SetAside++
			} else {
				line.Missing = append(line.Missing, Missing{What: "undecided", EventID: headersOf(r)["ce_id"]})
			}
			return nil
		}
		b.controls[reg.ControlID] = true
		if reg.Part > 0 { // of a message that is counted already
			return nil
		}
		if e := b.events[reg.EventID]; e != nil {
			e.line.Repeats++
			return nil
		}
		line := b.line(reg.Feed, reg.ODS, reg.Setting, reg.AcceptedAt)
		e := &ledgerEntry{line: line, control: reg.ControlID, checked: reg.Class.Checked()}
		b.events[reg.EventID] = e
		line.Received++
		line.Acknowledged++
		if !e.checked {
			line.NoCheck++
		} else if b.aside[place(r.Topic, r.Partition, r.Offset)] {
			line.SetAside++
			e.checked = false
		}
		return nil
	})
}

func (l *Ledger) audits(ctx context.Context, since time.Time, b *books) error {
	return ReadSince(ctx, l.Client, schemas.TopicAudit, since, func(r topics.Record) error {
		var a schemas.Audit
		if err := l.Codec.Decode(ctx, schemas.TopicAudit, r.Value, &a); err != nil {
			return err
		}
		if e := b.events[a.EventID]; e != nil && a.Kind == schemas.AuditDecision && a.State != schemas.StateCheckFailed {
			e.audited = true
		}
		return nil
	})
}

func (l *Ledger) outcomes(ctx context.Context, since time.Time, b *books) error {
	committed, err := l.Client.GroupOffsets(ctx, l.DeliverGroup, schemas.TopicOutcome)
	if err != nil {
		return err
	}
	return ReadSince(ctx, l.Client, schemas.TopicOutcome, since, func(r topics.Record) error {
		var o schemas.Outcome
		if err := l.Codec.Decode(ctx, schemas.TopicOutcome, r.Value, &o); err != nil {
			return err
		}
		e := b.events[o.EventID]
		switch {
		case e == nil:
		case o.State == schemas.StateCheckFailed:
			e.told = true
		default:
			e.final = true
			e.delivered = e.delivered || r.Offset < committed[r.Partition]
		}
		return nil
	})
}

func (l *Ledger) deadLetters(ctx context.Context, since time.Time, b *books) error {
	return ReadSince(ctx, l.Client, schemas.TopicDeadLetter, since, func(r topics.Record) error {
		h := headersOf(r)
		if h[headerAction] != "" || h[headerPart] != "" {
			return nil
		}
		if h[headerOrigin] != QuarantineOrigin {
			b.aside[place(schemas.Topic(h[headerOrigin]), int(h.int(headerPartition)), h.int(headerOffset))] = true
			return nil
		}
		var q schemas.Quarantine
		if err := l.Codec.Decode(ctx, schemas.TopicDeadLetter, r.Value, &q); err != nil {
			return err
		}
		if q.Origin == OriginMLLP {
			line := b.line(q.Feed, "", "", q.ReceivedAt)
			line.Received++
			line.Refused++
		}
		return nil
	})
}

// OriginMLLP and OriginSocialCare say which door quarantined bytes came to.
const (
	OriginMLLP       = "mllp"
	OriginSocialCare = "socialcare"
)

func place(t schemas.Topic, partition int, offset int64) string {
	return fmt.Sprintf("%s/%d/%d", t, partition, offset)
}

func (b *books) close(acknowledged []string) []Line {
	for id, e := range b.events {
		if !e.checked {
			continue
		}
		missing := func(what string) {
			e.line.Missing = append(e.line.Missing, Missing{ControlID: e.control, EventID: id, What: what})
		}
		if e.audited {
			e.line.Audited++
		}
		if e.final {
			e.line.Decided++
		}
		if e.delivered {
			e.line.Delivered++
		}
		switch {
		case e.told && !e.final:
			missing("unanswered") // CHECK_FAILED so far
		case !e.final:
			missing("undecided")
		case !e.audited:
			missing("unaudited")
		case !e.delivered:
			missing("undelivered")
		}
	}
	for _, id := range acknowledged {
		if !b.controls[id] {
			line := b.line("not received", "", "", time.Time{})
			line.Missing = append(line.Missing, Missing{ControlID: id, What: "not received"})
		}
	}
	var out []Line
	for _, l := range b.lines {
		slices.SortFunc(l.Missing, func(a, b Missing) int { return strings.Compare(a.ControlID+a.EventID, b.ControlID+b.EventID) })
		out = append(out, *l)
	}
	slices.SortFunc(out, func(a, b Line) int {
		if c := a.Hour.Compare(b.Hour); c != 0 {
			return c
		}
		return strings.Compare(a.Feed, b.Feed)
	})
	return out
}
