package socialcare

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"mime"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"cpis/connectors"
	"cpis/schemas"
)

// uploadTime bounds one file, from its first byte to the answer.
const uploadTime = 2 * time.Minute

const maxContacts = 64 << 10 // bytes

// clientVersions are the versions of the way in that are spoken, as the header
// Cpis-Client names them; empty where the client does not say.
func clientVersions() []string { return []string{"", "1"} }

// Owner is the authority in an address. (The library fills exported types alone.)
type Owner struct {
	Code schemas.AuthorityCode `path:"code" doc:"Code of the local authority."`
}

func (o Owner) check() error {
	if !o.Code.Valid() {
		return connectors.NewProblem(http.StatusBadRequest, &schemas.Refusal{Code: "CPIS-L022", Location: "authority", Reason: "not the code of an authority"})
	}
	return nil
}

// Named is an upload or snapshot in an address, and who acts.
type Named struct {
	Owner
	ID string `path:"id" doc:"Id of the upload or snapshot."`
	By string `query:"by" maxLength:"100" doc:"Who decides."`
}

// body wraps an answer.
type body[T any] struct{ Body T }

// Register adds this door to a REST interface. superseded counts the plans of an
// authority that stand under a number which is used no longer.
func (s *Service) Register(api huma.API, superseded func(schemas.AuthorityCode) int) {
	tags := []string{"Local authorities"}
	const at = "/v1/authorities/{code}"
	op := func(id, method, path, summary, more string) huma.Operation {
		return huma.Operation{OperationID: id, Method: method, Path: path, Summary: summary, Description: more, Tags: tags, MaxBodyBytes: maxContacts, BodyReadTimeout: uploadTime,
			Errors: []int{http.StatusBadRequest, http.StatusServiceUnavailable}}
	}
	huma.Register(api, s.uploadOperation(api, op), s.postRecords)
	huma.Register(api, op("stream-records", http.MethodPost, at+"/stream", "Stream records", "JSON Lines in, JSON Lines out: a verdict for each record, with its line in row, as soon as it is committed. A line that cannot be used at all ends the stream with a problem as its last line."), s.stream)
	huma.Register(api, op("get-contacts", http.MethodGet, at+"/contacts", "How to reach the authority", "With the number to ring now."),
		func(_ context.Context, in *Owner) (*body[Reached], error) {
			return answer(s, in.check(), func() (Reached, error) { return s.Reach(in.Code) })
		})
	huma.Register(api, op("put-contacts", http.MethodPut, at+"/contacts", "Replace the contacts", "Giving them says that they are right. With version, only if that version is held."),
		func(ctx context.Context, in *struct {
			Owner
			Body Contacts
		}) (*body[Reached], error) {
			return answer(s, in.check(), func() (Reached, error) { return s.PutContacts(ctx, in.Code, in.Body) })
		})
	huma.Register(api, op("confirm-contacts", http.MethodPost, at+"/contacts/confirm", "Say that the contacts are right", ""),
		func(ctx context.Context, in *Owner) (*body[Reached], error) {
			return answer(s, in.check(), func() (Reached, error) { return s.ConfirmContacts(ctx, in.Code) })
		})
	huma.Register(api, op("health", http.MethodGet, at+"/health", "Health of the authority's feed", ""),
		func(_ context.Context, in *Owner) (*body[Health], error) {
			return answer(s, in.check(), func() (Health, error) { return s.Health(in.Code, superseded(in.Code)) })
		})
	huma.Register(api, op("list-uploads", http.MethodGet, at+"/uploads", "Files and what became of them", "The newest first."),
		func(_ context.Context, in *Owner) (*body[[]Listed], error) {
			return answer(s, in.check(), func() ([]Listed, error) { return listed(s.Uploads(in.Code)), nil })
		})
	huma.Register(api, op("approve-upload", http.MethodPost, at+"/uploads/{id}/approve", "Take a file that waits", "By somebody other than who sent it."),
		func(ctx context.Context, in *Named) (*body[Result], error) {
			return answer(s, in.check(), func() (Result, error) { return s.Approve(ctx, in.Code, in.ID, in.By) })
		})
	huma.Register(api, op("cancel-upload", http.MethodPost, at+"/uploads/{id}/cancel", "Drop a file that waits", ""),
		func(ctx context.Context, in *Named) (*body[Listed], error) {
			return answer(s, in.check(), func() (Listed, error) {
				err := s.Cancel(ctx, in.Code, in.ID, in.By)
				u, _ := s.upload(in.Code, in.ID)
				return listedOf(u), err
			})
		})
	huma.Register(api, op("undo-upload", http.MethodPost, at+"/uploads/{id}/undo", "Put back what stood before a file", "For seven days. What has changed since stays."),
		func(ctx context.Context, in *Named) (*body[Undone], error) {
			return answer(s, in.check(), func() (Undone, error) { return s.Undo(ctx, in.Code, in.ID, in.By) })
		})
	huma.Register(api, op("begin-snapshot", http.MethodPost, at+"/snapshots", "Begin a full snapshot in several files", "Send the files with snapshot=ID, then commit within 24 hours."),
		func(ctx context.Context, in *struct {
			Owner
			By string `query:"by" maxLength:"100" doc:"Who sends it."`
		}) (*body[Listed], error) {
			return answer(s, in.check(), func() (Listed, error) {
				u, err := s.Begin(ctx, in.Code, in.By)
				return listedOf(u), err
			})
		})
	huma.Register(api, op("commit-snapshot", http.MethodPost, at+"/snapshots/{id}/commit", "Commit a full snapshot", "Plans that none of its files holds end today."),
		func(ctx context.Context, in *struct {
			Named
			Check bool `query:"check" doc:"Say what it would do, and change nothing."`
		}) (*body[Result], error) {
			return answer(s, in.check(), func() (Result, error) { return s.Finish(ctx, in.Code, in.ID, in.Check) })
		})
	for path, file := range map[string]struct{ media, text string }{"/v1/template.csv": {CSV, Template()}, "/v1/template.md": {"text/markdown; charset=utf-8", ColumnNotes()}} {
		huma.Register(api, op("template-"+strings.TrimPrefix(path, "/v1/template."), http.MethodGet, path, "Template of a file, and notes on its columns", ""),
			func(context.Context, *struct{}) (*huma.StreamResponse, error) {
				return &huma.StreamResponse{Body: func(c huma.Context) {
					c.SetHeader("Content-Type", file.media)
					_, _ = c.BodyWriter().Write([]byte(file.text))
				}}, nil
			})
	}
}

