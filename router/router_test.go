package router

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"go.uber.org/goleak"

	"cpis/router/topics"
	"cpis/schemas"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bench is a router over an in-process Kafka, with a scripted decider.
type bench struct {
	t        testing.TB
	client   *topics.Client
	producer *topics.Producer
	publish  *Publisher
	keys     *schemas.Keyring
	dead     *DeadLetters
	intake   *Intake
}

func newBench(t testing.TB, partitions int) *bench {
	t.Helper()
	f, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Close)
	ctx := context.Background()
	b := &bench{t: t}
	if b.client, err = topics.Open(ctx, topics.Config{Brokers: f.ListenAddrs(), EventPartitions: partitions}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.client.Close() })
	if _, err := b.client.Apply(ctx); err != nil {
		t.Fatal(err)
	}
	if b.producer, err = b.client.NewProducer(ctx); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = b.producer.Close(ctx)
	})
	codec, err := schemas.NewCodec(ctx, &schemas.MemoryRegistry{})
	if err != nil {
		t.Fatal(err)
	}
	if b.keys, err = schemas.OpenKeyring(t.TempDir(), true); err != nil {
		t.Fatal(err)
	}
	b.publish = &Publisher{Codec: codec, Log: b.producer, Now: time.Now}
	b.dead = &DeadLetters{Publisher: b.publish, Keys: b.keys, Client: b.client}
	b.intake = &Intake{Publisher: b.publish, Keys: b.keys, Receipts: NewReceipts(time.Now)}
	return b
}

// number invents the n-th valid NHS number of the 999 range.
func number(n int) schemas.NHSNumber {
	for stem := 0; ; stem++ {
		for check := range 10 {
			got, err := schemas.ParseNHSNumber(fmt.Sprintf("999%06d%d", stem, check))
			if err == nil {
				if n == 0 {
					return got
				}
				n--
			}
		}
	}
}

func registration(i int) schemas.Registration {
	return schemas.Registration{Feed: "ed", ODS: "RXX01", Setting: schemas.SettingEmergencyDepartment, ControlID: fmt.Sprint(i), Event: "A04",
		Class: schemas.ClassRegistration, NumberStatus: schemas.NumberVerified, VisitNumber: fmt.Sprintf("V%d", i),
		Person: schemas.Person{Number: number(i % 40), FamilyName: "Example", DateOfBirth: "2020-02-03"}}
}

func (b *bench) accept(regs ...schemas.Registration) {
	b.t.Helper()
	for _, r := range regs {
		if _, err := b.intake.Accept(context.Background(), []schemas.Registration{r}, []byte("message "+r.ControlID)); err != nil {
			b.t.Fatal(err)
		}
	}
}

// bySubject is a decider's answers resting on the indicators of the subject.
type bySubject struct{}

func (bySubject) Watched(r schemas.Registration) []string { return []string{string(r.SubjectRef)} }

func (bySubject) Touched(key, _ []byte) []string {
	return []string{string(bytes.Split(key, []byte("/"))[1])}
}

// decider answers by the NHS number: the first is on a plan; while broken it
// can tell nobody anything.
type decider struct {
	bySubject
	mu     sync.Mutex
	broken bool
	asked  int
	flip   bool // the plan is gone, and the second person has one
}

func (d *decider) Decide(_ context.Context, regs []schemas.Registration) []schemas.Decision {
	d.mu.Lock()
	defer d.mu.Unlock()
	out := make([]schemas.Decision, len(regs))
	for i, r := range regs {
		d.asked++
		switch {
		case d.broken:
			out[i] = schemas.Decision{State: schemas.StateCheckFailed, Reason: schemas.ReasonIndexUnreachable}
		case r.Person.Number == number(0) && !d.flip, r.Person.Number == number(1) && d.flip:
			out[i] = schemas.Decision{State: schemas.StateIndicator, Reason: schemas.ReasonPlanCurrent, Subject: r.SubjectRef, Plans: []schemas.Plan{
				{Authority: "E06A", AuthorityName: "A", PlanType: schemas.PlanChildProtection, PlanStart: "2026-01-02", RecordID: "A1"},
				{Authority: "E06B", AuthorityName: "B", PlanType: schemas.PlanLookedAfter, PlanStart: "2025-01-02", RecordID: "B1"}}}
		default:
			out[i] = schemas.Decision{State: schemas.StateNoneShared, Reason: schemas.ReasonNothingShared}
		}
	}
	return out
}

func (d *decider) set(f func(*decider)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f(d)
}

// decide runs the stage until enough says so, then stops it.
func (b *bench) decide(d Decider, log Appender, enough func() bool) {
	b.t.Helper()
	publish := *b.publish
	publish.Log = log
	stage := &Decide{Publisher: &publish, Keys: b.keys, Decider: d, Client: b.client, Logger: slog.New(slog.DiscardHandler), Place: time.UTC}
	s := &Stage{Topic: schemas.TopicRegistration, Group: "matcher", Open: stage.Open, AnswerBehind: true, Client: b.client, Dead: b.dead,
		Log: slog.New(slog.DiscardHandler), Now: time.Now}
	b.run(s, enough)
}

