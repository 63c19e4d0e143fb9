package weigh

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"cpis/matching/compare"
)

func child(given, family, born, sex, postcode string) Person {
	return Person{GivenNames: given, FamilyName: family, Born: born, Sex: sex, Postcode: postcode}
}

func scale() *Scale { return NewScale(Default(), Builtin()) }

func candidate(id string, p Person) Candidate { return Candidate{ID: id, Records: p.Records()} }

// TestBlocks: descriptions of one person share a block however one of them is
// mistaken, and a date is looked for swapped too.
func TestBlocks(t *testing.T) {
	held := child("Zoë Marigold", "Quillfeather-Smith", "2019-08-07", "F", "ZZ1 1AA")
	posted := Blocks(held.Records())
	for name, asked := range map[string]Person{
		"another family name":                     child("Zoe", "Other", "2019-08-07", "F", ""),
		"day and month swapped, another name":     child("Ada", "Other", "2019-07-08", "F", ""),
		"another date, mistyped names":            child("Zoey", "Quilfeather Smith", "2011-01-01", "F", ""),
		"names changed round, another date":       child("Quillfeather Smith", "Zoe", "2011-01-01", "F", ""),
		"only the postcode":                       child("", "", "", "", "zz11aa"),
		"known by another name, of another place": {GivenNames: "Ada", FamilyName: "Other", Others: []string{"Quillfeather-Smith^Zoe"}},
	} {
		if !slices.ContainsFunc(Asked(asked.Records()), func(b string) bool { return slices.Contains(posted, b) }) {
			t.Errorf("%s: %q share none of %q", name, Asked(asked.Records()), posted)
		}
	}
	if a := AskedSame(held.Records()); len(a) != 1 || !strings.HasPrefix(a[0], "same 2019-08-07 ") {
		t.Errorf("%q", a)
	}
}

// TestTwinsAndSiblings: who shares date and family name with somebody protected
// is not taken for them; who agrees in everything is.
func TestTwinsAndSiblings(t *testing.T) {
	s := scale()
	held := child("Zoe", "Quillfeather", "2019-08-07", "F", "ZZ1 1AA")
	for name, c := range map[string]struct {
		asked Person
		want  Finding
	}{
		"the same":                    {held, Confirmed},
		"by a short name":             {child("Zoey", "Quillfeather", "2019-08-07", "F", "ZZ1 1AA"), Possibly},
		"moved":                       {child("Zoe", "Quillfeather", "2019-08-07", "F", "AA1 1AA"), Possibly},
		"a twin":                      {child("Ada", "Quillfeather", "2019-08-07", "F", "ZZ1 1AA"), Possibly},
		"a twin with a like name":     {child("Zola", "Quillfeather", "2019-08-07", "F", "ZZ1 1AA"), Possibly},
		"a twin without a name yet":   {child("Baby", "Quillfeather", "2019-08-07", "F", "ZZ1 1AA"), Possibly},
		"a sister":                    {child("Ada", "Quillfeather", "2016-02-03", "F", "ZZ1 1AA"), Nobody},
		"a brother of the same name":  {child("Zoe", "Quillfeather", "2016-02-03", "M", "ZZ1 1AA"), Nobody},
		"a stranger of that birthday": {child("Bertha", "Wimbleton", "2019-08-07", "F", "AA1 1AA"), Nobody},
		"too little":                  {child("Zoe", "", "", "", ""), TooLittle},
	} {
		v := s.Judge(c.asked.Records(), []Candidate{candidate("a", held)})
		if v.Finding != c.want {
			t.Errorf("%s: %s, want %s (%.1f bits, %s)", name, v.Finding, c.want, v.Bits, v.Veto)
		}
	}
}

// TestTheRarerTheNameTheSurer, and the commonest names of all leave a doubt.
func TestTheRarerTheNameTheSurer(t *testing.T) {
	s := scale()
	bits := func(given, family string) float64 {
		p := child(given, family, "2019-08-07", "F", "")
		return s.Weigh(p.Records(), p.Records()).Bits()
	}
	rare, common := bits("Zebedia", "Quillfeather"), bits("Olivia", "Smith")
	if rare < common+6 {
		t.Errorf("%.1f and %.1f bits", rare, common)
	}
	if v := s.Judge(child("Olivia", "Smith", "2019-08-07", "F", "").Records(), []Candidate{candidate("a", child("Olivia", "Smith", "2019-08-07", "F", ""))}); v.Finding != Possibly {
		t.Errorf("%s", v.Finding)
	}
}

