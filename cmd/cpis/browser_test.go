package main

import (
	"bytes"
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// talk waits for a line of a demo's talk.
type talk struct {
	bytes.Buffer
	line *regexp.Regexp
	seen chan []string
	done bool
}

func (w *talk) Write(p []byte) (int, error) {
	n, err := w.Buffer.Write(p)
	if m := w.line.FindStringSubmatch(w.String()); m != nil && !w.done {
		w.done = true
		w.seen <- m
	}
	return n, err
}

// TestBrowser has a browser tell each user's story to the demo (browser/stories.test.mjs).
func TestBrowser(t *testing.T) {
	chromium := os.Getenv("CPIS_CHROMIUM")
	if chromium == "" {
		if os.Getenv("CPIS_REQUIRE_REAL") != "" {
			t.Fatal("CPIS_CHROMIUM is not set: run deploy/testbed/browser")
		}
		t.Skip("no browser: deploy/testbed/browser says how to get one")
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	out := &talk{line: regexp.MustCompile(`(?s)HL7 +(\S+) \(MLLP\).*people +(http://\S+)/signin`), seen: make(chan []string, 1)}
	ended := make(chan int, 1)
	env := []string{"CPIS_HTTP_LISTEN=127.0.0.1:0", "CPIS_MLLP_LISTEN=127.0.0.1:0", "CPIS_KAFKA_LISTEN=127.0.0.1:0", "CPIS_REGISTRY_LISTEN=127.0.0.1:0"}
	go func() { ended <- run(ctx, []string{"demo", "--quiet"}, strings.NewReader(""), out, io.Discard, env) }()
	var at []string
	select {
	case at = <-out.seen:
	case code := <-ended:
		t.Fatalf("the demo ended: exit %d", code)
	case <-time.After(time.Minute):
		t.Fatal("the demo does not begin")
	}
	exchange := t.TempDir()
	stories := exec.CommandContext(ctx, "node", "--test", "--test-reporter=spec", "stories.test.mjs")
	stories.Dir = "browser"
	stories.Env = append(os.Environ(), "CPIS_MLLP="+at[1], "CPIS_BASE="+at[2], "CPIS_EXCHANGE="+exchange)
	text, err := stories.CombinedOutput()
	t.Logf("%s", text)
	if err != nil {
		t.Fatal(err)
	}
	sameAsChecker(t, exchange, at[2])
	cancel()
	if code := <-ended; code != exitFine {
		t.Errorf("the demo: exit %d", code)
	}
}

// sameAsChecker compares what the page printed of a file with what the checker on the
// command line does, offline but for what only the broker knows.
func sameAsChecker(t *testing.T, folder, server string) {
	t.Helper()
	page, err := os.ReadFile(filepath.Join(folder, "printed.txt"))
	if err != nil {
		t.Fatal(err)
	}
	var offline, complaint bytes.Buffer
	run(context.Background(), []string{"la", "check", filepath.Join(folder, "plans.csv"), "--authority", "E06A", "--offline"}, strings.NewReader(""), &offline, &complaint, nil)
	refused := regexp.MustCompile(`(?m)^\d+ .*CPIS-L\d+ .*$`)
	there := refused.FindAllString(offline.String(), -1)
	if len(there) == 0 {
		t.Fatalf("the checker refused nothing:\n%s%s", offline.String(), complaint.String())
	}
	for _, row := range there {
		if !strings.Contains(squeeze(string(page)), squeeze(row)) {
			t.Errorf("the checker says\n%s\nand the page\n%s", row, page)
		}
	}
}

// squeeze makes columns comparable, whose width follows the longest entry.
func squeeze(text string) string { return regexp.MustCompile(` +`).ReplaceAllString(text, " ") }