// Listed is a file as it is listed.
type Listed struct {
	UploadID string              `json:"upload_id"`
	State    schemas.UploadState `json:"state" doc:"TAKEN, WAITING, CANCELLED, UNDONE, or OPEN for a snapshot."`
	FileCode string              `json:"file_code,omitempty"`
	Sequence int64               `json:"sequence,omitempty"`
	At       time.Time           `json:"at"`
	Decided  *time.Time          `json:"decided_at,omitempty"`
	Counts   []schemas.Count     `json:"counts" doc:"Records by what became of them."`
	Details  []schemas.Count     `json:"details" doc:"Refused records by code."`
}

func listedOf(u schemas.Upload) Listed {
	l := Listed{UploadID: u.UploadID, State: u.State, FileCode: u.FileCode, Sequence: u.Sequence, At: u.At, Counts: append([]schemas.Count{}, u.Counts...), Details: append([]schemas.Count{}, u.Details...)}
	if !u.DecidedAt.IsZero() {
		l.Decided = &u.DecidedAt
	}
	return l
}

func listed(uploads []schemas.Upload) []Listed {
	out := []Listed{}
	for _, u := range uploads {
		out = append(out, listedOf(u))
	}
	return out
}

// answer runs what an operation does, and turns its error into a Problem.
func answer[T any](s *Service, refused error, do func() (T, error)) (*body[T], error) {
	if refused != nil {
		return nil, refused
	}
	v, err := do()
	if err != nil {
		return nil, s.problem(err)
	}
	return &body[T]{v}, nil
}

// problem explains an error to whoever sent the request.
func (s *Service) problem(err error) error {
	var refusal *schemas.Refusal
	if !errors.As(err, &refusal) {
		s.log.Error("upload not taken", "error", err)
		p := connectors.NewProblem(http.StatusServiceUnavailable, &schemas.Refusal{Code: "CPIS-L025", Location: "broker", Reason: "nothing of the file was lost, and some of it may be in"})
		p.File = fileResubmit
		return p
	}
	status, file := http.StatusBadRequest, fileCorrupt
	switch refusal.Code {
	case "CPIS-L032":
		status, file = http.StatusNotFound, ""
	case "CPIS-L024", "CPIS-L033":
		status, file = http.StatusConflict, ""
		if refusal.Code == "CPIS-L024" && refusal.Location != "version" {
			status = http.StatusBadRequest
		}
	case "CPIS-L035":
		file = fileUnsupported
	}
	p := connectors.NewProblem(status, refusal)
	p.File = file
	return p
}

