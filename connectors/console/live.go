package console

import (
	"net/http"
	"sync"
	"time"

	"github.com/tmaxmax/go-sse"
)

// Times of a live page.
const (
	beatEvery = 5 * time.Second  // a page that has heard nothing for three of these says so
	writeTime = 10 * time.Second // how long a browser may take to read
)

// Live tells open pages that what they show has changed, and that they are still
// connected. It never says what: a page asks for that, with the rights of whoever is
// signed in at it. A page that is slow holds up no other. Safe for concurrent use.
type Live struct {
	mu      sync.Mutex
	pages   map[chan struct{}]string // what each page is about; guarded by mu
	closing chan struct{}
	once    sync.Once
}

// NewLive makes one.
func NewLive() *Live { return &Live{pages: map[chan struct{}]string{}, closing: make(chan struct{})} }

// Changed tells the pages about something. It does not wait: changes that come faster
// than a page reads become one.
func (l *Live) Changed(about string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for page, what := range l.pages {
		if what != about {
			continue
		}
		select {
		case page <- struct{}{}:
		default:
		}
	}
}

// Close lets all pages go.
func (l *Live) Close() { l.once.Do(func() { close(l.closing) }) }

// serve streams to a page until it leaves.
func (l *Live) serve(w http.ResponseWriter, r *http.Request, about string) {
	w.Header().Set("X-Accel-Buffering", "no") // a proxy hands each line on at once
	stream, err := sse.Upgrade(w, r)
	if err != nil {
		http.Error(w, "this connection cannot be kept open", http.StatusInternalServerError)
		return
	}
	page := make(chan struct{}, 1)
	l.mu.Lock()
	l.pages[page] = about
	l.mu.Unlock()
	defer func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.pages, page)
	}()
	beat := time.NewTicker(beatEvery)
	defer beat.Stop()
	deadline := http.NewResponseController(w)
	say := func(kind string) bool {
		m := &sse.Message{Type: sse.Type(kind)}
		m.AppendData(time.Now().UTC().Format(time.RFC3339))
		_ = deadline.SetWriteDeadline(time.Now().Add(writeTime))
		return stream.Send(m) == nil && stream.Flush() == nil
	}
	for ok := say("beat"); ok; {
		select {
		case <-page:
			ok = say("changed")
		case <-beat.C:
			ok = say("beat")
		case <-r.Context().Done():
			return
		case <-l.closing:
			return
		}
	}
}
