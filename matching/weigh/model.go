package weigh

import (
	"cmp"
	"math"
	"slices"

	"cpis/matching/compare"
)

// Model is how often descriptions agree: of one person, of two strangers, of
// siblings and of twins. Every probability is that of one level of one field.
type Model struct {
	Version    string       `json:"version"`
	Population float64      `json:"population"` // people of whom one is the person
	Siblings   float64      `json:"siblings"`   // a person has, in the population
	Twins      float64      `json:"twins"`      // a person has
	Confirm    float64      `json:"confirm"`    // bits from which two descriptions are of one person, if nothing is vetoed
	Possible   float64      `json:"possible"`   // bits from which they may be
	Close      float64      `json:"close"`      // bits by which the best must lead
	Given      [7]Agreement `json:"given"`      // by compare.Level
	Second     [3]Agreement `json:"second"`     // further given names: not given, none shared, one shared
	Family     [7]Agreement `json:"family"`
	Born       [6]Agreement `json:"born"` // by compare.Birth
	Postcode   [6]Agreement `json:"postcode"`
	Sex        [3]Agreement `json:"sex"`        // not given, differs, agrees
	Swapped    float64      `json:"swapped"`    // share of records with given and family name changed round
	SwappedBy  float64      `json:"swapped_by"` // of strangers' agreements
}

// Agreement is how often a field agrees to one level. The zero value says
// nothing: the field is left out.
type Agreement struct {
	Same     float64 `json:"same"`
	Stranger float64 `json:"stranger"` // names that agree: as common as the name; what stands here is added
	Sibling  float64 `json:"sibling"`
	Twin     float64 `json:"twin"`
}

// Default is the model the broker brings along. Its figures are those of NHS
// linkage studies as far as they are published (error rates of names, dates and
// postcodes in hospital and social care records of children), not fitted to
// any labels.
func Default() Model {
	return Model{Version: "2026-11", Population: 12e6, Siblings: 1.1, Twins: 0.03, Confirm: 12, Possible: 0, Close: 6, Swapped: 0.003, SwappedBy: 0.005,
		Given: [7]Agreement{
			compare.Different: {0.025, 0.9, 0.9, 0.78},
			compare.Initial:   {0.008, 0.0006, 0.0006, 0.0014},
			compare.Phonetic:  {0.005, 0.012, 0.012, 0.03},
			compare.Similar:   {0.012, 0.004, 0.004, 0.012},
			compare.Alias:     {0.035, 0, 0, 0.004},
			compare.Exact:     {0.915, 0, 0, 0.0004},
		},
		Second: [3]Agreement{differs: {0.05, 0.98, 0.9, 0.9}, agrees: {0.95, 0.004, 0.1, 0.1}},
		Family: [7]Agreement{
			compare.Different: {0.042, 0.9, 0.173, 0.062},
			compare.Initial:   {0.003, 0.0003, 0.003, 0.003},
			compare.Phonetic:  {0.004, 0.006, 0.004, 0.004},
			compare.Similar:   {0.009, 0.0015, 0.009, 0.009},
			compare.Alias:     {0.012, 0, 0.01, 0.012},
			compare.Exact:     {0.93, 0, 0.80, 0.91},
		},
		Born: [6]Agreement{
			compare.BirthDifferent: {0.0015, 0.99, 0.987, 0.009},
			compare.BirthTwoParts:  {0.001, 36.0 / 6570, 0.006, 0.001},
			compare.BirthDigit:     {0.0035, 25.0 / 6570, 0.006, 0.0035},
			compare.BirthSwapped:   {0.0015, 1.0 / 6570, 0.0003, 0.0015},
			compare.BirthExact:     {0.9925, 1.0 / 6570, 0.0003, 0.985},
		},
		Postcode: [6]Agreement{
			compare.PlaceDifferent: {0.22, 1, 0.26, 0.22},
			compare.PlaceOutward:   {0.055, 540 / 1.2e6, 0.055, 0.055},
			compare.PlaceSector:    {0.012, 59 / 1.2e6, 0.012, 0.012},
			compare.PlaceTyped:     {0.012, 24 / 1.2e6, 0.012, 0.012},
			compare.PlaceExact:     {0.70, 1 / 1.2e6, 0.66, 0.70},
		},
		Sex: [3]Agreement{differs: {0.0065, 0.5, 0.5, 0.34}, agrees: {0.9935, 0.5, 0.5, 0.66}},
	}
}

// Levels of fields that agree or do not; 0 is not given.
const (
	differs = 1
	agrees  = 2
)

// Scale weighs pairs of descriptions. Safe for concurrent use.
type Scale struct {
	Model
	names *Names
}

// NewScale makes a scale of a model and a table of names.
func NewScale(m Model, names *Names) *Scale { return &Scale{m, names} }

