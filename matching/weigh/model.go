package weigh

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"

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
	// Together is how many times as many strangers share both names as the
	// shares of each would have it: names of one origin go together.
	Together float64 `json:"together"`
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
	return Model{Version: "2026-11", Population: 12e6, Siblings: 1.1, Twins: 0.03, Confirm: 10, Possible: -3, Close: 6, Swapped: 0.003, SwappedBy: 0.005, Together: 8,
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

// ReadModel reads a model written as JSON. A probability outside of 0 to 1 is an
// error, and so is a field with no weights at all, a stranger that can never
// agree, or a name the model does not have.
func ReadModel(r io.Reader) (Model, error) {
	var m Model
	d := json.NewDecoder(r)
	d.DisallowUnknownFields()
	if err := d.Decode(&m); err != nil {
		return m, fmt.Errorf("read weights: %w", err)
	}
	if m.Version == "" || m.Population < 1 || m.Siblings < 0 || m.Twins < 0 || m.Close < 0 || m.Together < 1 || m.Confirm < m.Possible {
		return m, errors.New("read weights: version, population, siblings, twins, confirm, possible, close or together is missing or cannot be")
	}
	for name, levels := range map[string][]Agreement{"given": m.Given[:], "second": m.Second[:], "family": m.Family[:], "born": m.Born[:], "postcode": m.Postcode[:], "sex": m.Sex[:]} {
		weighed := false
		for i, a := range levels {
			named := (name == "given" || name == "family") && i >= int(compare.Alias) // as common as the name
			for _, p := range []float64{a.Same, a.Stranger, a.Sibling, a.Twin} {
				if p < 0 || p > 1 || math.IsNaN(p) {
					return m, fmt.Errorf("read weights: %s, level %d: %v is no probability", name, i, p)
				}
			}
			if a.Same > 0 && a.Stranger == 0 && !named {
				return m, fmt.Errorf("read weights: %s, level %d: strangers never agree: that would be certainty", name, i)
			}
			weighed = weighed || a != (Agreement{})
		}
		if !weighed {
			return m, fmt.Errorf("read weights: %s has none", name)
		}
	}
	return m, nil
}

// Levels of fields that agree or do not; 0 is not given.
const (
	differs = 1
	agrees  = 2
)
