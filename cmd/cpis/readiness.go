package main

import (
	"fmt"
	"time"

	"cpis/connectors/console"
	"cpis/router"
)

// ready is how far a feed has come: what was seen of it in the last day, of what an
// integration team should have sent before it goes live.
func (e *engine) ready(name string) []console.Check {
	day := e.brought.Day(name)
	torn := time.Time{}
	for _, l := range e.letters.All() {
		if l.Feed == name && l.Code == "CPIS-H004" && time.Since(l.Time) < 24*time.Hour {
			torn = l.Time
		}
	}
	copies, largest := int64(0), 0
	if e.feeds != nil {
		s := e.feeds.Stats().Seen[name]
		copies, largest = s.Copies, s.Largest
	}
	at := func(facts ...string) (time.Time, bool) {
		for _, fact := range facts {
			if t, ok := day.Seen[fact]; ok {
				return t, true
			}
		}
		return time.Time{}, false
	}
	var out []console.Check
	add := func(what, how string, done bool, seen string) {
		out = append(out, console.Check{What: what, How: how, Done: done, Seen: seen})
	}
	for _, c := range []struct {
		what, how string
		facts     []string
	}{
		{"A registration (A04)", "Register an invented patient in the department's own system.", []string{"A04"}},
		{"An admission (A01)", "Admit an invented patient.", []string{"A01"}},
		{"An update of a visit (A08)", "Correct a detail of a registered patient.", []string{"A08"}},
		{"A change of demographics (A28 or A31)", "Change a patient outside of a visit.", []string{"A31", "A28"}},
		{"A merge (A40)", "Merge two records of an invented patient.", []string{router.SeenMerge}},
		{"A registration taken back (A11, A13 or A23)", "Cancel a registration.", []string{router.SeenRetraction}},
		{"A patient without an NHS number", "Register somebody whose number is not known.", []string{router.SeenNoNumber}},
		{"An NHS number with a wrong check digit", "Send 999 000 0019.", []string{router.SeenBadNumber}},
		{"Text in another character set than declared", "Send a name with ö in Latin-1 with MSH-18 UNICODE UTF-8.", []string{"CPIS-H103", "CPIS-H104"}},
		{"A newborn", "Register a birth, under the mother's number.", []string{router.SeenNewborn}},
		{"A time after midnight, or in the hour that comes twice", "Register somebody at 00:10, or at 01:30 on the last Sunday of October.", []string{router.SeenMidnight, "CPIS-H111"}},
	} {
		t, ok := at(c.facts...)
		add(c.what, c.how, ok, "Last seen at "+t.UTC().Format("15:04 UTC")+".")
	}
	add("The same message twice", "Send one again, as after a lost connection. It gets the very answer of the first.", copies > 0, fmt.Sprintf("Recognised %d times since this process began.", copies))
	add("A message of 1 MB", "Add OBX segments until it is as large.", largest >= 1_000_000, fmt.Sprintf("The largest had %d bytes.", largest))
	add("A connection that is lost in the middle of a frame", "Pull the plug while a message is sent, then send it again.", !torn.IsZero(), "Last seen at "+torn.UTC().Format("15:04 UTC")+"; it was not answered.")
	return out
}
