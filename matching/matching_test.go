package matching

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"pgregory.net/rapid"

	"cpis/matching/index"
	"cpis/schemas"
)

func TestPlansInTime(t *testing.T) {
	cpp := func(start, end schemas.Date) schemas.Indicator {
		return schemas.Indicator{PlanType: schemas.PlanChildProtection, PlanStart: start, PlanEnd: end}
	}
	unborn := func(end, expected schemas.Date) schemas.Indicator {
		return schemas.Indicator{PlanType: schemas.PlanUnborn, PlanStart: "2026-01-01", PlanEnd: end, ExpectedDate: expected}
	}
	for name, c := range map[string]struct {
		i           schemas.Indicator
		born, today schemas.Date
		want        string
	}{
		"day before it begins":           {cpp("2026-03-03", ""), "2019-01-01", "2026-03-02", "hidden"},
		"day it begins":                  {cpp("2026-03-03", ""), "2019-01-01", "2026-03-03", "current"},
		"day it ends":                    {cpp("2025-03-03", "2026-03-03"), "2019-01-01", "2026-03-03", "current"},
		"day after":                      {cpp("2025-03-03", "2026-03-03"), "2019-01-01", "2026-03-04", "ended"},
		"365 days after":                 {cpp("2025-03-03", "2026-03-03"), "2019-01-01", "2027-03-03", "ended"},
		"366 days after":                 {cpp("2025-03-03", "2026-03-03"), "2019-01-01", "2027-03-04", "hidden"},
		"over a leap day":                {cpp("2023-03-03", "2023-06-01"), "2019-01-01", "2024-05-31", "ended"},
		"day before the 18th birthday":   {cpp("2025-03-03", ""), "2008-11-25", "2026-11-24", "current"},
		"the 18th birthday":              {cpp("2025-03-03", ""), "2008-11-24", "2026-11-24", "hidden"},
		"born on a leap day":             {cpp("2025-03-03", ""), "2008-02-29", "2026-02-28", "current"},
		"born on a leap day, day after":  {cpp("2025-03-03", ""), "2008-02-29", "2026-03-01", "hidden"},
		"no date of birth known":         {cpp("2025-03-03", ""), "", "2026-11-24", "current"},
		"unborn, mother of 31":           {unborn("", "2026-12-01"), "1995-01-01", "2026-11-24", "current"},
		"unborn, 28 days after":          {unborn("", "2026-12-01"), "1995-01-01", "2026-12-29", "current"},
		"unborn, 29 days after":          {unborn("", "2026-12-01"), "1995-01-01", "2026-12-30", "hidden"},
		"unborn, ended before the birth": {unborn("2026-10-01", "2026-12-01"), "1995-01-01", "2026-12-29", "ended"},
		"unborn, no date, open":          {unborn("", ""), "1995-01-01", "2028-01-01", "current"},
		"unborn, no date, ended":         {unborn("2026-10-01", ""), "1995-01-01", "2026-10-29", "ended"},
		"unborn, no date, long ended":    {unborn("2026-10-01", ""), "1995-01-01", "2026-10-30", "hidden"},
	} {
		t.Run(name, func(t *testing.T) {
			visible, ended, _ := c.i.Shown(c.born, c.today)
			got := map[[2]bool]string{{false, false}: "hidden", {false, true}: "hidden", {true, false}: "current", {true, true}: "ended"}[[2]bool{visible, ended}]
			if got != c.want {
				t.Errorf("%s, want %s", got, c.want)
			}
		})
	}
}

