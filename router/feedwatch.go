package router

import (
	"maps"
	"sync"
	"time"

	"cpis/schemas"
)

// FeedDay is what a feed brought in the last day.
type FeedDay struct {
	Taken int64 // messages that were taken
	Last  time.Time
	// Seen is when something was seen last in that time, by what: an event as A04, a
	// code, or one of the words below.
	Seen map[string]time.Time
}

// What may be seen of a feed beside events and codes of marks.
const (
	SeenMerge      = "merge"
	SeenRetraction = "retraction"
	SeenNoNumber   = "no number"
	SeenBadNumber  = "number invalid"
	SeenNewborn    = "newborn"
	SeenMidnight   = "midnight"
)

// FeedWatch counts what feeds bring, in memory alone. Safe for concurrent use.
type FeedWatch struct {
	Now   func() time.Time
	Place *time.Location
	// Newborn reports whether a registration is of a newborn, of which only its sealed
	// part tells.
	Newborn func(schemas.Registration) bool

	mu    sync.Mutex
	hours map[string]map[int64]int64      // messages by feed and hour; guarded by mu
	last  map[string]time.Time            // guarded by mu
	seen  map[string]map[string]time.Time // the latest, by feed and what; guarded by mu
}

// Take takes in a registration.
func (w *FeedWatch) Take(r schemas.Registration) {
	if r.Part > 0 || w.Now().Sub(r.AcceptedAt) > arrivedFor { // further records of one message
		return
	}
	facts := append([]string{r.Event}, r.Marks...)
	at := r.OccurredAt.In(w.Place)
	for fact, is := range map[string]bool{
		SeenMerge: r.Link == schemas.LinkMerge, SeenRetraction: r.Class == schemas.ClassRetraction, SeenMidnight: !r.OccurredAt.IsZero() && at.Hour() == 0,
		SeenNoNumber: r.Class != schemas.ClassNone && r.NumberStatus == schemas.NumberAbsent, SeenBadNumber: r.NumberStatus == schemas.NumberInvalid,
		SeenNewborn: w.Newborn != nil && w.Newborn(r),
	} {
		if is {
			facts = append(facts, fact)
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.hours == nil {
		w.hours, w.last, w.seen = map[string]map[int64]int64{}, map[string]time.Time{}, map[string]map[string]time.Time{}
	}
	if w.hours[r.Feed] == nil {
		w.hours[r.Feed], w.seen[r.Feed] = map[int64]int64{}, map[string]time.Time{}
	}
	w.hours[r.Feed][r.AcceptedAt.Unix()/3600]++
	if r.AcceptedAt.After(w.last[r.Feed]) {
		w.last[r.Feed] = r.AcceptedAt
	}
	for _, fact := range facts {
		if r.AcceptedAt.After(w.seen[r.Feed][fact]) {
			w.seen[r.Feed][fact] = r.AcceptedAt
		}
	}
}

// Day is what a feed brought in the last day.
func (w *FeedWatch) Day(feed string) FeedDay {
	w.mu.Lock()
	defer w.mu.Unlock()
	since := w.Now().Add(-arrivedFor)
	d := FeedDay{Last: w.last[feed], Seen: maps.Clone(w.seen[feed])}
	for hour, n := range w.hours[feed] {
		if hour < since.Unix()/3600 {
			delete(w.hours[feed], hour)
			continue
		}
		d.Taken += n
	}
	maps.DeleteFunc(d.Seen, func(_ string, at time.Time) bool { return at.Before(since) })
	return d
}
