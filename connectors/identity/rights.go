package identity

import (
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"

	"cpis/connectors"
	"cpis/schemas"
)

// Right says who may use a route. Whatever has no right is denied to all.
type Right struct {
	Route string // as http.ServeMux has it
	Who   []Kind
	// Own says that an authority may use it for itself only: its code must be the
	// one in the address.
	Own bool
	Why string
}

// page is a route of the web pages.
func page(route string, who []Kind, why string) Right { return Right{route, who, false, why} }

// people is a page on which the table of what people may do decides.
func people(route string) Right {
	return page(route, []Kind{Person}, "people's own table, below, decides")
}

// application is a route for a provider's application, with a person in front of it.
func application(route string) Right {
	return Right{route, []Kind{Local, Provider}, false, "with the token of the person in front of it, of whom people's own table, below, decides"}
}

// screen is a page that looks by itself, and goes on without names when nobody is there.
func screen(route string) Right {
	return page(route, []Kind{Person, Resting}, "people's own table, below, decides; without names after 15 minutes in which nobody did anything")
}

// everybody who has come as far as a request. Nobody asks whether they are signed in.
func everybody() []Kind { return []Kind{Nobody, Local, Authority, Provider, Operations} }

// Rights is the one table of who may do what over HTTP.
func Rights() []Right {
	const la = " /v1/authorities/{code}"
	own := func(route, why string) Right { return Right{route, []Kind{Local, Authority}, true, why} }
	return []Right{
		own("POST"+la+"/indicators", "an authority writes its own records"),
		own("POST"+la+"/stream", "an authority writes its own records"),
		own("GET"+la+"/contacts", "an authority's own contacts"),
		own("PUT"+la+"/contacts", "an authority's own contacts"),
		own("POST"+la+"/contacts/confirm", "an authority's own contacts"),
		{"GET" + la + "/health", []Kind{Local, Authority, Operations}, true, "its own feed; operations watches all feeds, and sees nobody in it"},
		own("GET"+la+"/uploads", "an authority's own files"),
		own("POST"+la+"/uploads/{id}/approve", "an authority's own files"),
		own("POST"+la+"/uploads/{id}/cancel", "an authority's own files"),
		own("POST"+la+"/uploads/{id}/undo", "an authority's own files"),
		own("POST"+la+"/snapshots", "an authority's own files"),
		own("POST"+la+"/snapshots/{id}/commit", "an authority's own files"),
		own("GET"+la+"/notices", "notices are for the authority they name"),
		own("POST"+la+"/notices/{id}/answer", "notices are for the authority they name"),
		{"POST /v1/views", []Kind{Local, Provider}, false, "a care setting tells what was opened of its own answers"},
		{"GET /v1/audit", everybody(), false, "whoever comes may hold the audit log to account: heads and hashes name nobody"},
		{"GET /v1/audit/{log}/checkpoint", everybody(), false, "heads name nobody"},
		{"GET /v1/audit/{log}/cosigned", everybody(), false, "heads name nobody"},
		{"GET /v1/audit/{log}/tile/{path...}", everybody(), false, "hashes name nobody"},
		{"POST /v1/audit/{log}/cosignature", []Kind{Local, Authority, Provider}, false, "a witness is known by its signature"},
		{"GET /signin", everybody(), false, "whoever wants to sign in"},
		{"GET /signin/callback", everybody(), false, "whoever comes back from the provider"},
		{"POST /signout", everybody(), false, "whoever is signed in"},
		{"GET /v1/me", []Kind{Person}, false, "who one is signed in as, and what one may do"},
		{"POST /v1/people/find", []Kind{Person}, false, "people's own table, below, decides"},
		{"POST /v1/people/open", []Kind{Person}, false, "people's own table, below, decides"},
		{"POST /v1/people/glass", []Kind{Person}, false, "people's own table, below, decides"},
		{"GET /v1/people/reviews", []Kind{Person}, false, "people's own table, below, decides"},
		page("GET /{$}", everybody(), "says what this is, and leads on whoever is signed in"),
		page("GET /assets/{file}", everybody(), "style sheets and scripts"),
		page("GET /accessibility", everybody(), "no secret"),
		screen("GET /board"),
		screen("GET /board/rows"),
		screen("GET /board/live"),
		people("POST /answer"),
		people("POST /answer/feedback"),
		people("GET /history"),
		people("POST /history"),
		people("POST /history/reviewed"),
		people("GET /glass"),
		people("POST /glass"),
		people("GET /reviews"),
		people("POST /reviews/done"),
		people("GET /authority"),
		people("GET /authority/plans"),
		people("POST /authority/plans/check"),
		people("POST /authority/plans/send"),
		people("POST /authority/plans/rows"),
		people("GET /authority/files/{id}"),
		people("POST /authority/files/{id}/{verb}"),
		people("GET /authority/contacts"),
		people("POST /authority/contacts"),
		people("GET /authority/notices"),
		people("POST /authority/notices/answer"),
		people("GET /operations"),
		people("GET /operations/letters"),
		people("POST /operations/letters/{verb}"),
		people("GET /operations/message"),
		people("POST /operations/message"),
		people("GET /operations/ledger"),
		people("GET /connect"),
		people("POST /connect"),
		people("GET /connect/{feed}"),
		application("GET /cpis/FHIR/R4/CareTeam"),
		application("POST /cpis/FHIR/R4/CareTeam/_search"),
		application("GET /cpis/FHIR/R4/AuditEvent"),
		application("POST /cpis/FHIR/R4/AuditEvent/_search"),
		{"GET /practice/.well-known/openid-configuration", []Kind{Local}, false, "practice alone"},
		{"GET /practice/keys", []Kind{Local}, false, "practice alone"},
		{"GET /practice/authorize", []Kind{Local}, false, "practice alone"},
		{"POST /practice/authorize", []Kind{Local}, false, "practice alone"},
		{"POST /practice/token", []Kind{Local}, false, "practice alone"},
		{"GET /practice/userinfo", []Kind{Local}, false, "practice alone"},
		{"GET /v1/template.csv", everybody(), false, "no secret"},
		{"GET /v1/template.md", everybody(), false, "no secret"},
		{"GET /v1/keys/updates", everybody(), false, "a public key"},
		{"GET /openapi.json", everybody(), false, "no secret"},
		{"GET /openapi.yaml", everybody(), false, "no secret"},
		{"GET /openapi-3.0.json", everybody(), false, "no secret"},
		{"GET /openapi-3.0.yaml", everybody(), false, "no secret"},
		{"GET /livez", everybody(), false, "whether the process lives"},
		{"GET /readyz", []Kind{Local, Operations}, false, "names of services that are away"},
		{"GET /version", everybody(), false, "no secret"},
		{"GET /metrics", []Kind{Local, Operations}, false, "counts, by feed and code"},
	}
}

