package router

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"cpis/router/topics"
	"cpis/schemas"
)

// desk is an authority's receiver.
type desk struct {
	mu   sync.Mutex
	down bool
	got  []schemas.Notice
}

func (d *desk) Tell(_ context.Context, n schemas.Notice) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.down {
		return errors.New("connection refused")
	}
	d.got = append(d.got, n)
	return nil
}

func (d *desk) kinds() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	var out []string
	for _, n := range d.got {
		out = append(out, string(n.Kind))
	}
	return out
}

func (d *desk) count() int { return len(d.kinds()) }

func (b *bench) notices() *Notices {
	return &Notices{Publisher: b.publish, Keys: b.keys, Client: b.client}
}

// attendance is the notice of a visit of an authority's child.
func (b *bench) attendance(a schemas.AuthorityCode, n int, policy schemas.NotifyPolicy, unopened time.Duration) schemas.Notice {
	now := b.publish.Now().UTC().Truncate(time.Millisecond)
	return schemas.Notice{NoticeID: b.keys.ID("test", string(a), fmt.Sprint(n)), Kind: schemas.NoticeAttendance, Authority: a, SubjectRef: schemas.SubjectRef(fmt.Sprintf("subject-%d", n)),
		ODS: "RXX01", Setting: schemas.SettingEmergencyDepartment, OccurredAt: now, CreatedAt: now, Feed: "ed", ControlID: fmt.Sprint("M", n), OutcomeID: fmt.Sprint("O", n), PlanTypes: []string{"CPP"},
		Notify: policy, UnopenedAfter: int64(unopened / time.Second), Access: schemas.Access{Records: []schemas.PlanRecord{{PlanType: "CPP", RecordID: fmt.Sprint("R", n)}}}}
}

func (b *bench) tell(list ...schemas.Notice) {
	b.t.Helper()
	if err := b.notices().Tell(context.Background(), list...); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) telling(to map[schemas.AuthorityCode]Teller, age time.Duration) *Stage {
	tell := &Tell{Publisher: b.publish, Keys: b.keys, Tellers: to, Client: b.client, Logger: slog.New(slog.DiscardHandler)}
	return &Stage{Topic: schemas.TopicNotice, Group: "tell", Open: tell.Open, Workers: 8, MaxAge: age, GivenUp: tell.GivenUp, Client: b.client, Dead: b.dead, Log: slog.New(slog.DiscardHandler), Now: b.publish.Now}
}

func (b *bench) deliveries() []schemas.Delivery {
	return read[schemas.Delivery](b, schemas.TopicDelivery)
}

func TestNoticesReachTheirAuthorityAndNobodyElse(t *testing.T) {
	b := newBench(t, 1)
	a, c := &desk{}, &desk{}
	b.tell(b.attendance("E06A", 1, schemas.NotifyOnRegistration, 0), b.attendance("E06B", 2, schemas.NotifyOnRegistration, 0), b.attendance("E06A", 3, schemas.NotifyOnView, 0),
		b.attendance("E06C", 4, schemas.NotifyOnRegistration, 0), b.attendance("E06A", 5, schemas.NotifyBoth, 0))
	b.run(b.telling(map[schemas.AuthorityCode]Teller{"E06A": a, "E06B": c}, 0), func() bool { return a.count() == 2 && c.count() == 1 })
	if a.got[0].Access.Records[0].RecordID != "R1" || a.got[1].Access.Records[0].RecordID != "R5" || len(b.deliveries()) != 3 {
		t.Errorf("%v, %d on record", a.kinds(), len(b.deliveries()))
	}
}

// TestADeadReceiverHoldsUpItselfAlone: after a restart nobody is told twice.
func TestADeadReceiverHoldsUpItselfAlone(t *testing.T) {
	b := newBench(t, 1)
	dead, fine := &desk{down: true}, &desk{}
	for i := range 5 {
		b.tell(b.attendance("E06A", i, schemas.NotifyOnRegistration, 0), b.attendance("E06B", i, schemas.NotifyOnRegistration, 0))
	}
	to := map[schemas.AuthorityCode]Teller{"E06A": dead, "E06B": fine}
	b.run(b.telling(to, 0), func() bool { return fine.count() == 5 && len(b.deliveries()) == 5 })
	dead.down = false
	b.run(b.telling(to, 0), func() bool { return dead.count() == 5 })
	if fine.count() != 5 {
		t.Errorf("told %d times", fine.count())
	}
	var order []string
	for _, n := range dead.got {
		order = append(order, n.Access.Records[0].RecordID)
	}
	if !slices.IsSorted(order) {
		t.Errorf("out of order: %v", order)
	}
}

// informed are care settings that are told.
type informed struct {
	desk
	answers []schemas.Delivery
}

func (i *informed) Inform(_ context.Context, d schemas.Delivery, a schemas.Authority) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if a.Code != d.Authority {
		return errors.New("another's contacts")
	}
	i.answers = append(i.answers, d)
	return nil
}

