package main

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"cpis/matching/index"
	"cpis/schemas"
)

// TestRealEachRoleAsItself runs each role as a principal of its own, with the rights that
// are rendered from the table and no other: the day comes to what it comes to, its audit
// log verifies, and none of them may do what another does.
func TestRealEachRoleAsItself(t *testing.T) {
	u := runUndisturbed(t, inventedDay())
	env := realServices(t)
	kafkaAt := lookup(env, "CPIS_KAFKA_BROKERS")
	s := newSite(t, u.day, u.keys, "", env...)
	if code, out := s.cpis("topics", "acls", "--apply"); code != exitFine { // as whoever may do everything
		t.Fatalf("acls: exit %d %s", code, out)
	}
	host, port, err := net.SplitHostPort(kafkaAt)
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	rdb := redisClient(t)
	for _, user := range index.Users() {
		rule := []any{"ACL", "SETUSER"}
		for word := range strings.FieldsSeq(user.Rule(user.Name())) {
			rule = append(rule, word)
		}
		if err := rdb.Do(t.Context(), rule...).Err(); err != nil {
			t.Fatalf("%v: %v", rule, err)
		}
	}
	s.own = true
	s.env = append(s.env, "CPIS_KAFKA_BROKERS="+net.JoinHostPort(host, strconv.Itoa(n+2)))
	redisAt := s.setting("CPIS_REDIS_URL")
	operator := s.principal("operator")
	s.env = append(s.env, operator...)
	if code, out := s.cpis("topics", "apply"); code != exitFine {
		t.Fatalf("apply: exit %d %s", code, out)
	}
	// With people who sign in the web role reads what their pages show.
	config := filepath.Join(s.dir, "site.yaml")
	text, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(config, append(text, "\nsignin: {issuer: \"https://127.0.0.1:1\", client_id: hub, secret_file: /nowhere, public: \"https://127.0.0.1:1\"}\n"...), 0o600); err != nil {
		t.Fatal(err)
	}
	s.start("web")
	s.awaitLive("web")
	s.env = append(s.env, "CPIS_REGISTRY_URL=http://"+s.registry)
	for _, role := range []string{"intake", "matcher", "delivery", "audit"} {
		s.start(role)
	}
	s.ready()
	s.share("E06A", u.plans)
	if got := s.send(u.messages); got != len(u.messages) {
		t.Errorf("%d of %d messages answered AA", got, len(u.messages))
	}
	s.balanced(90 * time.Second)
	u.matches(s)
	if said := s.said.String(); strings.Contains(said, "uthorization") {
		t.Errorf("a process complains of its rights:\n%s", said[max(0, strings.Index(said, "uthorization")-300):])
	}
	for _, user := range index.Users() {
		options, err := redis.ParseURL(redisAt)
		if err != nil {
			t.Fatal(err)
		}
		options.Username, options.Password = user.Name(), user.Name()
		own := redis.NewClient(options)
		for _, command := range [][]any{{"EVAL", "return 1", 0}, {"FLUSHALL"}, {"KEYS", "*"}, {"CONFIG", "GET", "*"}, {"GET", "other"}, {"SET", "other", "1"}, {"ACL", "LIST"}, {"SUBSCRIBE", "x"}, {"MONITOR"}, {"FUNCTION", "LIST"}, {"SCRIPT", "FLUSH"}} {
			if err := own.Do(t.Context(), command...).Err(); err == nil || !strings.Contains(err.Error(), "NOPERM") {
				t.Errorf("%s may %v: %v", user.Name(), command, err)
			}
		}
		if err := own.Do(t.Context(), "SET", "cpis:marker", "forged").Err(); user.Role != "matcher" && err == nil {
			t.Errorf("%s writes the index", user.Name())
		}
		_ = own.Close()
	}
	s.ready() // the index is built anew where the matcher's own user forged it
	s.verified()
	s.env = append(s.env, s.principal("analyst")...)
	if code, _ := s.cpis("tail", "registration", "--from", "beginning", "--until", "end"); code == exitFine {
		t.Error("an analyst reads registrations")
	}
	if code, out := s.cpis("tail", "audit", "--from", "beginning", "--until", "end", "--json"); code != exitFine || !strings.Contains(out, "DECISION") {
		t.Errorf("an analyst reads the audit topic: exit %d", code)
	}
}

// TestRealKeysChangeUnderLoad changes the keys of pseudonyms, of the authority and of
// registrations step by step while separate processes work: whoever is on a plan is told
// so throughout.
func TestRealKeysChangeUnderLoad(t *testing.T) {
	u := runUndisturbed(t, inventedDay())
	s := cluster(t, u, realServices(t))
	for _, r := range []string{"intake", "matcher", "delivery"} {
		s.start(r)
	}
	s.ready()
	s.share("E06A", u.plans)
	sent := make(chan int, 1)
	go func() {
		n := 0
		for part := range slices.Chunk(u.messages, 20) { // as long as the steps take
			n += s.send(part)
			<-time.After(time.Second)
		}
		sent <- n
	}()
	added := map[string]string{}
	sets := []string{schemas.KeysSubject, "la/E06A", schemas.KeysRegistration}
	for _, set := range sets {
		code, out := s.cpis("keys", "add", set)
		if code != exitFine {
			t.Fatalf("add %s: exit %d", set, code)
		}
		added[set] = strings.TrimSpace(out)
	}
	<-time.After(7 * time.Second) // every process has read them
	for _, set := range sets {
		if code, out := s.cpis("keys", "promote", set, added[set]); code != exitFine {
			t.Errorf("promote %s: exit %d %s", set, code, out)
		}
	}
	if got := <-sent; got != len(u.messages) {
		t.Errorf("%d of %d messages answered AA", got, len(u.messages))
	}
	s.balanced(90 * time.Second)
	eventually(t, 30*time.Second, "the plans to be written anew", func() bool {
		code, out := s.cpis("keys", "list", "--json")
		var list []keyUse
		return code == exitFine && json.Unmarshal([]byte(out), &list) == nil &&
			!slices.ContainsFunc(list, func(k keyUse) bool { return k.Set == "la/E06A" && !k.Primary && k.Needed > 0 })
	})
	want := u.answers(t)
	told := map[string]map[string]bool{}
	for _, o := range s.records("outcome") {
		id := fmt.Sprint(o["control_id"])
		if told[id] == nil {
			told[id] = map[string]bool{}
		}
		told[id][fmt.Sprint(o["state"])] = true
	}
	for id, state := range want {
		delete(told[id], string(schemas.StateCheckFailed))
		if len(told[id]) != 1 || !told[id][string(state)] {
			t.Errorf("control id %s: told %v, want %s", id, told[id], state)
		}
	}
}
