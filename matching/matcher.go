// Package matching decides what to tell the staff who have just registered
// someone: that a local authority has shared a plan, that none has, or that
// the broker cannot tell and what to do. It never guesses, and whatever is in
// doubt is "cannot tell".
package matching

import (
	"context"
	"errors"
	"time"

	"cpis/matching/index"
	"cpis/schemas"
)

// Config of the matcher.
type Config struct {
	// BehindWait is how long a decision waits for the index to become as new as
	// it must be. Default 250 ms.
	BehindWait time.Duration
	// LookupTime bounds one look into the index. Default 200 ms.
	LookupTime time.Duration
}

// Index is where indicators are looked up. Lookup is one reading of one moment;
// its errors are those of package index. It is called again and again while the
// index is behind, and never retries by itself.
type Index interface {
	Lookup(ctx context.Context, refs []schemas.SubjectRef) (index.Snapshot, error)
}

// Matcher decides. Safe for concurrent use.
type Matcher struct {
	config   Config
	index    Index
	open     func(value []byte) (schemas.Indicator, error)
	contacts *Directory
	horizon  func(ctx context.Context) (int64, error)
	now      func() time.Time
	place    *time.Location
}

// New makes a matcher. open reads an entry of the index, with its person.
// horizon is the next offset of the indicator topic: asked after the
// registrations were read, it lies beyond every indicator that an authority was
// told is taken before they were accepted.
func New(c Config, idx Index, open func([]byte) (schemas.Indicator, error), contacts *Directory, horizon func(context.Context) (int64, error), now func() time.Time) (*Matcher, error) {
	if c.BehindWait == 0 {
		c.BehindWait = 250 * time.Millisecond
	}
	if c.LookupTime == 0 {
		c.LookupTime = 200 * time.Millisecond
	}
	place, err := time.LoadLocation("Europe/London")
	if err != nil {
		return nil, err
	}
	return &Matcher{c, idx, open, contacts, horizon, now, place}, nil
}

// behindPause is between two looks at an index that is behind.
const behindPause = 2 * time.Millisecond

// Decide answers registrations, one decision each, in order. Whatever goes
// wrong is a decision too: CHECK_FAILED, with the reason.
func (m *Matcher) Decide(ctx context.Context, regs []schemas.Registration) []schemas.Decision {
	now := m.now()
	out := make([]schemas.Decision, len(regs))
	var refs []schemas.SubjectRef
	for i, r := range regs {
		if reason := unusable(r); reason != "" {
			out[i] = schemas.Decision{State: schemas.StateNotChecked, Reason: reason}
		} else {
			refs = append(refs, r.SubjectRef)
		}
	}
	if len(refs) == 0 {
		return out
	}
	snapshot, failed := m.look(ctx, refs)
	fresh := schemas.Freshness{Generation: snapshot.Marker.Generation, Position: snapshot.Marker.Position, AsOf: snapshot.Marker.AsOf.UTC().Truncate(time.Millisecond), LateAuthorities: m.contacts.Late(now)}
	for i, r := range regs {
		switch {
		case out[i].State != "":
		case failed != "":
			out[i] = schemas.Decision{State: schemas.StateCheckFailed, Reason: failed}
		default:
			out[i] = m.one(r, snapshot, now)
		}
		out[i].Freshness = fresh
	}
	return out
}

// unusable says why a registration has no identity to check, empty where it
// has. An indicator rests on a verified number and nothing less.
func unusable(r schemas.Registration) schemas.Reason {
	switch r.NumberStatus {
	case schemas.NumberVerified:
		if r.Person.Number.IsZero() {
			return schemas.ReasonNumberAbsent
		}
		return ""
	case schemas.NumberUnverified:
		return schemas.ReasonNumberUnverified
	case schemas.NumberInvalid:
		return schemas.ReasonNumberInvalid
	case schemas.NumberConflict:
		return schemas.ReasonNumberConflict
	case schemas.NumberOtherCountry:
		return schemas.ReasonOtherCountry
	}
	return schemas.ReasonNumberAbsent
}

