package matching

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"cpis/schemas"
)

// Directory holds how to reach the local authorities. Safe for concurrent use.
type Directory struct {
	lateAfter time.Duration

	mu          sync.RWMutex
	authorities map[schemas.AuthorityCode]schemas.Authority // guarded by mu
}

// NewDirectory makes an empty directory. A feed that has brought nothing for
// longer than lateAfter is late.
func NewDirectory(lateAfter time.Duration) *Directory {
	return &Directory{lateAfter: lateAfter, authorities: map[schemas.AuthorityCode]schemas.Authority{}}
}

// Put adds or replaces an authority.
func (d *Directory) Put(a schemas.Authority) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.authorities[a.Code] = a
}

// Remove takes an authority out.
func (d *Directory) Remove(code schemas.AuthorityCode) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.authorities, code)
}

// Get finds an authority.
func (d *Directory) Get(code schemas.AuthorityCode) (schemas.Authority, bool) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	a, ok := d.authorities[code]
	return a, ok
}

// All lists the authorities, in order.
func (d *Directory) All() []schemas.Authority {
	d.mu.RLock()
	defer d.mu.RUnlock()
	out := make([]schemas.Authority, 0, len(d.authorities))
	for _, a := range d.authorities {
		out = append(out, a)
	}
	slices.SortFunc(out, func(a, b schemas.Authority) int { return cmp.Compare(a.Code, b.Code) })
	return out
}

// Late lists the authorities whose feed is late, in order. One that has never
// sent anything counts from when its contacts were given.
func (d *Directory) Late(now time.Time) []string {
	d.mu.RLock()
	defer d.mu.RUnlock()
	var out []string
	for code, a := range d.authorities {
		last := a.LastLoadAt
		if last.IsZero() {
			last = a.UpdatedAt
		}
		if now.Sub(last) > d.lateAfter {
			out = append(out, string(code))
		}
	}
	slices.Sort(out)
	return out
}
