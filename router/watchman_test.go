package router

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"cpis/schemas"
)

func anywhere(schemas.ODSCode) bool { return true }

// watch is a bench whose time is set.
type watch struct {
	*bench
	now   time.Time
	feeds []FeedState
	views *Views
}

func newWatch(t *testing.T) *watch {
	w := &watch{bench: newBench(t, 1), now: time.Now().UTC().Truncate(time.Second)}
	w.publish.Now = func() time.Time { return w.now }
	w.views = NewViews(w.publish, w.keys)
	close(w.views.known)
	return w
}

// step lets a watchman, who knows nothing but the topics, look once or twice.
func (w *watch) step() {
	w.t.Helper()
	m := &Watchman{Notices: w.notices(), Feeds: func() []FeedState { return w.feeds }, Log: slog.New(slog.DiscardHandler)}
	for range 2 {
		if err := m.Step(context.Background()); err != nil {
			w.t.Fatal(err)
		}
	}
}

// told are the kinds and authorities of the notices, attendances left out, in order.
func (w *watch) told() []string {
	var out []string
	for _, n := range read[schemas.Notice](w.bench, schemas.TopicNotice) {
		if n.Kind != schemas.NoticeAttendance {
			out = append(out, string(n.Kind)+" "+string(n.Authority))
		}
	}
	slices.Sort(out)
	return out
}

// answer puts the answer to a visit where it can be opened.
func (w *watch) answer(n schemas.Notice, silent bool) {
	w.views.answers[n.OutcomeID] = schemas.Outcome{OutcomeID: n.OutcomeID, EventID: "e", ODS: n.ODS, Setting: n.Setting, SubjectRef: n.SubjectRef, State: schemas.StateIndicator, Reason: schemas.ReasonPlanCurrent,
		DecidedAt: n.CreatedAt, AcceptedAt: n.CreatedAt, Silent: silent}
}

func (w *watch) open(n schemas.Notice, name string) {
	w.t.Helper()
	if err := w.views.Note(context.Background(), n.OutcomeID, anywhere, View{Who: schemas.Access{WorkerID: "555", WorkerName: name, WorkerRole: "R0170"}}); err != nil {
		w.t.Fatal(err)
	}
}

func TestPoliciesOfAView(t *testing.T) {
	w := newWatch(t)
	atOnce, onView, both := w.attendance("E06A", 1, schemas.NotifyOnRegistration, 0), w.attendance("E06B", 2, schemas.NotifyOnView, 0), w.attendance("E06C", 3, schemas.NotifyBoth, 0)
	silent := w.attendance("E06D", 4, schemas.NotifyOnView, 0)
	w.tell(atOnce, onView, both, silent)
	for _, n := range []schemas.Notice{atOnce, onView, both} {
		w.answer(n, false)
	}
	w.answer(silent, true)
	w.step()
	if got := w.told(); len(got) != 0 {
		t.Fatalf("nobody opened anything: %v", got)
	}
	w.now = w.now.Add(time.Minute)
	for range 2 { // twice, by two people
		for _, n := range []schemas.Notice{atOnce, onView, both, silent} {
			w.open(n, "C. Nurse")
		}
		w.now = w.now.Add(time.Minute)
	}
	for range 3 {
		w.step()
	}
	if got := w.told(); !slices.Equal(got, []string{"VIEWED E06B", "VIEWED E06C"}) {
		t.Errorf("%v", got)
	}
	for _, n := range read[schemas.Notice](w.bench, schemas.TopicNotice) {
		if n.Kind != schemas.NoticeViewed {
			continue
		}
		a, err := w.keys.OpenAccess(schemas.TopicNotice, n.Authority, n.NoticeID, n.SealedAccess)
		if err != nil || a.WorkerName != "C. Nurse" || a.WorkerRole != "R0170" || len(a.Records) != 1 || !n.OccurredAt.Equal(onView.CreatedAt.Add(time.Minute)) || n.Held() {
			t.Errorf("%+v %v at %s", a.Records, err, n.OccurredAt)
		}
	}
	for _, a := range read[schemas.Audit](w.bench, schemas.TopicAudit) {
		if a.Kind != schemas.AuditView || a.SubjectRef == "" || a.Role != "R0170" || len(a.SealedActor) == 0 {
			t.Errorf("%+v", a)
		}
	}
}

