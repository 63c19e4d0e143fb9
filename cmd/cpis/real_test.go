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
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// realServices gives the tests on real Apache Kafka and Redis a fresh pair of
// them. Where there are none the test is skipped and says why; with
// CPIS_REQUIRE_REAL it fails.
func realServices(t *testing.T) (env []string) {
	t.Helper()
	if os.Getenv("CPIS_REAL_KAFKA") == "" {
		if os.Getenv("CPIS_REQUIRE_REAL") != "" {
			t.Fatal("real services are required and CPIS_REAL_KAFKA is not set: run make real")
		}
		t.Skip("SKIPPED: no real Kafka and Redis here: run make real")
	}
	testbed(t, "down")
	testbed(t, "up")
	return []string{"CPIS_KAFKA_BROKERS=" + os.Getenv("CPIS_REAL_KAFKA"), "CPIS_REDIS_URL=" + os.Getenv("CPIS_REAL_REDIS")}
}

// testbed runs one of the scripts of deploy/testbed.
func testbed(t *testing.T, script string, args ...string) {
	t.Helper()
	cmd := exec.Command(filepath.Join("..", "..", "deploy", "testbed", script), args...)
	var out bytes.Buffer
	cmd.Stderr = &out
	if err := cmd.Run(); err != nil {
		t.Fatalf("testbed %s %v: %v\n%s", script, args, err, out.String())
	}
}

// cluster is a site whose roles are separate processes on real services. The
// schema registry is that of the first process.
func cluster(t *testing.T, keys string, env []string) *site {
	t.Helper()
	s := newSite(t, keys, "", env...)
	s.start("web")
	s.awaitLive("web")
	for _, e := range s.env {
		if address, ok := strings.CutPrefix(e, "CPIS_REGISTRY_LISTEN="); ok {
			s.env = append(s.env, "CPIS_REGISTRY_URL=http://"+address)
		}
	}
	return s
}

// TestRealKilledFiftyTimes kills the separate processes of a cluster at random.
func TestRealKilledFiftyTimes(t *testing.T) {
	u := runUndisturbed(t)
	s := cluster(t, u.keys, realServices(t))
	roles := []string{"intake", "matcher", "delivery"}
	for _, r := range roles {
		s.start(r)
	}
	s.ready()
	s.upload("E06A", plans())
	sent := make(chan int, 1)
	go func() { sent <- s.send(stream(streamLength)) }()
	r := rand.New(rand.NewPCG(3, 4))
	for range 50 {
		<-time.After(time.Duration(50+r.IntN(250)) * time.Millisecond)
		role := roles[r.IntN(len(roles))]
		s.kill(role)
		s.start(role)
	}
	if got := <-sent; got != streamLength {
		t.Errorf("%d of %d messages answered AA", got, streamLength)
	}
	s.balanced(90 * time.Second)
	u.matches(s)
}

// TestRealServicesFail stops Kafka for 20 s, and kills, flushes and sets back
// Redis, while messages flow: nothing is lost, and nobody is told "none" who
// is on a plan.
func TestRealServicesFail(t *testing.T) {
	u := runUndisturbed(t)
	s := cluster(t, u.keys, realServices(t))
	for _, r := range []string{"intake", "matcher", "delivery"} {
		s.start(r)
	}
	s.ready()
	s.upload("E06A", plans())
	options, err := redis.ParseURL(os.Getenv("CPIS_REAL_REDIS"))
	if err != nil {
		t.Fatal(err)
	}
	rdb := redis.NewClient(options)
	defer func() { _ = rdb.Close() }()
	ctx := context.Background()
	dump := map[string]string{}
	for _, k := range rdb.Keys(ctx, "*").Val() {
		dump[k] = rdb.Get(ctx, k).Val()
	}
	all := stream(streamLength)
	part := func(i int) {
		if got := s.send(all[i*100 : (i+1)*100]); got != 100 {
			t.Errorf("part %d: %d of 100 messages answered AA", i, got)
		}
	}
	part(0)
	rdb.FlushAll(ctx)
	part(1)
	testbed(t, "redis", "kill")
	part(2)
	testbed(t, "redis", "start")
	part(3)
	_, err = rdb.TxPipelined(ctx, func(p redis.Pipeliner) error {
		p.FlushAll(ctx)
		for k, v := range dump {
			p.Set(ctx, k, v, 0)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	part(4)
	testbed(t, "kafka", "stop")
	if got := unanswered(t, s.mllp, all[500]); got != "" {
		t.Errorf("without Kafka a message is answered %q", got)
	}
	<-time.After(20 * time.Second)
	testbed(t, "kafka", "start")
	part(5)
	s.balanced(90 * time.Second)
	u.matches(s)
	wrong := 0
	for _, o := range s.records("outcome") {
		var i int
		if _, err := fmt.Sscanf(fmt.Sprint(o["control_id"]), "M%05d", &i); err != nil {
			t.Fatal(err)
		}
		if i%3 == 0 && o["state"] == "NONE_SHARED" {
			wrong++
		}
	}
	if wrong > 0 {
		t.Errorf("%d people on a plan were told none", wrong)
	}
}

// unanswered sends a message to a broker that cannot keep it, and returns what
// comes back before the connection is closed.
func unanswered(t *testing.T, to string, m []byte) string {
	t.Helper()
	c, err := net.Dial("tcp", to)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(15 * time.Second))
	if _, err := c.Write(append(append([]byte{0x0b}, m...), 0x1c, '\r')); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 4096)
	n, err := c.Read(buf)
	if err == nil || os.IsTimeout(err) {
		t.Errorf("the connection stays open: %v", err)
	}
	return string(buf[:n])
}

// TestRealThreeShareOneFeed lets three matchers share the work and kills one:
// the others take over within ten seconds.
func TestRealThreeShareOneFeed(t *testing.T) {
	u := runUndisturbed(t)
	s := cluster(t, u.keys, realServices(t))
	for _, r := range []string{"intake", "delivery", "matcher#1", "matcher#2", "matcher#3"} {
		s.start(r)
	}
	s.ready()
	s.upload("E06A", plans())
	all := stream(streamLength)
	s.send(all[:300])
	s.balanced(60 * time.Second)
	s.kill("matcher#2")
	killed := time.Now()
	s.send(all[300:])
	s.balanced(60 * time.Second)
	t.Logf("everything answered %s after the kill", time.Since(killed).Round(time.Millisecond))
	if took := time.Since(killed); took > 15*time.Second { // 10 s to take over, and the stream itself
		t.Errorf("taking over took %s", took)
	}
	u.matches(s)
	inOrder(t, s)
}

// inOrder checks that the answers about each person came in the order of the
// person's registrations.
func inOrder(t *testing.T, s *site) {
	t.Helper()
	last := map[string]string{}
	for _, o := range s.records("outcome") {
		ref, ok := o["subject_ref"].(string)
		if !ok {
			continue
		}
		id := fmt.Sprint(o["control_id"])
		if last[ref] > id {
			t.Errorf("answer to %s after that to %s", id, last[ref])
		}
		last[ref] = id
	}
	if len(last) == 0 {
		t.Error("nobody to compare")
	}
}
