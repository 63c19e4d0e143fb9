package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
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