func TestWhatNobodyOpensIsTold(t *testing.T) {
	w := newWatch(t)
	opened, not, never := w.attendance("E06A", 1, schemas.NotifyOnRegistration, 30*time.Minute), w.attendance("E06B", 2, schemas.NotifyOnView, 30*time.Minute), w.attendance("E06C", 3, schemas.NotifyOnRegistration, 0)
	w.tell(opened, not, never)
	w.answer(opened, false)
	w.answer(not, false)
	behind := w.now.Add(-time.Second) // by a clock that is behind
	w.now = w.now.Add(29 * time.Minute)
	w.step()
	if err := w.views.Note(context.Background(), opened.OutcomeID, anywhere, View{Who: schemas.Access{WorkerID: "555"}, At: behind}); err != nil {
		t.Fatal(err)
	}
	w.now = w.now.Add(59 * time.Second)
	w.step()
	if got := w.told(); len(got) != 0 {
		t.Fatalf("before the time: %v", got)
	}
	w.now = w.now.Add(2 * time.Second)
	w.step()
	w.step()
	w.open(not, "D. Doctor") // late, and told too, for the setting tells on view
	w.now = w.now.Add(time.Hour)
	w.step()
	if got := w.told(); !slices.Equal(got, []string{"UNOPENED E06B", "VIEWED E06B"}) {
		t.Errorf("%v", got)
	}
}

func TestAFeedThatGoesQuietAndComesBackIsToldOnceEach(t *testing.T) {
	w := newWatch(t)
	loaded := w.now
	state := func(last time.Time) {
		w.feeds = []FeedState{{"E06A", last, last.Add(36 * time.Hour)}, {"E06B", w.now, w.now.Add(time.Hour)}}
	}
	for i, step := range []struct {
		later time.Duration
		load  bool
		told  []string
	}{
		{35 * time.Hour, false, nil},
		{2 * time.Hour, false, []string{"FEED_QUIET E06A"}},
		{20 * time.Hour, false, []string{"FEED_QUIET E06A"}},
		{time.Hour, true, []string{"FEED_BACK E06A", "FEED_QUIET E06A"}},
		{time.Hour, false, []string{"FEED_BACK E06A", "FEED_QUIET E06A"}},
		{36 * time.Hour, false, []string{"FEED_BACK E06A", "FEED_QUIET E06A", "FEED_QUIET E06A"}},
		{time.Hour, true, []string{"FEED_BACK E06A", "FEED_BACK E06A", "FEED_QUIET E06A", "FEED_QUIET E06A"}},
	} {
		if w.now = w.now.Add(step.later); step.load {
			loaded = w.now
		}
		state(loaded)
		w.step()
		if got := w.told(); !slices.Equal(got, step.told) {
			t.Errorf("step %d: %v, want %v", i, got, step.told)
		}
	}
}

// TestANoticeNobodyReceivesIsToldToAHuman: an authority that fetches its notices has
// stopped. What it has fetched, what is held, and what was long past before anybody
// looked is left alone.
func TestANoticeNobodyReceivesIsToldToAHuman(t *testing.T) {
	w := newWatch(t)
	lost, fetched, held := w.attendance("E06A", 1, schemas.NotifyOnRegistration, 0), w.attendance("E06A", 2, schemas.NotifyOnRegistration, 0), w.attendance("E06A", 3, schemas.NotifyOnView, 0)
	old := w.attendance("E06A", 4, schemas.NotifyOnRegistration, 0)
	old.CreatedAt = w.now.Add(-48 * time.Hour)
	w.tell(lost, fetched, held, old)
	if err := (&Deliveries{w.publish, w.keys}).Note(context.Background(), DeliveryOf(fetched, schemas.Delivered, w.now)); err != nil {
		t.Fatal(err)
	}
	undelivered := func() (out []string) {
		for _, d := range w.deliveries() {
			if d.State == schemas.Undelivered {
				out = append(out, d.ControlID)
			}
		}
		return out
	}
	w.now = w.now.Add(72 * time.Hour)
	w.step()
	if got := undelivered(); len(got) != 0 {
		t.Errorf("after 72 hours, which are the stage's: %v", got)
	}
	w.now = w.now.Add(2 * time.Hour)
	for range 3 {
		w.step()
	}
	if got := undelivered(); !slices.Equal(got, []string{"M1"}) || !slices.Equal(w.told(), []string{"FAILURE E06A"}) {
		t.Errorf("%v, %v", got, w.told())
	}
}

