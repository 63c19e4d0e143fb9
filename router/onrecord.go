package router

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"cpis/router/topics"
	"cpis/schemas"
)

// recording is a commit under way.
type recording struct {
	done chan struct{}
	err  error // once done
}

// ended waits for the end, for some time.
func (r *recording) ended(within time.Duration) bool {
	timer := time.NewTimer(within)
	defer timer.Stop()
	select {
	case <-r.done:
		return true
	case <-timer.C:
		return false
	}
}

// unrecorded is an answer whose audit record is on its way.
type unrecorded struct {
	*recording
	outcome schemas.Outcome
	whole   bool // its outcome goes with the record, so that nothing is left to tell
}

// record begins a commit. It goes on until it succeeds, whatever its caller does
// meanwhile, or until the partition is given up; so it is never unknown to a living
// lane what is on record.
func (l *decideLane) record(ctx context.Context, records []topics.Record) *recording {
	r := &recording{done: make(chan struct{})}
	l.commits.Go(func() {
		defer close(r.done)
		r.err = l.d.commit(ctx, records)
	})
	return r
}

// patience is how long an answer waits for its audit record: not long where others
// have just waited in vain.
func (d *Decide) patience() time.Duration {
	p := cmp.Or(d.AuditPatience, 5*time.Second)
	if d.sick.Load() {
		return p / 10
	}
	return p
}

// recorded finds an answer whose audit record was on its way when it was last asked
// for, and reports whether it is there now. found is false where there is none.
func (l *decideLane) recorded(a *answer) (found bool, err error) {
	u := l.unrecorded[a.reg.EventID]
	if u == nil {
		return false, nil
	}
	if !u.ended(0) {
		return true, errUndecided
	}
	delete(l.unrecorded, a.reg.EventID)
	if u.err != nil {
		return true, u.err
	}
	if l.d.sick.Swap(false) {
		l.d.Logger.Info("audit records can be committed again")
	}
	a.outcome, a.stored, a.whole = u.outcome, true, u.whole
	if l.told.failed.has(a.reg.EventID) && a.outcome.Corrects == "" {
		a.outcome.Corrects = l.d.provisionalID(a.reg.EventID)
	}
	return true, nil
}

// wait leaves answers whose audit record is on its way, and tells their settings
// CHECK_FAILED meanwhile: all alike where none is told before it is on record, for
// whoever is told otherwise would know that there is a plan.
func (l *decideLane) wait(ctx context.Context, r *recording, telling []*answer, after bool, errs []error) {
	if !l.d.sick.Swap(true) {
		l.d.Logger.Error("audit records cannot be committed: settings are told CHECK_FAILED", "code", "CPIS-M010", "waiting", len(telling))
	}
	var outcomes, audits []topics.Record
	for _, a := range telling {
		errs[a.at] = errUndecided
		whole := !after && !a.outcome.State.Matched()
		if a.outcome.State != schemas.StateCheckFailed {
			l.unrecorded[a.reg.EventID] = &unrecorded{r, a.outcome, whole}
		}
		if whole || a.before.outcome != "" || !l.told.failed.add(a.reg.EventID) {
			continue // it may have been told; or an answer stands until there is another
		}
		provisional := *a
		provisional.before = lastAnswer{}
		l.compose(&provisional, schemas.Decision{State: schemas.StateCheckFailed, Reason: schemas.ReasonAuditUnreachable})
		o := &provisional.outcome
		outcome, err := l.d.record(schemas.TopicOutcome, settingKey(o.ODS, o.Setting), o.OutcomeID, o.EventID, *o)
		audit, err2 := l.d.audit(o)
		if err := errors.Join(err, err2); err != nil {
			l.d.Logger.Error("a setting cannot be told CHECK_FAILED", "event", o.EventID, "error", err)
			continue
		}
		outcomes, audits = append(outcomes, outcome), append(audits, audit)
	}
	l.record(ctx, outcomes)
	l.record(ctx, audits)
}

// audit renders the audit record of an outcome.
func (d *Decide) audit(o *schemas.Outcome) (topics.Record, error) {
	key := string(o.SubjectRef)
	if key == "" {
		key = settingKey(o.ODS, o.Setting)
	}
	id := d.Keys.ID("audit", o.OutcomeID)
	return d.auditRecord(key, o.EventID, auditOf(*o, id))
}

// headerKind is the kind of an audit record: who looks for some kinds reads no other. It
// is a help to readers of the topic and no part of what is on record.
const headerKind = "audit_kind"

// headerDeed is what was done, of what is no decision and no view, for the same end.
const headerDeed = "audit_action"

// auditRecord renders a record of the audit topic.
func (p *Publisher) auditRecord(key, trace string, a schemas.Audit) (topics.Record, error) {
	r, err := p.record(schemas.TopicAudit, key, a.AuditID, trace, a)
	r.Headers = append(r.Headers, topics.Header{Key: headerKind, Value: []byte(a.Kind)})
	if a.Action != "" {
		r.Headers = append(r.Headers, topics.Header{Key: headerDeed, Value: []byte(a.Action)})
	}
	return r, err
}

// auditHeaders reads both; empty where there are none.
func auditHeaders(r topics.Record) (kind schemas.AuditKind, action schemas.Action) {
	for _, h := range r.Headers {
		switch h.Key {
		case headerKind:
			kind = schemas.AuditKind(h.Value)
		case headerDeed:
			action = schemas.Action(h.Value)
		}
	}
	return kind, action
}

// isKind reports whether an audit record may be of a kind. Those without the header, of
// an earlier release or another writer, may be of any.
func isKind(r topics.Record, kinds ...schemas.AuditKind) bool {
	for _, h := range r.Headers {
		if h.Key == headerKind {
			return slices.Contains(kinds, schemas.AuditKind(h.Value))
		}
	}
	return true
}

// auditOf is what the audit log has of an outcome.
func auditOf(o schemas.Outcome, id string) schemas.Audit {
	a := schemas.Audit{AuditID: id, Kind: schemas.AuditDecision, At: o.DecidedAt, EventID: o.EventID, OutcomeID: o.OutcomeID, Corrects: o.Corrects,
		Feed: o.Feed, ODS: o.ODS, Setting: o.Setting, ControlID: o.ControlID, Event: o.Event, State: o.State, Reason: o.Reason, Silent: o.Silent, Repeat: o.Repeat,
		AcceptedAt: o.AcceptedAt, SubjectRef: o.SubjectRef, Freshness: o.Freshness, SealedDetails: o.SealedDetails, Origin: o.Origin}
	// Scheduled care is not shown to others; nor is what names nobody.
	a.Stream = schemas.StreamGovernance
	if o.State.Matched() && !o.Silent {
		a.Stream = schemas.StreamHistory
	}
	for _, code := range authoritiesOf(&o) {
		a.Authorities = append(a.Authorities, string(code))
	}
	return a
}

// outcomeOf is the outcome that an audit record was written for.
func outcomeOf(a *schemas.Audit) schemas.Outcome {
	return schemas.Outcome{OutcomeID: a.OutcomeID, EventID: a.EventID, Corrects: a.Corrects, Feed: a.Feed, ODS: a.ODS, Setting: a.Setting,
		ControlID: a.ControlID, Event: a.Event, State: a.State, Reason: a.Reason, Silent: a.Silent, Repeat: a.Repeat, AcceptedAt: a.AcceptedAt, DecidedAt: a.At,
		SubjectRef: a.SubjectRef, Freshness: a.Freshness, SealedDetails: a.SealedDetails, Origin: a.Origin}
}
