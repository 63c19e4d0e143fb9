package router

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"cpis/router/topics"
	"cpis/schemas"
)

// intakeOf is another process's intake, which has read what was taken.
func (b *bench) intakeOf() *Intake {
	b.t.Helper()
	in := &Intake{Publisher: b.publish, Keys: b.keys, Receipts: NewReceipts(time.Now)}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = in.Receipts.Follow(ctx, b.client) }()
	b.t.Cleanup(func() { cancel(); <-done })
	<-in.Receipts.Ready()
	return in
}

func (b *bench) take(in *Intake, payload string, records ...schemas.Registration) schemas.Receipt {
	b.t.Helper()
	got, err := in.Accept(context.Background(), records, []byte(payload))
	if err != nil {
		b.t.Fatal(err)
	}
	return got
}

// registrations reads the topic from its start.
func (b *bench) registrations() (regs []schemas.Registration, keys []string) {
	b.t.Helper()
	ctx := context.Background()
	codec := b.publish.Codec
	err := ReadSince(ctx, b.client, schemas.TopicRegistration, time.Unix(0, 0), func(r topics.Record) error {
		var reg schemas.Registration
		if err := codec.Decode(ctx, schemas.TopicRegistration, r.Value, &reg); err != nil {
			return err
		}
		regs, keys = append(regs, reg), append(keys, string(r.Key))
		return nil
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return regs, keys
}

// TestCopiesAreRecognised: by the process that took the message, by one that
// was started since, and by one that ran beside it; each gives the receipt of
// the first.
func TestCopiesAreRecognised(t *testing.T) {
	b := newBench(t, 3)
	one, beside := b.intakeOf(), b.intakeOf()
	first := b.take(one, "a", registration(1))
	if first.Duplicate {
		t.Error("the first is called a copy")
	}
	after := b.intakeOf()
	deadline := time.Now().Add(10 * time.Second)
	for {
		if _, known := beside.Receipts.taken(first.EventID); known || time.Now().After(deadline) {
			break
		}
		<-time.After(time.Millisecond)
	}
	for name, in := range map[string]*Intake{"itself": one, "started since": after, "beside it": beside} {
		got := b.take(in, "a", registration(1))
		if !got.Duplicate || got.EventID != first.EventID || !got.At.Equal(first.At) {
			t.Errorf("%s: %+v, the first was %+v", name, got, first)
		}
	}
	if regs, _ := b.registrations(); len(regs) != 1 || !regs[0].AcceptedAt.Equal(first.At) {
		t.Errorf("%d records", len(regs))
	}
}

// TestControlIDsUsedAgain: 1,000 messages, then 1,000 others with the same
// control ids, then the first 1,000 again: 2,000 events, of which the second
// thousand is marked.
func TestControlIDsUsedAgain(t *testing.T) {
	b := newBench(t, 3)
	in := b.intakeOf()
	const n = 1000
	var wait sync.WaitGroup
	send := func(content string) (copies int) {
		got := make([]schemas.Receipt, n)
		for i := range n {
			wait.Go(func() {
				r := registration(i)
				r.VisitNumber = content + r.VisitNumber
				got[i], _ = in.Accept(context.Background(), []schemas.Registration{r}, []byte(content+r.ControlID))
			})
		}
		wait.Wait()
		for _, r := range got {
			if r.EventID == "" {
				t.Fatal("one was not taken")
			}
			if r.Duplicate {
				copies++
			}
		}
		return copies
	}
	if a, c, again := send("a"), send("b"), send("a"); a != 0 || c != 0 || again != n {
		t.Errorf("copies: %d, %d, %d", a, c, again)
	}
	regs, _ := b.registrations()
	marked, events := 0, map[string]bool{}
	for _, r := range regs {
		events[r.EventID] = true
		if strings.Join(r.Marks, "") == "CPIS-H105" {
			marked++
		}
	}
	if len(regs) != 2*n || len(events) != 2*n || marked != n {
		t.Errorf("%d records of %d events, %d marked", len(regs), len(events), marked)
	}
}

// TestCopiesAtOnceAreOne: a sender that lost patience sends again while the
// first is in hand.
func TestCopiesAtOnceAreOne(t *testing.T) {
	b := newBench(t, 1)
	in := b.intakeOf()
	var wait sync.WaitGroup
	got := make([]schemas.Receipt, 20)
	for i := range got {
		wait.Go(func() {
			got[i], _ = in.Accept(context.Background(), []schemas.Registration{registration(1)}, []byte("a"))
		})
	}
	wait.Wait()
	first := 0
	for _, r := range got {
		if r.EventID == "" || !r.At.Equal(got[0].At) {
			t.Errorf("%+v", r)
		}
		if !r.Duplicate {
			first++
		}
	}
	if regs, _ := b.registrations(); first != 1 || len(regs) != 1 {
		t.Errorf("%d firsts, %d records", first, len(regs))
	}
}

// TestAVisitAsksOnce is the table of what asks: a message is its event's class,
// its person and its visit; the expectation is the class it ends with.
func TestAVisitAsksOnce(t *testing.T) {
	const registers, books, updates = schemas.ClassRegistration, schemas.ClassScheduled, schemas.ClassIdentity
	type message struct {
		class  schemas.EventClass
		person int // index of the NHS number; -1: none
		visit  string
		change func(*schemas.Registration)
	}
	verified := func(r *schemas.Registration) { r.NumberStatus = schemas.NumberVerified }
	unverified := func(r *schemas.Registration) { r.NumberStatus = schemas.NumberUnverified }
	began := func(ago time.Duration) func(*schemas.Registration) {
		return func(r *schemas.Registration) { r.VisitBegan = time.Now().Add(-ago) }
	}
	for name, c := range map[string]struct {
		messages []message
		want     string // class of each; + where it repeats, ! where it was promoted
	}{
		"registered, then admitted":            {[]message{{registers, 1, "V", nil}, {registers, 1, "V", nil}}, "REGISTRATION REGISTRATION+"},
		"another visit":                        {[]message{{registers, 1, "V", nil}, {registers, 1, "W", nil}}, "REGISTRATION REGISTRATION"},
		"updates after a registration":         {[]message{{registers, 1, "V", nil}, {updates, 1, "V", nil}, {updates, 1, "V", nil}}, "REGISTRATION IDENTITY IDENTITY"},
		"an update of a visit never seen":      {[]message{{updates, 1, "V", nil}, {updates, 1, "V", nil}}, "REGISTRATION! IDENTITY"},
		"a visit that began today":             {[]message{{updates, 1, "V", began(time.Hour)}}, "REGISTRATION!"},
		"a visit that began last week":         {[]message{{updates, 1, "V", began(7 * 24 * time.Hour)}}, "IDENTITY"},
		"a visit that is to begin tomorrow":    {[]message{{updates, 1, "V", began(-24 * time.Hour)}}, "IDENTITY"},
		"booked, then an update":               {[]message{{books, 1, "V", nil}, {updates, 1, "V", nil}}, "SCHEDULED IDENTITY"},
		"booked, then came":                    {[]message{{books, 1, "V", nil}, {registers, 1, "V", nil}}, "SCHEDULED REGISTRATION"},
		"the number comes later":               {[]message{{registers, -1, "V", nil}, {updates, 1, "V", nil}, {updates, 1, "V", nil}}, "REGISTRATION REGISTRATION! IDENTITY"},
		"the number is corrected":              {[]message{{registers, 1, "V", nil}, {updates, 2, "V", nil}}, "REGISTRATION REGISTRATION!"},
		"the number is traced later":           {[]message{{registers, 1, "V", unverified}, {updates, 1, "V", verified}, {updates, 1, "V", verified}}, "REGISTRATION REGISTRATION! IDENTITY"},
		"the visit was another's":              {[]message{{registers, 1, "V", nil}, {updates, 2, "V", func(r *schemas.Registration) { r.Link = schemas.LinkMove }}}, "REGISTRATION REGISTRATION!"},
		"an update without a visit":            {[]message{{updates, 1, "", nil}}, "IDENTITY"},
		"an update that may not be promoted":   {[]message{{updates, 1, "V", func(r *schemas.Registration) { r.Promotable = false }}}, "IDENTITY"},
		"registered without a visit, repeated": {[]message{{registers, 1, "", nil}, {registers, 1, "", nil}}, "REGISTRATION REGISTRATION"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, 1)
			for i, m := range c.messages {
				r := registration(i)
				r.Class, r.VisitNumber, r.Promotable = m.class, m.visit, m.class == updates
				r.Person.Number = schemas.NHSNumber{}
				if m.person >= 0 {
					r.Person.Number = number(m.person)
				} else {
					r.NumberStatus = schemas.NumberAbsent
				}
				if m.change != nil {
					m.change(&r)
				}
				b.take(b.intakeOf(), fmt.Sprint(i), r) // each by a process of its own: nothing is known but from the topic
			}
			regs, _ := b.registrations()
			var got []string
			for _, r := range regs {
				s := string(r.Class)
				if r.Repeat {
					s += "+"
				}
				if strings.Join(r.Marks, "") == "CPIS-H107" {
					s += "!"
				}
				got = append(got, s)
			}
			if strings.Join(got, " ") != c.want {
				t.Errorf("%v, want %s", got, c.want)
			}
		})
	}
}

