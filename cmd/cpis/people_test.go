package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"
)

// visitor is somebody with a browser.
type visitor struct {
	*http.Client
	t   *testing.T
	web string
}

// signIn goes through the practice provider's page, as one of its cast.
func (h *oneHospital) signIn(t *testing.T, id string) *visitor {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	v := &visitor{&http.Client{Jar: jar}, t, h.web}
	_, page := v.do(http.MethodGet, "/signin", "", "")
	form := url.Values{"card": {id}}
	for _, m := range regexp.MustCompile(`type="hidden" name="(\w+)" value="([^"]*)"`).FindAllStringSubmatch(page, -1) {
		form.Set(m[1], m[2])
	}
	if status, text := v.do(http.MethodPost, "/practice/authorize", "application/x-www-form-urlencoded", form.Encode()); status != http.StatusOK {
		t.Fatalf("sign in: %d %s", status, text)
	}
	return v
}

func (v *visitor) do(method, path, kind, body string) (int, string) {
	v.t.Helper()
	req, err := http.NewRequest(method, v.web+path, strings.NewReader(body))
	if err != nil {
		v.t.Fatal(err)
	}
	if kind != "" {
		req.Header.Set("Content-Type", kind)
	}
	res, err := v.Do(req)
	if err != nil {
		v.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		v.t.Fatal(err)
	}
	return res.StatusCode, string(text)
}

func (v *visitor) ask(path string, body any) (int, string) {
	v.t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		v.t.Fatal(err)
	}
	return v.do(http.MethodPost, path, "application/json", string(text))
}

// TestPeopleSeeWhatTheyMay goes the whole way with the practice provider: a nurse opens
// the answer of a child the department registered, breaks the glass for another, and the
// authority and the privacy officer know.
func TestPeopleSeeWhatTheyMay(t *testing.T) {
	h := newHospital(t, t.TempDir(), "signin: {practice: true}\n", "")
	h.upload(samples("contacts.json"), "--contacts")
	h.upload(samples("plans.csv"))
	h.register()
	eventually(t, 20*time.Second, "the answer", h.answered("STATE^^CPIS||INDICATOR^^CPIS"))
	nurse := h.signIn(t, "555000000001")
	if status, text := nurse.do(http.MethodGet, "/v1/me", "", ""); status != http.StatusOK || !strings.Contains(text, "C. Nurse") || !strings.Contains(text, `"OPEN":true`) || strings.Contains(text, `"REVIEW":true`) {
		t.Errorf("%d %s", status, text)
	}
	var found struct {
		Answers []struct {
			Handle string `json:"handle"`
		} `json:"answers"`
	}
	eventually(t, 20*time.Second, "the answer to be found", func() bool {
		status, text := nurse.ask("/v1/people/find", map[string]string{"nhs_number": "9990000018"})
		return status == http.StatusOK && json.Unmarshal([]byte(text), &found) == nil && len(found.Answers) == 1
	})
	status, text := nurse.ask("/v1/people/open", map[string]string{"handle": found.Answers[0].Handle})
	if status != http.StatusOK || !strings.Contains(text, `"type":"CPP"`) || !strings.Contains(text, "Aford") || !strings.Contains(text, "01632") {
		t.Errorf("%d %s", status, text)
	}
	if status, text := h.signIn(t, "555000000007").ask("/v1/people/open", map[string]string{"handle": found.Answers[0].Handle}); status != http.StatusForbidden || !strings.Contains(text, "CPIS-W006") || strings.Contains(text, "Aford") {
		t.Errorf("an operator: %d %s", status, text)
	}
	if status, text := nurse.ask("/v1/people/find", map[string]string{"nhs_number": "9990000042"}); status != http.StatusOK || !strings.Contains(text, `"answers":[]`) {
		t.Errorf("somebody not registered here: %d %s", status, text)
	}
	if status, text := nurse.ask("/v1/people/glass", map[string]string{"nhs_number": "9990000042", "reason": "LIFE_AT_RISK"}); status != http.StatusOK || !strings.Contains(text, `"type":"LAC"`) || !strings.Contains(text, "were told") {
		t.Errorf("%d %s", status, text)
	}
	if code, text := h.cli("", "la", "notices", "--authority", "E06A"); code != exitFine || !strings.Contains(text, "cpis.glass.broken.v1") {
		t.Errorf("la notices: exit %d\n%s", code, text)
	}
	if status, text := h.signIn(t, "555000000005").do(http.MethodGet, "/v1/people/reviews", "", ""); status != http.StatusOK || !strings.Contains(text, "glass.broken") || !strings.Contains(text, "C. Nurse (555000000001)") || !strings.Contains(text, "LIFE_AT_RISK") {
		t.Errorf("reviews: %d %s", status, text)
	}
	code, told := h.cli("", "tail", "audit", "--from", "beginning", "--until", "end", "--json")
	for _, kind := range []string{`"action":"signed.in"`, `"kind":"VIEW"[^\n]*"organisation":"RXX01"[^\n]*"stream":"HISTORY"`, `"action":"looked.in.vain"`, `"action":"request.refused"[^\n]*"code":"CPIS-W006"`, `"action":"glass.broken"[^\n]*"authorities":\["E06A"\]`} {
		if code != exitFine || !regexp.MustCompile(kind).MatchString(told) {
			t.Errorf("%s is not on record:\n%s", kind, told)
		}
	}
	for _, secret := range []string{"9990000018", "9990000042", "C. Nurse", "Example"} {
		if strings.Contains(told, secret) {
			t.Errorf("the audit records name %s", secret)
		}
	}
}
