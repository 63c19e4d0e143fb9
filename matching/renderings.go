package matching

import (
	"slices"
	"sync"
	"time"

	"cpis/matching/weigh"
	"cpis/schemas"
)

// Renderings are protected people as care settings registered them under a
// verified number: a second description beside the authority's, which makes
// somebody who comes without a number much likelier to be recognised. They are
// kept in memory, for as long as the notices they are read from. Safe for
// concurrent use; a nil one holds nothing.
type Renderings struct {
	keep time.Duration

	mu sync.Mutex
	by map[schemas.SubjectRef][]rendering // newest first; guarded by mu
}

type rendering struct {
	record weigh.Record
	at     time.Time
}

// mostRenderings bounds what is kept of one person.
const mostRenderings = 3

// NewRenderings makes an empty set that keeps a rendering for a time.
func NewRenderings(keep time.Duration) *Renderings {
	return &Renderings{keep: keep, by: map[schemas.SubjectRef][]rendering{}}
}

// Put takes in how somebody was registered.
func (r *Renderings) Put(subject schemas.SubjectRef, p schemas.Person, at time.Time) {
	record := described(p, nil)[0]
	r.mu.Lock()
	defer r.mu.Unlock()
	list := slices.DeleteFunc(slices.Clone(r.by[subject]), func(o rendering) bool {
		a, b := o.record, record
		return at.Sub(o.at) > r.keep || a.Given.Joined == b.Given.Joined && a.Family.Joined == b.Family.Joined && a.Born == b.Born && a.Postcode == b.Postcode && a.Sex == b.Sex
	})
	list = append(list, rendering{record, at})
	slices.SortStableFunc(list, func(a, b rendering) int { return b.at.Compare(a.at) })
	r.by[subject] = list[:min(len(list), mostRenderings)]
}

// Of are the renderings of a person that are not too old.
func (r *Renderings) Of(subject schemas.SubjectRef, now time.Time) []weigh.Record {
	if r == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []weigh.Record
	for _, one := range r.by[subject] {
		if now.Sub(one.at) <= r.keep {
			out = append(out, one.record)
		}
	}
	return out
}
