package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"cpis/connectors/adt"
	"cpis/connectors/console"
	"cpis/connectors/identity"
	"cpis/matching"
	"cpis/matching/compare"
	"cpis/matching/weigh"
	"cpis/router"
	"cpis/schemas"
	"cpis/schemas/contact"
)

// familyOf is the family name of whoever an answer is about, while the answer is held.
func (s *system) familyOf(outcomeID string) string {
	o, err := s.views.Find(outcomeID)
	if err != nil {
		return ""
	}
	d, err := s.keys.OpenDetails(outcomeID, o.SealedDetails)
	if err != nil {
		return ""
	}
	return d.Person.FamilyName
}

// watchLookers has findings made about who looks, whether at this desk or elsewhere.
func (s *system) watchLookers(book *contact.Book) {
	names := weigh.Builtin()
	watch := &router.LookWatch{Recorder: s.recorder, Client: s.client, Family: s.familyOf, Logger: s.log,
		Lookers: &router.Lookers{Place: book.Place(), Common: func(family string) float64 { return names.Family(compare.FamilyName(family).Joined) }}}
	s.add("who looks", func(ctx context.Context) error {
		return s.keepTrying(ctx, "who looks", func() error { return watch.Run(ctx) })
	})
}

// serves reports whether an organisation has a care setting here, as a site or as the
// trust of one.
func (s *system) serves(ods schemas.ODSCode) bool {
	return slices.ContainsFunc(s.config.Feeds, func(f adt.Profile) bool { return f.ODS.Under(string(ods)) })
}

// signedIn puts on record who signed in or out.
func (s *system) signedIn(ctx context.Context, what schemas.Action, w *identity.Worker) error {
	ctx, cancel := context.WithTimeout(ctx, auditTime)
	defer cancel()
	d := router.Deed{Kind: schemas.AuditAccess, Action: what}
	if w != nil {
		d.Organisation, d.By = string(w.ODS), w.Access()
	}
	return s.recorder.Note(ctx, d)
}

// auditTime is how long somebody waits for a record of what they are about to see.
const auditTime = 5 * time.Second

// clerk is what the desk sees of the broker.
type clerk struct {
	*system
	book *contact.Book
}

// Find gives an answer that shows a plan.
func (c clerk) Find(outcomeID string) (schemas.Outcome, error) {
	o, err := c.views.Find(outcomeID)
	if errors.Is(err, router.ErrNoAnswer) {
		err = console.ErrNoAnswer
	}
	return o, err
}

// Of lists the answers about somebody.
func (c clerk) Of(n schemas.NHSNumber) ([]schemas.Outcome, error) { return c.views.Of(n) }

// Registered reports whether somebody was registered in the last day.
func (c clerk) Registered(n schemas.NHSNumber, covers func(schemas.ODSCode) bool) bool {
	return c.arrivals.At(c.refs(n), covers)
}

// refs are the pseudonyms of an NHS number, linkedRefs those of all numbers that are the
// same person's.
func (s *system) refs(n schemas.NHSNumber) []schemas.SubjectRef {
	return append(s.keys.FormerRefs(n), s.keys.SubjectRef(n))
}

func (s *system) linkedRefs(n schemas.NHSNumber) []schemas.SubjectRef {
	refs := s.refs(n)
	for _, ref := range slices.Clone(refs) {
		refs = append(refs, s.links.Of(ref)...)
	}
	return refs
}

// Details opens what an answer shows. Whom to ring is as it is now: the answer may be hours
// old, and an authority that is told of a wrong number corrects it.
func (c clerk) Details(o schemas.Outcome) (schemas.Details, error) {
	d, err := c.keys.OpenDetails(o.OutcomeID, o.SealedDetails)
	for i := range d.Plans {
		p := &d.Plans[i]
		if a, ok := c.contacts.Get(p.Authority); ok {
			p.AuthorityName, p.OfficePhone, p.EmergencyPhone, p.RingNow, p.ContactsVersion = a.Name, a.OfficePhone, a.EmergencyPhone, c.book.Number(a, time.Now()), a.Version
		}
	}
	return d, err
}

