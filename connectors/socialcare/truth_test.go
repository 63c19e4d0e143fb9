package socialcare

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

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
		{JSONL, strings.Replace(gone("7"), "CPP", "LAC", 1), "unchanged", "", 5}, // there is none
		{JSONL, gone("6"), "withdrawn", "", 6},
		{JSONL, gone("6"), "unchanged", "", 6},
		{CSV, header + at("5"), "superseded", "CPIS-L023", 6}, // late: it must not come back
		{CSV, header + at("6"), "refused", "CPIS-L027", 6},
		{CSV, header + at("7"), "new", "", 7},
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

// plans is a file of n plans, from the first on, as they stand with a version.
func plans(from, n int, version int, end string) string {
	var b strings.Builder
	b.WriteString(header)
	for i := from; i < from+n; i++ {
		fmt.Fprintf(&b, "R%d,%s,Example,Ada,2019-08-07,F,CPP,2026-03-03,%s,,%d\n", i, valid(i), end, version)
	}
	return b.String()
}

func liveIn(s *store) int {
	n := 0
	for _, i := range s.held {
		if live(i, "2026-11-24") && i.PlanEnd == "" {
			n++
		}
	}
	return n
}

// TestAFilterMistakeWaitsForASecondPerson ends plans in one file.
func TestAFilterMistakeWaitsForASecondPerson(t *testing.T) {
	ctx := context.Background()
	s := newStore(t)
	if _, err := take(t, s, CSV, plans(0, 50, 1, "")); err != nil {
		t.Fatal(err)
	}
	if r, err := take(t, s, CSV, plans(0, 10, 2, "2026-11-01")); err != nil || r.Ended != 10 || r.State != schemas.UploadTaken {
		t.Fatalf("a fifth may: %+v %v", r, err)
	}
	if r, err := take(t, s, CSV, plans(10, 1, 2, "2026-11-01")); err != nil || r.State != schemas.UploadTaken {
		t.Fatal(r, err) // by another process: nothing is known of the hour
	}
	mass := plans(11, 9, 3, "2026-11-01")
	check, err := service(t, s).Take(ctx, Request{Authority: "E06A", Format: CSV, Body: strings.NewReader(mass), Check: true})
	if err != nil || check.State != schemas.UploadWaiting || !check.Check || check.Hidden != 9 || check.Live != 39 || len(s.uploads) != 3 {
		t.Fatalf("a check says that it would wait: %+v %v", check, err)
	}
	r, err := take(t, s, CSV, mass)
	if err != nil || r.State != schemas.UploadWaiting || r.FileCode != "" || liveIn(s) != 39 {
		t.Fatalf("more than a fifth: %+v %v", r, err)
	}
	if again, err := take(t, s, CSV, mass); err != nil || again.State != schemas.UploadWaiting || again.UploadID != r.UploadID || liveIn(s) != 39 {
		t.Errorf("sent again: %+v %v", again, err)
	}
	var refusal *schemas.Refusal
	for _, by := range []string{"", "a"} {
		if _, err := service(t, s).Approve(ctx, "E06A", r.UploadID, by); !errors.As(err, &refusal) || refusal.Code != "CPIS-L033" {
			t.Errorf("approved by %q: %v", by, err)
		}
	}
	if done, err := service(t, s).Approve(ctx, "E06A", r.UploadID, "b"); err != nil || done.Ended != 9 || done.State != schemas.UploadTaken || liveIn(s) != 30 {
		t.Errorf("%+v %v", done, err)
	}
	if _, err := service(t, s).Approve(ctx, "E06A", r.UploadID, "b"); !errors.As(err, &refusal) || refusal.Code != "CPIS-L032" {
		t.Errorf("approved twice: %v", err)
	}
	other := plans(20, 20, 4, "2026-11-02")
	if r, err = take(t, s, CSV, other); err != nil || r.State != schemas.UploadWaiting {
		t.Fatal(r, err)
	}
	if err := service(t, s).Cancel(ctx, "E06A", r.UploadID, "a"); err != nil || liveIn(s) != 30 {
		t.Error(err)
	}
	if _, err := take(t, s, CSV, other); !errors.As(err, &refusal) || refusal.Code != "CPIS-L030" {
		t.Errorf("a copy of a cancelled file: %v", err)
	}
	if r, err := take(t, newStore(t), CSV, plans(0, 50, 1, "2026-11-01")); err != nil || r.State != schemas.UploadTaken {
		t.Errorf("new plans that have ended hide nothing: %+v %v", r, err)
	}
}

