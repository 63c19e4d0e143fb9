package console

import (
	"net/http"
	"slices"
	"time"

	"cpis/connectors/identity"
	"cpis/schemas"
)

// Verdicts are what a reviewer may say of something odd. None says that anybody did wrong.
func Verdicts() []string {
	return []string{"GOOD_REASON", "TALKED_TO_THE_PERSON", "PASSED_ON", "NOT_CLEAR_YET"}
}

// unopenedAfter is after how long an indicator that nobody opened is on the list.
const unopenedAfter = 15 * time.Minute

// unopenedShown is how many of them are shown.
const unopenedShown = 50

// Unopened is an indicator that nobody has opened.
type Unopened struct {
	ODS     schemas.ODSCode
	Setting schemas.CareSetting
	At      time.Time
}

type reviewsPage struct {
	Open, Done  []ReviewItem
	Unopened    []Unopened
	AllUnopened int
	Verdicts    []string
	After       int // minutes
	Said        string
}

// reviews shows what wants looking at.
func (c *Console) reviews(w http.ResponseWriter, r *http.Request) { c.showReviews(w, r, "") }

func (c *Console) showReviews(w http.ResponseWriter, r *http.Request, said string) {
	worker := identity.From(r.Context()).Worker
	list, err := c.desk.Reviews(r.Context(), worker)
	if err != nil {
		c.refused(w, r, err)
		return
	}
	b := reviewsPage{Verdicts: Verdicts(), After: int(unopenedAfter.Minutes()), Said: said}
	slices.SortStableFunc(list, func(a, b ReviewItem) int { return b.At.Compare(a.At) })
	for _, item := range list {
		if item.Verdict == "" || item.Verdict == "NOT_CLEAR_YET" {
			b.Open = append(b.Open, item)
		} else {
			b.Done = append(b.Done, item)
		}
	}
	for _, f := range c.feedsOf(worker) {
		for _, at := range c.boards.Unopened(f.Name, c.now().Add(-unopenedAfter)) {
			if b.AllUnopened++; len(b.Unopened) < unopenedShown {
				b.Unopened = append(b.Unopened, Unopened{f.ODS, f.Setting, at})
			}
		}
	}
	c.show(w, r, http.StatusOK, "reviews", page{Title: "Reviews", Active: "/reviews", Wide: true, Body: b})
}

// reviewed puts on record what a reviewer says of an item.
func (c *Console) reviewed(w http.ResponseWriter, r *http.Request) {
	worker := identity.From(r.Context()).Worker
	verdict := r.PostFormValue("verdict")
	if !slices.Contains(Verdicts(), verdict) {
		c.refused(w, r, &schemas.Refusal{Code: "CPIS-W001", Location: "verdict", Reason: "none of the list"})
		return
	}
	if err := c.desk.Review(r.Context(), worker, r.PostFormValue("item"), verdict); err != nil {
		c.refused(w, r, err)
		return
	}
	c.showReviews(w, r, "Your review is on record.")
}
