package matching

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"cpis/schemas"
)

// TestTheTableOfPlans draws plans of several authorities and kinds for one
// person and a day, and compares what is shown with the rules said another way:
// in numbers of days since an epoch.
func TestTheTableOfPlans(t *testing.T) {
	london, err := time.LoadLocation("Europe/London")
	if err != nil {
		t.Fatal(err)
	}
	m := &Matcher{place: london, Sources: Sources{Contacts: NewDirectory(time.Hour)}}
	day := func(d schemas.Date) int {
		at, err := time.Parse(time.DateOnly, string(d))
		if err != nil {
			return -1 << 30
		}
		return int(at.Unix() / 86400)
	}
	rapid.Check(t, func(t *rapid.T) {
		today := schemas.Date("2026-01-01").AddDays(rapid.IntRange(0, 800).Draw(t, "today"))
		born := today.AddYears(-18).AddDays(rapid.SampledFrom([]int{-4000, -1, 0, 1, 2, 3000}).Draw(t, "from the 18th birthday"))
		near := func(label string) schemas.Date {
			return today.AddDays(rapid.SampledFrom([]int{-900, -400, -366, -365, -364, -29, -28, -27, -1, 0, 1, 30}).Draw(t, label))
		}
		var of []schemas.Indicator
		for range rapid.IntRange(1, 4).Draw(t, "plans") {
			i := schemas.Indicator{Authority: schemas.AuthorityCode(rapid.SampledFrom([]string{"E06A", "E06B", "E06C"}).Draw(t, "authority")),
				PlanType:  rapid.SampledFrom([]schemas.PlanType{schemas.PlanChildProtection, schemas.PlanLookedAfter, schemas.PlanUnborn}).Draw(t, "kind"),
				PlanStart: near("start"), Person: schemas.Person{DateOfBirth: born}}
			if rapid.Bool().Draw(t, "has an end") {
				i.PlanEnd = max(near("end"), i.PlanStart)
			}
			if i.PlanType == schemas.PlanUnborn {
				i.ExpectedDate = near("expected")
			}
			of = append(of, i)
		}
		var want []schemas.Plan
		state := schemas.State("")
		var visible []schemas.Indicator
		for _, i := range of {
			n, over := day(today), i.PlanEnd != "" && day(today) > day(i.PlanEnd)
			show := n >= day(i.PlanStart)
			if i.PlanType == schemas.PlanUnborn {
				show = show && n-day(i.ExpectedDate) <= 28
			} else {
				show = show && (!over || n-day(i.PlanEnd) <= 365) && today < born.AddYears(18)
			}
			if got, _, _ := i.Shown(born, today); got != show {
				t.Fatalf("%+v is shown: %v, want %v", i, got, show)
			}
			if show {
				visible = append(visible, i)
				want = append(want, schemas.Plan{Authority: i.Authority, PlanType: i.PlanType, PlanStart: i.PlanStart, PlanEnd: i.PlanEnd})
				if !over {
					state = schemas.StateIndicator
				} else if state == "" {
					state = schemas.StateIndicatorEnded
				}
			}
		}
		if len(visible) == 0 {
			return
		}
		q := &inquiry{today: today, now: time.Now()}
		d := m.indicator(q, visible, schemas.ReasonPlanCurrent, schemas.ReasonPlanEnded)
		if d.State != state || len(d.Plans) != len(want) || (d.Reason == schemas.ReasonPlanCurrent) != (state == schemas.StateIndicator) {
			t.Fatalf("%s with %d plans, want %s with %d", d.State, len(d.Plans), state, len(want))
		}
		ended := func(p schemas.Plan) bool { return p.PlanEnd != "" && p.PlanEnd < today }
		for i, p := range d.Plans[1:] { // current ones first, of either sort the newest first
			before := d.Plans[i]
			if ended(before) && !ended(p) || ended(before) == ended(p) && before.PlanStart < p.PlanStart {
				t.Fatalf("order: %+v before %+v", before, p)
			}
		}
		again := slices.Clone(visible)
		slices.Reverse(again)
		if e := m.indicator(q, again, schemas.ReasonPlanCurrent, schemas.ReasonPlanEnded); !slices.EqualFunc(d.Plans, e.Plans, func(a, b schemas.Plan) bool {
			return a.Authority == b.Authority && a.PlanType == b.PlanType && a.PlanStart == b.PlanStart
		}) {
			t.Fatalf("the order of the index shows: %v and %v", d.Plans, e.Plans)
		}
	})
}
