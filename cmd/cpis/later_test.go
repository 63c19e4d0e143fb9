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

// oneHospital is a whole system in this process with one feed, the hospital that
// its answers go to, and a way to run commands on it.
type oneHospital struct {
	*hospital
	t    *testing.T
	dir  string
	web  string // address of the HTTP side
	conn *mllp.Client
	env  []string
	cli  func(in string, args ...string) (code int, text string)
}

// newHospital starts one; more is YAML for the configuration, and feed for its
// feed.
func newHospital(t *testing.T, dir, more, feed string) *oneHospital {
	t.Helper()
	h := &oneHospital{hospital: receive(t), t: t, dir: dir}
	file := filepath.Join(h.dir, "site.yaml")
	text := fmt.Sprintf("feeds:\n  - {name: ed, application: PRACTICE, facility: RXX01, ods: RXX01, setting: EMERGENCY_DEPARTMENT, reply: {address: %q, mode: full}%s}\n%s", h.address, feed, more)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	ports, err := freePorts(3)
	if err != nil {
		t.Fatal(err)
	}
	sys := runSystem(t, file, map[string]any{"data": h.dir, "mllp.listen": "127.0.0.1:0", "http.listen": ports[0], "kafka.listen": ports[1], "registry.listen": ports[2]})
	h.web = "http://" + ports[0]
	h.env = []string{"CPIS_HTTP_LISTEN=" + ports[0], "CPIS_KAFKA_LISTEN=" + ports[1], "CPIS_REGISTRY_LISTEN=" + ports[2], "CPIS_DATA=" + h.dir}
	h.cli = func(in string, args ...string) (int, string) {
		var out, complaint bytes.Buffer
		code := run(context.Background(), append(args, "--config", file, "--data", h.dir), strings.NewReader(in), &out, &complaint, h.env)
		return code, out.String() + complaint.String()
	}
	if h.conn, err = mllp.Dial(context.Background(), sys.doorAddr(), mllp.ClientConfig{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.conn.Close() })
	return h
}

// upload sends a file as an authority does, again where it is asked to.
func (h *oneHospital) upload(args ...string) {
	h.t.Helper()
	args = append(append([]string{"la", "upload"}, args...), "--authority", "E06A")
	eventually(h.t, 20*time.Second, "the upload", func() bool {
		code, text := h.cli("", args...)
		if code != exitFine && !strings.Contains(text, "CPIS-L025") {
			h.t.Fatalf("%v: exit %d\n%s", args, code, text)
		}
		return code == exitFine
	})
}

// send sends a message, which is taken.
func (h *oneHospital) send(text string) {
	h.t.Helper()
	if answer, err := h.conn.Send(context.Background(), []byte(text)); err != nil || !bytes.Contains(answer, []byte("MSA|AA|1\r")) && !bytes.Contains(answer, []byte("MSA|AA|2\r")) {
		h.t.Fatalf("%q %v", answer, err)
	}
}

// register registers the child of the sample plans, with control id 1.
func (h *oneHospital) register() {
	h.t.Helper()
	for _, m := range adt.Samples() {
		if m.Name == "child-on-plan" {
			h.send(strings.Replace(m.Message, "||ADT^A04^ADT_A01||", "||ADT^A04^ADT_A01|1|", 1))
		}
	}
}

// answered looks for a word in the newest answer to the first message.
func (h *oneHospital) answered(word string) func() bool {
	return func() bool {
		h.mu.Lock()
		defer h.mu.Unlock()
		return strings.Contains(h.answers["1"], word)
	}
}

// samples are the project's sample files.
func samples(name string) string {
	return filepath.Join("..", "..", "deploy", "config", "sample", name)
}

// TestAPlanAfterTheRegistration goes the whole way: a child is registered and
// nobody has shared anything; then an authority uploads its plans, and the
// hospital gets a second answer that names the first.
func TestAPlanAfterTheRegistration(t *testing.T) {
	h := newHospital(t, t.TempDir(), "", "")
	h.upload(samples("contacts.json"), "--contacts")
	h.register()
	eventually(t, 20*time.Second, "the first answer", h.answered("NONE_SHARED"))
	h.upload(samples("plans.csv"))
	eventually(t, 20*time.Second, "the second answer", h.answered("STATE^^CPIS||INDICATOR^^CPIS"))
	if !h.answered("CORRECTS^^CPIS")() || !h.answered("RINGNOW^^CPIS")() {
		t.Error("the second answer does not name the first, or nobody to ring")
	}
}
