package socialcare

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"cpis/schemas"
)

// at is the good row with another version.
func at(v string) string { return strings.Replace(good, ",1\n", ","+v+"\n", 1) }

// json is a row of JSON Lines about the person of the good row.
func jsonRow(more string) string {
	return `{"record_id":"A1","nhs_number":"9990000018","family_name":"Canary","given_names":"Ada","sex":"F","date_of_birth":"2019-08-07","plan_type":"CPP","plan_start":"2026-03-03"` + more + "}\n"
}

func taken(t testing.TB, s *store, format, text string) Verdict {
	t.Helper()
	r, err := take(t, s, format, text)
	if err != nil {
		t.Fatal(err)
	}
	return r.Verdicts[0]
}

func TestVersionsDecideWhatIsNewer(t *testing.T) {
	s := newStore(t)
	ended := func(v string) string { return strings.Replace(at(v), "2026-03-03,,", "2026-03-03,2026-11-01,", 1) }
	gone := func(v string) string {
		return `{"record_id":"A1","nhs_number":"9990000018","plan_type":"CPP","version":` + v + `,"withdrawn":true,"reason":"ERROR"}` + "\n"
	}
	for i, step := range []struct {
		format, text, want string
		detail             schemas.Code
		written            int
	}{
		{CSV, header + at("2"), "new", "", 1},
		{CSV, header + at("2"), "unchanged", "", 1},
		{CSV, header + at("1"), "superseded", "CPIS-L023", 1},
		{CSV, header + at("3"), "unchanged", "", 2}, // nothing new but the version, which has to be kept
		{CSV, header + strings.Replace(at("3"), "Ada", "Eva", 1), "refused", "CPIS-L027", 2},
		{CSV, header + strings.Replace(at("4"), "Ada", "Eva", 1), "changed", "", 3},
		{CSV, header + ended("5"), "ended", "", 4},
		{CSV, header + at("4"), "superseded", "CPIS-L023", 4},
		{CSV, header + at("6"), "changed", "", 5}, // begun again
		{JSONL, gone("5"), "superseded", "CPIS-L023", 5},
		{JSONL, strings.Replace(gone("7"), "CPP", "LAC", 1), "withdrawn", "", 6}, // what it takes back is still to come
		{CSV, header + strings.Replace(at("6"), "CPP", "LAC", 1), "superseded", "CPIS-L023", 6},
		{JSONL, gone("6"), "withdrawn", "", 7},
		{JSONL, gone("6"), "unchanged", "", 7},
		{CSV, header + at("5"), "superseded", "CPIS-L023", 7}, // late: it must not come back
		{CSV, header + at("6"), "refused", "CPIS-L027", 7},
		{CSV, header + at("7"), "new", "", 8},
	} {
		v := taken(t, s, step.format, step.text)
		if v.Outcome != step.want || v.Detail != step.detail || len(s.published) != step.written {
			t.Errorf("step %d: %s %s, want %s %s; %d written, want %d", i, v.Outcome, v.Detail, step.want, step.detail, len(s.published), step.written)
		}
	}
	r, err := take(t, s, CSV, header+at("8")+at("10")+at("9"))
	if err != nil || r.Unchanged != 1 || r.Verdicts[0].Detail != "CPIS-L019" || s.published[len(s.published)-1].Version != 10 {
		t.Errorf("%+v %v", r, err)
	}
}

// TestAnyOrderEndsAlike sends the states of a record in any order, some of them more
// than once, in any number of files: the highest version stands.
func TestAnyOrderEndsAlike(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		s := newStore(t)
		highest := 0
		states := map[int]string{}
		for v := 1; v <= 6; v++ {
			row := jsonRow(fmt.Sprintf(`,"version":%d`, v))
			switch rapid.IntRange(0, 3).Draw(r, "state") {
			case 0:
				row = fmt.Sprintf(`{"record_id":"A1","nhs_number":"9990000018","plan_type":"CPP","version":%d,"withdrawn":true,"reason":"ERROR"}`+"\n", v)
			case 1:
				row = jsonRow(fmt.Sprintf(`,"version":%d,"plan_end":"2026-11-%02d"`, v, v))
			case 2:
				row = strings.Replace(row, "2026-03-03", fmt.Sprintf("2026-03-%02d", v), 1)
			}
			states[v] = row
		}
		for range rapid.IntRange(1, 6).Draw(r, "files") {
			var text strings.Builder
			for range rapid.IntRange(1, 4).Draw(r, "rows") {
				v := rapid.IntRange(1, 6).Draw(r, "version")
				highest = max(highest, v)
				text.WriteString(states[v])
			}
			if _, err := take(t, s, JSONL, text.String()); err != nil {
				r.Fatal(err)
			}
		}
		alone := newStore(t)
		if _, err := take(t, alone, JSONL, states[highest]); err != nil {
			r.Fatal(err)
		}
		const key = "E06A/ref-00018/CPP"
		got, want := s.held[key], alone.held[key]
		if got.UploadID, want.UploadID = "", ""; got.Version != want.Version || !sameRecord(got, want) || got.Withdrawn != want.Withdrawn {
			r.Errorf("%+v is not %+v", got, want)
		}
	})
}

