package router

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"cpis/router/topics"
	"cpis/schemas"
)

// Recorder puts on record what is no decision and no view. Safe for concurrent use.
type Recorder struct {
	*Publisher
	Keys *schemas.Keyring
}

// Deed is what somebody did.
type Deed struct {
	Kind   schemas.AuditKind
	Action schemas.Action
	// Stream says who may read of it. Default: information governance alone.
	Stream       schemas.AuditStream
	At           time.Time // default: now
	Organisation string    // who did it: a code, or Operations
	By           schemas.Access
	Subject      schemas.SubjectRef // whom it is about, if a plan stands under it
	Authorities  []schemas.AuthorityCode
	Feed         string
	ODS          schemas.ODSCode
	Setting      schemas.CareSetting
	Code         schemas.Code
	Reason       string // one of a closed list; it stands where other records have the trigger event
	// About is the id of the file, dead letter or answer it is about. The same deed
	// about the same thing is one record, however often it is told; without an id
	// every telling is a deed of its own.
	About     string
	OutcomeID string
	Count     int64 // default: 1
}

// Operations is the organisation of whoever runs the broker.
const Operations = "operations"

// Note puts deeds on record. nil means durable.
func (r *Recorder) Note(ctx context.Context, deeds ...Deed) error {
	records, err := r.Records(deeds...)
	if err != nil {
		return err
	}
	if err := r.Log.Produce(ctx, records...); err != nil {
		return fmt.Errorf("put on record: %w", err)
	}
	return nil
}

// Records renders deeds, to be committed together with something else.
func (r *Recorder) Records(deeds ...Deed) ([]topics.Record, error) {
	out := make([]topics.Record, 0, len(deeds))
	now := r.Now().UTC().Truncate(time.Millisecond)
	for _, d := range deeds {
		about := d.About
		if about == "" {
			about = now.Format(time.RFC3339Nano)
		}
		a := schemas.Audit{
			AuditID: r.Keys.ID("deed", string(d.Kind), string(d.Action), d.Organisation, d.Feed, string(d.Subject), string(d.Code), d.By.WorkerID, about),
			Kind:    d.Kind, Action: d.Action, Stream: cmp.Or(d.Stream, schemas.StreamGovernance), At: now, EventID: d.About, OutcomeID: d.OutcomeID, Organisation: d.Organisation,
			SubjectRef: d.Subject, Authorities: []string{}, Feed: d.Feed, ODS: d.ODS, Setting: d.Setting, Code: d.Code, Event: d.Reason, Role: d.By.RoleCode(), Count: max(d.Count, 1),
		}
		if !d.At.IsZero() {
			a.At = d.At.UTC().Truncate(time.Millisecond)
		}
		a.AcceptedAt = a.At
		for _, code := range d.Authorities {
			a.Authorities = append(a.Authorities, string(code))
		}
		if d.By.WorkerID != "" || d.By.WorkerName != "" {
			var err error
			if a.SealedActor, err = r.Keys.SealAccess(schemas.TopicAudit, "", a.AuditID, d.By); err != nil {
				return nil, err
			}
		}
		rec, err := r.auditRecord(cmp.Or(string(d.Subject), d.Organisation, d.Feed, string(d.ODS), Operations), "", a)
		if err != nil {
			return nil, err
		}
		out = append(out, rec)
	}
	return out, nil
}
