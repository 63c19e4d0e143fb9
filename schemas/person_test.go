package schemas

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// invent makes an NHS number of the 999 range, which is never issued.
func invent(stem int) (NHSNumber, bool) {
	for check := range 10 {
		if n, err := ParseNHSNumber(fmt.Sprintf("999%06d%d", stem%1_000_000, check)); err == nil {
			return n, true
		}
	}
	return NHSNumber{}, false // the stem's check digit would be 10
}

func TestParseNHSNumber(t *testing.T) {
	for text, want := range map[string]error{
		"9990000018": nil, "999 000 0018": nil, "999-000-0018": nil, "9449306753": nil, // 944… is a published sample
		"9990000019": ErrCheckDigit, "9912003899": ErrCheckDigit, // the published CP-IS example fails its own check
		"999000001": ErrNotNHSNumber, "99900000180": ErrNotNHSNumber, "": ErrNotNHSNumber, "999000001X": ErrNotNHSNumber,
	} {
		if _, err := ParseNHSNumber(text); !errors.Is(err, want) {
			t.Errorf("%q: %v, want %v", text, err, want)
		}
	}
}

func TestCountryOfANumber(t *testing.T) {
	for digits, want := range map[string]Country{
		"4000000000": England, "7999999999": England, "5000000000": Unissued, "3200000000": NorthernIreland,
		"0101000000": Scotland, "3112999999": Scotland, "3113000000": Unissued, "8000000000": Ireland, "9990000018": TestRange,
	} {
		if got := (NHSNumber{digits}).Country(); got != want {
			t.Errorf("%s: %s, want %s", digits, got, want)
		}
	}
}

// TestOneWrongDigitIsNoticed is the promise of modulus 11: any single digit
// changed, and any two neighbours swapped, is not a number any more.
func TestOneWrongDigitIsNoticed(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n, ok := invent(rapid.IntRange(0, 999_999).Draw(t, "stem"))
		if !ok {
			return
		}
		digits := []byte(n.Reveal())
		i := rapid.IntRange(0, 9).Draw(t, "at")
		other := byte('0' + rapid.IntRange(0, 9).Draw(t, "digit"))
		if other == digits[i] {
			return
		}
		digits[i] = other
		if _, err := ParseNHSNumber(string(digits)); err == nil {
			t.Errorf("digit %d changed unnoticed", i)
		}
	})
}

func TestPersonsRedactThemselves(t *testing.T) {
	n, _ := invent(1)
	p := Person{Number: n, FamilyName: "CANARYFAMILY", GivenNames: "Canarygiven", DateOfBirth: "2019-08-07", Postcode: "ZZ99 9ZZ", LocalID: "CANARYID"}
	who := Access{Records: []PlanRecord{{RecordID: "CANARYID"}}, WorkerName: "CANARYFAMILY", WorkerID: "CANARYID"}
	secrets := []string{n.Reveal(), "CANARYFAMILY", "Canarygiven", "2019-08-07", "ZZ99", "CANARYID"}
	var log bytes.Buffer
	logger := slog.New(slog.NewJSONHandler(&log, nil))
	for _, v := range []any{n, &n, p, &p, Registration{Person: p, Retired: p}, Indicator{Person: p}, Details{Person: p}, Outcome{Details: Details{Person: p}}, Notice{Person: p, Access: who}, who, &who, Registration{Evidence: Evidence{OperatorName: "CANARYFAMILY", ResponsibleName: "CANARYID"}}} {
		logger.Info("record", "value", v)
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		for _, shown := range []string{fmt.Sprint(v), fmt.Sprintf("%v", v), fmt.Sprintf("%+v", v), fmt.Sprintf("%#v", v), fmt.Sprintf("%s", v), fmt.Sprintf("%q", v), fmt.Sprintf("%x", v), string(text), log.String()} {
			for _, s := range secrets {
				if strings.Contains(shown, s) || strings.Contains(shown, fmt.Sprintf("%x", s)) {
					t.Errorf("%T shows %q", v, s)
				}
			}
		}
	}
}

