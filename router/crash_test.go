package router

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"cpis/router/topics"
	"cpis/schemas"
)

// crash fails the first commit of a topic's records, as a process does that is
// killed between two commits or in the middle of one.
type crash struct {
	Appender
	topic schemas.Topic
	kept  string // which records of the failing commit are appended all the same: none, others, own, all

	mu   sync.Mutex
	down bool // guarded by mu
}

func (c *crash) Produce(ctx context.Context, records ...topics.Record) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.down {
		return errors.New("process is dead")
	}
	own := func(r topics.Record) bool { return r.Topic == c.topic }
	if !slices.ContainsFunc(records, own) {
		return c.Appender.Produce(ctx, records...)
	}
	c.down = true
	var kept []topics.Record
	for _, r := range records {
		if c.kept == "all" || c.kept == "own" && own(r) || c.kept == "others" && !own(r) {
			kept = append(kept, r)
		}
	}
	if len(kept) > 0 {
		_ = c.Appender.Produce(ctx, kept...)
	}
	return errors.New("process dies")
}

func (c *crash) dead() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.down
}

// TestACrashAnywhereGivesTheSameAnswers kills the stage at every commit it
// makes, before, after and while the records reach their topics. Meanwhile the
// plan is taken back and the other person gets one: what was decided before the
// crash must be told as it was.
func TestACrashAnywhereGivesTheSameAnswers(t *testing.T) {
	for _, topic := range []schemas.Topic{schemas.TopicAudit, schemas.TopicNotice, schemas.TopicOutcome} {
		for _, kept := range []string{"none", "others", "own", "all"} {
			t.Run(fmt.Sprintf("%s appended %s", topic, kept), func(t *testing.T) {
				b := newBench(t, 1)
				b.accept(registration(0), registration(1))
				d := &decider{}
				c := &crash{Appender: b.producer, topic: topic, kept: kept}
				b.decide(d, c, c.dead)
				told := map[string]schemas.State{}
				for _, a := range read[schemas.Audit](b, schemas.TopicAudit) {
					told[a.EventID] = a.State
				}
				for _, o := range read[schemas.Outcome](b, schemas.TopicOutcome) {
					told[o.EventID] = o.State
				}
				d.set(func(d *decider) { d.flip = true })
				b.decide(d, b.producer, b.outcomes(2))
				outcomes, audits := read[schemas.Outcome](b, schemas.TopicOutcome), read[schemas.Audit](b, schemas.TopicAudit)
				if len(outcomes) != 2 || len(audits) != 2 {
					t.Errorf("%d outcomes, %d audit records", len(outcomes), len(audits))
				}
				states := map[string]schemas.State{}
				for _, a := range audits {
					states[a.OutcomeID] = a.State
				}
				flagged := 0
				for _, o := range outcomes {
					if o.State != states[o.OutcomeID] {
						t.Errorf("outcome says %s, its audit record %s", o.State, states[o.OutcomeID])
					}
					if before, ok := told[o.EventID]; ok && before != o.State {
						t.Errorf("outcome says %s, before the crash %s stood on record", o.State, before)
					}
					if o.State.Matched() {
						flagged++
					}
				}
				if notices := read[schemas.Notice](b, schemas.TopicNotice); len(notices) != 2*flagged {
					t.Errorf("%d flagged, %d notices, want two each", flagged, len(notices))
				}
			})
		}
	}
}