// permits reports whether a caller may use a route; code is that of the authority in
// the address.
func (r Right) permits(c Caller, code string) bool {
	return slices.Contains(r.Who, c.Kind) && (!r.Own || c.Kind != Authority || c.Code == code)
}

// Table writes the rights as SECURITY.md has them: a line for each route.
func Table() string {
	var b strings.Builder
	b.WriteString("| route | local | authority | provider | operations | signed in | why |\n|---|---|---|---|---|---|---|\n")
	for _, r := range Rights() {
		cell := func(k Kind) string {
			switch {
			case k == Person && slices.Contains(r.Who, Nobody):
				return "yes"
			case !slices.Contains(r.Who, k):
				return "no"
			case r.Own && k == Authority:
				return "own"
			}
			return "yes"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s | %s | %s |\n", r.Route, cell(Local), cell(Authority), cell(Provider), cell(Operations), cell(Person), r.Why)
	}
	return b.String()
}

// Mux serves routes to those who have the right. Routes are added before it serves.
type Mux struct {
	mux      *http.ServeMux
	subjects map[string]string
	log      *slog.Logger
	rights   map[string]Right
	missing  []string
	denied   atomic.Int64
	// Refused, if set, is told of whoever had no right, before the answer. It must not
	// wait.
	Refused func(route string, c Caller)
	// People, if set, knows who is signed in; Unsigned answers a browser of somebody who
	// is not, and asks for a page that is for those who are.
	People   *SignIn
	Unsigned http.HandlerFunc
	cross    *http.CrossOriginProtection
}

// NewMux makes one. subjects are names of subjects that stand for a URI name.
func NewMux(subjects map[string]string, log *slog.Logger) *Mux {
	m := &Mux{mux: http.NewServeMux(), subjects: subjects, log: log, rights: map[string]Right{}, cross: http.NewCrossOriginProtection()}
	for _, r := range Rights() {
		m.rights[r.Route] = r
	}
	return m
}

// HandleFunc adds a route. One without a row in the table is denied to all, and Err
// tells of it.
func (m *Mux) HandleFunc(route string, serve func(http.ResponseWriter, *http.Request)) {
	right, ok := m.rights[route]
	if !ok {
		m.missing = append(m.missing, route)
	}
	m.mux.HandleFunc(route, func(w http.ResponseWriter, r *http.Request) {
		caller := m.caller(r, right)
		if !right.permits(caller, r.PathValue("code")) {
			m.refuse(w, r, route, caller)
			return
		}
		serve(w, with(r, caller))
	})
}

// Handle is HandleFunc for a handler.
func (m *Mux) Handle(route string, h http.Handler) { m.HandleFunc(route, h.ServeHTTP) }

// Err is an error where a route has no row in the table of rights.
func (m *Mux) Err() error {
	if len(m.missing) == 0 {
		return nil
	}
	return fmt.Errorf("no right is set for %s", strings.Join(m.missing, ", "))
}

// Denied counts requests of those who had no right.
func (m *Mux) Denied() int64 { return m.denied.Load() }

// ServeHTTP implements http.Handler.
func (m *Mux) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	for name, value := range headers() {
		w.Header().Set(name, value)
	}
	if r.TLS != nil {
		w.Header().Set("Strict-Transport-Security", "max-age=31536000")
	}
	m.cross.Handler(m.mux).ServeHTTP(w, r)
}

