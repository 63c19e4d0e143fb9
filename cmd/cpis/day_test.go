package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"cpis/connectors/adt"
	"cpis/connectors/hl7"
	"cpis/connectors/mllp"
	"cpis/schemas"
)

// day is what a hospital sends in a day, and who of its people is on a plan.
type day struct {
	application, facility string
	messages              [][]byte
	plans                 []string // rows of an authority's file
}

// person is the n-th of the invented people.
func person(n int) (number, born string) {
	for stem := n * 13; ; stem++ {
		for check := range 10 {
			if got, err := schemas.ParseNHSNumber(fmt.Sprintf("999%06d%d", stem, check)); err == nil {
				return got.Reveal(), fmt.Sprintf("20%02d0%d1%d", 10+n%15, 1+n%9, n%10)
			}
		}
	}
}

// inventedDay has 600 messages; every third is about one of 20 people on plans.
func inventedDay() day {
	d := day{application: "PAS", facility: "RXX"}
	events := []string{"A04", "A01", "A03", "A08", "A04", "A05", "A31", "A04", "A11", "A28"}
	for i := range 600 {
		who := 20 + i*7%150
		if i%3 == 0 {
			who = i % 20
		}
		number, born := person(who)
		d.messages = append(d.messages, fmt.Appendf(nil, "MSH|^~\\&|PAS|RXX|CPIS|HUB|20261124101500||ADT^%s|M%05d|P|2.4\rEVN|%s|20261124101500\rPID|1||%s^^^NHS^NH~H%d^^^RXX^MR||Family%d^Given||%s|U\rPV1|1|E|AE||||||||||||||||V%d^^^VISITID\r",
			events[i%len(events)], i, events[i%len(events)], number, who, who, born, i)) // each its own visit: an A08 makes up for a registration
	}
	for i := range 20 {
		number, born := person(i)
		d.plans = append(d.plans, fmt.Sprintf("R%d,%s,Family%d,Given,%s-%s-%s,U,%s,2026-01-02,,,1", i, number, i, born[:4], born[4:6], born[6:], []string{"CPP", "LAC"}[i%2]))
	}
	return d
}

// recordedDay is the stream of an independent simulator, where CPIS_CORPUS
// names the folder of its recording, with plans for 50 of its people.
func recordedDay(t *testing.T) (day, bool) {
	t.Helper()
	dir := os.Getenv("CPIS_CORPUS")
	if dir == "" {
		t.Log("NOT RUN: CPIS_CORPUS names no folder")
		return day{}, false
	}
	text, err := os.ReadFile(filepath.Join(dir, "simhospital-1094-adt.frames.bin"))
	if err != nil {
		t.Fatal(err)
	}
	d := day{application: "SIMHOSP", facility: "SFAC", messages: bytesOf(splitMessages(text))}
	seen := map[string]bool{}
	for _, m := range d.messages {
		r := readMessage(t, m)
		n, born := r.Person.Number.Reveal(), r.Person.DateOfBirth
		if len(seen) < 50 && n != "" && !seen[n] && born > "2009-01-01" {
			seen[n] = true
			d.plans = append(d.plans, fmt.Sprintf("R%d,%s,%s,%s,%s,U,LAC,2026-01-02,,,1", len(seen), n, strings.ReplaceAll(r.Person.FamilyName, ",", ""), strings.ReplaceAll(r.Person.GivenNames, ",", ""), born))
		}
	}
	return d, true
}

func bytesOf(frames []mllp.Frame) (out [][]byte) {
	for _, f := range frames {
		out = append(out, f.Message)
	}
	return out
}

func readMessage(t *testing.T, raw []byte) schemas.Registration {
	t.Helper()
	m, err := hl7.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	records, err := adt.Registrations(m, &adt.Profile{Name: "ed", UnstatedStatus: "verified", Setting: schemas.SettingEmergencyDepartment})
	if err != nil {
		t.Fatal(err)
	}
	return records[0]
}

// answers says what each control id that gets an answer must be told in the
// end: INDICATOR where the person is on a plan, NONE_SHARED where not, and
// NOT_CHECKED where not and England did not issue the number (simulators invent
// them).
func (d day) answers(t *testing.T) map[string]schemas.State {
	t.Helper()
	protected := map[string]bool{}
	for _, row := range d.plans {
		protected[strings.Split(row, ",")[1]] = true
	}
	out := map[string]schemas.State{}
	for _, m := range d.messages {
		r := readMessage(t, m)
		country := r.Person.Number.Country()
		switch {
		case !r.Class.Checked() && !r.Promotable:
		case protected[r.Person.Number.Reveal()]:
			out[r.ControlID] = schemas.StateIndicator
		case country == schemas.England || country == schemas.TestRange:
			out[r.ControlID] = schemas.StateNoneShared
		default:
			out[r.ControlID] = schemas.StateNotChecked
		}
	}
	return out
}