func TestOnlyAnAnswerThatIsThereCanBeOpened(t *testing.T) {
	w := newWatch(t)
	n := w.attendance("E06A", 1, schemas.NotifyOnView, 0)
	w.answer(n, false)
	who := schemas.Access{WorkerID: "555"}
	for name, c := range map[string]struct {
		id string
		at time.Time
	}{"another": {"O9", time.Time{}}, "before it was given": {n.OutcomeID, w.now.Add(-time.Hour)}, "to come": {n.OutcomeID, w.now.Add(time.Hour)}} {
		if err := w.views.Note(context.Background(), c.id, anywhere, View{Who: who, At: c.at}); !errors.Is(err, ErrNoAnswer) {
			t.Errorf("%s: %v", name, err)
		}
	}
	at := w.now
	w.now = w.now.Add(time.Second)
	for range 2 {
		if err := w.views.Note(context.Background(), n.OutcomeID, anywhere, View{Who: who, At: at}); err != nil {
			t.Error(err)
		}
	}
	if got := read[schemas.Audit](w.bench, schemas.TopicAudit); len(got) != 2 || got[0].AuditID != got[1].AuditID {
		t.Errorf("%d records", len(got))
	}
	if err := w.views.Note(context.Background(), n.OutcomeID, func(ods schemas.ODSCode) bool { return ods == "RYY" }, View{Who: who, At: at}); !errors.Is(err, ErrNoAnswer) {
		t.Errorf("another's answer: %v", err)
	}
	fresh := NewViews(w.publish, w.keys)
	if err := fresh.Note(context.Background(), n.OutcomeID, anywhere, View{Who: who, At: at}); err == nil || errors.Is(err, ErrNoAnswer) {
		t.Errorf("before the answers were read: %v", err)
	}
}

