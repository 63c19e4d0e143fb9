package router

import (
	"context"
	"crypto/sha256"
	"fmt"

	"cpis/schemas"
)

// Intake puts registrations on cpis.registration.v1. Accept returning nil is
// what lets a sender be told "taken".
type Intake struct {
	*Publisher
	Keys *schemas.Keyring
}

// Accept gives a registration its ids, seals the person and commits it. The
// event id is a keyed hash of sender, control id and payload, so that a resend
// has the same id and a reused control id has another.
func (in *Intake) Accept(ctx context.Context, r schemas.Registration, payload []byte) error {
	sum := sha256.Sum256(payload)
	r.EventID = in.Keys.ID("event", r.Feed, string(r.ODS), r.ControlID, string(sum[:]))
	r.AcceptedAt = in.Now()
	r.SubjectRef = in.reference(r, r.Person)
	if !r.Retired.IsZero() {
		r.RetiredRef = in.reference(r, r.Retired)
	}
	if r.VisitNumber != "" {
		r.VisitRef = in.Keys.ID("visit", r.Feed, r.VisitNumber)
	}
	var err error
	if r.SealedPerson, err = in.Keys.SealPerson(schemas.TopicRegistration, r.EventID, r.Person); err != nil {
		return err
	}
	if !r.Retired.IsZero() {
		if r.SealedRetired, err = in.Keys.SealPerson(schemas.TopicRegistration, r.EventID+"/retired", r.Retired); err != nil {
			return err
		}
	}
	rec, err := in.record(schemas.TopicRegistration, string(r.SubjectRef), r.EventID, r.EventID, r)
	if err != nil {
		return err
	}
	if err := in.Log.Produce(ctx, rec); err != nil {
		return fmt.Errorf("commit registration: %w", err)
	}
	return nil
}

// reference is the pseudonym that orders a person's events: of the NHS number,
// else of the sender's own number, else of the message alone.
func (in *Intake) reference(r schemas.Registration, p schemas.Person) schemas.SubjectRef {
	switch {
	case !p.Number.IsZero():
		return in.Keys.SubjectRef(p.Number)
	case p.LocalID != "":
		return in.Keys.LocalRef(r.Feed, p.LocalID)
	}
	return in.Keys.LocalRef(r.Feed, "message "+r.EventID)
}