// TestTwoWhoFitAreNotToldApart.
func TestTwoWhoFitAreNotToldApart(t *testing.T) {
	s := scale()
	asked := child("", "Quillfeather", "2019-08-07", "F", "ZZ1 1AA").Records()
	one, other := candidate("a", child("Zoe", "Quillfeather", "2019-08-07", "F", "ZZ1 1AA")), candidate("b", child("Ada", "Quillfeather", "2019-08-07", "F", "ZZ1 1AA"))
	if v := s.Judge(asked, []Candidate{one, other}); v.Finding != Possibly || v.Bits > 1 {
		t.Errorf("both twins are protected, and no name is given: %s, %.1f bits", v.Finding, v.Bits)
	}
	like := child("Zoie", "Quillfeather", "2019-08-07", "F", "ZZ1 1AA").Records()
	if v := s.Judge(like, []Candidate{one, other}); v.Finding != Possibly {
		t.Errorf("a like name, and a twin: %s", v.Finding)
	}
}

// TestNoAgreementIsImpossible: whatever is given and whatever is left out, odds
// are finite, do not depend on the order, and never exceed what agreeing on
// everything can show by chance of the rarest name.
func TestNoAgreementIsImpossible(t *testing.T) {
	s := scale()
	word := rapid.SampledFrom([]string{"", "Zoe", "Olivia", "Muhammad", "Mohammed", "J", "Baby", "Ян", "Zoe Ann", "Anna-Lena", "Xyzzy"})
	born := rapid.SampledFrom([]string{"", "2019-08-07", "2019-07-08", "2011-01-31", "1998-02-03"})
	sex := rapid.SampledFrom([]string{"", "M", "F", "U"})
	place := rapid.SampledFrom([]string{"", "ZZ1 1AA", "ZZ1 1AB", "ZZ1 9XX", "M1 1AA", "ZZ99 3VZ"})
	draw := func(t *rapid.T, who string) Person {
		return child(word.Draw(t, who+" given"), word.Draw(t, who+" family"), born.Draw(t, who+" born"), sex.Draw(t, who+" sex"), place.Draw(t, who+" place"))
	}
	rapid.Check(t, func(t *rapid.T) {
		a, b := draw(t, "a").Records(), draw(t, "b").Records()
		x, y := s.Weigh(a, b), s.Weigh(b, a)
		if math.IsNaN(x.Odds) || math.IsInf(x.Odds, 0) || x.Odds < 0 {
			t.Fatalf("odds %v", x.Odds)
		}
		if math.Abs(math.Log(x.Odds+1e-300)-math.Log(y.Odds+1e-300)) > 1e-9 {
			t.Fatalf("%v one way, %v the other", x.Odds, y.Odds)
		}
		if v := s.Judge(a, []Candidate{{ID: "b", Records: b}}); v.Finding == Confirmed && (a[0].Born == "" || b[0].Born == "") {
			t.Fatalf("confirmed without a date of birth, %.1f bits", v.Bits)
		}
		if x.Bits() > 25 {
			t.Fatalf("%.1f bits", x.Bits())
		}
		if a[0].Born == "" && a[0].Postcode == "" && x.Bits() > 18 {
			t.Fatalf("%.1f bits from names alone", x.Bits())
		}
	})
}

// TestANameIsNeverTooRare: a name written as nobody writes it, of no known sex,
// is not certainty (the floor of the shares).
func TestANameIsNeverTooRare(t *testing.T) {
	n := NewNames(0)
	if err := n.AddGiven("Ada", "F", 2000, 1); err != nil {
		t.Fatal(err)
	}
	n.AddFamily("Example", 1)
	for _, sex := range []byte{'F', 'M', 0} {
		if got := n.Given("xqzzy", sex, "2019-08-07"); got != rarest {
			t.Errorf("%c: %v", sex, got)
		}
		if got := n.Given("ada", sex, "2019-08-07"); got < rarest {
			t.Errorf("%c: %v", sex, got)
		}
	}
	if n.Family("xqzzy") != rarest || n.Family("example") != 1 {
		t.Error("family names")
	}
	s := NewScale(Default(), n)
	p := child("Xqzzy", "Xyzzy", "", "", "").Records()
	if bits := s.Weigh(p, p).Bits(); bits > 18 {
		t.Errorf("%.1f bits from names alone", bits)
	}
}

