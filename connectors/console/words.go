package console

import (
	"fmt"
	"strings"
	"time"

	"cpis/schemas"
)

// Tag is a word in a coloured box. The word says all; the colour says nothing by itself.
type Tag struct {
	Words  string
	Colour string // of nhsuk-frontend, empty for the plain one
	Shape  string // a sign beside the word, for who does not tell colours apart
}

// tagOf is the tag of an answer, as somebody sees it who may or may not know what POSSIBLE
// rests on: at the desk it is told like any identity that is not confirmed.
func tagOf(o *schemas.Outcome, hidden bool) Tag {
	if o == nil {
		return Tag{"Being checked", "white", "…"}
	}
	switch o.State {
	case schemas.StateIndicator:
		return Tag{"Indicator", "red", "▲"}
	case schemas.StateIndicatorEnded:
		return Tag{"Ended in the last year", "orange", "△"}
	case schemas.StateNoneShared:
		return Tag{"No plan shared", "grey", "–"}
	case schemas.StateCheckFailed:
		return Tag{"Check failed", "yellow", "!"}
	case schemas.StatePossible:
		if hidden {
			return Tag{"Possible", "purple", "?"}
		}
	}
	return Tag{"Not checked", "yellow", "?"}
}

// settingName is a care setting in words.
func settingName(s schemas.CareSetting) string {
	switch s {
	case schemas.SettingGPOutOfHours:
		return "GP out of hours"
	case schemas.SettingNHS111:
		return "NHS 111"
	case schemas.SettingCAMHS:
		return "CAMHS"
	case schemas.SettingSARC:
		return "Sexual assault referral centre"
	case "", "UNKNOWN":
		return ""
	}
	return sentence(string(s))
}

// sentence writes the name of something in a closed list as words.
func sentence(name string) string {
	words := strings.ToLower(strings.NewReplacer("_", " ", ".", " ").Replace(name))
	if words == "" {
		return ""
	}
	return strings.ToUpper(words[:1]) + words[1:]
}

// noticeName is what an authority is told of, in words.
func noticeName(k schemas.NoticeKind) string {
	switch k {
	case schemas.NoticeAttendance:
		return "of the attendance"
	case schemas.NoticeViewed:
		return "that the answer was opened"
	case schemas.NoticeUnopened:
		return "that the answer was not opened"
	case schemas.NoticeFeedback:
		return "that something is not right"
	case schemas.NoticePattern:
		return "how often the person was seen"
	case schemas.NoticeGlass:
		return "that the glass was broken"
	}
	return "of: " + strings.ToLower(sentence(string(k)))
}

// clock writes times as people read them, by the clock on the wall.
type clock struct {
	now   time.Time
	place *time.Location
}

// hour is the time of the day, with its zone in the hour that comes twice.
func (c clock) hour(t time.Time) string {
	t = t.In(c.place)
	form := "15:04"
	for _, other := range []time.Duration{-time.Hour, time.Hour} {
		if t.Add(other).In(c.place).Format("2006-01-02 15:04") == t.Format("2006-01-02 15:04") {
			form = "15:04 MST"
		}
	}
	return t.Format(form)
}

// when is a moment: the hour alone today, "yesterday 23:58", or the date before it.
func (c clock) when(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	date, today := t.In(c.place).Format(time.DateOnly), c.now.In(c.place)
	switch date {
	case today.Format(time.DateOnly):
		return c.hour(t)
	case today.AddDate(0, 0, -1).Format(time.DateOnly):
		return "yesterday " + c.hour(t)
	}
	return t.In(c.place).Format("2 January 2006, ") + c.hour(t)
}

// ago is how long ago something was, roughly.
func (c clock) ago(t time.Time) string {
	switch d := c.now.Sub(t); {
	case t.IsZero():
		return "never"
	case d < 2*time.Second:
		return "just now"
	case d < time.Minute:
		return fmt.Sprintf("%d s ago", int(d.Seconds()))
	case d < time.Hour:
		return count(int(d.Minutes()), "minute") + " ago"
	case d < 48*time.Hour:
		return count(int(d.Hours()), "hour") + " ago"
	}
	return count(int(c.now.Sub(t).Hours()/24), "day") + " ago"
}

// age is how old somebody is, in the unit that fits.
func (c clock) age(born schemas.Date) string {
	b, err := time.Parse(time.DateOnly, string(born))
	if err != nil {
		return ""
	}
	today := c.now.In(c.place)
	years := today.Year() - b.Year()
	if today.Month() < b.Month() || today.Month() == b.Month() && today.Day() < b.Day() {
		years--
	}
	months := (today.Year()-b.Year())*12 + int(today.Month()-b.Month())
	if today.Day() < b.Day() {
		months--
	}
	switch {
	case years >= 2:
		return count(years, "year")
	case months >= 2:
		return count(months, "month")
	case c.now.Before(b):
		return ""
	}
	return count(int(today.Sub(b).Hours()/24), "day")
}

// count is how many of something.
func count(n int, what string) string {
	switch {
	case n == 1:
		return "1 " + what
	case strings.HasSuffix(what, "y") && !strings.HasSuffix(what, "ay"):
		return fmt.Sprintf("%d %sies", n, strings.TrimSuffix(what, "y"))
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// counted is count, of any kind of whole number.
func counted(n any, what string) string {
	switch n := n.(type) {
	case int64:
		return count(int(n), what)
	case int:
		return count(n, what)
	}
	return fmt.Sprint(n, " ", what, "s")
}

// threeThreeFour writes an NHS number as it is read.
func threeThreeFour(n schemas.NHSNumber) string {
	t := n.Reveal()
	if len(t) != 10 {
		return ""
	}
	return t[:3] + " " + t[3:6] + " " + t[6:]
}

// surname writes somebody as a list has them: EXAMPLE, Ada.
func surname(p schemas.Person) string {
	switch {
	case p.FamilyName == "" && p.GivenNames == "":
		return "No name given"
	case p.GivenNames == "":
		return strings.ToUpper(p.FamilyName)
	}
	return strings.ToUpper(p.FamilyName) + ", " + p.GivenNames
}

// dial is a telephone number as a link has it.
func dial(number string) string {
	return strings.Map(func(r rune) rune {
		if r == '+' || r >= '0' && r <= '9' {
			return r
		}
		return -1
	}, number)
}
