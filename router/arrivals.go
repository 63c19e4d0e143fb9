package router

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"cpis/router/topics"
	"cpis/schemas"
)

// arrivedFor is how long a registration is remembered: no longer than its topic is.
const arrivedFor = 24 * time.Hour

// Arrival is one visit to a care setting in the last day, as it was registered last, and
// what was answered to that.
type Arrival struct {
	Registration schemas.Registration // its person and evidence sealed
	Partition    int                  // where it stands on its topic
	Offset       int64
	Since        time.Time        // when the visit was registered first
	Answer       *schemas.Outcome // the newest, its details sealed; nil while there is none
	// Where the answer stands on its topic.
	AnswerPartition int
	AnswerOffset    int64
}

// Arrivals knows who was registered where in the last day, in memory alone: it is what the
// boards of care settings show, and tells looking for one's own patient from trying
// numbers. Safe for concurrent use.
type Arrivals struct {
	Codec  *schemas.Codec
	Now    func() time.Time
	Logger *slog.Logger
	// Changed, if set before Follow, is told which feed's board has changed. It must not
	// wait.
	Changed func(feed string)
	// Seen, if set before Follow, is told of every registration that is read.
	Seen func(schemas.Registration)

	mu     sync.Mutex
	feeds  map[string][]*arrival             // as they came; guarded by mu
	visits map[string]*arrival               // by visit, or by event where none; guarded by mu
	events map[string]*arrival               // by event; guarded by mu
	early  map[string]given                  // answers that came before their question; guarded by mu
	people map[schemas.SubjectRef][]*arrival // guarded by mu
	caught bool                              // what was there was read; guarded by mu
	forgot time.Time                         // guarded by mu
}

// arrival is a visit and the events that were registered of it.
type arrival struct {
	Arrival
	events []string
	gone   bool // its last event took it back
}

// Follow reads the registration topic until ctx ends.
func (a *Arrivals) Follow(ctx context.Context, c *topics.Client) error {
	return Follow(ctx, c, schemas.TopicRegistration, a.Now().Add(-arrivedFor), func(rec topics.Record) {
		var r schemas.Registration
		if err := a.Codec.Decode(ctx, schemas.TopicRegistration, rec.Value, &r); err != nil {
			a.Logger.Error("a registration cannot be read", "code", "CPIS-K001", "partition", rec.Partition, "offset", rec.Offset)
			return
		}
		if a.Seen != nil {
			a.Seen(r)
		}
		a.Take(r, rec.Partition, rec.Offset)
	}, func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.caught = true
	})
}

// Take takes in a registration, and where it stands on its topic.
func (a *Arrivals) Take(r schemas.Registration, partition int, offset int64) {
	if !r.Class.Checked() && r.Class != schemas.ClassRetraction || a.Now().Sub(r.AcceptedAt) > arrivedFor {
		return
	}
	if a.put(r, partition, offset) && a.Changed != nil {
		a.Changed(r.Feed)
	}
}

func (a *Arrivals) put(r schemas.Registration, partition int, offset int64) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.forget()
	if a.feeds == nil {
		a.feeds, a.visits, a.events = map[string][]*arrival{}, map[string]*arrival{}, map[string]*arrival{}
		a.people = map[schemas.SubjectRef][]*arrival{}
		if a.early == nil {
			a.early = map[string]given{}
		}
	}
	visit := r.Feed + "/" + r.EventID
	if r.VisitRef != "" {
		visit = r.Feed + "/visit/" + r.VisitRef
	}
	held := a.visits[visit]
	switch {
	case r.Class == schemas.ClassRetraction:
		if held != nil && r.VisitRef != "" {
			held.gone = true
		}
		return held != nil
	case held == nil:
		held = &arrival{Arrival: Arrival{Since: r.AcceptedAt}}
		a.visits[visit] = held
		a.feeds[r.Feed] = append(a.feeds[r.Feed], held)
	case a.events[r.EventID] == held: // a copy
		return false
	}
	held.Registration, held.Partition, held.Offset, held.gone, held.Answer = r, partition, offset, false, nil
	held.events = append(held.events, r.EventID)
	a.events[r.EventID] = held
	a.people[r.SubjectRef] = append(a.people[r.SubjectRef], held)
	if o, ok := a.early[r.EventID]; ok {
		delete(a.early, r.EventID)
		held.given(o)
	}
	return true
}

// Answered takes in an answer, and where it stands on its topic.
func (a *Arrivals) Answered(o schemas.Outcome, partition int, offset int64) {
	if a.Now().Sub(o.AcceptedAt) <= arrivedFor && a.answer(given{o, partition, offset}) && a.Changed != nil {
		a.Changed(o.Feed)
	}
}

// given is an answer, and where it stands on its topic.
type given struct {
	schemas.Outcome
	partition int
	offset    int64
}

