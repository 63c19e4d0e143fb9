package notice

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"cpis/connectors"
	"cpis/schemas"
)

// Store is what this door needs of the broker. All methods are safe for concurrent
// use.
type Store interface {
	// Notices gives an authority's notices from a cursor on, at most limit of them,
	// and the cursor behind the last; it waits for the first until the wait is over.
	// An empty cursor is the oldest that is kept. ErrCursor means that the cursor
	// is none.
	Notices(ctx context.Context, code schemas.AuthorityCode, cursor string, limit int, wait time.Duration) ([]schemas.Notice, string, error)
	// Find gives one notice of an authority.
	Find(ctx context.Context, code schemas.AuthorityCode, id string) (schemas.Notice, bool, error)
	// Answer puts on record what an authority says to a notice: nil means durable.
	Answer(ctx context.Context, n schemas.Notice, answer schemas.Answer, callBy time.Time) error
	// View puts on record that an answer was opened: nil means durable. ok is false
	// where there is no such answer.
	View(ctx context.Context, handle string, who schemas.Access, at time.Time) (ok bool, err error)
}

// ErrCursor means that a cursor is not one of the authority's.
var ErrCursor = errors.New("no such cursor")

// Door is where authorities fetch and answer notices, and care settings tell that
// an answer was opened.
type Door struct {
	store Store
	log   *slog.Logger
	now   func() time.Time
}

// NewDoor makes the door.
func NewDoor(store Store, log *slog.Logger) *Door { return &Door{store, log, time.Now} }

// Limits of the door.
const (
	maxBody  = 16 << 10
	maxAhead = 7 * 24 * time.Hour // how far ahead a call may be promised
)

// Owner is the authority in an address.
type Owner struct {
	Code schemas.AuthorityCode `path:"code" pattern:"^[A-Z0-9]{3,9}$" doc:"Code of the local authority."`
}

// Fetched are notices and where to go on.
type Fetched struct {
	Notices []Event `json:"notices" doc:"Oldest first."`
	Cursor  string  `json:"cursor" doc:"Give it as after the next time."`
	More    bool    `json:"more" doc:"There may be more now."`
}

// Answered is what an authority says to a notice.
type Answered struct {
	Answer schemas.Answer `json:"answer" enum:"RECEIVED,WILL_CALL,CALL_US,NOT_OURS" doc:"RECEIVED somebody has seen it, WILL_CALL the duty worker will call, CALL_US ring us, NOT_OURS we do not protect this person any more."`
	CallBy *time.Time     `json:"call_by,omitempty" doc:"With WILL_CALL, until when."`
}

// Viewed is that somebody opened an answer.
type Viewed struct {
	Handle string     `json:"handle" maxLength:"64" doc:"OBX HANDLE of the answer."`
	UserID string     `json:"user_id" minLength:"1" maxLength:"64" doc:"User id of whoever looked, such as the SDS user id."`
	Name   string     `json:"name" minLength:"1" maxLength:"100"`
	Role   string     `json:"role" minLength:"1" maxLength:"100" doc:"Job role, such as R0260 General Medical Practitioner."`
	At     *time.Time `json:"at,omitempty" doc:"When; now if absent."`
}

type body[T any] struct{ Body T }

// Register adds the door to a REST interface.
func (d *Door) Register(api huma.API) {
	op := func(id, method, path, summary, more, tag string) huma.Operation {
		return huma.Operation{OperationID: id, Method: method, Path: path, Summary: summary, Description: more, Tags: []string{tag}, MaxBodyBytes: maxBody,
			Errors: []int{http.StatusBadRequest, http.StatusNotFound, http.StatusServiceUnavailable}}
	}
	huma.Register(api, op("fetch-notices", http.MethodGet, "/v1/authorities/{code}/notices", "Fetch notices", "With wait, the answer comes as soon as there is one.", "Local authorities"), d.fetch)
	huma.Register(api, op("answer-notice", http.MethodPost, "/v1/authorities/{code}/notices/{id}/answer", "Answer a notice", "The care setting is told. A later answer replaces an earlier one.", "Local authorities"), d.answer)
	huma.Register(api, op("note-view", http.MethodPost, "/v1/views", "Note that an answer was opened", "By care settings whose own system shows the answers. The local authority is told where the setting's policy says so.", "Care settings"), d.view)
}

