package weigh

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"

	"cpis/matching/compare"
)

// Names says how common names are: what an agreement on a name is worth. Safe
// for concurrent use once it is filled.
type Names struct {
	given    map[string][2]bands // by sex: F, M
	family   map[string]float64
	starts   []int // first birth year of each band, rising
	total    [2]bands
	families float64
	// Of a name that is not listed it is only known that it is rarer than most.
	unlistedGiven, unlistedFamily float64
}

// bands are counts of one name by birth year band.
type bands [maxBands]float64

const maxBands = 16

// rarest is the least share a name is ever given: with less, a slip in a table
// or a name written in a new way would turn into certainty. One in 500,000.
const rarest = 2e-6

// NewNames makes an empty table. Unlisted is the share of a name that the
// tables do not have; 0 is the rarest there is, for tables that list all.
func NewNames(unlisted float64) *Names {
	return &Names{given: map[string][2]bands{}, family: map[string]float64{}, unlistedGiven: max(unlisted, rarest), unlistedFamily: max(unlisted, rarest)}
}

// AddGiven counts a given name: sex M or F, birth years from year on.
func (n *Names) AddGiven(name, sex string, year int, births float64) error {
	s := sexIndex(sex)
	w := compare.GivenName(name).First()
	if s < 0 || w == "" || births <= 0 {
		return nil
	}
	b := 0
	for b < len(n.starts) && n.starts[b] < year {
		b++
	}
	if b == len(n.starts) {
		if b == maxBands {
			return fmt.Errorf("more than %d bands of birth years", maxBands)
		}
		n.starts = append(n.starts, year)
	} else if n.starts[b] != year {
		return errors.New("birth years must rise")
	}
	counts := n.given[w]
	counts[s][b] += births
	n.total[s][b] += births
	n.given[w] = counts
	return nil
}

// AddFamily counts a family name.
func (n *Names) AddFamily(name string, count float64) {
	if w := compare.FamilyName(name).Joined; w != "" && count > 0 {
		n.family[w] += count
		n.families += count
	}
}

func sexIndex(sex string) int {
	switch sex {
	case "F":
		return 0
	case "M":
		return 1
	}
	return -1
}

// Given is the share of a given name among those born in the year and of the
// sex; of both sexes where it is not known. Names are commoner in their own
// time: a share over all years would make the commonest of a year too rare.
func (n *Names) Given(word string, sex byte, born string) float64 {
	counts, ok := n.given[word]
	if !ok {
		return n.unlistedGiven
	}
	b := n.band(born)
	share := 0.0
	switch sex {
	case 'F', 'M':
		s := sexIndex(string(sex))
		share = n.share(counts, s, b)
	default:
		share = (n.share(counts, 0, b) + n.share(counts, 1, b)) / 2
	}
	return max(share, rarest)
}

func (n *Names) share(counts [2]bands, sex, band int) float64 {
	if band >= 0 {
		if n.total[sex][band] == 0 {
			return 0
		}
		return counts[sex][band] / n.total[sex][band]
	}
	all, total := 0.0, 0.0
	for b := range n.starts {
		all, total = all+counts[sex][b], total+n.total[sex][b]
	}
	if total == 0 {
		return 0
	}
	return all / total
}

// band is the band of a birth date: the last that begins by it, the first for
// those before, -1 for all where it is not known.
func (n *Names) band(born string) int {
	if len(born) < 4 || len(n.starts) < 2 {
		return -1
	}
	year, err := strconv.Atoi(born[:4])
	if err != nil {
		return -1
	}
	b := 0
	for b+1 < len(n.starts) && n.starts[b+1] <= year {
		b++
	}
	return b
}

// Family is the share of a family name.
func (n *Names) Family(joined string) float64 {
	count, ok := n.family[joined]
	if !ok || n.families == 0 {
		return n.unlistedFamily
	}
	return max(count/n.families, rarest)
}

