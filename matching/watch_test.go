package matching

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"cpis/schemas"
)

func TestWhatAuthoritiesWouldWantToKnow(t *testing.T) {
	now := time.Date(2026, 11, 25, 9, 0, 0, 0, time.UTC)
	plan := func(la, subject string, kind schemas.PlanType, start, end schemas.Date) schemas.Indicator {
		return schemas.Indicator{Authority: schemas.AuthorityCode(la), SubjectRef: schemas.SubjectRef(subject), PlanType: kind, PlanStart: start, PlanEnd: end, ReceivedAt: now.Add(-time.Hour),
			Person: schemas.Person{FamilyName: "Example", DateOfBirth: "2019-08-07"}}
	}
	unborn := func(expected schemas.Date) schemas.Indicator {
		i := plan("E06A", "mother", schemas.PlanUnborn, "2026-05-01", "")
		i.ExpectedDate, i.Person.DateOfBirth = expected, "1996-02-03"
		return i
	}
	baby := func(born schemas.Date, family string) schemas.Indicator {
		i := plan("E06A", "baby", schemas.PlanChildProtection, "2026-11-15", "")
		i.Person.DateOfBirth, i.Person.FamilyName = born, family
		return i
	}
	old := plan("E06A", "anna", schemas.PlanLookedAfter, "2024-05-01", "")
	old.ReceivedAt = now.Add(-200 * 24 * time.Hour)
	cpp := schemas.PlanChildProtection
	for name, c := range map[string]struct {
		plans []schemas.Indicator
		want  []string
	}{
		"due today":                        {[]schemas.Indicator{unborn("2026-11-25")}, nil},
		"a day past its date":              {[]schemas.Indicator{unborn("2026-11-24")}, []string{"E06A UNBORN_OVERDUE since 2026-11-24 []"}},
		"past its date, and no more shown": {[]schemas.Indicator{unborn("2026-10-01")}, nil},
		"the child has a plan":             {[]schemas.Indicator{unborn("2026-11-20"), baby("2026-11-10", "Exampel")}, nil},
		"a child of another name":          {[]schemas.Indicator{unborn("2026-11-20"), baby("2026-11-10", "Other")}, []string{"E06A UNBORN_OVERDUE since 2026-11-20 []"}},
		"an older child":                   {[]schemas.Indicator{unborn("2026-11-20"), baby("2024-11-10", "Example")}, []string{"E06A UNBORN_OVERDUE since 2026-11-20 []"}},
		"not heard of for long":            {[]schemas.Indicator{old}, []string{"E06A PLAN_STALE since 2026-05-09 []"}},
		"two authorities": {[]schemas.Indicator{plan("E06A", "anna", cpp, "2026-01-01", ""), plan("E06B", "anna", cpp, "2026-03-01", "")},
			[]string{"E06A OVERLAP since 2026-03-01 [E06B]", "E06B OVERLAP since 2026-03-01 [E06A]"}},
		"two authorities, two kinds": {[]schemas.Indicator{plan("E06A", "anna", cpp, "2026-01-01", ""), plan("E06B", "anna", schemas.PlanLookedAfter, "2026-03-01", "")}, nil},
		"moved from day to day":      {[]schemas.Indicator{plan("E06A", "anna", cpp, "2026-01-01", "2026-02-28"), plan("E06B", "anna", cpp, "2026-03-01", "")}, nil},
		"moved with days between": {[]schemas.Indicator{plan("E06A", "anna", cpp, "2026-01-01", "2026-02-27"), plan("E06B", "anna", cpp, "2026-03-01", "")},
			[]string{"E06A GAP since 2026-02-27 [E06B]", "E06B GAP since 2026-02-27 [E06A]"}},
		"moved, with a third between": {[]schemas.Indicator{plan("E06A", "anna", cpp, "2026-01-01", "2026-02-01"), plan("E06B", "anna", cpp, "2026-04-01", ""), plan("E06C", "anna", cpp, "2026-02-01", "2026-03-31")}, nil},
		"a number that was merged":    {[]schemas.Indicator{plan("E06A", "merged", cpp, "2026-01-01", "")}, []string{"E06A NUMBER_SUPERSEDED since 2026-11-25 []"}},
		"one authority, two plans":    {[]schemas.Indicator{plan("E06A", "anna", cpp, "2026-01-01", ""), plan("E06A", "anna", schemas.PlanLookedAfter, "2026-01-01", "")}, nil},
		"two children":                {[]schemas.Indicator{plan("E06A", "anna", cpp, "2026-01-01", ""), plan("E06B", "ben", cpp, "2026-01-01", "")}, nil},
	} {
		var got []string
		for _, n := range Watch(c.plans, []schemas.Link{{Retired: "merged", Survivor: "anna", At: now}}, now, "2026-11-25", 180*24*time.Hour) {
			got = append(got, fmt.Sprintf("%s %s since %s %v", n.Authority, n.Kind, n.Since, n.Others))
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}
