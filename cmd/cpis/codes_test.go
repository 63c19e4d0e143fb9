package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cpis/connectors/adt"
	"cpis/router"
	"cpis/router/topics"
	"cpis/schemas"
)

const codeFeeds = `mllp: {others: [{name: ward, listen: "127.0.0.1:0"}]}
feeds:
  - {name: bound, application: PRACTICE, facility: BOUND, listener: ward, ods: RXX, setting: MATERNITY}
  - {name: live, application: PRACTICE, facility: LIVE, environment: P, ods: RXX, setting: MATERNITY}
  - {name: ed, application: PRACTICE, facility: RXX01, ods: RXX01, setting: EMERGENCY_DEPARTMENT}
`

// TestEveryCodeHasASample sends the sample of each code over a socket into the
// whole system, and looks for the code where it belongs: in quarantine, on the
// registration, or as the reason of the answer.
func TestEveryCodeHasASample(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "site.yaml")
	if err := os.WriteFile(file, []byte(codeFeeds), 0o600); err != nil {
		t.Fatal(err)
	}
	sys := runSystem(t, file, map[string]any{"data": dir, "mllp.listen": "127.0.0.1:0", "http.listen": "off", "kafka.listen": "127.0.0.1:0", "registry.listen": "127.0.0.1:0"})
	for _, sample := range adt.CodeSamples() {
		put(t, sys.doorAddr(), sample.Message)
	}
	seen := codesSeen(t, sys)
	for _, e := range schemas.Catalogue() {
		switch {
		case e.Code == "CPIS-H020", e.Code == "CPIS-M005", e.Code == "CPIS-M007", e.Code == "CPIS-M009", e.Code == "CPIS-M010":
			// A broker that cannot store (TestUnknownResult), somebody else in the
			// index, a setting, and an index: no message brings them about.
		case strings.HasPrefix(string(e.Code), "CPIS-H") || strings.HasPrefix(string(e.Code), "CPIS-M"):
			if !strings.Contains(seen[e.Code], "S-"+string(e.Code[5:])) && !(unnamed(e.Code) && seen[e.Code] != "") {
				t.Errorf("%s: its sample does not bring it about (%q)", e.Code, seen[e.Code])
			}
		}
	}
	var out, complaint bytes.Buffer
	if code := run(context.Background(), []string{"explain", "H104"}, nil, &out, &complaint, nil); code != exitFine || !strings.Contains(out.String(), "sample:CPIS-H104") {
		t.Errorf("explain does not name the sample: %s", out.String())
	}
}

// runSystem runs a whole system in this process until the test ends.
func runSystem(t *testing.T, file string, flags map[string]any) *system {
	t.Helper()
	config, err := loadConfig(file, nil, flags)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	sys, err := wire(ctx, config, (&shell{err: io.Discard}).logger(LogConfig{}))
	if err != nil {
		cancel()
		t.Fatal(err)
	}
	stopped := make(chan error)
	go func() { stopped <- sys.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := errors.Join(<-stopped, sys.Close()); err != nil {
			t.Error(err)
		}
	})
	<-sys.intake.Receipts.Ready()
	return sys
}

// unnamed are the codes of bytes in which no control id can be read, or is
// there.
func unnamed(c schemas.Code) bool {
	return strings.Contains("CPIS-H001 CPIS-H002 CPIS-H003 CPIS-H004 CPIS-H005 CPIS-H006 CPIS-H008 CPIS-H009 CPIS-H012 CPIS-H013 CPIS-H017 CPIS-H106", string(c))
}

// put writes bytes to a listener, and waits until it has answered all of them.
func put(t *testing.T, to, wire string) string {
	t.Helper()
	conn, err := net.Dial("tcp", to)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := conn.Write([]byte(wire)); err != nil {
		t.Fatal(err)
	}
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	answers, err := io.ReadAll(conn)
	if err != nil {
		t.Fatal(err)
	}
	return string(answers)
}

// codesSeen lists, for each code that stands anywhere, the control ids it
// stands with.
func codesSeen(t *testing.T, sys *system) map[schemas.Code]string {
	t.Helper()
	ctx := context.Background()
	seen := map[schemas.Code]string{}
	letters, err := sys.dead.List(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range letters {
		q, _, err := sys.dead.Quarantined(ctx, l)
		if err != nil {
			t.Fatal(err)
		}
		seen[schemas.Code(q.Code)] += " " + q.ControlID
	}
	asked := 0
	err = router.ReadSince(ctx, sys.client, schemas.TopicRegistration, time.Unix(0, 0), func(r topics.Record) error {
		var reg schemas.Registration
		if err := sys.codec.Decode(ctx, schemas.TopicRegistration, r.Value, &reg); err != nil {
			return err
		}
		for _, code := range reg.Marks {
			seen[schemas.Code(code)] += " " + reg.ControlID
		}
		if reg.Class.Checked() {
			asked++
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(20 * time.Second); ; {
		answered := 0
		err := router.ReadSince(ctx, sys.client, schemas.TopicOutcome, time.Unix(0, 0), func(r topics.Record) error {
			var o schemas.Outcome
			if err := sys.codec.Decode(ctx, schemas.TopicOutcome, r.Value, &o); err != nil {
				return err
			}
			if o.State != schemas.StateCheckFailed {
				answered++
			}
			seen[o.Reason.Code()] += " " + o.ControlID
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if answered >= asked {
			return seen
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d of %d answered", answered, asked)
		}
		<-time.After(20 * time.Millisecond)
	}
}
