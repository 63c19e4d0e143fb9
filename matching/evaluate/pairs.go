package evaluate

import (
	"errors"
	"io"
	"math"
	"math/rand/v2"
	"slices"
	"strings"

	"cpis/matching/compare"
	"cpis/matching/weigh"
)

// PairsReport is how well the rows of one table are brought together.
type PairsReport struct {
	Rows      int      `json:"rows"`
	Pairs     int      `json:"pairs"`     // of one person, in truth
	Reachable int      `json:"reachable"` // of those, how many were looked at
	Threshold float64  `json:"threshold"` // probability that was fixed before the run
	At        Point2   `json:"at"`        // the result there
	Best      Point2   `json:"best"`      // the best F1 at any threshold, which only labels tell
	ZeroFalse float64  `json:"recall_at_zero_false"`
	Curve     []Point2 `json:"curve"`
	Bound95   float64  `json:"false_bound95"` // false pairs per pair looked at are below this, at 95 %
}

// Point2 is the result at a threshold.
type Point2 struct {
	Bits      float64 `json:"bits"` // odds that the pair is of one person, as a power of two
	True      int     `json:"tp"`
	False     int     `json:"fp"`
	Missed    int     `json:"fn"`
	Precision float64 `json:"precision"`
	Recall    float64 `json:"recall"`
	F1        float64 `json:"f1"`
}

func point(bits float64, tp, fp, pairs int) Point2 {
	return Point2{bits, tp, fp, pairs - tp, ratio(tp, tp+fp), ratio(tp, pairs), ratio(2*tp, tp+fp+pairs)}
}

// entry is a row made ready.
type entry struct {
	id     string
	record weigh.Record
	also   []string
}

// Levels of a further column.
const (
	textMissing = iota
	textDifferent
	textAlike
	textSimilar
	textExact
	textLevels
)

// fields of a pair, in order; further columns follow.
const (
	fieldGiven = iota
	fieldFamily
	fieldBorn
	fieldPlace
	fieldSex
	fieldAlso
)

// linker compares the rows of one table.
type linker struct {
	rows   []entry
	levels []int
	shares []map[string]float64 // of the values of each field in the table
	u      [][]float64
	m      [][]float64
	prior  float64
}

// Pairs finds, in one table, the pairs of rows that are of one person. How
// often names and other values occur is counted in the table, and how often
// fields of one person agree is estimated from it, both without its labels.
// threshold is the probability from which a pair counts as of one person.
func Pairs(t *Table, threshold float64) (PairsReport, error) {
	l := &linker{levels: []int{7, 7, 6, 6, 3}}
	for range t.columns.Also {
		l.levels = append(l.levels, textLevels)
	}
	for {
		r, err := t.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return PairsReport{}, err
		}
		l.rows = append(l.rows, entry{r.ID, r.Person.Records()[0], r.Also})
	}
	l.count()
	found := l.candidates()
	l.strangers()
	l.learn(found)
	return l.report(found, threshold), nil
}

// value is what stands in a field of a row, empty where nothing does.
func (e *entry) value(f int) string {
	switch f {
	case fieldGiven:
		return e.record.Given.Joined
	case fieldFamily:
		return e.record.Family.Joined
	case fieldBorn:
		return e.record.Born
	case fieldPlace:
		return e.record.Postcode
	case fieldSex:
		return ""
	}
	return e.also[f-fieldAlso]
}

func (l *linker) count() {
	l.shares = make([]map[string]float64, len(l.levels))
	for f := range l.shares {
		l.shares[f] = map[string]float64{}
		total := 0.0
		for i := range l.rows {
			if v := l.rows[i].value(f); v != "" {
				l.shares[f][v]++
				total++
			}
		}
		for v := range l.shares[f] {
			l.shares[f][v] /= total
		}
	}
}

// commonest is how many rows may share a value for it to bring them together.
const commonest = 60

// candidates are the pairs worth comparing: those that share a value which is
// not common, the sounds of both names, or a date with day and month swapped.
func (l *linker) candidates() [][2]int32 {
	blocks := map[string][]int32{}
	put := func(key string, i int) { blocks[key] = append(blocks[key], int32(i)) }
	for i := range l.rows {
		e := &l.rows[i]
		for f := range l.levels {
			if v := e.value(f); v != "" {
				put(string(rune('a'+f))+" "+v, i)
			}
		}
		for _, b := range weigh.Blocks([]weigh.Record{e.record}) {
			put(b, i)
		}
		if s := compare.Swapped(e.record.Born); s != "" {
			put(string(rune('a'+fieldBorn))+" "+s, i)
		}
		for f := fieldGiven; f <= fieldFamily; f++ { // names that changed places
			if v := e.value(fieldFamily - f); v != "" {
				put("swapped "+string(rune('a'+f))+" "+v, i)
			}
		}
	}
	seen := map[[2]int32]bool{}
	var out [][2]int32
	for _, rows := range blocks {
		if len(rows) > commonest {
			continue
		}
		for i, a := range rows {
			for _, b := range rows[i+1:] {
				pair := [2]int32{min(a, b), max(a, b)}
				if a != b && !seen[pair] {
					seen[pair] = true
					out = append(out, pair)
				}
			}
		}
	}
	slices.SortFunc(out, func(a, b [2]int32) int {
		if a[0] != b[0] {
			return int(a[0] - b[0])
		}
		return int(a[1] - b[1])
	})
	return out
}

