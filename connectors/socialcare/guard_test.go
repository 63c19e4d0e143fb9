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
	if check, err := service(t, s).Take(ctx, Request{Authority: "E06A", Format: CSV, Body: strings.NewReader(mass), Check: true}); err != nil || check.Ended != 9 {
		t.Errorf("a check of a file that waits: %+v %v", check, err)
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
	r, err := take(t, s, JSONL, gone.String())
	if err != nil || r.State != schemas.UploadWaiting || liveIn(s) != 20 || r.Withdrawn != 5 {
		t.Errorf("%+v %v", r, err)
	}
	for _, v := range r.Verdicts {
		if v.Code == codeTaken || v.Outcome != outcomeWaiting || v.Detail != "CPIS-L031" {
			t.Errorf("a row that waits is said to be in: %+v", v)
		}
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
	waiting, err := v.Take(ctx, Request{Authority: "E06A", Format: CSV, Body: strings.NewReader(plans(0, 9, 2, "2026-11-01")), Snapshot: u.UploadID, By: "a"})
	if err != nil || waiting.State != schemas.UploadWaiting {
		t.Fatal(waiting, err)
	}
	if _, err := v.Finish(ctx, "E06A", u.UploadID, false); !errors.As(err, &refusal) || refusal.Code != "CPIS-L034" || liveIn(s) != 20 {
		t.Errorf("while a part waits: %v", err)
	}
	if err := v.Cancel(ctx, "E06A", waiting.UploadID, "a"); err != nil {
		t.Fatal(err)
	}
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
