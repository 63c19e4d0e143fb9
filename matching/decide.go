package matching

import (
	"context"
	"encoding/hex"
	"fmt"
	"slices"
	"time"

	"cpis/matching/index"
	"cpis/matching/weigh"
	"cpis/schemas"
)

// inquiry is a registration, made ready to be answered: who is looked for, and
// under what.
type inquiry struct {
	reg     schemas.Registration
	now     time.Time
	today   schemas.Date
	status  schemas.NumberStatus
	records []weigh.Record
	subject schemas.SubjectRef   // of the number, empty where none is given
	former  []schemas.SubjectRef // what the number was known by before the keys changed
	linked  []schemas.SubjectRef // other numbers of the person, merged with this one
	mother  []schemas.SubjectRef // of a newborn's mother, none where her number is not given
	blocks  []index.Block
	steps   *[]Step // what was found on the way; nil where nobody asks
}

// newbornDays is how long a child may be known by the mother's number: NHS
// tracing puts off the number of a baby for six weeks (status NSTS08).
const newbornDays = 42

func (m *Matcher) inquire(r schemas.Registration, now time.Time) inquiry {
	q := inquiry{reg: r, now: now, today: schemas.DateOf(now, m.place), status: r.NumberStatus, records: described(r.Person, r.Evidence.Aliases)}
	if r.Person.Number.IsZero() && (q.status == schemas.NumberVerified || q.status == schemas.NumberUnverified) {
		q.status = schemas.NumberAbsent
	}
	if !r.Person.Number.IsZero() {
		q.subject = m.Keys.SubjectRef(r.Person.Number)
		q.former = m.Keys.FormerRefs(r.Person.Number)
		for _, ref := range q.own() {
			for _, other := range m.Links.Of(ref) {
				if !slices.Contains(q.linked, other) {
					q.linked = append(q.linked, other)
				}
			}
		}
	}
	if newborn(r, q.today) && !r.Evidence.Mother.Number.IsZero() {
		q.mother = append([]schemas.SubjectRef{m.Keys.SubjectRef(r.Evidence.Mother.Number)}, m.Keys.FormerRefs(r.Evidence.Mother.Number)...)
	}
	blocks := weigh.Asked(q.records)
	if q.status == schemas.NumberVerified {
		blocks = weigh.AskedSame(q.records)
	}
	for _, b := range blocks {
		q.blocks = append(q.blocks, m.Keys.Block(b))
		for _, former := range m.Keys.FormerBlocks(b) {
			q.blocks = append(q.blocks, former)
		}
	}
	return q
}

func newborn(r schemas.Registration, today schemas.Date) bool {
	if len(r.Evidence.Newborn) > 0 {
		return true
	}
	born := r.Person.DateOfBirth
	return born != "" && today <= born.AddDays(newbornDays)
}

// own are the pseudonyms of the number itself, the newest first.
func (q *inquiry) own() []schemas.SubjectRef {
	if q.subject == "" {
		return nil
	}
	return append([]schemas.SubjectRef{q.subject}, q.former...)
}

func (q *inquiry) subjects() []schemas.SubjectRef {
	return slices.Concat(q.own(), q.mother, q.linked)
}

// Watched are the names under which a change of an indicator is news to a
// registration: those Touched gives.
func (m *Matcher) Watched(r schemas.Registration) []string {
	q := m.inquire(r, m.Now())
	var out []string
	for _, s := range q.subjects() {
		out = append(out, string(s))
	}
	for _, b := range q.blocks {
		out = append(out, hex.EncodeToString(b[:]))
	}
	return out
}

// found is what the index holds for an inquiry: the plans that are shown today.
type found struct {
	held       []schemas.Indicator // under the number
	mothers    []schemas.Indicator // unborn plans under the mother's
	candidates []weigh.Candidate   // people who share something with the person
}

// one decides a registration from an index that is whole and new enough.
func (m *Matcher) one(ctx context.Context, q *inquiry, s index.Snapshot) schemas.Decision {
	f, err := m.find(q, s)
	if err != nil {
		return schemas.Decision{State: schemas.StateCheckFailed, Reason: reasonOf(err)}
	}
	d := m.own(ctx, q, f)
	if !d.State.Matched() && len(f.mothers) > 0 {
		return m.mothers(q, f.mothers)
	}
	return d
}

