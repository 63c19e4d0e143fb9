package schemas

// Windows in which a plan is still shown after its end, in civil days.
const (
	EndedDays  = 365 // child protection plan, looked after child
	UnbornDays = 28  // unborn child: after the expected date of delivery
	AdultYears = 18  // nothing about a child from this birthday on
)

// Shown says whether a plan is shown on a day, whether it has ended, and
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
// end with the 18th birthday, by born; unborn plans sit on the mother, at any age.
func (i Indicator) Shown(born, today Date) (visible, ended bool, until Date) {
	if i.Withdrawn || i.PlanStart != "" && today < i.PlanStart {
		return false, false, ""
	}
	ended = i.PlanEnd != "" && today > i.PlanEnd
	if i.PlanType == PlanUnborn {
		switch {
		case i.ExpectedDate != "":
			until = i.ExpectedDate.AddDays(UnbornDays)
			return today <= until, ended, until
		case ended:
			until = i.PlanEnd.AddDays(UnbornDays)
			return today <= until, true, until
		}
		return true, false, ""
	}
	if born != "" && today >= born.AddYears(AdultYears) {
		return false, ended, ""
	}
	if !ended {
		return true, false, ""
	}
	until = i.PlanEnd.AddDays(EndedDays)
	return today <= until, true, until
}
