package main

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
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
	other := filepath.Join(t.TempDir(), "contacts.json")
	if err := os.WriteFile(other, []byte(`{"name":"Aford Council","emergency_phone":"01632 960777"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	h.upload(other, "--contacts")
	eventually(t, 20*time.Second, "the number as it is now", func() bool {
		_, text := nurse.ask("/v1/people/open", map[string]string{"handle": found.Answers[0].Handle})
		return strings.Contains(text, `"ring_now":"01632 960777"`) && !strings.Contains(text, "960001")
	})
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

// token gets an access token from the practice provider, as an application does that signs
// its own people in.
func (h *oneHospital) token(t *testing.T, id string) string {
	t.Helper()
	verifier := strings.Repeat("v", 43)
	sum := sha256.Sum256([]byte(verifier))
	form := url.Values{"card": {id}, "state": {"s"}, "nonce": {"n"}, "code_challenge": {base64.RawURLEncoding.EncodeToString(sum[:])}, "redirect_uri": {h.web + "/signin/callback"}}
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	res, err := client.PostForm(h.web+"/practice/authorize", form)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	back, err := res.Location()
	if err != nil {
		t.Fatal(err)
	}
	if res, err = client.PostForm(h.web+"/practice/token", url.Values{"code": {back.Query().Get("code")}, "code_verifier": {verifier}, "redirect_uri": {h.web + "/signin/callback"}}); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	var token struct {
		Access string `json:"access_token"`
	}
	if err := json.NewDecoder(res.Body).Decode(&token); err != nil || token.Access == "" {
		t.Fatal(err)
	}
	return token.Access
}

// TestTheNationalReads asks for plans and for who has looked as an application of a care
// setting does, and finds both on record.
func TestTheNationalReads(t *testing.T) {
	h := newHospital(t, t.TempDir(), "signin: {practice: true}\n", "")
	h.upload(samples("contacts.json"), "--contacts")
	h.upload(samples("plans.csv"))
	h.register()
	eventually(t, 20*time.Second, "the answer", h.answered("STATE^^CPIS||INDICATOR^^CPIS"))
	ask := func(token, resource, number string, headers ...string) (int, string) {
		t.Helper()
		req, err := http.NewRequest(http.MethodGet, h.web+"/cpis/FHIR/R4/"+resource+"?patient:identifier=https://fhir.nhs.uk/Id/nhs-number%7C"+number, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+token)
		for i := 0; i < len(headers); i += 2 {
			req.Header.Set(headers[i], headers[i+1])
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = res.Body.Close() }()
		text, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res.StatusCode, string(text)
	}
	nurse := h.token(t, "555000000001")
	var status int
	var text string
	eventually(t, 20*time.Second, "the plan", func() bool {
		status, text = ask(nurse, "CareTeam", "9990000018")
		return status == http.StatusOK && strings.Contains(text, `"total":1`)
	})
	for _, part := range []string{`"code":"342191000000101"`, "Aford", `"use":"mobile"`} {
		if !strings.Contains(text, part) {
			t.Errorf("no %s in %s", part, text)
		}
	}
	eventually(t, 20*time.Second, "the view in the history", func() bool {
		status, text = ask(nurse, "AuditEvent", "9990000018")
		return status == http.StatusOK && strings.Contains(text, "C. Nurse") && strings.Contains(text, `"display":"RXX01"`)
	})
	if status, text := ask(nurse, "CareTeam", "9990000042"); status != http.StatusForbidden || !strings.Contains(text, "ACCESS_DENIED") || strings.Contains(text, "LAC") {
		t.Errorf("somebody not registered here: %d %s", status, text)
	}
	if status, text := ask("none", "CareTeam", "9990000018"); status != http.StatusForbidden || !strings.Contains(text, "ACCESS_DENIED") {
		t.Errorf("a token of nobody: %d %s", status, text)
	}
	if status, text := ask(h.token(t, "555000000007"), "CareTeam", "9990000018"); status != http.StatusForbidden {
		t.Errorf("an operator: %d %s", status, text)
	}
	if status, text := ask(nurse, "CareTeam", "9990000018", "IsUnscheduledAccessEvent", "false"); status != http.StatusOK || !strings.Contains(text, `"total":1`) {
		t.Errorf("from scheduled care: %d %s", status, text)
	}
	code, told := h.cli("", "tail", "audit", "--from", "beginning", "--until", "end", "--json")
	if code != exitFine || !regexp.MustCompile(`"kind":"VIEW"[^\n]*"stream":"GOVERNANCE"`).MatchString(told) || !regexp.MustCompile(`"kind":"VIEW"[^\n]*"stream":"HISTORY"`).MatchString(told) || !strings.Contains(told, "history.read") {
		t.Errorf("not on record:\n%s", told)
	}
}
