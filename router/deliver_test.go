package router

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"cpis/connectors"
	"cpis/schemas"
)

// receiver takes outcomes; it can be down for one setting.
type receiver struct {
	mu    sync.Mutex
	down  bool
	never bool
	got   []string
}

func (r *receiver) Deliver(_ context.Context, o schemas.Outcome) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.never {
		return fmt.Errorf("%w: AR", connectors.ErrRefused)
	}
	if r.down {
		return errors.New("connection refused")
	}
	r.got = append(r.got, o.ControlID)
	return nil
}

func (r *receiver) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.got)
}

func TestASlowReceiverHoldsUpNobodyElseAndTheLedgerTells(t *testing.T) {
	b := newBench(t, 1)
	for i := range 20 {
		r := registration(i + 1)
		if i%2 == 1 {
			r.Feed, r.ODS = "ward", "RYY01"
		}
		b.accept(r)
	}
	b.decide(&decider{}, b.producer, b.outcomes(20))
	ed, ward := &receiver{down: true}, &receiver{}
	deliver := &Deliver{Codec: b.publish.Codec, Keys: b.keys, Destinations: map[string]connectors.Destination{"ed": ed, "ward": ward}}
	stage := func() *Stage {
		return &Stage{Topic: schemas.TopicOutcome, Group: "delivery", Open: deliver.Open, Workers: 8, Client: b.client, Dead: b.dead, Log: slog.New(slog.DiscardHandler), Now: time.Now}
	}
	b.run(stage(), func() bool { return ward.count() >= 10 })
	ledger := &Ledger{Client: b.client, Codec: b.publish.Codec, DeliverGroup: "delivery"}
	if n := unaccounted(t, ledger); n == 0 {
		t.Error("the ledger balances although half is not delivered")
	}
	ed.mu.Lock()
	ed.down = false
	ed.mu.Unlock()
	b.run(stage(), func() bool { return ed.count() >= 10 && unaccounted(t, ledger) == 0 })
	if !slices.IsSortedFunc(ed.got, func(a, b string) int { return len(a)*100 + strings.Compare(a, b) - len(b)*100 }) {
		t.Errorf("answers to one setting came out of order: %v", ed.got)
	}
	if lines, err := ledger.Read(context.Background(), time.Time{}, []string{"1", "nobody sent this"}); err != nil || countMissing(lines) != 1 {
		t.Errorf("a control id that was never received: %d missing, %v", countMissing(lines), err)
	}
}

func unaccounted(t *testing.T, l *Ledger) int {
	t.Helper()
	lines, err := l.Read(context.Background(), time.Time{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return countMissing(lines)
}

func countMissing(lines []Line) int {
	n := 0
	for _, l := range lines {
		n += len(l.Missing)
	}
	return n
}

func TestARefusedAnswerBecomesADeadLetter(t *testing.T) {
	b := newBench(t, 1)
	b.accept(registration(1), registration(2))
	b.decide(&decider{}, b.producer, b.outcomes(2))
	deliver := &Deliver{Codec: b.publish.Codec, Keys: b.keys, Destinations: map[string]connectors.Destination{"ed": &receiver{never: true}}}
	s := &Stage{Topic: schemas.TopicOutcome, Group: "delivery", Open: deliver.Open, Workers: 2, Client: b.client, Dead: b.dead, Log: slog.New(slog.DiscardHandler), Now: time.Now}
	b.run(s, func() bool { return s.Stats().Finished == 2 })
	letters, err := b.dead.List(context.Background())
	if err != nil || len(letters) != 2 || letters[0].Code != "CPIS-K004" {
		t.Errorf("dead letters %+v, %v", letters, err)
	}
}