func (m *Matcher) find(q *inquiry, s index.Snapshot) (f found, err error) {
	if q.subject != "" {
		for _, ref := range append(q.own(), q.linked...) {
			plans, err := m.shownPlans(q, s, ref)
			if err != nil {
				return f, err
			}
			for _, p := range plans {
				if !holds(f.held, p) {
					f.held = append(f.held, p)
				}
			}
		}
		q.note("number", "", fmt.Sprintf("%d plans are shown today under the number and %d that were merged with it", len(f.held), len(q.linked)))
	}
	if len(q.mother) > 0 {
		for _, ref := range q.mother {
			plans, err := m.shownPlans(q, s, ref)
			if err != nil {
				return f, err
			}
			for _, p := range plans {
				if p.PlanType == schemas.PlanUnborn && !holds(f.mothers, p) {
					f.mothers = append(f.mothers, p)
				}
			}
		}
		q.note("mother", "", fmt.Sprintf("%d unborn plans are shown today under the mother's number", len(f.mothers)))
	}
	if q.status == schemas.NumberVerified && len(f.held) > 0 { // then nobody else is looked at
		return f, nil
	}
	f.candidates, err = m.candidates(q, s)
	return f, err
}

// holds reports whether an authority's record is among some: one that is being written
// anew under another pseudonym stands under both.
func holds(plans []schemas.Indicator, p schemas.Indicator) bool {
	return slices.ContainsFunc(plans, func(h schemas.Indicator) bool {
		return h.Authority == p.Authority && h.PlanType == p.PlanType && h.Person.LocalID == p.Person.LocalID
	})
}

// shownPlans are the indicators of a subject that are shown today.
func (m *Matcher) shownPlans(q *inquiry, s index.Snapshot, ref schemas.SubjectRef) ([]schemas.Indicator, error) {
	entries, err := s.Entries(ref)
	if err != nil {
		return nil, err
	}
	var out []schemas.Indicator
	for _, e := range entries {
		i, err := m.Open(e.Value)
		if err != nil || i.SubjectRef != ref {
			return nil, index.ErrCorrupt
		}
		if visible, _, _ := i.Shown(q.born(i), q.today); visible {
			out = append(out, i)
		}
	}
	return out, nil
}

// born is the date of birth that an indicator's plan ends by.
func (q *inquiry) born(i schemas.Indicator) schemas.Date {
	if i.Person.DateOfBirth != "" {
		return i.Person.DateOfBirth
	}
	return q.reg.Person.DateOfBirth
}

// candidates are the people with a plan that is shown today who share a block
// with the person, each once, with every description there is of them.
func (m *Matcher) candidates(q *inquiry, s index.Snapshot) ([]weigh.Candidate, error) {
	at := map[schemas.SubjectRef]int{}
	seen := map[string]bool{} // a description stands under each of its blocks
	var out []weigh.Candidate
	for _, b := range q.blocks {
		values, err := s.Described(b)
		if err != nil {
			return nil, err
		}
		for _, v := range values {
			if seen[string(v)] {
				continue
			}
			seen[string(v)] = true
			d, err := readDescription(v)
			if err != nil {
				return nil, fmt.Errorf("%w: %w", index.ErrCorrupt, err)
			}
			if slices.Contains(q.own(), d.subject) || slices.Contains(q.linked, d.subject) {
				continue
			}
			if visible, _, _ := d.plan.Shown(schemas.Date(d.records[0].Born), q.today); !visible {
				continue
			}
			i, known := at[d.subject]
			if !known {
				i = len(out)
				at[d.subject] = i
				out = append(out, weigh.Candidate{ID: string(d.subject), Records: m.Rendered.Of(d.subject, q.now)})
			}
			out[i].Records = append(out[i].Records, d.records...)
		}
	}
	q.note("blocks", "", fmt.Sprintf("%d protected people share one of %d blocks", len(out), len(q.blocks)))
	return out, nil
}

// own decides by the person's own number and details.
func (m *Matcher) own(ctx context.Context, q *inquiry, f found) schemas.Decision {
	switch q.status {
	case schemas.NumberVerified:
		return m.verified(q, f)
	case schemas.NumberUnverified:
		if len(f.held) > 0 {
			return m.untraced(q, f)
		}
	}
	who := ByDescription(m.scale, q.records, f.candidates)
	q.explain(who, f.candidates)
	switch who.Identity {
	case Fits:
		if m.config.ByDetails {
			return m.byDetails(ctx, q, schemas.SubjectRef(f.candidates[who.Best].ID))
		}
		return schemas.Decision{State: schemas.StatePossible, Reason: schemas.ReasonDetailsAgree}
	case MayFit:
		return schemas.Decision{State: schemas.StatePossible, Reason: schemas.ReasonDetailsMayAgree}
	case Unknown:
		if q.status == schemas.NumberAbsent {
			return notChecked(schemas.ReasonTooLittle)
		}
	}
	// Nobody fits, and that is no answer: one in two hundred of the protected is
	// not found by description. Only a verified number can say "none".
	return notChecked(unusable(q.status))
}

func notChecked(why schemas.Reason) schemas.Decision {
	return schemas.Decision{State: schemas.StateNotChecked, Reason: why}
}

