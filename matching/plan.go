package matching

import (
	"cmp"
	"slices"

	"cpis/schemas"
)

// Windows in which a plan is still shown after its end, in civil days.
const (
	endedDays  = 365 // child protection plan, looked after child
	unbornDays = 28  // unborn child: after the expected date of delivery
	adultYears = 18  // nothing about a child from this birthday on
)

// shown says whether an indicator is shown on a day, whether it has ended, and
// the last day an ended one is shown.
//
//	taken back                              not shown
//	before plan_start                       not shown yet
//	from plan_start to plan_end, inclusive  current
//	CPP, LAC: up to plan_end + 365 days     ended, still shown
//	UNBORN: up to expected date + 28 days   shown; current until then or until its end
//
// An unborn plan without an expected date is shown for 28 days after its end,
// and while it has none, as current: the birth is still to come. Child plans
// end with the 18th birthday; unborn plans sit on the mother, at any age.
func shown(i schemas.Indicator, born, today schemas.Date) (visible, ended bool, until schemas.Date) {
	if i.Withdrawn || i.PlanStart != "" && today < i.PlanStart {
		return false, false, ""
	}
	ended = i.PlanEnd != "" && today > i.PlanEnd
	if i.PlanType == schemas.PlanUnborn {
		switch {
		case i.ExpectedDate != "":
			until = i.ExpectedDate.AddDays(unbornDays)
			return today <= until, ended, until
		case ended:
			until = i.PlanEnd.AddDays(unbornDays)
			return today <= until, true, until
		}
		return true, false, ""
	}
	if born != "" && today >= born.AddYears(adultYears) {
		return false, ended, ""
	}
	if !ended {
		return true, false, ""
	}
	until = i.PlanEnd.AddDays(endedDays)
	return today <= until, true, until
}

// newestFirst orders plans as they are shown: current ones before ended ones,
// then by start, then by authority and kind so that the order never wavers.
func newestFirst(plans []schemas.Plan, today schemas.Date) {
	ended := func(p schemas.Plan) int {
		if p.PlanEnd != "" && today > p.PlanEnd {
			return 1
		}
		return 0
	}
	slices.SortFunc(plans, func(a, b schemas.Plan) int {
		return cmp.Or(cmp.Compare(ended(a), ended(b)), cmp.Compare(b.PlanStart, a.PlanStart), cmp.Compare(a.Authority, b.Authority), cmp.Compare(a.PlanType, b.PlanType))
	})
}