// look reads the index once it is as new as it must be. The reason is empty
// when the snapshot can be trusted.
func (m *Matcher) look(ctx context.Context, refs []schemas.SubjectRef) (index.Snapshot, schemas.Reason) {
	limited, cancel := context.WithTimeout(ctx, m.config.BehindWait+m.config.LookupTime)
	defer cancel()
	type answer struct {
		position int64
		err      error
	}
	asked := make(chan answer, 1)
	go func() {
		n, err := m.horizon(limited)
		asked <- answer{n, err}
	}()
	snapshot, err := m.lookup(limited, refs)
	horizon := <-asked
	if horizon.err != nil {
		return snapshot, schemas.ReasonIndexUnreachable
	}
	for until := m.now().Add(m.config.BehindWait); err == nil && snapshot.Marker.Position < horizon.position; {
		if !m.now().Before(until) || limited.Err() != nil {
			return snapshot, schemas.ReasonIndexBehind
		}
		select {
		case <-time.After(behindPause):
		case <-limited.Done():
		}
		snapshot, err = m.lookup(limited, refs)
	}
	return snapshot, reasonOf(err)
}

func (m *Matcher) lookup(ctx context.Context, refs []schemas.SubjectRef) (index.Snapshot, error) {
	ctx, cancel := context.WithTimeout(ctx, m.config.LookupTime)
	defer cancel()
	return m.index.Lookup(ctx, refs)
}

func reasonOf(err error) schemas.Reason {
	switch {
	case err == nil:
		return ""
	case errors.Is(err, index.ErrIncomplete):
		return schemas.ReasonIndexIncomplete
	case errors.Is(err, index.ErrWentBack):
		return schemas.ReasonIndexBehind
	case errors.Is(err, index.ErrCorrupt):
		return schemas.ReasonIndexCorrupt
	}
	return schemas.ReasonIndexUnreachable
}

// one decides a registration with a verified number from an index that is
// whole and new enough.
func (m *Matcher) one(r schemas.Registration, s index.Snapshot, now time.Time) schemas.Decision {
	entries, err := s.Entries(r.SubjectRef)
	if err != nil {
		return schemas.Decision{State: schemas.StateCheckFailed, Reason: reasonOf(err)}
	}
	today := schemas.DateOf(now, m.place)
	asked := described(r)
	var plans []schemas.Plan
	current := false
	for _, e := range entries {
		i, err := m.open(e.Value)
		if err != nil || i.SubjectRef != r.SubjectRef {
			return schemas.Decision{State: schemas.StateCheckFailed, Reason: schemas.ReasonIndexCorrupt}
		}
		born := i.Person.DateOfBirth
		if born == "" {
			born = r.Person.DateOfBirth
		}
		visible, ended, until := shown(i, born, today)
		if !visible {
			continue
		}
		if Disagree(describe(i.Person, nil), asked) {
			return schemas.Decision{State: schemas.StateNotChecked, Reason: schemas.ReasonIdentityConflict}
		}
		current = current || !ended
		plans = append(plans, m.plan(i, until, now))
	}
	newestFirst(plans, today)
	switch {
	case current:
		return schemas.Decision{State: schemas.StateIndicator, Reason: schemas.ReasonPlanCurrent, Plans: plans}
	case len(plans) > 0:
		return schemas.Decision{State: schemas.StateIndicatorEnded, Reason: schemas.ReasonPlanEnded, Plans: plans}
	}
	// A plan is never hidden by the range its number lies in, but none found
	// under a number that England did not issue says nothing.
	switch r.Person.Number.Country() {
	case schemas.England, schemas.TestRange:
		return schemas.Decision{State: schemas.StateNoneShared, Reason: schemas.ReasonNothingShared}
	case schemas.Unissued:
		return schemas.Decision{State: schemas.StateNotChecked, Reason: schemas.ReasonNumberInvalid}
	}
	return schemas.Decision{State: schemas.StateNotChecked, Reason: schemas.ReasonOtherCountry}
}

func (m *Matcher) plan(i schemas.Indicator, until schemas.Date, now time.Time) schemas.Plan {
	p := schemas.Plan{Authority: i.Authority, AuthorityName: string(i.Authority), PlanType: i.PlanType, PlanStart: i.PlanStart, PlanEnd: i.PlanEnd,
		ExpectedDate: i.ExpectedDate, ShownUntil: until, RecordID: i.Person.LocalID}
	if a, ok := m.contacts.Get(i.Authority); ok {
		p.AuthorityName, p.OfficePhone, p.EmergencyPhone, p.RingNow = a.Name, a.OfficePhone, a.EmergencyPhone, ringNow(a, now, m.place)
	}
	return p
}
