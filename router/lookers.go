package router

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"cpis/router/topics"
	"cpis/schemas"
)

// Look is one time that somebody looked, or tried to.
type Look struct {
	Worker       string // user id
	Name         string
	Role         string
	Organisation string
	At           time.Time
	Place        string             // organisation and care setting of the answer; empty where nothing was shown
	Subject      schemas.SubjectRef // who was seen; empty where nobody was
	Family       string             // of who was seen, where that can be told
	Vain         bool               // there was nothing to show to this person, or they had no right
	Glass        bool               // the glass was broken
	Silent       bool               // scheduled care
}

// LookRule says when looking wants looking at: so many looks of one person, of a kind,
// in a time. What is counted is the looks, or of what the looks are distinct.
type LookRule struct {
	Code     schemas.Code
	Counts   func(w *Lookers, l Look) bool
	Distinct func(Look) string // nil: every look counts
	From     int
	Within   time.Duration
}

// LookRules is the table. A nurse of a busy department opens a handful of answers in a
// day, and types a number in vain about once a week; the rules leave room above that.
func LookRules() []LookRule {
	const day = 24 * time.Hour
	vain := func(_ *Lookers, l Look) bool { return l.Vain }
	seen := func(_ *Lookers, l Look) bool { return l.Subject != "" }
	return []LookRule{
		{"CPIS-B001", vain, nil, 6, day},
		{"CPIS-B001", vain, nil, 15, 30 * day},
		{"CPIS-B002", seen, func(l Look) string { return string(l.Subject) }, 12, day},
		{"CPIS-B003", ownName, nil, 1, day},
		{"CPIS-B004", seen, func(l Look) string { return l.Place }, 4, day},
		{"CPIS-B005", afterHours, nil, 2, 7 * day},
		{"CPIS-B006", func(_ *Lookers, l Look) bool { return l.Glass }, nil, 3, 7 * day},
	}
}

// rareName is how common a family name may be, as a share of all people, to be told:
// two who meet and share one that is common are no finding.
const rareName = 0.0002

// ownName reports that somebody looks at a person of their own, uncommon, family name.
func ownName(w *Lookers, l Look) bool {
	words := strings.Fields(l.Name)
	if l.Family == "" || len(words) == 0 || !strings.EqualFold(words[len(words)-1], l.Family) {
		return false
	}
	return w.Common == nil || w.Common(l.Family) < rareName
}

// Hours of scheduled care, by the clock in London.
const (
	scheduledFrom  = 6
	scheduledUntil = 22
)

// afterHours reports that somebody in scheduled care, which keeps hours, looks at night.
func afterHours(w *Lookers, l Look) bool {
	h := l.At.In(w.Place).Hour()
	return l.Silent && (h < scheduledFrom || h >= scheduledUntil)
}

// Odd is a finding: somebody looked in a way that a rule is about.
type Odd struct {
	Code  schemas.Code
	Look  Look // the one that made it so
	Count int
	ID    string // one for each rule, person and day
}

// Lookers watches who looks. Take is for one goroutine.
type Lookers struct {
	Place *time.Location
	// Common says how common a family name is, as a share of all people. Default nil:
	// every name is uncommon.
	Common func(family string) float64

	looks map[string][]Look // by worker, as long as the longest rule looks back
	found map[string]bool
}

// keepLooks is how long the longest rule looks back.
const keepLooks = 30 * 24 * time.Hour

// Take takes in a look, in the order of time, and gives what is odd.
func (w *Lookers) Take(l Look) []Odd {
	if w.looks == nil {
		w.looks, w.found = map[string][]Look{}, map[string]bool{}
	}
	if l.Worker == "" {
		return nil
	}
	held := slices.DeleteFunc(w.looks[l.Worker], func(old Look) bool { return l.At.Sub(old.At) > keepLooks })
	held = append(held, l)
	w.looks[l.Worker] = held
	var out []Odd
	for i, rule := range LookRules() {
		if !rule.Counts(w, l) {
			continue
		}
		n, distinct := 0, map[string]bool{}
		for _, old := range held {
			if l.At.Sub(old.At) > rule.Within || !rule.Counts(w, old) {
				continue
			}
			if rule.Distinct != nil {
				distinct[rule.Distinct(old)] = true
				n = len(distinct)
			} else {
				n++
			}
		}
		id := fmt.Sprintf("%s/%d/%s/%s", rule.Code, i, l.Worker, l.At.In(w.Place).Format(time.DateOnly))
		if n >= rule.From && !w.found[id] {
			w.found[id] = true
			out = append(out, Odd{rule.Code, l, n, id})
		}
	}
	return out
}

