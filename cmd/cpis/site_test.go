package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"cpis/connectors/hl7"

	"cpis/router/topics"
)

// asProgram makes this test binary behave as cpis itself, so that processes
// can be started and killed.
const asProgram = "BROKER_TEST_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
	}
	m.Run()
}

// site is one installation under test: its folder, its settings and the
// processes that run it.
type site struct {
	t        *testing.T
	dir      string
	mllp     string
	http     string
	registry string
	flags    []string
	env      []string
	mu       sync.Mutex
	procs    map[string]*exec.Cmd // by roles; guarded by mu
	web      map[string]string    // http address by roles
	own      bool                 // each process is a principal of its own on Kafka, the user of its role
	doors    map[string]string    // mllp address by roles
	said     transcript           // what its processes logged
}

const siteFeed = `feeds:
  - name: ed
    application: %s
    facility: %s
    ods: RXX01
    setting: EMERGENCY_DEPARTMENT
    unstated_status: verified
    %s
keys:
  dir: %s
  create: true
log: {level: warn}
`

// newSite prepares an installation for the sender of a day. reply is where its
// answers go, empty for nowhere.
func newSite(t *testing.T, d day, keys, reply string, env ...string) *site {
	t.Helper()
	ports, err := freePorts(4)
	if err != nil {
		t.Fatal(err)
	}
	s := &site{t: t, dir: t.TempDir(), mllp: ports[0], http: ports[1], registry: ports[3], procs: map[string]*exec.Cmd{}, web: map[string]string{}, doors: map[string]string{}}
	if reply != "" {
		reply = "reply: {address: \"" + reply + "\", mode: full}"
	}
	file := filepath.Join(s.dir, "site.yaml")
	if err := os.WriteFile(file, fmt.Appendf(nil, siteFeed, d.application, d.facility, reply, keys), 0o600); err != nil {
		t.Fatal(err)
	}
	s.flags = []string{"--config", file, "--data", filepath.Join(s.dir, "data")}
	s.env = append([]string{"CPIS_MLLP_LISTEN=" + ports[0], "CPIS_HTTP_LISTEN=" + ports[1], "CPIS_KAFKA_LISTEN=" + ports[2], "CPIS_REGISTRY_LISTEN=" + ports[3]}, env...)
	t.Cleanup(s.killAll)
	return s
}

// all are the roles of a process that does everything.
const all = "intake,matcher,delivery,web,audit"

// start runs a process with some roles. "matcher#2" is a second process of the
// same role. The first with a web or intake role has the site's own address for
// it, the others one of their own; a process started again has its old ones.
func (s *site) start(roles string) {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	own, _, _ := strings.Cut(roles, "#")
	web := s.address(s.web, roles, strings.Contains(own, "web"), s.http)
	door := s.address(s.doors, roles, strings.Contains(own, "intake"), s.mllp)
	cmd := exec.Command(os.Args[0], append([]string{"serve", "--roles", own, "--http-listen", web, "--mllp-listen", door}, s.flags...)...)
	cmd.Env = append(append(append(os.Environ(), asProgram+"=1"), s.env...), s.principal(own)...)
	cmd.Stderr = io.MultiWriter(s.t.Output(), &s.said)
	if err := cmd.Start(); err != nil {
		s.t.Error(err)
		return
	}
	s.procs[roles] = cmd
}

func (s *site) address(of map[string]string, roles string, wanted bool, first string) string {
	if of[roles] != "" {
		return of[roles]
	}
	if !wanted || slices.Contains(slices.Collect(maps.Values(of)), first) {
		ports, err := freePorts(1)
		if err != nil {
			s.t.Error(err)
			return ""
		}
		first = ports[0]
	}
	of[roles] = first
	return first
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

// csvHeader is that of the file of plans, as authorities have been told it.
func csvHeader() []string {
	return strings.Split("record_id,nhs_number,family_name,given_names,date_of_birth,sex,plan_type,plan_start,plan_end,expected_delivery_date,version", ",")
}

// setting is the value of an environment variable of the site.
func (s *site) setting(name string) string { return lookup(s.env, name) }

func (s *site) upload(authority, rows string) {
	s.t.Helper()
	contacts := filepath.Join(s.dir, "contacts.json")
	plans := filepath.Join(s.dir, "plans.csv")
	text := fmt.Sprintf(`{"authority":%q,"name":"Council %s","office_phone":"01632 960001","office_hours":"Mon-Fri 09:00-17:00","emergency_phone":"01632 960999"}`, authority, authority)
	header := strings.Join(csvHeader(), ",") + "\n"
	if err := errors.Join(os.WriteFile(contacts, []byte(text), 0o600), os.WriteFile(plans, []byte(header+rows), 0o600)); err != nil {
		s.t.Fatal(err)
	}
	for _, args := range [][]string{{"la", "upload", contacts, "--contacts"}, {"la", "upload", plans}} {
		if code, out := s.cpis(append(args, "--authority", authority)...); code != 0 {
			s.t.Fatalf("upload: exit %d\n%s", code, out)
		}
	}
}

// send delivers messages in order, each until it is acknowledged, and reports
// how many were answered AA. It goes round the doors, or round the site's own.
func (s *site) send(messages [][]byte, doors ...string) int {
	s.t.Helper()
	if len(doors) == 0 {
		doors = []string{s.mllp}
	}
	retry := time.Minute
	if len(doors) > 1 {
		retry = 200 * time.Millisecond // then the next door
	}
	senders := make([]*sender, len(doors))
	for i, door := range doors {
		senders[i] = &sender{to: door, retry: retry}
		defer senders[i].close()
	}
	accepted := 0
	for i, m := range messages {
		until := time.Now().Add(time.Minute)
		var answer []byte
		err := errors.New("not sent")
		for try := i; err != nil && time.Now().Before(until); try++ {
			answer, err = senders[try%len(doors)].deliver(context.Background(), m)
		}
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

// verified copies the audit log and verifies the copy, once there is a head over some
// entries.
func (s *site) verified() {
	s.t.Helper()
	copied := filepath.Join(s.t.TempDir(), "copy")
	eventually(s.t, 20*time.Second, "a signed audit log", func() bool {
		code, _ := s.cpis("audit", "copy", copied)
		return code == exitFine
	})
	if code, out := s.cpis("audit", "verify", copied); code != exitFine {
		s.t.Errorf("verify: exit %d\n%s", code, out)
	}
}

// principal is how a process proves to Kafka who it is, where each has a user of its own;
// the testbed's passwords are their names.
func (s *site) principal(name string) []string {
	if !s.own {
		return nil
	}
	user := topics.User(name)
	file := filepath.Join(s.dir, user+".password")
	if err := os.WriteFile(file, []byte(user), 0o600); err != nil {
		s.t.Error(err)
	}
	return []string{"CPIS_KAFKA_USER=" + user, "CPIS_KAFKA_PASSWORD_FILE=" + file,
		"CPIS_REDIS_URL=" + strings.Replace(s.setting("CPIS_REDIS_URL"), "redis://", "redis://"+user+":"+user+"@", 1)}
}