// records is a request with records in it.
type records struct {
	Owner
	ContentType string `header:"Content-Type"`
	Client      string `header:"Cpis-Client" doc:"Version of the way in: 1."`
	Sequence    int64  `query:"sequence" minimum:"0" doc:"Number of the file: each has the next."`
	Records     int    `query:"records" minimum:"0" doc:"How many records the file should hold."`
	Full        bool   `query:"full" doc:"The file holds all plans there are: those that it does not hold end today."`
	Snapshot    string `query:"snapshot" doc:"Id of the full snapshot that the file is part of."`
	By          string `query:"by" maxLength:"100" doc:"Who sends it. Kept as a keyed id, to tell two people apart."`
	Check       bool   `query:"check" doc:"Say what the file would do, and write nothing."`
	Answer      string `query:"answer" enum:"verdicts,file" default:"verdicts" doc:"verdicts: JSON. file: the file itself, with the columns code and what_to_do."`
	RawBody     []byte `contentType:"text/csv"`
}

// uploadOperation describes the upload, whose request is one of three forms.
func (s *Service) uploadOperation(api huma.API, op func(id, method, path, summary, more string) huma.Operation) huma.Operation {
	o := op("post-records", http.MethodPost, "/v1/authorities/{code}/indicators", "Send plans", "A CSV file, JSON Lines, or one record as JSON. Every record gets a verdict; those that are good are in, whatever is wrong with others. The answer comes once they are committed. 202 means that the file waits for a second person.\n\n"+ColumnNotes())
	o.MaxBodyBytes, o.SkipValidateBody = MaxFile+2, true
	text := &huma.MediaType{Schema: &huma.Schema{Type: "string", Description: "UTF-8. Names as in the template."}}
	o.RequestBody = &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{CSV: text, JSONL: text, "application/json": {Schema: recordSchema()}}}
	result := &huma.MediaType{Schema: api.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[Result](), true, "Result")}
	content := map[string]*huma.MediaType{"application/json": result, CSV: text}
	o.Responses = map[string]*huma.Response{"200": {Description: "Every record has its verdict.", Content: content}, "202": {Description: "The file waits for a second person.", Content: content}}
	return o
}

// recordSchema is one record, made from the table of columns.
func recordSchema() *huma.Schema {
	out := &huma.Schema{Type: huma.TypeObject, Properties: map[string]*huma.Schema{}, AdditionalProperties: false}
	for _, c := range Table() {
		p := &huma.Schema{Type: huma.TypeString, Description: c.Means + " Form: " + c.Form + "."}
		switch c.Name {
		case "version":
			p.Type = huma.TypeInteger
		case "withdrawn":
			p.Type = huma.TypeBoolean
		}
		out.Properties[c.Name] = p
		if c.Needed == "always" {
			out.Required = append(out.Required, c.Name)
		}
	}
	return out
}

func (s *Service) postRecords(ctx context.Context, in *records) (*huma.StreamResponse, error) {
	if err := in.check(); err != nil {
		return nil, err
	}
	r := Request{Authority: in.Code, Sequence: in.Sequence, Records: in.Records, Full: in.Full, Snapshot: in.Snapshot, By: in.By, Check: in.Check}
	switch media, _, _ := mime.ParseMediaType(in.ContentType); media {
	case CSV, JSONL:
		r.Format = media
	case "application/json":
		r.Format, r.Stream = JSONL, true
		var one bytes.Buffer
		if json.Compact(&one, in.RawBody) != nil {
			return nil, s.problem(&schemas.Refusal{Code: "CPIS-L020", Location: "body", Reason: "not one JSON object"})
		}
		in.RawBody = one.Bytes()
	default:
		p := connectors.NewProblem(http.StatusUnsupportedMediaType, &schemas.Refusal{Code: "CPIS-L020", Location: "Content-Type", Reason: "none of " + CSV + ", " + JSONL + ", application/json"})
		p.File = fileCorrupt
		return nil, p
	}
	if !slices.Contains(clientVersions(), in.Client) {
		return nil, s.problem(&schemas.Refusal{Code: "CPIS-L035", Location: "Cpis-Client", Reason: "want " + strings.Join(clientVersions()[1:], ", ")})
	}
	ctx, cancel := context.WithTimeout(ctx, uploadTime)
	defer cancel()
	r.Body = bytes.NewReader(in.RawBody)
	result, err := s.Take(ctx, r)
	if err != nil {
		return nil, s.problem(err)
	}
	return &huma.StreamResponse{Body: func(c huma.Context) {
		status := http.StatusOK
		if result.State == schemas.UploadWaiting {
			status = http.StatusAccepted
		}
		if in.Answer == "file" {
			c.SetHeader("Content-Type", r.Format)
			c.SetHeader("Cpis-File-Code", result.FileCode)
			c.SetStatus(status)
			_ = Annotate(c.BodyWriter(), r.Format, in.RawBody, result.Verdicts)
			return
		}
		c.SetHeader("Content-Type", "application/json")
		c.SetStatus(status)
		_ = json.NewEncoder(c.BodyWriter()).Encode(result)
	}}, nil
}