// TestWhatIsStillSentStaysFresh: an authority that sends the same state for
// months is heard of.
func TestWhatIsStillSentStaysFresh(t *testing.T) {
	s := newStore(t)
	taken(t, s, CSV, header+good)
	s.now = s.now.Add(31 * 24 * time.Hour)
	if v := taken(t, s, CSV, header+good); v.Outcome != "unchanged" || len(s.published) != 2 || !s.published[1].ReceivedAt.Equal(s.now) {
		t.Errorf("%+v, %d written", v, len(s.published))
	}
}

func TestEndsAndWithdrawalsCarryAReason(t *testing.T) {
	for name, c := range map[string]struct {
		row, field, reason string
	}{
		"an end":                  {jsonRow(`,"version":1,"plan_end":"2026-11-01"`), "", "PLAN_ENDED"},
		"an end with a reason":    {jsonRow(`,"version":1,"plan_end":"2026-11-01","reason":"moved"`), "", "MOVED"},
		"a withdrawal's reason":   {jsonRow(`,"version":1,"plan_end":"2026-11-01","reason":"ERROR"`), "reason", ""},
		"a reason without cause":  {jsonRow(`,"version":1,"reason":"MOVED"`), "reason", ""},
		"withdrawn without":       {jsonRow(`,"version":1,"withdrawn":true`), "reason", ""},
		"withdrawn with an end's": {jsonRow(`,"version":1,"withdrawn":true,"reason":"MOVED"`), "reason", ""},
	} {
		s := newStore(t)
		v := taken(t, s, JSONL, c.row)
		if v.Field != c.field || c.field != "" && v.Detail != "CPIS-L026" || c.reason != "" && s.published[0].Reason != c.reason {
			t.Errorf("%s: %+v", name, v)
		}
	}
	s := newStore(t)
	wide := "record_id,nhs_number,family_name,given_names,date_of_birth,sex,plan_type,plan_start,plan_end,expected_delivery_date,version,withdrawn,reason\n"
	taken(t, s, CSV, wide+strings.Replace(good, ",1\n", ",1,,\n", 1))
	if v := taken(t, s, CSV, wide+"A1,9990000018,,,,,CPP,,,,2,yes,wrong_person\n"); v.Outcome != "withdrawn" {
		t.Errorf("a spreadsheet withdraws: %+v", v)
	}
}

// TestACorrectedNumberTakesTheOldOneBack: whoever has the wrong number must not
// stay flagged, and the two must not be tied together.
func TestACorrectedNumberTakesTheOldOneBack(t *testing.T) {
	s := newStore(t)
	taken(t, s, CSV, header+good)
	r, err := take(t, s, CSV, header+strings.Replace(at("2"), "9990000018", "9990000026", 1))
	if err != nil || r.New != 1 || len(r.Notes) != 1 || r.Notes[0].Code != "CPIS-L110" {
		t.Fatalf("%+v %v", r, err)
	}
	old := s.held["E06A/ref-00018/CPP"]
	if !old.Withdrawn || old.Reason != "NUMBER_CORRECTED" || s.held["E06A/ref-00026/CPP"].Withdrawn || old.UploadID == s.held["E06A/ref-00026/CPP"].UploadID {
		t.Errorf("%+v", old)
	}
	r, err = take(t, newStore(t), CSV, header+good+strings.Replace(good, "9990000018", "9990000026", 1))
	if err != nil || r.Refused != 2 || r.Verdicts[0].Detail != "CPIS-L028" {
		t.Errorf("one id, two numbers: %+v %v", r, err)
	}
}