func (d *Door) fetch(ctx context.Context, in *struct {
	Owner
	After string `query:"after" maxLength:"40" doc:"Cursor of the last answer; empty for the oldest that is kept, 30 days."`
	Limit int    `query:"limit" minimum:"1" maximum:"500" default:"100"`
	Wait  int    `query:"wait" minimum:"0" maximum:"55" default:"0" doc:"Seconds to wait for the first."`
}) (*body[Fetched], error) {
	notices, cursor, err := d.store.Notices(ctx, in.Code, in.After, in.Limit, time.Duration(in.Wait)*time.Second)
	if errors.Is(err, ErrCursor) {
		return nil, connectors.NewProblem(http.StatusBadRequest, &schemas.Refusal{Code: "CPIS-W001", Location: "query.after", Reason: "not a cursor of this authority"})
	}
	if err != nil {
		return nil, d.later(err)
	}
	out := Fetched{Notices: []Event{}, Cursor: cursor, More: len(notices) == in.Limit}
	for _, n := range notices {
		out.Notices = append(out.Notices, Render(n))
	}
	return &body[Fetched]{out}, nil
}

func (d *Door) answer(ctx context.Context, in *struct {
	Owner
	ID   string `path:"id" maxLength:"64" doc:"Id of the notice."`
	Body Answered
}) (*body[Answered], error) {
	err := d.Answer(ctx, in.Code, in.ID, in.Body)
	var refusal *schemas.Refusal
	switch {
	case errors.As(err, &refusal) && refusal.Code == "CPIS-L037":
		return nil, connectors.NewProblem(http.StatusNotFound, refusal)
	case errors.As(err, &refusal):
		return nil, connectors.NewProblem(http.StatusBadRequest, refusal)
	case err != nil:
		return nil, d.later(err)
	}
	return &body[Answered]{in.Body}, nil
}

// Answer takes what an authority says to a notice. nil means that it is on record. A
// *schemas.Refusal means that it cannot be used.
func (d *Door) Answer(ctx context.Context, code schemas.AuthorityCode, id string, a Answered) error {
	var by time.Time
	if a.CallBy != nil {
		by = a.CallBy.UTC().Truncate(time.Second)
	}
	now := d.now()
	switch {
	case !slices.Contains(schemas.Answers(), a.Answer):
		return &schemas.Refusal{Code: "CPIS-L038", Location: "answer", Reason: "none of the list"}
	case !by.IsZero() && (a.Answer != schemas.AnswerWillCall || by.Before(now.Add(-time.Minute)) || by.After(now.Add(maxAhead))):
		return &schemas.Refusal{Code: "CPIS-L038", Location: "call_by", Reason: "only with WILL_CALL, and within seven days from now"}
	}
	n, ok, err := d.store.Find(ctx, code, id)
	if err != nil {
		return err
	}
	if !ok {
		return &schemas.Refusal{Code: "CPIS-L037", Location: "id", Reason: "no notice of this authority has it"}
	}
	return d.store.Answer(ctx, n, a.Answer, by)
}

// AnswerText is Answer for an answer as JSON, such as a file.
func (d *Door) AnswerText(ctx context.Context, code schemas.AuthorityCode, id string, text []byte) error {
	var a Answered
	in := json.NewDecoder(bytes.NewReader(text))
	in.DisallowUnknownFields()
	if len(text) > maxBody || in.Decode(&a) != nil {
		return &schemas.Refusal{Code: "CPIS-L038", Location: "file", Reason: "not one JSON object with answer and call_by"}
	}
	return d.Answer(ctx, code, id, a)
}

func (d *Door) view(ctx context.Context, in *struct{ Body Viewed }) (*struct{}, error) {
	v := in.Body
	for where, text := range map[string]string{"body.user_id": v.UserID, "body.name": v.Name, "body.role": v.Role} {
		if strings.TrimSpace(text) == "" {
			return nil, connectors.NewProblem(http.StatusBadRequest, &schemas.Refusal{Code: "CPIS-W001", Location: where, Reason: "missing"})
		}
	}
	var at time.Time
	if v.At != nil {
		at = *v.At
	}
	ok, err := d.store.View(ctx, v.Handle, schemas.Access{WorkerID: v.UserID, WorkerName: v.Name, WorkerRole: v.Role}, at)
	if err != nil {
		return nil, d.later(err)
	}
	if !ok {
		return nil, connectors.NewProblem(http.StatusNotFound, &schemas.Refusal{Code: "CPIS-L039", Location: "body.handle", Reason: "no answer that shows a plan has it, or the time is not after it"})
	}
	return nil, nil
}

// later is the answer where the broker cannot do it just now.
func (d *Door) later(err error) error {
	d.log.Error("a request could not be answered", "error", err)
	return connectors.NewProblem(http.StatusServiceUnavailable, &schemas.Refusal{Code: "CPIS-L025", Location: "broker", Reason: "cannot be done just now"})
}