// unusable says why a number cannot carry an answer.
func unusable(s schemas.NumberStatus) schemas.Reason {
	switch s {
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

// verified decides by a number that was traced.
func (m *Matcher) verified(q *inquiry, f found) schemas.Decision {
	var held []weigh.Candidate
	for _, i := range f.held {
		held = append(held, weigh.Candidate{ID: string(i.SubjectRef), Records: described(i.Person, otherNames(i.Person))})
	}
	who := ByNumber(m.scale, q.records, held, f.candidates)
	switch who.Identity {
	case Certain:
		q.note("details", "", "name and date of birth do not speak against the number")
		return m.indicator(q, f.held, schemas.ReasonPlanCurrent, schemas.ReasonPlanEnded)
	case Crossed:
		if len(held) > 0 {
			q.note("details", "", "the number is held by somebody with another name or date of birth")
		} else {
			q.explain(who, f.candidates)
		}
		return notChecked(schemas.ReasonIdentityConflict)
	}
	// A plan is never hidden by the range its number lies in, but none found
	// under a number that England did not issue says nothing.
	switch q.reg.Person.Number.Country() {
	case schemas.England, schemas.TestRange:
		return schemas.Decision{State: schemas.StateNoneShared, Reason: schemas.ReasonNothingShared}
	case schemas.Unissued:
		return notChecked(schemas.ReasonNumberInvalid)
	}
	return notChecked(schemas.ReasonOtherCountry)
}

// untraced decides by a number that is held, and that nobody has traced: it
// counts if the person is exactly as described.
func (m *Matcher) untraced(q *inquiry, f found) schemas.Decision {
	agreed := true
	for _, i := range f.held {
		agreed = agreed && exactly(described(i.Person, otherNames(i.Person)), q.records)
	}
	if !agreed {
		q.note("details", "", "the number is not traced, and the details are not just as held")
		return schemas.Decision{State: schemas.StatePossible, Reason: schemas.ReasonDetailsMayAgree}
	}
	q.note("details", "", "the number is not traced, and date of birth and names are just as held")
	return m.indicator(q, f.held, schemas.ReasonDetailsAgree, schemas.ReasonDetailsAgree)
}

// mothers decides by the unborn plans under the mother's number: every child of
// the birth comes under them until the authority has its own record. Nobody is
// linked by name; a name that is the mother's is only asked to agree.
func (m *Matcher) mothers(q *inquiry, plans []schemas.Indicator) schemas.Decision {
	named := described(q.reg.Evidence.Mother, nil)
	for _, i := range plans {
		if Disagree(described(i.Person, otherNames(i.Person)), named) {
			q.note("mother", "", "the mother's number is held by somebody with another name")
			return schemas.Decision{State: schemas.StatePossible, Reason: schemas.ReasonDetailsMayAgree}
		}
	}
	return m.indicator(q, plans, schemas.ReasonPlanOfMother, schemas.ReasonPlanOfMother)
}

// byDetails answers with the plans of somebody who was recognised without a
// number, where the site allows that. They are read on their own: it is rare.
func (m *Matcher) byDetails(ctx context.Context, q *inquiry, ref schemas.SubjectRef) schemas.Decision {
	s, failed := m.look(ctx, index.Query{Subjects: []schemas.SubjectRef{ref}})
	if failed != "" {
		return schemas.Decision{State: schemas.StateCheckFailed, Reason: failed}
	}
	plans, err := m.shownPlans(q, s, ref)
	switch {
	case err != nil:
		return schemas.Decision{State: schemas.StateCheckFailed, Reason: reasonOf(err)}
	case len(plans) == 0: // taken back a moment ago
		return notChecked(unusable(q.status))
	}
	return m.indicator(q, plans, schemas.ReasonDetailsAgree, schemas.ReasonDetailsAgree)
}

// indicator shows plans, all of one person.
func (m *Matcher) indicator(q *inquiry, of []schemas.Indicator, current, over schemas.Reason) schemas.Decision {
	d := schemas.Decision{State: schemas.StateIndicatorEnded, Reason: over, Subject: of[0].SubjectRef}
	for _, i := range of {
		_, ended, until := i.Shown(q.born(i), q.today)
		if !ended {
			d.State, d.Reason = schemas.StateIndicator, current
		}
		d.Plans = append(d.Plans, m.plan(i, until, q.now))
	}
	newestFirst(d.Plans, q.today)
	return d
}

// Held reports whether a plan stands under a number, shown today or not. An
// error means that it cannot be told now.
func (m *Matcher) Held(ctx context.Context, ref schemas.SubjectRef) (bool, error) {
	s, failed := m.look(ctx, index.Query{Subjects: []schemas.SubjectRef{ref}})
	if failed != "" {
		return false, fmt.Errorf("look for plans: %s", failed)
	}
	entries, err := s.Entries(ref)
	for _, e := range entries {
		i, err := m.Open(e.Value)
		if err != nil || !i.Withdrawn {
			return err == nil, err
		}
	}
	return false, err
}
