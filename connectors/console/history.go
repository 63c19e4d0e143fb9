package console

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"cpis/connectors/identity"
	"cpis/schemas"
)

// Event is something on record about a person, as those see it who may know who has
// looked.
type Event struct {
	ID           string
	At           time.Time
	Kind         schemas.AuditKind
	Action       schemas.Action
	Organisation string // that acted, or where the person was registered
	Authority    bool   // it is a local authority
	Setting      schemas.CareSetting
	Name, Role   string // of whoever acted, empty where nobody did by hand
	Trigger      string // event of the message, or one of a closed list
	Visit        bool   // a further visit of the person
}

// What says what happened.
func (e Event) What() string {
	switch {
	case e.Action == schemas.ActionGlassBroken:
		return "Looked in an emergency"
	case e.Action == schemas.ActionHistoryRead:
		return "Read this history"
	case e.Action == schemas.ActionHistoryChecked:
		return "Reviewed: " + sentence(e.Trigger)
	case e.Action == schemas.ActionFeedback:
		return "Said: " + sentence(e.Trigger)
	case e.Kind == schemas.AuditView:
		return "Opened the answer"
	case e.Kind == schemas.AuditDecision && e.Visit:
		return "Registered"
	case e.Kind == schemas.AuditDecision:
		return "Answered anew"
	}
	return sentence(string(e.Action))
}

// Why says why.
func (e Event) Why() string {
	switch {
	case e.Action == schemas.ActionGlassBroken, e.Kind == schemas.AuditDecision:
		return sentence(e.Trigger)
	case e.Kind == schemas.AuditView:
		return "Care of the person"
	case e.Action == schemas.ActionHistoryRead, e.Action == schemas.ActionHistoryChecked:
		return "Safeguarding"
	}
	return ""
}

// Remarks are what somebody may say of a history they have read.
func Remarks() []string {
	return []string{"NO_CONCERN_FROM_THIS_LIST", "SPOKE_TO_AUTHORITY", "SPOKE_TO_CARE_SETTINGS", "KEEP_WATCHING"}
}

// Sizes of a history.
const (
	lastSeen   = 25 // entries, as the national service has them
	timeSeen   = 200
	weeksSeen  = 26
	sentenceOf = 90 * 24 * time.Hour
)

// subject is whose history is asked for.
type subject struct {
	handle string
	number schemas.NHSNumber
}

// History is what is on record about somebody, in a time.
type History struct {
	List     []Event
	More     bool
	Sentence string
	Chart    chart
	number   schemas.NHSNumber
}

// resolve finds whose history it is, and how they stand to whoever asks.
func (d *Desk) resolve(ctx context.Context, w *identity.Worker, s subject) (schemas.NHSNumber, identity.RecordState, error) {
	if s.handle != "" {
		o, err := d.store.Find(s.handle)
		if err != nil {
			return s.number, identity.Elsewhere, err
		}
		details, err := d.store.Details(o)
		if err != nil {
			return s.number, identity.Elsewhere, err
		}
		s.number = details.Person.Number
		if state := d.stateOf(w, o, d.broken(w, s.number)); state != identity.Elsewhere || w.Authority == "" {
			return s.number, state, nil
		}
	}
	switch {
	case w.Authority != "":
		plans, err := d.store.Plans(ctx, s.number)
		if slices.ContainsFunc(plans, func(p schemas.Plan) bool { return p.Authority == w.Authority }) {
			return s.number, identity.Own, err
		}
		return s.number, identity.Elsewhere, err
	case d.broken(w, s.number):
		return s.number, identity.Glass, nil
	}
	if d.store.Here(s.number, w.Covers) {
		return s.number, identity.Recent, nil
	}
	found, err := d.store.Of(s.number)
	if err != nil {
		return s.number, identity.Elsewhere, err
	}
	best := identity.Elsewhere
	for _, o := range found {
		switch d.stateOf(w, o, false) {
		case identity.Recent:
			return s.number, identity.Recent, nil
		case identity.Older:
			best = identity.Older
		}
	}
	return s.number, best, nil
}

// entitled finds who a history is asked of, and refuses whoever has no right to it.
func (d *Desk) entitled(ctx context.Context, w *identity.Worker, s subject) (schemas.NHSNumber, identity.RecordState, error) {
	n, state, err := d.resolve(ctx, w, s)
	if err != nil && !errors.Is(err, ErrNoAnswer) {
		return n, state, err
	}
	if err != nil || identity.May(w.Roles, identity.SeeHistory, state) != identity.Allowed {
		return n, state, d.refused(ctx, w, "CPIS-W006", "a history is for who cares for the person now, their safeguarding lead, and the authority whose plan it is")
	}
	return n, state, nil
}

