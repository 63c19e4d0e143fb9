package router

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
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

// episode is a registration that is being answered, or was and may have to be
// answered anew.
type episode struct {
	accepted time.Time
	names    []string // what it is found by
	last     lastAnswer
	pending  bool  // its first answer is under way
	missed   int64 // newest change that touched it meanwhile, -1 for none
}

// episodes are the open registrations of one partition, by offset, and by what
// they rest on. The lane adds to them; the follower of the indicators looks.
type episodes struct {
	mu     sync.Mutex
	open   map[int64]*episode            // guarded by mu
	byName map[string]map[int64]struct{} // guarded by mu
	due    []int64                       // answered, and a change was read meanwhile that the answer does not know; guarded by mu
	read   int64                         // changes before this offset were read; guarded by mu
}

func newEpisodes() *episodes {
	return &episodes{open: map[int64]*episode{}, byName: map[string]map[int64]struct{}{}}
}

// begin opens a registration before the index is read for it. A change that
// comes between that reading and the answer's being on record finds it so.
func (e *episodes) begin(names []string, offset int64, accepted time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.open[offset] == nil {
		e.put(offset, &episode{accepted: accepted, names: names, pending: true, missed: -1})
	}
}

// answered notes a registration's newest answer. One that was not made from
// the index is not touched by its changes.
func (e *episodes) answered(names []string, offset int64, accepted time.Time, last lastAnswer) {
	e.mu.Lock()
	defer e.mu.Unlock()
	missed := e.read - 1 // of one that was decided before it was opened here: any change that was read
	if ep := e.open[offset]; ep != nil {
		missed = ep.missed
		e.close(offset)
	}
	if last.position < 0 {
		return
	}
	e.put(offset, &episode{accepted: accepted, names: names, last: last, missed: -1})
	if missed >= last.position {
		e.due = append(e.due, offset)
	}
}

// start notes that the changes before an offset will only be read as far back as
// an open answer needs it. Those whose answer is under way may need it too.
func (e *episodes) start(end int64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.read = end
	for _, ep := range e.open {
		if ep.pending {
			ep.missed = max(ep.missed, end-1)
		}
	}
}

// reading notes that the change before an offset is about to be looked at.
func (e *episodes) reading(next int64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.read = max(e.read, next)
}

// takeDue takes those that have to be answered anew at once.
func (e *episodes) takeDue() []int64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	out := e.due
	e.due = nil
	return out
}

// put opens a registration. The caller holds mu.
func (e *episodes) put(offset int64, ep *episode) {
	e.open[offset] = ep
	for _, n := range ep.names {
		if e.byName[n] == nil {
			e.byName[n] = map[int64]struct{}{}
		}
		e.byName[n][offset] = struct{}{}
	}
}

// close forgets a registration. The caller holds mu.
func (e *episodes) close(offset int64) {
	ep := e.open[offset]
	if ep == nil {
		return
	}
	delete(e.open, offset)
	for _, n := range ep.names {
		delete(e.byName[n], offset)
		if len(e.byName[n]) == 0 {
			delete(e.byName, n)
		}
	}
}

// last finds the newest answer to a registration.
func (e *episodes) last(offset int64) (lastAnswer, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if ep := e.open[offset]; ep != nil && !ep.pending {
		return ep.last, true
	}
	return lastAnswer{}, false
}

// touched lists the registrations, by offset, to which a change is news that
// has these names.
func (e *episodes) touched(names []string, change int64) []int64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	var out []int64
	for _, n := range names {
		for offset := range e.byName[n] {
			switch ep := e.open[offset]; {
			case ep.pending && change != math.MaxInt64: // its answer will tell whether it knew
				ep.missed = max(ep.missed, change)
			case !ep.pending && change >= ep.last.position:
				out = append(out, offset)
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// before lists the registrations whose answer was given before a day.
func (e *episodes) before(day schemas.Date, place *time.Location) []int64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	var out []int64
	for offset, ep := range e.open {
		if !ep.pending && schemas.DateOf(ep.last.at, place) < day {
			out = append(out, offset)
		}
	}
	slices.Sort(out)
	return out
}

// oldest is the position from which changes may be news to any of them; false
// where there are none.
func (e *episodes) oldest() (int64, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	first, found := int64(0), false
	for _, ep := range e.open {
		if !ep.pending && (!found || ep.last.position < first) {
			first, found = ep.last.position, true
		}
	}
	return first, found
}

// sweep forgets what is closed.
func (e *episodes) sweep(now time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for offset, ep := range e.open {
		if now.Sub(ep.accepted) > openFor {
			e.close(offset)
		}
	}
}

// sweepEvery bounds how long closed episodes are kept in memory.
const sweepEvery = 10 * time.Minute

// follow watches the indicators and hands on each registration that a change
// touches, to be decided again. What changed while nobody watched is read
// first. When the day turns, a plan may begin or end that was shared long ago:
// then every open registration is decided again. It returns when ctx ends or
// something fails.
func (l *decideLane) follow(ctx context.Context, again func(topics.Record) error) error {
	ends, err := l.d.Client.Ends(ctx, schemas.TopicIndicator)
	if err != nil {
		return fmt.Errorf("follow indicators: %w", err)
	}
	next := ends[0]
	l.episodes.start(next) // before asking for the oldest: what is answered from here on knows of it
	if from, ok := l.episodes.oldest(); ok {
		next = min(next, from)
	}
	swept := l.d.Now()
	var day schemas.Date
	for {
		if today := schemas.DateOf(l.d.Now(), l.d.Place); today != day {
			if err := l.handOn(ctx, l.episodes.before(today, l.d.Place), again); err != nil {
				return err
			}
			day = today
		}
		if err := l.handOn(ctx, l.episodes.takeDue(), again); err != nil {
			return err
		}
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
			l.episodes.reading(r.Offset + 1)
			if err := l.handOn(ctx, l.episodes.touched(l.d.Decider.Touched(r.Key, r.Value), r.Offset), again); err != nil {
				return err
			}
		}
		next = b.Next
		if now := l.d.Now(); now.Sub(swept) > sweepEvery {
			l.episodes.sweep(now)
			swept = now
		}
	}
}

// handOn reads registrations and hands them on.
func (l *decideLane) handOn(ctx context.Context, offsets []int64, again func(topics.Record) error) error {
	for _, offset := range offsets {
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
	return nil
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
	at       time.Time
}

func (d *Decide) lastAnswer(o *schemas.Outcome) lastAnswer {
	l := lastAnswer{o.OutcomeID, d.answerHash(o), o.Freshness.Position, o.DecidedAt}
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
