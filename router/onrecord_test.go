package router

import (
	"context"
	"log/slog"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"cpis/router/topics"
	"cpis/schemas"
)

// noAudit is a log whose audit topic takes nothing until it is well again.
type noAudit struct {
	Appender
	well chan struct{} // closed when it is
	held atomic.Int64  // audit records that had to wait
}

func (n *noAudit) isWell() bool {
	select {
	case <-n.well:
		return true
	default:
		return false
	}
}

func (n *noAudit) Produce(ctx context.Context, records ...topics.Record) error {
	var others, audits []topics.Record
	for _, r := range records {
		if r.Topic == schemas.TopicAudit {
			audits = append(audits, r)
		} else {
			others = append(others, r)
		}
	}
	if err := n.Appender.Produce(ctx, others...); err != nil || len(audits) == 0 {
		return err
	}
	if !n.isWell() {
		n.held.Add(int64(len(audits)))
	}
	select {
	case <-n.well:
		return n.Appender.Produce(ctx, audits...)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// TestNothingIsToldThatIsNotOnRecord: while audit records cannot be committed, no plan
// and no authority leaves the broker; settings are told CHECK_FAILED, whoever it is
// about, and the answers follow once they can be put on record.
func TestNothingIsToldThatIsNotOnRecord(t *testing.T) {
	b := newBench(t, 1)
	b.accept(registration(0), registration(1))
	log := &noAudit{Appender: b.producer, well: make(chan struct{})}
	publish := *b.publish
	publish.Log = log
	stage := &Decide{Publisher: &publish, Keys: b.keys, Decider: &decider{}, Client: b.client, Logger: slog.New(slog.DiscardHandler), Place: time.UTC, AuditPatience: 200 * time.Millisecond}
	later := false
	b.run(&Stage{Topic: schemas.TopicRegistration, Group: "matcher", Open: stage.Open, AnswerBehind: true, Client: b.client, Dead: b.dead, Log: slog.New(slog.DiscardHandler), Now: time.Now}, func() bool {
		told := read[schemas.Outcome](b, schemas.TopicOutcome)
		if !log.isWell() {
			for _, o := range told {
				if o.State.Matched() || o.SubjectRef != "" || len(o.SealedDetails) > 0 {
					t.Fatalf("told without a record: %+v", o)
				}
			}
			if len(read[schemas.Notice](b, schemas.TopicNotice)) > 0 {
				t.Fatal("an authority is told without a record")
			}
			failed := func(control string) bool {
				return slices.ContainsFunc(told, func(o schemas.Outcome) bool {
					return o.ControlID == control && o.State == schemas.StateCheckFailed && o.Reason == schemas.ReasonAuditUnreachable
				})
			}
			if failed("0") && !later { // those who come now are told alike
				later = true
				b.accept(registration(40), registration(2))
			}
			if failed("40") && failed("2") {
				close(log.well)
			}
			return false
		}
		return len(slices.DeleteFunc(told, func(o schemas.Outcome) bool { return o.State == schemas.StateCheckFailed })) >= 4
	})
	answers, audits := map[string]schemas.Outcome{}, map[string]bool{}
	for _, a := range read[schemas.Audit](b, schemas.TopicAudit) {
		audits[a.OutcomeID] = true
	}
	for _, o := range read[schemas.Outcome](b, schemas.TopicOutcome) {
		if !audits[o.OutcomeID] {
			t.Errorf("an outcome without an audit record: %+v", o)
		}
		if o.State != schemas.StateCheckFailed {
			answers[o.ControlID] = o
		}
	}
	for control, state := range map[string]schemas.State{"0": schemas.StateIndicator, "1": schemas.StateNoneShared, "40": schemas.StateIndicator, "2": schemas.StateNoneShared} {
		if o := answers[control]; o.State != state || control != "1" && o.Corrects == "" {
			t.Errorf("registration %s: %+v", control, o)
		}
	}
	if log.held.Load() == 0 {
		t.Error("no audit record ever had to wait")
	}
}
