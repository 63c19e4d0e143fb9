package connectors

import (
	"encoding/json"
	"errors"
	"net/http"
	"sync"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"cpis/schemas"
)

// Problem is a refusal of a whole request (RFC 9457), with the broker's own
// code, the field, the reason and what to do. Its title and fix come from the
// catalogue of codes; it repeats nothing that was sent.
type Problem struct {
	Type   string       `json:"type"`
	Title  string       `json:"title"`
	Status int          `json:"status"`
	Code   schemas.Code `json:"code"`
	Where  string       `json:"where"`
	Reason string       `json:"reason"`
	Fix    string       `json:"fix"`
	File   string       `json:"file_code,omitempty"` // CPF01 to CPF06, where the request was a file
}

// NewProblem explains a refusal.
func NewProblem(status int, r *schemas.Refusal) *Problem {
	e, _ := schemas.Explain(string(r.Code))
	return &Problem{Type: "about:blank", Title: e.Title, Status: status, Code: r.Code, Where: r.Location, Reason: r.Reason, Fix: e.Fix}
}

func (p *Problem) Error() string {
	return (&schemas.Refusal{Code: p.Code, Location: p.Where, Reason: p.Reason}).Error()
}

// Refuse answers a request that no REST interface describes with a Problem.
func Refuse(w http.ResponseWriter, status int, r *schemas.Refusal) {
	p := NewProblem(status, r)
	w.Header().Set("Content-Type", p.ContentType(""))
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p)
}

func (p *Problem) GetStatus() int            { return p.Status }
func (p *Problem) ContentType(string) string { return "application/problem+json" }

// problems makes the library's own refusals Problems. The library keeps the
// function in a variable of its package, so it is set once, for all.
var problems sync.Once

// NewAPI begins the description of a REST interface on a mux: /openapi.json and
// /openapi.yaml are made from what is registered.
func NewAPI(mux humago.Mux, version string) huma.API {
	problems.Do(func() {
		huma.NewError = func(status int, msg string, errs ...error) huma.StatusError {
			r := &schemas.Refusal{Code: "CPIS-W001", Location: "request", Reason: msg}
			var detail *huma.ErrorDetail
			if len(errs) > 0 && errors.As(errs[0], &detail) { // its value is what was sent: not repeated
				r.Location, r.Reason = detail.Location, detail.Message
			}
			return NewProblem(status, r)
		}
	})
	c := huma.DefaultConfig("CP-IS broker", version)
	c.DocsPath, c.SchemasPath = "", "" // the pages would load scripts from elsewhere
	c.RejectUnknownQueryParameters = true
	c.CreateHooks = nil // no links to schema pages
	c.Info.Description = "Ways in for local authorities, notices to them, and what care settings tell about opened answers. Codes are explained by `cpis explain CODE`. No NHS number and no name ever stands in an address."
	return humago.New(mux, c)
}
