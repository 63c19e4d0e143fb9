package console

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"cpis/connectors/identity"
	"cpis/schemas"
)

// counter is a broker in memory that keeps what happened in order.
type counter struct {
	answers  map[string]schemas.Outcome
	details  map[string]schemas.Details
	plans    []schemas.Plan
	events   []Event
	happened []string
	down     bool // nothing can be put on record
}

func (c *counter) on(what string) error {
	if c.down {
		return errors.New("the audit log is away")
	}
	c.happened = append(c.happened, what)
	return nil
}

func (c *counter) Find(id string) (schemas.Outcome, error) {
	if o, ok := c.answers[id]; ok {
		return o, nil
	}
	return schemas.Outcome{}, ErrNoAnswer
}

func (c *counter) Of(n schemas.NHSNumber) ([]schemas.Outcome, error) {
	var out []schemas.Outcome
	for id, d := range c.details {
		if d.Person.Number == n {
			out = append(out, c.answers[id])
		}
	}
	return out, nil
}

func (c *counter) Registered(n schemas.NHSNumber, _ func(schemas.ODSCode) bool) bool {
	return n.Reveal() == "9990000026"
}

func (c *counter) Details(o schemas.Outcome) (schemas.Details, error) {
	return c.details[o.OutcomeID], nil
}

func (c *counter) Viewed(_ context.Context, o schemas.Outcome, _ *identity.Worker, silent, glass bool) error {
	what := "viewed " + o.OutcomeID
	if silent {
		what += " silently"
	}
	if glass {
		what += " through broken glass"
	}
	return c.on(what)
}

func (c *counter) Plans(context.Context, schemas.NHSNumber) ([]schemas.Plan, error) {
	return c.plans, nil
}

func (c *counter) Tried(_ context.Context, _ *identity.Worker, a schemas.Action, code schemas.Code) error {
	return c.on(string(a) + " " + string(code))
}

func (c *counter) Broken(_ context.Context, _ *identity.Worker, _ schemas.NHSNumber, plans []schemas.Plan, why GlassReason) error {
	return c.on("broken " + string(why))
}

func (c *counter) Reviews(context.Context, func(schemas.ODSCode) bool) ([]ReviewItem, error) {
	return []ReviewItem{{What: schemas.ActionGlassBroken}}, nil
}

func (c *counter) Reviewed(_ context.Context, _ *identity.Worker, item, verdict string) error {
	return c.on("reviewed " + item + " " + verdict)
}

func (c *counter) History(_ context.Context, _ schemas.NHSNumber, from, until time.Time, limit int) ([]Event, bool, error) {
	var out []Event
	for _, e := range c.events {
		if !e.At.Before(from) && e.At.Before(until) && len(out) < limit {
			out = append(out, e)
		}
	}
	return out, len(out) < len(c.events), nil
}

func (c *counter) Did(_ context.Context, _ *identity.Worker, _ schemas.NHSNumber, a schemas.Action, code string, silent bool) error {
	if silent {
		code += " silently"
	}
	return c.on(strings.TrimSpace(string(a) + " " + strings.TrimSpace(code)))
}

func (c *counter) Read(_ context.Context, _ *identity.Worker, _ schemas.NHSNumber, plans []schemas.Plan, silent bool) error {
	return c.on(fmt.Sprintf("read %d plans, silently %v", len(plans), silent))
}

func (c *counter) Here(n schemas.NHSNumber, covers func(schemas.ODSCode) bool) bool {
	for id, d := range c.details {
		if d.Person.Number == n && covers(c.answers[id].ODS) && id != "old" {
			return true
		}
	}
	return n.Reveal() == "9990000026" && covers("RXX01")
}

func (c *counter) Restricted(n schemas.NHSNumber) bool { return n.Reveal() == "9990000042" }

func (c *counter) Tell(_ context.Context, _ *identity.Worker, o schemas.Outcome, about schemas.AuthorityCode, what schemas.Feedback) error {
	return c.on("told " + string(about) + " of " + o.OutcomeID + " " + string(what))
}

const childNumber = "9990000018"