// LookWatch follows the audit topic and puts findings on record.
type LookWatch struct {
	*Recorder
	Client  *topics.Client
	Lookers *Lookers
	// Family gives the family name of whoever an answer is about, where that can still
	// be told.
	Family func(outcomeID string) string
	Logger *slog.Logger
}

// Run follows until ctx ends; it may be called again after an error. What was found
// before is on record, and is not found again.
func (w *LookWatch) Run(ctx context.Context) error {
	w.Lookers.looks, w.Lookers.found = nil, nil
	told := map[string]bool{}
	var pending []Odd
	caughtUp := false
	var failed error
	tell := func() {
		for len(pending) > 0 && failed == nil {
			odd := pending[0]
			if !told[w.Keys.ID("finding", odd.ID)] {
				if failed = w.note(ctx, odd); failed != nil {
					return
				}
				told[w.Keys.ID("finding", odd.ID)] = true
			}
			pending = pending[1:]
		}
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	err := Follow(ctx, w.Client, schemas.TopicAudit, w.Now().Add(-keepLooks), func(r topics.Record) {
		if !isKind(r, schemas.AuditView, schemas.AuditAccess, schemas.AuditRefusal, schemas.AuditFinding) {
			return
		}
		var a schemas.Audit
		if err := w.Codec.Decode(ctx, schemas.TopicAudit, r.Value, &a); err != nil {
			w.Logger.Error("an audit record cannot be read", "code", "CPIS-K001", "partition", r.Partition, "offset", r.Offset)
			return
		}
		if a.Kind == schemas.AuditFinding {
			told[a.EventID] = true
			return
		}
		look, ok := w.look(a)
		if !ok {
			return
		}
		pending = append(pending, w.Lookers.Take(look)...)
		if caughtUp {
			if tell(); failed != nil {
				stop(failed)
			}
		}
	}, func() {
		caughtUp = true
		if tell(); failed != nil {
			stop(failed)
		}
	})
	if failed != nil {
		return failed
	}
	return err
}

// look reads a look from an audit record.
func (w *LookWatch) look(a schemas.Audit) (Look, bool) {
	refused := a.Kind == schemas.AuditRefusal && a.Code == "CPIS-W006"
	if a.Kind != schemas.AuditView && a.Action != schemas.ActionLookedInVain && a.Action != schemas.ActionGlassBroken && !refused || len(a.SealedActor) == 0 {
		return Look{}, false
	}
	who, err := w.Keys.OpenAccess(schemas.TopicAudit, "", a.AuditID, a.SealedActor)
	if err != nil { // its keys may be gone
		return Look{}, false
	}
	l := Look{Worker: who.WorkerID, Name: who.WorkerName, Role: who.WorkerRole, Organisation: a.Organisation, At: a.At, Silent: a.Silent, Vain: a.Action == schemas.ActionLookedInVain || refused}
	if l.Organisation == "" {
		l.Organisation = string(a.ODS)
	}
	switch {
	case a.Kind == schemas.AuditView:
		l.Subject, l.Place = a.SubjectRef, settingKey(a.ODS, a.Setting)
		if w.Family != nil {
			l.Family = w.Family(a.OutcomeID)
		}
	case a.Action == schemas.ActionGlassBroken:
		l.Glass = true
	}
	return l, true
}

func (w *LookWatch) note(ctx context.Context, o Odd) error {
	w.Logger.Warn("somebody looks in a way that wants looking at", "code", string(o.Code), "organisation", o.Look.Organisation, "count", o.Count)
	return w.Note(ctx, Deed{Kind: schemas.AuditFinding, Action: schemas.ActionOddLooks, Code: o.Code, Organisation: o.Look.Organisation, At: o.Look.At, About: w.Keys.ID("finding", o.ID), Count: int64(o.Count),
		By: schemas.Access{WorkerID: o.Look.Worker, WorkerName: o.Look.Name, WorkerRole: o.Look.Role}})
}
