// Package contact works out which number of a local authority to ring: the
// office in its hours, and at any other time the emergency duty team, who always
// answer.
//
// Hours are civil times in London. The office is closed on the bank holidays of
// England and on the days the authority names. Whatever cannot be read or placed
// leads to the emergency number.
package contact

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
	_ "time/tzdata" // a container may have no zones, and an hour's mistake rings an empty office

	"github.com/rickar/cal/v2"
	"github.com/rickar/cal/v2/gb"

	"cpis/schemas"
)

// Book knows the calendar. Safe for concurrent use.
type Book struct {
	place    *time.Location
	holidays *cal.BusinessCalendar
	days     sync.Map // day as YYYYMMDD to whether it is a holiday; asked again and again
	parsed   sync.Map // hours as text to what ParseHours gave; authorities are few
}

// NewBook opens the calendar of England.
func NewBook() (*Book, error) {
	place, err := time.LoadLocation("Europe/London")
	if err != nil {
		return nil, fmt.Errorf("open calendar: %w", err)
	}
	b := &Book{place: place, holidays: cal.NewBusinessCalendar()}
	b.holidays.AddHoliday(gb.Holidays...)
	return b, nil
}

// Place is London, by whose days everything here goes.
func (b *Book) Place() *time.Location { return b.place }

// Advice is which number to ring, and until when that holds.
type Advice struct {
	Number string
	Office bool      // the office's number; else the emergency duty team's
	Until  time.Time // when the advice changes; zero where it does not within two weeks
}

// Number is the number to ring at an instant.
func (b *Book) Number(a schemas.Authority, at time.Time) string {
	if hours := b.hours(a); hours != nil && a.OfficePhone != "" && b.open(a, hours, at) {
		return a.OfficePhone
	}
	return a.EmergencyPhone
}

// hours are an office's, nil where they cannot be read.
func (b *Book) hours(a schemas.Authority) Hours {
	if held, ok := b.parsed.Load(a.OfficeHours); ok {
		return held.(Hours)
	}
	h, _ := ParseHours(a.OfficeHours)
	b.parsed.Store(a.OfficeHours, h)
	return h
}

// Ring is the number to ring at an instant, and until when.
func (b *Book) Ring(a schemas.Authority, at time.Time) Advice {
	hours := b.hours(a)
	if a.OfficePhone == "" || hours == nil {
		return Advice{Number: a.EmergencyPhone}
	}
	advice := Advice{Number: a.EmergencyPhone, Until: b.change(a, hours, at)}
	if b.open(a, hours, at) {
		advice.Number, advice.Office = a.OfficePhone, true
	}
	return advice
}

// Confirmable is how long contacts count as confirmed.
const Confirmable = 180 // days

// Unconfirmed reports whether an authority has not said for long that its
// contacts are right. Giving them counts as saying so.
func (b *Book) Unconfirmed(a schemas.Authority, at time.Time) bool {
	since := max(a.ConfirmedOn, schemas.DateOf(a.UpdatedAt, b.place))
	return since.AddDays(Confirmable) < schemas.DateOf(at, b.place)
}

func (b *Book) open(a schemas.Authority, hours Hours, at time.Time) bool {
	local := at.In(b.place)
	clock, today := local.Hour()*60+local.Minute(), weekday(local)
	return slices.ContainsFunc(hours, func(s span) bool {
		return today >= s.from && today <= s.to && clock >= s.opens && clock < s.closes
	}) && !b.closed(a, local)
}

func (b *Book) closed(a schemas.Authority, local time.Time) bool {
	return b.holiday(local) || len(a.ClosedDays) > 0 && slices.Contains(a.ClosedDays, local.Format(time.DateOnly))
}

// holiday reports whether a day is a bank holiday of England, or the day on which
// one is made up for.
func (b *Book) holiday(local time.Time) bool {
	year, month, day := local.Date()
	key := year*10_000 + int(month)*100 + day
	if held, ok := b.days.Load(key); ok {
		return held.(bool)
	}
	actual, observed, _ := b.holidays.IsHoliday(local)
	b.days.Store(key, actual || observed)
	return actual || observed
}

// change is the first instant after one at which the office opens or closes.
func (b *Book) change(a schemas.Authority, hours Hours, at time.Time) time.Time {
	now := b.open(a, hours, at)
	local := at.In(b.place)
	var next time.Time
	for day := range 15 {
		for _, s := range hours {
			for _, clock := range []int{s.opens, s.closes} {
				t := time.Date(local.Year(), local.Month(), local.Day()+day, 0, clock, 0, 0, b.place)
				if t.After(at) && b.open(a, hours, t) != now && (next.IsZero() || t.Before(next)) {
					next = t
				}
			}
		}
		if !next.IsZero() {
			return next
		}
	}
	return next
}

// Hours are the times an office is open in a week.
type Hours []span

type span struct {
	from, to      int // days, 0 is Monday; inclusive
	opens, closes int // minutes of the day
}

// errHours says what hours look like.
var errHours = errors.New(`want hours such as "Mon-Thu 09:00-17:00, Fri 09:00-16:30"`)

// ParseHours reads hours: days and times, several separated by commas. An office
// that is open past midnight has two.
func ParseHours(text string) (Hours, error) {
	if strings.TrimSpace(text) == "" {
		return nil, errHours
	}
	var out Hours
	for part := range strings.SplitSeq(strings.ReplaceAll(text, ";", ","), ",") {
		days, times, ok := strings.Cut(strings.TrimSpace(part), " ")
		if !ok {
			return nil, errHours
		}
		first, last, ok := strings.Cut(days, "-")
		if !ok {
			last = first
		}
		opens, closes, _ := strings.Cut(strings.TrimSpace(times), "-")
		s := span{from: slices.Index(dayNames(), first), to: slices.Index(dayNames(), last), opens: minutes(opens), closes: minutes(closes)}
		if s.from < 0 || s.to < s.from || s.opens < 0 || s.closes <= s.opens {
			return nil, errHours
		}
		out = append(out, s)
	}
	return out, nil
}

func dayNames() []string { return []string{"Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"} }

// minutes reads a clock time, -1 where it is none. The day ends at 24:00.
func minutes(clock string) int {
	if clock == "24:00" {
		return 24 * 60
	}
	t, err := time.Parse("15:04", clock)
	if err != nil || len(clock) != len("15:04") {
		return -1
	}
	return t.Hour()*60 + t.Minute()
}

func weekday(t time.Time) int { return (int(t.Weekday()) + 6) % 7 }