// TestManySmallFilesAreOneMistake: a stream that ends one plan at a time.
func TestManySmallFilesAreOneMistake(t *testing.T) {
	s := newStore(t)
	v := service(t, s)
	if _, err := take(t, s, CSV, plans(0, 20, 1, "")); err != nil {
		t.Fatal(err)
	}
	end := func(i int) schemas.UploadState {
		t.Helper()
		r, err := v.Take(context.Background(), Request{Authority: "E06A", Format: CSV, Body: strings.NewReader(plans(i, 1, 2, "2026-11-01")), Stream: true})
		if err != nil {
			t.Fatal(err)
		}
		return r.State
	}
	for i := range 4 {
		if got := end(i); got != schemas.UploadTaken {
			t.Errorf("plan %d: %s", i, got)
		}
	}
	if got := end(4); got != schemas.UploadWaiting || liveIn(s) != 16 {
		t.Errorf("the fifth of twenty: %s", got)
	}
	s.now = s.now.Add(2 * time.Hour)
	if got := end(5); got != schemas.UploadTaken {
		t.Errorf("two hours later: %s", got)
	}
}

// TestWithdrawalsCountAsMass: taking back hides as much as ending does.
func TestWithdrawalsCountAsMass(t *testing.T) {
	s := newStore(t)
	if _, err := take(t, s, CSV, plans(0, 20, 1, "")); err != nil {
		t.Fatal(err)
	}
	var gone strings.Builder
	for i := range 5 {
		fmt.Fprintf(&gone, `{"record_id":"R%d","nhs_number":%q,"plan_type":"CPP","version":2,"withdrawn":true,"reason":"ERROR"}`+"\n", i, valid(i))
	}
	if r, err := take(t, s, JSONL, gone.String()); err != nil || r.State != schemas.UploadWaiting || liveIn(s) != 20 {
		t.Errorf("%+v %v", r, err)
	}
}

func TestOnlyAFullSnapshotEndsByAbsence(t *testing.T) {
	ctx := context.Background()
	s := newStore(t)
	all := plans(0, 20, 1, "")
	if _, err := take(t, s, CSV, all); err != nil {
		t.Fatal(err)
	}
	if r, err := take(t, s, CSV, plans(0, 17, 2, "")); err != nil || r.Absent != 0 || liveIn(s) != 20 {
		t.Fatalf("an ordinary file: %+v %v", r, err)
	}
	full := func(text string) (Result, error) {
		return service(t, s).Take(ctx, Request{Authority: "E06A", Format: CSV, Body: strings.NewReader(text), Full: true, By: "a"})
	}
	// One row is bad: its plan must stay. Three are not there: they end.
	bad := strings.Replace(plans(0, 17, 3, ""), "R16,"+valid(16), "R16,123", 1)
	r, err := full(bad)
	if err != nil || r.Absent != 3 || r.Refused != 1 || liveIn(s) != 17 {
		t.Fatalf("%+v %v", r, err)
	}
	for _, i := range s.held {
		if i.PlanEnd != "" && (i.PlanEnd != "2026-11-24" || i.Reason != "NOT_IN_SNAPSHOT" || i.Person.FamilyName == "") {
			t.Errorf("%+v", i)
		}
	}
	if r, err := take(t, s, CSV, all); err != nil || r.Changed != 3 || r.Superseded != 17 || liveIn(s) != 20 {
		t.Errorf("they come back with any file that holds them: %+v %v", r, err)
	}
	var refusal *schemas.Refusal
	if _, err := full(strings.Replace(plans(0, 17, 4, ""), "R16,"+valid(16), "R 16,123", 1)); !errors.As(err, &refusal) || refusal.Code != "CPIS-L034" {
		t.Errorf("a row of which nobody can tell whose it is: %v", err)
	}
	if r, err := full(plans(0, 5, 9, "")); err != nil || r.State != schemas.UploadWaiting {
		t.Errorf("a full file that is cut short waits: %+v %v", r, err)
	}
}

