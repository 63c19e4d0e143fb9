package socialcare

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"cpis/connectors"
	"cpis/schemas"
)

const header = "record_id,nhs_number,family_name,given_names,date_of_birth,sex,plan_type,plan_start,plan_end,expected_delivery_date,version\n"

const good = "A1,9990000018,Canary,Ada,2019-08-07,F,CPP,2026-03-03,,,1\n"

// store is a broker in memory that polices what it is given.
type store struct {
	t           testing.TB
	held        map[string]schemas.Indicator
	authorities map[schemas.AuthorityCode]schemas.Authority
	uploads     map[string]schemas.Upload
	parcels     map[string][]byte // by upload and kind
	published   []schemas.Indicator
	dropped     []schemas.Indicator
	quarantined []RefusedRow
	notices     []schemas.Notice
	blind       bool // Held cannot tell
	fail        bool // Commit fails, having written
	now         time.Time
}

func newStore(t testing.TB) *store {
	return &store{t: t, held: map[string]schemas.Indicator{}, uploads: map[string]schemas.Upload{}, parcels: map[string][]byte{},
		authorities: map[schemas.AuthorityCode]schemas.Authority{"E06A": {Code: "E06A", Name: "Aford", Version: 3}}, now: time.Date(2026, 11, 24, 10, 0, 0, 0, time.UTC)}
}

func (s *store) Former(schemas.NHSNumber) []schemas.SubjectRef { return nil }

func (s *store) Stale(schemas.Indicator) bool { return false }

func (s *store) Identify(n schemas.NHSNumber) schemas.SubjectRef {
	return schemas.SubjectRef("ref-" + n.Reveal()[5:])
}

func (s *store) Authority(c schemas.AuthorityCode) (schemas.Authority, bool) {
	a, ok := s.authorities[c]
	return a, ok
}

func (s *store) Held(context.Context, schemas.AuthorityCode) (map[string]schemas.Indicator, error) {
	if s.blind {
		return nil, errors.New("the topic cannot be read")
	}
	return maps.Clone(s.held), nil
}

func (s *store) Uploads(schemas.AuthorityCode) []schemas.Upload {
	return slices.Collect(maps.Values(s.uploads))
}

func (s *store) Parcel(_ context.Context, u schemas.Upload, kind string) ([]byte, error) {
	return s.parcels[u.UploadID+kind], nil
}

func (s *store) Commit(_ context.Context, c Changes) error {
	for _, p := range c.Parcels {
		s.parcels[p.UploadID+p.Kind] = append(s.parcels[p.UploadID+p.Kind], p.Data...)
	}
	for _, i := range c.Put {
		if i.SubjectRef == "" || i.Authority != c.Authority || i.UploadID == "" || i.ReceivedAt.IsZero() || i.Version < 1 {
			s.t.Errorf("a record was published without its fields")
		}
		if i.Withdrawn && i.Person != (schemas.Person{}) {
			s.t.Error("a record that was taken back names somebody")
		}
		if len(i.SealedPerson) > 0 { // sealed as it stood
			i.Person = s.opened(i.SealedPerson)
		} else if !i.Withdrawn {
			i.SealedPerson, _ = json.Marshal(map[string]string{"n": i.Person.Number.Reveal(), "f": i.Person.FamilyName, "g": i.Person.GivenNames, "b": string(i.Person.DateOfBirth), "s": i.Person.Sex, "l": i.Person.LocalID})
		}
		s.held[string(i.Key())] = i
	}
	for _, i := range c.Drop {
		delete(s.held, string(i.Key()))
	}
	s.published, s.dropped = append(s.published, c.Put...), append(s.dropped, c.Drop...)
	s.quarantined, s.notices = append(s.quarantined, c.Refused...), append(s.notices, c.Notices...)
	if s.fail {
		return errors.New("result unknown")
	}
	if c.Contacts != nil {
		s.authorities[c.Authority] = *c.Contacts
	}
	if c.Upload != nil {
		s.uploads[c.Upload.UploadID] = *c.Upload
	}
	return nil
}

func (s *store) opened(sealed []byte) schemas.Person {
	var m map[string]string
	_ = json.Unmarshal(sealed, &m)
	n, _ := schemas.ParseNHSNumber(m["n"])
	return schemas.Person{Number: n, FamilyName: m["f"], GivenNames: m["g"], DateOfBirth: schemas.Date(m["b"]), Sex: m["s"], LocalID: m["l"]}
}