// newDesk has answers about one child: of RXX01 just now and two days ago, of RYY01 just
// now, and one about a restricted child.
func newDesk(t *testing.T) (*Desk, *counter, *time.Time) {
	t.Helper()
	now := time.Date(2026, 11, 25, 2, 0, 0, 0, time.UTC)
	n, err := schemas.ParseNHSNumber(childNumber)
	if err != nil {
		t.Fatal(err)
	}
	other, err := schemas.ParseNHSNumber("9990000042")
	if err != nil {
		t.Fatal(err)
	}
	plan := schemas.Plan{Authority: "E06A", AuthorityName: "Aford", PlanType: schemas.PlanChildProtection, PlanStart: "2026-03-03", RingNow: "01632 960001", OfficePhone: "01632 960002", EmergencyPhone: "01632 960003"}
	c := &counter{answers: map[string]schemas.Outcome{}, details: map[string]schemas.Details{}, plans: []schemas.Plan{plan}}
	add := func(id string, ods schemas.ODSCode, age time.Duration, number schemas.NHSNumber, restricted bool) {
		c.answers[id] = schemas.Outcome{OutcomeID: id, ODS: ods, State: schemas.StateIndicator, AcceptedAt: now.Add(-age), DecidedAt: now.Add(-age)}
		c.details[id] = schemas.Details{Person: schemas.Person{Number: number, FamilyName: "Example"}, Plans: []schemas.Plan{plan}, Restricted: restricted}
	}
	add("now", "RXX01", time.Minute, n, false)
	add("old", "RXX01", 48*time.Hour, n, false)
	add("elsewhere", "RYY01", time.Minute, n, false)
	add("restricted", "RXX01", time.Minute, other, true)
	clock := now
	return NewDesk(c, func() time.Time { return clock }, slog.New(slog.DiscardHandler)), c, &clock
}

func worker(now time.Time, roles ...identity.Role) *identity.Worker {
	return &identity.Worker{ID: "555", Name: "C. Nurse", RoleCode: "R8001", ODS: "RXX01", Roles: roles, SignedIn: now}
}

func codeOf(err error) schemas.Code {
	var r *schemas.Refusal
	if errors.As(err, &r) {
		return r.Code
	}
	return ""
}

func TestWhoOpensWhat(t *testing.T) {
	for _, c := range []struct {
		role     identity.Role
		handle   string
		happened string
		code     schemas.Code
	}{
		{identity.Unscheduled, "now", "viewed now", ""},
		{identity.Unscheduled, "old", "request.refused CPIS-W006", "CPIS-W006"},
		{identity.Unscheduled, "elsewhere", "request.refused CPIS-W006", "CPIS-W006"},
		{identity.Unscheduled, "nowhere", "request.refused CPIS-W006", "CPIS-W006"},
		{identity.Scheduled, "now", "viewed now silently", ""},
		{identity.Scheduled, "old", "request.refused CPIS-W006", "CPIS-W006"},
		{identity.SafeguardingLead, "old", "viewed old", ""},
		{identity.SafeguardingLead, "elsewhere", "request.refused CPIS-W006", "CPIS-W006"},
		{identity.PrivacyOfficer, "now", "request.refused CPIS-W006", "CPIS-W006"},
		{identity.Analyst, "now", "request.refused CPIS-W006", "CPIS-W006"},
		{identity.Operator, "now", "request.refused CPIS-W006", "CPIS-W006"},
	} {
		d, store, now := newDesk(t)
		got, err := d.Open(context.Background(), worker(*now, c.role), c.handle)
		if codeOf(err) != c.code || !slices.Equal(store.happened, []string{c.happened}) {
			t.Errorf("%s opens %s: %v, on record %q", c.role, c.handle, err, store.happened)
		}
		if shown := len(got.Plans) > 0; shown != (c.code == "") {
			t.Errorf("%s opens %s: shown %v", c.role, c.handle, shown)
		}
	}
}

// TestNothingIsShownThatIsNotOnRecord is promise 7.
func TestNothingIsShownThatIsNotOnRecord(t *testing.T) {
	d, store, now := newDesk(t)
	store.down = true
	n, _ := schemas.ParseNHSNumber(childNumber)
	w := worker(*now, identity.Unscheduled)
	if got, err := d.Open(context.Background(), w, "now"); codeOf(err) != "CPIS-W007" || len(got.Plans) > 0 || got.Person != nil {
		t.Errorf("%+v %v", got, err)
	}
	if plans, _, err := d.Break(context.Background(), w, n, "LIFE_AT_RISK"); codeOf(err) != "CPIS-W007" || plans != nil {
		t.Errorf("%+v %v", plans, err)
	}
	if _, err := d.Open(context.Background(), w, "elsewhere"); codeOf(err) != "CPIS-W007" {
		t.Errorf("a refusal that is not on record: %v", err)
	}
}

