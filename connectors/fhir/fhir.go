// Package fhir answers in the national shapes: what a plan is and who has looked, as the
// published CP-IS FHIR guide has them, so that a system which asks here can ask there.
//
//	GET  /cpis/FHIR/R4/CareTeam?patient:identifier=https://fhir.nhs.uk/Id/nhs-number|N
//	POST /cpis/FHIR/R4/CareTeam/_search      the same, with the number in the body
//	GET  /cpis/FHIR/R4/AuditEvent?patient:identifier=…   and POST …/AuditEvent/_search
//
// The guide puts the number into the address; nothing here logs an address, and the search
// by POST, which FHIR has for that, is better. The application calls with its
// organisation's certificate and with the token of the person in front of it: nobody reads
// anything unattended.
package fhir

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"cpis/connectors/console"
	"cpis/connectors/identity"
	"cpis/schemas"
)

// base is where the resources are, as the guide has it.
const base = "/cpis/FHIR/R4/"

// Limits.
const (
	maxBody = 4 << 10
	maxSeen = 25 // accesses, as the national service has them
)

// Desk decides what people see.
type Desk interface {
	// Read gives the plans that are shared of somebody now; that they are read is on
	// record before.
	Read(ctx context.Context, w *identity.Worker, n schemas.NHSNumber, silent bool) ([]console.Plan, error)
	// Looked lists who has looked, the newest first.
	Looked(ctx context.Context, w *identity.Worker, n schemas.NHSNumber, silent bool, limit int) ([]console.Event, error)
}

// Door answers.
type Door struct {
	desk Desk
	// who says whom the token of a request is of.
	who func(r *http.Request) (*identity.Worker, error)
	log *slog.Logger
}

// New makes the door.
func New(desk Desk, who func(*http.Request) (*identity.Worker, error), log *slog.Logger) *Door {
	return &Door{desk, who, log}
}

// Routes are those of the resources.
func (d *Door) Routes() map[string]http.HandlerFunc {
	return map[string]http.HandlerFunc{"GET " + base + "CareTeam": d.careTeams, "POST " + base + "CareTeam/_search": d.careTeams, "GET " + base + "AuditEvent": d.auditEvents, "POST " + base + "AuditEvent/_search": d.auditEvents}
}

// refusal is an error of the guide's table.
type refusal struct {
	status                     int
	kind, code, display, fault string
}

func (r *refusal) Error() string { return r.code + ": " + r.fault }

func badNumber(fault string) *refusal {
	return &refusal{http.StatusBadRequest, "invalid", "INVALID_SEARCH_DATA", "Invalid NHS number", fault}
}

func badHeader(fault string) *refusal {
	return &refusal{http.StatusBadRequest, "invalid", "PRECONDITION_FAILED", "Missing or invalid header parameter", fault}
}

func denied(fault string) *refusal {
	return &refusal{http.StatusForbidden, "forbidden", "ACCESS_DENIED", "Access has been denied to process this request", fault}
}

// asked is what a request asks for.
type asked struct {
	worker *identity.Worker
	number schemas.NHSNumber
	silent bool
}

// read reads a request: who asks, about whom, and whether from scheduled care.
func (d *Door) read(w http.ResponseWriter, r *http.Request, includes ...string) (a asked, err error) {
	q, err := url.ParseQuery(r.URL.RawQuery)
	if r.Method == http.MethodPost {
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		if err = r.ParseForm(); err == nil {
			q = r.PostForm
		}
	}
	if err != nil {
		return a, badNumber("the search cannot be read")
	}
	for name, values := range q {
		switch {
		case name == "patient:identifier" && len(values) == 1:
			system, value, _ := strings.Cut(values[0], "|")
			if a.number, err = schemas.ParseNHSNumber(value); err != nil || system != systemNHSNumber {
				return a, badNumber("patient:identifier is not " + systemNHSNumber + "| and an NHS number of ten digits")
			}
		case name == "_include" && len(values) == 1 && slices.Contains(includes, values[0]), name == "_format" && strings.Contains(values[0], "json"):
		default:
			return a, badNumber("a parameter is not one of this search")
		}
	}
	if a.number.IsZero() {
		return a, badNumber("patient:identifier is missing")
	}
	// One page of the guide names the header otherwise than all others.
	marker := r.Header.Get("IsUnscheduledAccessEvent")
	if marker == "" {
		marker = r.Header.Get("IsUnscheduledEvent")
	}
	switch strings.ToLower(marker) {
	case "", "true": // without a word it is unscheduled care, the safe direction
	case "false":
		a.silent = true
	default:
		return a, badHeader("IsUnscheduledAccessEvent is neither true nor false")
	}
	if !strings.HasPrefix(r.Header.Get("Authorization"), "Bearer ") {
		return a, badHeader("Authorization holds no bearer token")
	}
	if a.worker, err = d.who(r); err != nil {
		d.log.Warn("a token proves nothing", "code", "CPIS-W004", "error", err)
		return a, denied("the token does not prove who asks, in a role that has the right")
	}
	return a, nil
}