// Viewed puts on record that an answer is opened.
func (c clerk) Viewed(ctx context.Context, o schemas.Outcome, w *identity.Worker, silent, glass bool) error {
	ctx, cancel := context.WithTimeout(ctx, auditTime)
	defer cancel()
	return c.views.Note(ctx, o.OutcomeID, func(schemas.ODSCode) bool { return true }, router.View{Who: w.Access(), Organisation: string(w.ODS), Silent: silent, Glass: glass})
}

// Tried puts on record what somebody tried that showed nothing.
func (c clerk) Tried(ctx context.Context, w *identity.Worker, action schemas.Action, code schemas.Code) error {
	ctx, cancel := context.WithTimeout(ctx, auditTime)
	defer cancel()
	kind := schemas.AuditAccess
	if code != "" {
		kind = schemas.AuditRefusal
	}
	return c.recorder.Note(ctx, router.Deed{Kind: kind, Action: action, Code: code, Organisation: string(w.ODS), By: w.Access()})
}

// Plans are those that are shared of somebody now: as new as everything that was
// committed before the call.
func (c clerk) Plans(ctx context.Context, n schemas.NHSNumber) ([]schemas.Plan, error) {
	select {
	case <-c.linked.c:
	default:
		return nil, errors.New("look up plans: links are not read yet")
	}
	values, err := c.plans.about(ctx, c.system, c.linkedRefs(n))
	if err != nil {
		return nil, err
	}
	open, now := opener{c.codec, c.keys}, time.Now()
	today := schemas.DateOf(now, c.book.Place())
	var out []schemas.Plan
	for _, value := range values {
		i, err := open.indicator(value)
		if err != nil {
			return nil, fmt.Errorf("look up plans: %w", err)
		}
		visible, _, until := i.Shown(i.Person.DateOfBirth, today)
		if !visible {
			continue
		}
		out = append(out, matching.PlanOf(i, until, now, c.contacts, c.book))
	}
	slices.SortFunc(out, func(a, b schemas.Plan) int { return cmp.Compare(b.PlanStart, a.PlanStart) })
	return out, nil
}

// Broken puts on record that somebody broke the glass, then tells the authorities. Of
// somebody without a plan nothing is left.
func (c clerk) Broken(ctx context.Context, w *identity.Worker, n schemas.NHSNumber, plans []schemas.Plan, why console.GlassReason) error {
	d := router.Deed{Kind: schemas.AuditAccess, Action: schemas.ActionGlassBroken, Organisation: string(w.ODS), By: w.Access(), Reason: string(why)}
	if len(plans) > 0 {
		d.Subject = c.keys.SubjectRef(n)
	}
	return c.recorded(ctx, d, plans, schemas.Notice{Kind: schemas.NoticeGlass, ODS: w.ODS, Setting: c.settingOf(w.ODS), Codes: []string{string(why)}})
}

// settingOf is a care setting of an organisation; the first, where it has several.
func (c clerk) settingOf(ods schemas.ODSCode) schemas.CareSetting {
	for _, f := range c.config.Feeds {
		if f.ODS.Under(string(ods)) {
			return f.Setting
		}
	}
	return ""
}

// reviewsBack is how far back reviews are listed.
const reviewsBack = 30 * 24 * time.Hour

// Reviews lists broken glass and findings of an organisation, the newest first.
func (c clerk) Reviews(ctx context.Context, covers func(schemas.ODSCode) bool) ([]console.ReviewItem, error) {
	list, said, err := c.trail.Reviews(ctx, time.Now().Add(-reviewsBack), maxReviews)
	if err != nil {
		return nil, err
	}
	out := []console.ReviewItem{}
	for _, a := range list {
		if !covers(schemas.ODSCode(a.Organisation)) {
			continue
		}
		item := console.ReviewItem{ID: a.AuditID, At: a.At, What: a.Action, Code: a.Code, Organisation: a.Organisation, Role: a.Role, Count: a.Count, Kind: a.Kind}
		if a.Kind != schemas.AuditFinding {
			item.Reason = a.Event
		}
		item.Worker = c.actor(a)
		if s, ok := said[a.AuditID]; ok {
			item.Verdict, item.ReviewedAt, item.ReviewedBy = s.Event, s.At, c.actor(s)
		}
		out = append(out, item)
	}
	return out, nil
}