// share uploads plans of the day for an authority.
func (s *site) share(authority string, rows []string) {
	s.t.Helper()
	s.upload(authority, strings.Join(rows, "\n")+"\n")
}

// ids are the values of a field in the first answers, sorted, with repeats:
// what was told while the check failed is none, and what follows from a plan
// that came later stands beside the first answer.
func ids(records []map[string]any, field string) []string {
	records = slices.DeleteFunc(slices.Clone(records), func(r map[string]any) bool { return r["kind"] != nil && r["kind"] != "DECISION" })
	answers := map[any]bool{}
	for _, r := range records {
		if r["state"] != "CHECK_FAILED" {
			answers[r["outcome_id"]] = true
		}
	}
	var out []string
	for _, r := range records {
		if r["state"] == "CHECK_FAILED" || answers[r["corrects"]] {
			continue
		}
		out = append(out, fmt.Sprint(r[field]))
	}
	slices.Sort(out)
	return out
}

// undisturbed is what a day comes to when nothing disturbs it; every other run
// with the same keys must come to the same.
type undisturbed struct {
	day
	keys             string
	outcomes, audits []string
}

func (u *undisturbed) matches(s *site) {
	s.t.Helper()
	if got := ids(s.records("outcome"), "outcome_id"); !slices.Equal(got, u.outcomes) {
		s.t.Errorf("%d outcomes (%d distinct), the undisturbed run has %d", len(got), len(slices.Compact(slices.Clone(got))), len(u.outcomes))
	}
	if got := ids(s.records("audit"), "audit_id"); !slices.Equal(got, u.audits) {
		s.t.Errorf("%d audit records (%d distinct), the undisturbed run has %d", len(got), len(slices.Compact(slices.Clone(got))), len(u.audits))
	}
}

// runUndisturbed sends a day and checks every answer: the one on the topic, and
// the message that goes back to the hospital.
func runUndisturbed(t *testing.T, d day) *undisturbed {
	t.Helper()
	u := &undisturbed{day: d, keys: t.TempDir()}
	back := receive(t)
	s := newSite(t, d, u.keys, back.address)
	s.start(all)
	s.ready()
	s.share("E06A", d.plans)
	if got := s.send(d.messages); got != len(d.messages) {
		t.Fatalf("%d of %d messages answered AA", got, len(d.messages))
	}
	s.balanced(60 * time.Second)
	u.outcomes, u.audits = ids(s.records("outcome"), "outcome_id"), ids(s.records("audit"), "audit_id")
	want := d.answers(t)
	if len(u.outcomes) != len(want) || len(u.audits) != len(want) {
		t.Errorf("%d outcomes and %d audit records, want %d", len(u.outcomes), len(u.audits), len(want))
	}
	for _, o := range s.records("outcome") {
		if id := fmt.Sprint(o["control_id"]); o["state"] != string(want[id]) {
			t.Errorf("control id %s: %v, want %s", id, o["state"], want[id])
		}
	}
	back.check(t, want)
	return u
}

// hospital is the receiver of a hospital's answers.
type hospital struct {
	address string
	mu      sync.Mutex
	answers map[string]string // by the control id answered: the message, segments on lines; guarded by mu
}

func receive(t *testing.T) *hospital {
	t.Helper()
	h := &hospital{answers: map[string]string{}}
	server, err := mllp.Listen(mllp.Config{Listen: "127.0.0.1:0"}, h.take, (&shell{err: io.Discard}).logger(LogConfig{}))
	if err != nil {
		t.Fatal(err)
	}
	h.address = server.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	stopped := make(chan struct{})
	go func() { _ = server.Run(ctx); close(stopped) }()
	t.Cleanup(func() { cancel(); <-stopped })
	return h
}

func (h *hospital) take(_ context.Context, _ mllp.Peer, f mllp.Frame) ([][]byte, error) {
	m, err := hl7.Parse(f.Message)
	if err != nil {
		return nil, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.answers[m.Value("OBR-2")] = string(f.Message)
	return [][]byte{hl7.Ack(m, hl7.AA, hl7.AckOptions{Now: time.Now()})}, nil
}

// check looks at every answer: those about people on a plan name the authority
// and its two numbers, and the others name nobody.
func (h *hospital) check(t *testing.T, want map[string]schemas.State) {
	t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.answers) != len(want) {
		t.Errorf("%d answers came back, want %d", len(h.answers), len(want))
	}
	for id, state := range want {
		flagged := state == schemas.StateIndicator
		for _, part := range []string{"STATE^^CPIS||INDICATOR^^CPIS", "AUTHORITY^^CPIS|1|E06A^Council E06A^CPIS", "OFFICE^^CPIS|1|01632 960001", "EMERGENCY^^CPIS|1|01632 960999"} {
			if strings.Contains(h.answers[id], part) != flagged {
				t.Errorf("the answer to control id %s has %q: %v, want %v", id, part, !flagged, flagged)
			}
		}
	}
}
