package console

import (
	"sync"
	"time"

	"cpis/connectors/identity"
)

// drafts are files that were checked and not sent yet. They are in memory alone, for a
// short time, and only whoever checked one sends it.
type drafts struct {
	now  func() time.Time
	mu   sync.Mutex
	list map[string]draft // by id; guarded by mu
}

type draft struct {
	worker, format string
	full           bool
	text           []byte
	at             time.Time
}

// Limits of drafts.
const (
	draftTime = 30 * time.Minute
	maxDrafts = 8 // each is no larger than a file may be
)

func (d *drafts) put(f draft) string {
	id := identity.Random()
	f.at = d.now()
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.list == nil {
		d.list = map[string]draft{}
	}
	for len(d.list) >= maxDrafts {
		oldest := ""
		for id, f := range d.list {
			if oldest == "" || f.at.Before(d.list[oldest].at) {
				oldest = id
			}
		}
		delete(d.list, oldest)
	}
	d.list[id] = f
	return id
}

// get gives a draft to whoever made it.
func (d *drafts) get(id string, w *identity.Worker) (draft, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for old, f := range d.list {
		if d.now().Sub(f.at) > draftTime {
			delete(d.list, old)
		}
	}
	f, ok := d.list[id]
	return f, ok && f.worker == w.ID
}
