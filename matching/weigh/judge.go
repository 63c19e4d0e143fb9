package weigh

import (
	"cmp"
	"math"

	"cpis/matching/compare"
)

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