// TestAPlanIsShownWithoutAGap walks through days: a plan is hidden, then
// current, then ended, then hidden, and never goes back.
func TestAPlanIsShownWithoutAGap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		start := schemas.Date("2024-01-01").AddDays(rapid.IntRange(0, 700).Draw(t, "start"))
		i := schemas.Indicator{PlanType: rapid.SampledFrom([]schemas.PlanType{schemas.PlanChildProtection, schemas.PlanLookedAfter}).Draw(t, "type"), PlanStart: start}
		if rapid.Bool().Draw(t, "has an end") {
			i.PlanEnd = start.AddDays(rapid.IntRange(0, 500).Draw(t, "end"))
		}
		born := schemas.Date("2006-01-01").AddDays(rapid.IntRange(0, 7000).Draw(t, "born"))
		phase := 0 // 0 before, 1 current, 2 ended, 3 over
		for d := range 1500 {
			today := schemas.Date("2024-01-01").AddDays(d)
			visible, ended, until := i.Shown(born, today)
			now := 0
			switch {
			case visible && !ended:
				now = 1
			case visible:
				now = 2
				if until != i.PlanEnd.AddDays(schemas.EndedDays) {
					t.Fatalf("shown until %s", until)
				}
			case today >= start:
				now = 3
			}
			if now < phase {
				t.Fatalf("%s: phase %d after %d", today, now, phase)
			}
			phase = now
			if visible && today >= born.AddYears(schemas.AdultYears) {
				t.Fatalf("shown to be a child on %s, born %s", today, born)
			}
		}
	})
}

// world is a matcher over a real index in an in-process Redis.
type world struct {
	t       *testing.T
	redis   *miniredis.Miniredis
	keys    *schemas.Keyring
	codec   *schemas.Codec
	matcher *Matcher
	now     time.Time

	mu      sync.Mutex
	changes []index.Change
	held    int    // changes the index may not see yet
	stop    func() // the index is followed no more
}

func (w *world) Bounds(context.Context) (int64, int64, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return 0, int64(len(w.changes) - w.held), nil
}

func (w *world) Read(ctx context.Context, from int64) (index.Page, error) {
	select {
	case <-time.After(time.Millisecond):
	case <-ctx.Done():
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	visible := w.changes[:max(0, len(w.changes)-w.held)]
	return index.Page{Changes: visible[min(int(from), len(visible)):], Next: int64(len(visible))}, nil
}

func (w *world) horizon(context.Context) (int64, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return int64(len(w.changes)), nil
}

func (w *world) open(value []byte) (schemas.Indicator, error) {
	var i schemas.Indicator
	if err := w.codec.Decode(context.Background(), schemas.TopicIndicator, value, &i); err != nil {
		return i, err
	}
	var err error
	if !i.Withdrawn {
		i.Person, err = w.keys.OpenPerson(schemas.TopicIndicator, i.Authority, string(i.Key()), i.SealedPerson)
	}
	return i, err
}

func (w *world) share(i schemas.Indicator) {
	w.t.Helper()
	i.SubjectRef, i.ReceivedAt, i.UploadID = w.keys.SubjectRef(i.Person.Number), w.now, "u"
	var err error
	if !i.Withdrawn {
		i.SealedPerson, err = w.keys.SealPerson(schemas.TopicIndicator, i.Authority, string(i.Key()), i.Person)
	}
	if err != nil {
		w.t.Fatal(err)
	}
	value, err := w.codec.Encode(schemas.TopicIndicator, i)
	if err != nil {
		w.t.Fatal(err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.changes = append(w.changes, index.Change{Key: i.Key(), Value: value})
}

func (w *world) hold(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.held = n
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, redis: miniredis.RunT(t), now: time.Date(2026, 11, 24, 10, 0, 0, 0, time.UTC)}
	var err error
	if w.keys, err = schemas.OpenKeyring(t.TempDir(), true); err != nil {
		t.Fatal(err)
	}
	if w.codec, err = schemas.NewCodec(context.Background(), &schemas.MemoryRegistry{}); err != nil {
		t.Fatal(err)
	}
	config := index.Config{URL: "redis://" + w.redis.Addr() + "/0"}
	reader, err := index.OpenReader(config, w.keys)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = reader.Close() })
	d := Describer{Keys: w.keys, Open: w.open}
	writer, err := index.OpenWriter(config, w.keys, d.Describe, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil { // it ends when Redis is away, and is begun anew
			_ = writer.Follow(ctx, w)
		}
		_ = writer.Close()
	}()
	w.stop = sync.OnceFunc(func() { cancel(); <-done })
	t.Cleanup(w.stop)
	contacts := NewDirectory(36 * time.Hour)
	contacts.Put(schemas.Authority{Code: "E06A", Name: "Aford", OfficePhone: "01632 960001", EmergencyPhone: "01632 960002", OfficeHours: "Mon-Fri 09:00-17:00", UpdatedAt: w.now, LastLoadAt: w.now.Add(-40 * time.Hour)})
	if w.matcher, err = New(Config{BehindWait: 100 * time.Millisecond}, Sources{reader, d, contacts, NewLinks(), NewRenderings(time.Hour), w.horizon, func() time.Time { return time.Now().Add(w.now.Sub(startOfTest)) }}); err != nil {
		t.Fatal(err)
	}
	return w
}

