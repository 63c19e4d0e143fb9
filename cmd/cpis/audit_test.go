package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"cpis/connectors/identity"
	"cpis/router"
	"cpis/router/topics"
	"cpis/schemas"
)

// TestTheAuditLogInAUsersHands does what SECURITY.md says a trust or an authority can
// do: witness the log of a broker, copy it, verify the copy, and see a change found.
func TestTheAuditLogInAUsersHands(t *testing.T) {
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	var out strings.Builder
	s := &shell{out: &out, err: &out}
	keygen := s.auditKeygen()
	keygen.SetArgs([]string{in("witness.key"), "aford.example.org"})
	if err := keygen.Execute(); err != nil {
		t.Fatal(err)
	}
	witness := strings.TrimSpace(out.String())
	h := newHospital(t, t.TempDir(), fmt.Sprintf("audit: {name: broker.example.org, witnesses: [%q]}\n", witness), "")
	h.upload(samples("contacts.json"), "--contacts")
	h.upload(samples("plans.csv"))
	h.register()
	eventually(t, 20*time.Second, "the answer", h.answered("STATE^^CPIS||INDICATOR^^CPIS"))
	want := func(code int, says string, args ...string) string {
		t.Helper()
		got, text := h.cli("", args...)
		if got != code || !regexp.MustCompile(says).MatchString(text) {
			t.Fatalf("%v: exit %d\n%s", args, got, text)
		}
		return text
	}
	if answer, err := h.conn.Send(t.Context(), []byte("MSH|^~\\&|OTHER|RXX01|||20260101||ADT^A04^ADT_A01|9|P|2.4\rPID|1\r")); err != nil || !strings.Contains(string(answer), "MSA|A") {
		t.Fatalf("%q %v", answer, err)
	}
	key := strings.TrimSpace(want(exitFine, `^broker\.example\.org\+`, "audit", "key"))
	eventually(t, 20*time.Second, "a signed head", func() bool {
		code, text := h.cli("", "audit", "witness", in("seen"), "--key", in("witness.key"), "--log-key", key, "--server", h.web, "--once")
		return code == exitFine && strings.Contains(text, "signed") && !strings.Contains(text, "signed 0")
	})
	if text, err := os.ReadFile(in("seen/0.checkpoint")); err != nil || !strings.Contains(string(text), "— aford.example.org ") {
		t.Errorf("%s %v", text, err)
	}
	want(exitFine, `log 0: \d+ entries`, "audit", "copy", in("copy"))
	want(exitFine, `findings: 0`, "audit", "verify", in("copy"), "--key", key, "--witness", witness, "--cosigned-by", "0", "--against", in("seen/0.checkpoint"))
	want(exitFine, `"findings": \[\]`, "audit", "verify", in("copy"), "--json")
	want(exitUsage, `public key`, "audit", "verify", in("copy"), "--key", "nonsense")
	want(exitUsage, `no copy`, "audit", "verify", in("seen"), "--key", key)
	told := want(exitFine, `DECISION`, "tail", "audit", "--from", "beginning", "--until", "end", "--json")
	for _, kind := range []string{`"kind":"CHANGE"[^\n]*"subject_ref"`, `"action":"plan.shared"[^\n]*"kind":"CHANGE"`, `"action":"file.taken"[^\n]*"organisation":"E06A"`, `"action":"contacts.set"`, `"action":"message.refused"[^\n]*"code":"CPIS-H`,
		`"kind":"DECISION"[^\n]*"stream":"HISTORY"`, `"action":"audit.copied"[^\n]*"actor":"\[sealed`} {
		if !regexp.MustCompile(kind).MatchString(told) {
			t.Errorf("%s is not on record:\n%s", kind, told)
		}
	}
	text, err := os.ReadFile(in("copy/0.entries"))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(text), "Sample") {
		t.Error("the copy names somebody")
	}
	text[len(text)-1] ^= 1
	if err := os.WriteFile(in("copy/0.entries"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	want(exitFailed, `FOUND  log 0, entry \d+: changed`, "audit", "verify", in("copy"), "--key", key)
}

// kept holds what is appended.
type kept struct {
	mu      sync.Mutex
	records []topics.Record // guarded by mu
}

func (k *kept) Produce(_ context.Context, records ...topics.Record) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.records = append(k.records, records...)
	return nil
}

// TestRefusedCallersAreOnRecord: whoever has no right is on record, and somebody who
// tries a thousand times is there once.
func TestRefusedCallersAreOnRecord(t *testing.T) {
	keys, err := schemas.OpenKeyring(t.TempDir(), true)
	if err != nil {
		t.Fatal(err)
	}
	codec, err := schemas.NewCodec(t.Context(), &schemas.MemoryRegistry{})
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		away, log := &turnedAway{counts: map[turned]int64{}}, &kept{}
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			_ = away.tell(ctx, &router.Recorder{Publisher: &router.Publisher{Codec: codec, Log: log, Now: time.Now}, Keys: keys}, slog.New(slog.DiscardHandler))
		}()
		for range 1000 {
			away.add("GET /metrics", identity.Caller{Kind: identity.Authority, Code: "E06A"})
		}
		away.add("GET /metrics", identity.Caller{Kind: identity.Nobody})
		time.Sleep(2 * tellTurned)
		cancel()
		synctest.Wait()
		counts := map[string]int64{}
		for _, r := range log.records {
			var a schemas.Audit
			if err := codec.Decode(t.Context(), schemas.TopicAudit, r.Value, &a); err != nil || a.Kind != schemas.AuditRefusal || a.Shown() {
				t.Fatalf("%+v %v", a, err)
			}
			counts[a.Organisation+" "+a.Feed+" "+a.Role] = a.Count
		}
		if len(counts) != 2 || counts["E06A GET /metrics AUTHORITY"] != 1000 || counts[" GET /metrics NOBODY"] != 1 {
			t.Errorf("%v", counts)
		}
	})
}
