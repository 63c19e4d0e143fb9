package router

import (
	"context"
	"errors"
	"fmt"
	"slices"
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
	// Each, if set before Follow, is told of every answer of the last days, and where it
	// stands.
	Each func(o schemas.Outcome, partition int, offset int64)

	mu      sync.Mutex
	answers map[string]schemas.Outcome // by outcome id, details sealed; guarded by mu
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
	if err := v.Codec.Decode(ctx, schemas.TopicOutcome, r.Value, &o); err != nil {
		return
	}
	if v.Each != nil {
		v.Each(o, r.Partition, r.Offset)
	}
	if !o.State.Matched() {
		return
	}
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

// errUnread means that answers are still being read.
var errUnread = errors.New("answers are still being read")

func (v *Views) read() error {
	select {
	case <-v.known:
		return nil
	default:
		return errUnread
	}
}

// Find gives an answer that shows a plan, its details sealed; ErrNoAnswer where there is
// none.
func (v *Views) Find(outcomeID string) (schemas.Outcome, error) {
	if err := v.read(); err != nil {
		return schemas.Outcome{}, err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if o, ok := v.answers[outcomeID]; ok {
		return o, nil
	}
	return schemas.Outcome{}, ErrNoAnswer
}

// Of lists the answers about somebody that show a plan, the newest first.
func (v *Views) Of(n schemas.NHSNumber) ([]schemas.Outcome, error) {
	if err := v.read(); err != nil {
		return nil, err
	}
	refs := append(v.Keys.FormerRefs(n), v.Keys.SubjectRef(n))
	v.mu.Lock()
	defer v.mu.Unlock()
	var out []schemas.Outcome
	for _, id := range v.order {
		if o := v.answers[id]; slices.Contains(refs, o.SubjectRef) {
			out = append(out, o)
		}
	}
	slices.Reverse(out)
	return out, nil
}

// View is that somebody opened the details of an answer.
type View struct {
	Who          schemas.Access
	Organisation string    // of whoever looked; empty where it is the care setting's own word
	At           time.Time // zero for now; the same person and moment are one record
	Silent       bool      // not in the history that is shown, and told to nobody
	Glass        bool      // the answer was another organisation's
}

// Note puts on record who opened an answer, and when. covers says whether whoever
// tells it speaks for the care setting of the answer. nil means durable.
func (v *Views) Note(ctx context.Context, outcomeID string, covers func(schemas.ODSCode) bool, view View) error {
	o, err := v.Find(outcomeID)
	if errors.Is(err, ErrNoAnswer) {
		return err
	}
	if err != nil {
		return fmt.Errorf("note view: %w", err)
	}
	now := v.Now().UTC().Truncate(time.Millisecond)
	at := view.At
	if at.IsZero() {
		at = now
	}
	at = at.UTC().Truncate(time.Millisecond)
	if !covers(o.ODS) || at.Before(o.DecidedAt.Add(-skew)) || at.After(now.Add(skew)) {
		return ErrNoAnswer
	}
	o.SealedDetails = nil
	a := auditOf(o, v.Keys.ID("view", outcomeID, view.Who.WorkerID, view.Who.WorkerName, at.Format(time.RFC3339Nano)))
	a.Kind, a.At, a.Role, a.Authorities, a.Organisation = schemas.AuditView, at, view.Who.RoleCode(), []string{}, view.Organisation
	if view.Silent {
		a.Silent, a.Stream = true, schemas.StreamGovernance
	}
	if view.Glass {
		a.Action = schemas.ActionGlassBroken
	}
	if a.SealedActor, err = v.Keys.SealAccess(schemas.TopicAudit, "", a.AuditID, view.Who); err != nil {
		return err
	}
	r, err := v.auditRecord(string(o.SubjectRef), o.EventID, a)
	if err != nil {
		return err
	}
	if err := v.Log.Produce(ctx, r); err != nil {
		return fmt.Errorf("note view: %w", err)
	}
	return nil
}
