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
// (Fellegi and Sunter's model). u is how often strangers agree, and stays. pairs
// is how many pairs there are, with those that were not looked at because they
// share nothing. It returns m and the share of pairs that are of one person.
func estimate(patterns []pattern, levels []int, u [][]float64, pairs float64) (m [][]float64, share float64) {
	m = make([][]float64, len(levels))
	for f, n := range levels {
		m[f] = make([]float64, n)
		for l := 1; l < n; l++ { // to begin with, the higher the level the likelier
			m[f][l] = 0.3 / float64(n)
		}
		m[f][n-1] = 0.7
	}
	share = 1 / math.Sqrt(pairs)
	for range 100 {
		sums := make([][]float64, len(levels))
		for f := range sums {
			sums[f] = make([]float64, levels[f])
		}
		matched := 0.0
		for _, p := range patterns {
			like, strange := share, 1-share
			for f, l := range p.levels {
				if l > 0 {
					like, strange = like*m[f][l], strange*u[f][l]
				}
			}
			w := like / (like + strange) * p.count
			matched += w
			for f, l := range p.levels {
				sums[f][l] += w
			}
		}
		change := math.Abs(matched/pairs-share) / share
		share = math.Max(matched/pairs, 1e-12)
		for f := range m {
			given := 0.0
			for l := 1; l < levels[f]; l++ {
				given += sums[f][l] + smoothing
			}
			for l := 1; l < levels[f]; l++ {
				m[f][l] = (sums[f][l] + smoothing) / given
			}
		}
		if change < 1e-6 {
			break
		}
	}
	return m, share
}

// smoothing keeps a level that was never seen from being impossible.
const smoothing = 0.5
