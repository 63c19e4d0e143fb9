package hl7

import (
	"strings"
	"time"
)

// Precision is how exact a timestamp is.
type Precision string

const (
	Year   Precision = "YEAR"
	Month  Precision = "MONTH"
	Day    Precision = "DAY"
	Hour   Precision = "HOUR"
	Minute Precision = "MINUTE"
	Second Precision = "SECOND"
)

// Stamp is a timestamp as a sender wrote it:
//
//	YYYY[MM[DD[HH[MM[SS[.S…]]]]]][+ZZZZ][^precision]
type Stamp struct {
	Time      time.Time // the earliest instant the text can mean
	Precision Precision
	Stated    bool // the text says its own zone
	// Other is the second reading of a local time in the hour that the clocks
	// pass twice when summer time ends; else zero.
	Other time.Time
	// Odd is set where the text is not in the standard's form, or names a local
	// time that the clocks skipped, and was understood all the same.
	Odd bool
}

// stampPrecision is the precision of so many digits.
func stampPrecision(digits int) (Precision, bool) {
	switch digits {
	case 4:
		return Year, true
	case 6:
		return Month, true
	case 8:
		return Day, true
	case 10:
		return Hour, true
	case 12:
		return Minute, true
	case 14:
		return Second, true
	}
	return "", false
}

// ParseStamp reads a timestamp of any precision. Without a zone of its own it
// is a time of the place. It reports false where the text is no time.
//
// Beyond the standard it takes what systems really send: "2026-05-05 23:23:32",
// a "+" with nothing behind it, zeros behind a zone, digits of a second without
// a point.
func ParseStamp(text string, place *time.Location) (Stamp, bool) {
	text = strings.TrimSpace(text)
	var s Stamp
	if len(text) >= 10 && text[4] == '-' && text[7] == '-' {
		text = strings.NewReplacer("-", "", ":", "", "T", "", " ", "").Replace(text[:min(len(text), 19)]) + text[min(len(text), 19):]
		s.Odd = true
	}
	zone := place
	if i := strings.LastIndexAny(text, "+-"); i >= 4 {
		offset, ok := readOffset(text[i:])
		if !ok {
			return Stamp{}, false
		}
		s.Odd = s.Odd || len(text)-i != 5
		if len(text)-i > 1 {
			zone, s.Stated = time.FixedZone("", offset), true
		}
		text = text[:i]
	}
	fraction := ""
	if i := strings.IndexByte(text, '.'); i >= 0 {
		text, fraction = text[:i], text[i+1:]
	} else if len(text) > 14 {
		text, fraction, s.Odd = text[:14], text[14:], true
	}
	var n [6]int // year, month, day, hour, minute, second
	var ok bool
	if s.Precision, ok = stampPrecision(len(text)); !ok || !digits(fraction) || !digits(text) {
		return Stamp{}, false
	}
	n[1], n[2] = 1, 1
	n[0] = number(text[:4])
	for i := 1; 2+2*i < len(text); i++ {
		n[i] = number(text[2+2*i : 4+2*i])
	}
	s.Time = time.Date(n[0], time.Month(n[1]), n[2], n[3], n[4], n[5], nanoseconds(fraction), zone)
	if n[0] == 0 || n[1] < 1 || n[1] > 12 || n[2] < 1 || n[2] > daysIn(n[0], n[1]) || n[3] > 23 || n[4] > 59 || n[5] > 59 {
		return Stamp{}, false
	}
	if !s.Stated && s.Precision != Year && s.Precision != Month && s.Precision != Day {
		s.localTime(n[3])
	}
	return s, true
}

// localTime looks whether the clocks of the place pass the time twice, or skip
// it.
func (s *Stamp) localTime(hour int) {
	if s.Time.Hour() != hour {
		s.Odd = true
		return
	}
	for _, other := range []time.Time{s.Time.Add(time.Hour), s.Time.Add(-time.Hour)} {
		if other.Hour() == hour {
			s.Other = other
			if other.Before(s.Time) {
				s.Time, s.Other = s.Other, s.Time
			}
			return
		}
	}
}

// readOffset reads +HHMM. Nothing behind the sign, and zeros behind the
// minutes, are forgiven.
func readOffset(text string) (seconds int, ok bool) {
	sign, d := text[0], text[1:]
	if d == "" {
		return 0, true
	}
	if len(d) < 4 || !digits(d) || strings.Trim(d[4:], "0") != "" || number(d[:2]) > 14 || number(d[2:4]) > 59 {
		return 0, false
	}
	seconds = number(d[:2])*3600 + number(d[2:4])*60
	if sign == '-' {
		seconds = -seconds
	}
	return seconds, true
}

func digits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

func number(s string) int {
	n := 0
	for i := range len(s) {
		n = n*10 + int(s[i]-'0')
	}
	return n
}

func nanoseconds(fraction string) int {
	n, unit := 0, int(time.Second)/10
	for i := 0; i < len(fraction) && unit > 0; i++ {
		n += int(fraction[i]-'0') * unit
		unit /= 10
	}
	return n
}

func daysIn(year, month int) int {
	switch month {
	case 4, 6, 9, 11:
		return 30
	case 2:
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	}
	return 31
}

// Stamp reads a timestamp field: its first component, whose precision the
// second may lower (Y, L for month, D, H, M).
func (r Repetition) Stamp(place *time.Location) (Stamp, bool) {
	s, ok := ParseStamp(r.Component(1), place)
	if !ok {
		return s, false
	}
	switch r.RawComponent(2) {
	case "Y":
		s.Precision = Year
	case "L":
		s.Precision = Month
	case "D":
		s.Precision = Day
	case "H":
		s.Precision = Hour
	case "M":
		s.Precision = Minute
	case "", "S":
	default:
		s.Odd = true
	}
	return s, true
}

// Zone is the place whose time the message's stamps are in where they do not
// say. MSH-7 may say so for the whole message; where its offset is the one
// that the sender's place had at that moment, the place itself knows more,
// for it knows the other half of the year too.
func (m *Message) Zone(place *time.Location) *time.Location {
	text := m.Segment("MSH").Field(7).Text()
	if !strings.ContainsAny(text, "+-") {
		return place
	}
	sent, ok := ParseStamp(text, place)
	if !ok || !sent.Stated {
		return place
	}
	_, stated := sent.Time.Zone()
	if _, local := sent.Time.In(place).Zone(); local == stated {
		return place
	}
	return time.FixedZone("", stated)
}

// Date reads the civil date a timestamp begins with, as YYYY-MM-DD. A zone or
// a time of day never moves it: a date of birth is the day that was written. It
// reports false where the text names no day.
func Date(text string) (string, bool) {
	text = strings.TrimSpace(text)
	if len(text) >= 10 && text[4] == '-' && text[7] == '-' {
		text = text[:4] + text[5:7] + text[8:10]
	}
	if len(text) < 8 {
		return "", false
	}
	day := text[:8]
	if !digits(day) {
		return "", false
	}
	year, month := number(day[:4]), number(day[4:6])
	if year == 0 || month < 1 || month > 12 || day[6:] == "00" || number(day[6:]) > daysIn(year, month) {
		return "", false
	}
	return day[:4] + "-" + day[4:6] + "-" + day[6:], true
}
