package matching

import (
	"cmp"
	"slices"

	"cpis/schemas"
)

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