// TestAViewIsNoDecision: neither the ledger nor a matcher that reads back takes the
// record of a view for that of the answer.
func TestAViewIsNoDecision(t *testing.T) {
	b := newBench(t, 1)
	b.accept(registration(1))
	reg := read[schemas.Registration](b, schemas.TopicRegistration)[0]
	v := NewViews(b.publish, b.keys)
	close(v.known)
	v.answers["o"] = schemas.Outcome{OutcomeID: "o", EventID: reg.EventID, Feed: reg.Feed, ODS: reg.ODS, Setting: reg.Setting, SubjectRef: "s", State: schemas.StateNoneShared, Reason: schemas.ReasonNothingShared, DecidedAt: reg.AcceptedAt}
	if err := v.Note(context.Background(), "o", anywhere, View{Who: schemas.Access{WorkerID: "555"}}); err != nil {
		t.Fatal(err)
	}
	d := &decider{}
	b.decide(d, b.producer, b.outcomes(1))
	if got := read[schemas.Outcome](b, schemas.TopicOutcome); got[0].OutcomeID == "o" {
		t.Error("the record of a view was told as an answer")
	}
	b2 := newBench(t, 1)
	b2.accept(registration(1))
	reg = read[schemas.Registration](b2, schemas.TopicRegistration)[0]
	audit := schemas.Audit{AuditID: "a", Kind: schemas.AuditView, At: time.Now(), EventID: reg.EventID, OutcomeID: "o", Feed: reg.Feed, ODS: reg.ODS, Setting: reg.Setting, State: schemas.StateIndicator, Reason: schemas.ReasonPlanCurrent, AcceptedAt: reg.AcceptedAt, Authorities: []string{}}
	outcome := schemas.Outcome{OutcomeID: "o", EventID: reg.EventID, Feed: reg.Feed, ODS: reg.ODS, Setting: reg.Setting, State: schemas.StateNoneShared, Reason: schemas.ReasonNothingShared, AcceptedAt: reg.AcceptedAt, DecidedAt: time.Now()}
	for topic, value := range map[schemas.Topic]any{schemas.TopicAudit: audit, schemas.TopicOutcome: outcome} {
		r, err := b2.publish.record(topic, "k", "id", "", value)
		if err != nil {
			t.Fatal(err)
		}
		if err := b2.producer.Produce(context.Background(), r); err != nil {
			t.Fatal(err)
		}
	}
	stage := &Stage{Topic: schemas.TopicOutcome, Group: "delivery", Open: (&Deliver{Codec: b2.publish.Codec, Keys: b2.keys}).Open, Client: b2.client, Dead: b2.dead, Log: slog.New(slog.DiscardHandler), Now: time.Now}
	b2.run(stage, func() bool { return stage.Stats().Finished == 1 })
	lines, err := (&Ledger{Client: b2.client, Codec: b2.publish.Codec, DeliverGroup: "delivery"}).Read(context.Background(), time.Time{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	unaudited := false
	for _, l := range lines {
		for _, m := range l.Missing {
			unaudited = unaudited || strings.Contains(m.What, "audit")
		}
	}
	if !unaudited {
		t.Errorf("an answer without its audit record balances: %+v", lines)
	}
}

// TestStreamedUpdatesAreAnswered puts good ones beside what others could write.
func TestStreamedUpdatesAreAnswered(t *testing.T) {
	b := newBench(t, 1)
	public, err := b.keys.UpdateKey()
	if err != nil {
		t.Fatal(err)
	}
	signer := func(code schemas.AuthorityCode) (*schemas.UpdateSealer, *schemas.UpdateVerifier) {
		private, own, err := schemas.NewSigningKeys()
		if err != nil {
			t.Fatal(err)
		}
		s, err := schemas.NewUpdateSealer(code, public, private)
		if err != nil {
			t.Fatal(err)
		}
		v, err := schemas.NewUpdateVerifier(own)
		if err != nil {
			t.Fatal(err)
		}
		return s, v
	}
	aford, verifier := signer("E06A")
	forger, _ := signer("E06A") // not the key the broker knows
	stranger, _ := signer("E06B")
	var taken []string
	failures := 2
	updates := &Updates{Publisher: b.publish, Keys: b.keys, Verifiers: map[schemas.AuthorityCode]*schemas.UpdateVerifier{"E06A": verifier}, Logger: slog.New(slog.DiscardHandler),
		Take: func(_ context.Context, code schemas.AuthorityCode, records []byte) (schemas.UpdateVerdict, error) {
			if failures > 0 {
				failures--
				return schemas.UpdateVerdict{}, errors.New("not just now")
			}
			taken = append(taken, string(code)+" "+string(records))
			return schemas.UpdateVerdict{FileCode: "CPF02", Verdicts: []schemas.RecordVerdict{{Row: 1, Code: "CPR06", Outcome: "new"}}}, nil
		}}
	put := func(key string, u schemas.Update) {
		t.Helper()
		r, err := b.publish.State(schemas.TopicUpdate, []byte(key), u.UpdateID, u)
		if err != nil {
			t.Fatal(err)
		}
		if err := b.producer.Produce(context.Background(), r); err != nil {
			t.Fatal(err)
		}
	}
	seal := func(s *schemas.UpdateSealer, text string) schemas.Update {
		u, err := s.Seal([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return u
	}
	first := seal(aford, "one")
	put("E06A", first)
	put("E06A", seal(forger, "forged"))
	put("E06B", seal(stranger, "no key"))
	put("E06B", seal(aford, "under another key"))
	moved := seal(aford, "moved")
	moved.UpdateID = first.UpdateID
	put("E06A", moved)
	put("E06A", seal(aford, "two"))
	stage := &Stage{Topic: schemas.TopicUpdate, Group: "updates", Open: updates.Open, Client: b.client, Dead: b.dead, Log: slog.New(slog.DiscardHandler), Now: time.Now}
	b.run(stage, func() bool { return len(read[schemas.UpdateVerdict](b, schemas.TopicVerdict)) == 2 })
	if strings.Join(taken, ",") != "E06A one,E06A two" {
		t.Errorf("%v", taken)
	}
	for _, v := range read[schemas.UpdateVerdict](b, schemas.TopicVerdict) {
		if v.Authority != "E06A" || v.FileCode != "CPF02" || len(v.Verdicts) != 1 {
			t.Errorf("%+v", v)
		}
	}
	for _, n := range read[schemas.Notice](b, schemas.TopicNotice) {
		if n.Kind != schemas.NoticeFailure || n.Authority != "E06A" {
			t.Errorf("%+v", n)
		}
	}
	if dead := stage.Stats().Dead; dead != 4 {
		t.Errorf("%d set aside", dead)
	}
}
