// Package evaluate measures how well people are recognised, on any labelled
// table: how many are found, how many are taken for another, and how sure one
// can be of either figure.
package evaluate

import "math"

// Bound95 is the most events of which one can say, at 95 %, that their number
// is not higher on average, where k were seen (Poisson, one-sided).
func Bound95(k int) float64 {
	// P(X <= k | mean) falls with the mean; find where it is 0.05.
	low, high := float64(k), float64(k)+10+5*math.Sqrt(float64(k)+1)
	for range 60 {
		mean := (low + high) / 2
		if atMost(k, mean) > 0.05 {
			low = mean
		} else {
			high = mean
		}
	}
	return high
}

// atMost is the chance of k or fewer events where mean are expected.
func atMost(k int, mean float64) float64 {
	sum := 0.0
	for i := 0; i <= k; i++ {
		lg, _ := math.Lgamma(float64(i) + 1)
		sum += math.Exp(float64(i)*math.Log(mean) - mean - lg)
	}
	return sum
}

func ratio(a, b int) float64 {
	if b == 0 {
		return 0
	}
	return float64(a) / float64(b)
}
