package main

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"cpis/schemas"
)

// realServices gives the tests on real Apache Kafka and Redis a fresh pair of
// them. Where there are none the test is skipped and says why; with
// CPIS_REQUIRE_REAL it fails.
func realServices(t *testing.T, up ...string) (env []string) {
	t.Helper()
	if os.Getenv("CPIS_REAL_KAFKA") == "" {
		if os.Getenv("CPIS_REQUIRE_REAL") != "" {
			t.Fatal("real services are required and CPIS_REAL_KAFKA is not set: run make real")
		}
		t.Skip("SKIPPED: no real Kafka and Redis here: run make real")
	}
	testbed(t, "down")
	printed := testbed(t, "up", up...)
	for pair := range strings.FieldsSeq(printed) {
		name, value, _ := strings.Cut(pair, "=")
		if setting := map[string]string{"CPIS_REAL_KAFKA": "CPIS_KAFKA_BROKERS", "CPIS_REAL_REDIS": "CPIS_REDIS_URL"}[name]; setting != "" {
			env = append(env, setting+"="+value)
		}
	}
	return env
}

// testbed runs one of the scripts of deploy/testbed and returns what it prints.
func testbed(t *testing.T, script string, args ...string) string {
	t.Helper()
	cmd := exec.Command(filepath.Join("..", "..", "deploy", "testbed", script), args...)
	var talk bytes.Buffer
	cmd.Stderr = &talk
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("testbed %s %v: %v\n%s", script, args, err, talk.String())
	}
	return string(out)
}

// cluster is a site whose roles are separate processes on real services. The
// schema registry is that of the first process.
func cluster(t *testing.T, u *undisturbed, env []string) *site {
	t.Helper()
	s := newSite(t, u.day, u.keys, "", env...)
	s.start("web")
	s.awaitLive("web")
	s.env = append(s.env, "CPIS_REGISTRY_URL=http://"+s.registry)
	return s
}

// TestRealKilledFiftyTimes kills the separate processes of a cluster at random.
func TestRealKilledFiftyTimes(t *testing.T) {
	realKilledFiftyTimes(t, runUndisturbed(t, inventedDay()))
}

// TestRealRecording does the same with the recording of an independent
// simulator.
func TestRealRecording(t *testing.T) {
	if d, ok := recordedDay(t); ok {
		realKilledFiftyTimes(t, runUndisturbed(t, d))
	}
}

func realKilledFiftyTimes(t *testing.T, u *undisturbed) {
	s := cluster(t, u, realServices(t))
	roles := []string{"intake", "matcher", "delivery"}
	for _, r := range roles {
		s.start(r)
	}
	s.ready()
	s.share("E06A", u.plans)
	sent := make(chan int, 1)
	go func() { sent <- s.send(u.messages) }()
	r := rand.New(rand.NewPCG(3, 4))
	for range 50 {
		<-time.After(time.Duration(50+r.IntN(250)) * time.Millisecond)
		role := roles[r.IntN(len(roles))]
		s.kill(role)
		s.start(role)
	}
	if got := <-sent; got != len(u.messages) {
		t.Errorf("%d of %d messages answered AA", got, len(u.messages))
	}
	s.balanced(90 * time.Second)
	u.matches(s)
}

// TestRealServicesFail stops Kafka for 20 s, and kills, flushes and sets back
// Redis, while messages flow: nothing is lost, nobody is told "none" who is on
// a plan, and whoever was told CHECK_FAILED gets the answer.
func TestRealServicesFail(t *testing.T) {
	u := runUndisturbed(t, inventedDay())
	s := cluster(t, u, realServices(t))
	for _, r := range []string{"intake", "matcher", "delivery"} {
		s.start(r)
	}
	s.ready()
	rdb := redisClient(t)
	dump := filepath.Join(t.TempDir(), "dump.rdb")
	hundreds := slices.Collect(slices.Chunk(u.messages, 100))
	send := func(i int) {
		t.Helper()
		if got := s.send(hundreds[i]); got != 100 {
			t.Errorf("part %d: %d of 100 messages answered AA", i, got)
		}
	}
	s.share("E06A", u.plans[:10])
	send(0)
	testbed(t, "redis", "save", dump)
	s.share("E06A", u.plans[10:]) // the dump does not know of these ten people
	rdb.FlushAll(context.Background())
	send(1)
	testbed(t, "redis", "kill")
	send(2)
	testbed(t, "redis", "start")
	send(3)
	testbed(t, "redis", "restore", dump)
	send(4)
	testbed(t, "kafka", "stop")
	s.withoutKafka(hundreds[5], 20*time.Second)
	testbed(t, "kafka", "start")
	send(5)
	s.balanced(90 * time.Second)
	u.matches(s)
	s.nobodyWasMisled(u, 100)
}

