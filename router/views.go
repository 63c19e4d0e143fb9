package router

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"cpis/router/topics"
	"cpis/schemas"
)

// skew is how far the clocks of two machines may differ.
const skew = 2 * time.Minute

// viewable is how long an answer can be noted as opened.
const viewable = 72 * time.Hour

// Views notes that the details of answers were opened. It knows the answers of the
// last days that show a plan, and nobody else's. Safe for concurrent use.
type Views struct {
	*Publisher
	Keys *schemas.Keyring

	mu      sync.Mutex
	answers map[string]schemas.Outcome // by outcome id, without details; guarded by mu
	order   []string                   // of their times; guarded by mu
	known   chan struct{}              // closed when what is there was read
	once    sync.Once
}

// NewViews makes one; Follow fills it.
func NewViews(p *Publisher, k *schemas.Keyring) *Views {
	return &Views{Publisher: p, Keys: k, answers: map[string]schemas.Outcome{}, known: make(chan struct{})}
}

// Follow reads the outcome topic until ctx ends.
func (v *Views) Follow(ctx context.Context, c *topics.Client) error {
	return Follow(ctx, c, schemas.TopicOutcome, v.Now().Add(-viewable), func(r topics.Record) { v.take(ctx, r) }, func() { v.once.Do(func() { close(v.known) }) })
}

func (v *Views) take(ctx context.Context, r topics.Record) {
	var o schemas.Outcome
	if err := v.Codec.Decode(ctx, schemas.TopicOutcome, r.Value, &o); err != nil || !o.State.Matched() {
		return
	}
	o.SealedDetails = nil
	v.mu.Lock()
	defer v.mu.Unlock()
	if _, held := v.answers[o.OutcomeID]; !held {
		v.order = append(v.order, o.OutcomeID)
	}
	v.answers[o.OutcomeID] = o
	for len(v.order) > 0 && v.Now().Sub(v.answers[v.order[0]].DecidedAt) > viewable {
		delete(v.answers, v.order[0])
		v.order = v.order[1:]
	}
}

// ErrNoAnswer means that there is no such answer to open.
var ErrNoAnswer = errors.New("no such answer")

// Note puts on record who opened an answer, and when. covers says whether whoever
// tells it speaks for the care setting of the answer. at is the moment it happened,
// zero for now; the same person and moment are one record. nil means durable.
func (v *Views) Note(ctx context.Context, outcomeID string, covers func(schemas.ODSCode) bool, who schemas.Access, at time.Time) error {
	select {
	case <-v.known:
	default:
		return errors.New("note view: answers are still being read")
	}
	v.mu.Lock()
	o, ok := v.answers[outcomeID]
	v.mu.Unlock()
	now := v.Now().UTC().Truncate(time.Millisecond)
	if at.IsZero() {
		at = now
	}
	at = at.UTC().Truncate(time.Millisecond)
	if !ok || !covers(o.ODS) || at.Before(o.DecidedAt.Add(-skew)) || at.After(now.Add(skew)) {
		return ErrNoAnswer
	}
	a := auditOf(o, v.Keys.ID("view", outcomeID, who.WorkerID, who.WorkerName, at.Format(time.RFC3339Nano)))
	a.Kind, a.At, a.Role, a.Authorities = schemas.AuditView, at, who.WorkerRole, []string{}
	var err error
	if a.SealedActor, err = v.Keys.SealAccess(schemas.TopicAudit, "", a.AuditID, who); err != nil {
		return err
	}
	r, err := v.record(schemas.TopicAudit, string(o.SubjectRef), a.AuditID, o.EventID, a)
	if err != nil {
		return err
	}
	if err := v.Log.Produce(ctx, r); err != nil {
		return fmt.Errorf("note view: %w", err)
	}
	return nil
}