func newTestKeyring(t testing.TB) *Keyring {
	t.Helper()
	k, err := OpenKeyring(t.TempDir(), true)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestSealedPartsOpenOnlyWhereTheyBelong(t *testing.T) {
	k, other := newTestKeyring(t), newTestKeyring(t)
	n, _ := invent(7)
	p := Person{Number: n, FamilyName: "Example", GivenNames: "Ada", DateOfBirth: "2019-08-07", Sex: "F"}
	sealed, err := k.SealPerson(TopicRegistration, "", "event-1", p)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := k.OpenPerson(TopicRegistration, "", "event-1", sealed); err != nil || got != p {
		t.Fatalf("opened %v, %v", got == p, err)
	}
	flipped := bytes.Clone(sealed)
	flipped[len(flipped)-1] ^= 1
	for name, err := range map[string]error{
		"another event":     second(k.OpenPerson(TopicRegistration, "", "event-2", sealed)),
		"another topic":     second(k.OpenPerson(TopicNotice, "", "event-1", sealed)),
		"another key":       second(other.OpenPerson(TopicRegistration, "", "event-1", sealed)),
		"one bit":           second(k.OpenPerson(TopicRegistration, "", "event-1", flipped)),
		"as an authority's": second(k.OpenPerson(TopicRegistration, "E06A", "event-1", sealed)),
		"as raw bytes":      second(k.OpenRaw("", "event-1", sealed)),
		"as details":        second(k.OpenDetails("event-1", sealed)),
	} {
		if !errors.Is(err, ErrSealed) || !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	d := Details{Person: p, Plans: []Plan{{Authority: "E06A", PlanType: PlanLookedAfter, PlanStart: "2026-01-02"}}}
	sealed, err = k.SealDetails("outcome-1", d)
	if err != nil {
		t.Fatal(err)
	}
	got, err := k.OpenDetails("outcome-1", sealed)
	if err != nil || got.Person != p || len(got.Plans) != 1 || got.Plans[0] != d.Plans[0] {
		t.Errorf("details changed: %v", err)
	}
}

func second[T any](_ T, err error) error { return err }

func TestIdsAndPseudonyms(t *testing.T) {
	k, other := newTestKeyring(t), newTestKeyring(t)
	n, _ := invent(7)
	again, err := ParseNHSNumber(n.Reveal())
	if err != nil || k.SubjectRef(n) != k.SubjectRef(again) || k.SubjectRef(n) == other.SubjectRef(n) {
		t.Error("a pseudonym must depend on the number and the key alone")
	}
	if k.SubjectRef(NHSNumber{}) != "" {
		t.Error("no number, no pseudonym")
	}
	if k.SubjectRef(n) == k.LocalRef("", n.Reveal()) {
		t.Error("a local number that looks like an NHS number must not share its pseudonym")
	}
	if k.ID("ab", "c") == k.ID("a", "bc") {
		t.Error("parts run into each other")
	}
	if strings.Contains(string(k.SubjectRef(n)), n.Reveal()) {
		t.Error("a pseudonym shows its number")
	}
}

func TestKeysAreKeptAndNeverInvented(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	if _, err := OpenKeyring(dir, false); err == nil {
		t.Fatal("a missing key folder went unnoticed")
	}
	k, err := OpenKeyring(dir, true)
	if err != nil {
		t.Fatal(err)
	}
	again, err := OpenKeyring(dir, false)
	if err != nil {
		t.Fatal(err)
	}
	if k.ID("x") != again.ID("x") {
		t.Error("the key changed over a restart")
	}
	info, err := os.Stat(filepath.Join(dir, "registration.json"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("key file mode %v, %v", info.Mode(), err)
	}
	if err := os.WriteFile(filepath.Join(dir, "registration.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenKeyring(dir, true); err == nil {
		t.Error("a damaged key set was replaced or ignored")
	}
}

func TestSealedSchemasFitTheirTypes(t *testing.T) {
	all, err := sealedSchemas()
	if err != nil {
		t.Fatal(err)
	}
	for name, goType := range sealedTypes() {
		if _, err := all[name].newest().node.bind(goType); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestCatalogueIsComplete(t *testing.T) {
	seen := map[Code]bool{}
	for _, e := range Catalogue() {
		if seen[e.Code] {
			t.Errorf("%s stands twice", e.Code)
		}
		seen[e.Code] = true
		if e.Title == "" || e.Why == "" || e.Fix == "" || e.Fate == "" {
			t.Errorf("%s lacks title, why, fix or fate", e.Code)
		}
		if got, ok := Explain(strings.ToLower(strings.TrimPrefix(string(e.Code), "CPIS-"))); !ok || got != e {
			t.Errorf("%s is not found by its short name", e.Code)
		}
	}
	if len(seen) == 0 {
		t.Error("the catalogue is empty")
	}
	if _, ok := Explain("CPIS-X999"); ok {
		t.Error("a code that does not exist was explained")
	}
}

func TestSchemasOfUnknownTopics(t *testing.T) {
	c, err := NewCodec(context.Background(), &MemoryRegistry{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Encode("cpis.other.v1", &Outcome{}); err == nil {
		t.Error("an unknown topic was encoded")
	}
}
