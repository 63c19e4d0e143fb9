package router

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"cpis/router/topics"
	"cpis/schemas"
)

// openFor is how long after a registration a change of what it was answered
// from reaches it: as long as the registration is kept.
const openFor = rememberFor

// Headers of an outcome, by which it is found again without opening it.
const (
	headerEvent    = "cpis_event"    // the registration's event id
	headerAnswer   = "cpis_answer"   // keyed hash of what the answer says
	headerPosition = "cpis_position" // index position behind it
)

// episode is a registration that was answered from the index and may have to
// be answered anew.
type episode struct {
	offset   int64 // of its record
	accepted time.Time
	last     lastAnswer
}

// episodes are those of one partition, by the subject they are about. The lane
// adds to them; the follower of the indicators looks.
type episodes struct {
	mu        sync.Mutex
	bySubject map[string][]episode // guarded by mu
}

func newEpisodes() *episodes { return &episodes{bySubject: map[string][]episode{}} }

// answered notes a registration's newest answer. One that was not made from
// the index is not touched by its changes.
func (e *episodes) answered(subject string, offset int64, accepted time.Time, last lastAnswer) {
	if last.position < 0 {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	list := e.bySubject[subject]
	for i := range list {
		if list[i].offset == offset {
			list[i].last = last
			return
		}
	}
	e.bySubject[subject] = append(list, episode{offset, accepted, last})
}

// last finds the newest answer to a registration.
func (e *episodes) last(subject string, offset int64) (lastAnswer, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, ep := range e.bySubject[subject] {
		if ep.offset == offset {
			return ep.last, true
		}
	}
	return lastAnswer{}, false
}

// touched lists the registrations, by offset, to which a change of the subject
// is news, and forgets those that are closed.
func (e *episodes) touched(subject string, change int64, now time.Time) []int64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	var out []int64
	var kept []episode
	for _, ep := range e.bySubject[subject] {
		if now.Sub(ep.accepted) > openFor {
			continue
		}
		kept = append(kept, ep)
		if change >= ep.last.position {
			out = append(out, ep.offset)
		}
	}
	if len(kept) == 0 {
		delete(e.bySubject, subject)
	} else {
		e.bySubject[subject] = kept
	}
	return out
}

// oldest is the position from which changes may be news to any of them; false
// where there are none.
func (e *episodes) oldest() (int64, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	first, found := int64(0), false
	for _, list := range e.bySubject {
		for _, ep := range list {
			if !found || ep.last.position < first {
				first, found = ep.last.position, true
			}
		}
	}
	return first, found
}

// sweep forgets what is closed.
func (e *episodes) sweep(now time.Time) {
	e.mu.Lock()
	subjects := make([]string, 0, len(e.bySubject))
	for s := range e.bySubject {
		subjects = append(subjects, s)
	}
	e.mu.Unlock()
	for _, s := range subjects {
		e.touched(s, -1, now)
	}
}

// sweepEvery bounds how long closed episodes are kept in memory.
const sweepEvery = 10 * time.Minute

// follow watches the indicators and hands on each registration that a change
// touches, to be decided again. What changed while nobody watched is read
// first. It returns when ctx ends or something fails.
func (l *decideLane) follow(ctx context.Context, again func(topics.Record) error) error {
	ends, err := l.d.Client.Ends(ctx, schemas.TopicIndicator)
	if err != nil {
		return fmt.Errorf("follow indicators: %w", err)
	}
	next := ends[0]
	if from, ok := l.episodes.oldest(); ok {
		next = min(next, from)
	}
	swept := l.d.Now()
	for {
		b, err := l.d.Client.Fetch(ctx, schemas.TopicIndicator, 0, next, fetchWait, fetchBytes)
		var gap *topics.GapError
		switch {
		case errors.As(err, &gap) && gap.LogStart > next:
			next = gap.LogStart
			continue
		case err != nil:
			return fmt.Errorf("follow indicators: %w", err)
		}
		for _, r := range b.Records {
			parts := bytes.Split(r.Key, []byte("/"))
			if len(parts) != 3 {
				continue // the index complains of it
			}
			for _, offset := range l.episodes.touched(string(parts[1]), r.Offset, l.d.Now()) {
				reg, err := l.registration(ctx, offset)
				if err != nil {
					return err
				}
				if reg == nil {
					continue
				}
				if err := again(*reg); err != nil {
					return err
				}
			}
		}
		next = b.Next
		if now := l.d.Now(); now.Sub(swept) > sweepEvery {
			l.episodes.sweep(now)
			swept = now
		}
	}
}

// registration reads one record of the lane's partition; nil where it expired.
func (l *decideLane) registration(ctx context.Context, offset int64) (*topics.Record, error) {
	b, err := l.d.Client.Fetch(ctx, schemas.TopicRegistration, l.partition, offset, fetchWait, 1)
	var gap *topics.GapError
	switch {
	case errors.As(err, &gap):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("read registration again: %w", err)
	case len(b.Records) == 0 || b.Records[0].Offset != offset:
		return nil, nil
	}
	return &b.Records[0], nil
}

// answerHash is what an answer says, without when it was said. It needs a key:
// plans are few, and a reader of the topic could try them all.
func (d *Decide) answerHash(o *schemas.Outcome) string {
	parts := []string{"answer", string(o.State), string(o.Reason)}
	for _, p := range o.Details.Plans {
		parts = append(parts, string(p.Authority), string(p.PlanType), string(p.PlanStart), string(p.PlanEnd), string(p.ExpectedDate), p.RecordID)
	}
	return d.Keys.ID(parts...)
}

// lastAnswer is the newest answer to a registration.
type lastAnswer struct {
	outcome  string // its id
	hash     string // keyed, of what it says
	position int64  // of the index behind it: changes from here on are news; -1 where the index was not asked
}

func (d *Decide) lastAnswer(o *schemas.Outcome) lastAnswer {
	l := lastAnswer{o.OutcomeID, d.answerHash(o), o.Freshness.Position}
	if o.Freshness.Generation == "" {
		l.position = -1
	}
	return l
}

// answerHeaders are the headers of an outcome that is an answer.
func (d *Decide) answerHeaders(o *schemas.Outcome) []topics.Header {
	l := d.lastAnswer(o)
	return []topics.Header{
		{Key: headerEvent, Value: []byte(o.EventID)},
		{Key: headerAnswer, Value: []byte(l.hash)},
		{Key: headerPosition, Value: strconv.AppendInt(nil, l.position, 10)},
	}
}