func TestFilesAreNumbered(t *testing.T) {
	s := newStore(t)
	send := func(sequence int64, text string) (Result, error) {
		return service(t, s).Take(context.Background(), Request{Authority: "E06A", Format: CSV, Body: strings.NewReader(text), Sequence: sequence})
	}
	for _, step := range []struct {
		sequence  int64
		text      string
		note, not schemas.Code
	}{
		{1, header + good, "", ""},
		{1, header + good, "CPIS-L107", ""}, // again
		{1, header + at("2"), "", "CPIS-L029"},
		{2, header + at("2"), "", ""},
		{5, header + at("5"), "CPIS-L108", ""},
		{3, header + at("3"), "CPIS-L109", ""},
	} {
		r, err := send(step.sequence, step.text)
		var refusal *schemas.Refusal
		if errors.As(err, &refusal) != (step.not != "") || step.not != "" && refusal.Code != step.not {
			t.Errorf("file %d: %v", step.sequence, err)
		}
		if (len(r.Notes) > 0) != (step.note != "") || step.note != "" && r.Notes[0].Code != step.note {
			t.Errorf("file %d: notes %+v", step.sequence, r.Notes)
		}
	}
	if s.authorities["E06A"].Sequence != 5 || s.held["E06A/ref-00018/CPP"].Version != 5 {
		t.Errorf("%+v", s.authorities["E06A"])
	}
	_, err := service(t, s).Take(context.Background(), Request{Authority: "E06A", Format: CSV, Body: strings.NewReader(header + good), Records: 2})
	var refusal *schemas.Refusal
	if !errors.As(err, &refusal) || refusal.Location != "records" {
		t.Errorf("a count that is wrong: %v", err)
	}
}

// demographics are what a national service would know.
type demographics map[string]Traced

func (d demographics) Trace(_ context.Context, numbers []schemas.NHSNumber) (map[schemas.NHSNumber]Traced, error) {
	if d == nil {
		return nil, errors.New("not reachable")
	}
	out := map[schemas.NHSNumber]Traced{}
	for _, n := range numbers {
		if t, ok := d[n.Reveal()]; ok {
			out[n] = t
		}
	}
	return out, nil
}

func TestRecordsAreHeldAgainstTheDemographics(t *testing.T) {
	known := func(status, family, given, born string) demographics {
		return demographics{"9990000018": {status, schemas.Person{FamilyName: family, GivenNames: given, DateOfBirth: schemas.Date(born)}}}
	}
	for name, c := range map[string]struct {
		known       demographics
		code, field string
	}{
		"all given names":           {known(TracedFound, "CANARY", "ADA", "2019-08-07"), "CPR06", ""},
		"the first of several":      {known(TracedFound, "Canary", "Ada Jane", "2019-08-07"), "CPR06", ""},
		"the first is another's":    {known(TracedFound, "Canary", "Jane Ada", "2019-08-07"), "CPR06", ""},
		"nobody":                    {demographics{}, "CPR01", "nhs_number"},
		"sensitive":                 {known(TracedSensitive, "", "", ""), "CPR02", "nhs_number"},
		"another family name":       {known(TracedFound, "Finch", "Ada", "2019-08-07"), "CPR03", "family_name"},
		"another given name":        {known(TracedFound, "Canary", "Eva", "2019-08-07"), "CPR03", "given_names"},
		"another date of birth":     {known(TracedFound, "Canary", "Ada", "2019-07-08"), "CPR03", "date_of_birth"},
		"superseded":                {known(TracedSuperseded, "Canary", "Ada", "2019-08-07"), "CPR05", "nhs_number"},
		"signs and hyphens are one": {known(TracedFound, "CANARY", "A.D.A", "2019-08-07"), "CPR06", ""},
	} {
		s := newStore(t)
		v := service(t, s)
		v.config.Demographics = c.known
		r, err := v.Take(context.Background(), Request{Authority: "E06A", Format: CSV, Body: strings.NewReader(header + good)})
		if err != nil || r.Verdicts[0].Code != c.code || r.Verdicts[0].Field != c.field || (c.code == "CPR06") != (len(s.published) == 1) {
			t.Errorf("%s: %+v %v", name, r, err)
		}
		if want := int64(len(s.published)); s.authorities["E06A"].Matched != want {
			t.Errorf("%s: %d matched", name, s.authorities["E06A"].Matched)
		}
	}
	s := newStore(t)
	v := service(t, s)
	v.config.Demographics = demographics(nil)
	if _, err := v.Take(context.Background(), Request{Authority: "E06A", Format: CSV, Body: strings.NewReader(header + good)}); !errors.Is(err, errLater) || len(s.published) > 0 {
		t.Errorf("not reachable: %v", err)
	}
	// What was shared before the record became sensitive is taken back.
	taken(t, s, CSV, header+good)
	v.config.Demographics = known(TracedSensitive, "", "", "")
	if _, err := v.Take(context.Background(), Request{Authority: "E06A", Format: CSV, Body: strings.NewReader(header + at("2"))}); err != nil || !s.held["E06A/ref-00018/CPP"].Withdrawn {
		t.Errorf("%v", err)
	}
}