// TestALinkIsWrittenUnderBothKeys: whoever reads one of the two records'
// events learns of it, and several of one message are told apart.
func TestALinkIsWrittenUnderBothKeys(t *testing.T) {
	b := newBench(t, 3)
	merge := func(into, from int) schemas.Registration {
		r := registration(1)
		r.Class, r.Link, r.Event, r.Person.Number, r.Retired.Number = schemas.ClassIdentity, schemas.LinkMerge, "A40", number(into), number(from)
		r.Evidence = schemas.Evidence{OperatorID: "U1", OperatorSource: "EVN-5", Mother: schemas.Person{Number: number(9)}, MotherSource: "NK1-33", Aliases: []string{"A^B"}}
		return r
	}
	b.take(b.intakeOf(), "a", merge(1, 2), merge(3, 4))
	regs, keys := b.registrations()
	parts, ids := map[int64]string{}, map[string]bool{}
	for i, r := range regs {
		parts[r.Part], ids[r.EventID] = keys[i], true
		retired, err := b.keys.OpenPerson(schemas.TopicRegistration, "", r.EventID+"/retired", r.SealedRetired)
		if err != nil || retired.Number.IsZero() {
			t.Errorf("part %d: %v", r.Part, err)
		}
		e, err := b.keys.OpenEvidence(r.EventID, r.SealedEvidence)
		if err != nil || e.OperatorID != "U1" || e.Mother.Number != number(9) || len(e.Aliases) != 1 {
			t.Errorf("part %d: evidence %v", r.Part, err)
		}
	}
	for part, n := range []int{1, 3, 2, 4} {
		if parts[int64(part)] != string(b.keys.SubjectRef(number(n))) {
			t.Errorf("part %d is under another key", part)
		}
	}
	if len(regs) != 4 || len(ids) != 4 {
		t.Errorf("%d records, %d ids", len(regs), len(ids))
	}
}