// careTeams answers with a CareTeam for each plan.
func (d *Door) careTeams(w http.ResponseWriter, r *http.Request) {
	a, err := d.read(w, r)
	if err != nil {
		d.refuse(w, err)
		return
	}
	plans, err := d.desk.Read(r.Context(), a.worker, a.number, a.silent)
	if err != nil {
		d.refuse(w, err)
		return
	}
	b := found("CareTeam", len(plans))
	for _, p := range plans {
		c := careTeamOf(p, a.number)
		b.Entry = append(b.Entry, entry{"urn:uuid:" + uuid(c.ID), c, search{"match"}})
	}
	d.answer(w, r, http.StatusOK, b)
}

// include is the one include that the guide has.
const include = "AuditEvent:entity-type=" + systemRoleClass + "|ASSIGNED"

// auditEvents answers with an AuditEvent for each time somebody looked, and who it was.
func (d *Door) auditEvents(w http.ResponseWriter, r *http.Request) {
	a, err := d.read(w, r, include, strings.Replace(include, "=", ":", 1))
	if err != nil {
		d.refuse(w, err)
		return
	}
	seen, err := d.desk.Looked(r.Context(), a.worker, a.number, a.silent, maxSeen)
	if err != nil {
		d.refuse(w, err)
		return
	}
	b := found("AuditEvent", len(seen))
	var roles []entry
	for _, e := range seen {
		role := roleOf(e)
		event := auditEventOf(e, role)
		b.Entry = append(b.Entry, entry{"urn:uuid:" + uuid(event.ID), event, search{"match"}})
		roles = append(roles, entry{"urn:uuid:" + uuid(role.ID), role, search{"include"}})
	}
	b.Entry = append(b.Entry, roles...)
	d.answer(w, r, http.StatusOK, b)
}

// found begins the answer to a search. Its link does not repeat whom it was about.
func found(resource string, total int) bundle {
	return bundle{ResourceType: "Bundle", Type: "searchset", Total: total, Link: []link{{"self", base + resource}}}
}

// uuid writes 32 hex digits as a UUID.
func uuid(id string) string {
	return id[:8] + "-" + id[8:12] + "-" + id[12:16] + "-" + id[16:20] + "-" + id[20:]
}

func (d *Door) answer(w http.ResponseWriter, r *http.Request, status int, v any) {
	if trace := r.Header.Get("TraceID"); len(trace) <= 64 && trace != "" && strings.IndexFunc(trace, notTrace) < 0 {
		w.Header().Set("TraceID", trace)
	}
	write(w, status, v)
}

// notTrace reports what no trace id is made of.
func notTrace(r rune) bool {
	return !(r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r == '-')
}

func write(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/fhir+json")
	w.Header().Set("Date", time.Now().UTC().Format(http.TimeFormat))
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

// refuse answers with an OperationOutcome.
func (d *Door) refuse(w http.ResponseWriter, err error) {
	var why *refusal
	var told *schemas.Refusal
	switch {
	case errors.As(err, &why):
	case errors.As(err, &told) && told.Code != "CPIS-W007" && told.Code != "CPIS-W009":
		why = denied(string(told.Code) + ": " + told.Reason)
	default: // that it cannot be told is no "none"
		if told == nil {
			d.log.Error("a search could not be answered", "error", err)
		}
		why = &refusal{http.StatusServiceUnavailable, "transient", "SERVICE_UNAVAILABLE", "It cannot be told just now: that is no answer", "use the local fallback, and try again"}
	}
	write(w, why.status, operationOutcome{"OperationOutcome", []issue{{"error", why.kind, concept{[]coding{{systemError, why.code, why.display}}}, why.fault}}})
}
