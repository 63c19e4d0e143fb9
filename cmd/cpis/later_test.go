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

	"cpis/connectors/adt"
	"cpis/connectors/mllp"
)

// TestAPlanAfterTheRegistration goes the whole way: a child is registered and
// nobody has shared anything; then an authority uploads its plans, and the
// hospital gets a second answer that names the first.
func TestAPlanAfterTheRegistration(t *testing.T) {
	dir := t.TempDir()
	h := receive(t)
	file := filepath.Join(dir, "site.yaml")
	text := fmt.Sprintf("feeds:\n  - {name: ed, application: PRACTICE, facility: RXX01, ods: RXX01, setting: EMERGENCY_DEPARTMENT, reply: {address: %q, mode: full}}\n", h.address)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	ports, err := freePorts(1)
	if err != nil {
		t.Fatal(err)
	}
	sys := runSystem(t, file, map[string]any{"data": dir, "mllp.listen": "127.0.0.1:0", "http.listen": ports[0], "kafka.listen": "127.0.0.1:0", "registry.listen": "127.0.0.1:0"})
	upload := func(args ...string) {
		t.Helper()
		var out, complaint bytes.Buffer
		args = append([]string{"la", "upload"}, append(args, "--authority", "E06A", "--config", file)...)
		if code := run(context.Background(), args, strings.NewReader(""), &out, &complaint, []string{"CPIS_HTTP_LISTEN=" + ports[0]}); code != exitFine {
			t.Fatalf("%v: exit %d\n%s%s", args, code, out.String(), complaint.String())
		}
	}
	answered := func(word string) func() bool {
		return func() bool {
			h.mu.Lock()
			defer h.mu.Unlock()
			return strings.Contains(h.answers["1"], word)
		}
	}
	samples := filepath.Join("..", "..", "deploy", "config", "sample")
	upload(filepath.Join(samples, "contacts.json"), "--contacts")
	conn, err := mllp.Dial(context.Background(), sys.doorAddr(), mllp.ClientConfig{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	for _, m := range adt.Samples() {
		if m.Name == "child-on-plan" {
			message := strings.Replace(m.Message, "||ADT^A04^ADT_A01||", "||ADT^A04^ADT_A01|1|", 1)
			if answer, err := conn.Send(context.Background(), []byte(message)); err != nil || !bytes.Contains(answer, []byte("MSA|AA|1\r")) {
				t.Fatalf("%q %v", answer, err)
			}
		}
	}
	eventually(t, 20*time.Second, "the first answer", answered("NONE_SHARED"))
	upload(filepath.Join(samples, "plans.csv"))
	eventually(t, 20*time.Second, "the second answer", answered("STATE^^CPIS||INDICATOR^^CPIS"))
	if !answered("CORRECTS^^CPIS")() || !answered("RINGNOW^^CPIS")() {
		t.Error("the second answer does not name the first, or nobody to ring")
	}
}
