package socialcare

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"text/tabwriter"
	"time"

	"cpis/schemas"
)

// Contacts is how to reach an authority, as it is sent.
type Contacts struct {
	Authority      schemas.AuthorityCode `json:"authority"`
	Name           string                `json:"name"`
	OfficePhone    string                `json:"office_phone"`
	OfficeHours    string                `json:"office_hours"`
	EmergencyPhone string                `json:"emergency_phone"`
}

const maxContacts = 64 << 10 // bytes

// uploadTime bounds one file, from its first byte to the answer.
const uploadTime = 2 * time.Minute

// Routes adds the pages of this door.
func (s *Service) Routes(mux *http.ServeMux) {
	mux.HandleFunc("POST /v1/authorities/{code}/indicators", s.upload)
	mux.HandleFunc("PUT /v1/authorities/{code}/contacts", s.contacts)
	mux.HandleFunc("GET /v1/authorities/{code}/template.csv", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", CSV)
		fmt.Fprintln(w, strings.Join(Columns(), ","))
	})
}

func (s *Service) upload(w http.ResponseWriter, r *http.Request) {
	code, ok := authority(w, r)
	if !ok {
		return
	}
	format, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || format != CSV && format != JSONL {
		problem(w, http.StatusUnsupportedMediaType, &schemas.Refusal{Code: "CPIS-L020", Location: "Content-Type", Reason: "neither " + CSV + " nor " + JSONL})
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), uploadTime)
	defer cancel()
	result, err := s.Take(ctx, code, format, r.Body)
	if s.failed(w, err) {
		return
	}
	answer(w, http.StatusOK, result)
}

func (s *Service) contacts(w http.ResponseWriter, r *http.Request) {
	code, ok := authority(w, r)
	if !ok {
		return
	}
	var c Contacts
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxContacts))
	d.DisallowUnknownFields()
	if err := d.Decode(&c); err != nil {
		problem(w, http.StatusBadRequest, &schemas.Refusal{Code: "CPIS-L024", Location: "body", Reason: "not one JSON object with the fields of contacts"})
		return
	}
	bad := ""
	switch {
	case c.Authority != "" && c.Authority != code:
		bad = "authority"
	case strings.TrimSpace(c.Name) == "":
		bad = "name"
	case strings.TrimSpace(c.EmergencyPhone) == "":
		bad = "emergency_phone"
	}
	if bad != "" {
		problem(w, http.StatusBadRequest, &schemas.Refusal{Code: "CPIS-L024", Location: bad, Reason: "missing, or not this authority's"})
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), uploadTime)
	defer cancel()
	defer s.exclusively(code)()
	held, _ := s.store.Authority(code)
	a := schemas.Authority{Code: code, Name: c.Name, OfficePhone: c.OfficePhone, OfficeHours: c.OfficeHours, EmergencyPhone: c.EmergencyPhone,
		UpdatedAt: s.config.Now(), LastLoadAt: held.LastLoadAt, Version: held.Version + 1}
	if s.failed(w, s.store.PublishAuthority(ctx, a)) {
		return
	}
	answer(w, http.StatusOK, map[string]any{"authority": code, "version": a.Version})
}

func authority(w http.ResponseWriter, r *http.Request) (schemas.AuthorityCode, bool) {
	code := schemas.AuthorityCode(r.PathValue("code"))
	if !code.Valid() {
		problem(w, http.StatusBadRequest, &schemas.Refusal{Code: "CPIS-L022", Location: "authority", Reason: "not the code of an authority"})
		return "", false
	}
	return code, true
}

// failed answers an error, if there is one.
func (s *Service) failed(w http.ResponseWriter, err error) bool {
	var refusal *schemas.Refusal
	switch {
	case err == nil:
		return false
	case errors.As(err, &refusal):
		problem(w, http.StatusBadRequest, refusal)
	default:
		s.log.Error("upload not taken", "error", err)
		problem(w, http.StatusServiceUnavailable, &schemas.Refusal{Code: "CPIS-L025", Location: "broker", Reason: "nothing of the file was lost, and some of it may be in"})
	}
	return true
}

// Problem is a refusal of a whole request (RFC 9457).
type Problem struct {
	Type   string       `json:"type"`
	Title  string       `json:"title"`
	Status int          `json:"status"`
	Code   schemas.Code `json:"code"`
	Where  string       `json:"where"`
	Reason string       `json:"reason"`
	Fix    string       `json:"fix"`
	File   string       `json:"file_code,omitempty"`
}

func problem(w http.ResponseWriter, status int, r *schemas.Refusal) {
	e, _ := schemas.Explain(string(r.Code))
	p := Problem{Type: "about:blank", Title: e.Title, Status: status, Code: r.Code, Where: r.Location, Reason: r.Reason, Fix: e.Fix, File: "CPF01"}
	if status == http.StatusServiceUnavailable {
		p.File = "CPF05"
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(p)
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

// Upload sends a file to a broker. A *schemas.Refusal is the broker's answer
// that the file as a whole cannot be used.
func Upload(ctx context.Context, server string, code schemas.AuthorityCode, format string, body io.Reader) (Result, error) {
	var result Result
	err := call(ctx, http.MethodPost, server, code, "indicators", format, body, &result)
	return result, err
}

// PutContacts sends an authority's contacts to a broker.
func PutContacts(ctx context.Context, server string, code schemas.AuthorityCode, body io.Reader) error {
	return call(ctx, http.MethodPut, server, code, "contacts", "application/json", body, &struct{}{})
}

func call(ctx context.Context, method, server string, code schemas.AuthorityCode, what, format string, body io.Reader, into any) error {
	ctx, cancel := context.WithTimeout(ctx, uploadTime)
	defer cancel()
	address, err := url.JoinPath(server, "v1", "authorities", string(code), what)
	if err != nil {
		return fmt.Errorf("send file: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, method, address, body)
	if err != nil {
		return fmt.Errorf("send file: %w", err)
	}
	req.Header.Set("Content-Type", format)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("send file: %w", err)
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(res.Body, MaxFile*4))
	if err != nil {
		return fmt.Errorf("read answer: %w", err)
	}
	if res.StatusCode != http.StatusOK {
		var p Problem
		if json.Unmarshal(text, &p) == nil && p.Code != "" {
			return &schemas.Refusal{Code: p.Code, Location: p.Where, Reason: p.Reason}
		}
		return fmt.Errorf("send file: the broker answered %s", res.Status)
	}
	return json.NewDecoder(bytes.NewReader(text)).Decode(into)
}

// Table writes the result for people: the sums, and a line for each row that
// is not simply in.
func (r Result) Table(w io.Writer) error {
	fmt.Fprintf(w, "%s  %s\n%d received, %d accepted, %d unchanged, %d refused  (upload %s)\n", r.FileCode, r.FileWords, r.Received, r.Accepted, r.Unchanged, r.Refused, r.UploadID)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "ROW\tRECORD\tCODE\tOUTCOME\tDETAIL\tWHERE\tWHAT TO DO")
	for _, v := range r.Verdicts {
		where := v.Field
		if v.Reason != "" {
			where += ": " + v.Reason
		}
		fmt.Fprintf(t, "%d\t%s\t%s\t%s\t%s\t%s\t%s\n", v.Row, v.RecordID, v.Code, v.Outcome, v.Detail, where, v.Fix)
	}
	return t.Flush()
}
