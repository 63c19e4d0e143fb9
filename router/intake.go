package router

import (
	"context"
	"crypto/sha256"
	"fmt"
	"strconv"
	"time"

	"cpis/router/topics"
	"cpis/schemas"
)

// Intake puts registrations on cpis.registration.v1. Accept returning nil is
// what lets a sender be told "taken".
type Intake struct {
	*Publisher
	Keys     *schemas.Keyring
	Receipts *Receipts
}

// Accept gives the records of one message their ids, seals the persons and
// commits them. The event id is a keyed hash of sender, control id and payload:
// a message that was taken before has the same id, is not committed again, and
// gets the receipt it got then. A control id used again for other content has
// another id, is taken, and marked.
//
// An update of a visit asks for a check where the same visit has not asked the
// same question: for this number, standing as it does now. So a registration
// that was lost is made up for, and a number that comes later, or is corrected,
// is checked, and a hundred further updates are not.
func (in *Intake) Accept(ctx context.Context, records []schemas.Registration, payload []byte) (schemas.Receipt, error) {
	if len(records) == 0 {
		return schemas.Receipt{}, fmt.Errorf("accept message: %w: no record", schemas.ErrInvalid)
	}
	first := records[0]
	sum := sha256.Sum256(payload)
	event := in.Keys.ID("event", first.Feed, string(first.ODS), first.ControlID, string(sum[:]))
	release, err := in.Receipts.begin(ctx, event)
	if err != nil {
		return schemas.Receipt{}, fmt.Errorf("accept message: %w", err)
	}
	defer release()
	if at, ok := in.Receipts.taken(event); ok {
		return schemas.Receipt{EventID: event, At: at, Duplicate: true}, nil
	}
	var note receipt
	control := ""
	if first.ControlID != "" {
		control = in.Keys.ID("control", first.Feed, first.Sender, first.ControlID)
	}
	var batch []topics.Record
	at := in.Now().UTC().Truncate(time.Millisecond)
	for i := range records {
		r := &records[i]
		r.EventID, r.AcceptedAt, r.Part = event, at, int64(i)
		if i > 0 {
			r.EventID = in.Keys.ID("part", event, strconv.Itoa(i))
		}
		if i == 0 && control != "" && in.Receipts.reused(control, event) {
			r.Mark("CPIS-H105")
		}
		in.refer(r)
		question := in.question(r)
		made, err := in.render(r, string(r.SubjectRef))
		if err != nil {
			return schemas.Receipt{}, err
		}
		if i == 0 {
			note = receipt{at.UnixMilli(), ref(event), ref(control), ref(question)}
			made.Headers = append(made.Headers, topics.Header{Key: headerControl, Value: []byte(control)}, topics.Header{Key: headerQuestion, Value: []byte(question)})
		}
		batch = append(batch, made)
	}
	for i := range records { // a link is news for both of its records
		if r := records[i]; r.RetiredRef != "" && r.RetiredRef != r.SubjectRef {
			r.Part = int64(len(batch))
			r.EventID = in.Keys.ID("part", event, strconv.Itoa(len(batch)))
			made, err := in.render(&r, string(r.RetiredRef))
			if err != nil {
				return schemas.Receipt{}, err
			}
			batch = append(batch, made)
		}
	}
	// The message's own record is the receipt: it comes last, for a copy is
	// answered yes once it stands.
	for _, step := range [][]topics.Record{batch[1:], batch[:1]} {
		if len(step) == 0 {
			continue
		}
		if err := in.Log.Produce(ctx, step...); err != nil {
			return schemas.Receipt{}, fmt.Errorf("commit registration: %w", err)
		}
	}
	in.Receipts.note(note)
	return schemas.Receipt{EventID: event, At: at}, nil
}

// refer replaces what names a person or a visit by pseudonyms.
func (in *Intake) refer(r *schemas.Registration) {
	r.SubjectRef = in.reference(*r, r.Person)
	if !r.Retired.IsZero() {
		r.RetiredRef = in.reference(*r, r.Retired)
	}
	if r.VisitNumber != "" {
		r.VisitRef = in.Keys.ID("visit", r.Feed, r.VisitNumber)
	}
	if r.PriorVisitNumber != "" {
		r.PriorVisitRef = in.Keys.ID("visit", r.Feed, r.PriorVisitNumber)
	}
}

// question says what a registration asks, promotes an update that asks for the
// first time, and marks what repeats. It is empty for what asks nothing, and
// where no visit is known.
func (in *Intake) question(r *schemas.Registration) string {
	if r.VisitRef == "" || !r.Class.Checked() && !r.Promotable {
		return ""
	}
	id := func(c schemas.EventClass) string {
		return in.Keys.ID("question", r.VisitRef, string(r.SubjectRef), string(r.NumberStatus), string(c))
	}
	if !r.Class.Checked() {
		age := in.Now().Sub(r.VisitBegan)
		old := !r.VisitBegan.IsZero() && (age > rememberFor || age < -time.Hour)
		if old || in.Receipts.asked(id(schemas.ClassRegistration)) || in.Receipts.asked(id(schemas.ClassScheduled)) {
			return ""
		}
		r.Class = schemas.ClassRegistration
		r.Mark("CPIS-H107")
	}
	question := id(r.Class)
	r.Repeat = in.Receipts.asked(question)
	return question
}

// render seals a registration's persons and builds its record.
func (in *Intake) render(r *schemas.Registration, key string) (rec topics.Record, err error) {
	seal := func(into *[]byte, suffix string, p schemas.Person) {
		if err == nil && (suffix == "" || !p.IsZero()) {
			*into, err = in.Keys.SealPerson(schemas.TopicRegistration, "", r.EventID+suffix, p)
		}
	}
	seal(&r.SealedPerson, "", r.Person)
	seal(&r.SealedRetired, "/retired", r.Retired)
	if err == nil && !r.Evidence.IsZero() {
		r.SealedEvidence, err = in.Keys.SealEvidence(r.EventID, r.Evidence)
	}
	if err != nil {
		return rec, err
	}
	rec, err = in.record(schemas.TopicRegistration, key, r.EventID, r.EventID, *r)
	rec.Time = r.AcceptedAt
	if r.Link != "" {
		rec.Headers = append(rec.Headers, topics.Header{Key: headerLink, Value: []byte(r.Link)})
	}
	return rec, err
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
