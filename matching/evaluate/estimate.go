package evaluate

import "math"

// pattern is how a pair of rows agrees, one level for each field, and on how
// many pairs that was seen. Level 0 is "not given" and says nothing.
type pattern struct {
	levels []uint8
	count  float64
}

// estimate finds, without knowing which pairs are of one person, how often the
// fields of one person agree: expectation and maximisation over the patterns
// (Fellegi and Sunter's model). rivals are how often the fields of two people
// agree, for each kind of two people, strangers first; they stay. pairs is how
// many pairs there are, with those that were not looked at because they share
// nothing. It returns m, and how many of the pairs are of one person.
//
// Where families are in the table, their kinds must be among the rivals, or
// brothers and sisters are taken for one person with a new name.
func estimate(patterns []pattern, levels []int, rivals [][][]float64, pairs float64) (m [][]float64, matched float64) {
	m = make([][]float64, len(levels))
	for f, n := range levels {
		m[f] = make([]float64, n)
		for l := 1; l < n; l++ { // to begin with, the higher the level the likelier
			m[f][l] = 0.1 / float64(n)
		}
		m[f][n-1] = 0.9
	}
	shares := make([]float64, len(rivals)+1) // of one person, then of each rival
	for i := range shares {
		shares[i] = 1 / pairs * math.Sqrt(pairs)
	}
	shares[1] = 1
	weights := make([]float64, len(shares))
	for range 200 {
		sums := make([][]float64, len(levels))
		for f := range sums {
			sums[f] = make([]float64, levels[f])
		}
		found := make([]float64, len(shares))
		for _, p := range patterns {
			total := 0.0
			for i := range weights {
				table := m
				if i > 0 {
					table = rivals[i-1]
				}
				weights[i] = shares[i]
				for f, l := range p.levels {
					if l > 0 {
						weights[i] *= table[f][l]
					}
				}
				total += weights[i]
			}
			for i, w := range weights {
				found[i] += w / total * p.count
			}
			for f, l := range p.levels {
				sums[f][l] += weights[0] / total * p.count
			}
		}
		change := math.Abs(found[0]-matched) / math.Max(found[0], 1)
		matched = found[0]
		for i := range shares {
			if i != 1 { // whatever was not looked at is of strangers
				shares[i] = math.Max(found[i]/pairs, 1e-15)
			}
		}
		normalise(sums)
		m = sums
		if change < 1e-6 {
			break
		}
	}
	return m, matched
}

// smoothing keeps a level that was never seen from being impossible.
const smoothing = 0.5

// normalise turns counts of the levels of each field into shares of those that
// were given. Level 0 is left out.
func normalise(counts [][]float64) {
	for _, field := range counts {
		given := 0.0
		for l := 1; l < len(field); l++ {
			field[l] += smoothing
			given += field[l]
		}
		field[0] = 0
		for l := 1; l < len(field); l++ {
			field[l] /= given
		}
	}
}
