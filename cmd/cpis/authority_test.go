package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"cpis/connectors/notice"
)

// told is an authority's receiver of notices.
type told struct {
	*httptest.Server
	mu  sync.Mutex
	got []notice.Event // guarded by mu
}

func tellMe(t *testing.T) *told {
	t.Helper()
	r := &told{}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		var e notice.Event
		text, err := io.ReadAll(req.Body)
		if err != nil || json.Unmarshal(text, &e) != nil || req.Header.Get("webhook-signature") == "" {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.got = append(r.got, e)
	}))
	t.Cleanup(r.Close)
	return r
}

// of finds the first notice of a type.
func (r *told) of(kind string) (notice.Event, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.got {
		if e.Type == "cpis."+kind+".v1" {
			return e, true
		}
	}
	return notice.Event{}, false
}

func (r *told) has(kind string) func() bool {
	return func() bool { _, ok := r.of(kind); return ok }
}

// TestAnAuthorityIsToldAndAnswers goes the whole way: a child on a plan is
// registered, the authority is told at once and says that it will call, the
// hospital reads that, a nurse opens the answer, and the authority is told who.
func TestAnAuthorityIsToldAndAnswers(t *testing.T) {
	dir, hook := t.TempDir(), tellMe(t)
	secret := filepath.Join(dir, "secret")
	if err := os.WriteFile(secret, []byte("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"), 0o600); err != nil {
		t.Fatal(err)
	}
	h := newHospital(t, dir, fmt.Sprintf("notices: {hosts: [127.0.0.1]}\nauthorities:\n  - {code: E06A, notices: {webhook: {url: %q, secret: %q}}}\n", hook.URL+"/cpis", secret),
		", notify: both, responsible: {name: B. Lead, role: Safeguarding lead}")
	h.upload(samples("contacts.json"), "--contacts")
	h.upload(samples("plans.csv"))
	h.register()
	eventually(t, 20*time.Second, "the notice", hook.has("attendance"))
	e, _ := hook.of("attendance")
	if e.Data.Records[0].RecordID != "A1" || e.Data.Organisation != "RXX01" || e.Data.Worker == nil || e.Data.Worker.Name != "B. Lead" {
		t.Errorf("%+v", e)
	}
	if code, text := h.cli("", "la", "notices", "--authority", "E06A"); code != exitFine || !strings.Contains(text, e.ID) {
		t.Errorf("la notices: exit %d\n%s", code, text)
	}
	if code, text := h.cli("", "la", "notices", "--authority", "E06B"); code != exitFine || !strings.Contains(text, "0 notices") {
		t.Errorf("another authority: exit %d\n%s", code, text)
	}
	eventually(t, 20*time.Second, "the answer", h.answered("STATE^^CPIS||INDICATOR^^CPIS"))
	h.mu.Lock()
	_, rest, _ := strings.Cut(h.answers["1"], "HANDLE^^CPIS||")
	h.mu.Unlock()
	handle, _, _ := strings.Cut(rest, "|")
	by := time.Now().Add(time.Hour).UTC().Format(time.RFC3339)
	if code, text := h.cli("", "la", "answer", e.ID, "--authority", "E06A", "--says", "will_call", "--call-by", by); code != exitFine {
		t.Fatalf("la answer: exit %d\n%s", code, text)
	}
	eventually(t, 20*time.Second, "what the authority says", h.answered("NOTICE^^CPIS||WILL_CALL^^CPIS"))
	if !h.answered("The duty worker will call by")() || !h.answered("HANDLE^^CPIS||"+handle)() {
		t.Error("it does not say until when, or of what")
	}
	view := func() bool {
		res, err := http.Post(h.web+"/v1/views", "application/json", strings.NewReader(fmt.Sprintf(`{"handle":%q,"user_id":"555","name":"C. Nurse","role":"R0170"}`, handle)))
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		return res.StatusCode == http.StatusNoContent
	}
	eventually(t, 20*time.Second, "the view to be noted", view)
	eventually(t, 20*time.Second, "the notice that it was opened", hook.has("attendance.viewed"))
	if e, _ := hook.of("attendance.viewed"); e.Data.Worker == nil || e.Data.Worker.Name != "C. Nurse" || e.Data.Records[0].RecordID != "A1" {
		t.Errorf("%+v", e)
	}
	if code, text := h.cli("", "ledger", "--json"); code != exitFine {
		t.Errorf("the ledger: exit %d\n%s", code, text)
	}
}

