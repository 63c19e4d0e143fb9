package evaluate

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"cpis/matching/compare"
	"cpis/matching/population"
	"cpis/matching/weigh"
)

// people is a population as files.
type people struct {
	made                       population.Made
	index, registrations, g, f bytes.Buffer
}

func makePeople(children, protected int, seed uint64) (*people, error) {
	p := &people{}
	made, err := population.New(population.Config{Children: children, Protected: protected, Seed: seed, Names: weigh.Builtin(), On: time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)}).
		Write(context.Background(), population.Files{Index: &p.index, Registrations: &p.registrations, Given: &p.g, Family: &p.f})
	p.made = made
	return p, err
}

// sample is made once: the same for every test.
var sample = sync.OnceValues(func() (*people, error) { return makePeople(120_000, 6_000, 1) })

func columns() Columns {
	return Columns{ID: "person", Given: "given_names", Family: "family_name", Born: "date_of_birth", Sex: "sex", Postcode: "postcode"}
}

// scale weighs with the names of the population itself, and its size.
func (p *people) scale(t *testing.T) *weigh.Scale {
	t.Helper()
	names := weigh.NewNames(0)
	if err := names.ReadGiven(bytes.NewReader(p.g.Bytes())); err != nil {
		t.Fatal(err)
	}
	if err := names.ReadFamily(bytes.NewReader(p.f.Bytes())); err != nil {
		t.Fatal(err)
	}
	m := weigh.Default()
	m.Population = float64(p.made.Registrations)
	return weigh.NewScale(m, names)
}

// held is the index of those who are protected.
func (p *people) held(t *testing.T, c Columns) *Index {
	t.Helper()
	x := NewIndex()
	c.By = nil
	rows, err := OpenTable(bytes.NewReader(p.index.Bytes()), c)
	for err == nil {
		var r Row
		if r, err = rows.Next(); err == nil {
			x.Add(r)
		}
	}
	if !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	return x
}