// History reads what is on record about somebody. That it is read is on record itself,
// before it is shown.
func (d *Desk) History(ctx context.Context, w *identity.Worker, s subject, from, until time.Time, limit int, place *time.Location) (History, error) {
	n, state, err := d.entitled(ctx, w, s)
	if err != nil {
		return History{}, err
	}
	h := History{number: n}
	if h.List, h.More, err = d.events(ctx, w, n, state, from, until, limit, false); err != nil {
		return History{}, err
	}
	lately, _, err := d.store.History(ctx, n, d.now().Add(-weeksSeen*7*24*time.Hour), d.now().Add(time.Minute), timeSeen)
	if err != nil {
		return History{}, err
	}
	h.Sentence, h.Chart = pattern(lately, d.now()), chartOf(lately, d.now(), place)
	return h, nil
}

// events puts on record that a history is read, and reads it.
func (d *Desk) events(ctx context.Context, w *identity.Worker, n schemas.NHSNumber, state identity.RecordState, from, until time.Time, limit int, silent bool) ([]Event, bool, error) {
	if err := d.store.Did(ctx, w, n, schemas.ActionHistoryRead, "", silent); err != nil {
		return nil, false, d.unrecorded(err)
	}
	list, more, err := d.store.History(ctx, n, from, until, limit)
	if err != nil {
		return nil, false, err
	}
	d.withhold(w, n, state, list)
	return list, more, nil
}

// withhold takes local authorities out of what is on record about somebody of whom it must
// not be known where they are: which authority looks betrays it, as its name on a plan
// does. It is left to those who see what is hidden, and to authorities' own people.
func (d *Desk) withhold(w *identity.Worker, n schemas.NHSNumber, state identity.RecordState, list []Event) {
	if w.Authority != "" || identity.May(w.Roles, identity.SeeHidden, state) == identity.Allowed || !d.store.Restricted(n) {
		return
	}
	for i := range list {
		if e := &list[i]; e.Authority {
			e.Organisation, e.Name, e.Role = "A local authority", "Not named", ""
		}
	}
}

// Lately is the history of the person of an answer in a sentence, for who has opened it.
func (d *Desk) Lately(ctx context.Context, w *identity.Worker, s Shown) (words string, may bool, err error) {
	if identity.May(w.Roles, identity.SeeHistory, s.record) != identity.Allowed {
		return "", false, nil
	}
	list, _, err := d.store.History(ctx, s.who.Number, d.now().Add(-sentenceOf), d.now().Add(time.Minute), timeSeen)
	if err != nil {
		return "", true, err
	}
	return pattern(list, d.now()), true, nil
}

// pattern says how often somebody was seen in the last 90 days, and by whom it was looked.
// It is a fact, and no score.
func pattern(list []Event, now time.Time) string {
	visits, opened := 0, 0
	places, people := map[string]bool{}, map[string]bool{}
	for _, e := range list {
		if now.Sub(e.At) > sentenceOf {
			continue
		}
		switch {
		case e.Visit:
			visits++
			places[e.Organisation+"/"+string(e.Setting)] = true
		case e.Kind == schemas.AuditView:
			opened++
			people[e.Name+"/"+e.Organisation] = true
		}
	}
	if visits == 0 {
		return "No visit in the last 90 days is on record."
	}
	seen := fmt.Sprintf("%s to %s in the last 90 days", count(visits, "visit"), count(len(places), "care setting"))
	if opened == 0 {
		return seen + ". Nobody has opened an answer about this person before."
	}
	return seen + fmt.Sprintf("; answers were opened %s, by %s.", times(opened), persons(len(people)))
}

// times and persons are how often, and of how many.
func times(n int) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}

func persons(n int) string {
	if n == 1 {
		return "one person"
	}
	return fmt.Sprintf("%d people", n)
}

// historyPage is a history on a page.
type historyPage struct {
	Asked    bool
	Handle   string
	Number   string // as it was typed, or of whom the answer is
	From, To string
	Problem  string
	History  History
	Remarks  []string
	Done     string
}

