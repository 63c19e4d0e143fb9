package router

import (
	"bytes"
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
// what was answered to that. It holds what is shown and no more: a busy day has very many.
type Arrival struct {
	EventID   string
	Feed      string
	ODS       schemas.ODSCode
	ControlID string
	Event     string
	Marks     []string
	Verified  bool // the NHS number is
	Ref       schemas.SubjectRef
	Person    []byte // sealed, as on the topic
	Evidence  []byte // sealed
	At        time.Time
	Since     time.Time // when the visit was registered first
	Partition int       // where the registration stands on its topic
	Offset    int64
	Answer    *Answered // the newest; nil while there is none
}

// Answered is what was answered.
type Answered struct {
	OutcomeID  string
	State      schemas.State
	Reason     schemas.Reason
	Setting    schemas.CareSetting
	SubjectRef schemas.SubjectRef
	DecidedAt  time.Time
	AsOf       time.Time // the state of the plans it rests on
	Partition  int       // where it stands on its topic
	Offset     int64
}

// Arrivals knows who was registered where in the last day, in memory alone: it is what the
// boards of care settings show, and tells looking for one's own patient from trying
// numbers. What it is asked costs no more the more visits there are. Safe for concurrent
// use.
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
	feeds  map[string]*feedBoard             // guarded by mu
	visits map[string]*arrival               // by feed and visit, or event where none; guarded by mu
	events map[string]*arrival               // by event; guarded by mu
	people map[schemas.SubjectRef][]*arrival // guarded by mu
	early  map[string]Answered               // answers that came before their question; guarded by mu
	names  map[string]string                 // words that stand in very many arrivals, kept once; guarded by mu
	caught bool                              // what was there was read; guarded by mu
	forgot time.Time                         // guarded by mu
}

// feedBoard is the visits of a feed.
type feedBoard struct {
	visits   []*arrival            // by when they began
	controls map[string][]*arrival // by control id of the last message
	gone     int                   // of the visits, those that were taken back
	flagged  map[*arrival]struct{} // those answered INDICATOR
	waiting  map[*arrival]struct{} // those whose answer was not seen to be delivered
	answered int
}

// arrival is a visit and the events that were registered of it.
type arrival struct {
	Arrival
	visit  string
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
	a.begin()
	a.forget()
	board := a.feeds[r.Feed]
	if board == nil {
		board = &feedBoard{controls: map[string][]*arrival{}, flagged: map[*arrival]struct{}{}, waiting: map[*arrival]struct{}{}}
		a.feeds[r.Feed] = board
	}
	visit := r.Feed + "/" + r.EventID
	if r.VisitRef != "" {
		visit = r.Feed + "/visit/" + r.VisitRef
	}
	held := a.visits[visit]
	switch {
	case r.Class == schemas.ClassRetraction:
		if held == nil || r.VisitRef == "" || held.gone {
			return false
		}
		held.gone = true
		board.gone++
		return true
	case held != nil && a.events[r.EventID] == held: // a copy
		return false
	case held == nil:
		held = &arrival{visit: visit, Arrival: Arrival{Since: r.AcceptedAt}}
		a.visits[visit] = held
		board.insert(held)
	default: // the visit asks anew
		board.leave(held)
		a.leave(held)
	}
	if held.gone {
		held.gone = false
		board.gone--
	}
	held.Arrival = Arrival{EventID: r.EventID, Feed: a.name(r.Feed), ODS: schemas.ODSCode(a.name(string(r.ODS))), ControlID: r.ControlID, Event: a.name(r.Event), Marks: r.Marks,
		Verified: r.NumberStatus == schemas.NumberVerified, Ref: r.SubjectRef, Person: bytes.Clone(r.SealedPerson), Evidence: bytes.Clone(r.SealedEvidence), // of the record they are part of nothing stays
		At: r.AcceptedAt, Since: held.Since, Partition: partition, Offset: offset}
	held.events = append(held.events, r.EventID)
	a.events[r.EventID] = held
	a.people[r.SubjectRef] = append(a.people[r.SubjectRef], held)
	board.controls[r.ControlID] = append(board.controls[r.ControlID], held)
	if o, ok := a.early[r.EventID]; ok {
		delete(a.early, r.EventID)
		board.answer(held, o)
	}
	return true
}

// begin makes what is not there yet. The caller holds mu.
func (a *Arrivals) begin() {
	if a.feeds == nil {
		a.feeds, a.visits, a.events, a.early, a.names = map[string]*feedBoard{}, map[string]*arrival{}, map[string]*arrival{}, map[string]Answered{}, map[string]string{}
		a.people = map[schemas.SubjectRef][]*arrival{}
	}
}

// name is a word of a small vocabulary, kept once. The caller holds mu.
func (a *Arrivals) name(word string) string {
	if held, ok := a.names[word]; ok {
		return held
	}
	a.names[word] = word
	return word
}

// insert puts a visit in its place: most come in order.
func (b *feedBoard) insert(v *arrival) {
	i := len(b.visits)
	for i > 0 && v.Since.Before(b.visits[i-1].Since) {
		i--
	}
	b.visits = slices.Insert(b.visits, i, v)
}

// answer takes in an answer to the last event of a visit.
func (b *feedBoard) answer(v *arrival, o Answered) {
	if v.Answer == nil {
		b.answered++
	}
	v.Answer = &o
	b.waiting[v] = struct{}{}
	if delete(b.flagged, v); o.State == schemas.StateIndicator {
		b.flagged[v] = struct{}{}
	}
}