// TestNamesOfTheirTime: a name that was common once is not common for ever.
func TestNamesOfTheirTime(t *testing.T) {
	n := NewNames(0)
	table := "sex,name,birth_years_from,births\nF,tracey,1965,90\nF,olivia,1965,10\nF,tracey,2015,1\nF,olivia,2015,99\n"
	if err := n.ReadGiven(strings.NewReader(table)); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, born string
		want       float64
	}{{"tracey", "1966-01-01", 0.9}, {"tracey", "2019-01-01", 0.01}, {"olivia", "2019-01-01", 0.99}, {"tracey", "1950-01-01", 0.9}, {"olivia", "", 109.0 / 200}} {
		if got := n.Given(c.name, 'F', c.born); math.Abs(got-c.want) > 1e-9 {
			t.Errorf("%s %s: %v, want %v", c.name, c.born, got, c.want)
		}
	}
	for _, bad := range []string{"", "name\n", "sex,name,birth_years_from,births\nF,x,y,1\n", "sex,name,birth_years_from,births\nF,x,2000,many\n"} {
		if err := NewNames(0).ReadGiven(strings.NewReader(bad)); err == nil {
			t.Errorf("%q is read", bad)
		}
	}
}

// TestModelsAreChecked: the default is read as it is written, and what would
// make certainty out of nothing is refused.
func TestModelsAreChecked(t *testing.T) {
	text, err := json.Marshal(Default())
	if err != nil {
		t.Fatal(err)
	}
	m, err := ReadModel(strings.NewReader(string(text)))
	if err != nil || m != Default() {
		t.Fatalf("%v", err)
	}
	for name, change := range map[string]func(*Model){
		"no version":                func(m *Model) { m.Version = "" },
		"no population":             func(m *Model) { m.Population = 0 },
		"above one":                 func(m *Model) { m.Born[compare.BirthExact].Same = 1.5 },
		"strangers never agree":     func(m *Model) { m.Born[compare.BirthExact].Stranger = 0 },
		"a field without weights":   func(m *Model) { m.Postcode = [6]Agreement{} },
		"confirmed before possible": func(m *Model) { m.Confirm = m.Possible - 1 },
	} {
		bad := Default()
		change(&bad)
		text, _ := json.Marshal(bad)
		if _, err := ReadModel(strings.NewReader(string(text))); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	if _, err := ReadModel(strings.NewReader(`{"versoin":"x"}`)); err == nil {
		t.Error("a name that is none is taken")
	}
}

// TestTheTableHasNoNameTwice, which would count it as rarer than it is.
func TestTheTableHasNoNameTwice(t *testing.T) {
	n := Builtin()
	for _, name := range []string{"olivia", "muhammad", "jakub", "aisha", "simran", "linh"} {
		if share := (n.Given(name, 'F', "2019-01-01") + n.Given(name, 'M', "2019-01-01")) / 2; share <= unlistedShare {
			t.Errorf("%s: %v", name, share)
		}
	}
	for _, list := range []string{boys, girls, families} {
		if len(strings.Fields(list)) < 150 {
			t.Errorf("%d names", len(strings.Fields(list)))
		}
	}
}

// TestDescriptionsRedactThemselves however they are written.
func TestDescriptionsRedactThemselves(t *testing.T) {
	p := child("Zoe", "Quillfeather", "2019-08-07", "F", "ZZ1 1AA")
	r := p.Records()
	for _, v := range []any{p, &p, r[0], r, Candidate{Records: r}, []Candidate{{Records: r}}} {
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		var logged strings.Builder
		slog.New(slog.NewTextHandler(&logged, nil)).Info("x", "v", v)
		for _, s := range []string{fmt.Sprintf("%v %+v %#v %s", v, v, v, v), string(text), logged.String()} {
			for _, secret := range []string{"Zoe", "zoe", "uillfeather", "2019", "ZZ1"} {
				if strings.Contains(s, secret) {
					t.Errorf("%T shows %s: %s", v, secret, s)
				}
			}
		}
	}
}

func BenchmarkJudge(b *testing.B) {
	s := scale()
	asked := child("Zoe", "Quillfeather", "2019-08-07", "F", "ZZ1 1AA").Records()
	var candidates []Candidate
	given, family := strings.Fields(girls), strings.Fields(families)
	for i := range 46 { // as many share a birthday among 300,000
		candidates = append(candidates, candidate(fmt.Sprint(i), child(given[i*3], family[i*5], "2019-08-07", "F", "AA1 1AA")))
	}
	b.ReportAllocs()
	for b.Loop() {
		s.Judge(asked, candidates)
	}
}