// maxReviews is how many findings of all organisations are looked at.
const maxReviews = 1000

// unreadable stands for a name whose key is gone: that somebody acted is on record still.
const unreadable = "Somebody whose name cannot be read any more"

// actor is who an audit record says acted, in words; empty where nobody did by hand.
func (c clerk) actor(a schemas.Audit) string {
	if len(a.SealedActor) == 0 {
		return ""
	}
	who, err := c.keys.OpenAccess(schemas.TopicAudit, "", a.AuditID, a.SealedActor)
	if err != nil {
		return unreadable
	}
	return who.WorkerName + " (" + who.WorkerID + ")"
}

// Reviewed puts on record what somebody says of an item.
func (c clerk) Reviewed(ctx context.Context, w *identity.Worker, item, verdict string) error {
	ctx, cancel := context.WithTimeout(ctx, auditTime)
	defer cancel()
	return c.recorder.Note(ctx, router.Deed{Kind: schemas.AuditAccess, Action: schemas.ActionReviewed, Organisation: string(w.ODS), By: w.Access(), Reason: verdict, About: item})
}

// History lists what is on record about somebody and is shown.
func (c clerk) History(ctx context.Context, n schemas.NHSNumber, from, until time.Time, limit int) ([]console.Event, bool, error) {
	var out []console.Event
	// Some of what is on record is not shown, so more is read than is asked for.
	list, more, err := c.trail.About(ctx, c.linkedRefs(n), from, until, limit*historyMargin)
	if err != nil {
		return nil, false, err
	}
	for _, a := range list {
		if !a.Shown() {
			continue
		}
		if len(out) == limit {
			return out, true, nil
		}
		_, authority := c.authorityOf(schemas.ODSCode(a.Organisation))
		e := console.Event{Authority: authority, ID: a.AuditID, At: a.At, Kind: a.Kind, Action: a.Action, Organisation: cmp.Or(a.Organisation, string(a.ODS)), Setting: a.Setting, Role: a.Role, Trigger: a.Event,
			Visit: a.Kind == schemas.AuditDecision && !a.Repeat && a.Corrects == ""}
		if len(a.SealedActor) > 0 {
			e.Name = unreadable
			if who, err := c.keys.OpenAccess(schemas.TopicAudit, "", a.AuditID, a.SealedActor); err == nil {
				e.Name, e.Role = who.WorkerName, who.WorkerRole
			}
		}
		out = append(out, e)
	}
	return out, more, nil
}

// historyMargin is how many times as many records are read as are to be shown.
const historyMargin = 2

// Did puts on record what somebody does with what is known of a person. Of somebody of
// whom nothing is on record, nothing is left.
func (c clerk) Did(ctx context.Context, w *identity.Worker, n schemas.NHSNumber, action schemas.Action, code string, silent bool) error {
	ctx, cancel := context.WithTimeout(ctx, auditTime)
	defer cancel()
	d := router.Deed{Kind: schemas.AuditAccess, Action: action, Stream: schemas.StreamHistory, Organisation: string(w.ODS), By: w.Access(), Reason: code}
	if silent {
		d.Stream = schemas.StreamGovernance
	}
	if action == schemas.ActionHistoryTaken {
		d.Kind = schemas.AuditExport
	}
	held, _, err := c.trail.About(ctx, c.linkedRefs(n), time.Unix(0, 0), time.Now().Add(time.Minute), 1)
	if err != nil {
		return err
	}
	if len(held) > 0 {
		d.Subject = c.keys.SubjectRef(n)
	}
	return c.recorder.Note(ctx, d)
}

// Here reports whether it is certain that somebody was registered in the last day.
func (c clerk) Here(n schemas.NHSNumber, covers func(schemas.ODSCode) bool) bool {
	return c.arrivals.Caught() && c.arrivals.At(c.refs(n), covers)
}

