package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"cpis/connectors/console"
	"cpis/connectors/identity"
	"cpis/connectors/mllp"
	"cpis/schemas"
)

// certificates makes an authority, a server's and a sender's certificate, all
// in one folder: ca.pem, server.pem, sender.pem and their keys.
func certificates(t *testing.T, dir string) {
	t.Helper()
	i, err := identity.NewIssuer(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range []identity.Holder{{File: "server", Hosts: []string{"127.0.0.1"}, Valid: time.Hour}, {File: "sender", Name: "urn:ods:RXX", Valid: time.Hour}} {
		if _, err := i.Issue(h); err != nil {
			t.Fatal(err)
		}
	}
}

// TestDoors runs a site with two listeners. On the plain one a message of the
// bound feed is refused, kept, and taken when an operator replays it; on the
// other its sender proves who it is, over TLS and release 2.
func TestDoors(t *testing.T) {
	dir := t.TempDir()
	certificates(t, dir)
	h := receive(t)
	text := fmt.Sprintf(`signin: {practice: true}
mllp:
  listen: 127.0.0.1:0
  others:
    - {name: trust, listen: 127.0.0.1:0, release: 2, tls: {certificate: %[1]s/server.pem, key: %[1]s/server.key, authorities: %[1]s/ca.pem}}
feeds:
  - {name: ed, application: PAS, facility: RXX, ods: RXX, setting: EMERGENCY_DEPARTMENT, certificate: "urn:ods:RXX", reply: {address: %[2]q}}
`, dir, h.address)
	file := filepath.Join(dir, "site.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	ports, err := freePorts(2)
	if err != nil {
		t.Fatal(err)
	}
	kafka, registry := ports[0], ports[1]
	sys := runSystem(t, file, map[string]any{"data": dir, "http.listen": "127.0.0.1:0", "kafka.listen": kafka, "registry.listen": registry})
	ctx := context.Background()
	message := func(id string) []byte {
		return []byte("MSH|^~\\&|PAS|RXX|CPIS|HUB|20261124101500||ADT^A04|" + id + "|P|2.4\rPID|1||H1^^^RXX^MR\rPV1|1|E\r")
	}
	plain, err := mllp.Dial(ctx, sys.doors[0].Addr().String(), mllp.ClientConfig{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = plain.Close() }()
	if answer, err := plain.Send(ctx, message("1")); err != nil || !bytes.Contains(answer, []byte("MSA|AE|1")) || !bytes.Contains(answer, []byte("CPIS-H015")) {
		t.Errorf("without proof: %q %v", answer, err)
	}
	secure, err := identity.ClientTLS(identity.TLSConfig{Certificate: filepath.Join(dir, "sender.pem"), Key: filepath.Join(dir, "sender.key"), Authorities: filepath.Join(dir, "ca.pem")}, "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	proven, err := mllp.Dial(ctx, sys.doors[1].Addr().String(), mllp.ClientConfig{TLS: secure, Release: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = proven.Close() }()
	if answer, err := proven.Send(ctx, message("2")); err != nil || !bytes.Contains(answer, []byte("MSA|AA|2")) {
		t.Errorf("with proof: %q %v", answer, err)
	}
	if _, err := mllp.Dial(ctx, sys.doors[1].Addr().String(), mllp.ClientConfig{TLS: &tls.Config{RootCAs: secure.RootCAs, ServerName: "127.0.0.1", MaxVersion: tls.VersionTLS12}}); err == nil {
		t.Error("a sender without a certificate is let in")
	}

	operate := func(args ...string) (int, string) {
		var out, complaint bytes.Buffer
		args = append(args, "--config", file, "--data", dir)
		env := []string{"CPIS_KAFKA_LISTEN=" + kafka, "CPIS_REGISTRY_LISTEN=" + registry}
		code := run(ctx, args, strings.NewReader(""), &out, &complaint, env)
		return code, out.String() + complaint.String()
	}
	feedFile := filepath.Join(dir, "three.hl7")
	if err := os.WriteFile(feedFile, message("3"), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, text := operate("hl7", "send", feedFile, "--to", sys.doors[1].Addr().String(), "--release", "2", "--authorities", filepath.Join(dir, "ca.pem"),
		"--certificate", filepath.Join(dir, "sender.pem"), "--key", filepath.Join(dir, "sender.key")); code != exitFine || !strings.Contains(text, "AA  control id 3") {
		t.Errorf("hl7 send: exit %d\n%s", code, text)
	}
	if code, text := operate("hl7", "send", "sample:CPIS-H116", "--to", sys.doors[0].Addr().String()); code != exitRefused || !strings.Contains(text, "AE  control id S-H116") || !strings.Contains(text, "BTS|1") {
		t.Errorf("a batch: exit %d\n%s", code, text)
	}
	letters, err := sys.dead.List(ctx)
	if err != nil || len(letters) != 2 {
		t.Fatalf("%d dead letters, %v", len(letters), err)
	}
	id := fmt.Sprint(letters[0].ID)
	if code, text := operate("dlq", "replay", id, "--dry-run"); code != exitFine || !strings.Contains(text, "taken by feed ed") {
		t.Errorf("dry run: exit %d\n%s", code, text)
	}
	if code, text := operate("dlq", "replay", id); code != exitFine {
		t.Errorf("replay: exit %d\n%s", code, text)
	}
	if code, text := operate("dlq", "replay", id); code != exitRefused || !strings.Contains(text, "CPIS-D002") {
		t.Errorf("replay again: exit %d\n%s", code, text)
	}
	if answer, err := plain.Send(ctx, message("4")); err != nil || !bytes.Contains(answer, []byte("MSA|AE|4")) {
		t.Errorf("without proof: %q %v", answer, err)
	}
	onThePage(t, sys)
	want := map[string]schemas.State{"1": schemas.StateNotChecked, "2": schemas.StateNotChecked, "3": schemas.StateNotChecked, "4": schemas.StateNotChecked}
	for deadline := time.Now().Add(20 * time.Second); ; <-time.After(10 * time.Millisecond) {
		h.mu.Lock()
		n := len(h.answers)
		h.mu.Unlock()
		if n == len(want) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d of %d answers came back", n, len(want))
		}
	}
	h.check(t, want)
}

// onThePage does what an operator does on the pages: sees how the feed is, tries what was
// refused, puts it back once, and discards the rest, all on record.
func onThePage(t *testing.T, sys *system) {
	t.Helper()
	ctx, e := context.Background(), sys.engine
	who := &identity.Worker{ID: "555000000007", Name: "O. Operator", ODS: "RXX"}
	eventually(t, 20*time.Second, "the dead letters", func() bool { return len(e.groups()) == 2 })
	var ed console.Connection
	eventually(t, 20*time.Second, "the feed", func() bool {
		ed = e.connections()[0]
		return ed.Acknowledged == 3
	})
	if ed.Name != "ed" || ed.Certificate != "" || ed.Last.IsZero() {
		t.Errorf("%+v", ed)
	}
	// Who has not proven to be the sender is not counted as it.
	if c := e.connections(); len(c) != 2 || c[1].Name != "no feed known" || c[1].Refused < 2 || !slices.ContainsFunc(c[1].Reasons, func(r schemas.Count) bool { return r.Name == "CPIS-H015" && r.Count == 2 }) {
		t.Errorf("%+v", c)
	}
	letter := e.group("CPIS-H015", 10)
	if len(letter) != 1 || letter[0].Control != "4" || !letter[0].Replayable {
		t.Fatalf("%+v", letter)
	}
	ids := []int64{letter[0].ID}
	if trial, err := e.try(ctx, ids); err != nil || trial.Pass != 1 || trial.Fail != 0 {
		t.Errorf("%+v %v", trial, err)
	}
	if len(e.group("CPIS-H015", 10)) != 1 {
		t.Error("a trial changed something")
	}
	if trial, err := e.replay(ctx, who, ids); err != nil || trial.Pass != 1 {
		t.Errorf("%+v %v", trial, err)
	}
	var refusal *schemas.Refusal
	if _, err := e.replay(ctx, who, ids); !errors.As(err, &refusal) || refusal.Code != "CPIS-D002" {
		t.Errorf("a second press of the button: %v", err)
	}
	for _, g := range e.groups() {
		for _, l := range e.group(g.Code, 10) {
			if err := e.discard(ctx, who, l.ID, "TEST_MESSAGE"); err != nil {
				t.Error(err)
			}
		}
	}
	if left := e.groups(); len(left) != 0 {
		t.Errorf("%+v", left)
	}
	eventually(t, 20*time.Second, "the flow", func() bool { f := e.lastFlow(); return len(f.Edges) == len(hops()) && f.Index.Whole })
}