func (a *Arrivals) answer(o given) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	held := a.events[o.EventID]
	switch {
	case held == nil:
		if a.early == nil {
			a.early = map[string]given{}
		}
		if before, ok := a.early[o.EventID]; !ok || !o.DecidedAt.Before(before.DecidedAt) {
			a.early[o.EventID] = o
		}
		return false
	case held.Registration.EventID != o.EventID: // of an earlier event of the visit
		return false
	case held.Answer != nil && o.DecidedAt.Before(held.Answer.DecidedAt):
		return false
	}
	held.given(o)
	return true
}

// given takes in an answer.
func (v *arrival) given(o given) {
	v.Answer, v.AnswerPartition, v.AnswerOffset = &o.Outcome, o.partition, o.offset
}

// forgetEvery is how often what is older than a day is dropped.
const forgetEvery = time.Minute

// forget drops what is older than a day, from time to time. The caller holds mu.
func (a *Arrivals) forget() {
	now := a.Now()
	if now.Sub(a.forgot) < forgetEvery {
		return
	}
	a.forgot = now
	for feed, list := range a.feeds {
		n := 0
		for n < len(list) && now.Sub(list[n].Registration.AcceptedAt) > arrivedFor {
			old := list[n]
			for visit, v := range map[string]*arrival{old.Registration.Feed + "/" + old.Registration.EventID: old, old.Registration.Feed + "/visit/" + old.Registration.VisitRef: old} {
				if a.visits[visit] == v {
					delete(a.visits, visit)
				}
			}
			for _, e := range old.events {
				delete(a.events, e)
			}
			ref := old.Registration.SubjectRef
			if a.people[ref] = slices.DeleteFunc(a.people[ref], func(v *arrival) bool { return v == old }); len(a.people[ref]) == 0 {
				delete(a.people, ref)
			}
			n++
		}
		a.feeds[feed] = list[n:]
	}
	for event, o := range a.early {
		if now.Sub(o.AcceptedAt) > arrivedFor {
			delete(a.early, event)
		}
	}
}

// Board lists what a feed's board shows: the visits that were not taken back, the newest
// first, at most limit of them behind the first skip, and how many there are.
func (a *Arrivals) Board(feed string, skip, limit int) (list []Arrival, all int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	var shown []*arrival
	for _, v := range a.feeds[feed] {
		if !v.gone && a.Now().Sub(v.Registration.AcceptedAt) <= arrivedFor {
			shown = append(shown, v)
		}
	}
	slices.SortStableFunc(shown, func(x, y *arrival) int { return y.Since.Compare(x.Since) })
	for _, v := range shown[min(skip, len(shown)):min(skip+limit, len(shown))] {
		list = append(list, v.Arrival)
	}
	return list, len(shown)
}

// Event gives the visit of a registration.
func (a *Arrivals) Event(id string) (Arrival, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if v := a.events[id]; v != nil {
		return v.Arrival, true
	}
	return Arrival{}, false
}

// ByControl lists the visits of a feed whose last message had a control id.
func (a *Arrivals) ByControl(feed, control string) []Arrival {
	a.mu.Lock()
	defer a.mu.Unlock()
	var out []Arrival
	for _, v := range a.feeds[feed] {
		if v.Registration.ControlID == control {
			out = append(out, v.Arrival)
		}
	}
	return out
}

// Delivered counts the answers of the last day of a feed that its care setting has, and
// those that wait; sent are the offsets up to which answers were delivered.
func (a *Arrivals) Delivered(feed string, sent map[int]int64) (done, waiting int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, v := range a.feeds[feed] {
		switch {
		case v.Answer == nil:
		case v.AnswerOffset < sent[v.AnswerPartition]:
			done++
		default:
			waiting++
		}
	}
	return done, waiting
}

// At reports whether somebody was registered in the last day at an organisation that
// covers says yes to. While that cannot be told yet it is taken to be so.
func (a *Arrivals) At(refs []schemas.SubjectRef, covers func(schemas.ODSCode) bool) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.caught {
		return true
	}
	for _, ref := range refs {
		if slices.ContainsFunc(a.people[ref], func(v *arrival) bool {
			return covers(v.Registration.ODS) && a.Now().Sub(v.Registration.AcceptedAt) <= arrivedFor
		}) {
			return true
		}
	}
	return false
}

// Of lists the registrations of the last day of somebody.
func (a *Arrivals) Of(refs []schemas.SubjectRef) []schemas.Registration {
	a.mu.Lock()
	defer a.mu.Unlock()
	var out []schemas.Registration
	for _, ref := range refs {
		for _, v := range a.people[ref] {
			out = append(out, v.Registration)
		}
	}
	return out
}

// Caught reports whether what was there at the start has been read.
func (a *Arrivals) Caught() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.caught
}
