package console

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"cpis/connectors/feed"
	"cpis/connectors/identity"
	"cpis/schemas"
)

// Engine is what the pages of operators and engineers stand on. Nothing in it names a
// person or tells an answer. Its functions are safe for concurrent use and take no longer
// than a page may: what is slow is made ready beside them.
type Engine struct {
	Flow    func() Flow
	Feeds   func() []Connection
	Letters func() []LetterGroup
	// Group lists the open dead letters of a code, the newest first, at most limit.
	Group func(code schemas.Code, limit int) []Letter
	// Try says what replaying letters would do, and changes nothing.
	Try func(ctx context.Context, ids []int64) (Trial, error)
	// Replay puts letters back where they came from, on record; Discard closes one.
	Replay  func(ctx context.Context, w *identity.Worker, ids []int64) (Trial, error)
	Discard func(ctx context.Context, w *identity.Worker, id int64, reason string) error
	// Trace follows one message through every hop, by the control id its sender gave it.
	Trace func(ctx context.Context, feed, control string) ([]Hop, error)
	// Ledger is the last account that was made up. Asking has another made up if it is
	// older than a minute.
	Ledger func() Ledger
	// Explain says what would become of a message, and keeps nothing.
	Explain func(text string) ([]feed.Explanation, error)
	// Ready is how far a feed has come.
	Ready func(feed string) []Check
}

// Flow is how records flow from hop to hop.
type Flow struct {
	At     time.Time // of the last look
	Edges  []Edge
	Index  IndexState
	Supply []Supply
}

// Edge is a topic and who reads it.
type Edge struct {
	From, Topic, To string
	PerMinute       float64
	Waiting         int64         // records that are not worked off; -1 where nobody keeps count
	Oldest          time.Duration // how old the first of them is
	Errors          int64         // set aside in the last day
}

// Trouble reports that an edge wants looking at.
func (e Edge) Trouble() bool { return e.Errors > 0 || e.Oldest > time.Minute }

// IndexState is how the index of plans is.
type IndexState struct {
	Whole    bool
	Position int64
	Behind   int64 // records of its topic that it has not taken in
	Problem  string
}

// Supply is how fresh the plans of an authority are.
type Supply struct {
	Name string
	Code schemas.AuthorityCode
	Last time.Time
	Late bool
}

// Connection is a feed as those know it who run integration engines.
type Connection struct {
	Feed
	Received, Refused, Queued, Sent int64 // of the last day
	Acknowledged                    int64
	Reasons                         []schemas.Count // of the refused, by code
	Last, LastRefused               time.Time
	Days                            int    // for which the sender's certificate is still good
	Certificate                     string // words, where there are no days to tell
	Reply                           bool   // answers go back
}

// Status is how a feed is, in a word and a shape.
func (c Connection) Status(now time.Time) Tag {
	switch {
	case c.Last.IsZero():
		return Tag{"Nothing yet", "grey", "–"}
	case c.Queued > 0 && c.Reply:
		return Tag{"Answers wait", "orange", "△"}
	case c.LastRefused.After(c.Last):
		return Tag{"Last was refused", "yellow", "!"}
	case now.Sub(c.Last) > 12*time.Hour:
		return Tag{"Quiet", "yellow", "…"}
	}
	return Tag{"Working", "green", "✓"}
}

// LetterGroup is the open dead letters of one code.
type LetterGroup struct {
	Code        schemas.Code
	Origin      string
	Count       int
	First, Last time.Time
}

// Letter is a dead letter. It holds nothing of what was sent.
type Letter struct {
	ID            int64
	At            time.Time
	Origin, Feed  string
	Control       string
	Location      string
	Bytes         int
	Replayable    bool
	NotReplayable string // why
}

// Trial is what replaying did, or would do.
type Trial struct {
	Pass, Fail int
	Reasons    []schemas.Count // of those that fail, by code
}

// Hop is one place a message has been.
type Hop struct {
	Name  string
	At    time.Time
	After time.Duration // since it was taken
	Where string        // topic, partition and offset
	Words string
	Done  bool
}

// Ledger is an account of the last day.
type Ledger struct {
	Lines    []LedgerLine
	Missing  []LedgerGap
	At       time.Time // zero where none was made up yet
	Took     time.Duration
	Running  bool
	Problem  string
	Balanced bool
}

// LedgerLine is the account of one feed.
type LedgerLine struct {
	Feed                                                                  string
	Received, Refused, Acknowledged, NoCheck, Decided, Audited, Delivered int
	SetAside, Missing                                                     int
}

// LedgerGap is a message that the account misses.
type LedgerGap struct{ ControlID, EventID, What string }

// operates reports whether whoever asks runs the broker; otherwise they are told no.
func (c *Console) operates(w http.ResponseWriter, r *http.Request) (*identity.Worker, bool) {
	worker := identity.From(r.Context()).Worker
	if !identity.Can(worker.Roles, identity.Operate) {
		c.notYours(w, r)
		return nil, false
	}
	return worker, true
}

type operationsPage struct {
	Flow        Flow
	Map         flowMap
	Connections []Connection
	Now         time.Time
}

// operations shows how everything flows.
func (c *Console) operations(w http.ResponseWriter, r *http.Request) {
	if _, ok := c.operates(w, r); !ok {
		return
	}
	b := operationsPage{Flow: c.engine.Flow(), Connections: c.engine.Feeds(), Now: c.now()}
	b.Map = mapOf(b.Flow)
	c.show(w, r, http.StatusOK, "operations", page{Title: "Operations", Active: "/operations", Wide: true, Refresh: refreshEvery, Body: b})
}

