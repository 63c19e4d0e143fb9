package router

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"
	"time"

	"cpis/router/topics"
	"cpis/schemas"
)

const (
	// rememberFor is how long the intake knows what it took: as long as the
	// registration topic keeps it.
	rememberFor = 24 * time.Hour
	// rememberMost bounds the memory of it, some 150 bytes a message. Beyond
	// it the oldest are forgotten; a copy of one of those is taken again, and
	// the matcher tells that it is a copy.
	rememberMost = 1_000_000
	// receiptsPause gathers what other processes take into fewer reads.
	receiptsPause = 200 * time.Millisecond
)

// Headers of a registration that the intake reads back. They are keyed hashes.
const (
	headerControl  = "cpis_control"  // sender and control id
	headerQuestion = "cpis_question" // visit, number, its standing and the class
)

// Receipts knows which messages of the last day were taken, by any process: it
// reads the registration topic, which is therefore the one store of it, and
// follows it. It tells copies of a message, control ids used again, and whether
// a visit has asked its question before. Safe for concurrent use.
type Receipts struct {
	ready chan struct{}
	now   func() time.Time

	mu        sync.Mutex
	events    map[ref128]int64         // when each was taken, in ms; guarded by mu
	controls  map[ref128]ref128        // the newest event of each control id; guarded by mu
	questions map[ref128]int64         // when each was last asked, in ms; guarded by mu
	order     []receipt                // oldest first; guarded by mu
	hands     map[string]chan struct{} // events being taken now; guarded by mu
}

// ref128 is a keyed hash; zero where there is none.
type ref128 [16]byte

func ref(text string) (r ref128) {
	if n, err := hex.Decode(r[:], []byte(text)); err != nil || n != len(r) {
		return ref128{}
	}
	return r
}

type receipt struct {
	at                       int64
	event, control, question ref128
}

// NewReceipts prepares an empty memory; Follow fills it.
func NewReceipts(now func() time.Time) *Receipts {
	return &Receipts{ready: make(chan struct{}), now: now, events: map[ref128]int64{}, controls: map[ref128]ref128{},
		questions: map[ref128]int64{}, hands: map[string]chan struct{}{}}
}

// Ready is closed once everything that was on the topic when Follow began is
// known.
func (r *Receipts) Ready() <-chan struct{} { return r.ready }

// Follow reads the registration topic from a day ago, and goes on reading what
// is added, until ctx ends. Any other return is an error, after which it may be
// called again.
func (r *Receipts) Follow(ctx context.Context, c *topics.Client) error {
	next, err := c.OffsetsAt(ctx, schemas.TopicRegistration, r.now().Add(-rememberFor))
	if err != nil {
		return fmt.Errorf("read receipts: %w", err)
	}
	ends, err := c.Ends(ctx, schemas.TopicRegistration)
	if err != nil {
		return fmt.Errorf("read receipts: %w", err)
	}
	for p, end := range ends { // more would be forgotten while it is read
		next[p] = max(next[p], end-int64(rememberMost/len(ends)))
	}
	known := false
	for {
		ends, err := c.Ends(ctx, schemas.TopicRegistration)
		if err != nil {
			return fmt.Errorf("read receipts: %w", err)
		}
		for p, end := range ends {
			if next[p] >= end {
				continue
			}
			err := c.ReadFrom(ctx, schemas.TopicRegistration, p, next[p], end, r.read)
			var gap *topics.GapError
			switch {
			case errors.As(err, &gap) && gap.LogStart > next[p]: // what has expired need not be known
				next[p] = gap.LogStart
			case err != nil:
				return fmt.Errorf("read receipts: %w", err)
			default:
				next[p] = end
			}
		}
		if !known {
			known = true
			select {
			case <-r.ready:
			default:
				close(r.ready)
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(receiptsPause):
		}
	}
}

func (r *Receipts) read(batch []topics.Record) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, rec := range batch {
		h := headersOf(rec)
		r.add(receipt{rec.Time.UnixMilli(), ref(h["ce_id"]), ref(h[headerControl]), ref(h[headerQuestion])})
	}
	return nil
}

func (r *Receipts) note(n receipt) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.add(n)
}

// add notes a message that was taken. The caller holds mu.
func (r *Receipts) add(n receipt) {
	if _, known := r.events[n.event]; known || n.event == (ref128{}) {
		return
	}
	r.events[n.event] = n.at
	if n.control != (ref128{}) {
		r.controls[n.control] = n.event
	}
	if n.question != (ref128{}) {
		r.questions[n.question] = max(n.at, r.questions[n.question])
	}
	r.order = append(r.order, n)
	oldest := r.now().Add(-rememberFor).UnixMilli()
	for len(r.order) > rememberMost || len(r.order) > 0 && r.order[0].at < oldest {
		old := r.order[0]
		r.order = r.order[1:]
		delete(r.events, old.event)
		if r.controls[old.control] == old.event {
			delete(r.controls, old.control)
		}
		if r.questions[old.question] <= old.at {
			delete(r.questions, old.question)
		}
	}
}

// taken says when an event was taken, if it was.
func (r *Receipts) taken(event string) (time.Time, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	at, ok := r.events[ref(event)]
	return time.UnixMilli(at).UTC(), ok
}

// reused reports whether a control id belongs to another event.
func (r *Receipts) reused(control, event string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	held, ok := r.controls[ref(control)]
	return ok && held != ref(event)
}

// asked reports whether a question was asked.
func (r *Receipts) asked(question string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, ok := r.questions[ref(question)]
	return ok
}

// begin waits while a copy of the event is in hand, and takes it in hand. The
// caller calls release when it is done.
func (r *Receipts) begin(ctx context.Context, event string) (release func(), err error) {
	for {
		r.mu.Lock()
		other := r.hands[event]
		if other == nil {
			done := make(chan struct{})
			r.hands[event] = done
			r.mu.Unlock()
			return func() {
				r.mu.Lock()
				delete(r.hands, event)
				r.mu.Unlock()
				close(done)
			}, nil
		}
		r.mu.Unlock()
		select {
		case <-other:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}
