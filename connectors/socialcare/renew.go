package socialcare

import (
	"context"
	"fmt"

	"cpis/schemas"
)

// Moved is a person who is known by another pseudonym now.
type Moved struct{ From, To schemas.SubjectRef }

// Renew writes an authority's records anew that were written with keys which are no
// longer the newest, in its turn. Nothing of what they say changes. Afterwards the older
// keys are not needed for them any more.
func (s *Service) Renew(ctx context.Context, code schemas.AuthorityCode) (int, error) {
	defer s.exclusively(code)()
	held, err := s.store.Held(ctx, code)
	if err != nil {
		return 0, fmt.Errorf("renew records: %w", err)
	}
	return s.renew(ctx, code, held)
}

func (s *Service) renew(ctx context.Context, code schemas.AuthorityCode, held map[string]schemas.Indicator) (int, error) {
	c := Changes{Authority: code, Renewal: true}
	for _, i := range held {
		if i.Withdrawn { // whose it was nobody can tell: it stays under the name it has
			continue
		}
		now := i
		now.SubjectRef = s.store.Identify(i.Person.Number)
		moved := now.SubjectRef != i.SubjectRef
		if !moved && !s.store.Stale(i) {
			continue
		}
		now.SealedPerson = nil
		if newer, ok := held[string(now.Key())]; !moved || !ok || newer.Version < i.Version {
			c.Put = append(c.Put, now)
		}
		if moved {
			c.Moved, c.Drop = append(c.Moved, Moved{i.SubjectRef, now.SubjectRef}), append(c.Drop, i)
		}
	}
	n := len(c.Put) + len(c.Drop)
	if n == 0 {
		return 0, nil
	}
	if err := s.store.Commit(ctx, c); err != nil {
		return 0, fmt.Errorf("renew records: %w", err)
	}
	s.log.Info("records were written anew with newer keys", "authority", string(code), "records", len(c.Put))
	return n, nil
}

// renewed has what is held written anew first, where keys have changed since, so that a
// file is compared with what stands under the names of now.
func (s *Service) renewed(ctx context.Context, j *job) error {
	if j.Check {
		return nil
	}
	n, err := s.renew(ctx, j.Authority, j.held)
	if err != nil || n == 0 {
		return err
	}
	j.held, err = s.store.Held(ctx, j.Authority)
	return err
}

// heldOf finds what is held of a record: under the name the person has now, or under an
// earlier one, where it was taken back.
func (s *Service) heldOf(j *job, i schemas.Indicator) (schemas.Indicator, bool) {
	if held, ok := j.held[string(i.Key())]; ok {
		return held, true
	}
	for _, ref := range s.store.Former(i.Person.Number) {
		if held, ok := j.held[string(schemas.IndicatorKey(i.Authority, ref, i.PlanType))]; ok {
			return held, true
		}
	}
	return schemas.Indicator{}, false
}
