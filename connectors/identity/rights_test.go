package identity

import (
	"crypto/tls"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestEveryCellOfTheTable asks each route as each kind of caller, and compares with
// what is written here by hand.
func TestEveryCellOfTheTable(t *testing.T) {
	const screen, la, open, ops, view, health = "PERSON RESTING", "LOCAL AUTHORITY/own", "NOBODY LOCAL AUTHORITY PROVIDER OPERATIONS", "LOCAL OPERATIONS", "LOCAL PROVIDER", "LOCAL AUTHORITY/own OPERATIONS"
	want := map[string]string{
		"POST /v1/authorities/{code}/indicators": la, "POST /v1/authorities/{code}/stream": la, "GET /v1/authorities/{code}/contacts": la, "PUT /v1/authorities/{code}/contacts": la,
		"POST /v1/authorities/{code}/contacts/confirm": la, "GET /v1/authorities/{code}/health": health, "GET /v1/authorities/{code}/uploads": la, "POST /v1/authorities/{code}/uploads/{id}/approve": la,
		"POST /v1/authorities/{code}/uploads/{id}/cancel": la, "POST /v1/authorities/{code}/uploads/{id}/undo": la, "POST /v1/authorities/{code}/snapshots": la, "POST /v1/authorities/{code}/snapshots/{id}/commit": la,
		"GET /v1/authorities/{code}/notices": la, "POST /v1/authorities/{code}/notices/{id}/answer": la, "POST /v1/views": view,
		"GET /v1/template.csv": open, "GET /v1/template.md": open, "GET /v1/keys/updates": open, "GET /openapi.json": open, "GET /openapi.yaml": open, "GET /openapi-3.0.json": open, "GET /openapi-3.0.yaml": open,
		"GET /v1/audit": open, "GET /v1/audit/{log}/checkpoint": open, "GET /v1/audit/{log}/cosigned": open, "GET /v1/audit/{log}/tile/{path...}": open, "POST /v1/audit/{log}/cosignature": "LOCAL AUTHORITY PROVIDER",
		"GET /signin": open, "GET /signin/callback": open, "POST /signout": open, "GET /v1/me": "PERSON", "POST /v1/people/find": "PERSON", "POST /v1/people/open": "PERSON", "POST /v1/people/glass": "PERSON", "GET /v1/people/reviews": "PERSON",
		"GET /practice/.well-known/openid-configuration": "LOCAL", "GET /practice/keys": "LOCAL", "GET /practice/authorize": "LOCAL", "POST /practice/authorize": "LOCAL", "POST /practice/token": "LOCAL", "GET /practice/userinfo": "LOCAL",
		"GET /{$}": open, "GET /assets/{file}": open, "GET /accessibility": open, "GET /board": screen, "GET /board/rows": screen, "GET /board/live": screen,
		"POST /answer": "PERSON", "POST /answer/feedback": "PERSON", "GET /history": "PERSON", "POST /history": "PERSON", "POST /history/reviewed": "PERSON", "GET /glass": "PERSON", "POST /glass": "PERSON", "GET /reviews": "PERSON", "POST /reviews/done": "PERSON",
		"GET /authority": "PERSON", "GET /authority/plans": "PERSON", "POST /authority/plans/check": "PERSON", "POST /authority/plans/send": "PERSON", "POST /authority/plans/rows": "PERSON", "GET /authority/files/{id}": "PERSON",
		"POST /authority/files/{id}/{verb}": "PERSON", "GET /authority/contacts": "PERSON", "POST /authority/contacts": "PERSON", "GET /authority/notices": "PERSON", "POST /authority/notices/answer": "PERSON",
		"GET /operations": "PERSON", "GET /operations/letters": "PERSON", "POST /operations/letters/{verb}": "PERSON", "GET /operations/message": "PERSON", "POST /operations/message": "PERSON", "GET /operations/ledger": "PERSON",
		"GET /connect": "PERSON", "POST /connect": "PERSON", "GET /connect/{feed}": "PERSON",
		"GET /cpis/FHIR/R4/CareTeam": view, "POST /cpis/FHIR/R4/CareTeam/_search": view, "GET /cpis/FHIR/R4/AuditEvent": view, "POST /cpis/FHIR/R4/AuditEvent/_search": view,
		"GET /livez": open, "GET /version": open, "GET /readyz": ops, "GET /metrics": ops,
	}
	rights := Rights()
	if len(rights) != len(want) {
		t.Errorf("%d routes, %d expected", len(rights), len(want))
	}
	for _, r := range rights {
		for _, kind := range Kinds() {
			for _, own := range []bool{true, false} {
				code := "E06B"
				if own {
					code = "E06A"
				}
				allowed := slices.Contains(strings.Fields(want[r.Route]), string(kind)) || own && slices.Contains(strings.Fields(want[r.Route]), string(kind)+"/own")
				if got := r.permits(Caller{Kind: kind, Code: "E06A"}, code); got != allowed {
					t.Errorf("%s as %s, own %v: %v", r.Route, kind, own, got)
				}
			}
		}
		if r.Why == "" {
			t.Errorf("%s is not explained", r.Route)
		}
	}
	if text, err := os.ReadFile(filepath.Join("..", "..", "SECURITY.md")); err != nil || !strings.Contains(string(text), Table()) {
		t.Errorf("SECURITY.md does not have the table as it is; it should be\n%s", Table())
	}
	m := NewMux(nil, slog.New(slog.DiscardHandler))
	m.HandleFunc("GET /v1/children", func(http.ResponseWriter, *http.Request) { t.Error("a route without a right was served") })
	if m.Err() == nil {
		t.Error("a route without a right is fine")
	}
	w := httptest.NewRecorder()
	m.ServeHTTP(w, httptest.NewRequest("GET", "/v1/children", nil))
	if w.Code != http.StatusForbidden || m.Denied() != 1 {
		t.Errorf("%d", w.Code)
	}
}

// TestEveryAnswerHasItsHeaders asks every route there is, and one there is not, with and
// without TLS, with and without a right.
func TestEveryAnswerHasItsHeaders(t *testing.T) {
	mux := NewMux(nil, slog.New(slog.DiscardHandler))
	for _, r := range Rights() {
		mux.HandleFunc(r.Route, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })
	}
	routes := []string{"GET /nowhere"}
	for _, r := range Rights() {
		routes = append(routes, strings.NewReplacer("{code}", "E06A", "{id}", "1", "{log}", "0", "{path...}", "x").Replace(r.Route))
	}
	for _, route := range routes {
		for _, secure := range []*tls.ConnectionState{nil, {}} {
			method, path, _ := strings.Cut(route, " ")
			req, w := httptest.NewRequest(method, path, nil), httptest.NewRecorder()
			req.TLS = secure
			mux.ServeHTTP(w, req)
			for name, value := range headers() {
				if got := w.Header().Get(name); got != value {
					t.Errorf("%s: %s is %q", route, name, got)
				}
			}
			if (w.Header().Get("Strict-Transport-Security") != "") != (secure != nil) {
				t.Errorf("%s: HSTS %q over TLS %v", route, w.Header().Get("Strict-Transport-Security"), secure != nil)
			}
			if !strings.Contains(w.Header().Get("Content-Security-Policy"), "frame-ancestors 'none'") {
				t.Errorf("%s may be framed", route)
			}
		}
	}
}
