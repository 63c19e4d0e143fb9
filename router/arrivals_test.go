package router

import (
	"context"
	"log/slog"
	"slices"
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
	if len(r.people) != 1 || len(r.events) != 1 || len(r.visits) != 1 || len(r.feeds["x"].visits) != 1 {
		t.Errorf("%d people are remembered", len(r.people))
	}
}

// at builds a registration of a visit as the intake hands it on.
func at(event, visit string, class schemas.EventClass, when time.Time) schemas.Registration {
	return schemas.Registration{Feed: "ed", EventID: event, VisitRef: visit, ODS: "RXX01", Class: class, AcceptedAt: when, ControlID: "C" + event, SubjectRef: schemas.SubjectRef("ref " + visit)}
}

// TestABoardShowsVisits follows visits through what may happen to them.
func TestABoardShowsVisits(t *testing.T) {
	now := time.Now()
	var told []string
	a := &Arrivals{Now: func() time.Time { return now }, Changed: func(feed string) { told = append(told, feed) }}
	answer := func(event string, state schemas.State, after time.Duration) schemas.Outcome {
		return schemas.Outcome{OutcomeID: event + string(state), EventID: event, Feed: "ed", State: state, AcceptedAt: now, DecidedAt: now.Add(after)}
	}
	show := func() (out []string) {
		list, all := a.Board("ed", 0, 10)
		if all != len(list) {
			t.Errorf("%d of %d", len(list), all)
		}
		for _, v := range list {
			state := "waiting"
			if v.Answer != nil {
				state = string(v.Answer.State)
			}
			out = append(out, v.EventID+" "+state)
		}
		return out
	}
	is := func(what string, want ...string) {
		t.Helper()
		if got := show(); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", what, got, want)
		}
	}
	a.Answered(answer("1", schemas.StateCheckFailed, 0), 0, 7) // its topic is read first
	a.Take(at("1", "v1", schemas.ClassRegistration, now.Add(-time.Minute)), 0, 1)
	is("an answer that was read before its question", "1 CHECK_FAILED")
	a.Answered(answer("1", schemas.StateIndicator, time.Second), 0, 8)
	a.Answered(answer("1", schemas.StateCheckFailed, 0), 0, 7) // a copy that comes late
	is("a correction stands", "1 INDICATOR")
	a.Take(at("2", "v2", schemas.ClassRegistration, now), 0, 2)
	a.Take(at("3", "", schemas.ClassScheduled, now), 0, 3)
	a.Take(at("3", "", schemas.ClassScheduled, now), 0, 4)
	is("the newest first, copies once", "3 waiting", "2 waiting", "1 INDICATOR")
	a.Take(at("4", "v1", schemas.ClassIdentity, now), 0, 5)
	is("who somebody is does not change whose the answer is", "3 waiting", "2 waiting", "1 INDICATOR")
	a.Take(at("5", "v1", schemas.ClassRegistration, now), 0, 6)
	is("asked anew, an older answer does not stand", "3 waiting", "2 waiting", "5 waiting")
	a.Answered(answer("1", schemas.StateNoneShared, time.Hour), 0, 9)
	is("an answer to an earlier event of the visit", "3 waiting", "2 waiting", "5 waiting")
	if list := a.Of([]schemas.SubjectRef{"ref v1"}); len(list) != 1 || list[0].EventID != "5" {
		t.Errorf("%+v", list)
	}
	if list := a.ByControl("ed", "C1"); len(list) != 0 {
		t.Errorf("an earlier message of the visit: %+v", list)
	}
	if list := a.ByControl("ed", "C5"); len(list) != 1 || list[0].Offset != 6 || list[0].Since != now.Add(-time.Minute) {
		t.Errorf("%+v", list)
	}
	a.Answered(answer("2", schemas.StateNoneShared, 0), 0, 10)
	if done, waiting := a.Delivered("ed", map[int]int64{0: 11}); done != 1 || waiting != 0 {
		t.Errorf("%d delivered, %d wait", done, waiting)
	}
	a.Answered(answer("5", schemas.StateIndicator, 2*time.Second), 0, 20)
	if list := a.Flagged("ed"); len(list) != 1 || list[0].EventID != "5" {
		t.Errorf("%+v", list)
	}
	if done, waiting := a.Delivered("ed", map[int]int64{0: 20}); done != 1 || waiting != 1 {
		t.Errorf("%d delivered, %d wait", done, waiting)
	}
	a.Take(at("6", "v2", schemas.ClassRetraction, now), 0, 11)
	is("taken back", "3 waiting", "5 INDICATOR")
	if list, all := a.Board("ed", 1, 10); all != 2 || len(list) != 1 {
		t.Errorf("page two: %d of %d", len(list), all)
	}
	if len(told) != 8 {
		t.Errorf("the board was told %d times that it has changed", len(told))
	}
	now = now.Add(arrivedFor + time.Minute)
	is("the day after")
	a.Take(at("7", "v7", schemas.ClassRegistration, now), 0, 12)
	if len(a.events) != 1 || len(a.visits) != 1 || len(a.people) != 1 || len(a.early) != 0 || len(a.feeds["ed"].controls) != 1 || len(a.feeds["ed"].waiting)+len(a.feeds["ed"].flagged) != 0 {
		t.Errorf("%d events, %d visits, %d people and %d answers are kept", len(a.events), len(a.visits), len(a.people), len(a.early))
	}
}
