package console

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"cpis/connectors/identity"
	"cpis/schemas"
)

func london(t *testing.T) *time.Location {
	t.Helper()
	place, err := time.LoadLocation("Europe/London")
	if err != nil {
		t.Fatal(err)
	}
	return place
}

func TestTimesAsPeopleReadThem(t *testing.T) {
	at := func(text string) time.Time {
		m, err := time.Parse(time.RFC3339, text)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	c := clock{at("2026-10-25T09:00:00Z"), london(t)}
	for text, want := range map[string]string{
		"2026-10-25T08:15:00Z": "08:15", "2026-10-25T00:30:00Z": "01:30 BST", "2026-10-25T01:30:00Z": "01:30 GMT",
		"2026-10-24T22:58:00Z": "yesterday 23:58", "2026-10-09T11:00:00Z": "9 October 2026, 12:00",
	} {
		if got := c.when(at(text)); got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
	if c.when(time.Time{}) != "never" {
		t.Error("no time")
	}
	for ago, want := range map[time.Duration]string{time.Second: "just now", 20 * time.Second: "20 s ago", time.Minute: "1 minute ago", 3 * time.Hour: "3 hours ago", 50 * time.Hour: "2 days ago"} {
		if got := c.ago(c.now.Add(-ago)); got != want {
			t.Errorf("%v: %q", ago, got)
		}
	}
	for born, want := range map[schemas.Date]string{"2019-10-26": "6 years", "2019-10-25": "7 years", "2026-10-20": "5 days", "2026-05-26": "4 months", "2025-10-25": "12 months", "": "", "2027-01-01": ""} {
		if got := c.age(born); got != want {
			t.Errorf("born %s: %q, want %q", born, got, want)
		}
	}
}

func TestTheNumberForThisHourComesFirst(t *testing.T) {
	office := Plan{Type: schemas.PlanChildProtection, Authority: "E06A", AuthorityName: "Aford", RingNow: "1", OfficePhone: "1", EmergencyPhone: "2"}
	night, second := office, office
	night.RingNow, second.Type = "2", schemas.PlanLookedAfter
	list := cards([]Plan{office, second})
	if len(list) != 1 || len(list[0].Plans) != 2 || list[0].First != (phone{"1", "office"}) || list[0].Second.Number != "2" {
		t.Errorf("in hours: %+v", list)
	}
	if list := cards([]Plan{night}); list[0].First != (phone{"2", "emergency duty team"}) || list[0].Second.Number != "1" {
		t.Errorf("at night: %+v", list)
	}
	if list := cards([]Plan{{Type: schemas.PlanUnborn}}); len(list) != 1 || list[0].First.Number != "" || list[0].Name != "" {
		t.Errorf("not named: %+v", list)
	}
	ended := Plan{Type: schemas.PlanLookedAfter, Since: "2024-01-02", Ended: "2026-01-09", ShownUntil: "2027-01-09"}
	if ended.Words() != "Looked after child, ended 9 January 2026." || !strings.Contains(ended.More(), "Shown for 365 days, until 9 January 2027") {
		t.Errorf("%s %s", ended.Words(), ended.More())
	}
}

func TestTheTimelineCountsVisits(t *testing.T) {
	place := london(t)
	now := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC) // a Wednesday
	visit := func(ods string, ago time.Duration) Event {
		return Event{Kind: schemas.AuditDecision, Visit: true, Organisation: ods, Setting: schemas.SettingAmbulance, At: now.Add(-ago)}
	}
	const week = 7 * 24 * time.Hour
	list := []Event{visit("RXX01", 0), visit("RXX01", time.Hour), visit("RXX01", 25*week), visit("RYY01", 3*24*time.Hour), visit("RYY01", 26*week), {Kind: schemas.AuditView, Name: "C. Nurse", Organisation: "RXX01", At: now}, {Kind: schemas.AuditView, Name: "C. Nurse", Organisation: "RXX01", At: now}}
	c := chartOf(list, now, place)
	if len(c.Rows) != 2 || c.Rows[0].Name != "Ambulance, RXX01" || c.Words != "Ambulance, RXX01: 3 visits. Ambulance, RYY01: 1 visit. " {
		t.Errorf("%+v %q", c.Rows, c.Words)
	}
	at := map[int]string{}
	for _, d := range c.Dots {
		at[(d.X-chartNames)/chartWeek*100+d.Y] = d.Count
	}
	first, second := c.Rows[0].Y, c.Rows[1].Y
	if len(c.Dots) != 3 || at[25*100+first] != "2" || at[0*100+first] != "1" || at[24*100+second] != "1" {
		t.Errorf("%+v", c.Dots)
	}
	if words := pattern(list, now); words != "3 visits to 2 care settings in the last 90 days; answers were opened 2 times, by one person." {
		t.Error(words)
	}
	if words := pattern(nil, now); words != "No visit in the last 90 days is on record." {
		t.Error(words)
	}
}

// TestDraftsAreTheirMakers keeps files that were checked for whoever checked them, for
// half an hour, and few of them.
func TestDraftsAreTheirMakers(t *testing.T) {
	now := time.Now()
	d := &drafts{now: func() time.Time { return now }}
	me, other := &identity.Worker{ID: "1"}, &identity.Worker{ID: "2"}
	id := d.put(draft{worker: "1", text: []byte("x")})
	if f, ok := d.get(id, me); !ok || string(f.text) != "x" {
		t.Error("it is not held")
	}
	if _, ok := d.get(id, other); ok {
		t.Error("somebody else has it")
	}
	now = now.Add(draftTime + time.Second)
	if _, ok := d.get(id, me); ok || len(d.list) != 0 {
		t.Error("it is held for longer")
	}
	first := d.put(draft{worker: "1"})
	for range maxDrafts {
		now = now.Add(time.Second)
		d.put(draft{worker: "1"})
	}
	if _, ok := d.get(first, me); ok || len(d.list) != maxDrafts {
		t.Errorf("%d are held", len(d.list))
	}
}

// TestASlowPageHoldsUpNoOther streams to two pages, of which one does not read.
func TestASlowPageHoldsUpNoOther(t *testing.T) {
	live := NewLive()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { live.serve(w, r, r.URL.Query().Get("at")) }))
	defer s.Close()
	defer live.Close()
	open := func(at string) *http.Response {
		res, err := http.Get(s.URL + "?at=" + at)
		if err != nil {
			t.Fatal(err)
		}
		return res
	}
	asleep, other, page := open("ward"), open("elsewhere"), open("ward")
	defer func() { _, _, _ = asleep.Body.Close(), other.Body.Close(), page.Body.Close() }()
	lines := make(chan string, 100)
	go func() {
		buffer := make([]byte, 1024)
		for {
			n, err := page.Body.Read(buffer)
			if n > 0 {
				lines <- string(buffer[:n])
			}
			if err != nil {
				close(lines)
				return
			}
		}
	}()
	if first := <-lines; !strings.Contains(first, "event: beat") {
		t.Errorf("%q", first)
	}
	for range 10_000 { // it does not wait for anybody
		live.Changed("ward")
	}
	if next := <-lines; !strings.Contains(next, "event: changed") {
		t.Errorf("%q", next)
	}
	live.Close()
	for range lines { // the stream ends
	}
	text, err := io.ReadAll(other.Body)
	if err != nil || strings.Contains(string(text), "changed") {
		t.Errorf("a page about something else was told: %q %v", text, err)
	}
}
