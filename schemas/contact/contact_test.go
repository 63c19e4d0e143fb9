package contact

import (
	"testing"
	"time"

	"cpis/schemas"
)

func book(t testing.TB) *Book {
	t.Helper()
	b, err := NewBook()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func aford() schemas.Authority {
	return schemas.Authority{Code: "E06A", OfficePhone: "office", EmergencyPhone: "emergency", OfficeHours: "Mon-Thu 09:00-17:00, Fri 09:00-16:30", ClosedDays: []string{"2026-12-24"}}
}

// TestTheNumberToRing asks at instants where a clock, a calendar or a zone could
// be got wrong. Times are UTC; London is an hour ahead from the last Sunday of
// March to that of October.
func TestTheNumberToRing(t *testing.T) {
	b := book(t)
	for _, c := range []struct{ at, number, until, why string }{
		{"2026-11-24T08:59:59Z", "emergency", "2026-11-24T09:00:00Z", "a second before it opens"},
		{"2026-11-24T09:00:00Z", "office", "2026-11-24T17:00:00Z", "it opens"},
		{"2026-11-24T16:59:59Z", "office", "2026-11-24T17:00:00Z", "a second before it closes"},
		{"2026-11-24T17:00:00Z", "emergency", "2026-11-25T09:00:00Z", "it closes"},
		{"2026-11-27T16:45:00Z", "emergency", "2026-11-30T09:00:00Z", "Fridays are shorter"},
		{"2026-11-28T12:00:00Z", "emergency", "2026-11-30T09:00:00Z", "Saturday"},
		{"2026-07-01T08:00:00Z", "office", "2026-07-01T16:00:00Z", "nine in summer is eight in Greenwich"},
		{"2026-07-01T16:30:00Z", "emergency", "2026-07-02T08:00:00Z", "and it closes an hour before Greenwich's five"},
		{"2026-03-27T16:00:00Z", "office", "2026-03-27T16:30:00Z", "the Friday before the clocks go forward"},
		{"2026-03-27T17:00:00Z", "emergency", "2026-03-30T08:00:00Z", "over the weekend they go"},
		{"2026-10-23T15:00:00Z", "office", "2026-10-23T15:30:00Z", "the Friday before they go back"},
		{"2026-10-23T15:30:00Z", "emergency", "2026-10-26T09:00:00Z", "over the weekend they go"},
		{"2026-12-23T17:30:00Z", "emergency", "2026-12-29T09:00:00Z", "own day, Christmas, Boxing Day on a Saturday, made up for on Monday"},
		{"2026-12-28T10:00:00Z", "emergency", "2026-12-29T09:00:00Z", "made up for"},
		{"2027-12-27T10:00:00Z", "emergency", "2027-12-29T09:00:00Z", "Christmas on a Saturday: Monday and Tuesday"},
		{"2026-04-03T10:00:00Z", "emergency", "2026-04-07T08:00:00Z", "Good Friday to Easter Monday"},
		{"2026-05-04T10:00:00Z", "emergency", "2026-05-05T08:00:00Z", "early May"},
		{"2026-08-31T10:00:00Z", "emergency", "2026-09-01T08:00:00Z", "summer bank holiday"},
		{"2022-06-03T10:00:00Z", "emergency", "2022-06-06T08:00:00Z", "a day of jubilee"},
		{"2027-01-01T10:00:00Z", "emergency", "2027-01-04T09:00:00Z", "New Year"},
	} {
		at, err := time.Parse(time.RFC3339, c.at)
		if err != nil {
			t.Fatal(err)
		}
		got := b.Ring(aford(), at)
		if got.Number != c.number || b.Number(aford(), at) != c.number || got.Office != (c.number == "office") || got.Until.UTC().Format(time.RFC3339) != c.until {
			t.Errorf("%s (%s): %s until %s, want %s until %s", c.at, c.why, got.Number, got.Until.UTC().Format(time.RFC3339), c.number, c.until)
		}
	}
}

// TestTheAdviceHoldsUntilItSays walks a year in half hours, and never finds
// another number before the time an earlier advice named.
func TestTheAdviceHoldsUntilItSays(t *testing.T) {
	b, a := book(t), aford()
	from := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	last := b.Ring(a, from)
	for at := from; at.Before(from.AddDate(1, 0, 0)); at = at.Add(30 * time.Minute) {
		now := b.Ring(a, at)
		if at.Before(last.Until) && now.Number != last.Number {
			t.Fatalf("%s: %s, but %s was to hold until %s", at, now.Number, last.Number, last.Until)
		}
		if !at.Before(last.Until) && now.Number == last.Number {
			t.Fatalf("%s: still %s, which was to hold until %s", at, now.Number, last.Until)
		}
		last = now
	}
}

func TestWhatCannotBeReadRingsTheEmergencyNumber(t *testing.T) {
	b := book(t)
	at := time.Date(2026, 11, 24, 10, 0, 0, 0, time.UTC)
	for _, hours := range []string{"", "always", "Mon-Fri", "Mon-Fri 9-5", "Fri-Mon 09:00-17:00", "Mon-Fri 17:00-09:00", "Mon-Fri 09:00-25:00", "Mon-Fri 09:00-17:00, and more"} {
		a := aford()
		a.OfficeHours = hours
		if got := b.Ring(a, at); got.Number != "emergency" || got.Office {
			t.Errorf("%q rings %s", hours, got.Number)
		}
	}
	a := aford()
	a.OfficePhone = ""
	if got := b.Ring(a, at); got.Number != "emergency" {
		t.Errorf("no office number: %s", got.Number)
	}
	a = aford()
	a.OfficeHours = "Mon-Sun 00:00-24:00"
	if got := b.Ring(a, time.Date(2026, 11, 28, 23, 59, 0, 0, time.UTC)); got.Number != "office" {
		t.Errorf("always open: %s", got.Number)
	}
}

func TestContactsWantConfirming(t *testing.T) {
	b, a := book(t), aford()
	a.UpdatedAt = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	at := time.Date(2026, 8, 1, 0, 0, 0, 0, time.UTC)
	if !b.Unconfirmed(a, at) {
		t.Error("seven months old")
	}
	if a.ConfirmedOn = "2026-06-01"; b.Unconfirmed(a, at) {
		t.Error("confirmed two months ago")
	}
}

func BenchmarkRing(b *testing.B) {
	book, a := book(b), aford()
	at := time.Date(2026, 11, 24, 10, 0, 0, 0, time.UTC)
	b.Run("number", func(b *testing.B) {
		for b.Loop() {
			book.Number(a, at)
		}
	})
	b.Run("advice", func(b *testing.B) {
		for b.Loop() {
			book.Ring(a, at)
		}
	})
}
