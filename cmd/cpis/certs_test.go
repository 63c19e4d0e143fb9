package main

import (
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cpis/connectors/identity"
)

// TestCallersProveWhoTheyAre makes certificates as a user does, opens the door for
// authorities over TLS, and lets each caller do what is its own and nothing else.
func TestCallersProveWhoTheyAre(t *testing.T) {
	dir := t.TempDir()
	ca := filepath.Join(dir, "ca")
	cpis := func(code int, args ...string) string {
		t.Helper()
		var out strings.Builder
		if got := run(t.Context(), args, strings.NewReader(""), &out, &out, nil); got != code {
			t.Fatalf("cpis %v: exit %d\n%s", args, got, out.String())
		}
		return out.String()
	}
	cpis(exitFine, "certs", "init", ca)
	cpis(exitUsage, "certs", "init", ca) // never over a key that is there
	cpis(exitFine, "certs", "issue", ca, "server", "--host", "127.0.0.1")
	cpis(exitFine, "certs", "issue", ca, "aford", "--la", "E06A")
	cpis(exitFine, "certs", "issue", ca, "beeshire", "--la", "E06B")
	cpis(exitFine, "certs", "issue", ca, "ops", "--operations", "--days", "3")
	cpis(exitFine, "certs", "issue", ca, "trust", "--ods", "RYY")
	cpis(exitUsage, "certs", "issue", ca, "both", "--la", "E06A", "--ods", "RXX")
	cpis(exitUsage, "certs", "issue", ca, "odd", "--la", "aford")
	if text := cpis(exitFine, "certs", "show", filepath.Join(ca, "aford.pem")); !strings.Contains(text, "whose        authority E06A") || !strings.Contains(text, "89 days") {
		t.Error(text)
	}
	if text := cpis(exitFine, "certs", "show", filepath.Join(ca, "server.pem")); !strings.Contains(text, "nobody's") {
		t.Error(text)
	}
	file := func(name string) string { return filepath.Join(ca, name) }
	h := newHospital(t, dir, fmt.Sprintf("http: {tls: {certificate: %q, key: %q, authorities: %q}}\n", file("server.pem"), file("server.key"), file("ca.pem")), "")
	as := func(name string, args ...string) []string {
		return append(append([]string{"la"}, args...), "--tls-certificate", file(name+".pem"), "--tls-key", file(name+".key"), "--tls-authorities", file("ca.pem"))
	}
	eventually(t, 20*time.Second, "the authority's own contacts", func() bool {
		code, _ := h.cli("", as("aford", "upload", samples("contacts.json"), "--contacts", "--authority", "E06A")...)
		return code == exitFine
	})
	eventually(t, 20*time.Second, "the authority's own plans", func() bool {
		code, _ := h.cli("", as("aford", "upload", samples("plans.csv"), "--authority", "E06A")...)
		return code == exitFine
	})
	for _, c := range []struct {
		name string
		args []string
		code int
		says string
	}{
		{"aford", []string{"health", "--authority", "E06A"}, exitFine, "100.0 %"},
		{"beeshire", []string{"health", "--authority", "E06A"}, exitForbidden, "CPIS-W002"},
		{"beeshire", []string{"upload", samples("plans.csv"), "--authority", "E06A"}, exitForbidden, "CPIS-W002"},
		{"beeshire", []string{"notices", "--authority", "E06A"}, exitForbidden, "CPIS-W002"},
		{"trust", []string{"uploads", "--authority", "E06A"}, exitForbidden, "CPIS-W002"},
		{"ops", []string{"health", "--authority", "E06A"}, exitFine, "match rate"},
		{"ops", []string{"contacts", "--authority", "E06A"}, exitForbidden, "CPIS-W002"},
		{"server", []string{"health", "--authority", "E06A"}, exitUnreachable, "certificate"},
	} {
		if code, text := h.cli("", as(c.name, c.args...)...); code != c.code && c.name != "server" || !strings.Contains(text, c.says) {
			t.Errorf("%s %v: exit %d\n%s", c.name, c.args, code, text)
		}
	}
	if code, text := h.cli("", "la", "health", "--authority", "E06A", "--tls-authorities", file("ca.pem")); code == exitFine {
		t.Errorf("without a certificate: %s", text)
	}
	get := func(name, path string) (int, string) {
		t.Helper()
		secure, err := identity.ClientTLS(identity.TLSConfig{Certificate: file(name + ".pem"), Key: file(name + ".key"), Authorities: file("ca.pem")}, "127.0.0.1")
		if err != nil {
			t.Fatal(err)
		}
		c := &http.Client{Transport: &http.Transport{TLSClientConfig: secure}}
		defer c.CloseIdleConnections()
		res, err := c.Get(strings.Replace(h.web, "http://", "https://", 1) + path)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = res.Body.Close() }()
		text, _ := io.ReadAll(res.Body)
		return res.StatusCode, string(text)
	}
	if code, text := get("ops", "/metrics"); code != http.StatusOK || !strings.Contains(text, `cpis_certificate_days_left{listener="http"}`) || !strings.Contains(text, "cpis_http_denied_total 5") {
		t.Errorf("metrics: %d", code)
	}
	for _, path := range []string{"/metrics", "/readyz"} {
		if code, _ := get("aford", path); code != http.StatusForbidden {
			t.Errorf("%s for an authority: %d", path, code)
		}
	}
	if code, _ := get("aford", "/openapi.json"); code != http.StatusOK {
		t.Errorf("the description: %d", code)
	}
	// Another trust cannot say that an answer was opened.
	h.register()
	eventually(t, 20*time.Second, "the answer", h.answered("STATE^^CPIS||INDICATOR^^CPIS"))
	h.mu.Lock()
	_, rest, _ := strings.Cut(h.answers["1"], "HANDLE^^CPIS||")
	h.mu.Unlock()
	handle, _, _ := strings.Cut(rest, "|")
	cpis(exitFine, "certs", "issue", ca, "own", "--ods", "RXX")
	for name, want := range map[string]int{"trust": http.StatusNotFound, "own": http.StatusNoContent, "aford": http.StatusForbidden} {
		secure, err := identity.ClientTLS(identity.TLSConfig{Certificate: file(name + ".pem"), Key: file(name + ".key"), Authorities: file("ca.pem")}, "127.0.0.1")
		if err != nil {
			t.Fatal(err)
		}
		c := &http.Client{Transport: &http.Transport{TLSClientConfig: secure}}
		eventually(t, 20*time.Second, "the view by "+name, func() bool {
			res, err := c.Post(strings.Replace(h.web, "http://", "https://", 1)+"/v1/views", "application/json", strings.NewReader(fmt.Sprintf(`{"handle":%q,"user_id":"555","name":"C. Nurse","role":"R0170"}`, handle)))
			if err != nil {
				t.Fatal(err)
			}
			_ = res.Body.Close()
			return res.StatusCode == want
		})
		c.CloseIdleConnections()
	}
}