func TestASnapshotInSeveralFiles(t *testing.T) {
	ctx := context.Background()
	s := newStore(t)
	v := service(t, s)
	if _, err := take(t, s, CSV, plans(0, 20, 1, "")); err != nil {
		t.Fatal(err)
	}
	s.now = s.now.Add(time.Minute)
	u, err := v.Begin(ctx, "E06A", "a")
	if err != nil {
		t.Fatal(err)
	}
	part := func(from, n int) {
		t.Helper()
		if _, err := v.Take(ctx, Request{Authority: "E06A", Format: CSV, Body: strings.NewReader(plans(from, n, 1, "")), Snapshot: u.UploadID}); err != nil {
			t.Fatal(err)
		}
	}
	var refusal *schemas.Refusal
	if _, err := v.Finish(ctx, "E06A", u.UploadID, false); !errors.As(err, &refusal) || refusal.Code != "CPIS-L034" || liveIn(s) != 20 {
		t.Errorf("an empty snapshot ends nothing: %v", err)
	}
	part(0, 9)
	part(9, 8)
	s.now = s.now.Add(time.Minute)
	if _, err := take(t, s, CSV, plans(30, 1, 1, "")); err != nil { // comes meanwhile, in another way
		t.Fatal(err)
	}
	if r, err := v.Finish(ctx, "E06A", u.UploadID, true); err != nil || !r.Check || r.Absent != 3 || liveIn(s) != 21 {
		t.Errorf("a check: %+v %v", r, err)
	}
	if r, err := v.Finish(ctx, "E06A", u.UploadID, false); err != nil || r.Absent != 3 || liveIn(s) != 18 {
		t.Errorf("%+v %v", r, err)
	}
	if _, err := v.Finish(ctx, "E06A", u.UploadID, false); !errors.As(err, &refusal) || refusal.Code != "CPIS-L032" {
		t.Errorf("committed twice: %v", err)
	}
	if out, err := v.Undo(ctx, "E06A", u.UploadID, "b"); err != nil || out.Restored != 3 || liveIn(s) != 21 {
		t.Errorf("undone: %+v %v", out, err)
	}
}

func TestUndo(t *testing.T) {
	ctx := context.Background()
	s := newStore(t)
	if _, err := take(t, s, CSV, plans(0, 10, 1, "")); err != nil {
		t.Fatal(err)
	}
	before := s.held["E06A/ref-"+valid(0)[5:]+"/CPP"]
	r, err := take(t, s, CSV, plans(0, 2, 2, "2026-11-01")+strings.TrimPrefix(plans(20, 1, 1, ""), header)+strings.TrimPrefix(plans(5, 1, 2, "2026-11-02"), header))
	if err != nil || r.Ended != 3 || r.New != 1 {
		t.Fatalf("%+v %v", r, err)
	}
	if _, err := take(t, s, CSV, plans(5, 1, 3, "")); err != nil { // changed since
		t.Fatal(err)
	}
	var refusal *schemas.Refusal
	if _, err := service(t, s).Undo(ctx, "E06A", r.UploadID, ""); !errors.As(err, &refusal) || refusal.Code != "CPIS-L033" {
		t.Errorf("by nobody: %v", err)
	}
	out, err := service(t, s).Undo(ctx, "E06A", r.UploadID, "a")
	if err != nil || out.Restored != 2 || out.Removed != 1 || out.Kept != 1 || liveIn(s) != 10 {
		t.Errorf("%+v %v", out, err)
	}
	after := s.held["E06A/ref-"+valid(0)[5:]+"/CPP"]
	if after.Version != before.Version || after.UploadID != before.UploadID || after.Person != before.Person || after.PlanEnd != "" {
		t.Errorf("%+v is not %+v", after, before)
	}
	if _, err := service(t, s).Undo(ctx, "E06A", r.UploadID, "a"); !errors.As(err, &refusal) || refusal.Code != "CPIS-L032" {
		t.Errorf("undone twice: %v", err)
	}
	first := ""
	for id, u := range s.uploads {
		if len(u.Counts) > 0 && u.Counts[0].Name == "new" && u.Counts[0].Count == 10 {
			first = id
		}
	}
	if _, err := service(t, s).Undo(ctx, "E06A", first, "a"); !errors.As(err, &refusal) || refusal.Code != "CPIS-L033" {
		t.Errorf("undoing nine of ten plans needs somebody else: %v", err)
	}
	if out, err := service(t, s).Undo(ctx, "E06A", first, "b"); err != nil || out.Removed != 9 || out.Kept != 1 {
		t.Errorf("%+v %v", out, err)
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
