package hl7

import (
	"strings"
	"testing"
	"time"
)

func london(t testing.TB) *time.Location {
	t.Helper()
	place, err := time.LoadLocation("Europe/London")
	if err != nil {
		t.Fatal(err)
	}
	return place
}

// TestStamps lists the forms that real senders write.
func TestStamps(t *testing.T) {
	place := london(t)
	for in, want := range map[string]string{
		"2026":                     "2026-01-01T00:00:00Z YEAR",
		"202611":                   "2026-11-01T00:00:00Z MONTH",
		"20260701":                 "2026-07-01T00:00:00+01:00 DAY",
		"2026070110":               "2026-07-01T10:00:00+01:00 HOUR",
		"202607011015":             "2026-07-01T10:15:00+01:00 MINUTE",
		"20260701101500":           "2026-07-01T10:15:00+01:00 SECOND",
		"20261124101500.5":         "2026-11-24T10:15:00.5Z SECOND",
		"20261124101500.1234":      "2026-11-24T10:15:00.1234Z SECOND",
		"20261124101500+0530":      "2026-11-24T10:15:00+05:30 SECOND stated",
		"20261124101500-0330":      "2026-11-24T10:15:00-03:30 SECOND stated",
		"20000101+":                "2000-01-01T00:00:00Z DAY odd",
		"2025-05-05 23:23:32":      "2025-05-05T23:23:32+01:00 SECOND odd",
		"2025-05-05T23:23:32+0100": "2025-05-05T23:23:32+01:00 SECOND stated odd",
		"20240910085943-0700000":   "2024-09-10T08:59:43-07:00 SECOND stated odd",
		"20190916143134920350":     "2019-09-16T14:31:34.92035+01:00 SECOND odd",
		"20261025013000":           "2026-10-25T01:30:00+01:00 SECOND or 2026-10-25T01:30:00Z",
		"20261025013000+0000":      "2026-10-25T01:30:00Z SECOND stated",
		"20260329013000":           "2026-03-29T02:30:00+01:00 SECOND odd", // a time that was not
	} {
		s, ok := ParseStamp(in, place)
		got := s.Time.Format(time.RFC3339Nano) + " " + string(s.Precision)
		for word, set := range map[string]bool{" stated": s.Stated} {
			if set {
				got += word
			}
		}
		if s.Odd {
			got += " odd"
		}
		if !s.Other.IsZero() {
			got += " or " + s.Other.Format(time.RFC3339)
		}
		if !ok || strings.ReplaceAll(got, "+00:00", "Z") != want {
			t.Errorf("%s: %s %v, want %s", in, got, ok, want)
		}
	}
	for _, in := range []string{"", "x", "20261", "196513121515", "20260230", "20261124250000", "20261124106000", "2026112410150", "20261124101500-07", "20261124101500+0799", "20261124101500-0700001", "2026112410.x", `""`, "20261124101500+9900"} {
		if got, ok := ParseStamp(in, place); ok {
			t.Errorf("%q was read as %v", in, got)
		}
	}
}

// TestPrecisionComponent reads the second component that versions up to 2.4
// have.
func TestPrecisionComponent(t *testing.T) {
	for in, want := range map[string]Precision{"20000101+^D": Day, "20260701101500^M": Minute, "20260701^YYYYMMDDHHMMSS": Day} {
		s, ok := parse(t, "MSH|^~\\&|\rEVN||"+in+"\r").Segment("EVN").Field(2).First().Stamp(time.UTC)
		if !ok || s.Precision != want {
			t.Errorf("%s: %+v %v", in, s, ok)
		}
	}
}

// TestZoneOfTheMessage: an offset in MSH-7 is the whole message's, unless it is
// what the place had just then.
func TestZoneOfTheMessage(t *testing.T) {
	for sent, want := range map[string]string{
		"20260701101500":      "2026-01-05T09:00:00Z",
		"20260701101500+0100": "2026-01-05T09:00:00Z", // summer time at home: a winter time is no summer time
		"20260701101500-0500": "2026-01-05T09:00:00-05:00",
		"rubbish":             "2026-01-05T09:00:00Z",
	} {
		m := parse(t, "MSH|^~\\&|||||"+sent+"\r")
		s, ok := ParseStamp("20260105090000", m.Zone(london(t)))
		if got := s.Time.Format(time.RFC3339); !ok || got != want {
			t.Errorf("%s: %s, want %s", sent, got, want)
		}
	}
}

// TestDateOfBirthNeverMoves: the day that was written is the day.
func TestDateOfBirthNeverMoves(t *testing.T) {
	for in, want := range map[string]string{
		"20200203": "2020-02-03", "20200203233000-0500": "2020-02-03", "20200203000000+0100": "2020-02-03", "20200203+": "2020-02-03",
		"2020-02-03": "2020-02-03", "1985": "", "198507": "", "20201340": "", "196513121515": "", "": "", `""`: "", "00000000": "",
	} {
		if got, ok := Date(in); got != want || ok != (want != "") {
			t.Errorf("date of %q: %q %v", in, got, ok)
		}
	}
}

func FuzzStamp(f *testing.F) {
	for _, s := range []string{"2026", "20261124101500.5+0530", "20261025013000", "2025-05-05 23:23:32", "20240910085943-0700000", "20260329013000", "20190916143134920350"} {
		f.Add(s)
	}
	place, err := time.LoadLocation("Europe/London")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, ok := ParseStamp(text, place)
		if !ok || s.Time.Year() < 1900 { // local mean times have offsets with seconds
			return
		}
		if !s.Other.IsZero() && (s.Stated || !s.Other.After(s.Time)) {
			t.Errorf("%q: %v or %v", text, s.Time, s.Other)
		}
		// What was read can be written in the standard's form and read again.
		again, ok := ParseStamp(s.Time.Format("20060102150405.000000000-0700"), place)
		if !ok || !again.Time.Equal(s.Time) {
			t.Errorf("%q: %v, written again %v %v", text, s.Time, again.Time, ok)
		}
	})
}
