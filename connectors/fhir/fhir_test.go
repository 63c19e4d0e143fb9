package fhir

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"cpis/connectors/console"
	"cpis/connectors/identity"
	"cpis/schemas"
)

// reader is a desk that keeps what it was asked.
type reader struct {
	plans  []console.Plan
	seen   []console.Event
	err    error
	asked  string
	silent bool
}

func (r *reader) Read(_ context.Context, w *identity.Worker, n schemas.NHSNumber, silent bool) ([]console.Plan, error) {
	r.asked, r.silent = "plans of "+n.Reveal()+" by "+w.ID, silent
	return r.plans, r.err
}

func (r *reader) Looked(_ context.Context, w *identity.Worker, n schemas.NHSNumber, silent bool, limit int) ([]console.Event, error) {
	r.asked, r.silent = fmt.Sprintf("%d looks at %s by %s", limit, n.Reveal(), w.ID), silent
	return r.seen, r.err
}

const number = "https://fhir.nhs.uk/Id/nhs-number|9990000018"

// call asks the door, with a good token unless told otherwise.
func call(t *testing.T, d *reader, method, path, body string, headers map[string]string) (*httptest.ResponseRecorder, string) {
	t.Helper()
	var log bytes.Buffer
	door := New(d, func(r *http.Request) (*identity.Worker, error) {
		if r.Header.Get("Authorization") != "Bearer good" {
			return nil, errors.New("unknown token")
		}
		return &identity.Worker{ID: "555000000001", ODS: "RXX01"}, nil
	}, slog.New(slog.NewTextHandler(&log, nil)))
	mux := http.NewServeMux()
	for route, handle := range door.Routes() {
		mux.HandleFunc(route, handle)
	}
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer good")
	if body != "" {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for name, value := range headers {
		r.Header.Set(name, value)
	}
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, r)
	if strings.Contains(log.String(), "9990000018") {
		t.Errorf("the log names the number: %s", log.String())
	}
	return w, log.String()
}

// same compares an answer with a golden that was written by hand. Ids are made up by the
// answer: in the golden they stand for those of the entries.
func same(t *testing.T, got []byte, golden string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", golden+".json"))
	if err != nil {
		t.Fatal(err)
	}
	var b struct {
		Entry []struct {
			FullURL  string `json:"fullUrl"`
			Resource struct {
				ID string `json:"id"`
			} `json:"resource"`
		} `json:"entry"`
	}
	if err := json.Unmarshal(got, &b); err != nil {
		t.Fatalf("%v\n%s", err, got)
	}
	for i, e := range b.Entry {
		text = bytes.ReplaceAll(text, []byte(fmt.Sprintf("urn:uuid:ID-OF-ENTRY-%d", i)), []byte(e.FullURL))
		text = bytes.ReplaceAll(text, []byte(fmt.Sprintf("ID-OF-ENTRY-%d", i)), []byte(e.Resource.ID))
	}
	var have, want any
	if err := errors.Join(json.Unmarshal(got, &have), json.Unmarshal(text, &want)); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(have, want) {
		t.Errorf("%s: got\n%s\nwant\n%s", golden, got, text)
	}
}

func plans() []console.Plan {
	return []console.Plan{
		{Type: schemas.PlanChildProtection, Since: "2026-03-03", Authority: "E06A", AuthorityName: "Aford Council", RingNow: "01632 960999", OfficePhone: "01632 960001", EmergencyPhone: "01632 960999"},
		{Type: schemas.PlanLookedAfter, Since: "2024-01-09", Ended: "2026-01-09", Authority: "E06B", AuthorityName: "Beeshire County", EmergencyPhone: "01632 960888"},
	}
}