// leave takes out what a board knows of a visit beside that it is there.
func (b *feedBoard) leave(v *arrival) {
	if v.Answer != nil {
		b.answered--
	}
	delete(b.flagged, v)
	delete(b.waiting, v)
	if b.controls[v.ControlID] = without(b.controls[v.ControlID], v); len(b.controls[v.ControlID]) == 0 {
		delete(b.controls, v.ControlID)
	}
}

// leave takes out whose visit it was. The caller holds mu.
func (a *Arrivals) leave(v *arrival) {
	if a.people[v.Ref] = without(a.people[v.Ref], v); len(a.people[v.Ref]) == 0 {
		delete(a.people, v.Ref)
	}
}

func without(list []*arrival, v *arrival) []*arrival {
	return slices.DeleteFunc(list, func(x *arrival) bool { return x == v })
}

// Answered takes in an answer, and where it stands on its topic.
func (a *Arrivals) Answered(o schemas.Outcome, partition int, offset int64) {
	if a.Now().Sub(o.AcceptedAt) <= arrivedFor && a.answer(o, partition, offset) && a.Changed != nil {
		a.Changed(o.Feed)
	}
}

func (a *Arrivals) answer(o schemas.Outcome, partition int, offset int64) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.begin()
	given := Answered{OutcomeID: o.OutcomeID, State: schemas.State(a.name(string(o.State))), Reason: schemas.Reason(a.name(string(o.Reason))), Setting: schemas.CareSetting(a.name(string(o.Setting))),
		SubjectRef: o.SubjectRef, DecidedAt: o.DecidedAt, AsOf: o.Freshness.AsOf, Partition: partition, Offset: offset}
	held := a.events[o.EventID]
	switch {
	case held == nil:
		if before, ok := a.early[o.EventID]; !ok || !o.DecidedAt.Before(before.DecidedAt) {
			a.early[o.EventID] = given
		}
		return false
	case held.EventID != o.EventID: // of an earlier event of the visit
		return false
	case held.Answer != nil && o.DecidedAt.Before(held.Answer.DecidedAt):
		return false
	}
	a.feeds[held.Feed].answer(held, given)
	return true
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
	for _, board := range a.feeds {
		n := 0
		for n < len(board.visits) && now.Sub(board.visits[n].At) > arrivedFor {
			old := board.visits[n]
			delete(a.visits, old.visit)
			for _, e := range old.events {
				delete(a.events, e)
			}
			a.leave(old)
			board.leave(old)
			if old.gone {
				board.gone--
			}
			n++
		}
		board.visits = slices.Delete(board.visits, 0, n)
	}
	for event, o := range a.early {
		if now.Sub(o.DecidedAt) > arrivedFor {
			delete(a.early, event)
		}
	}
}

// Board lists what a feed's board shows: the visits that were not taken back, the newest
// first, at most limit of them behind the first skip, and how many there are.
func (a *Arrivals) Board(feed string, skip, limit int) (list []Arrival, all int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.forget()
	board := a.feeds[feed]
	if board == nil {
		return nil, 0
	}
	for _, v := range slices.Backward(board.visits) {
		switch {
		case v.gone:
		case skip > 0:
			skip--
		case len(list) == limit:
			return list, len(board.visits) - board.gone
		default:
			list = append(list, v.Arrival)
		}
	}
	return list, len(board.visits) - board.gone
}

// Flagged lists the visits of a feed that were answered INDICATOR, in no order.
func (a *Arrivals) Flagged(feed string) []Arrival {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.forget()
	board := a.feeds[feed]
	if board == nil {
		return nil
	}
	var out []Arrival
	for v := range board.flagged {
		if !v.gone {
			out = append(out, v.Arrival)
		}
	}
	return out
}

// ByControl lists the visits of a feed whose last message had a control id.
func (a *Arrivals) ByControl(feed, control string) []Arrival {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.feeds[feed] == nil {
		return nil
	}
	return copies(a.feeds[feed].controls[control])
}

func copies(list []*arrival) []Arrival {
	out := make([]Arrival, 0, len(list))
	for _, v := range list {
		out = append(out, v.Arrival)
	}
	return out
}

// Delivered counts the answers of the last day of a feed that its care setting has, and
// those that wait; sent are the offsets up to which answers were delivered. It costs what
// came since it was asked last.
func (a *Arrivals) Delivered(feed string, sent map[int]int64) (done, waiting int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	board := a.feeds[feed]
	if board == nil {
		return 0, 0
	}
	for v := range board.waiting {
		if v.Answer.Offset < sent[v.Answer.Partition] {
			delete(board.waiting, v)
		}
	}
	waiting = int64(len(board.waiting))
	return int64(board.answered) - waiting, waiting
}

// Of lists the visits of the last day of somebody.
func (a *Arrivals) Of(refs []schemas.SubjectRef) []Arrival {
	a.mu.Lock()
	defer a.mu.Unlock()
	var out []Arrival
	for _, ref := range refs {
		out = append(out, copies(a.people[ref])...)
	}
	return out
}

// At reports whether somebody was registered in the last day at an organisation that
// covers says yes to. While that cannot be told yet it is taken to be so.
func (a *Arrivals) At(refs []schemas.SubjectRef, covers func(schemas.ODSCode) bool) bool {
	if !a.Caught() {
		return true
	}
	return slices.ContainsFunc(a.Of(refs), func(v Arrival) bool { return covers(v.ODS) && a.Now().Sub(v.At) <= arrivedFor })
}

// Caught reports whether what was there at the start has been read.
func (a *Arrivals) Caught() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.caught
}