func redisClient(t *testing.T) *redis.Client {
	t.Helper()
	options, err := redis.ParseURL(os.Getenv("CPIS_REAL_REDIS"))
	if err != nil {
		t.Fatal(err)
	}
	rdb := redis.NewClient(options)
	t.Cleanup(func() { _ = rdb.Close() })
	return rdb
}

// withoutKafka lets 16 senders try for a while. None is answered, early or
// late, and the process that turns them away does not grow.
func (s *site) withoutKafka(messages [][]byte, length time.Duration) {
	s.t.Helper()
	before := s.resident("intake")
	until := time.Now().Add(length)
	var wait sync.WaitGroup
	var tries atomic.Int64
	for sender := range 16 {
		wait.Go(func() {
			for i := sender; time.Now().Before(until); i += 16 {
				tries.Add(1)
				if got := unanswered(s.t, s.mllp, messages[i%len(messages)]); got != "" {
					s.t.Errorf("without Kafka a message is answered %q", got)
				}
			}
		})
	}
	wait.Wait()
	grown := s.resident("intake") - before
	s.t.Logf("%d messages without an answer, memory grew by %d KiB", tries.Load(), grown>>10)
	if grown > 16<<20 {
		s.t.Errorf("memory grew by %d KiB while Kafka was away", grown>>10)
	}
}

// resident is the memory of a process of the site, in bytes.
func (s *site) resident(roles string) int64 {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", s.procs[roles].Process.Pid))
	if err != nil {
		s.t.Fatal(err)
	}
	var size, pages int64
	if _, err := fmt.Sscan(string(text), &size, &pages); err != nil {
		s.t.Fatal(err)
	}
	return pages * int64(os.Getpagesize())
}

// nobodyWasMisled checks the answers: but for the first messages, which came
// before the plans, none says "none" of somebody on a plan; every CHECK_FAILED
// has been corrected; and the newest answer to each message, the first ones
// too, is the right one.
func (s *site) nobodyWasMisled(u *undisturbed, but int) {
	s.t.Helper()
	early := map[string]bool{}
	for _, m := range u.messages[:but] {
		early[readMessage(s.t, m).ControlID] = true
	}
	want := u.answers(s.t)
	failed, corrected, newest := map[string]bool{}, map[string]bool{}, map[string]any{}
	for _, o := range s.records("outcome") {
		id := fmt.Sprint(o["control_id"])
		if want[id] == schemas.StateIndicator && o["state"] == "NONE_SHARED" && !early[id] {
			s.t.Errorf("control id %s: somebody on a plan was told none", id)
		}
		if o["state"] != "CHECK_FAILED" {
			newest[id] = o["state"]
		} else {
			failed[fmt.Sprint(o["outcome_id"])] = true
		}
		if c, ok := o["corrects"]; ok {
			corrected[fmt.Sprint(c)] = true
		}
	}
	s.t.Logf("%d answers were CHECK_FAILED at first", len(failed))
	if len(failed) == 0 {
		s.t.Error("no check failed")
	}
	for id := range failed {
		if !corrected[id] {
			s.t.Errorf("outcome %s is CHECK_FAILED to this day", id)
		}
	}
	for id, state := range want {
		if newest[id] != string(state) {
			s.t.Errorf("control id %s: the newest answer is %v, want %s", id, newest[id], state)
		}
	}
}

