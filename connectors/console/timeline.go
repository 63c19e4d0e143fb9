package console

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"

	"cpis/schemas"
)

// chart is a timeline: care settings as rows, weeks as columns, and in each cell how often
// the person was registered there in that week. It is drawn by the server, so that it is
// there without scripts and on paper.
type chart struct {
	Width, Height int
	Rows          []chartRow
	Months        []chartLabel
	Dots          []chartDot
	Words         string // the same, for who does not see it
}

type chartRow struct {
	Y    int
	Name string
}

type chartLabel struct {
	X    int
	Name string
}

type chartDot struct {
	X, Y, R int
	Count   string
	Words   string
}

// Measures of a timeline, in SVG units.
const (
	chartNames = 250 // width of the names of care settings
	chartWeek  = 22
	chartLine  = 30
	chartHead  = 28
	chartRows  = 12 // the busiest are drawn
)

// chartOf draws the visits of the last weeks.
func chartOf(list []Event, now time.Time, place *time.Location) chart {
	monday := func(t time.Time) time.Time {
		t = t.In(place)
		return time.Date(t.Year(), t.Month(), t.Day()-(int(t.Weekday())+6)%7, 12, 0, 0, 0, place)
	}
	first := monday(now).AddDate(0, 0, -7*(weeksSeen-1))
	type where struct {
		organisation string
		setting      schemas.CareSetting
	}
	cells := map[where]map[int]int{}
	total := map[where]int{}
	for _, e := range list {
		days := int(math.Round(monday(e.At).Sub(first).Hours() / 24)) // a day of a clock change has other than 24
		week := days / 7
		if !e.Visit || days < 0 || week >= weeksSeen {
			continue
		}
		at := where{e.Organisation, e.Setting}
		if cells[at] == nil {
			cells[at] = map[int]int{}
		}
		cells[at][week]++
		total[at]++
	}
	rows := make([]where, 0, len(cells))
	for at := range cells {
		rows = append(rows, at)
	}
	slices.SortFunc(rows, func(a, b where) int {
		return cmp.Or(cmp.Compare(total[b], total[a]), cmp.Compare(a.organisation, b.organisation), cmp.Compare(a.setting, b.setting))
	})
	rows = rows[:min(len(rows), chartRows)]
	c := chart{Width: chartNames + weeksSeen*chartWeek + 10, Height: chartHead + len(rows)*chartLine + 6}
	for week := range weeksSeen {
		at := first.AddDate(0, 0, 7*week)
		if week == 0 && at.AddDate(0, 0, 7).Month() == at.Month() || week > 0 && at.Month() != at.AddDate(0, 0, -7).Month() {
			c.Months = append(c.Months, chartLabel{chartNames + week*chartWeek, at.Format("Jan")})
		}
	}
	for i, at := range rows {
		y := chartHead + i*chartLine + chartLine/2
		name := settingName(at.setting) + ", " + at.organisation
		c.Rows = append(c.Rows, chartRow{y, name})
		c.Words += fmt.Sprintf("%s: %s. ", name, count(total[at], "visit"))
		for week := range weeksSeen {
			if n := cells[at][week]; n > 0 {
				c.Dots = append(c.Dots, chartDot{chartNames + week*chartWeek + chartWeek/2, y, min(8+n, 13), fmt.Sprint(n),
					fmt.Sprintf("%s in the week of %s", count(n, "visit"), first.AddDate(0, 0, 7*week).Format("2 January"))})
			}
		}
	}
	return c
}
