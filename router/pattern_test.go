package router

import (
	"fmt"
	"testing"
	"time"

	"cpis/schemas"
)

// TestSeenAtManyPlaces: a protected person is registered at one place after
// another, with the matcher started anew between; the setting and both
// authorities are told how often, by the rule, once for each further place.
func TestSeenAtManyPlaces(t *testing.T) {
	b := newBench(t, 1)
	rule := PatternRule{Days: 28, Settings: 3, Visits: 5}
	visit := func(i int, ods string) schemas.Registration {
		r := registration(0)
		r.ControlID, r.VisitNumber, r.ODS = fmt.Sprint(i), fmt.Sprint("V", i), schemas.ODSCode(ods)
		return r
	}
	for i, ods := range []string{"RXX01", "RXX01", "RXX02", "RXX03", "RXX03"} {
		b.accept(visit(i, ods))
		b.decideBy(rule, b.outcomes(i+1))
	}
	var told []string
	for _, o := range read[schemas.Outcome](b, schemas.TopicOutcome) {
		d, err := b.keys.OpenDetails(o.OutcomeID, o.SealedDetails)
		if err != nil {
			t.Fatal(err)
		}
		told = append(told, fmt.Sprintf("%d/%d", d.Pattern.Visits, d.Pattern.Settings))
		if (d.Pattern.Visits > 0) != (d.Pattern.Words() != "") {
			t.Errorf("%q", d.Pattern.Words())
		}
	}
	if got := fmt.Sprint(told); got != "[0/0 0/0 0/0 4/3 5/3]" {
		t.Errorf("settings were told %s", got)
	}
	notices := map[schemas.NoticeKind]int{}
	for _, n := range read[schemas.Notice](b, schemas.TopicNotice) {
		notices[n.Kind]++
		if (n.Kind == schemas.NoticePattern) != (n.Pattern.Rule != "") {
			t.Errorf("%s: %+v", n.Kind, n.Pattern)
		}
	}
	// Two authorities; at the third place, and when there were five visits.
	if notices[schemas.NoticeAttendance] != 10 || notices[schemas.NoticePattern] != 4 {
		t.Errorf("%v", notices)
	}
}

// TestAPatternForgets what is older than the rule looks back, and counts a visit
// that is told again once.
func TestAPatternForgets(t *testing.T) {
	var s sightings
	s.reset()
	rule, now := PatternRule{Days: 28, Settings: 2, Visits: 3}, time.Now()
	note := func(id, ods string, ago time.Duration) {
		s.add(schemas.Notice{Kind: schemas.NoticeAttendance, NoticeID: id, SubjectRef: "s", Authority: "E06A", ODS: schemas.ODSCode(ods), CreatedAt: now.Add(-ago)})
	}
	note("1", "RXX01", 29*24*time.Hour)
	note("2", "RXX02", 27*24*time.Hour)
	note("2", "RXX02", 27*24*time.Hour)
	s.add(schemas.Notice{Kind: schemas.NoticePattern, NoticeID: "p", SubjectRef: "s", Authority: "E06A", ODS: "RXX09", CreatedAt: now})
	all := []schemas.AuthorityCode{"E06A", "E06B"}
	if p := s.pattern(rule, "s", all, nil, now); p.Visits != 0 {
		t.Errorf("%+v", p)
	}
	sending := []schemas.Notice{{Kind: schemas.NoticeAttendance, NoticeID: "3", Authority: "E06A", ODS: "RXX03"}}
	if p := s.pattern(rule, "s", all, sending, now); p.Visits != 2 || p.Settings != 2 {
		t.Errorf("%+v", p)
	}
	if p := s.pattern(PatternRule{}, "s", all, sending, now); p.Visits != 0 {
		t.Errorf("turned off: %+v", p)
	}
}

// TestTheDaysTurnAsksAgain: an answer of an earlier day is given anew when the
// day has turned, and only if it is another.
func TestTheDaysTurnAsksAgain(t *testing.T) {
	e := newEpisodes()
	night := time.Date(2026, 7, 1, 23, 30, 0, 0, time.UTC) // half past midnight in London
	london, err := time.LoadLocation("Europe/London")
	if err != nil {
		t.Fatal(err)
	}
	e.answered([]string{"a"}, 1, night, lastAnswer{outcome: "1", at: night.Add(-time.Hour)})
	e.answered([]string{"b"}, 2, night, lastAnswer{outcome: "2", at: night})
	today := schemas.DateOf(night, london)
	if got := e.before(today, london); fmt.Sprint(got) != "[1]" {
		t.Errorf("%v of an earlier day than %s", got, today)
	}
	e.answered([]string{"a"}, 1, night, lastAnswer{outcome: "1", at: night})
	if got := e.before(today, london); len(got) != 0 {
		t.Errorf("asked again for ever: %v", got)
	}
	if got := e.touched([]string{"a", "b", "a"}, 0); fmt.Sprint(got) != "[1 2]" {
		t.Errorf("%v", got)
	}
	e.sweep(night.Add(openFor + time.Second))
	if len(e.open)+len(e.byName) != 0 {
		t.Error("closed registrations are kept")
	}
}

// TestAChangeBetweenTheLookAndTheRecord: a plan comes after the index was read
// for a registration and before its answer is on record.
func TestAChangeBetweenTheLookAndTheRecord(t *testing.T) {
	e := newEpisodes()
	now := time.Now()
	e.begin([]string{"a"}, 1, now)
	e.begin([]string{"a"}, 2, now)
	if got := e.touched([]string{"a"}, 7); len(got) != 0 {
		t.Errorf("handed on before it is answered: %v", got)
	}
	if _, told := e.last(1); told {
		t.Error("an answer that was not given")
	}
	e.answered([]string{"a"}, 1, now, lastAnswer{position: 7}) // the change at 7 is not in it
	e.answered([]string{"a"}, 2, now, lastAnswer{position: 8}) // it is in this one
	if got := e.takeDue(); fmt.Sprint(got) != "[1]" {
		t.Errorf("due: %v", got)
	}
	if got := e.takeDue(); len(got) != 0 {
		t.Errorf("due again: %v", got)
	}
	if got := e.touched([]string{"a"}, 9); fmt.Sprint(got) != "[1 2]" {
		t.Errorf("%v", got)
	}
	// One that was decided before a crash is on record only now, and changes were
	// read that it cannot know.
	e.reading(20)
	e.answered([]string{"a"}, 3, now, lastAnswer{position: 12})
	e.answered([]string{"a"}, 4, now, lastAnswer{position: 20})
	if got := e.takeDue(); fmt.Sprint(got) != "[3]" {
		t.Errorf("due after a crash: %v", got)
	}
	// One that is under way when the changes begin to be followed.
	e = newEpisodes()
	e.begin([]string{"a"}, 5, now)
	e.start(30)
	e.answered([]string{"a"}, 5, now, lastAnswer{position: 29})
	if got := e.takeDue(); fmt.Sprint(got) != "[5]" {
		t.Errorf("due from before the start: %v", got)
	}
}
