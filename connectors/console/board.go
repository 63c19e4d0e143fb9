package console

import (
	"net/http"
	"strconv"
	"time"

	"cpis/connectors/identity"
	"cpis/schemas"
)

// Arrival is one visit as a board shows it: the care setting's own registration, and the
// answer to it.
type Arrival struct {
	Key      string // of the registration; names nobody
	Since    time.Time
	Place    string // where in the care setting, as the sender names it
	Person   schemas.Person
	Verified bool             // the NHS number is
	Answer   *schemas.Outcome // details sealed; nil while it is checked
	Opened   time.Time        // when the answer was opened first, zero where nobody has
}

// Feed is a care setting that sends registrations.
type Feed struct {
	Name    string
	ODS     schemas.ODSCode
	Setting schemas.CareSetting
}

// Freshness is how new what the answers rest on is.
type Freshness struct {
	Authorities int      // that share plans
	Lately      int      // of those, with a load in the time it is due
	Late        []string // names of the others
	Whole       bool     // the index is whole now, so that "no plan shared" can be said
}

// Boards is where boards come from. Its methods are safe for concurrent use.
type Boards interface {
	Feeds() []Feed
	// Board lists the visits of the last day, the newest first: a page of them, and how
	// many there are. ready is false while they are still being read.
	Board(feed string, page, size int) (list []Arrival, all int, ready bool)
	// Unopened lists when the indicators of the last day were answered that nobody has
	// opened, those before a moment, the newest first.
	Unopened(feed string, before time.Time) []time.Time
	Freshness() Freshness
}

// boardSize is how many arrivals a page of a board shows.
const boardSize = 50

// refreshEvery is after how many seconds a browser without scripts asks again.
const refreshEvery = 20

// boardPage is a board, or the part of it that changes.
type boardPage struct {
	Feed    Feed
	Others  []Feed // boards the person may see too
	Rows    []boardRow
	All     int
	Page    int
	Pages   int
	Ready   bool
	At      time.Time
	Fresh   Freshness
	Wall    bool
	Resting bool // nobody has done anything for long: no names
	Flagged int  // indicators among the rows, for a screen reader
}

// boardRow is a row of a board.
type boardRow struct {
	Arrival
	Tag   Tag
	Words string
	Open  bool // it can be opened: there are details
	Now   bool // something is to be done
}

// feedsOf are the care settings of somebody's organisation.
func (c *Console) feedsOf(w *identity.Worker) []Feed {
	var out []Feed
	for _, f := range c.boards.Feeds() {
		if w.Covers(f.ODS) {
			out = append(out, f)
		}
	}
	return out
}

// boardFor finds the board that is asked for, and the others there are; ok is false where
// it is not theirs to see.
func (c *Console) boardFor(r *http.Request) (b boardPage, ok bool) {
	worker := identity.From(r.Context()).Worker
	if identity.May(worker.Roles, identity.ListAnswers, identity.Recent) == identity.Denied {
		return b, false
	}
	at := r.URL.Query().Get("at")
	for _, f := range c.feedsOf(worker) {
		if b.Feed.Name == "" && (at == "" || at == f.Name) {
			b.Feed = f
		} else {
			b.Others = append(b.Others, f)
		}
	}
	return b, b.Feed.Name != ""
}

// boardOf puts together what somebody sees of a board.
func (c *Console) boardOf(r *http.Request) (b boardPage, ok bool) {
	if b, ok = c.boardFor(r); !ok {
		return b, false
	}
	caller, q := identity.From(r.Context()), r.URL.Query()
	hidden := identity.May(caller.Worker.Roles, identity.SeeHidden, identity.Recent) == identity.Allowed
	opens := identity.May(caller.Worker.Roles, identity.OpenDetails, identity.Recent)
	b.Page, _ = strconv.Atoi(q.Get("page"))
	b.Page = max(b.Page, 1)
	b.Resting = caller.Kind == identity.Resting
	b.Wall, b.At, b.Fresh = q.Get("wall") != "" || b.Resting, c.now(), c.boards.Freshness()
	var list []Arrival
	list, b.All, b.Ready = c.boards.Board(b.Feed.Name, b.Page-1, boardSize)
	b.Pages = max(1, (b.All+boardSize-1)/boardSize)
	for _, a := range list {
		row := boardRow{Arrival: a, Tag: tagOf(a.Answer, hidden), Words: "The answer comes within a second or two.", Now: a.Answer == nil || a.Answer.State != schemas.StateNoneShared}
		if a.Answer != nil {
			row.Words = a.Answer.Words()
			row.Open = a.Answer.State.Matched() && (opens == identity.Allowed || opens == identity.Silently)
			if a.Answer.State == schemas.StateIndicator {
				b.Flagged++
			}
		}
		if b.Wall { // nothing that names anybody leaves for a screen that families read
			row = boardRow{Arrival: Arrival{Key: a.Key, Since: a.Since, Place: a.Place}, Now: row.Now && a.Opened.IsZero()}
		}
		b.Rows = append(b.Rows, row)
	}
	return b, true
}

// board shows the arrivals of a care setting.
func (c *Console) board(w http.ResponseWriter, r *http.Request) {
	b, ok := c.boardOf(r)
	if !ok {
		c.notYours(w, r)
		return
	}
	pg := page{Title: settingName(b.Feed.Setting) + ", " + string(b.Feed.ODS), Active: "/board", Refresh: refreshEvery, Wide: true, Live: "/board/live?at=" + b.Feed.Name, Body: b}
	name := "board"
	if b.Wall {
		name = "wall"
	}
	c.show(w, r, http.StatusOK, name, pg)
}

// boardRows is the part of a board that changes.
func (c *Console) boardRows(w http.ResponseWriter, r *http.Request) {
	b, ok := c.boardOf(r)
	switch {
	case !ok:
		w.WriteHeader(http.StatusForbidden)
	case b.Wall:
		c.write(w, r, http.StatusOK, "wall", "rows", b)
	default:
		c.write(w, r, http.StatusOK, "board", "rows", b)
	}
}

// boardLive tells a board that it has changed.
func (c *Console) boardLive(w http.ResponseWriter, r *http.Request) {
	b, ok := c.boardFor(r)
	if !ok {
		w.WriteHeader(http.StatusForbidden)
		return
	}
	c.live.serve(w, r, b.Feed.Name)
}

// notYours tells somebody that a page is not for their role.
func (c *Console) notYours(w http.ResponseWriter, r *http.Request) {
	c.refused(w, r, c.desk.refused(r.Context(), identity.From(r.Context()).Worker, "CPIS-W006", "this page is for another role, or another organisation"))
}

// Newer and Older are the pages beside this one.
func (b boardPage) Newer() int { return b.Page - 1 }
func (b boardPage) Older() int { return b.Page + 1 }