// TestAnAuthorityStreamsAndDropsFiles sends plans in both ways and finds them in the
// answers; a mistake in a filter waits for a second person.
func TestAnAuthorityStreamsAndDropsFiles(t *testing.T) {
	dir := t.TempDir()
	keys, drop := filepath.Join(dir, "keys"), filepath.Join(dir, "drop")
	if code := run(t.Context(), []string{"la", "keygen", keys}, strings.NewReader(""), io.Discard, io.Discard, nil); code != exitFine {
		t.Fatal(code)
	}
	h := newHospital(t, dir, fmt.Sprintf("authorities:\n  - {code: E06A, drop: %q, stream_key: %q, notices: {drop: true}}\n", drop, filepath.Join(keys, "signing.pub.json")), "")
	h.upload(samples("contacts.json"), "--contacts")
	row := `{"record_id":"A1","nhs_number":"9990000018","family_name":"Example","given_names":"Ada","date_of_birth":"2019-08-07","sex":"F","plan_type":"CPP","plan_start":"2026-03-03","version":1}` + "\n"
	code, text := h.cli(row+strings.Replace(row, "9990000018", "12", 1), "la", "stream", "-", "--authority", "E06A", "--key", filepath.Join(keys, "signing.json"))
	if code != exitRefused || !strings.Contains(text, `{"row":1,"code":"CPR06","outcome":"new"}`) || !strings.Contains(text, `"row":2,"code":"CPR04"`) {
		t.Errorf("la stream: exit %d\n%s", code, text)
	}
	h.register()
	eventually(t, 20*time.Second, "the answer", h.answered("STATE^^CPIS||INDICATOR^^CPIS"))
	put := func(name, text string) {
		t.Helper()
		for _, f := range [][2]string{{name + ".csv", text}, {name + ".ctl", "<DTSControl><Version>1.0</Version></DTSControl>"}} {
			if err := os.WriteFile(filepath.Join(drop, "in", f[0]), []byte(f[1]), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	plans, err := os.ReadFile(samples("plans.csv"))
	if err != nil {
		t.Fatal(err)
	}
	put("E06A_0001", string(plans))
	there := func(pattern string) func() bool {
		return func() bool { found, _ := filepath.Glob(filepath.Join(drop, pattern)); return len(found) > 0 }
	}
	eventually(t, 20*time.Second, "the file to be taken", there("sent/E06A_0001.ctl"))
	eventually(t, 20*time.Second, "the notice in the folder", there("out/NOTICE_*.ctl"))
	back, err := os.ReadFile(filepath.Join(drop, "out", "E06A_0001.csv"))
	if err != nil || !strings.Contains(string(back), "code,what_to_do") {
		t.Errorf("%s %v", back, err)
	}
	if code, text := h.cli("", "la", "health", "--authority", "E06A"); code != exitFine || !strings.Contains(text, "100.0 % of 3 records") {
		t.Errorf("la health: exit %d\n%s", code, text)
	}

	header := "record_id,nhs_number,family_name,given_names,date_of_birth,sex,plan_type,plan_start,plan_end,expected_delivery_date,version\n"
	many := func(end string, version int) string {
		file := filepath.Join(dir, fmt.Sprintf("many%d.csv", version))
		text := header
		for i, number := range numbers999(10) {
			text += fmt.Sprintf("M%d,%s,Example,Tom,2015-01-01,M,CPP,2026-01-01,%s,,%d\n", i, number, end, version)
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	h.upload(many("", 1))
	mass := many("2026-11-20", 2)
	if code, text := h.cli("", "la", "check", mass, "--authority", "E06A"); code != exitRefused || !strings.Contains(text, "would wait for a second person") || !strings.Contains(text, "10 ended") {
		t.Errorf("la check: exit %d\n%s", code, text)
	}
	code, text = h.cli("", "la", "upload", mass, "--authority", "E06A", "--by", "A. First", "--json")
	if code != exitRefused || !strings.Contains(text, `"state": "WAITING"`) {
		t.Fatalf("la upload: exit %d\n%s", code, text)
	}
	_, rest, _ := strings.Cut(text, `"upload_id": "`)
	id, _, _ := strings.Cut(rest, `"`)
	for _, step := range []struct {
		verb, by string
		code     int
	}{{"approve", "A. First", exitRefused}, {"approve", "B. Second", exitFine}, {"undo", "A. First", exitFine}, {"undo", "A. First", exitRefused}} {
		if code, text := h.cli("", "la", step.verb, id, "--authority", "E06A", "--by", step.by); code != step.code {
			t.Errorf("la %s by %s: exit %d\n%s", step.verb, step.by, code, text)
		}
	}
	if code, text := h.cli("", "la", "uploads", "--authority", "E06A"); code != exitFine || !strings.Contains(text, "UNDONE") {
		t.Errorf("la uploads: exit %d\n%s", code, text)
	}
}

// numbers999 invents valid NHS numbers of the 999 range.
func numbers999(n int) []string {
	var out []string
	for stem := 100; len(out) < n; stem++ {
		digits := fmt.Sprintf("999%06d", stem)
		sum := 0
		for i, d := range digits {
			sum += int(d-'0') * (10 - i)
		}
		if check := (11 - sum%11) % 11; check != 10 {
			out = append(out, fmt.Sprintf("%s%d", digits, check))
		}
	}
	return out
}
