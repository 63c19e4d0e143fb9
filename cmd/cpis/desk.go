package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"cpis/connectors/adt"
	"cpis/connectors/console"
	"cpis/connectors/identity"
	"cpis/matching"
	"cpis/matching/compare"
	"cpis/matching/weigh"
	"cpis/router"
	"cpis/router/topics"
	"cpis/schemas"
	"cpis/schemas/contact"
)

// openDesk opens the door for people: signing in, and what each may see.
func (s *system) openDesk(mux *identity.Mux) error {
	book, err := contact.NewBook()
	if err != nil {
		return err
	}
	s.watchLookers(book)
	c := s.config.SignIn
	if !c.On() {
		return nil
	}
	registered := &router.Registered{Codec: s.codec, Now: time.Now, Logger: s.log}
	s.add("registered", func(ctx context.Context) error {
		return s.keepTrying(ctx, "registered", func() error { return registered.Follow(ctx, s.client) })
	})
	s.people = identity.NewSignIn(c, s.serves, time.Now, s.log)
	s.people.Told = s.signedIn
	mux.People = s.people
	s.desk = console.NewDesk(clerk{s, book, registered}, time.Now, s.log)
	routes := []map[string]http.HandlerFunc{s.people.Routes(), s.desk.Routes()}
	if c.Practice {
		practice, err := identity.NewPractice(time.Now)
		if err != nil {
			return err
		}
		routes = append(routes, practice.Routes())
	}
	for _, list := range routes {
		for route, handle := range list {
			mux.HandleFunc(route, handle)
		}
	}
	return nil
}

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
	book       *contact.Book
	registered *router.Registered
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
	return c.registered.At(append(c.keys.FormerRefs(n), c.keys.SubjectRef(n)), covers)
}

// Details opens what an answer shows.
func (c clerk) Details(o schemas.Outcome) (schemas.Details, error) {
	return c.keys.OpenDetails(o.OutcomeID, o.SealedDetails)
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
	refs := append(c.keys.FormerRefs(n), c.keys.SubjectRef(n))
	for _, ref := range slices.Clone(refs) {
		refs = append(refs, c.links.Of(ref)...)
	}
	values, err := c.plans.about(ctx, c.system, refs)
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

// Broken puts on record that somebody broke the glass, then tells the authorities.
func (c clerk) Broken(ctx context.Context, w *identity.Worker, n schemas.NHSNumber, plans []schemas.Plan, why console.GlassReason) error {
	ctx, cancel := context.WithTimeout(ctx, auditTime)
	defer cancel()
	d := router.Deed{Kind: schemas.AuditAccess, Action: schemas.ActionGlassBroken, Organisation: string(w.ODS), By: w.Access(), Reason: string(why)}
	by := map[schemas.AuthorityCode][]schemas.PlanRecord{}
	for _, p := range plans {
		if _, ok := by[p.Authority]; !ok {
			d.Authorities = append(d.Authorities, p.Authority)
		}
		by[p.Authority] = append(by[p.Authority], schemas.PlanRecord{PlanType: p.PlanType, RecordID: p.RecordID, UploadID: p.UploadID})
	}
	if len(plans) > 0 { // of somebody without a plan nothing is left
		d.Subject = c.keys.SubjectRef(n)
	}
	if err := c.recorder.Note(ctx, d); err != nil {
		return err
	}
	now := time.Now().UTC().Truncate(time.Millisecond)
	var notices []schemas.Notice
	for _, code := range d.Authorities {
		access := w.Access()
		access.Records = by[code]
		notices = append(notices, schemas.Notice{NoticeID: c.keys.ID("notice", string(schemas.NoticeGlass), string(code), w.ID, now.Format(time.RFC3339Nano)), Kind: schemas.NoticeGlass, Authority: code,
			SubjectRef: d.Subject, ODS: w.ODS, Setting: c.settingOf(w.ODS), OccurredAt: now, CreatedAt: now, Codes: []string{string(why)}, Access: access})
	}
	return c.notices.Tell(ctx, notices...)
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

// Reviews lists broken glass and findings of an organisation.
func (c clerk) Reviews(ctx context.Context, covers func(schemas.ODSCode) bool) ([]console.ReviewItem, error) {
	out := []console.ReviewItem{}
	err := router.ReadSince(ctx, c.client, schemas.TopicAudit, time.Now().Add(-reviewsBack), func(r topics.Record) error {
		var a schemas.Audit
		if err := c.codec.Decode(ctx, schemas.TopicAudit, r.Value, &a); err != nil {
			return err
		}
		if a.Kind != schemas.AuditFinding && a.Action != schemas.ActionGlassBroken || !covers(schemas.ODSCode(a.Organisation)) {
			return nil
		}
		item := console.ReviewItem{At: a.At, What: a.Action, Code: a.Code, Reason: a.Event, Organisation: a.Organisation, Role: a.Role, Count: a.Count, Kind: a.Kind}
		if len(a.SealedActor) > 0 {
			who, err := c.keys.OpenAccess(schemas.TopicAudit, "", a.AuditID, a.SealedActor)
			if err != nil {
				return err
			}
			item.Worker = who.WorkerName + " (" + who.WorkerID + ")"
		}
		out = append(out, item)
		return nil
	})
	return out, err
}
