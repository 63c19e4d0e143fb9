package evaluate

import (
	"errors"
	"io"
	"slices"
	"strings"

	"cpis/matching/compare"
	"cpis/matching/weigh"
)

// Calibration is what was learnt about a feed, without labels.
type Calibration struct {
	Model    weigh.Model `json:"model"`
	Queries  int         `json:"queries"`
	Pairs    int         `json:"pairs"`    // compared
	Expected float64     `json:"expected"` // how many of them are of one person, as estimated
}

// part is a detail whose weights are learnt: how to leave it out of what is
// asked, which blocks say nothing about it, and where its level and its weights
// stand.
type part struct {
	leave  func(*weigh.Record)
	blocks []string
	level  func(weigh.Weight) int
	of     func(*weigh.Model) []weigh.Agreement
}

func parts() []part {
	return []part{
		{func(r *weigh.Record) { r.Given = compare.Name{} }, []string{"born ", "post "}, func(w weigh.Weight) int { return int(w.Given) }, func(m *weigh.Model) []weigh.Agreement { return m.Given[:] }},
		{func(r *weigh.Record) { r.Given = compare.NewName(r.Given.Words[:min(1, len(r.Given.Words))]) }, []string{"born ", "post ", "name "},
			func(w weigh.Weight) int { return w.Second }, func(m *weigh.Model) []weigh.Agreement { return m.Second[:] }},
		{func(r *weigh.Record) { r.Family = compare.Name{} }, []string{"born ", "post "}, func(w weigh.Weight) int { return int(w.Family) }, func(m *weigh.Model) []weigh.Agreement { return m.Family[:] }},
		{func(r *weigh.Record) { r.Born = "" }, []string{"post ", "name "}, func(w weigh.Weight) int { return int(w.Born) }, func(m *weigh.Model) []weigh.Agreement { return m.Born[:] }},
		{func(r *weigh.Record) { r.Postcode = "" }, []string{"born ", "name "}, func(w weigh.Weight) int { return int(w.Place) }, func(m *weigh.Model) []weigh.Agreement { return m.Postcode[:] }},
		{func(r *weigh.Record) { r.Sex = 0 }, []string{"born ", "post ", "name "}, func(w weigh.Weight) int { return w.Sex }, func(m *weigh.Model) []weigh.Agreement { return m.Sex[:] }},
	}
}

// Calibrate learns how often the details of one person agree between an index
// and a table of registrations. Each detail is left out in turn; pairs that are
// of one person by all others, as the present weights have it, show how it
// agrees. So neither namesakes nor brothers and sisters are taken for one person
// with a new birthday, as they are where all is estimated at once. What siblings
// and twins show cannot be learnt so, and stays. The ids are not looked at.
func Calibrate(x *Index, scale *weigh.Scale, queries *Table) (Calibration, error) {
	out := Calibration{Model: scale.Model}
	var seen = map[int32]bool{}
	var room []weigh.Candidate
	all := parts()
	counts := make([][]float64, len(all))
	for i, p := range all {
		counts[i] = make([]float64, len(p.of(&out.Model)))
	}
	for {
		r, err := queries.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return out, err
		}
		out.Queries++
		full := r.Person.Records()[:1]
		asked := weigh.Asked(full)
		for i, p := range all {
			blocks := slices.DeleteFunc(slices.Clone(asked), func(b string) bool {
				return !slices.ContainsFunc(p.blocks, func(kind string) bool { return strings.HasPrefix(b, kind) })
			})
			room = x.found(blocks, room, seen)
			out.Pairs += len(room)
			p.learn(scale, full, room, counts[i])
		}
	}
	if out.Queries == 0 || x.Len() == 0 {
		return out, errors.New("nothing to compare")
	}
	for _, n := range counts[len(counts)-1] {
		out.Expected += n
	}
	normalise(counts)
	out.Model.Version += ", calibrated"
	for i, p := range all {
		for l, a := range p.of(&out.Model) {
			if a != (weigh.Agreement{}) {
				p.of(&out.Model)[l].Same = counts[i][l]
			}
		}
	}
	return out, nil
}

// learn adds how the detail agrees for each candidate, as far as it is the
// person by everything else.
func (p part) learn(scale *weigh.Scale, full []weigh.Record, candidates []weigh.Candidate, counts []float64) {
	without := []weigh.Record{full[0]}
	p.leave(&without[0])
	sum := 0.0
	for i := range candidates {
		candidates[i].Weight = scale.Weigh(without, candidates[i].Records[:1])
		sum += candidates[i].Weight.Odds
	}
	for _, c := range candidates {
		if likely := c.Weight.Odds / (1 + sum); likely > settled {
			counts[p.level(scale.Weigh(full, c.Records[:1]))] += likely
		}
	}
}

// settled is how likely a pair must be of one person to be learnt from. Many
// that are each a little likely are mostly brothers and sisters.
const settled = 0.95
