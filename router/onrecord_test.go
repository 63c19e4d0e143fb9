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
			if later && slices.ContainsFunc(told, func(o schemas.Outcome) bool { return o.ControlID == "2" && o.State != schemas.StateCheckFailed }) {
				t.Fatal("who has no plan is told so, and who has one is not: the difference tells")
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

// TestWhatACrashLeftUnrecordedIsNotFinished: an outcome went out and its audit record did
// not. Until that is on record the registration is not finished, so that another crash
// finds it again.
func TestWhatACrashLeftUnrecordedIsNotFinished(t *testing.T) {
	b := newBench(t, 1)
	b.accept(registration(1))
	d := &decider{}
	c := &crash{Appender: b.producer, topic: schemas.TopicAudit, kept: "others"}
	b.decide(d, c, c.dead)
	if n := len(read[schemas.Outcome](b, schemas.TopicOutcome)); n != 1 || len(read[schemas.Audit](b, schemas.TopicAudit)) != 0 {
		t.Fatalf("%d outcomes", n)
	}
	finished := func() bool {
		offsets, err := b.client.GroupOffsets(context.Background(), "matcher", schemas.TopicRegistration)
		return err == nil && len(offsets) > 0 && offsets[0] > 0
	}
	log := &noAudit{Appender: b.producer, well: make(chan struct{})}
	publish := *b.publish
	publish.Log = log
	stage := &Decide{Publisher: &publish, Keys: b.keys, Decider: d, Client: b.client, Logger: slog.New(slog.DiscardHandler), Place: time.UTC, AuditPatience: 50 * time.Millisecond}
	var since time.Time
	b.run(&Stage{Topic: schemas.TopicRegistration, Group: "matcher", Open: stage.Open, AnswerBehind: true, Client: b.client, Dead: b.dead, Log: slog.New(slog.DiscardHandler), Now: time.Now}, func() bool {
		if !log.isWell() && finished() {
			t.Fatal("finished without a record")
		}
		switch {
		case log.held.Load() == 0:
			since = time.Now()
		case time.Since(since) > 4*commitEvery && !log.isWell(): // an offset would have been committed
			close(log.well)
		}
		return finished()
	})
	if got := read[schemas.Audit](b, schemas.TopicAudit); len(got) != 1 {
		t.Errorf("%d audit records", len(got))
	}
}
