package weigh

import (
	"math"
	"slices"

	"cpis/matching/compare"
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
	if w.Given >= compare.Similar && w.Family >= compare.Similar {
		straight.stranger *= s.Together
	}
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
		share := max(s.share(a.Given.First(), a, b), s.share(b.Given.First(), a, b))
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
					g.Stranger += 2 * s.share(w, a, b)
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

// share is the share of a given name among those who could be meant.
func (s *Scale) share(word string, a, b *Record) float64 {
	sex, born := max(a.Sex, b.Sex), max(a.Born, b.Born)
	if a.Sex != b.Sex && a.Sex != 0 && b.Sex != 0 {
		sex = 0
	}
	return s.names.Given(word, sex, born)
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
	p.same *= s.Swapped * s.Family[x].Same * s.Family[y].Same
	pair := func(r *Record) float64 {
		return s.names.Family(r.Family.Joined) * s.share(r.Given.First(), a, b)
	}
	strange := s.SwappedBy * max(pair(a), pair(b))
	p.stranger *= max(strange, rarest*rarest)
	p.sibling *= max(strange, rarest)
	p.twin *= max(strange, rarest)
	return p, true
}