// lettersShown is how many letters of a group are shown, and replayed, at a time.
const lettersShown = 100

type lettersPage struct {
	Groups []LetterGroup
	Code   schemas.Code
	List   []Letter
	Trial  *Trial
	Said   string
	Why    []string // reasons for discarding
}

// letters shows dead letters, by code.
func (c *Console) letters(w http.ResponseWriter, r *http.Request) {
	if _, ok := c.operates(w, r); !ok {
		return
	}
	c.showLetters(w, r, lettersPage{Code: schemas.Code(r.URL.Query().Get("code"))})
}

func (c *Console) showLetters(w http.ResponseWriter, r *http.Request, b lettersPage) {
	b.Groups, b.Why = c.engine.Letters(), DiscardReasons()
	if b.Code != "" {
		b.List = c.engine.Group(b.Code, lettersShown)
	}
	c.show(w, r, http.StatusOK, "letters", page{Title: "Dead letters", Active: "/operations", Wide: true, Body: b})
}

// decideLetters tries, replays or discards letters.
func (c *Console) decideLetters(w http.ResponseWriter, r *http.Request) {
	worker, ok := c.operates(w, r)
	if !ok {
		return
	}
	if err := r.ParseForm(); err != nil {
		c.refused(w, r, &schemas.Refusal{Code: "CPIS-W001", Location: "form", Reason: "cannot be read"})
		return
	}
	b := lettersPage{Code: schemas.Code(r.PostForm.Get("code"))}
	var ids []int64
	for _, text := range r.PostForm["id"] {
		id, err := strconv.ParseInt(text, 10, 64)
		if err != nil || len(ids) == lettersShown {
			c.refused(w, r, &schemas.Refusal{Code: "CPIS-W001", Location: "id", Reason: "not the id of a dead letter, or more than 100"})
			return
		}
		ids = append(ids, id)
	}
	var err error
	var t Trial
	switch {
	case len(ids) == 0:
		b.Said = "Choose at least one."
	case r.PathValue("verb") == "try":
		if t, err = c.engine.Try(r.Context(), ids); err == nil {
			b.Trial = &t
		}
	case r.PathValue("verb") == "replay":
		if t, err = c.engine.Replay(r.Context(), worker, ids); err == nil {
			b.Said = fmt.Sprintf("%d replayed, %d not.", t.Pass, t.Fail)
		}
	case r.PathValue("verb") == "discard":
		reason := r.PostForm.Get("reason")
		if !slices.Contains(DiscardReasons(), reason) {
			b.Said = "Choose why they are not needed."
			break
		}
		for _, id := range ids {
			if err == nil {
				err = c.engine.Discard(r.Context(), worker, id, reason)
			}
		}
		if err == nil {
			b.Said = count(len(ids), "dead letter") + " discarded."
		}
	}
	if err != nil {
		c.refused(w, r, err)
		return
	}
	c.showLetters(w, r, b)
}

// DiscardReasons are why a dead letter is not needed. The list is closed, for free text
// would bring what must not be kept.
func DiscardReasons() []string {
	return []string{"SENT_AGAIN", "TEST_MESSAGE", "NOT_FOR_US", "DEALT_WITH_BY_TELEPHONE"}
}

type messagePage struct {
	Feeds         []Feed
	Feed, Control string
	Asked         bool
	Hops          []Hop
}

// message follows one message through every hop.
func (c *Console) message(w http.ResponseWriter, r *http.Request) {
	if _, ok := c.operates(w, r); !ok {
		return
	}
	b := messagePage{Feeds: c.boards.Feeds()}
	if r.Method == http.MethodPost {
		b.Asked, b.Feed, b.Control = true, r.PostFormValue("feed"), strings.TrimSpace(r.PostFormValue("control"))
		var err error
		if b.Hops, err = c.engine.Trace(r.Context(), b.Feed, b.Control); err != nil {
			c.refused(w, r, err)
			return
		}
	}
	c.show(w, r, http.StatusOK, "message", page{Title: "One message", Active: "/operations", Body: b})
}

// ledger shows the account of the last day.
func (c *Console) ledger(w http.ResponseWriter, r *http.Request) {
	if _, ok := c.operates(w, r); !ok {
		return
	}
	l := c.engine.Ledger()
	refresh := 0
	if l.Running {
		refresh = 2
	}
	c.show(w, r, http.StatusOK, "ledger", page{Title: "Ledger", Active: "/operations", Wide: true, Refresh: refresh, Body: l})
}

// flowMap is a drawing of the flow.
type flowMap struct {
	Width, Height int
	Lines         []flowLine
}

type flowLine struct {
	Edge
	Y     int
	State Tag
}

// Measures of the map, in SVG units.
const (
	flowLineHeight = 58
	flowWidth      = 960
)

func mapOf(f Flow) flowMap {
	m := flowMap{Width: flowWidth, Height: len(f.Edges)*flowLineHeight + 10}
	for i, e := range f.Edges {
		state := Tag{"Flowing", "green", "✓"}
		switch {
		case e.Errors > 0:
			state = Tag{"Set aside", "red", "▲"}
		case e.Oldest > time.Minute:
			state = Tag{"Waiting", "orange", "△"}
		}
		m.Lines = append(m.Lines, flowLine{e, i*flowLineHeight + 10, state})
	}
	return m
}
