package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cpis/connectors/mllp"
)

// TestAnUnknownChild goes the whole way: a child comes without a number, the
// hospital is told to trace it and nothing more; the steps can be explained, and
// name nobody; then the hospital merges its record into the traced one, and gets
// an answer that names the first.
func TestAnUnknownChild(t *testing.T) {
	dir := t.TempDir()
	h := receive(t)
	file := filepath.Join(dir, "site.yaml")
	text := fmt.Sprintf("feeds:\n  - {name: ed, application: PRACTICE, facility: RXX01, ods: RXX01, setting: EMERGENCY_DEPARTMENT, reply: {address: %q, mode: full}}\n", h.address)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	ports, err := freePorts(3)
	if err != nil {
		t.Fatal(err)
	}
	sys := runSystem(t, file, map[string]any{"data": dir, "mllp.listen": "127.0.0.1:0", "http.listen": ports[0], "kafka.listen": ports[1], "registry.listen": ports[2]})
	ctx := context.Background()
	operate := func(in string, args ...string) (int, string) {
		var out, complaint bytes.Buffer
		env := []string{"CPIS_HTTP_LISTEN=" + ports[0], "CPIS_KAFKA_LISTEN=" + ports[1], "CPIS_REGISTRY_LISTEN=" + ports[2]}
		code := run(ctx, append(args, "--config", file, "--data", dir), strings.NewReader(in), &out, &complaint, env)
		return code, out.String() + complaint.String()
	}
	samples := filepath.Join("..", "..", "deploy", "config", "sample")
	plans := filepath.Join(dir, "plans.csv")
	rows := "record_id,nhs_number,family_name,given_names,date_of_birth,sex,plan_type,plan_start,plan_end,expected_delivery_date,version,postcode,other_names\n" +
		"A1,9990000018,Quillfeather,Zoe Marigold,2019-08-07,F,CPP,2026-01-02,,,1,ZZ1 1AA,Featherquill^Zola\n"
	if err := os.WriteFile(plans, []byte(rows), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"la", "upload", filepath.Join(samples, "contacts.json"), "--contacts", "--authority", "E06A"}, {"la", "upload", plans, "--authority", "E06A"}} {
		eventually(t, 20*time.Second, "the upload", func() bool { // as an authority does that is asked to send it again
			code, text := operate("", args...)
			if code != exitFine && !strings.Contains(text, "CPIS-L025") {
				t.Fatalf("%v: exit %d\n%s", args, code, text)
			}
			return code == exitFine
		})
	}
	message := func(id, event, more string) string {
		return "MSH|^~\\&|PRACTICE|RXX01|CPIS|HUB|20261125101500+0000||ADT^" + event + "|" + id + "|T|2.4\rEVN|" + event + "|20261125101500+0000\r" + more
	}
	unknown := message("1", "A04", "PID|1||T77^^^RXX^MR||Quillfeather^Zoey||20190807|F|||1 High Street^^Aford^^ZZ1 1AA\rPV1|1|E|AE||||||||||||||||V77\r")
	conn, err := mllp.Dial(ctx, sys.doorAddr(), mllp.ClientConfig{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	send := func(text string) {
		t.Helper()
		if answer, err := conn.Send(ctx, []byte(text)); err != nil || !bytes.Contains(answer, []byte("MSA|AA|")) {
			t.Fatalf("%q %v", answer, err)
		}
	}
	answered := func(word string) func() bool {
		return func() bool {
			h.mu.Lock()
			defer h.mu.Unlock()
			return strings.Contains(h.answers["1"], word)
		}
	}
	send(unknown)
	eventually(t, 20*time.Second, "the first answer", answered("IDENTITY_NOT_CONFIRMED"))
	if answered("POSSIBLE")() || answered("Quillfeather")() || answered("RINGNOW")() {
		t.Error("the desk is told that somebody protected fits")
	}
	code, steps := operate(unknown, "match", "explain")
	if code != exitFine || !strings.Contains(steps, "POSSIBLE, DETAILS") || !strings.Contains(steps, "date of birth        same") {
		t.Errorf("match explain: exit %d\n%s", code, steps)
	}
	for _, secret := range []string{"Quill", "Zo", "2019", "9990000018", "ZZ1"} {
		if strings.Contains(steps, secret) {
			t.Errorf("the steps name %s:\n%s", secret, steps)
		}
	}
	send(message("2", "A40", "PID|1||9990000018^^^NHS^NH~P12^^^RXX^MR||Quillfeather^Zoe||20190807|F"+strings.Repeat("|", 24)+"NSTS01\rMRG|T77^^^RXX^MR\r"))
	eventually(t, 20*time.Second, "the answer after the merge", answered("STATE^^CPIS||INDICATOR^^CPIS"))
	if !answered("CORRECTS^^CPIS")() || !answered("RINGNOW^^CPIS")() {
		t.Error("it does not name the first, or nobody to ring")
	}
}