// Weight is what a pair of descriptions came to. Zero is no evidence at all.
type Weight struct {
	Given, Family compare.Level
	Born          compare.Birth
	Place         compare.Place
	Sex           int  // 0 not given, 1 differs, 2 agrees
	Second        int  // further given names, likewise
	Swapped       bool // given and family name fit each other's place
	// Odds is how much likelier the pair is if it is of one person than if it
	// is of two, whoever the other may be, times the chance that a person of
	// the population is the one: 1 is even.
	Odds float64
}

// Bits are the odds as a power of two.
func (w Weight) Bits() float64 { return math.Log2(max(w.Odds, 1e-30)) }

// product multiplies, side by side, what one person and each rival would show.
type product struct{ same, stranger, sibling, twin float64 }

func (p *product) times(a Agreement) {
	if a == (Agreement{}) {
		return
	}
	p.same, p.stranger, p.sibling, p.twin = p.same*a.Same, p.stranger*a.Stranger, p.sibling*a.Sibling, p.twin*a.Twin
}

// odds weighs the person against all rivals: one of all the strangers, one of
// the siblings, one of the twins a person has on average.
func (s *Scale) odds(p product) float64 {
	rivals := p.stranger + s.Siblings/s.Population*p.sibling + s.Twins/s.Population*p.twin
	return p.same / rivals / s.Population
}

// Weigh compares what was asked with what is held, and gives the heaviest pair
// of their descriptions.
func (s *Scale) Weigh(asked, held []Record) Weight {
	var best Weight
	for i := range asked {
		for j := range held {
			if w := s.pair(&asked[i], &held[j]); w.Odds > best.Odds {
				best = w
			}
		}
	}
	return best
}

func (s *Scale) pair(a, b *Record) Weight {
	w := Weight{Given: compare.GivenNames(a.Given, b.Given), Family: compare.FamilyNames(a.Family, b.Family),
		Born: compare.BirthDates(a.Born, b.Born), Place: compare.Postcodes(a.Postcode, b.Postcode)}
	if a.Sex != 0 && b.Sex != 0 {
		w.Sex = differs
		if a.Sex == b.Sex {
			w.Sex = agrees
		}
	}
	p := product{1, 1, 1, 1}
	p.times(s.Born[w.Born])
	p.times(s.Postcode[w.Place])
	p.times(s.Sex[w.Sex])
	straight := p
	straight.times(s.given(a, b, w.Given))
	straight.times(s.family(a, b, w.Family))
	if w.Given >= compare.Similar {
		w.Second = second(a.Given.Words, b.Given.Words)
		straight.times(s.second(a, b, w.Second))
	}
	w.Odds = s.odds(straight)
	if w.Given == compare.Different && w.Family == compare.Different {
		crossed, ok := s.swapped(a, b, p)
		if odds := s.odds(crossed); ok && odds > w.Odds {
			w.Odds, w.Swapped = odds, true
		}
	}
	return w
}

// given is the agreement on given names. A shared name is worth as much as it
// is rare, among strangers and siblings alike.
func (s *Scale) given(a, b *Record, level compare.Level) Agreement {
	g := s.Given[level]
	if level == compare.Exact || level == compare.Alias {
		share := max(s.share(a, b), s.share(b, a))
		g.Stranger, g.Sibling = g.Stranger+share, g.Sibling+share
	}
	return g
}

// second compares the given names after the first. Where the first of one is a
// further one of the other, it has been counted.
func second(a, b []string) int {
	if len(a) < 2 || len(b) < 2 || a[0] != b[0] && (slices.Contains(a[1:], b[0]) || slices.Contains(b[1:], a[0])) {
		return 0
	}
	for _, w := range a[1:] {
		for _, v := range b[1:] {
			if w == v || (len(w) == 1 || len(v) == 1) && w[0] == v[0] {
				return agrees
			}
		}
	}
	return differs
}

// second is the agreement on further names. They are drawn from fewer than
// first names are, so that the share of the name is the least it is worth.
func (s *Scale) second(a, b *Record, level int) Agreement {
	g := s.Second[level]
	if level == agrees {
		for _, w := range a.Given.Words[1:] {
			for _, v := range b.Given.Words[1:] {
				if w == v {
					g.Stranger += 2 * s.names.Given(w, a.Sex, a.Born)
					return g
				}
			}
		}
		g.Stranger += initialShare
	}
	return g
}

// initialShare is how often two names begin with one letter.
const initialShare = 0.07

// share is the share of one's given name among those who could be meant.
func (s *Scale) share(a, b *Record) float64 {
	sex, born := a.Sex, a.Born
	if sex == 0 {
		sex = b.Sex
	}
	if born == "" {
		born = b.Born
	}
	return s.names.Given(a.Given.First(), sex, born)
}

