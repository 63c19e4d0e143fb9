package evaluate

import (
	"errors"
	"fmt"
	"io"
	"math"
	"runtime"
	"slices"
	"sync"

	"cpis/matching"
	"cpis/matching/weigh"
	"cpis/schemas"
)

// Index holds the protected people of an open evaluation in memory, under the
// same blocks as the broker's index. Safe for concurrent use once it is filled.
type Index struct {
	people  []weigh.Candidate
	numbers map[string]int32
	blocks  map[string][]int32
	at      map[string]int32 // by id
}

// NewIndex makes an empty index.
func NewIndex() *Index {
	return &Index{numbers: map[string]int32{}, blocks: map[string][]int32{}, at: map[string]int32{}}
}

// Add adds a description of a person. Several with one id are of one person.
func (x *Index) Add(r Row) {
	at, known := x.at[r.ID]
	if !known {
		at = int32(len(x.people))
		x.at[r.ID] = at
		x.people = append(x.people, weigh.Candidate{ID: r.ID})
	}
	records := r.Person.Records()
	x.people[at].Records = append(x.people[at].Records, records...)
	for _, b := range weigh.Blocks(records) {
		if !slices.Contains(x.blocks[b], at) {
			x.blocks[b] = append(x.blocks[b], at)
		}
	}
	if n, err := schemas.ParseNHSNumber(r.Number); err == nil {
		x.numbers[n.Reveal()] = at
	}
}

// Len is the number of people.
func (x *Index) Len() int { return len(x.people) }

func (x *Index) has(id string) bool { _, ok := x.at[id]; return ok }

// found are the people in some blocks.
func (x *Index) found(blocks []string, into []weigh.Candidate, seen map[int32]bool) []weigh.Candidate {
	clear(seen)
	into = into[:0]
	for _, b := range blocks {
		for _, at := range x.blocks[b] {
			if !seen[at] {
				seen[at] = true
				into = append(into, x.people[at])
			}
		}
	}
	return into
}

// Tally counts the answers of an open evaluation.
type Tally struct {
	Protected  int `json:"protected"`   // registrations of protected people
	Others     int `json:"others"`      // of everybody else
	Confirmed  int `json:"confirmed"`   // protected people recognised, without doubt
	Possible   int `json:"possible"`    // protected people for whom the answer is "possible"
	Conflict   int `json:"conflict"`    // protected people whose number seemed another's
	TooLittle  int `json:"too_little"`  // protected people of whom too little is said
	Missed     int `json:"missed"`      // protected people whom nobody fits
	False      int `json:"false"`       // others taken for a protected person, without doubt
	Wrong      int `json:"wrong"`       // protected people taken for another protected person
	FalseSeen  int `json:"false_seen"`  // others for whom the answer is "possible"
	FalseCross int `json:"false_cross"` // others whose number seemed another's
}

func (t *Tally) add(o Tally) {
	t.Protected, t.Others, t.Confirmed, t.Possible = t.Protected+o.Protected, t.Others+o.Others, t.Confirmed+o.Confirmed, t.Possible+o.Possible
	t.Conflict, t.TooLittle, t.Missed = t.Conflict+o.Conflict, t.TooLittle+o.TooLittle, t.Missed+o.Missed
	t.False, t.Wrong, t.FalseSeen, t.FalseCross = t.False+o.False, t.Wrong+o.Wrong, t.FalseSeen+o.FalseSeen, t.FalseCross+o.FalseCross
}

// Recall is the share of protected people who were recognised without doubt.
func (t Tally) Recall() float64 { return ratio(t.Confirmed, t.Protected) }

// Seen is the share of protected people who got an answer that is not "nobody
// fits": recognised, possible, or a number that seemed another's.
func (t Tally) Seen() float64 {
	return ratio(t.Confirmed+t.Possible+t.Conflict+t.TooLittle, t.Protected)
}

// Point is the open evaluation at one threshold, whatever the configured one.
type Point struct {
	Bits    float64 `json:"bits"`
	Found   int     `json:"found"`
	False   int     `json:"false"` // others taken for somebody, and protected people for another
	Recall  float64 `json:"recall"`
	Rate    float64 `json:"rate"`    // false per registration
	Bound95 float64 `json:"bound95"` // what the rate is below, at 95 %
}

// Bin compares what was stated with what was so.
type Bin struct {
	Bits   int     `json:"bits"` // from here to one more
	Right  int     `json:"right"`
	Wrong  int     `json:"wrong"`
	Stated float64 `json:"stated"` // mean odds
}

// Odds are those observed, with half a case more on each side so that they
// exist.
func (b Bin) Odds() float64 { return (float64(b.Right) + 0.5) / (float64(b.Wrong) + 0.5) }

// Report is the result of an open evaluation.
type Report struct {
	Model  string                      `json:"model"`
	Index  int                         `json:"index"`
	Total  Tally                       `json:"total"`
	Bound  float64                     `json:"false_bound95"` // false recognitions per registration of others are below this, at 95 %
	Curve  []Point                     `json:"curve"`
	Bins   []Bin                       `json:"calibration"`
	Strata map[string]map[string]Tally `json:"strata,omitempty"` // by column and value
}

const (
	curveFrom, curveTo = -4, 20
	binCount           = 15
)

// counters are one worker's.
type counters struct {
	total        Tally
	found, false [curveTo - curveFrom + 1]int
	bins         [binCount]Bin
	strata       []map[string]*Tally
}

