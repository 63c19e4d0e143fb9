package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
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

// asProgram makes this test binary behave as cpis itself, so that processes
// can be started and killed.
const asProgram = "BROKER_TEST_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
	}
	os.Exit(m.Run())
}

// site is one installation under test: its folder, its settings and the
// processes that run it.
type site struct {
	t     *testing.T
	dir   string
	file  string
	mllp  string
	http  string
	flags []string
	env   []string
	mu    sync.Mutex
	procs map[string]*exec.Cmd // by roles; guarded by mu
	web   map[string]string    // http address by roles
}

const siteFeed = `feeds:
  - name: ed
    application: PAS
    facility: RXX
    ods: RXX01
    setting: EMERGENCY_DEPARTMENT
    unstated_status: verified
    %s
keys:
  dir: %s
  create: true
log: {level: warn}
`

func newSite(t *testing.T, keys, reply string, env ...string) *site {
	t.Helper()
	ports, err := freePorts(4)
	if err != nil {
		t.Fatal(err)
	}
	s := &site{t: t, dir: t.TempDir(), mllp: ports[0], http: ports[1], procs: map[string]*exec.Cmd{}, web: map[string]string{}}
	if reply != "" {
		reply = "reply: {address: \"" + reply + "\", mode: full}"
	}
	s.file = filepath.Join(s.dir, "site.yaml")
	if err := os.WriteFile(s.file, fmt.Appendf(nil, siteFeed, reply, keys), 0o600); err != nil {
		t.Fatal(err)
	}
	s.flags = []string{"--config", s.file, "--data", filepath.Join(s.dir, "data")}
	s.env = append([]string{"CPIS_MLLP_LISTEN=" + ports[0], "CPIS_KAFKA_LISTEN=" + ports[2], "CPIS_REGISTRY_LISTEN=" + ports[3]}, env...)
	t.Cleanup(s.killAll)
	return s
}

// start runs a process with some roles; the first web one has the site's own
// address.
func (s *site) start(roles string) {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	address := s.web[roles]
	if address == "" {
		address = s.http
		if !strings.Contains(roles, "web") {
			ports, err := freePorts(1)
			if err != nil {
				s.t.Error(err)
				return
			}
			address = ports[0]
		}
		s.web[roles] = address
	}
	own, _, _ := strings.Cut(roles, "#") // "matcher#2" is a second process of the same role
	cmd := exec.Command(os.Args[0], append([]string{"serve", "--roles", own, "--http-listen", address}, s.flags...)...)
	cmd.Env = append(append(os.Environ(), asProgram+"=1"), s.env...)
	cmd.Stderr = s.t.Output()
	if err := cmd.Start(); err != nil {
		s.t.Error(err)
		return
	}
	s.procs[roles] = cmd
}

func (s *site) kill(roles string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if cmd := s.procs[roles]; cmd != nil {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		delete(s.procs, roles)
	}
}

func (s *site) killAll() {
	s.mu.Lock()
	var all []string
	for roles := range s.procs {
		all = append(all, roles)
	}
	s.mu.Unlock()
	for _, roles := range all {
		s.kill(roles)
	}
}

// awaitLive waits until a process answers at all.
func (s *site) awaitLive(roles string) {
	s.t.Helper()
	eventually(s.t, 30*time.Second, roles+" to be alive", func() bool {
		res, err := http.Get("http://" + s.web[roles] + "/livez")
		if err != nil {
			return false
		}
		return res.Body.Close() == nil
	})
}

// ready waits until every process answers that it is.
func (s *site) ready() {
	s.t.Helper()
	for roles, address := range s.web {
		eventually(s.t, 30*time.Second, roles+" to be ready", func() bool {
			res, err := http.Get("http://" + address + "/readyz")
			if err != nil {
				return false
			}
			_ = res.Body.Close()
			return res.StatusCode == http.StatusOK
		})
	}
}

func eventually(t *testing.T, limit time.Duration, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(limit)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("waited %s for %s", limit, what)
		}
		<-tick.C
	}
}

// cpis runs a command against the site and returns what it printed.
func (s *site) cpis(args ...string) (code int, out string) {
	s.t.Helper()
	var stdout, stderr bytes.Buffer
	code = run(context.Background(), append(args, s.flags...), strings.NewReader(""), &stdout, &stderr, s.env)
	if code != 0 {
		fmt.Fprintf(s.t.Output(), "cpis %s: exit %d\n%s", strings.Join(args, " "), code, stderr.String())
	}
	return code, stdout.String()
}