// unanswered sends a message to a broker that cannot keep it, and returns what
// comes back before the connection is closed.
func unanswered(t *testing.T, to string, m []byte) string {
	t.Helper()
	c, err := net.Dial("tcp", to)
	if err != nil {
		t.Error(err)
		return ""
	}
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(15 * time.Second))
	if _, err := c.Write(append(append([]byte{0x0b}, m...), 0x1c, '\r')); err != nil {
		return "" // closed already
	}
	buf := make([]byte, 4096)
	n, err := c.Read(buf)
	if err == nil || os.IsTimeout(err) {
		t.Errorf("the connection stays open: %v", err)
	}
	return string(buf[:n])
}

// TestRealThreeShareOneFeed lets three instances share the work of one sender
// and kills one: the others take over within ten seconds, nothing is lost and
// the order is kept.
func TestRealThreeShareOneFeed(t *testing.T) {
	u := runUndisturbed(t, inventedDay())
	s := cluster(t, u, realServices(t))
	instances := []string{"intake,matcher,delivery#1", "intake,matcher,delivery#2", "intake,matcher,delivery#3"}
	var doors []string
	for _, r := range instances {
		s.start(r)
		doors = append(doors, s.doors[r])
	}
	s.ready()
	s.share("E06A", u.plans)
	half := len(u.messages) / 2
	s.send(u.messages[:half], doors...)
	s.balanced(60 * time.Second)
	s.kill(instances[1])
	killed := time.Now()
	if got := s.send(u.messages[half:], doors...); got != len(u.messages)-half {
		t.Errorf("%d of %d messages answered AA after the kill", got, len(u.messages)-half)
	}
	s.balanced(60 * time.Second)
	u.matches(s)
	s.inOrder()
	if took := s.slowest(killed); took > 10*time.Second {
		t.Errorf("an answer took %s after the kill", took)
	} else {
		t.Logf("the slowest answer after the kill took %s", took.Round(time.Millisecond))
	}
}

// slowest is the longest time from a message's acceptance to its answer, of
// those accepted since a moment.
func (s *site) slowest(since time.Time) time.Duration {
	s.t.Helper()
	var most time.Duration
	for _, o := range s.records("outcome") {
		var at [2]time.Time
		for i, field := range []string{"accepted_at", "decided_at"} {
			var err error
			if at[i], err = time.Parse(time.RFC3339Nano, fmt.Sprint(o[field])); err != nil {
				s.t.Fatal(err)
			}
		}
		if at[0].After(since) {
			most = max(most, at[1].Sub(at[0]))
		}
	}
	return most
}

// inOrder checks that the answers about each person came in the order of the
// person's registrations.
func (s *site) inOrder() {
	s.t.Helper()
	last := map[string]string{}
	for _, o := range s.records("outcome") {
		ref, ok := o["subject_ref"].(string)
		if !ok {
			continue
		}
		id := fmt.Sprint(o["control_id"])
		if last[ref] > id {
			s.t.Errorf("answer to %s after that to %s", id, last[ref])
		}
		last[ref] = id
	}
	if len(last) == 0 {
		s.t.Error("nobody to compare")
	}
}

// TestRealThreeBrokersOneKilled kills one of three brokers with no warning
// while messages flow: the two that are left in sync go on.
func TestRealThreeBrokersOneKilled(t *testing.T) {
	u := runUndisturbed(t, inventedDay())
	env := realServices(t, "--brokers", "3")
	t.Cleanup(func() { testbed(t, "down"); testbed(t, "up") }) // one broker again, for the tests after this one
	s := cluster(t, u, env)
	for _, r := range []string{"intake", "matcher", "delivery"} {
		s.start(r)
	}
	s.ready()
	s.share("E06A", u.plans)
	third := len(u.messages) / 3
	for i, then := range []string{"kill", "start", ""} {
		if got := s.send(u.messages[i*third : (i+1)*third]); got != third {
			t.Errorf("part %d: %d of %d messages answered AA", i, got, third)
		}
		if then != "" {
			testbed(t, "kafka", then, "2")
		}
	}
	s.balanced(90 * time.Second)
	u.matches(s)
	s.inOrder()
}