// Open asks for every row of a table who of the index it is. A row whose number
// is one that may be trusted is asked as such.
func Open(x *Index, scale *weigh.Scale, queries *Table) (Report, error) {
	work := make(chan []Row, 64)
	workers := runtime.GOMAXPROCS(0)
	parts := make([]counters, workers)
	var wait sync.WaitGroup
	for i := range workers {
		part := &parts[i]
		for range queries.columns.By {
			part.strata = append(part.strata, map[string]*Tally{})
		}
		wait.Go(func() {
			var room []weigh.Candidate
			seen := map[int32]bool{}
			for rows := range work {
				for _, r := range rows {
					room = part.one(x, scale, r, room, seen)
				}
			}
		})
	}
	err := inBatches(queries, func(rows []Row) { work <- rows })
	close(work)
	wait.Wait()
	if err != nil {
		return Report{}, err
	}
	return join(parts, x, scale, queries.columns.By), nil
}

func inBatches(t *Table, each func([]Row)) error {
	for {
		rows := make([]Row, 0, 1000)
		for len(rows) < cap(rows) {
			r, err := t.Next()
			if errors.Is(err, io.EOF) {
				each(rows)
				return nil
			}
			if err != nil {
				return err
			}
			rows = append(rows, r)
		}
		each(rows)
	}
}

func (c *counters) one(x *Index, scale *weigh.Scale, r Row, room []weigh.Candidate, seen map[int32]bool) []weigh.Candidate {
	asked := r.Person.Records()
	var who matching.Recognition
	var found []weigh.Candidate
	if n, err := schemas.ParseNHSNumber(r.Number); err == nil {
		if at, held := x.numbers[n.Reveal()]; held {
			who = matching.ByNumber(scale, asked, x.people[at:at+1], nil)
			found = x.people[at : at+1]
		} else {
			room = x.found(weigh.AskedSame(asked), room, seen)
			found = room
			who = matching.ByNumber(scale, asked, nil, found)
		}
	} else {
		room = x.found(weigh.Asked(asked), room, seen)
		found = room
		who = matching.ByDescription(scale, asked, found)
	}
	var t Tally
	right := who.Best >= 0 && found[who.Best].ID == r.ID
	if x.has(r.ID) {
		t.Protected = 1
		t.count(who.Identity, right)
	} else {
		t.Others = 1
		switch who.Identity {
		case matching.Certain, matching.Fits:
			t.False = 1
		case matching.MayFit:
			t.FalseSeen = 1
		case matching.Crossed:
			t.FalseCross = 1
		}
	}
	c.total.add(t)
	for i, value := range r.By {
		s := c.strata[i][value]
		if s == nil {
			s = &Tally{}
			c.strata[i][value] = s
		}
		s.add(t)
	}
	c.weigh(who.Verdict, right)
	return room
}

// count sorts the answer to the registration of a protected person.
func (t *Tally) count(identity matching.Identity, right bool) {
	switch identity {
	case matching.Certain, matching.Fits:
		if right {
			t.Confirmed = 1
		} else {
			t.Wrong = 1
		}
	case matching.MayFit:
		t.Possible = 1
	case matching.Crossed:
		t.Conflict = 1
	case matching.Unknown:
		t.TooLittle = 1
	default:
		t.Missed = 1
	}
}

func (c *counters) weigh(v weigh.Verdict, right bool) {
	if v.Best < 0 || v.Bits < curveFrom {
		return
	}
	for bits := curveFrom; bits <= curveTo && float64(bits) <= v.Bits; bits++ {
		if right {
			c.found[bits-curveFrom]++
		} else {
			c.false[bits-curveFrom]++
		}
	}
	if v.Bits >= 0 && v.Bits < binCount {
		b := &c.bins[int(v.Bits)]
		b.Stated += math.Exp2(v.Bits)
		if right {
			b.Right++
		} else {
			b.Wrong++
		}
	}
}

func join(parts []counters, x *Index, scale *weigh.Scale, by []string) Report {
	out := Report{Model: scale.Version, Index: x.Len(), Strata: map[string]map[string]Tally{}}
	var found, wrong [curveTo - curveFrom + 1]int
	bins := make([]Bin, binCount)
	for _, p := range parts {
		out.Total.add(p.total)
		for i := range found {
			found[i], wrong[i] = found[i]+p.found[i], wrong[i]+p.false[i]
		}
		for i := range bins {
			bins[i].Bits = i
			bins[i].Right, bins[i].Wrong, bins[i].Stated = bins[i].Right+p.bins[i].Right, bins[i].Wrong+p.bins[i].Wrong, bins[i].Stated+p.bins[i].Stated
		}
		for i, name := range by {
			if out.Strata[name] == nil {
				out.Strata[name] = map[string]Tally{}
			}
			for value, t := range p.strata[i] {
				all := out.Strata[name][value]
				all.add(*t)
				out.Strata[name][value] = all
			}
		}
	}
	asked := out.Total.Protected + out.Total.Others
	for bits := curveFrom; bits <= curveTo; bits++ {
		n, k := found[bits-curveFrom], wrong[bits-curveFrom]
		out.Curve = append(out.Curve, Point{float64(bits), n, k, ratio(n, out.Total.Protected), ratio(k, asked), Bound95(k) / float64(max(asked, 1))})
	}
	for i := range bins {
		if n := bins[i].Right + bins[i].Wrong; n > 0 {
			bins[i].Stated /= float64(n)
			out.Bins = append(out.Bins, bins[i])
		}
	}
	out.Bound = Bound95(out.Total.False) / float64(max(out.Total.Others, 1))
	return out
}

// String names a row without what it says.
func (r Row) String() string { return fmt.Sprintf("row of %d letters", len(r.ID)) }
