// Package console is where people see what the broker knows: who may see which answer,
// and nothing is shown before it is on record that they looked.
package console

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"cpis/connectors/identity"
	"cpis/schemas"
)

// ErrNoAnswer means that there is no such answer.
var ErrNoAnswer = errors.New("no such answer")

// GlassReason is why somebody looks at what they have no need to know of. There is no
// free text: it would bring what must not be kept.
type GlassReason string

// GlassReasons lists the reasons.
func GlassReasons() []GlassReason {
	return []GlassReason{"LIFE_AT_RISK", "CHILD_AT_RISK_NOW", "TRANSFER_WITHOUT_REGISTRATION", "ASKED_BY_AUTHORITY"}
}

// ReviewItem is something for a privacy officer or a safeguarding lead to look at.
type ReviewItem struct {
	ID           string            `json:"id"`
	At           time.Time         `json:"at"`
	What         schemas.Action    `json:"what"`
	Code         schemas.Code      `json:"code,omitempty"`
	Reason       string            `json:"reason,omitempty"`
	Organisation string            `json:"organisation"`
	Worker       string            `json:"worker,omitempty"`
	Role         string            `json:"role,omitempty"`
	Count        int64             `json:"count"`
	Kind         schemas.AuditKind `json:"kind"`
	Verdict      string            `json:"verdict,omitempty"` // what a reviewer said of it last
	ReviewedAt   time.Time         `json:"reviewed_at,omitzero"`
	ReviewedBy   string            `json:"reviewed_by,omitempty"`
}

// Times of the rules.
const (
	needToKnow = 24 * time.Hour   // how long a setting may open what it registered
	glassTime  = 15 * time.Minute // how long broken glass stays broken
	proofTime  = 5 * time.Minute  // how lately somebody who breaks it proved who they are
	maxGlass   = 10_000
)

// Desk decides what people see. Safe for concurrent use.
type Desk struct {
	store Store
	now   func() time.Time
	log   *slog.Logger

	mu    sync.Mutex
	glass map[pane]time.Time // until when; guarded by mu
}

// pane is whose view of whom.
type pane struct {
	worker string
	number schemas.NHSNumber
}

// NewDesk makes one.
func NewDesk(store Store, now func() time.Time, log *slog.Logger) *Desk {
	return &Desk{store: store, now: now, log: log, glass: map[pane]time.Time{}}
}

// Shown is an answer as somebody sees it.
type Shown struct {
	Handle   string               `json:"handle"`
	State    schemas.State        `json:"state"`
	At       time.Time            `json:"at"`
	ODS      schemas.ODSCode      `json:"organisation"`
	Setting  schemas.CareSetting  `json:"care_setting"`
	Plans    []Plan               `json:"plans,omitempty"`
	Pattern  string               `json:"pattern,omitempty"`
	Silent   bool                 `json:"silent"`
	Withheld bool                 `json:"withheld,omitempty"` // the authority is not named to this person
	Person   map[string]string    `json:"person,omitempty"`
	record   identity.RecordState // how it stands to whoever asks
	outcome  schemas.Outcome
	who      schemas.Person
}

// Plan is what is shown of one plan.
type Plan struct {
	Type           schemas.PlanType      `json:"type"`
	Since          schemas.Date          `json:"since"`
	Ended          schemas.Date          `json:"ended,omitempty"`
	Expected       schemas.Date          `json:"expected_delivery_date,omitempty"`
	ShownUntil     schemas.Date          `json:"shown_until,omitempty"`
	Authority      schemas.AuthorityCode `json:"authority,omitempty"`
	AuthorityName  string                `json:"authority_name,omitempty"`
	RingNow        string                `json:"ring_now"`
	OfficePhone    string                `json:"office_phone,omitempty"`
	EmergencyPhone string                `json:"emergency_phone,omitempty"`
}

func plansOf(list []schemas.Plan) []Plan {
	out := []Plan{}
	for _, p := range list {
		out = append(out, Plan{p.PlanType, p.PlanStart, p.PlanEnd, p.ExpectedDate, p.ShownUntil, p.Authority, p.AuthorityName, p.RingNow, p.OfficePhone, p.EmergencyPhone})
	}
	return out
}

// stateOf says how an answer stands to somebody.
func (d *Desk) stateOf(w *identity.Worker, o schemas.Outcome, broken bool) identity.RecordState {
	switch here := w.Covers(o.ODS); {
	case here && d.now().Sub(o.AcceptedAt) <= needToKnow:
		return identity.Recent
	case broken:
		return identity.Glass
	case here:
		return identity.Older
	}
	return identity.Elsewhere
}

