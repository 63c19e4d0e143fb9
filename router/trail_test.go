package router

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"cpis/schemas"
)

// following runs a loop beside a test, until the test ends.
func following(t *testing.T, loops ...func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var wait sync.WaitGroup
	t.Cleanup(wait.Wait)
	t.Cleanup(cancel)
	for _, loop := range loops {
		wait.Go(func() { _ = loop(ctx) })
	}
}

func until(t *testing.T, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !done(); <-time.After(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: never", what)
		}
	}
}

// TestATrailIsReadFromItsPositions writes records about two people among those about
// nobody, and reads each person's.
func TestATrailIsReadFromItsPositions(t *testing.T) {
	b := newBench(t, 3)
	ctx := context.Background()
	recorder := &Recorder{b.publish, b.keys}
	refs := []schemas.SubjectRef{b.keys.SubjectRef(number(1)), b.keys.SubjectRef(number(2))}
	note := func(d Deed) {
		t.Helper()
		if err := recorder.Note(ctx, d); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 30 {
		note(Deed{Kind: schemas.AuditAccess, Action: schemas.ActionHistoryRead, Stream: schemas.StreamHistory, Subject: refs[i%2], About: fmt.Sprint(i), Organisation: "RXX01"})
		note(Deed{Kind: schemas.AuditAccess, Action: schemas.ActionSignedIn, About: fmt.Sprint(i), Organisation: "RXX01"})
	}
	trail := &Trail{Codec: b.publish.Codec, Client: b.client, Now: time.Now, Logger: slog.New(slog.DiscardHandler)}
	far := time.Now().Add(time.Hour)
	if _, _, err := trail.About(ctx, refs[:1], time.Unix(0, 0), far, 10); err == nil {
		t.Error("a trail that is not read yet says that nobody has looked")
	}
	following(t, trail.Follow)
	var list []schemas.Audit
	var more bool
	until(t, "the trail", func() (ok bool) {
		var err error
		list, more, err = trail.About(ctx, refs[:1], time.Unix(0, 0), far, 10)
		return err == nil
	})
	if len(list) != 10 || !more {
		t.Fatalf("%d records, more %v", len(list), more)
	}
	var about []string
	for _, a := range list {
		if a.SubjectRef != refs[0] {
			t.Errorf("a record about %s", a.SubjectRef)
		}
		about = append(about, a.EventID)
	}
	if !slices.Equal(about, []string{"28", "26", "24", "22", "20", "18", "16", "14", "12", "10"}) {
		t.Errorf("%q", about)
	}
	if all, more, err := trail.About(ctx, refs, time.Unix(0, 0), far, 100); len(all) != 30 || more || err != nil {
		t.Errorf("under both pseudonyms: %d %v %v", len(all), more, err)
	}
	if list, _, err := trail.About(ctx, refs, far, far.Add(time.Hour), 100); len(list) != 0 || err != nil {
		t.Errorf("of another day: %d %v", len(list), err)
	}
	if list, _, err := trail.About(ctx, []schemas.SubjectRef{b.keys.SubjectRef(number(3))}, time.Unix(0, 0), far, 100); len(list) != 0 || err != nil {
		t.Errorf("of somebody else: %d %v", len(list), err)
	}
	if len(trail.of) != 2 {
		t.Errorf("positions of %d people are kept", len(trail.of))
	}

	note(Deed{Kind: schemas.AuditFinding, Action: schemas.ActionOddLooks, Code: "CPIS-B001", Organisation: "RXX01", About: "odd"})
	note(Deed{Kind: schemas.AuditAccess, Action: schemas.ActionGlassBroken, Organisation: "RXX01", Subject: refs[0], About: "glass"})
	var said map[string]schemas.Audit
	until(t, "the reviews", func() bool {
		var err error
		list, said, err = trail.Reviews(ctx, time.Now().Add(-time.Hour), 10)
		return err == nil && len(list) == 2
	})
	if len(said) != 0 {
		t.Errorf("said: %v", said)
	}
	item := list[0].AuditID
	note(Deed{Kind: schemas.AuditAccess, Action: schemas.ActionReviewed, Organisation: "RXX01", Reason: "GOOD_REASON", About: item})
	until(t, "what was said", func() bool {
		_, said, _ = trail.Reviews(ctx, time.Now().Add(-time.Hour), 10)
		return said[item].Event == "GOOD_REASON"
	})
}

// TestWhoWasToldOfAnAnswer joins notices with what became of them, in whatever order the
// two topics are read.
func TestWhoWasToldOfAnAnswer(t *testing.T) {
	now := time.Now()
	f := &Informed{Now: func() time.Time { return now }}
	notice := func(id string, kind schemas.NoticeKind, policy schemas.NotifyPolicy) schemas.Notice {
		return schemas.Notice{NoticeID: id, OutcomeID: "answer", Authority: "E06A", Kind: kind, Notify: policy, CreatedAt: now}
	}
	f.Delivery(schemas.Delivery{NoticeID: "early", OutcomeID: "answer", State: schemas.Delivered, At: now})
	f.Delivery(schemas.Delivery{NoticeID: "early", OutcomeID: "answer", State: schemas.Acknowledged, Answer: schemas.AnswerWillCall, At: now, CallBy: now.Add(time.Hour)})
	f.Notice(notice("early", schemas.NoticeAttendance, schemas.NotifyOnRegistration))
	f.Notice(notice("early", schemas.NoticeAttendance, schemas.NotifyOnRegistration)) // a copy
	f.Notice(notice("held", schemas.NoticeAttendance, schemas.NotifyOnView))
	f.Notice(schemas.Notice{NoticeID: "feed", Kind: schemas.NoticeFeedQuiet, CreatedAt: now})
	f.Notice(notice("viewed", schemas.NoticeViewed, schemas.NotifyBoth))
	list := f.Of("answer")
	if len(list) != 2 || list[0].Answer != schemas.AnswerWillCall || !list[0].CallBy.Equal(now.Add(time.Hour)) || list[1].State != "" {
		t.Fatalf("%+v", list)
	}
	f.Delivery(schemas.Delivery{NoticeID: "early", OutcomeID: "answer", State: schemas.Delivered, At: now.Add(time.Second)})
	f.Delivery(schemas.Delivery{NoticeID: "viewed", OutcomeID: "answer", State: schemas.Undelivered, At: now})
	if list = f.Of("answer"); list[0].Answer != schemas.AnswerWillCall || list[1].State != schemas.Undelivered {
		t.Errorf("what a person said gave way to what is known of the way: %+v", list)
	}
	if _, ok := f.Find("viewed"); !ok || len(f.Of("another")) != 0 {
		t.Error("notices by their id")
	}
	now = now.Add(viewable + time.Minute)
	f.Notice(schemas.Notice{NoticeID: "next", OutcomeID: "next", CreatedAt: now})
	if len(f.told) != 1 || len(f.notices) != 1 || len(f.pending) != 0 {
		t.Errorf("%d answers, %d notices, %d of unknown notices are kept", len(f.told), len(f.notices), len(f.pending))
	}
}

// TestALetterBookHasNoBytes files dead letters, and reads their bytes when they are asked
// for.
func TestALetterBookHasNoBytes(t *testing.T) {
	b := newBench(t, 1)
	ctx := context.Background()
	book := &LetterBook{DeadLetters: b.dead, Logger: slog.New(slog.DiscardHandler)}
	if book.All() != nil {
		t.Error("letters before any was read")
	}
	following(t, book.Follow)
	large := make([]byte, 2*quarantinePart+5)
	for _, it := range []Refused{
		{Origin: OriginMLLP, Feed: "ed", ControlID: "C1", Refusal: schemas.Refusal{Code: "CPIS-H010", Location: "PID-3"}, Raw: []byte("MSH|secret")},
		{Origin: OriginMLLP, Feed: "ed", ControlID: "C2", Refusal: schemas.Refusal{Code: "CPIS-H003"}, Raw: large},
		{Origin: OriginSocialCare, Feed: "E06A", Refusal: schemas.Refusal{Code: "CPIS-L010"}, Raw: []byte("row")},
	} {
		if err := b.dead.Quarantine(ctx, it); err != nil {
			t.Fatal(err)
		}
	}
	until(t, "the letters", func() bool { all := book.All(); return len(all) == 3 && len(all[1].parts) == 2 })
	all := book.All()
	if l := all[0]; l.Door != OriginMLLP || l.Feed != "ed" || l.Control != "C1" || l.Location != "PID-3" || l.record.Value != nil {
		t.Errorf("%+v", l)
	}
	for i, want := range []int{10, len(large), 3} {
		loaded, err := book.Load(ctx, all[i].Letter)
		if err != nil {
			t.Fatal(err)
		}
		if _, raw, err := b.dead.Quarantined(ctx, loaded); err != nil || len(raw) != want {
			t.Errorf("letter %d: %d bytes, %v", i, len(raw), err)
		}
	}
	if err := book.Close(ctx, all[0].Letter, "discarded", "TEST_MESSAGE"); err != nil {
		t.Fatal(err)
	}
	until(t, "that it is closed", func() bool { return book.All()[0].Closed == "discarded" })
}

// TestWhatAFeedBrought counts the messages of a day, and what shows in them.
func TestWhatAFeedBrought(t *testing.T) {
	now := time.Date(2026, 11, 25, 14, 0, 0, 0, time.UTC)
	w := &FeedWatch{Now: func() time.Time { return now }, Place: time.UTC, Newborn: func(r schemas.Registration) bool { return r.ControlID == "baby" }}
	for _, r := range []schemas.Registration{
		{Event: "A04", Class: schemas.ClassRegistration, NumberStatus: schemas.NumberVerified},
		{Event: "A04", Class: schemas.ClassRegistration, NumberStatus: schemas.NumberAbsent, Marks: []string{"CPIS-H103"}, OccurredAt: now.Truncate(24 * time.Hour).Add(10 * time.Minute)},
		{Event: "A40", Class: schemas.ClassIdentity, Link: schemas.LinkMerge, NumberStatus: schemas.NumberVerified},
		{Event: "A40", Class: schemas.ClassIdentity, Link: schemas.LinkMerge, Part: 1},
		{Event: "A11", Class: schemas.ClassRetraction, NumberStatus: schemas.NumberInvalid, ControlID: "baby"},
	} {
		r.Feed, r.AcceptedAt = "ed", now
		w.Take(r)
	}
	w.Take(schemas.Registration{Feed: "ed", Event: "A01", AcceptedAt: now.Add(-25 * time.Hour)})
	d := w.Day("ed")
	if d.Taken != 4 || !d.Last.Equal(now) {
		t.Errorf("%d, last %v", d.Taken, d.Last)
	}
	for what, want := range map[string]bool{"A04": true, "A40": true, "A11": true, "A01": false, SeenMerge: true, SeenRetraction: true, SeenNoNumber: true, SeenBadNumber: true, SeenNewborn: true, SeenMidnight: true, "CPIS-H103": true, "CPIS-H105": false} {
		if _, ok := d.Seen[what]; ok != want {
			t.Errorf("%s seen: %v", what, ok)
		}
	}
	if len(w.Day("other").Seen) != 0 {
		t.Error("another feed")
	}
	now = now.Add(26 * time.Hour)
	if d := w.Day("ed"); d.Taken != 0 || len(d.Seen) != 0 {
		t.Errorf("the day after: %+v", d)
	}
}
