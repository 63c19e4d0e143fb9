package hl7

import (
	"strconv"
	"strings"
	"time"
)

// Time reads a timestamp of any precision, YYYY[MM[DD[HH[MM[SS[.S…]]]]]] with
// an optional +ZZZZ. Without a zone it is a time of the place. It reports false
// where the text is no time.
func Time(text string, place *time.Location) (time.Time, bool) {
	text = strings.TrimSpace(text)
	zone := place
	if i := strings.LastIndexAny(text, "+-"); i >= 4 {
		offset, err := strconv.Atoi(text[i+1:])
		if err != nil || len(text)-i != 5 {
			return time.Time{}, false
		}
		seconds := (offset/100*60 + offset%100) * 60
		if text[i] == '-' {
			seconds = -seconds
		}
		zone, text = time.FixedZone("", seconds), text[:i]
	}
	if i := strings.IndexByte(text, '.'); i >= 0 {
		text = text[:i]
	}
	const layout = "20060102150405"
	switch len(text) {
	case 4, 6, 8, 10, 12, 14:
	default:
		return time.Time{}, false
	}
	t, err := time.ParseInLocation(layout[:len(text)], text, zone)
	return t, err == nil
}

// Date reads the civil date a timestamp begins with, as YYYY-MM-DD. A zone or
// a time of day never moves it: a date of birth is the day that was written.
func Date(text string) (string, bool) {
	text = strings.TrimSpace(text)
	if len(text) < 8 {
		return "", false
	}
	t, err := time.Parse("20060102", text[:8])
	if err != nil {
		return "", false
	}
	return t.Format(time.DateOnly), true
}