var startOfTest = time.Now()

func (w *world) decide(r schemas.Registration) schemas.Decision {
	r.SubjectRef = w.keys.SubjectRef(r.Person.Number)
	if r.NumberStatus == "" {
		r.NumberStatus = schemas.NumberVerified
	}
	return w.matcher.Decide(context.Background(), []schemas.Registration{r})[0]
}

// settle decides until the index is there.
func (w *world) settle(r schemas.Registration) schemas.Decision {
	w.t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for {
		d := w.decide(r)
		if d.State != schemas.StateCheckFailed || time.Now().After(deadline) {
			return d
		}
	}
}

func number(t testing.TB, digits string) schemas.NHSNumber {
	t.Helper()
	n, err := schemas.ParseNHSNumber(digits)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// english makes a valid number that begins with a prefix.
func english(t testing.TB, prefix string) schemas.NHSNumber {
	t.Helper()
	for stem := 0; ; stem++ {
		for check := range 10 {
			if n, err := schemas.ParseNHSNumber(fmt.Sprintf("%s%0*d%d", prefix, 9-len(prefix), stem, check)); err == nil {
				return n
			}
		}
	}
}

// TestWhatWasTakenBackIsGone: the marker that is left keeps a version, and is no plan
// in any way of looking.
func TestWhatWasTakenBackIsGone(t *testing.T) {
	w := newWorld(t)
	ada := schemas.Person{Number: number(t, "9990000018"), FamilyName: "Quillfeather", GivenNames: "Zoe", DateOfBirth: "2019-08-07", Postcode: "ZZ1 1AA"}
	plan := schemas.Indicator{Authority: "E06A", PlanType: schemas.PlanChildProtection, PlanStart: "2026-03-03", Version: 1, Person: ada}
	w.share(plan)
	byDetails := schemas.Registration{NumberStatus: schemas.NumberAbsent, Person: schemas.Person{FamilyName: "Quillfeather", GivenNames: "Zoe", DateOfBirth: "2019-08-07", Postcode: "ZZ1 1AA"}}
	if d, p := w.settle(schemas.Registration{Person: ada}), w.settle(byDetails); d.State != schemas.StateIndicator || p.State != schemas.StatePossible {
		t.Fatalf("%s, %s", d.State, p.State)
	}
	held := func() bool {
		h, err := w.matcher.Held(context.Background(), w.keys.SubjectRef(ada.Number))
		return h && err == nil
	}
	if !held() {
		t.Error("a plan does not stand")
	}
	plan.Version, plan.Withdrawn, plan.PlanStart = 2, true, ""
	w.share(plan)
	if d, p := w.settle(schemas.Registration{Person: ada}), w.settle(byDetails); d.State != schemas.StateNoneShared || p.State != schemas.StateNotChecked || held() {
		t.Errorf("taken back: %s, %s, held %v", d.State, p.State, held())
	}
	d := Describer{Keys: w.keys, Open: w.open}
	if described, err := d.Describe(w.changes[1].Key, w.changes[1].Value); err != nil || len(described) != 0 {
		t.Errorf("%d descriptions, %v", len(described), err)
	}
	if names := d.Touched(w.changes[1].Key, w.changes[1].Value); len(names) != 1 {
		t.Errorf("%d names", len(names))
	}
}

func TestTheSixAnswers(t *testing.T) {
	w := newWorld(t)
	ada := schemas.Person{Number: number(t, "9990000018"), FamilyName: "Example", GivenNames: "Ada", DateOfBirth: "2019-08-07"}
	w.share(schemas.Indicator{Authority: "E06A", PlanType: schemas.PlanChildProtection, PlanStart: "2026-03-03", Version: 1, Person: ada})
	w.share(schemas.Indicator{Authority: "E06B", PlanType: schemas.PlanLookedAfter, PlanStart: "2026-05-05", Version: 1, Person: ada})
	ended := schemas.Person{Number: english(t, "9991"), DateOfBirth: "2018-01-01"}
	w.share(schemas.Indicator{Authority: "E06A", PlanType: schemas.PlanChildProtection, PlanStart: "2025-01-01", PlanEnd: "2026-01-09", Version: 1, Person: ended})
	foreign := schemas.Person{Number: english(t, "32")}
	w.share(schemas.Indicator{Authority: "E06A", PlanType: schemas.PlanLookedAfter, PlanStart: "2026-01-01", Version: 1, Person: foreign})

	d := w.settle(schemas.Registration{Person: ada})
	if d.State != schemas.StateIndicator || len(d.Plans) != 2 || d.Plans[0].Authority != "E06B" || d.Plans[1].RingNow != "01632 960001" || d.Plans[0].RingNow != "" || d.Plans[0].AuthorityName != "E06B" {
		t.Errorf("on two plans: %+v", d)
	}
	if strings.Join(d.Freshness.LateAuthorities, ",") != "E06A" || d.Freshness.Position != 4 || d.Freshness.Generation == "" {
		t.Errorf("freshness %+v", d.Freshness)
	}
	swapped := ada
	swapped.DateOfBirth = "2019-07-08"
	twin := ada
	twin.GivenNames = "Eve"
	stranger := swapped
	stranger.FamilyName = "Other"
	nobody := schemas.Person{FamilyName: "Nemo", GivenNames: "Zebedee Quill", DateOfBirth: "2014-02-03", Sex: "M", Postcode: "ZZ1 1ZZ"}
	unheld := nobody
	unheld.Number = number(t, "9990000026")
	for name, c := range map[string]struct {
		r      schemas.Registration
		state  schemas.State
		reason schemas.Reason
	}{
		"ended":                    {schemas.Registration{Person: ended}, schemas.StateIndicatorEnded, schemas.ReasonPlanEnded},
		"nothing shared":           {schemas.Registration{Person: schemas.Person{Number: number(t, "9990000026")}}, schemas.StateNoneShared, schemas.ReasonNothingShared},
		"English, nothing shared":  {schemas.Registration{Person: schemas.Person{Number: english(t, "45")}}, schemas.StateNoneShared, schemas.ReasonNothingShared},
		"Scottish, nothing shared": {schemas.Registration{Person: schemas.Person{Number: english(t, "01")}}, schemas.StateNotChecked, schemas.ReasonOtherCountry},
		"unissued range":           {schemas.Registration{Person: schemas.Person{Number: english(t, "5")}}, schemas.StateNotChecked, schemas.ReasonNumberInvalid},
		"a plan in another range":  {schemas.Registration{Person: foreign}, schemas.StateIndicator, schemas.ReasonPlanCurrent},
		"not verified, just so":    {schemas.Registration{Person: ada, NumberStatus: schemas.NumberUnverified}, schemas.StateIndicator, schemas.ReasonDetailsAgree},
		"not verified, swapped":    {schemas.Registration{Person: swapped, NumberStatus: schemas.NumberUnverified}, schemas.StatePossible, schemas.ReasonDetailsMayAgree},
		"not verified, not held":   {schemas.Registration{Person: unheld, NumberStatus: schemas.NumberUnverified}, schemas.StateNotChecked, schemas.ReasonNumberUnverified},
		"none given":               {schemas.Registration{NumberStatus: schemas.NumberAbsent}, schemas.StateNotChecked, schemas.ReasonTooLittle},
		"none given, nobody fits":  {schemas.Registration{NumberStatus: schemas.NumberAbsent, Person: nobody}, schemas.StateNotChecked, schemas.ReasonNumberAbsent},
		"wrong check digit":        {schemas.Registration{NumberStatus: schemas.NumberInvalid}, schemas.StateNotChecked, schemas.ReasonNumberInvalid},
		"trace conflict":           {schemas.Registration{Person: ada, NumberStatus: schemas.NumberConflict}, schemas.StateNotChecked, schemas.ReasonNumberConflict},
		"verified but no number":   {schemas.Registration{}, schemas.StateNotChecked, schemas.ReasonTooLittle},
		"another's number":         {schemas.Registration{Person: twin}, schemas.StateNotChecked, schemas.ReasonIdentityConflict},
		"day and month swapped":    {schemas.Registration{Person: swapped}, schemas.StateIndicator, schemas.ReasonPlanCurrent},
		"swapped, other family":    {schemas.Registration{Person: stranger}, schemas.StateNotChecked, schemas.ReasonIdentityConflict},
	} {
		if d := w.decide(c.r); d.State != c.state || d.Reason != c.reason {
			t.Errorf("%s: %s %s, want %s %s", name, d.State, d.Reason, c.state, c.reason)
		}
	}
}

// TestNoneOnlyWhenTheIndexIsNewEnough is promise 3: an indicator that was
// acknowledged and not yet taken in turns "none" into "cannot tell".
func TestNoneOnlyWhenTheIndexIsNewEnough(t *testing.T) {
	w := newWorld(t)
	ben := schemas.Person{Number: number(t, "9990000026")}
	if d := w.settle(schemas.Registration{Person: ben}); d.State != schemas.StateNoneShared {
		t.Fatalf("%+v", d)
	}
	w.hold(1)
	w.share(schemas.Indicator{Authority: "E06A", PlanType: schemas.PlanLookedAfter, PlanStart: "2026-01-01", Version: 1, Person: ben})
	if d := w.decide(schemas.Registration{Person: ben}); d.State != schemas.StateCheckFailed || d.Reason != schemas.ReasonIndexBehind {
		t.Errorf("behind: %+v", d)
	}
	w.hold(0)
	if d := w.settle(schemas.Registration{Person: ben}); d.State != schemas.StateIndicator {
		t.Errorf("caught up: %+v", d)
	}
	w.redis.FlushAll()
	if d := w.decide(schemas.Registration{Person: ben}); d.State == schemas.StateNoneShared {
		t.Errorf("flushed: %+v", d)
	}
	w.redis.SetError("DOWN")
	if d := w.decide(schemas.Registration{Person: ben}); d.State != schemas.StateCheckFailed || d.Reason != schemas.ReasonIndexUnreachable {
		t.Errorf("down: %+v", d)
	}
	w.redis.SetError("")
	if d := w.settle(schemas.Registration{Person: ben}); d.State != schemas.StateIndicator {
		t.Errorf("recovered: %+v", d)
	}
	w.matcher.Horizon = func(context.Context) (int64, error) { return 0, errors.New("no broker") }
	if d := w.decide(schemas.Registration{Person: ben}); d.State != schemas.StateCheckFailed {
		t.Errorf("no horizon: %+v", d)
	}
}

func TestEveryReasonThatIsNoPlanIsExplained(t *testing.T) {
	for _, r := range []schemas.Reason{schemas.ReasonNumberAbsent, schemas.ReasonNumberInvalid, schemas.ReasonNumberUnverified, schemas.ReasonNumberConflict,
		schemas.ReasonIdentityConflict, schemas.ReasonOtherCountry, schemas.ReasonNotEnrolled, schemas.ReasonIndexUnreachable, schemas.ReasonIndexIncomplete,
		schemas.ReasonIndexBehind, schemas.ReasonIndexCorrupt, schemas.ReasonEarlierUnanswered, schemas.ReasonAuditUnreachable} {
		if _, ok := schemas.Explain(string(r.Code())); !ok {
			t.Errorf("%s is not explained", r)
		}
	}
}
