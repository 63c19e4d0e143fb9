package router

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	"cpis/schemas"
)

func TestWhoWasRegisteredInTheLastDay(t *testing.T) {
	b := newBench(t, 1)
	b.accept(registration(0))
	now := time.Now()
	var mu sync.Mutex
	r := &Arrivals{Codec: b.publish.Codec, Logger: slog.New(slog.DiscardHandler), Now: func() time.Time { mu.Lock(); defer mu.Unlock(); return now }}
	refs := func(i int) []schemas.SubjectRef { return []schemas.SubjectRef{"other", b.keys.SubjectRef(number(i))} }
	here := func(o schemas.ODSCode) bool { return o == "RXX01" }
	if !r.At(refs(5), here) {
		t.Error("told before it can be")
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wait sync.WaitGroup
	wait.Go(func() { _ = r.Follow(ctx, b.client) })
	defer wait.Wait()
	defer cancel()
	for until := time.Now().Add(20 * time.Second); r.At(refs(5), here); <-time.After(10 * time.Millisecond) {
		if time.Now().After(until) {
			t.Fatal("it never catches up")
		}
	}
	if !r.At(refs(0), here) || r.At(refs(0), func(schemas.ODSCode) bool { return false }) {
		t.Error("who was registered here, and nowhere else")
	}
	mu.Lock()
	now = now.Add(arrivedFor + time.Minute)
	mu.Unlock()
	if r.At(refs(0), here) {
		t.Error("registered for longer than a day")
	}
	r.Take(schemas.Registration{Feed: "x", EventID: "new", Class: schemas.ClassRegistration, AcceptedAt: now}, 0, 0)
	if len(r.people) != 1 || len(r.events) != 1 || len(r.visits) != 1 {
		t.Errorf("%d people are remembered", len(r.people))
	}
}
