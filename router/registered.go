package router

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"cpis/router/topics"
	"cpis/schemas"
)

// registeredFor is how long a registration is remembered: no longer than its topic is.
const registeredFor = 24 * time.Hour

// Registered knows who was registered where in the last day, by pseudonym and in memory
// alone, so that looking for one's own patient is told from trying numbers. Safe for
// concurrent use.
type Registered struct {
	Codec  *schemas.Codec
	Now    func() time.Time
	Logger *slog.Logger

	mu     sync.Mutex
	at     map[schemas.SubjectRef][]registered // guarded by mu
	order  []schemas.SubjectRef                // as they came; guarded by mu
	caught bool                                // what was there was read; guarded by mu
}

type registered struct {
	ods schemas.ODSCode
	at  time.Time
}

// Follow reads the registration topic until ctx ends.
func (r *Registered) Follow(ctx context.Context, c *topics.Client) error {
	return Follow(ctx, c, schemas.TopicRegistration, r.Now().Add(-registeredFor), func(rec topics.Record) {
		var reg schemas.Registration
		if err := r.Codec.Decode(ctx, schemas.TopicRegistration, rec.Value, &reg); err != nil {
			r.Logger.Error("a registration cannot be read", "code", "CPIS-K001", "partition", rec.Partition, "offset", rec.Offset)
			return
		}
		if reg.Class.Checked() {
			r.take(reg.SubjectRef, registered{reg.ODS, reg.AcceptedAt})
		}
	}, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.caught = true
	})
}

func (r *Registered) take(ref schemas.SubjectRef, where registered) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.at == nil {
		r.at = map[schemas.SubjectRef][]registered{}
	}
	r.at[ref], r.order = append(r.at[ref], where), append(r.order, ref)
	for len(r.order) > 0 {
		oldest := r.order[0]
		if r.Now().Sub(r.at[oldest][0].at) <= registeredFor {
			return
		}
		if r.order, r.at[oldest] = r.order[1:], r.at[oldest][1:]; len(r.at[oldest]) == 0 {
			delete(r.at, oldest)
		}
	}
}

// At reports whether somebody was registered in the last day at an organisation that
// covers says yes to. While that cannot be told yet it is taken to be so.
func (r *Registered) At(refs []schemas.SubjectRef, covers func(schemas.ODSCode) bool) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.caught {
		return true
	}
	for _, ref := range refs {
		if slices.ContainsFunc(r.at[ref], func(w registered) bool { return covers(w.ods) && r.Now().Sub(w.at) <= registeredFor }) {
			return true
		}
	}
	return false
}