// stops appends so many commits and no more.
type stops struct {
	Appender
	after int
}

func (s *stops) Produce(ctx context.Context, records ...topics.Record) error {
	if s.after == 0 {
		return errors.New("gone")
	}
	s.after--
	return s.Appender.Produce(ctx, records...)
}

// TestAMergeIsTakenWholeOrNotAtAll: whichever commit is the last before the
// broker goes away, the sender is not told yes, and what it sends again is taken
// whole.
func TestAMergeIsTakenWholeOrNotAtAll(t *testing.T) {
	for after := range 2 {
		b := newBench(t, 3)
		r := registration(1)
		r.Class, r.Link, r.Event, r.Retired.Number = schemas.ClassIdentity, schemas.LinkMerge, "A40", number(2)
		in := b.intakeOf()
		publish := *in.Publisher
		publish.Log = &stops{b.producer, after}
		in.Publisher = &publish
		if _, err := in.Accept(context.Background(), []schemas.Registration{r}, []byte("a")); err == nil {
			t.Fatalf("after %d commits: taken", after)
		}
		if got := b.take(b.intakeOf(), "a", r); got.Duplicate {
			t.Errorf("after %d commits: called a copy", after)
		}
		parts := map[int64]bool{}
		regs, _ := b.registrations()
		for _, r := range regs {
			parts[r.Part] = true
		}
		if !parts[0] || !parts[1] {
			t.Errorf("after %d commits: parts %v", after, parts)
		}
	}
}

// TestReceiptsAreForgottenInTime bounds the memory of what was taken.
func TestReceiptsAreForgottenInTime(t *testing.T) {
	now := time.Date(2026, 11, 24, 10, 0, 0, 0, time.UTC)
	r := NewReceipts(func() time.Time { return now })
	note := func(n byte, at time.Time) {
		r.note(receipt{at.UnixMilli(), ref128{n}, ref128{n, 1}, ref128{n % 2, 2}})
	}
	note(1, now.Add(-25*time.Hour))
	note(2, now.Add(-23*time.Hour))
	note(3, now.Add(-2*time.Hour))
	if len(r.events) != 2 || len(r.controls) != 2 || len(r.questions) != 2 {
		t.Errorf("%d events, %d control ids, %d questions", len(r.events), len(r.controls), len(r.questions))
	}
	now = now.Add(3 * time.Hour)
	note(4, now)
	if len(r.events) != 2 || len(r.questions) != 2 || len(r.order) != 2 {
		t.Errorf("later: %d events, %d questions, %d in order", len(r.events), len(r.questions), len(r.order))
	}
}