func (d *Desk) broken(w *identity.Worker, n schemas.NHSNumber) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	until, ok := d.glass[pane{w.ID, n}]
	return ok && !n.IsZero() && d.now().Before(until)
}

// refused is what somebody is told who may not.
func (d *Desk) refused(ctx context.Context, w *identity.Worker, code schemas.Code, reason string) error {
	if err := d.store.Tried(ctx, w, schemas.ActionRequestRefused, code); err != nil {
		return d.unrecorded(err)
	}
	return &schemas.Refusal{Code: code, Location: "rights", Reason: reason}
}

// unrecorded is what everybody is told while nothing can be put on record.
func (d *Desk) unrecorded(err error) error {
	d.log.Error("a view cannot be put on record, and is not shown", "code", "CPIS-W007", "error", err)
	return &schemas.Refusal{Code: "CPIS-W007", Location: "audit", Reason: "nothing is shown that is not on record"}
}

// List gives the answers about somebody that this person may open, without details: of
// their own organisation, and of others while the glass is broken. Whether there are
// others is not to be seen from it.
func (d *Desk) List(ctx context.Context, w *identity.Worker, n schemas.NHSNumber) ([]Shown, error) {
	if identity.May(w.Roles, identity.ListAnswers, identity.Recent) == identity.Denied {
		return nil, d.refused(ctx, w, "CPIS-W006", "the role sees no answers")
	}
	found, err := d.store.Of(n)
	if err != nil {
		return nil, err
	}
	broken := d.broken(w, n)
	out := []Shown{}
	for _, o := range found {
		state := d.stateOf(w, o, broken)
		if v := identity.May(w.Roles, identity.OpenDetails, state); v == identity.Allowed || v == identity.Silently {
			out = append(out, Shown{Handle: o.OutcomeID, State: o.State, At: o.DecidedAt, ODS: o.ODS, Setting: o.Setting, Silent: o.Silent || v == identity.Silently, record: state, outcome: o})
		}
	}
	if len(out) == 0 && !d.store.Registered(n, w.Covers) {
		if err := d.store.Tried(ctx, w, schemas.ActionLookedInVain, ""); err != nil {
			return nil, d.unrecorded(err)
		}
	}
	return out, nil
}

// Open shows the details of an answer. That somebody looks is on record before they see
// anything; where it cannot be, they do not.
func (d *Desk) Open(ctx context.Context, w *identity.Worker, handle string) (Shown, error) {
	o, err := d.store.Find(handle)
	if errors.Is(err, ErrNoAnswer) { // told like one that they may not see
		return Shown{}, d.refused(ctx, w, "CPIS-W006", "no answer of yours has this handle, or it is older than a day")
	}
	if err != nil {
		return Shown{}, err
	}
	details, err := d.store.Details(o)
	if err != nil {
		return Shown{}, err
	}
	state := d.stateOf(w, o, d.broken(w, details.Person.Number))
	verdict := identity.May(w.Roles, identity.OpenDetails, state)
	if verdict != identity.Allowed && verdict != identity.Silently {
		return Shown{}, d.refused(ctx, w, "CPIS-W006", "no answer of yours has this handle, or it is older than a day")
	}
	silent := verdict == identity.Silently || o.Silent
	if err := d.store.Viewed(ctx, o, w, silent, state == identity.Glass); err != nil {
		return Shown{}, d.unrecorded(err)
	}
	hidden := identity.May(w.Roles, identity.SeeHidden, state) == identity.Allowed
	return Shown{record: state, outcome: o, who: details.Person, Handle: o.OutcomeID, State: o.State, At: o.DecidedAt, ODS: o.ODS, Setting: o.Setting, Plans: plansOf(details.Shown(hidden)), Pattern: details.Pattern.Words(),
		Silent: silent, Withheld: details.Restricted && !hidden, Person: map[string]string{"family_name": details.Person.FamilyName, "given_names": details.Person.GivenNames, "date_of_birth": string(details.Person.DateOfBirth)}}, nil
}

