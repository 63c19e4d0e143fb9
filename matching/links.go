package matching

import (
	"slices"
	"sync"

	"cpis/schemas"
)

// Links are the NHS numbers that care settings merged, where a plan stands under
// one of them: whoever comes under one is looked for under all. Safe for
// concurrent use.
type Links struct {
	mu    sync.RWMutex
	links map[string]schemas.Link // by topic key; guarded by mu
	to    map[schemas.SubjectRef][]schemas.SubjectRef
}

// NewLinks makes an empty set.
func NewLinks() *Links {
	return &Links{links: map[string]schemas.Link{}, to: map[schemas.SubjectRef][]schemas.SubjectRef{}}
}

// Put adds a link.
func (l *Links) Put(link schemas.Link) {
	l.mu.Lock()
	defer l.mu.Unlock()
	key := string(link.Key())
	if _, known := l.links[key]; known {
		return
	}
	l.links[key] = link
	l.to[link.Survivor] = append(l.to[link.Survivor], link.Retired)
	l.to[link.Retired] = append(l.to[link.Retired], link.Survivor)
}

// Remove takes the link of a topic key out.
func (l *Links) Remove(key string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	link, known := l.links[key]
	if !known {
		return
	}
	delete(l.links, key)
	for from, to := range map[schemas.SubjectRef]schemas.SubjectRef{link.Survivor: link.Retired, link.Retired: link.Survivor} {
		if l.to[from] = slices.DeleteFunc(slices.Clone(l.to[from]), func(r schemas.SubjectRef) bool { return r == to }); len(l.to[from]) == 0 {
			delete(l.to, from)
		}
	}
}

// All lists the links.
func (l *Links) All() []schemas.Link {
	l.mu.RLock()
	defer l.mu.RUnlock()
	out := make([]schemas.Link, 0, len(l.links))
	for _, link := range l.links {
		out = append(out, link)
	}
	return out
}

// maxLinked bounds how many numbers are taken for one person's. More than that
// is a sender's mistake, and every one of them costs a look.
const maxLinked = 8

// Of lists the other numbers of a person.
func (l *Links) Of(ref schemas.SubjectRef) []schemas.SubjectRef {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if len(l.to[ref]) == 0 {
		return nil
	}
	all := []schemas.SubjectRef{ref}
	for i := 0; i < len(all) && len(all) <= maxLinked; i++ {
		for _, next := range l.to[all[i]] {
			if !slices.Contains(all, next) && len(all) <= maxLinked {
				all = append(all, next)
			}
		}
	}
	return all[1:]
}