func (s *Scale) family(a, b *Record, level compare.Level) Agreement {
	f := s.Family[level]
	if level == compare.Exact || level == compare.Alias {
		f.Stranger += max(s.names.Family(a.Family.Joined), s.names.Family(b.Family.Joined))
		if level == compare.Alias { // of a double name only one part was shared
			for _, w := range a.Family.Words {
				if slices.Contains(b.Family.Words, w) {
					f.Stranger = max(f.Stranger, s.names.Family(w))
				}
			}
		}
	}
	return f
}

// swapped weighs given and family name changed round.
func (s *Scale) swapped(a, b *Record, p product) (product, bool) {
	x, y := compare.FamilyNames(a.Given, b.Family), compare.FamilyNames(a.Family, b.Given)
	if x < compare.Similar || y < compare.Similar {
		return p, false
	}
	p.same *= s.Swapped * s.Family[x].Same * s.Given[y].Same
	strange := s.SwappedBy * s.names.Family(b.Family.Joined) * s.names.Given(b.Given.First(), b.Sex, b.Born)
	p.stranger *= max(strange, rarest*rarest)
	p.sibling *= max(strange, rarest)
	p.twin *= max(strange, rarest)
	return p, true
}

// Ceiling is the weight if somebody agreed on all that is known: what can be
// found out at best.
func (s *Scale) Ceiling(asked []Record) Weight {
	if len(asked) == 0 {
		return Weight{}
	}
	return s.pair(&asked[0], &asked[0])
}

// Finding is what the search for a person came to.
type Finding int

const (
	// TooLittle is known to tell: not even somebody who agrees on all of it
	// would have been found for certain. It is the zero value.
	TooLittle Finding = iota
	// Nobody who is protected fits.
	Nobody
	// Possibly it is the candidate, or one of several.
	Possibly
	// Confirmed is the candidate, as far as descriptions can tell.
	Confirmed
)

// String is the finding in words.
func (f Finding) String() string {
	return [...]string{"too little is known", "nobody fits", "possible", "confirmed"}[f]
}

// Candidate is somebody who is protected.
type Candidate struct {
	ID      string // tells candidates apart
	Records []Record
	Weight  Weight
}

// Verdict is the finding of a search, and what it rests on.
type Verdict struct {
	Finding Finding
	Best    int     // index of the likeliest candidate, -1 where there are none
	Bits    float64 // odds, as a power of two, that it is the best and no other
	Ceiling float64 // bits if somebody agreed on all that is known
	Veto    string  // why it is not confirmed in spite of its bits, empty otherwise
}

// Judge weighs every candidate and decides. The candidates' weights are left
// in them.
func (s *Scale) Judge(asked []Record, candidates []Candidate) Verdict {
	v := Verdict{Best: -1, Ceiling: s.Ceiling(asked).Bits()}
	sum := 0.0
	for i := range candidates {
		c := &candidates[i]
		c.Weight = s.Weigh(asked, c.Records)
		sum += c.Weight.Odds
		if v.Best < 0 || better(*c, candidates[v.Best]) {
			v.Best = i
		}
	}
	if v.Best >= 0 {
		best := candidates[v.Best]
		v.Bits = math.Log2(max(best.Weight.Odds, 1e-30) / (1 + sum - best.Weight.Odds))
		if most := best.Weight.Bits(); most >= s.Possible {
			v.Finding = Possibly
			if v.Bits >= s.Confirm {
				v.Veto = s.veto(v.Best, candidates)
				if v.Veto == "" {
					v.Finding = Confirmed
				}
			}
			return v
		}
	}
	if v.Ceiling >= s.Confirm {
		v.Finding = Nobody
	}
	return v
}

func better(a, b Candidate) bool {
	return cmp.Or(cmp.Compare(a.Weight.Odds, b.Weight.Odds), cmp.Compare(b.ID, a.ID)) > 0
}

// veto is why the best candidate may not be confirmed, whatever its weight.
func (s *Scale) veto(at int, candidates []Candidate) string {
	best := candidates[at]
	w := best.Weight
	switch {
	case w.Swapped:
		return "given and family name are changed round"
	case w.Given < compare.Phonetic:
		return "the given names do not agree"
	case w.Sex == differs && w.Given < compare.Exact:
		return "sex and given name differ"
	case w.Born < compare.BirthTwoParts:
		return "the dates of birth do not agree"
	}
	for i, other := range candidates {
		switch {
		case i == at || other.ID == best.ID:
		case other.Weight.Bits() > w.Bits()-s.Close:
			return "another protected person fits nearly as well"
		case w.Given < compare.Alias && twins(best.Records, other.Records):
			return "the person may be the other twin"
		}
	}
	return ""
}

// twins reports that two protected people seem to be born together.
func twins(a, b []Record) bool {
	x, y := a[0], b[0]
	return x.Born != "" && x.Born == y.Born && compare.FamilyNames(x.Family, y.Family) >= compare.Alias
}
