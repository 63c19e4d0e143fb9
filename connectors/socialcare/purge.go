package socialcare

import (
	"context"
	"fmt"
	"time"

	"cpis/schemas"
)

// How long records are kept once nothing of them is shown.
const (
	purgeAfter     = 30  // days after a plan is shown for the last time: a late correction finds it
	withdrawnFor   = 400 // days that a version is kept of what was taken back: longer than any file is late
	purgeMost      = 20  // records that may go in a day whatever their share
	purgeMostShare = 20  // percent of an authority's records that may go in a day
)

// Purge removes an authority's records of which nothing is shown any more, in its
// turn, so that no file that comes meanwhile is written over. Where very many would
// go at once nothing does, and the error says so: a clock that is wrong must not
// remove every plan.
func (s *Service) Purge(ctx context.Context, code schemas.AuthorityCode) (int, error) {
	defer s.exclusively(code)()
	held, err := s.store.Held(ctx, code)
	if err != nil {
		return 0, fmt.Errorf("purge records: %w", err)
	}
	now := s.config.Now()
	today := schemas.DateOf(now, s.book.Place())
	c := Changes{Authority: code}
	for _, i := range held {
		if past(i, now, today) {
			c.Drop = append(c.Drop, i)
		}
	}
	switch n := len(c.Drop); {
	case n == 0:
		return 0, nil
	case n > purgeMost && n*100 > len(held)*purgeMostShare:
		return 0, fmt.Errorf("purge records: %d of %d would go: is the clock right?", n, len(held))
	}
	if err := s.store.Commit(ctx, c); err != nil {
		return 0, fmt.Errorf("purge records: %w", err)
	}
	s.log.Info("records of which nothing is shown any more were removed", "authority", string(code), "records", len(c.Drop))
	return len(c.Drop), nil
}

// past reports whether nothing of a record is shown, nor will be, and it is long
// enough so. What has no date to go by stays.
func past(i schemas.Indicator, now time.Time, today schemas.Date) bool {
	if i.Withdrawn {
		return now.Sub(i.ReceivedAt) > withdrawnFor*24*time.Hour
	}
	day := today.AddDays(-purgeAfter)
	if i.PlanStart > day { // its time may be still to come
		return false
	}
	visible, _, _ := i.Shown(i.Person.DateOfBirth, day)
	return !visible // what is not shown once it has begun never is again
}