// Break lets somebody see in an emergency what they have no need to know of. The
// authorities and the privacy officer are told first.
func (d *Desk) Break(ctx context.Context, w *identity.Worker, n schemas.NHSNumber, why GlassReason) ([]Plan, time.Time, error) {
	switch {
	case identity.May(w.Roles, identity.BreakGlass, identity.Elsewhere) != identity.Allowed:
		return nil, time.Time{}, d.refused(ctx, w, "CPIS-W006", "the role does not break the glass")
	case !slices.Contains(GlassReasons(), why):
		return nil, time.Time{}, &schemas.Refusal{Code: "CPIS-W001", Location: "body.reason", Reason: "none of the list"}
	case d.now().Sub(w.SignedIn) > proofTime:
		return nil, time.Time{}, &schemas.Refusal{Code: "CPIS-W008", Location: "session", Reason: "signed in more than five minutes ago"}
	}
	plans, err := d.store.Plans(ctx, n)
	if err != nil {
		return nil, time.Time{}, err
	}
	if err := d.store.Broken(ctx, w, n, plans, why); err != nil {
		return nil, time.Time{}, d.unrecorded(err)
	}
	until := d.now().Add(glassTime)
	d.mu.Lock()
	defer d.mu.Unlock()
	for key, end := range d.glass {
		if len(d.glass) >= maxGlass || !d.now().Before(end) {
			delete(d.glass, key)
		}
	}
	d.glass[pane{w.ID, n}] = until
	hidden := identity.May(w.Roles, identity.SeeHidden, identity.Glass) == identity.Allowed
	return plansOf(schemas.Details{Plans: plans, Restricted: d.store.Restricted(n)}.Shown(hidden)), until, nil
}

// Reviews lists what wants looking at of somebody's organisation.
func (d *Desk) Reviews(ctx context.Context, w *identity.Worker) ([]ReviewItem, error) {
	if identity.May(w.Roles, identity.Review, identity.Recent) != identity.Allowed {
		return nil, d.refused(ctx, w, "CPIS-W006", "the role does not review")
	}
	return d.store.Reviews(ctx, w.Covers)
}

// Review puts on record what somebody says of an item of their organisation's list.
func (d *Desk) Review(ctx context.Context, w *identity.Worker, item, verdict string) error {
	list, err := d.Reviews(ctx, w)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(list, func(r ReviewItem) bool { return r.ID == item }) {
		return d.refused(ctx, w, "CPIS-W006", "no item of your list has this id")
	}
	if err := d.store.Reviewed(ctx, w, item, verdict); err != nil {
		return d.unrecorded(err)
	}
	return nil
}

// Read gives the plans that are shared now of somebody whom the person's organisation has
// registered in the last day, newest first. That they are read is on record before, and
// unless it is silent the authorities are told. A search that finds nothing leaves no
// pseudonym.
func (d *Desk) Read(ctx context.Context, w *identity.Worker, n schemas.NHSNumber, silent bool) ([]Plan, error) {
	state := identity.Elsewhere
	switch {
	case d.store.Here(n, w.Covers):
		state = identity.Recent
	case d.broken(w, n):
		state = identity.Glass
	}
	verdict := identity.May(w.Roles, identity.OpenDetails, state)
	if verdict != identity.Allowed && verdict != identity.Silently {
		return nil, d.refused(ctx, w, "CPIS-W006", "the person was not registered by your organisation in the last 24 hours, or your role does not see plans")
	}
	silent = silent || verdict == identity.Silently
	plans, err := d.store.Plans(ctx, n)
	if err != nil || len(plans) == 0 {
		return []Plan{}, err
	}
	if err := d.seen(ctx, w, n, plans, silent, state); err != nil {
		return nil, d.unrecorded(err)
	}
	hidden := identity.May(w.Roles, identity.SeeHidden, state) == identity.Allowed
	return plansOf(schemas.Details{Plans: plans, Restricted: d.store.Restricted(n)}.Shown(hidden)), nil
}

// seen puts on record that plans are read: as the view of the answer that shows them,
// where there is one.
func (d *Desk) seen(ctx context.Context, w *identity.Worker, n schemas.NHSNumber, plans []schemas.Plan, silent bool, state identity.RecordState) error {
	answers, err := d.store.Of(n)
	if err != nil {
		return err
	}
	for _, o := range answers {
		if d.stateOf(w, o, false) == identity.Recent {
			return d.store.Viewed(ctx, o, w, silent, state == identity.Glass)
		}
	}
	return d.store.Read(ctx, w, n, plans, silent)
}

// Looked lists who has looked at somebody, the newest first: views alone.
func (d *Desk) Looked(ctx context.Context, w *identity.Worker, n schemas.NHSNumber, silent bool, limit int) ([]Event, error) {
	n, state, err := d.entitled(ctx, w, subject{number: n})
	if err != nil {
		return nil, err
	}
	list, _, err := d.events(ctx, w, n, state, time.Unix(0, 0), d.now().Add(time.Minute), timeSeen, silent)
	if err != nil {
		return nil, err
	}
	out := []Event{}
	for _, e := range list {
		if (e.Kind == schemas.AuditView || e.Action == schemas.ActionPlansRead) && len(out) < limit {
			out = append(out, e)
		}
	}
	return out, nil
}
