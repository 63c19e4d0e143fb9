package socialcare

import (
	"context"
	"fmt"
	"testing"
	"time"

	"cpis/schemas"
)

func TestWhatIsShownNoMoreIsRemoved(t *testing.T) {
	now := time.Date(2026, 11, 24, 10, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		i    schemas.Indicator
		gone bool
	}{
		"an open plan":                  {schemas.Indicator{PlanType: "CPP", PlanStart: "2010-01-01"}, false},
		"shown until today":             {schemas.Indicator{PlanType: "CPP", PlanEnd: "2025-11-24"}, false},
		"shown until 30 days ago":       {schemas.Indicator{PlanType: "LAC", PlanEnd: "2025-10-25"}, false},
		"shown until 31 days ago":       {schemas.Indicator{PlanType: "LAC", PlanEnd: "2025-10-24"}, true},
		"17, with a plan":               {schemas.Indicator{PlanType: "CPP", Person: schemas.Person{DateOfBirth: "2008-11-25"}}, false},
		"18 a month ago":                {schemas.Indicator{PlanType: "CPP", Person: schemas.Person{DateOfBirth: "2008-10-26"}}, false},
		"18 for longer":                 {schemas.Indicator{PlanType: "CPP", Person: schemas.Person{DateOfBirth: "2008-10-25"}}, true},
		"a mother of forty":             {schemas.Indicator{PlanType: "UNBORN", ExpectedDate: "2027-01-01", Person: schemas.Person{DateOfBirth: "1986-01-01"}}, false},
		"due 58 days ago":               {schemas.Indicator{PlanType: "UNBORN", ExpectedDate: "2026-09-27"}, false},
		"due 59 days ago":               {schemas.Indicator{PlanType: "UNBORN", ExpectedDate: "2026-09-26"}, true},
		"due later, though it ended":    {schemas.Indicator{PlanType: "UNBORN", ExpectedDate: "2027-01-01", PlanEnd: "2020-01-01"}, false},
		"without a date, and ended":     {schemas.Indicator{PlanType: "UNBORN", PlanEnd: "2026-09-26"}, true},
		"without any date":              {schemas.Indicator{PlanType: "UNBORN"}, false},
		"taken back 400 days ago":       {schemas.Indicator{Withdrawn: true, ReceivedAt: now.AddDate(0, 0, -400)}, false},
		"taken back 401 days ago":       {schemas.Indicator{Withdrawn: true, ReceivedAt: now.AddDate(0, 0, -401)}, true},
		"begins next year":              {schemas.Indicator{PlanType: "CPP", PlanStart: "2027-01-01"}, false},
		"an end to come, and then 365":  {schemas.Indicator{PlanType: "CPP", PlanEnd: "2027-11-24"}, false},
		"ended, and 18 before it faded": {schemas.Indicator{PlanType: "CPP", PlanEnd: "2026-09-01", Person: schemas.Person{DateOfBirth: "2008-09-02"}}, true},
	} {
		if got := past(c.i, now, "2026-11-24"); got != c.gone {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// TestAClockThatIsWrongRemovesNothing jumps ten years ahead.
func TestAClockThatIsWrongRemovesNothing(t *testing.T) {
	s := newStore(t)
	if _, err := take(t, s, CSV, plans(0, 40, 1, "")); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		key := fmt.Sprintf("E06A/ref-%s/CPP", valid(i)[5:])
		ended := s.held[key]
		ended.PlanEnd = "2024-01-01"
		s.held[key] = ended
	}
	v := service(t, s)
	for range 2 {
		if _, err := v.Purge(context.Background(), "E06A"); err != nil {
			t.Fatal(err)
		}
	}
	if len(s.held) != 37 || len(s.dropped) != 3 {
		t.Errorf("%d held, %d removed", len(s.held), len(s.dropped))
	}
	s.now = s.now.AddDate(20, 0, 0)
	if n, err := v.Purge(context.Background(), "E06A"); err == nil || n != 0 || len(s.held) != 37 {
		t.Errorf("%d removed, %v", n, err)
	}
	s.blind = true
	if _, err := v.Purge(context.Background(), "E06A"); err == nil {
		t.Error("what cannot be told is removed")
	}
}