func (b *bench) run(s *Stage, enough func() bool) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	stopped := make(chan struct{})
	go func() { _ = s.Run(ctx); close(stopped) }()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !enough() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			b.t.Error("the stage did not get there")
			<-stopped
			return
		}
	}
	cancel()
	<-stopped
}

func read[T any](b *bench, t schemas.Topic) []T {
	b.t.Helper()
	var out []T
	err := ReadSince(context.Background(), b.client, t, time.Time{}, func(r topics.Record) error {
		var v T
		if err := b.publish.Codec.Decode(context.Background(), t, r.Value, &v); err != nil {
			return err
		}
		out = append(out, v)
		return nil
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return out
}

func (b *bench) outcomes(n int) func() bool {
	return func() bool { return len(read[schemas.Outcome](b, schemas.TopicOutcome)) >= n }
}

// answered waits for n outcomes and for their audit records: both go in one commit, whose
// parts become visible one after the other. A commit that was given up half way may still
// land beside the one that made up for it, so audit records are counted by their ids.
func (b *bench) answered(n int) func() bool {
	return func() bool { return b.outcomes(n)() && b.audits() >= n }
}

func (b *bench) audits() int {
	ids := map[string]bool{}
	for _, a := range read[schemas.Audit](b, schemas.TopicAudit) {
		ids[a.AuditID] = true
	}
	return len(ids)
}

func TestEachRegistrationHasOneAnswerOneAuditRecordAndItsNotices(t *testing.T) {
	b := newBench(t, 3)
	var regs []schemas.Registration
	for i := range 120 {
		regs = append(regs, registration(i))
	}
	b.accept(regs...)
	b.decide(&decider{}, b.producer, b.answered(120))
	outcomes, audits, notices := read[schemas.Outcome](b, schemas.TopicOutcome), read[schemas.Audit](b, schemas.TopicAudit), read[schemas.Notice](b, schemas.TopicNotice)
	if len(outcomes) != 120 || len(audits) != 120 {
		t.Fatalf("%d outcomes, %d audit records", len(outcomes), len(audits))
	}
	flagged := 0
	for _, o := range outcomes {
		if !o.State.Matched() {
			if o.SubjectRef != "" || len(o.SealedDetails) > 0 {
				t.Errorf("outcome of control id %s holds an identity without a match", o.ControlID)
			}
			continue
		}
		flagged++
		d, err := b.keys.OpenDetails(o.OutcomeID, o.SealedDetails)
		if err != nil || d.Person.Number != number(0) || len(d.Plans) != 2 {
			t.Errorf("details: %v", err)
		}
	}
	if flagged != 3 || len(notices) != 6 {
		t.Errorf("%d flagged, %d notices, want 3 and 6", flagged, len(notices))
	}
	for _, n := range notices {
		p, err := b.keys.OpenPerson(schemas.TopicNotice, n.Authority, n.NoticeID, n.SealedPerson)
		if err != nil || p.LocalID != string(n.Authority[3])+"1" {
			t.Errorf("notice to %s: %v", n.Authority, err)
		}
	}
	for _, a := range audits {
		if (a.SubjectRef != "") != a.State.Matched() {
			t.Error("an audit record without a match holds a pseudonym")
		}
	}
}

func TestOneNoticePerVisitAndAuthority(t *testing.T) {
	b := newBench(t, 1)
	first, second := registration(0), registration(0)
	second.ControlID, second.Event = "other", "A01"
	b.accept(first, second)
	b.decide(&decider{}, b.producer, b.outcomes(2))
	if n := read[schemas.Notice](b, schemas.TopicNotice); len(n) != 2 {
		t.Errorf("%d notices for one visit and two authorities", len(n))
	}
}

func TestAResendIsAnsweredOnce(t *testing.T) {
	b := newBench(t, 1)
	b.accept(registration(1), registration(1), registration(2))
	b.decide(&decider{}, b.producer, b.answered(2))
	b.accept(registration(1), registration(3)) // after a restart of the matcher
	b.decide(&decider{}, b.producer, b.answered(3))
	if o, a := read[schemas.Outcome](b, schemas.TopicOutcome), b.audits(); len(o) != 3 || a != 3 {
		t.Errorf("%d outcomes, %d audit records for 3 messages", len(o), a)
	}
}

func TestCheckFailedBecomesAnAnswer(t *testing.T) {
	b := newBench(t, 1)
	d := &decider{broken: true}
	b.accept(registration(0), registration(1), registration(40)) // 0 and 40 are the same person
	failedFor := func(n int) func() bool {
		return func() bool {
			ids := map[string]bool{}
			for _, o := range read[schemas.Outcome](b, schemas.TopicOutcome) {
				ids[o.EventID] = true
			}
			return len(ids) == n
		}
	}
	b.decide(d, b.producer, failedFor(3))
	for _, o := range read[schemas.Outcome](b, schemas.TopicOutcome) {
		if o.State != schemas.StateCheckFailed {
			t.Fatalf("%s while the index is down", o.State)
		}
	}
	d.set(func(d *decider) { d.broken = false })
	final := func() bool {
		n := 0
		for _, o := range read[schemas.Outcome](b, schemas.TopicOutcome) {
			if o.State != schemas.StateCheckFailed {
				n++
			}
		}
		return n == 3
	}
	b.decide(d, b.producer, final)
	failed, answers := map[string]string{}, 0
	var order []string
	for _, o := range read[schemas.Outcome](b, schemas.TopicOutcome) {
		if o.State == schemas.StateCheckFailed {
			if failed[o.EventID] != "" {
				t.Error("CHECK_FAILED was told twice")
			}
			failed[o.EventID] = o.OutcomeID
			continue
		}
		answers++
		order = append(order, o.ControlID)
		if o.Corrects == "" || o.Corrects != failed[o.EventID] {
			t.Errorf("answer corrects %q, CHECK_FAILED was %q", o.Corrects, failed[o.EventID])
		}
	}
	if answers != 3 || slices.Index(order, "0") > slices.Index(order, "40") {
		t.Errorf("answers in order %v", order)
	}
}

func TestUnreadableRecordsAreSetAsideAndTheNextFlows(t *testing.T) {
	b := newBench(t, 1)
	ctx := context.Background()
	good := registration(1)
	b.accept(good)
	bad := topics.Record{Topic: schemas.TopicRegistration, Key: []byte("k"), Value: []byte{0, 0, 0, 9, 9, 1, 2}, Time: time.Now(), Headers: []topics.Header{{Key: "ce_id", Value: []byte("x")}}}
	if err := b.producer.Produce(ctx, bad); err != nil {
		t.Fatal(err)
	}
	swapped := moved(t, b)
	if err := b.producer.Produce(ctx, swapped); err != nil {
		t.Fatal(err)
	}
	b.accept(registration(2))
	b.decide(&decider{}, b.producer, func() bool {
		letters, err := b.dead.List(ctx)
		return err == nil && len(letters) == 2 && b.outcomes(2)()
	})
	letters, err := b.dead.List(ctx)
	if err != nil || len(letters) != 2 || letters[0].Code != "CPIS-K001" || letters[1].Code != "CPIS-K002" {
		t.Fatalf("dead letters %+v, %v", letters, err)
	}
	back, err := letters[0].Original()
	if err != nil || string(back.Key) != "k" || string(back.Value) != string(bad.Value) || back.Topic != schemas.TopicRegistration {
		t.Errorf("the original is %+v, %v", back, err)
	}
	if err := b.dead.Close(ctx, letters[0], "replayed", ""); err != nil {
		t.Fatal(err)
	}
	letters, err = b.dead.List(ctx)
	if err != nil || letters[0].Closed != "replayed" {
		t.Fatalf("after closing: %+v, %v", letters[0], err)
	}
	var refusal *schemas.Refusal
	if err := b.dead.Close(ctx, letters[0], "replayed", ""); !errors.As(err, &refusal) || refusal.Code != "CPIS-D002" {
		t.Errorf("closing twice: %v", err)
	}
}

// moved is a registration whose sealed person belongs to another.
func moved(t *testing.T, b *bench) topics.Record {
	t.Helper()
	r := registration(5)
	r.EventID, r.SubjectRef, r.AcceptedAt = strings.Repeat("ab", 16), "ref", time.Now()
	var err error
	if r.SealedPerson, err = b.keys.SealPerson(schemas.TopicRegistration, "", "another event", r.Person); err != nil {
		t.Fatal(err)
	}
	rec, err := b.publish.record(schemas.TopicRegistration, "ref", r.EventID, r.EventID, r)
	if err != nil {
		t.Fatal(err)
	}
	return rec
}

func TestQuarantinedBytesAreSealedAndComeBack(t *testing.T) {
	b := newBench(t, 1)
	ctx := context.Background()
	raw := []byte("MSH|CANARY")
	err := b.dead.Quarantine(ctx, Refused{Origin: OriginMLLP, Feed: "ed", ControlID: "7", Raw: raw,
		Refusal: schemas.Refusal{Code: "CPIS-H010", Location: "PID", Reason: "missing"}})
	if err != nil {
		t.Fatal(err)
	}
	letters, err := b.dead.List(ctx)
	if err != nil || len(letters) != 1 || letters[0].Code != "CPIS-H010" || strings.Contains(string(letters[0].record.Value), "CANARY") {
		t.Fatalf("letters %+v, %v", letters, err)
	}
	q, back, err := b.dead.Quarantined(ctx, letters[0])
	if err != nil || string(back) != string(raw) || q.ControlID != "7" {
		t.Errorf("opened %q, %+v, %v", back, q, err)
	}
}