// records reads a topic through `cpis tail`.
func (s *site) records(topic string) []map[string]any {
	s.t.Helper()
	code, out := s.cpis("tail", topic, "--json", "--from", "beginning", "--until", "end")
	if code != 0 {
		s.t.Fatalf("tail %s: exit %d", topic, code)
	}
	var list []map[string]any
	d := json.NewDecoder(strings.NewReader(out))
	for {
		var r shown
		if err := d.Decode(&r); errors.Is(err, io.EOF) {
			return list
		} else if err != nil {
			s.t.Fatal(err)
		}
		if r.Value != nil {
			list = append(list, r.Value)
		}
	}
}

func (s *site) upload(authority, rows string) {
	s.t.Helper()
	contacts := filepath.Join(s.dir, "contacts.json")
	plans := filepath.Join(s.dir, "plans.csv")
	text := fmt.Sprintf(`{"authority":%q,"name":"Council %s","office_phone":"01632 960001","office_hours":"Mon-Fri 09:00-17:00","emergency_phone":"01632 960999"}`, authority, authority)
	header := "record_id,nhs_number,family_name,given_names,date_of_birth,sex,plan_type,plan_start,plan_end,expected_delivery_date,version\n"
	if err := errors.Join(os.WriteFile(contacts, []byte(text), 0o600), os.WriteFile(plans, []byte(header+rows), 0o600)); err != nil {
		s.t.Fatal(err)
	}
	for _, args := range [][]string{{"la", "upload", contacts, "--contacts"}, {"la", "upload", plans}} {
		if code, out := s.cpis(append(args, "--authority", authority, "--server", "http://"+s.http)...); code != 0 {
			s.t.Fatalf("upload: exit %d\n%s", code, out)
		}
	}
}

// send delivers messages in order, each until it is acknowledged, and reports
// how many were answered AA.
func (s *site) send(messages [][]byte) int {
	s.t.Helper()
	var conn *mllp.Client
	accepted := 0
	for _, m := range messages {
		answer, err := deliver(context.Background(), &conn, s.mllp, m, time.Minute)
		if err != nil {
			s.t.Errorf("send: %v", err)
			return accepted
		}
		a, err := hl7.Parse(answer)
		if err != nil {
			s.t.Error(err)
			return accepted
		}
		if a.Value("MSA-1") == "AA" {
			accepted++
		}
	}
	if conn != nil {
		_ = conn.Close()
	}
	return accepted
}