func service(t testing.TB, s *store) *Service {
	t.Helper()
	id := func(parts ...string) string {
		sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
		return hex.EncodeToString(sum[:16])
	}
	v, err := New(Config{ID: id, Now: func() time.Time { return s.now }}, s, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// server serves the door.
func server(t testing.TB, s *store) *httptest.Server {
	t.Helper()
	mux := http.NewServeMux()
	service(t, s).Register(connectors.NewAPI(mux, "test"), func(schemas.AuthorityCode) int { return 2 })
	h := httptest.NewServer(mux)
	t.Cleanup(h.Close)
	return h
}

func take(t testing.TB, s *store, format, text string) (Result, error) {
	t.Helper()
	return service(t, s).Take(context.Background(), Request{Authority: "E06A", Format: format, Body: strings.NewReader(text), By: "a"})
}

// TestEachMistakeHasItsVerdict changes one thing in a good row at a time.
func TestEachMistakeHasItsVerdict(t *testing.T) {
	for name, c := range map[string]struct {
		from, to string
		detail   schemas.Code
		field    string
	}{
		"nothing":                  {"", "", "", ""},
		"wrong check digit":        {"9990000018", "9990000019", "CPIS-L010", "nhs_number"},
		"nine digits":              {"9990000018", "999000001", "CPIS-L010", "nhs_number"},
		"blanks in the number":     {"9990000018", "999 000 0018", "", ""},
		"no number":                {"9990000018", "", "CPIS-L002", "nhs_number"},
		"no record id":             {"A1,", ",", "CPIS-L002", "record_id"},
		"no family name":           {"Canary", "", "CPIS-L002", "family_name"},
		"name too long":            {"Canary", strings.Repeat("x", 300), "CPIS-L002", "family_name"},
		"no date of birth":         {"2019-08-07", "", "CPIS-L011", "date_of_birth"},
		"date of birth to come":    {"2019-08-07", "2027-08-07", "CPIS-L011", "date_of_birth"},
		"a spreadsheet's date":     {"2019-08-07", "07/08/2019", "", ""},
		"an adult":                 {"2019-08-07", "2008-11-24", "CPIS-L018", "date_of_birth"},
		"17, for a day yet":        {"2019-08-07", "2008-11-25", "", ""},
		"plan kind":                {"CPP", "CIN", "CPIS-L012", "plan_type"},
		"plan kind in small":       {"CPP", "lac", "", ""},
		"no start":                 {"2026-03-03", "", "CPIS-L014", "plan_start"},
		"start is no date":         {"2026-03-03", "soon", "CPIS-L014", "plan_start"},
		"ends before it begins":    {"2026-03-03,,", "2026-03-03,2026-03-02,", "CPIS-L015", "plan_end"},
		"ended 365 days ago":       {"2026-03-03,,", "2025-03-03,2025-11-24,", "", ""},
		"ended 366 days ago":       {"2026-03-03,,", "2025-03-03,2025-11-23,", "CPIS-L016", "plan_end"},
		"unborn without date":      {"CPP", "UNBORN", "CPIS-L017", "expected_delivery_date"},
		"child with expected date": {",,,1", ",,2027-01-01,1", "CPIS-L017", "expected_delivery_date"},
		"version is a word":        {",1\n", ",one\n", "CPIS-L013", "version"},
		"version zero":             {",1\n", ",0\n", "CPIS-L013", "version"},
		"a field too many":         {",1\n", ",1,x\n", "CPIS-L001", ""},
		"quotes":                   {"Canary", `Ca"nary`, "CPIS-L001", ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStore(t)
			row := good
			if c.from != "" {
				if row = strings.Replace(good, c.from, c.to, 1); row == good {
					t.Fatal("the case changes nothing")
				}
			}
			result, err := take(t, s, CSV, header+row+"B2,9990000026,Other,Ben,2018-01-01,M,LAC,2026-01-01,,,1\n")
			if err != nil {
				t.Fatal(err)
			}
			v := result.Verdicts[0]
			if v.Detail != c.detail || v.Field != c.field || v.Row != 2 {
				t.Errorf("verdict %+v", v)
			}
			if c.detail == "" {
				if result.FileCode != "CPF02" || len(s.published) != 2 || len(s.quarantined) != 0 {
					t.Errorf("%+v", result)
				}
				return
			}
			if result.FileCode != "CPF03" || result.Refused != 1 || len(s.published) != 1 || len(s.quarantined) != 1 || v.Fix == "" || v.Code == codeTaken {
				t.Errorf("%+v, %d published, %d quarantined", result, len(s.published), len(s.quarantined))
			}
			if text := fmt.Sprint(result); strings.Contains(text, "Canary") || strings.Contains(text, "9990000018") {
				t.Errorf("a verdict tells who: %s", text)
			}
		})
	}
}

func TestFilesThatAreNotTaken(t *testing.T) {
	for name, c := range map[string]struct {
		format, text string
		code         schemas.Code
	}{
		"empty":                   {CSV, "", "CPIS-L020"},
		"column missing":          {CSV, strings.Replace(header, ",sex", "", 1) + good, "CPIS-L020"},
		"column twice":            {CSV, strings.Replace(header, "sex", "version", 1) + good, "CPIS-L020"},
		"category of abuse":       {CSV, strings.TrimSpace(header) + ",category_of_abuse\n" + strings.TrimSpace(good) + ",NEG\n", "CPIS-L021"},
		"an address in JSON":      {JSONL, `{"record_id":"A1","address":"1 Road"}`, "CPIS-L021"},
		"an empty list":           {JSONL, "\n", "CPIS-L020"},
		"a header without a name": {CSV, "9990000018,Canary,Ada\n", "CPIS-L021"},
		"larger than it may be":   {CSV, header + strings.Repeat("x", MaxFile), "CPIS-L020"},
	} {
		s := newStore(t)
		_, err := take(t, s, c.format, c.text)
		var refusal *schemas.Refusal
		if !errors.As(err, &refusal) || refusal.Code != c.code || len(s.published) > 0 {
			t.Errorf("%s: %v", name, err)
		}
		if _, ok := schemas.Explain(string(c.code)); !ok {
			t.Errorf("%s is not explained", c.code)
		}
	}
	s := newStore(t)
	delete(s.authorities, "E06A")
	var refusal *schemas.Refusal
	if _, err := take(t, s, CSV, header+good); !errors.As(err, &refusal) || refusal.Code != "CPIS-L022" {
		t.Errorf("no contacts: %v", err)
	}
}

func TestHabitsOfSpreadsheetsAreTaken(t *testing.T) {
	for name, text := range map[string]string{
		"byte-order mark": "\xef\xbb\xbf" + header + good, "CRLF": strings.ReplaceAll(header+good, "\n", "\r\n"), "blank rows": header + good + ",,,,,,,,,,\n\n",
		"Latin-1": header + strings.Replace(good, "Ada", "Zo\xeb", 1), "quoted": header + strings.Replace(good, "Canary", `"Canary"`, 1),
		"capital header":           strings.ToUpper(header) + good,
		"columns in another order": "version," + strings.Replace(header, ",version", "", 1) + "1," + strings.Replace(good, ",1\n", "\n", 1),
	} {
		s := newStore(t)
		if r, err := take(t, s, CSV, text); err != nil || r.Received != 1 || r.Accepted != 1 {
			t.Errorf("%s: %+v %v", name, r, err)
		}
	}
}

// TestOneBadLineHarmsNoOther puts bad lines between good ones.
func TestOneBadLineHarmsNoOther(t *testing.T) {
	other := "B2,9990000026,Other,Ben,2018-01-01,M,LAC,2026-01-01,,,1\n"
	for name, bad := range map[string]string{"an open quote": `A9,"9990000034,X` + "\n", "a long line": strings.Repeat("x", maxLine+1) + "\n", "Latin-1": "A9,Zo\xeb\n"} {
		s := newStore(t)
		named := strings.Replace(good, "Ada", "Siân", 1)
		r, err := take(t, s, CSV, header+named+bad+other)
		if err != nil || r.Accepted != 2 || r.Refused != 1 || len(s.quarantined) != 1 || len(s.quarantined[0].Raw) > maxLine || s.published[0].Person.GivenNames != "Siân" {
			t.Errorf("%s: %+v %v", name, r, err)
		}
	}
	json := `{"record_id":"A1","nhs_number":"9990000018","family_name":"X","date_of_birth":"2019-08-07","plan_type":"CPP","plan_start":"2026-01-01","version":1`
	for name, bad := range map[string]string{"a list": json + `,"plan_end":["2026-02-01"]}`, "an object": json + `,"sex":{}}`, "two objects": json + `} {}`, "text after": json + `} ]`,
		"withdrawn in words": json + `,"withdrawn":"yes"}`, "a long line": json + `,"given_names":"` + strings.Repeat("x", maxLine) + `"}`} {
		s := newStore(t)
		r, err := take(t, s, JSONL, bad+"\n"+strings.Replace(json, "9990000018", "9990000026", 1)+`,"plan_end":null}`)
		if err != nil || r.Accepted != 1 || r.Refused != 1 || r.Verdicts[0].Detail != "CPIS-L001" {
			t.Errorf("%s: %+v %v", name, r, err)
		}
	}
}

func TestVerdictsShowNobody(t *testing.T) {
	for _, id := range []string{"9990000018", "Canary, Ada", "\x1b]0;x\a", strings.Repeat("x", 65)} {
		r, err := take(t, newStore(t), CSV, header+strings.Replace(good, "A1", `"`+id+`"`, 1))
		if err != nil || r.Verdicts[0].RecordID != "" || r.Verdicts[0].Field != "record_id" {
			t.Errorf("%q: %+v %v", id, r.Verdicts, err)
		}
	}
	for _, v := range []any{Row{Line: 1, Fields: map[string]string{"a": "CANARY"}, Raw: []byte("CANARY")}, RefusedRow{Raw: []byte("CANARY")}} {
		text, err := json.Marshal(v)
		if shown := fmt.Sprintf("%v %+v %#v %s %x", v, v, v, text, v); err != nil || strings.Contains(shown, "CANARY") || strings.Contains(shown, "43414e") {
			t.Errorf("%T shows what it holds: %s", v, shown)
		}
	}
}

func TestAFileOfWhichNothingIsGoodIsNoLoad(t *testing.T) {
	s := newStore(t)
	if _, err := take(t, s, CSV, header+strings.Replace(good, "9990000018", "1", 1)); err != nil || !s.authorities["E06A"].LastLoadAt.IsZero() {
		t.Errorf("%v %v", s.authorities["E06A"].LastLoadAt, err)
	}
}

func FuzzFiles(f *testing.F) {
	f.Add([]byte(header+good), true)
	f.Add([]byte(`{"record_id":"A1","nhs_number":"9990000018","plan_type":"CPP","version":7}`), false)
	f.Fuzz(func(t *testing.T, text []byte, asCSV bool) {
		format := JSONL
		if asCSV {
			format = CSV
		}
		s := newStore(t)
		r, err := take(t, s, format, string(text))
		if err != nil {
			var refusal *schemas.Refusal
			if !errors.As(err, &refusal) {
				t.Errorf("%v is no refusal", err)
			}
			return
		}
		if r.Received != len(r.Verdicts) || r.Received != r.Accepted+r.Unchanged+r.Superseded+r.Refused || r.Refused != len(s.quarantined) || r.State == schemas.UploadTaken && r.Accepted > len(s.published) {
			t.Errorf("the sums do not add up: %+v", r)
		}
		var back bytes.Buffer
		if err := Annotate(&back, format, text, r.Verdicts); err != nil {
			t.Error(err)
		}
		if got, want := bytes.Count(back.Bytes(), []byte("\n")), len(slices.Collect(maps.Keys(maps.Collect(lines(text))))); got != want {
			t.Errorf("%d lines came back for %d", got, want)
		}
	})
}

func BenchmarkTake20000Rows(b *testing.B) {
	var text strings.Builder
	text.WriteString(header)
	for i := range 20_000 {
		fmt.Fprintf(&text, "A%d,%s,Example,Ada,2019-08-07,F,CPP,2026-03-03,,,1\n", i, valid(i))
	}
	for b.Loop() {
		s := newStore(b)
		if r, err := take(b, s, CSV, text.String()); err != nil || r.Accepted != 20_000 {
			b.Fatal(r.FileWords, err)
		}
	}
}

// valid is an NHS number of the 999 range; i tells it from others.
func valid(i int) string {
	for n := i * 40; ; n++ {
		s := fmt.Sprintf("999%07d", n)
		if _, err := schemas.ParseNHSNumber(s); err == nil {
			return s
		}
	}
}
