package compare

import (
	"math"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// TestPublishedVectors holds the measures to values that others published.
func TestPublishedVectors(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want float64
	}{{"martha", "marhta", .9611}, {"dixon", "dicksonx", .8133}, {"dwayne", "duane", .84}, {"", "a", 0}, {"ab", "ba", 0}, {"josé", "jose", .8833}} {
		if got := JaroWinkler(c.a, c.b); math.Abs(got-c.want) > .0001 {
			t.Errorf("JaroWinkler %s %s: %.4f, want %.4f", c.a, c.b, got, c.want)
		}
	}
	for _, c := range []struct {
		a, b string
		want int
	}{{"ca", "abc", 3}, {"ada", "aad", 1}, {"", "abc", 3}, {"kitten", "sitting", 3}, {"same", "same", 0}} {
		if got := Edits(c.a, c.b); got != c.want {
			t.Errorf("Edits %s %s: %d, want %d", c.a, c.b, got, c.want)
		}
	}
	for word, want := range map[string]string{"robert": "R163", "rupert": "R163", "ashcraft": "A261", "tymczak": "T522", "pfister": "P236", "schmidt": "S530", "honeyman": "H555", "lee": "L000", "": "", "ж": ""} {
		if got := Soundex(word); got != want {
			t.Errorf("Soundex %q: %s, want %s", word, got, want)
		}
	}
}

func TestWords(t *testing.T) {
	for in, want := range map[string]string{
		"O'Neil": "oneil", "O’Neil": "oneil", "Smith-Jones": "smith jones", "ŁUKASZ": "lukasz", "Zoë": "zoe", "Großmann": "grossmann", "Nguyễn Thị": "nguyen thi",
		"Miss Ada  Mary": "ada mary", "Sørensen": "sorensen", "Ṣāliḥ": "salih", "": "", "12": "", "Иван": "иван", "St. John": "st john",
	} {
		if got := strings.Join(Words(in), " "); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

// TestNoNames: what stands where a name is not known is not compared.
func TestNoNames(t *testing.T) {
	for _, name := range []string{"", "Baby", "BABY GIRL", "Baby of Eve", "Twin 2", "Twin One", "twin a", "Unknown", "Not Known", "Infant", "male", "Test", "Boy (Twin B)", "Mr", "Xxx"} {
		if got := Given(name); got != nil {
			t.Errorf("%q is a given name: %v", name, got)
		}
	}
	for _, name := range []string{"A", "Twinkle", "Son", "Ada Baby", "Unity", "Boyd"} {
		if Given(name) == nil {
			t.Errorf("%q is no given name", name)
		}
	}
	for _, name := range []string{"", "Unknown", "UNK", "Baby", "not known"} {
		if got := Family(name); got != nil {
			t.Errorf("%q is a family name: %v", name, got)
		}
	}
	for _, name := range []string{"Child", "Boy", "Male", "Son", "Knowne", "O"} {
		if Family(name) == nil {
			t.Errorf("%q is no family name", name)
		}
	}
}

func TestGivenNames(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want Level
	}{
		{"Ada", "ADA", Exact}, {"Ada Mary", "Ada", Exact}, {"Zoë", "Zoe", Exact}, {"Mary Ann", "Maryann", Exact}, {"Anne-Marie", "Anne Marie", Exact},
		{"Katie", "Catherine", Alias}, {"Muhammad", "Mohammed", Alias}, {"Kasia", "Katarzyna", Alias}, {"Yusuf", "Yousef", Alias}, {"Mary Ada", "Ada", Alias}, {"Ada", "Mary Ada", Alias},
		{"Jonahtan", "Jonathan", Similar}, {"Emily", "Emiyl", Similar}, {"Caitlin", "Kaitlyn", Alias}, {"Zara", "Kara", Different}, {"Rupert", "Robert", Different}, {"Jon", "Jan", Alias}, {"Sean", "Shaun", Alias}, {"A", "Ada", Initial},
		{"Ada", "Ava", Different}, {"Ada Mary", "Eva Mary", Different}, {"Emily", "Emma", Different}, {"Jack", "Harry", Different}, {"A", "Eve", Different},
		{"Baby", "Ada", Missing}, {"Ada", "", Missing}, {"Twin 1", "Twin 2", Missing},
	} {
		if got := GivenNames(GivenName(c.a), GivenName(c.b)); got != c.want {
			t.Errorf("%s, %s: %s, want %s", c.a, c.b, got, c.want)
		}
	}
}

func TestFamilyNames(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want Level
	}{
		{"O'Neil", "ONEIL", Exact}, {"Smith-Jones", "Smith Jones", Exact}, {"Smith-Jones", "Jones", Alias}, {"Al Hassan", "Hassan", Alias}, {"Smith", "Smtih", Similar},
		{"Clarke", "Clark", Similar}, {"Meyer", "Maier", Phonetic}, {"Smith", "Jones", Different}, {"", "Smith", Missing}, {"Unknown", "Smith", Missing},
	} {
		if got := FamilyNames(FamilyName(c.a), FamilyName(c.b)); got != c.want {
			t.Errorf("%s, %s: %s, want %s", c.a, c.b, got, c.want)
		}
	}
}

func TestBirthDates(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want Birth
	}{
		{"2019-08-07", "2019-08-07", BirthExact}, {"2019-08-07", "2019-07-08", BirthSwapped}, {"2019-08-07", "2019-08-01", BirthDigit}, {"2019-08-07", "2018-08-07", BirthDigit},
		{"2019-08-07", "2019-08-21", BirthTwoParts}, {"2019-08-07", "2016-11-30", BirthDifferent}, {"", "2019-08-07", BirthMissing}, {"2019", "2019-08-07", BirthMissing},
	} {
		if got := BirthDates(c.a, c.b); got != c.want {
			t.Errorf("%s, %s: %s, want %s", c.a, c.b, got, c.want)
		}
	}
}

// TestLaws: every comparison is the same both ways round, a record agrees with
// itself, and no text is too strange.
func TestLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(rapid.String(), rapid.StringMatching(`[A-Za-z' -]{0,20}`), rapid.SampledFrom([]string{"Ada Mary", "Smith-Jones", "Baby", "Muhammad", "Łukasz"}))
		a, b := text.Draw(t, "a"), text.Draw(t, "b")
		if GivenNames(GivenName(a), GivenName(b)) != GivenNames(GivenName(b), GivenName(a)) || FamilyNames(FamilyName(a), FamilyName(b)) != FamilyNames(FamilyName(b), FamilyName(a)) || BirthDates(a, b) != BirthDates(b, a) {
			t.Fatal("one way round is not the other")
		}
		if got := GivenNames(GivenName(a), GivenName(a)); got != Exact && got != Missing {
			t.Fatalf("a given name and itself: %s", got)
		}
		if got := FamilyNames(FamilyName(a), FamilyName(a)); got != Exact && got != Missing {
			t.Fatalf("a family name and itself: %s", got)
		}
		if w := JaroWinkler(a, b); w < 0 || w > 1 || math.Abs(w-JaroWinkler(b, a)) > 1e-9 {
			t.Fatalf("likeness %v and %v", w, JaroWinkler(b, a))
		}
		if Edits(a, b) != Edits(b, a) || Edits(a, a) != 0 {
			t.Fatal("edits")
		}
	})
}

func BenchmarkGivenNames(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		GivenNames(GivenName("Jonahtan Mark"), GivenName("Jonathan"))
	}
}