// balanced waits until the ledger accounts for everything.
func (s *site) balanced(limit time.Duration) {
	s.t.Helper()
	eventually(s.t, limit, "the ledger to balance", func() bool {
		var out bytes.Buffer
		return run(context.Background(), append([]string{"ledger"}, s.flags...), strings.NewReader(""), &out, io.Discard, s.env) == exitFine
	})
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

// stream is a hospital's day: every third message is about a person of the
// first 20, who are on plans.
func stream(n int) [][]byte {
	events := []string{"A04", "A01", "A03", "A08", "A04", "A05", "A31", "A04", "A11", "A28"}
	var out [][]byte
	for i := range n {
		who := 20 + i*7%150
		if i%3 == 0 {
			who = i % 20
		}
		number, born := person(who)
		out = append(out, fmt.Appendf(nil, "MSH|^~\\&|PAS|RXX|CPIS|HUB|20261124101500||ADT^%s|M%05d|P|2.4\rEVN|%s|20261124101500\rPID|1||%s^^^NHS^NH~H%d^^^RXX^MR||Family%d^Given||%s|U\rPV1|1|E|AE|||||||||||||||||V%d^^^VISITID\r",
			events[i%len(events)], i, events[i%len(events)], number, who, who, born, i/5))
	}
	return out
}

// plans are rows for the first 20 people.
func plans() string {
	var rows strings.Builder
	for i := range 20 {
		number, born := person(i)
		fmt.Fprintf(&rows, "R%d,%s,Family%d,Given,%s-%s-%s,U,%s,2026-01-02,,,1\n", i, number, i, born[:4], born[4:6], born[6:], []string{"CPP", "LAC"}[i%2])
	}
	return rows.String()
}

// ids are the values of a field, sorted, with repeats.
func ids(records []map[string]any, field string) []string {
	var out []string
	for _, r := range records {
		if r["state"] == "CHECK_FAILED" {
			continue
		}
		out = append(out, fmt.Sprint(r[field]))
	}
	slices.Sort(out)
	return out
}

// undisturbed is what a run that nothing disturbs comes to; every other run
// with the same keys must come to the same.
type undisturbed struct {
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

const streamLength = 600

func runUndisturbed(t *testing.T) *undisturbed {
	t.Helper()
	u := &undisturbed{keys: t.TempDir()}
	s := newSite(t, u.keys, "")
	s.start("intake,matcher,delivery,web")
	s.ready()
	s.upload("E06A", plans())
	if got := s.send(stream(streamLength)); got != streamLength {
		t.Fatalf("%d of %d messages answered AA", got, streamLength)
	}
	s.balanced(30 * time.Second)
	u.outcomes, u.audits = ids(s.records("outcome"), "outcome_id"), ids(s.records("audit"), "audit_id")
	flagged := 0
	for _, o := range s.records("outcome") {
		if o["state"] == "INDICATOR" {
			flagged++
		}
	}
	want, checked := 0, 0
	for i, m := range stream(streamLength) {
		msg, err := hl7.Parse(m)
		if err != nil {
			t.Fatal(err)
		}
		r, err := adt.Registration(msg, adt.Profile{Name: "ed", UnstatedStatus: "verified"})
		if err != nil {
			t.Fatal(err)
		}
		if r.Class.Checked() {
			checked++
			if i%3 == 0 {
				want++
			}
		}
	}
	if flagged != want || len(u.outcomes) != checked || len(u.audits) != checked {
		t.Errorf("%d flagged, want %d; %d outcomes and %d audit records, want %d", flagged, want, len(u.outcomes), len(u.audits), checked)
	}
	return u
}

// TestEmbeddedKilledFiftyTimes kills the whole broker with no warning, again
// and again, while a sender that gets no answer sends again.
func TestEmbeddedKilledFiftyTimes(t *testing.T) {
	u := runUndisturbed(t)
	s := newSite(t, u.keys, "")
	const all = "intake,matcher,delivery,web"
	s.start(all)
	s.ready()
	s.upload("E06A", plans())
	sent := make(chan int, 1)
	go func() { sent <- s.send(stream(streamLength)) }()
	r := rand.New(rand.NewPCG(1, 2))
	for range 50 {
		<-time.After(time.Duration(20+r.IntN(150)) * time.Millisecond)
		s.kill(all)
		s.start(all)
	}
	if got := <-sent; got != streamLength {
		t.Errorf("%d of %d messages answered AA", got, streamLength)
	}
	s.balanced(60 * time.Second)
	u.matches(s)
}

// TestEmbeddedAnswersGoBack lets the hospital's own receiver take the answers.
func TestEmbeddedAnswersGoBack(t *testing.T) {
	var mu sync.Mutex
	var got []*hl7.Message
	receiver, err := mllp.Listen(mllp.Config{Listen: "127.0.0.1:0"}, func(_ context.Context, _ mllp.ConnInfo, raw []byte) ([]byte, error) {
		m, err := hl7.Parse(raw)
		if err != nil {
			return nil, err
		}
		mu.Lock()
		defer mu.Unlock()
		got = append(got, m)
		return hl7.Ack(m, hl7.AA, hl7.AckOptions{Now: time.Now()}), nil
	}, func(context.Context, *hl7.Error, []byte) ([]byte, error) { return nil, errors.New("fault") }, (&shell{err: io.Discard}).logger(LogConfig{}))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	stopped := make(chan struct{})
	go func() { _ = receiver.Run(ctx); close(stopped) }()
	defer func() { cancel(); <-stopped }()

	s := newSite(t, t.TempDir(), receiver.Addr().String())
	s.start("intake,matcher,delivery,web")
	s.ready()
	s.upload("E06A", plans())
	s.send(stream(30))
	s.balanced(30 * time.Second)
	mu.Lock()
	defer mu.Unlock()
	flagged := 0
	for _, m := range got {
		text := ""
		for _, seg := range m.Segments {
			text += strings.Join(seg.Fields, "|") + "\r"
		}
		if strings.Contains(text, "STATE^^CPIS||INDICATOR^^CPIS") {
			flagged++
			for _, want := range []string{"AUTHORITY^^CPIS|1|E06A^Council E06A^CPIS", "OFFICE^^CPIS|1|01632 960001", "EMERGENCY^^CPIS|1|01632 960999"} {
				if !strings.Contains(text, want) {
					t.Errorf("no %q in an answer", want)
				}
			}
		}
	}
	outcomes := s.records("outcome")
	if len(got) != len(outcomes) || flagged == 0 {
		t.Errorf("%d answers, %d flagged, %d outcomes", len(got), flagged, len(outcomes))
	}
}

// TestEmbeddedBadInput ends every kind of bad input in an answer and a
// quarantine record, and the next good one flows.
func TestEmbeddedBadInput(t *testing.T) {
	s := newSite(t, t.TempDir(), "")
	s.start("intake,matcher,delivery,web")
	s.ready()
	s.upload("E06A", plans())
	good := stream(3)
	raw := func(bytes string) string {
		c, err := net.Dial("tcp", s.mllp)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close() }()
		_ = c.SetDeadline(time.Now().Add(5 * time.Second))
		if _, err := c.Write([]byte(bytes)); err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 4096)
		n, _ := c.Read(buf)
		return string(buf[:n])
	}
	for name, c := range map[string]struct{ bytes, want string }{
		"not HL7":         {"\x0bhello\x1c\r", "MSA|AR|"},
		"no PID":          {"\x0bMSH|^~\\&|PAS|RXX|||||ADT^A04|X1|P|2.4\r\x1c\r", "MSA|AE|X1"},
		"unknown sender":  {"\x0bMSH|^~\\&|WHO|ARE|YOU||||ADT^A04|X2|P|2.4\rPID|1\r\x1c\r", "MSA|AE|X2"},
		"torn, then good": {"\x0bMSH|^~\\&|PAS|RXX|||||ADT^A04|X3\x0b" + string(good[0]) + "\x1c\r", "MSA|AA|M00000"},
	} {
		if got := raw(c.bytes); !strings.Contains(got, c.want) {
			t.Errorf("%s: answered %q, want %q", name, got, c.want)
		}
	}
	if got := s.send(good[1:]); got != 2 {
		t.Errorf("%d of 2 good messages answered AA", got)
	}
	s.balanced(30 * time.Second)
	_, out := s.cpis("dlq", "ls", "--json")
	for _, code := range []string{"CPIS-H001", "CPIS-H010", "CPIS-H014", "CPIS-H004"} {
		if !strings.Contains(out, code) {
			t.Errorf("no dead letter with %s", code)
		}
	}
	if strings.Contains(out, "hello") {
		t.Error("a listing shows what was received")
	}
}

