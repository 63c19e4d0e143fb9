package console

import (
	"net/http"
	"slices"

	"cpis/connectors/feed"
	"cpis/connectors/identity"
)

// Check is a point of a feed's readiness.
type Check struct {
	What string
	How  string // the message that ticks it
	Done bool
	Seen string // what was seen, where it is
}

type connectPage struct {
	Feeds     []Feed
	Asked     bool
	Explained []feed.Explanation
	Problem   string
}

// connects reports whether whoever asks connects systems; otherwise they are told no.
func (c *Console) connects(w http.ResponseWriter, r *http.Request) (*identity.Worker, bool) {
	worker := identity.From(r.Context()).Worker
	if !identity.Can(worker.Roles, identity.Connect) {
		c.notYours(w, r)
		return nil, false
	}
	return worker, true
}

// theirFeeds are the feeds of somebody's organisation; of whoever runs the broker, all.
func (c *Console) theirFeeds(w *identity.Worker) []Feed {
	if identity.May(w.Roles, identity.Connect, identity.Elsewhere) == identity.Allowed {
		return c.boards.Feeds()
	}
	return c.feedsOf(w)
}

// connect explains a message that is pasted in. It is kept nowhere.
func (c *Console) connect(w http.ResponseWriter, r *http.Request) {
	worker, ok := c.connects(w, r)
	if !ok {
		return
	}
	b := connectPage{Feeds: c.theirFeeds(worker)}
	status := http.StatusOK
	if r.Method == http.MethodPost {
		text := r.PostFormValue("message")
		b.Asked = true
		var err error
		if b.Explained, err = c.engine.Explain(text); err != nil || text == "" {
			b.Problem, status = "This is no HL7 message: it begins with MSH.", http.StatusBadRequest
		}
	}
	c.show(w, r, status, "connect", page{Title: "Explain a message", Active: "/connect", Wide: true, Body: b})
}

type readinessPage struct {
	Feed   Feed
	Checks []Check
	Done   int
}

// readiness shows how far a feed has come.
func (c *Console) readiness(w http.ResponseWriter, r *http.Request) {
	worker, ok := c.connects(w, r)
	if !ok {
		return
	}
	feeds := c.theirFeeds(worker)
	i := slices.IndexFunc(feeds, func(f Feed) bool { return f.Name == r.PathValue("feed") })
	if i < 0 {
		c.notYours(w, r)
		return
	}
	b := readinessPage{Feed: feeds[i], Checks: c.engine.Ready(feeds[i].Name)}
	for _, check := range b.Checks {
		if check.Done {
			b.Done++
		}
	}
	c.show(w, r, http.StatusOK, "readiness", page{Title: "How ready a feed is", Active: "/connect", Refresh: 5, Body: b})
}