func (p *people) open(t *testing.T, c Columns) Report {
	t.Helper()
	queries, err := OpenTable(bytes.NewReader(p.registrations.Bytes()), c)
	if err != nil {
		t.Fatal(err)
	}
	report, err := Open(p.held(t, c), p.scale(t), queries)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

// TestWithoutNumbers: who is found among a small England by details alone, and
// who is taken for another. What it asks for is what the twins' hypothesis, the
// rarest share of a name, the swapped date and the rule of sufficiency give;
// without any of them it fails.
func TestWithoutNumbers(t *testing.T) {
	p, err := sample()
	if err != nil {
		t.Fatal(err)
	}
	c := columns()
	c.By = []string{"kin", "origin"}
	r := p.open(t, c)
	total, twins := r.Total, r.Strata["kin"]["twin of a protected child"]
	t.Logf("recall %.4f, seen %.4f, %+v", total.Recall(), total.Seen(), total)
	if total.False > 1 || total.Wrong > 1 || twins.False > 1 {
		t.Errorf("taken for another: %+v, of them twins %+v", total, twins)
	}
	if twins.Others < 20 || total.Protected < 5000 {
		t.Fatalf("the population is too small: %+v", twins)
	}
	if total.Recall() < 0.75 || total.Seen() < 0.99 {
		t.Errorf("recall %.4f, seen %.4f", total.Recall(), total.Seen())
	}
	if share := float64(total.FalseSeen) / float64(total.Others); share > 0.01 {
		t.Errorf("%.4f of the others are possible", share)
	}
	for origin, o := range r.Strata["origin"] {
		if o.Protected > 100 && o.Seen() < 0.97 {
			t.Errorf("%s: only %.4f are seen", origin, o.Seen())
		}
	}
	for _, b := range r.Bins { // stated odds are the observed ones within a factor of sixteen, as far as there are cases
		if b.Right > 30 && b.Wrong > 5 && (b.Odds() > 16*b.Stated || b.Odds() < b.Stated/16) {
			t.Errorf("at %d bits: stated %.3g, observed %.3g", b.Bits, b.Stated, b.Odds())
		}
	}
}

// TestWithNumbers: a number that is a twin's, a sibling's, a namesake's makes
// nobody certain, and a right one is hardly ever doubted.
func TestWithNumbers(t *testing.T) {
	p, err := sample()
	if err != nil {
		t.Fatal(err)
	}
	c := columns()
	c.Number, c.By = "nhs_number", []string{"number_is", "kin"}
	r := p.open(t, c)
	for _, is := range []string{"twin's", "sibling's", "namesake's"} {
		s := r.Strata["number_is"][is]
		if s.Protected+s.Others == 0 {
			t.Fatalf("nobody has a %s number", is)
		}
		if s.False+s.Wrong > 0 {
			t.Errorf("a %s number: %+v", is, s)
		}
	}
	own := r.Strata["number_is"]["own"]
	t.Logf("%+v", own)
	if own.Recall() < 0.985 || own.Seen() < 0.999 || own.False > 0 || own.Wrong > 0 {
		t.Errorf("own numbers: recall %.4f, seen %.4f, %+v", own.Recall(), own.Seen(), own)
	}
	if merged := r.Strata["number_is"]["merged"]; merged.Protected == 0 || merged.Conflict == 0 {
		t.Errorf("numbers that were merged: %+v", merged)
	}
}

// TestTooLittleIsNotNobody: registrations of protected children with next to
// nothing on them are never told that nobody fits.
func TestTooLittleIsNotNobody(t *testing.T) {
	p, err := sample()
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(p.registrations.String(), "\n")
	var bare strings.Builder
	bare.WriteString(lines[0])
	for _, line := range lines[1:] {
		if f := strings.Split(line, ","); strings.Contains(line, ",protected") {
			f[4], f[6] = "", "" // no date of birth, no postcode
			bare.WriteString(strings.Join(f, ","))
		}
	}
	poor := *p
	poor.registrations = *bytes.NewBufferString(bare.String())
	if r := poor.open(t, columns()); r.Total.Missed > r.Total.Protected/20 || r.Total.TooLittle < r.Total.Protected/10 {
		t.Errorf("%+v", r.Total)
	}
}

// TestCalibrateFindsTheRates that the population was made with.
func TestCalibrateFindsTheRates(t *testing.T) {
	p, err := makePeople(60_000, 10_000, 3)
	if err != nil {
		t.Fatal(err)
	}
	queries, err := OpenTable(bytes.NewReader(p.registrations.Bytes()), columns())
	if err != nil {
		t.Fatal(err)
	}
	learnt, err := Calibrate(p.held(t, columns()), p.scale(t), queries)
	if err != nil {
		t.Fatal(err)
	}
	m := learnt.Model
	for name, c := range map[string][3]float64{
		"given, exact":    {m.Given[compare.Exact].Same, 0.84, 0.94},
		"family, exact":   {m.Family[compare.Exact].Same, 0.90, 0.98},
		"born, exact":     {m.Born[compare.BirthExact].Same, 0.90, 1},
		"postcode, exact": {m.Postcode[compare.PlaceExact].Same, 0.62, 0.76},
		"sex agrees":      {m.Sex[2].Same, 0.98, 1},
	} {
		if c[0] < c[1] || c[0] > c[2] {
			t.Errorf("%s: %.4f, want %.2f to %.2f", name, c[0], c[1], c[2])
		}
	}
	if m.Given[compare.Exact].Twin != weigh.Default().Given[compare.Exact].Twin {
		t.Error("what twins show was changed")
	}
}

// TestBound95 are values of the Poisson distribution.
func TestBound95(t *testing.T) {
	for k, want := range map[int]float64{0: 2.996, 1: 4.744, 3: 7.754, 6: 11.842} {
		if got := Bound95(k); math.Abs(got-want) > 0.002 {
			t.Errorf("%d: %.4f, want %.3f", k, got, want)
		}
	}
}

// TestPairs brings together the rows of a small table without its labels.
func TestPairs(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 9))
	var text strings.Builder
	text.WriteString("id, given_names, family_name, date_of_birth, town\n")
	names := weigh.Builtin().FamilyShares()
	given := weigh.Builtin().GivenShares("F", 0)
	for i := range 800 {
		g, f, town := given[r.IntN(len(given))].Name, names[r.IntN(len(names))].Name, fmt.Sprint("town", r.IntN(300))
		born := time.Date(1950+r.IntN(60), time.Month(1+r.IntN(12)), 1+r.IntN(28), 0, 0, 0, 0, time.UTC).Format("20060102")
		fmt.Fprintf(&text, "rec-%d-org, %s, %s, %s, %s\n", i, g, f, born, town)
		if i%3 == 0 {
			if r.IntN(2) == 0 {
				f = f[1:]
			} else {
				town = ""
			}
			fmt.Fprintf(&text, "rec-%d-dup-0, %s, %s, %s, %s\n", i, g, f, born, town)
		}
	}
	c := Columns{ID: "id", Given: "given_names", Family: "family_name", Born: "date_of_birth", Also: []string{"town"}, Identity: regexp.MustCompile(`^rec-\d+`)}
	table, err := OpenTable(strings.NewReader(text.String()), c)
	if err != nil {
		t.Fatal(err)
	}
	report, err := Pairs(table, 0.5)
	if err != nil || report.Pairs != 267 || report.At.F1 < 0.98 || report.ZeroFalse < 0.95 {
		t.Errorf("%+v %v", report.At, err)
	}
}

// TestFEBRL is goal G3 of the published sets: fixed in advance at even odds,
// learnt without labels. It needs the set, which is not part of the project.
func TestFEBRL(t *testing.T) {
	folder := os.Getenv("CPIS_CORPUS")
	if folder == "" {
		t.Skip("NOT RUN: CPIS_CORPUS names no folder with matching/febrl3.csv")
	}
	f, err := os.Open(filepath.Join(folder, "matching", "febrl3.csv"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	table, err := OpenTable(f, Columns{ID: "rec_id", Given: "given_name", Family: "surname", Born: "date_of_birth", Identity: regexp.MustCompile(`^rec-\d+`),
		Also: []string{"street_number", "address_1", "address_2", "suburb", "postcode", "state", "soc_sec_id"}})
	if err != nil {
		t.Fatal(err)
	}
	report, err := Pairs(table, 0.5)
	if err != nil || report.At.F1 < 0.9965 {
		t.Errorf("F1 %.5f, %v", report.At.F1, err)
	}
}

func TestTablesThatCannotBeRead(t *testing.T) {
	for name, c := range map[string]struct {
		text    string
		columns Columns
	}{
		"empty":          {"", columns()},
		"no such column": {"person,given\n", columns()},
		"no id":          {"a,b\n", Columns{Given: "a"}},
	} {
		if _, err := OpenTable(strings.NewReader(c.text), c.columns); err == nil {
			t.Errorf("%s: opened", name)
		}
	}
	table, err := OpenTable(strings.NewReader("person,g\n,x\n"), Columns{ID: "person", Given: "g"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := table.Next(); err == nil {
		t.Error("a row of nobody is read")
	}
}