// askedFor reads whose history is asked for, from a form.
func (c *Console) askedFor(r *http.Request) (historyPage, subject, time.Time, time.Time) {
	h := historyPage{Asked: true, Handle: r.PostFormValue("handle"), Number: r.PostFormValue("nhs_number"), From: r.PostFormValue("from"), To: r.PostFormValue("to"), Remarks: Remarks()}
	s := subject{handle: h.Handle}
	from, until := time.Unix(0, 0), c.now().Add(time.Minute)
	if h.Handle == "" {
		n, err := schemas.ParseNHSNumber(h.Number)
		if err != nil {
			h.Problem = "Enter an NHS number of ten digits, as it stands on the record."
		}
		s.number = n
	}
	if t, err := time.ParseInLocation(time.DateOnly, h.From, c.place); err == nil {
		from = t
	} else if h.From != "" {
		h.Problem = "Enter the first day as year, month and day."
	}
	if t, err := time.ParseInLocation(time.DateOnly, h.To, c.place); err == nil {
		until = t.AddDate(0, 0, 1)
	} else if h.To != "" {
		h.Problem = "Enter the last day as year, month and day."
	}
	return h, s, from, until
}

// history shows who has looked: the form, or what it asks for.
func (c *Console) history(w http.ResponseWriter, r *http.Request) {
	worker := identity.From(r.Context()).Worker
	if !identity.Can(worker.Roles, identity.SeeHistory) {
		c.notYours(w, r)
		return
	}
	pg := page{Title: "Who has looked", Active: "/history", Wide: true}
	if r.Method == http.MethodGet {
		pg.Body = historyPage{}
		c.show(w, r, http.StatusOK, "history", pg)
		return
	}
	h, s, from, until := c.askedFor(r)
	if h.Problem != "" {
		pg.Body = h
		c.show(w, r, http.StatusBadRequest, "history", pg)
		return
	}
	limit := lastSeen
	if h.From != "" || h.To != "" || r.PostFormValue("as") == "csv" {
		limit = timeSeen
	}
	var err error
	if h.History, err = c.desk.History(r.Context(), worker, s, from, until, limit, c.place); err != nil {
		c.refused(w, r, err)
		return
	}
	if r.PostFormValue("as") == "csv" {
		c.historyCSV(w, r, h.History)
		return
	}
	pg.Body = h
	c.show(w, r, http.StatusOK, "history", pg)
}

// historyCSV writes a history as a table. It names who looked, and not the person.
func (c *Console) historyCSV(w http.ResponseWriter, r *http.Request, h History) {
	worker := identity.From(r.Context()).Worker
	if err := c.desk.store.Did(r.Context(), worker, h.number, schemas.ActionHistoryTaken, "", true); err != nil {
		c.refused(w, r, c.desk.unrecorded(err))
		return
	}
	w.Header().Set("Content-Type", "text/csv; charset=utf-8")
	w.Header().Set("Content-Disposition", `attachment; filename="who-has-looked.csv"`)
	out := csv.NewWriter(w)
	_ = out.Write([]string{"at", "what", "organisation", "care_setting", "name", "role", "why"})
	for _, e := range h.List {
		row := []string{e.At.UTC().Format(time.RFC3339), e.What(), e.Organisation, string(e.Setting), e.Name, e.Role, e.Why()}
		for i := range row {
			row[i] = schemas.SafeCell(row[i])
		}
		_ = out.Write(row)
	}
	out.Flush()
}

// historyReviewed puts on record what somebody makes of a history.
func (c *Console) historyReviewed(w http.ResponseWriter, r *http.Request) {
	worker := identity.From(r.Context()).Worker
	h, s, from, until := c.askedFor(r)
	said := r.PostFormValue("finding")
	if h.Problem != "" || !slices.Contains(Remarks(), said) {
		c.refused(w, r, &schemas.Refusal{Code: "CPIS-W001", Location: "finding", Reason: "none of the list"})
		return
	}
	n, _, err := c.desk.entitled(r.Context(), worker, s)
	if err == nil {
		err = c.desk.store.Did(r.Context(), worker, n, schemas.ActionHistoryChecked, said, false)
	}
	if err == nil {
		h.History, err = c.desk.History(r.Context(), worker, s, from, until, lastSeen, c.place)
	}
	if err != nil {
		c.refused(w, r, err)
		return
	}
	h.Done = "It is on record that you reviewed this history: " + sentence(said) + "."
	c.show(w, r, http.StatusOK, "history", page{Title: "Who has looked", Active: "/history", Wide: true, Body: h})
}