// Restricted reports whether a registration of the last day, or an answer, says that where
// somebody is must not be known. What cannot be read counts as if it did.
func (c clerk) Restricted(n schemas.NHSNumber) bool {
	for _, a := range c.arrivals.Of(c.linkedRefs(n)) {
		if e, err := c.keys.OpenEvidence(a.EventID, a.Evidence); len(a.Evidence) > 0 && (err != nil || e.Restricted) {
			return true
		}
	}
	answers, err := c.views.Of(n)
	if err != nil {
		return true
	}
	return slices.ContainsFunc(answers, func(o schemas.Outcome) bool {
		d, err := c.Details(o)
		return err != nil || d.Restricted
	})
}

// Read puts on record that plans were read, then tells the authorities unless it is silent.
func (c clerk) Read(ctx context.Context, w *identity.Worker, n schemas.NHSNumber, plans []schemas.Plan, silent bool) error {
	d := router.Deed{Kind: schemas.AuditAccess, Action: schemas.ActionPlansRead, Stream: schemas.StreamHistory, Organisation: string(w.ODS), By: w.Access(), Subject: c.keys.SubjectRef(n)}
	if silent {
		d.Stream = schemas.StreamGovernance
		return c.recorded(ctx, d, plans)
	}
	return c.recorded(ctx, d, plans, schemas.Notice{Kind: schemas.NoticeViewed, ODS: w.ODS, Setting: c.settingOf(w.ODS), Restricted: c.Restricted(n)})
}

// recorded puts on record what somebody did with plans, then tells each authority a notice
// made of like, if there is one.
func (c clerk) recorded(ctx context.Context, d router.Deed, plans []schemas.Plan, like ...schemas.Notice) error {
	ctx, cancel := context.WithTimeout(ctx, auditTime)
	defer cancel()
	by := map[schemas.AuthorityCode][]schemas.PlanRecord{}
	for _, p := range plans {
		if _, ok := by[p.Authority]; !ok {
			d.Authorities = append(d.Authorities, p.Authority)
		}
		by[p.Authority] = append(by[p.Authority], schemas.PlanRecord{PlanType: p.PlanType, RecordID: p.RecordID, UploadID: p.UploadID})
	}
	if err := c.recorder.Note(ctx, d); err != nil {
		return err
	}
	now := time.Now().UTC().Truncate(time.Millisecond)
	var notices []schemas.Notice
	for _, code := range d.Authorities {
		for _, n := range like {
			n.NoticeID = c.keys.ID("notice", string(n.Kind), string(code), n.OutcomeID, d.By.WorkerID, d.Reason, now.Format(time.RFC3339Nano))
			n.Authority, n.SubjectRef, n.OccurredAt, n.CreatedAt, n.Access = code, d.Subject, now, now, d.By
			n.Access.Records = by[code]
			notices = append(notices, n)
		}
	}
	return c.notices.Tell(ctx, notices...)
}

// Tell tells the authorities of an answer that something is not right: one of them, or
// all where none is named.
func (c clerk) Tell(ctx context.Context, w *identity.Worker, o schemas.Outcome, about schemas.AuthorityCode, what schemas.Feedback) error {
	details, err := c.Details(o)
	if err != nil {
		return err
	}
	plans := slices.DeleteFunc(details.Plans, func(p schemas.Plan) bool { return about != "" && p.Authority != about })
	if len(plans) == 0 {
		return &schemas.Refusal{Code: "CPIS-W001", Location: "authority", Reason: "none of this answer"}
	}
	d := router.Deed{Kind: schemas.AuditAccess, Action: schemas.ActionFeedback, Stream: schemas.StreamHistory, Organisation: string(w.ODS), By: w.Access(), Reason: string(what), Subject: o.SubjectRef, OutcomeID: o.OutcomeID, ODS: o.ODS, Setting: o.Setting}
	return c.recorded(ctx, d, plans, schemas.Notice{Kind: schemas.NoticeFeedback, OutcomeID: o.OutcomeID, ODS: o.ODS, Setting: o.Setting, Feed: o.Feed, Codes: []string{string(what)}, Restricted: details.Restricted})
}