// TestEmbeddedRecording sends the recording of an independent simulator where
// CPIS_CORPUS names its folder: plans for 50 of its people are shared first.
func TestEmbeddedRecording(t *testing.T) {
	dir := os.Getenv("CPIS_CORPUS")
	if dir == "" {
		t.Log("NOT RUN: CPIS_CORPUS names no folder")
		return
	}
	text, err := os.ReadFile(filepath.Join(dir, "simhospital-1094-adt.frames.bin"))
	if err != nil {
		t.Fatal(err)
	}
	messages := splitMessages(text)
	s := newSite(t, t.TempDir(), "")
	feed, err := os.ReadFile(s.file)
	if err != nil {
		t.Fatal(err)
	}
	simulator := strings.NewReplacer("PAS", "SIMHOSP", "RXX\n", "SFAC\n").Replace(string(feed))
	if err := os.WriteFile(s.file, []byte(simulator), 0o600); err != nil {
		t.Fatal(err)
	}
	protected, rows := map[string]bool{}, ""
	want := map[string]bool{}
	for _, raw := range messages {
		m, err := hl7.Parse(raw)
		if err != nil {
			t.Fatal(err)
		}
		r, err := adt.Registration(m, adt.Profile{Name: "ed", UnstatedStatus: "verified"})
		if err != nil {
			t.Fatal(err)
		}
		n, born := r.Person.Number.Reveal(), r.Person.DateOfBirth
		if len(protected) < 50 && !protected[n] && born > "2009-01-01" {
			protected[n] = true
			rows += fmt.Sprintf("R%d,%s,%s,X,%s,U,LAC,2026-01-02,,,1\n", len(protected), n, strings.ReplaceAll(r.Person.FamilyName, ",", ""), born)
		}
		if protected[n] && r.Class.Checked() {
			want[r.ControlID] = true
		}
	}
	s.start("intake,matcher,delivery,web")
	s.ready()
	s.upload("E06A", rows)
	if got := s.send(messages); got != len(messages) {
		t.Errorf("%d of %d answered AA", got, len(messages))
	}
	s.balanced(60 * time.Second)
	for _, o := range s.records("outcome") {
		id := fmt.Sprint(o["control_id"])
		if flagged := o["state"] == "INDICATOR"; flagged != want[id] {
			t.Errorf("control id %s: %v, on a plan: %v", id, o["state"], want[id])
		}
		delete(want, id)
	}
	if len(want) > 0 {
		t.Errorf("%d registrations of protected people have no outcome", len(want))
	}
}
