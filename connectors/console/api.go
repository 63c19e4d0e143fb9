package console

import (
	"encoding/json"
	"errors"
	"net/http"
	"slices"

	"cpis/connectors"
	"cpis/connectors/identity"
	"cpis/schemas"
)

// maxBody is the largest request taken.
const maxBody = 4 << 10

// Routes are those of people who are signed in. NHS numbers stand in bodies alone.
func (d *Desk) Routes() map[string]http.HandlerFunc {
	return map[string]http.HandlerFunc{"GET /v1/me": d.me, "POST /v1/people/find": d.find, "POST /v1/people/open": d.show, "POST /v1/people/glass": d.breakGlass, "GET /v1/people/reviews": d.reviews}
}

func (d *Desk) me(w http.ResponseWriter, r *http.Request) {
	worker := identity.From(r.Context()).Worker
	may := map[identity.Action]bool{}
	for _, a := range identity.Actions() {
		for _, s := range identity.RecordStates() {
			may[a] = may[a] || identity.May(worker.Roles, a, s) != identity.Denied
		}
	}
	respond(w, map[string]any{"name": worker.Name, "role": worker.RoleName, "organisation": worker.ODS, "signed_in": worker.SignedIn.UTC(), "may": may})
}

// asked is the body of every request.
type asked struct {
	NHSNumber string      `json:"nhs_number"`
	Handle    string      `json:"handle"`
	Reason    GlassReason `json:"reason"`
}

func read(w http.ResponseWriter, r *http.Request) (asked, bool) {
	var a asked
	in := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
	in.DisallowUnknownFields()
	if err := in.Decode(&a); err != nil {
		fail(w, &schemas.Refusal{Code: "CPIS-W001", Location: "body", Reason: "not one JSON object with nhs_number, handle or reason"})
		return a, false
	}
	return a, true
}

func number(w http.ResponseWriter, a asked) (schemas.NHSNumber, bool) {
	n, err := schemas.ParseNHSNumber(a.NHSNumber)
	if err != nil {
		fail(w, &schemas.Refusal{Code: "CPIS-W001", Location: "body.nhs_number", Reason: "not an NHS number"})
	}
	return n, err == nil
}

func (d *Desk) find(w http.ResponseWriter, r *http.Request) {
	a, ok := read(w, r)
	if !ok {
		return
	}
	n, ok := number(w, a)
	if !ok {
		return
	}
	list, err := d.List(r.Context(), identity.From(r.Context()).Worker, n)
	if err != nil {
		d.refuse(w, err)
		return
	}
	respond(w, map[string]any{"answers": list, "words": "Answers that show a plan, of people your organisation registered in the last 24 hours. That there is none here does not mean that there is no concern."})
}

func (d *Desk) show(w http.ResponseWriter, r *http.Request) {
	a, ok := read(w, r)
	if !ok {
		return
	}
	s, err := d.Open(r.Context(), identity.From(r.Context()).Worker, a.Handle)
	if err != nil {
		d.refuse(w, err)
		return
	}
	respond(w, s)
}

func (d *Desk) breakGlass(w http.ResponseWriter, r *http.Request) {
	a, ok := read(w, r)
	if !ok {
		return
	}
	n, ok := number(w, a)
	if !ok {
		return
	}
	plans, until, err := d.Break(r.Context(), identity.From(r.Context()).Worker, n, a.Reason)
	if err != nil {
		d.refuse(w, err)
		return
	}
	words := "The authorities named were told that you looked, and so was your privacy officer."
	if len(plans) == 0 {
		words = "No local authority has shared a plan for this NHS number. This does not mean there is no concern. Your privacy officer was told that you looked."
	}
	respond(w, map[string]any{"plans": plans, "until": until.UTC(), "words": words})
}

func (d *Desk) reviews(w http.ResponseWriter, r *http.Request) {
	list, err := d.Reviews(r.Context(), identity.From(r.Context()).Worker)
	if err != nil {
		d.refuse(w, err)
		return
	}
	slices.SortStableFunc(list, func(a, b ReviewItem) int { return b.At.Compare(a.At) })
	respond(w, map[string]any{"reviews": list})
}

func respond(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_ = json.NewEncoder(w).Encode(v)
}

// refuse answers with a refusal, or that it cannot be done now.
func (d *Desk) refuse(w http.ResponseWriter, err error) {
	var refusal *schemas.Refusal
	if !errors.As(err, &refusal) {
		d.log.Error("a person could not be answered", "error", err)
		refusal = &schemas.Refusal{Code: "CPIS-W009", Location: "broker", Reason: "cannot be told just now"}
	}
	fail(w, refusal)
}

func fail(w http.ResponseWriter, r *schemas.Refusal) { connectors.Refuse(w, statusOf(r), r) }

// statusOf is the HTTP status of a refusal.
func statusOf(r *schemas.Refusal) int {
	switch r.Code {
	case "CPIS-W006":
		return http.StatusForbidden
	case "CPIS-W007", "CPIS-W009":
		return http.StatusServiceUnavailable
	case "CPIS-W008":
		return http.StatusUnauthorized
	}
	return http.StatusBadRequest
}
