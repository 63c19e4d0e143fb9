package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"

	"cpis/schemas"
)

// TestRecipesForAnalysts runs every recipe of ANALYSTS.md on the records of a registration,
// and holds its dictionary against the schema.
func TestRecipesForAnalysts(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "ANALYSTS.md"))
	if err != nil {
		t.Fatal(err)
	}
	if want, err := dictionary(); err != nil || !strings.Contains(string(text), want) {
		t.Errorf("ANALYSTS.md does not have the dictionary as it is; it should be\n%s", want)
	}
	h := newHospital(t, t.TempDir(), "signin: {practice: true}\n", "")
	h.upload(samples("contacts.json"), "--contacts")
	h.upload(samples("plans.csv"))
	h.register()
	eventually(t, 20*time.Second, "the answer", h.answered("STATE^^CPIS||INDICATOR^^CPIS"))
	dir := t.TempDir()
	eventually(t, 20*time.Second, "a signed head", func() bool {
		code, _ := h.cli("", "audit", "copy", filepath.Join(dir, "first"))
		return code == exitFine
	})
	today := time.Now().Format(time.DateOnly)
	results := map[string]string{}
	for block := range strings.SplitSeq(string(text), "\n## ") {
		title, _, _ := strings.Cut(block, "\n")
		var script []string
		for line := range strings.Lines(block) {
			if command, ok := strings.CutPrefix(line, "    "); ok {
				script = append(script, strings.NewReplacer("2026-11-01", today, "2026-11-30", today).Replace(strings.TrimRight(command, "\n")))
			}
		}
		if len(script) == 0 {
			continue
		}
		cmd := exec.Command("sh", "-e", "-c", "cpis() { \"$CPIS_BINARY\" \"$@\"; }\n"+strings.Join(script, "\n"))
		cmd.Dir = dir
		cmd.Env = append(append(os.Environ(), asProgram+"=1", "CPIS_BINARY="+os.Args[0]), h.env...)
		cmd.Env = append(cmd.Env, "CPIS_CONFIG="+filepath.Join(h.dir, "site.yaml"))
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Errorf("%s: %v\n%s\n%s", title, err, strings.Join(script, "\n"), out)
		}
		results[title] = string(out)
	}
	for title, want := range map[string]string{"Registrations by care setting and answer": "EMERGENCY_DEPARTMENT INDICATOR 1", "How long answers took": "answers 1", "Changes to plans": "E06A plan.shared 3"} {
		if !strings.Contains(results[title], want) {
			t.Errorf("%s: no %q in\n%s", title, want, results[title])
		}
	}
	rows, err := parquet.ReadFile[schemas.AuditRow](filepath.Join(dir, "month.parquet"))
	if err != nil || len(rows) < 5 {
		t.Errorf("%d rows of Parquet, %v", len(rows), err)
	}
	if notes, err := os.ReadFile(filepath.Join(dir, "month.csv.notes.md")); err != nil || !strings.Contains(string(notes), "| RXX01 | EMERGENCY_DEPARTMENT | INDICATOR | 1 to 4 |") {
		t.Errorf("%s %v", notes, err)
	}
}