// TestTheNationalShapes compares answers with goldens written by hand from the guide.
func TestTheNationalShapes(t *testing.T) {
	looked := []console.Event{{ID: "1", At: time.Date(2026, 11, 25, 2, 14, 5, 0, time.UTC), Kind: schemas.AuditView, Organisation: "RXX01", Name: "C. Nurse", Role: "R0670 Midwife - Sister/Charge Nurse"}}
	careTeam, auditEvent := base+"CareTeam?patient:identifier="+number, base+"AuditEvent?patient:identifier="+number
	for name, c := range map[string]struct {
		desk    reader
		method  string
		path    string
		body    string
		headers map[string]string
		status  int
		golden  string
		asked   string
		silent  bool
	}{
		"plans":                       {reader{plans: plans()}, "GET", careTeam, "", nil, 200, "careteam", "plans of 9990000018 by 555000000001", false},
		"the number in the body":      {reader{plans: plans()}, "POST", base + "CareTeam/_search", "patient%3Aidentifier=" + strings.ReplaceAll(number, "|", "%7C"), nil, 200, "careteam", "plans of 9990000018 by 555000000001", false},
		"none":                        {reader{}, "GET", careTeam, "", nil, 200, "careteam-none", "plans of 9990000018 by 555000000001", false},
		"an authority not named":      {reader{plans: []console.Plan{{Type: schemas.PlanUnborn, Since: "2026-09-01"}}}, "GET", careTeam, "", nil, 200, "careteam-withheld", "plans of 9990000018 by 555000000001", false},
		"unscheduled":                 {reader{}, "GET", careTeam, "", map[string]string{"IsUnscheduledAccessEvent": "true"}, 200, "careteam-none", "plans of 9990000018 by 555000000001", false},
		"scheduled":                   {reader{}, "GET", careTeam, "", map[string]string{"IsUnscheduledAccessEvent": "false"}, 200, "careteam-none", "plans of 9990000018 by 555000000001", true},
		"scheduled, the other name":   {reader{}, "GET", careTeam, "", map[string]string{"IsUnscheduledEvent": "false"}, 200, "careteam-none", "plans of 9990000018 by 555000000001", true},
		"who has looked":              {reader{seen: looked}, "GET", auditEvent, "", nil, 200, "auditevent", "25 looks at 9990000018 by 555000000001", false},
		"with the guide's include":    {reader{seen: looked}, "GET", auditEvent + "&_include=" + strings.ReplaceAll(include, "|", "%7C"), "", nil, 200, "auditevent", "25 looks at 9990000018 by 555000000001", false},
		"a number with a wrong digit": {reader{}, "GET", base + "CareTeam?patient:identifier=https://fhir.nhs.uk/Id/nhs-number|9990000019", "", nil, 400, "invalid-number", "", false},
		"another system":              {reader{}, "GET", base + "CareTeam?patient:identifier=https://example.org|9990000018", "", nil, 400, "invalid-number", "", false},
		"a header that is neither":    {reader{}, "GET", careTeam, "", map[string]string{"IsUnscheduledAccessEvent": "perhaps"}, 400, "invalid-header", "", false},
		"no token":                    {reader{}, "GET", careTeam, "", map[string]string{"Authorization": ""}, 400, "no-token", "", false},
		"a token of nobody":           {reader{}, "GET", careTeam, "", map[string]string{"Authorization": "Bearer bad"}, 403, "unproven", "", false},
		"no right":                    {reader{err: &schemas.Refusal{Code: "CPIS-W006", Reason: "not yours"}}, "GET", careTeam, "", nil, 403, "denied", "plans of 9990000018 by 555000000001", false},
		"not on record":               {reader{err: &schemas.Refusal{Code: "CPIS-W007", Reason: "x"}}, "GET", careTeam, "", nil, 503, "later", "plans of 9990000018 by 555000000001", false},
		"cannot be told":              {reader{err: errors.New("away")}, "GET", auditEvent, "", nil, 503, "later", "25 looks at 9990000018 by 555000000001", false},
	} {
		t.Run(name, func(t *testing.T) {
			w, _ := call(t, &c.desk, c.method, c.path, c.body, c.headers)
			if w.Code != c.status || w.Header().Get("Content-Type") != "application/fhir+json" || w.Header().Get("Date") == "" {
				t.Errorf("%d %v", w.Code, w.Header())
			}
			same(t, w.Body.Bytes(), c.golden)
			if c.desk.asked != c.asked || c.desk.silent != c.silent {
				t.Errorf("asked %q, silent %v", c.desk.asked, c.desk.silent)
			}
		})
	}
	for _, path := range []string{base + "CareTeam", careTeam + "&name=Example", careTeam + "&patient:identifier=" + number, base + "AuditEvent?_include=Patient:*&patient:identifier=" + number} {
		if w, _ := call(t, &reader{}, "GET", path, "", nil); w.Code != 400 || !strings.Contains(w.Body.String(), "INVALID_SEARCH_DATA") {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
	w, _ := call(t, &reader{}, "GET", careTeam, "", map[string]string{"TraceID": "6ede3b9d-a81b-4c75-9d77-e1d64d85c323"})
	if w.Header().Get("TraceID") != "6ede3b9d-a81b-4c75-9d77-e1d64d85c323" {
		t.Error("the trace is not given back")
	}
	if w, _ := call(t, &reader{}, "GET", careTeam, "", map[string]string{"TraceID": "Ada Example"}); w.Header().Get("TraceID") != "" {
		t.Error("any text is given back as a trace")
	}
}