func TestTheAuthorityOfSomebodyRestrictedIsNotNamed(t *testing.T) {
	d, _, now := newDesk(t)
	got, err := d.Open(context.Background(), worker(*now, identity.Unscheduled), "restricted")
	if err != nil || !got.Withheld || len(got.Plans) != 1 {
		t.Fatalf("%+v %v", got, err)
	}
	if p := got.Plans[0]; p.Authority != "" || p.AuthorityName != "" || p.OfficePhone != "" || p.EmergencyPhone != "" || p.RingNow != schemas.Withheld || p.Type != schemas.PlanChildProtection {
		t.Errorf("%+v", p)
	}
	if got, err := d.Open(context.Background(), worker(*now, identity.SafeguardingLead), "restricted"); err != nil || got.Withheld || got.Plans[0].Authority != "E06A" {
		t.Errorf("to a safeguarding lead: %+v %v", got, err)
	}
}

func TestBreakingTheGlass(t *testing.T) {
	d, store, now := newDesk(t)
	n, _ := schemas.ParseNHSNumber(childNumber)
	ctx := context.Background()
	w := worker(*now, identity.Unscheduled)
	for name, c := range map[string]struct {
		w    *identity.Worker
		why  GlassReason
		code schemas.Code
	}{
		"no reason": {w, "", "CPIS-W001"}, "a reason of one's own": {w, "CURIOUS", "CPIS-W001"}, "an old sign-in": {worker(now.Add(-6*time.Minute), identity.Unscheduled), "LIFE_AT_RISK", "CPIS-W008"},
		"scheduled care": {worker(*now, identity.Scheduled), "LIFE_AT_RISK", "CPIS-W006"}, "a privacy officer": {worker(*now, identity.PrivacyOfficer), "LIFE_AT_RISK", "CPIS-W006"},
		"an operator": {worker(*now, identity.Operator), "LIFE_AT_RISK", "CPIS-W006"},
	} {
		if plans, _, err := d.Break(ctx, c.w, n, c.why); codeOf(err) != c.code || plans != nil {
			t.Errorf("%s: %v %v", name, plans, err)
		}
	}
	if slices.ContainsFunc(store.happened, func(s string) bool { return s == "broken LIFE_AT_RISK" }) {
		t.Error("broken all the same")
	}
	if list, err := d.List(ctx, w, n); err != nil || len(list) != 1 || list[0].Handle != "now" {
		t.Errorf("before: %+v %v", list, err)
	}
	store.happened = nil
	plans, until, err := d.Break(ctx, w, n, "LIFE_AT_RISK")
	if err != nil || len(plans) != 1 || !until.Equal(now.Add(15*time.Minute)) || !slices.Equal(store.happened, []string{"broken LIFE_AT_RISK"}) {
		t.Fatalf("%+v %v %v %q", plans, until, err, store.happened)
	}
	if list, err := d.List(ctx, w, n); err != nil || len(list) != 3 {
		t.Errorf("while it is broken: %+v %v", list, err)
	}
	if _, err := d.Open(ctx, w, "elsewhere"); err != nil || store.happened[len(store.happened)-1] != "viewed elsewhere through broken glass" {
		t.Errorf("%v %q", err, store.happened)
	}
	someone := worker(*now, identity.Unscheduled)
	someone.ID = "556"
	if _, err := d.Open(ctx, someone, "elsewhere"); codeOf(err) != "CPIS-W006" {
		t.Errorf("through another's glass: %v", err)
	}
	*now = now.Add(15 * time.Minute)
	if _, err := d.Open(ctx, w, "elsewhere"); codeOf(err) != "CPIS-W006" {
		t.Errorf("after fifteen minutes: %v", err)
	}
}

// TestLookingForOnesOwnPatientIsNoAttempt: most children have no plan, and whoever looks
// for their own patient does nothing odd.
func TestLookingForOnesOwnPatientIsNoAttempt(t *testing.T) {
	d, store, now := newDesk(t)
	for text, happened := range map[string]int{"9990000026": 0, "9990000085": 1} {
		n, err := schemas.ParseNHSNumber(text)
		if err != nil {
			t.Fatal(err)
		}
		store.happened = nil
		if list, err := d.List(context.Background(), worker(*now, identity.Unscheduled), n); err != nil || len(list) != 0 || len(store.happened) != happened {
			t.Errorf("%v %v %q", list, err, store.happened)
		}
	}
}

func TestReviewsAreForThoseWhoReview(t *testing.T) {
	d, _, now := newDesk(t)
	for _, r := range identity.Roles() {
		list, err := d.Reviews(context.Background(), worker(*now, r))
		if may := r == identity.PrivacyOfficer || r == identity.SafeguardingLead; may != (err == nil && len(list) == 1) {
			t.Errorf("%s: %v %v", r, list, err)
		}
	}
}
