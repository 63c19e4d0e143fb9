package router

import (
	"context"
	"fmt"
	"math"

	"cpis/router/topics"
	"cpis/schemas"
)

// headerLink marks a registration record that says something about two records
// of people.
const headerLink = "cpis_link"

// successor is who a person turned out to be.
type successor struct {
	offset int64 // of the record that says so: what was registered before it is meant
	person schemas.Person
	status schemas.NumberStatus
}

// succeed makes a registration about whom its person turned out to be.
func (l *decideLane) succeed(a *answer) {
	for _, key := range []string{string(a.reg.SubjectRef), visitKey(a.reg.VisitRef)} {
		if s, ok := l.successors[key]; ok && s.offset > a.origin.Offset {
			a.reg.Person, a.reg.NumberStatus = s.person, s.status
		}
	}
}

func visitKey(ref string) string {
	if ref == "" {
		return "no visit"
	}
	return "visit " + ref
}

// relinked takes in a merge, a change of number, a move or their undoing, in the
// partition of either record, and returns the open registrations that have to be
// answered anew for it.
func (l *decideLane) relinked(ctx context.Context, a *answer, key []byte) ([]*answer, error) {
	r := a.reg
	switch r.Link {
	case schemas.LinkMerge, schemas.LinkChange, schemas.LinkUnlink:
		if err := l.commitLink(ctx, r); err != nil {
			return nil, err
		}
	case schemas.LinkMove:
	default:
		return nil, nil
	}
	l.noteSuccessor(a, key)
	return l.touchedBy(ctx, r)
}

// noteSuccessor remembers in the partition of the retired record who its person
// is. A merge or change is about all the person's visits, a move about one.
func (l *decideLane) noteSuccessor(a *answer, key []byte) {
	r := a.reg
	s := successor{a.origin.Offset, r.Person, r.NumberStatus}
	switch {
	case string(key) != string(r.RetiredRef):
	case r.Link == schemas.LinkUnlink:
		delete(l.successors, string(r.RetiredRef))
	case r.Link == schemas.LinkMove && r.PriorVisitRef != "":
		l.successors[visitKey(r.PriorVisitRef)] = s
	case r.Link != schemas.LinkMove:
		l.successors[string(r.RetiredRef)] = s
	}
}

// commitLink puts a link of two NHS numbers on record, where a plan stands under
// one of them, or takes it back. Where none does, nothing about either number
// outlives the registration topic.
func (l *decideLane) commitLink(ctx context.Context, r schemas.Registration) error {
	retired, err := l.retired(r)
	if err != nil || retired.Number.IsZero() || r.Person.Number.IsZero() || r.RetiredRef == r.SubjectRef || l.d.Linker == nil {
		return err
	}
	link := schemas.Link{Survivor: r.SubjectRef, Retired: r.RetiredRef, Feed: r.Feed, ODS: r.ODS, EventID: r.EventID, At: r.AcceptedAt}
	if r.Link == schemas.LinkUnlink {
		record := topics.Record{Topic: schemas.TopicLink, Key: link.Key(), Time: l.d.Now()}
		if err := l.d.Log.Produce(ctx, record); err != nil {
			return fmt.Errorf("take back link: %w", err)
		}
		l.d.Linker.Remove(string(link.Key()))
		return nil
	}
	for _, ref := range []schemas.SubjectRef{r.RetiredRef, r.SubjectRef} {
		held, err := l.d.Linker.Held(ctx, ref)
		if err != nil {
			return fmt.Errorf("%w: %w", errUndecided, err)
		}
		if held {
			record, err := l.d.State(schemas.TopicLink, link.Key(), l.d.Keys.ID("link", string(link.Key())), link)
			if err != nil {
				return err
			}
			if err := l.d.Log.Produce(ctx, record); err != nil {
				return fmt.Errorf("commit link: %w", err)
			}
			l.d.Linker.Put(link)
			return nil
		}
	}
	return nil
}

// retired opens who a link retires.
func (l *decideLane) retired(r schemas.Registration) (schemas.Person, error) {
	if len(r.SealedRetired) == 0 {
		return schemas.Person{}, nil
	}
	return l.d.Keys.OpenPerson(schemas.TopicRegistration, "", r.EventID+"/retired", r.SealedRetired)
}

// touchedBy are the open registrations of the two records of a link, as they
// are now, with what they were told.
func (l *decideLane) touchedBy(ctx context.Context, r schemas.Registration) ([]*answer, error) {
	var out []*answer
	for _, offset := range l.episodes.touched([]string{string(r.SubjectRef), string(r.RetiredRef)}, math.MaxInt64) {
		record, err := l.registration(ctx, offset)
		if err != nil {
			return nil, err
		}
		before, open := l.episodes.last(offset)
		if record == nil || !open {
			continue
		}
		again, err := l.read(ctx, Task{Record: *record})
		if err != nil {
			return nil, err
		}
		again.before = before
		out = append(out, again)
	}
	return out, nil
}
