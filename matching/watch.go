package matching

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"cpis/matching/compare"
	"cpis/schemas"
)

// Windows of what is watched.
const (
	earlyDays = 120 // before the expected date a child may be born
	gapDays   = 365 // as long as an ended plan is shown, days without one are a gap
)

// Watch looks over all the plans that stand and finds what their authorities
// would want to know, since no message tells it:
//
//	UNBORN_OVERDUE  the expected date has passed and the authority shares no plan
//	                for a child of the mother's family name who was born about then
//	OVERLAP         two authorities have a current plan for one child; both are told
//	GAP             one authority's plan ended and another's began more than a day
//	                later; both are told, for a child may have moved unseen between
//	PLAN_STALE      a plan is open and its authority has not sent it for staleAfter
//	NUMBER_SUPERSEDED  a care setting merged the number of a plan into another; until
//	                the authority has looked, the plan is found under both
//
// Each is a notice without an id. now decides what is stale, today what is shown.
func Watch(plans []schemas.Indicator, links []schemas.Link, now time.Time, today schemas.Date, staleAfter time.Duration) []schemas.Notice {
	var out []schemas.Notice
	about := func(kind schemas.NoticeKind, i schemas.Indicator, since schemas.Date, others ...string) {
		out = append(out, schemas.Notice{Kind: kind, Authority: i.Authority, SubjectRef: i.SubjectRef, PlanTypes: []string{string(i.PlanType)},
			Access: schemas.Access{Records: []schemas.PlanRecord{{PlanType: i.PlanType, RecordID: i.Person.LocalID, UploadID: i.UploadID}}}, Since: since, Others: others, OccurredAt: now, CreatedAt: now})
	}
	bySubject := map[schemas.SubjectRef][]schemas.Indicator{}
	born := map[schemas.AuthorityCode][]schemas.Indicator{} // children of an authority
	for _, i := range plans {
		if i.PlanType != schemas.PlanUnborn {
			bySubject[i.SubjectRef] = append(bySubject[i.SubjectRef], i)
			born[i.Authority] = append(born[i.Authority], i)
		}
	}
	for _, i := range plans {
		visible, ended, _ := i.Shown(i.Person.DateOfBirth, today)
		switch {
		case !visible || ended:
		case i.PlanType == schemas.PlanUnborn && i.ExpectedDate != "" && i.ExpectedDate < today && !hasSuccessor(i, born[i.Authority]):
			about(schemas.NoticeOverdue, i, i.ExpectedDate)
		case i.PlanType != schemas.PlanUnborn && i.PlanEnd == "" && now.Sub(i.ReceivedAt) > staleAfter:
			about(schemas.NoticeStale, i, schemas.Date(i.ReceivedAt.UTC().Format(time.DateOnly)))
		}
	}
	for _, l := range links {
		for _, i := range plans {
			if i.SubjectRef == l.Retired {
				about(schemas.NoticeSuperseded, i, schemas.Date(l.At.UTC().Format(time.DateOnly)))
			}
		}
	}
	for _, of := range bySubject {
		transfers(of, today, about)
	}
	slices.SortFunc(out, func(a, b schemas.Notice) int {
		return cmp.Or(strings.Compare(string(a.Authority), string(b.Authority)), strings.Compare(string(a.Kind), string(b.Kind)), strings.Compare(string(a.SubjectRef), string(b.SubjectRef)),
			slices.Compare(a.Others, b.Others))
	})
	return out
}

// hasSuccessor reports whether an authority shares a plan for a child who may
// be the one that was expected.
func hasSuccessor(unborn schemas.Indicator, children []schemas.Indicator) bool {
	family := compare.FamilyName(unborn.Person.FamilyName)
	from, to := unborn.ExpectedDate.AddDays(-earlyDays), unborn.ExpectedDate.AddDays(schemas.UnbornDays)
	return slices.ContainsFunc(children, func(c schemas.Indicator) bool {
		return c.Person.DateOfBirth >= from && c.Person.DateOfBirth <= to && compare.FamilyNames(family, compare.FamilyName(c.Person.FamilyName)) >= compare.Phonetic
	})
}

// transfers compares the plans of one child that are of different authorities.
func transfers(of []schemas.Indicator, today schemas.Date, about func(schemas.NoticeKind, schemas.Indicator, schemas.Date, ...string)) {
	for _, a := range of {
		visible, ended, _ := a.Shown(a.Person.DateOfBirth, today)
		if !visible {
			continue
		}
		for _, b := range of {
			if b.Authority == a.Authority {
				continue
			}
			current, over, _ := b.Shown(b.Person.DateOfBirth, today)
			current = current && !over
			switch {
			case !current:
			case !ended && a.PlanType == b.PlanType:
				about(schemas.NoticeOverlap, a, max(a.PlanStart, b.PlanStart), string(b.Authority))
			case ended && b.PlanStart > a.PlanEnd.AddDays(1) && b.PlanStart <= a.PlanEnd.AddDays(gapDays) && !covered(of, a, b):
				about(schemas.NoticeGap, a, a.PlanEnd, string(b.Authority))
				about(schemas.NoticeGap, b, a.PlanEnd, string(a.Authority))
			}
		}
	}
}

// covered reports that some plan ran from before the end of one to the start of
// another, so that there were no days without.
func covered(of []schemas.Indicator, a, b schemas.Indicator) bool {
	return slices.ContainsFunc(of, func(c schemas.Indicator) bool {
		return c.PlanStart <= a.PlanEnd.AddDays(1) && (c.PlanEnd == "" || c.PlanEnd >= b.PlanStart.AddDays(-1))
	})
}