// ReadGiven adds a table of given names: CSV with a header and the columns
// sex, name, birth_years_from and births.
func (n *Names) ReadGiven(r io.Reader) error {
	return table(r, []string{"sex", "name", "birth_years_from", "births"}, func(f []string) error {
		year, err := strconv.Atoi(f[2])
		if err != nil {
			return err
		}
		births, err := strconv.ParseFloat(f[3], 64)
		if err != nil {
			return err
		}
		return n.AddGiven(f[1], f[0], year, births)
	})
}

// ReadFamily adds a table of family names: CSV with a header and the columns
// surname and frequency.
func (n *Names) ReadFamily(r io.Reader) error {
	return table(r, []string{"surname", "frequency"}, func(f []string) error {
		count, err := strconv.ParseFloat(f[1], 64)
		if err != nil {
			return err
		}
		n.AddFamily(f[0], count)
		return nil
	})
}

func table(r io.Reader, columns []string, each func([]string) error) error {
	rows := csv.NewReader(r)
	header, err := rows.Read()
	if err != nil {
		return fmt.Errorf("read table of names: %w", err)
	}
	at := make([]int, len(columns))
	for i, want := range columns {
		at[i] = -1
		for j, have := range header {
			if strings.EqualFold(strings.TrimSpace(have), want) {
				at[i] = j
			}
		}
		if at[i] < 0 {
			return fmt.Errorf("read table of names: no column %s", want)
		}
	}
	fields := make([]string, len(columns))
	for {
		row, err := rows.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read table of names: %w", err)
		}
		for i, j := range at {
			fields[i] = row[j]
		}
		if err := each(fields); err != nil {
			line, _ := rows.FieldPos(0)
			return fmt.Errorf("read table of names: line %d: %w", line, err)
		}
	}
}

// Builtin is the table that the broker brings along: the commonest names of
// children in England whatever their origin, in order, with shares as they
// fall off in published birth statistics. What it does not list counts as a
// name that nearly made the list, so that it never makes anything too certain.
var Builtin = sync.OnceValue(func() *Names {
	n := NewNames(unlistedShare)
	for sex, list := range map[string]string{"F": girls, "M": boys} {
		for i, name := range strings.Fields(list) {
			_ = n.AddGiven(name, sex, 2000, shareAt(i+1, givenShares)) // one band: cannot fail
		}
		n.total[sexIndex(sex)][0] = 1 // the shares are of all births, not of those listed
	}
	for i, name := range strings.Fields(families) {
		n.AddFamily(name, shareAt(i+1, familyShares))
	}
	n.families = 1
	return n
})

const unlistedShare = 4e-4

// shares are points of a curve: the share of the name of a rank.
type point struct{ rank, share float64 }

func shareAt(rank int, curve []point) float64 {
	r := float64(rank)
	for i := 1; i < len(curve); i++ {
		a, b := curve[i-1], curve[i]
		if r <= b.rank {
			t := (math.Log(r) - math.Log(a.rank)) / (math.Log(b.rank) - math.Log(a.rank))
			return math.Exp(math.Log(a.share) + t*(math.Log(b.share)-math.Log(a.share)))
		}
	}
	return curve[len(curve)-1].share
}

// Share is a name and how common it is.
type Share struct {
	Name  string
	Share float64
}

// Bands are the first birth years of the bands that given names are counted in.
func (n *Names) Bands() []int { return n.starts }

// GivenShares lists the given names of a sex in a band, F or M, in the order of
// the alphabet.
func (n *Names) GivenShares(sex string, band int) []Share {
	s := sexIndex(sex)
	var out []Share
	for name, counts := range n.given {
		if c := counts[s][band]; c > 0 {
			out = append(out, Share{name, c / n.total[s][band]})
		}
	}
	return inOrder(out)
}

// FamilyShares lists the family names in the order of the alphabet.
func (n *Names) FamilyShares() []Share {
	out := make([]Share, 0, len(n.family))
	for name, c := range n.family {
		out = append(out, Share{name, c / n.families})
	}
	return inOrder(out)
}

func inOrder(s []Share) []Share {
	slices.SortFunc(s, func(a, b Share) int { return strings.Compare(a.Name, b.Name) })
	return s
}