// headers are those of every answer: nothing of it is kept, framed, guessed at, or handed
// on, and a page may load what is our own and nothing else.
func headers() map[string]string {
	return map[string]string{
		"Content-Security-Policy":      "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
		"X-Content-Type-Options":       "nosniff",
		"Referrer-Policy":              "no-referrer",
		"Cache-Control":                "no-store",
		"Cross-Origin-Opener-Policy":   "same-origin",
		"Cross-Origin-Resource-Policy": "same-origin",
		"Permissions-Policy":           "camera=(), geolocation=(), microphone=()",
	}
}

// caller is who a request comes from: on a route for people, whoever is signed in. A
// route for screens that look by themselves keeps nobody signed in.
func (m *Mux) caller(r *http.Request, right Right) Caller {
	if !slices.Contains(right.Who, Person) {
		return callerOf(r.TLS, m.subjects)
	}
	if m.People == nil {
		return Caller{Kind: Nobody}
	}
	if slices.Contains(right.Who, Resting) {
		switch w, resting := m.People.Glance(r); {
		case w != nil && resting:
			return Caller{Kind: Resting, Code: string(w.ODS), Worker: w}
		case w != nil:
			return Caller{Kind: Person, Code: string(w.ODS), Worker: w}
		}
	} else if w, ok := m.People.Worker(r); ok {
		return Caller{Kind: Person, Code: string(w.ODS), Worker: w}
	}
	return Caller{Kind: Nobody}
}

// refuse says no before anything of the request's body is read.
func (m *Mux) refuse(w http.ResponseWriter, r *http.Request, route string, c Caller) {
	m.denied.Add(1)
	if m.Refused != nil {
		m.Refused(route, Caller{Kind: c.Kind, Code: c.Code})
	}
	m.log.Warn("a caller has no right", "code", "CPIS-W002", "route", route, "kind", string(c.Kind), "organisation", c.Code)
	w.Header().Set("Connection", "close")
	if c.Kind == Nobody && slices.Contains(m.rights[route].Who, Person) {
		if m.Unsigned != nil && strings.Contains(r.Header.Get("Accept"), "text/html") {
			m.Unsigned(w, r)
			return
		}
		connectors.Refuse(w, http.StatusUnauthorized, &schemas.Refusal{Code: "CPIS-W005", Location: "session", Reason: "nobody is signed in"})
		return
	}
	connectors.Refuse(w, http.StatusForbidden, &schemas.Refusal{Code: "CPIS-W002", Location: "certificate", Reason: "not for " + strings.ToLower(string(c.Kind)) + " " + c.Code})
}
