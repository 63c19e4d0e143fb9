package matching

import (
	"context"
	"fmt"
	"strings"

	"cpis/matching/compare"
	"cpis/matching/index"
	"cpis/matching/weigh"
	"cpis/schemas"
)

// Explain answers a registration as Decide does, and says every step on the way.
// It changes nothing.
func (m *Matcher) Explain(ctx context.Context, r schemas.Registration) (schemas.Decision, []Step) {
	var steps []Step
	q := m.inquire(r, m.Now())
	q.steps = &steps
	q.note("number", "", "status "+string(q.status))
	snapshot, failed := m.look(ctx, index.Query{Subjects: q.subjects(), Blocks: q.blocks})
	if failed != "" {
		q.note("index", "", "it cannot be trusted now: "+string(failed))
		return schemas.Decision{State: schemas.StateCheckFailed, Reason: failed}, steps
	}
	q.note("index", "", fmt.Sprintf("whole, build %s, position %d, %d plans", snapshot.Marker.Generation, snapshot.Marker.Position, snapshot.Marker.Entries))
	d := m.one(ctx, &q, snapshot)
	q.note("answer", "", fmt.Sprintf("%s, %s", d.State, d.Reason))
	return d, steps
}

// Step is one thing that led to an answer. It names fields and levels, and
// nobody.
type Step struct {
	What  string `json:"what"`            // number, index, mother, blocks, details, weight, answer
	Field string `json:"field,omitempty"` // of a weight
	Says  string `json:"says"`
}

func (q *inquiry) note(what, field, says string) {
	if q.steps != nil {
		*q.steps = append(*q.steps, Step{what, field, says})
	}
}

// explain notes what the search for a person came to, field by field.
func (q *inquiry) explain(who Recognition, candidates []weigh.Candidate) {
	if q.steps == nil {
		return
	}
	q.note("weight", "", fmt.Sprintf("if somebody agreed on all that is given: %.1f bits", who.Ceiling))
	if who.Best < 0 {
		q.note("weight", "", "nobody to be compared with")
		return
	}
	w := candidates[who.Best].Weight
	for _, f := range []struct{ name, says string }{
		{"given names", w.Given.String()}, {"further given names", told(w.Second)}, {"family name", w.Family.String()}, {"date of birth", w.Born.String()},
		{"postcode", w.Place.String()}, {"sex", told(w.Sex)},
	} {
		q.note("weight", f.name, f.says)
	}
	if w.Swapped {
		q.note("weight", "names", "given and family name changed places")
	}
	says := []string{fmt.Sprintf("the likeliest of %d: %.1f bits alone, %.1f against the others", len(candidates), w.Bits(), who.Bits), who.Finding.String()}
	if who.Veto != "" {
		says = append(says, "but "+who.Veto)
	}
	q.note("weight", "", strings.Join(says, "; "))
}

func told(level int) string {
	return [...]string{compare.Missing.String(), "different", "same"}[level]
}
