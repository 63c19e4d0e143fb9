package console

import (
	"errors"
	"log/slog"
	"net/http"
	"time"

	"cpis/connectors/identity"
	"cpis/schemas"
)

// maxForm is the largest form taken; files have a limit of their own.
const maxForm = 64 << 10

// Around is what stands around an answer. Its methods are safe for concurrent use.
type Around interface {
	// Told lists what authorities were told about an answer, in the order of time.
	Told(outcomeID string) []Told
	// Confirmed is when an authority last said that its telephone numbers are right.
	Confirmed(schemas.AuthorityCode) schemas.Date
}

// Config is what pages are made of.
type Config struct {
	Desk      *Desk
	Boards    Boards
	Around    Around
	Authority Authority
	Engine    Engine
	Live      *Live
	Place     *time.Location // whose clock people read
	Now       func() time.Time
	Log       *slog.Logger
	// Demo says on every page that everybody is invented.
	Demo bool
	// People knows who is signed in, for pages that are for everybody.
	People *identity.SignIn
}

// Console is the web pages.
type Console struct {
	*printer
	desk      *Desk
	boards    Boards
	told      Around
	authority Authority
	engine    Engine
	live      *Live
	drafts    drafts
	log       *slog.Logger
	people    *identity.SignIn
}

// New makes the pages.
func New(c Config) (*Console, error) {
	p, err := newPrinter(c.Place, c.Now, c.Log, c.Demo)
	if err != nil {
		return nil, err
	}
	return &Console{printer: p, desk: c.Desk, boards: c.Boards, told: c.Around, authority: c.Authority, engine: c.Engine, live: c.Live, drafts: drafts{now: c.Now}, log: c.Log, people: c.People}, nil
}

// Routes are those of the pages. NHS numbers stand in bodies alone.
func (c *Console) Routes() map[string]http.HandlerFunc {
	out := map[string]http.HandlerFunc{
		"GET /{$}": c.home, "GET /assets/{file}": c.asset, "GET /accessibility": c.accessibility,
		"GET /board": c.board, "GET /board/rows": c.boardRows, "GET /board/live": c.boardLive,
		"POST /answer": c.answer, "POST /answer/feedback": c.feedback, "GET /glass": c.breakGlassPage, "POST /glass": c.breakGlassPage,
		"GET /history": c.history, "POST /history": c.history, "POST /history/reviewed": c.historyReviewed,
		"GET /reviews": c.reviews, "POST /reviews/done": c.reviewed,
		"GET /authority": c.authorityHome, "GET /authority/plans": c.plans, "POST /authority/plans/check": c.checkPlans, "POST /authority/plans/send": c.sendPlans, "POST /authority/plans/rows": c.planRows,
		"GET /authority/files/{id}": c.file, "POST /authority/files/{id}/{verb}": c.decideFile, "GET /authority/contacts": c.contacts, "POST /authority/contacts": c.setContacts,
		"GET /authority/notices": c.notices, "POST /authority/notices/answer": c.answerNotice,
		"GET /operations": c.operations, "GET /operations/letters": c.letters, "POST /operations/letters/{verb}": c.decideLetters,
		"GET /operations/message": c.message, "POST /operations/message": c.message, "GET /operations/ledger": c.ledger,
		"GET /connect": c.connect, "POST /connect": c.connect, "GET /connect/{feed}": c.readiness,
	}
	for route, handle := range out {
		out[route] = func(w http.ResponseWriter, r *http.Request) {
			if route != "POST /authority/plans/check" {
				r.Body = http.MaxBytesReader(w, r.Body, maxForm)
			}
			handle(w, r)
		}
	}
	return out
}

// Unsigned leads a browser of somebody who is not signed in to where they can.
func (c *Console) Unsigned(w http.ResponseWriter, r *http.Request) {
	http.Redirect(w, r, "/?signed=out", http.StatusSeeOther)
}

// Refuse tells a browser that somebody could not be signed in.
func (c *Console) Refuse(w http.ResponseWriter, r *http.Request, status int, why *schemas.Refusal) {
	c.refuse(w, r, status, why)
}

// home leads whoever is signed in to their work, and says to everybody else what this is.
func (c *Console) home(w http.ResponseWriter, r *http.Request) {
	if worker, ok := c.people.Worker(r); ok {
		if m := menu(worker); len(m) > 0 {
			http.Redirect(w, r, m[0].Path, http.StatusSeeOther)
			return
		}
	}
	c.show(w, r, http.StatusOK, "home", page{Title: "Child protection information", Body: map[string]any{"SignedOut": r.URL.Query().Get("signed") == "out"}})
}

func (c *Console) accessibility(w http.ResponseWriter, r *http.Request) {
	c.show(w, r, http.StatusOK, "accessibility", page{Title: "Accessibility"})
}

// refused tells somebody why not, and what to do.
func (c *Console) refused(w http.ResponseWriter, r *http.Request, err error) {
	var refusal *schemas.Refusal
	if !errors.As(err, &refusal) {
		c.log.Error("a person could not be answered", "error", err)
		refusal = &schemas.Refusal{Code: "CPIS-W009", Location: "broker", Reason: "cannot be told just now"}
	}
	c.refuse(w, r, statusOf(refusal), refusal)
}