// TestAfterThreeDaysAHumanIsTold runs 73 hours in a moment.
func TestAfterThreeDaysAHumanIsTold(t *testing.T) {
	b := newBench(t, 1)
	b.tell(b.attendance("E06A", 1, schemas.NotifyOnRegistration, 0))
	var mu sync.Mutex
	late := time.Duration(0)
	b.publish.Now = func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		return time.Now().Add(late)
	}
	mu.Lock()
	late = 73 * time.Hour
	mu.Unlock()
	b.run(b.telling(map[schemas.AuthorityCode]Teller{"E06A": &desk{down: true}}, TellFor), func() bool { return len(b.deliveries()) == 1 && len(read[schemas.Notice](b, schemas.TopicNotice)) == 2 })
	if d := b.deliveries()[0]; d.State != schemas.Undelivered || d.Feed != "ed" || d.ControlID != "M1" {
		t.Errorf("%+v", d)
	}
	var failures []schemas.Notice
	for _, n := range read[schemas.Notice](b, schemas.TopicNotice) {
		if n.Kind == schemas.NoticeFailure {
			failures = append(failures, n)
		}
	}
	if len(failures) != 1 || failures[0].Authority != "E06A" || !slices.Equal(failures[0].Codes, []string{"CPIS-K007"}) {
		t.Errorf("%+v", failures)
	}
	ed := &informed{}
	contacts := func(c schemas.AuthorityCode) (schemas.Authority, bool) {
		return schemas.Authority{Code: c}, c == "E06A"
	}
	inform := &Inform{Codec: b.publish.Codec, Informers: map[string]Informer{"ed": ed}, Contacts: contacts}
	n := b.attendance("E06A", 1, schemas.NotifyOnRegistration, 0)
	answer := DeliveryOf(n, schemas.Acknowledged, b.publish.Now())
	answer.Answer = schemas.AnswerWillCall
	elsewhere := answer
	elsewhere.Feed = "nobody"
	if err := errors.Join((&Deliveries{b.publish, b.keys}).Note(context.Background(), DeliveryOf(n, schemas.Delivered, b.publish.Now())), (&Deliveries{b.publish, b.keys}).Note(context.Background(), answer),
		(&Deliveries{b.publish, b.keys}).Note(context.Background(), elsewhere)); err != nil {
		t.Fatal(err)
	}
	stage := &Stage{Topic: schemas.TopicDelivery, Group: "inform", Open: inform.Open, Workers: 8, Client: b.client, Dead: b.dead, Log: slog.New(slog.DiscardHandler), Now: b.publish.Now}
	b.run(stage, func() bool {
		ed.mu.Lock()
		defer ed.mu.Unlock()
		return len(ed.answers) == 2
	})
	if ed.answers[0].State != schemas.Undelivered || ed.answers[1].Answer != schemas.AnswerWillCall {
		t.Errorf("%+v", ed.answers)
	}
}

// TestANoticeThatDoesNotOpenIsToldAllTheSame: without its records.
func TestANoticeThatDoesNotOpenIsToldAllTheSame(t *testing.T) {
	b := newBench(t, 1)
	b.tell(b.attendance("E06A", 1, schemas.NotifyOnRegistration, 0))
	other := newBench(t, 1)
	b.keys = other.keys // whoever tells has lost the key
	a := &desk{}
	b.run(b.telling(map[schemas.AuthorityCode]Teller{"E06A": a}, 0), func() bool { return a.count() == 1 })
	if len(a.got[0].Access.Records) != 0 || a.got[0].ODS != "RXX01" {
		t.Errorf("%+v", a.got[0])
	}
}

// TestWhatIsFetchedIsNotedOnce: by a process that has fetched before, and by one that
// begins.
func TestWhatIsFetchedIsNotedOnce(t *testing.T) {
	b := newBench(t, 1)
	for i := range 4 {
		b.tell(b.attendance("E06A", i, schemas.NotifyOnRegistration, 0), b.attendance("E06B", i, schemas.NotifyOnRegistration, 0))
	}
	confirm := func(f *Fetched, offset int64) {
		t.Helper()
		err := f.Confirm(context.Background(), "E06A", 0, 0, offset, func(r topics.Record) (schemas.Notice, bool, error) {
			var n schemas.Notice
			err := b.publish.Codec.Decode(context.Background(), schemas.TopicNotice, r.Value, &n)
			return n, n.Authority == "E06A", err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	fetched := func() *Fetched { return &Fetched{Deliveries: &Deliveries{b.publish, b.keys}, Client: b.client} }
	f := fetched()
	for _, step := range []struct {
		by     *Fetched
		offset int64
		noted  int
	}{{f, 0, 0}, {f, 4, 2}, {f, 4, 2}, {f, 2, 2}, {fetched(), 6, 3}, {f, 8, 5}, {fetched(), 8, 5}} {
		confirm(step.by, step.offset)
		if got := len(b.deliveries()); got != step.noted {
			t.Errorf("up to %d: %d noted, want %d", step.offset, got, step.noted)
		}
	}
	for _, d := range b.deliveries() {
		if d.Authority != "E06A" || d.Way != "PULL" || d.State != schemas.Delivered {
			t.Errorf("%+v", d)
		}
	}
}