func (l *linker) compare(a, b *entry, into []uint8) []uint8 {
	x, y := &a.record, &b.record
	sex := 0
	if x.Sex != 0 && y.Sex != 0 {
		sex = 1
		if x.Sex == y.Sex {
			sex = 2
		}
	}
	into = append(into[:0], uint8(compare.GivenNames(x.Given, y.Given)), uint8(compare.FamilyNames(x.Family, y.Family)), uint8(compare.BirthDates(x.Born, y.Born)),
		uint8(compare.Postcodes(x.Postcode, y.Postcode)), uint8(sex))
	for i := range a.also {
		into = append(into, text(a.also[i], b.also[i]))
	}
	return into
}

func text(a, b string) uint8 {
	if a == "" || b == "" {
		return textMissing
	}
	if a == b {
		return textExact
	}
	a, b = strings.ReplaceAll(a, " ", ""), strings.ReplaceAll(b, " ", "")
	switch like := compare.JaroWinkler(a, b); {
	case a == b, like >= 0.92, len(a) > 4 && compare.Edits(a, b) == 1:
		return textSimilar
	case like >= 0.8, compare.Edits(a, b) == 1:
		return textAlike
	}
	return textDifferent
}

// strangers counts how often rows picked by chance agree.
func (l *linker) strangers() {
	l.u = make([][]float64, len(l.levels))
	for f, n := range l.levels {
		l.u[f] = make([]float64, n)
	}
	r := rand.New(rand.NewPCG(1, 2))
	var levels []uint8
	for range 400_000 {
		i, j := r.IntN(len(l.rows)), r.IntN(len(l.rows))
		if i == j {
			continue
		}
		levels = l.compare(&l.rows[i], &l.rows[j], levels)
		for f, level := range levels {
			l.u[f][level]++
		}
	}
	normalise(l.u)
}

func (l *linker) learn(found [][2]int32) {
	at := map[string]int{}
	var patterns []pattern
	var levels []uint8
	for _, p := range found {
		levels = l.compare(&l.rows[p[0]], &l.rows[p[1]], levels)
		i, ok := at[string(levels)]
		if !ok {
			i = len(patterns)
			at[string(levels)] = i
			patterns = append(patterns, pattern{levels: slices.Clone(levels)})
		}
		patterns[i].count++
	}
	n := float64(len(l.rows))
	pairs := n * (n - 1) / 2
	m, matched := estimate(patterns, l.levels, [][][]float64{l.u}, pairs)
	l.m, l.prior = m, matched/pairs
}

// bits weighs a pair: what agrees is worth as much as the value is rare.
func (l *linker) bits(a, b *entry, levels []uint8) float64 {
	bits := math.Log2(l.prior / (1 - l.prior))
	for f, level := range levels {
		if level == 0 {
			continue
		}
		u := l.u[f][level]
		if int(level) == l.levels[f]-1 && f != fieldSex {
			u = max(l.shares[f][a.value(f)], l.shares[f][b.value(f)])
		}
		bits += math.Log2(l.m[f][level] / u)
	}
	return bits
}

type scored struct {
	bits float64
	same bool
}

func (l *linker) report(found [][2]int32, threshold float64) PairsReport {
	out := PairsReport{Rows: len(l.rows), Threshold: threshold}
	perPerson := map[string]int{}
	for _, e := range l.rows {
		out.Pairs += perPerson[e.id]
		perPerson[e.id]++
	}
	all := make([]scored, len(found))
	var levels []uint8
	for i, p := range found {
		a, b := &l.rows[p[0]], &l.rows[p[1]]
		levels = l.compare(a, b, levels)
		all[i] = scored{l.bits(a, b, levels), a.id == b.id}
		if all[i].same {
			out.Reachable++
		}
	}
	slices.SortFunc(all, func(a, b scored) int {
		switch {
		case a.bits > b.bits:
			return -1
		case a.bits < b.bits:
			return 1
		}
		return 0
	})
	out.read(all, math.Log2(threshold/(1-threshold)))
	out.Bound95 = Bound95(out.At.False) / float64(max(len(found), 1))
	return out
}

// read goes down the pairs from the heaviest.
func (r *PairsReport) read(all []scored, fixed float64) {
	tp, fp := 0, 0
	next := 40.0
	r.At = point(fixed, 0, 0, r.Pairs)
	for i, s := range all {
		for s.bits < next && next >= -10 {
			r.Curve = append(r.Curve, point(next, tp, fp, r.Pairs))
			next -= 5
		}
		if s.same {
			tp++
		} else {
			fp++
		}
		if i+1 < len(all) && all[i+1].bits == s.bits {
			continue
		}
		p := point(s.bits, tp, fp, r.Pairs)
		if p.F1 > r.Best.F1 {
			r.Best = p
		}
		if fp == 0 {
			r.ZeroFalse = p.Recall
		}
		if s.bits >= fixed {
			r.At = point(fixed, tp, fp, r.Pairs)
		}
	}
}
