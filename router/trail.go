package router

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"cpis/router/topics"
	"cpis/schemas"
)

// Trail knows where on the audit topic each protected person's records stand, so that
// who has looked is read in moments, however long the log is. It holds positions alone:
// the records are read when they are asked for. Safe for concurrent use.
type Trail struct {
	Codec  *schemas.Codec
	Client *topics.Client
	Now    func() time.Time
	Logger *slog.Logger

	mu       sync.Mutex
	of       map[schemas.SubjectRef][]spot // guarded by mu
	reviews  []spot                        // findings and broken glass; guarded by mu
	reviewed map[string]schemas.Audit      // what was said of them, by audit id; guarded by mu
	opened   map[string]time.Time          // answers of the last days, when they were opened first; guarded by mu
	read     bool                          // what was there at the start has been read; guarded by mu
}

// spot is where a record stands, and when it was written.
type spot struct {
	at        int64 // milliseconds since 1970
	offset    int64
	partition int32
}

// Follow reads the audit topic until ctx ends. It decodes next to nothing.
func (t *Trail) Follow(ctx context.Context) error {
	t.mu.Lock()
	t.of, t.reviews, t.reviewed, t.opened, t.read = map[schemas.SubjectRef][]spot{}, nil, map[string]schemas.Audit{}, map[string]time.Time{}, false
	t.mu.Unlock()
	return Follow(ctx, t.Client, schemas.TopicAudit, time.Unix(0, 0), func(r topics.Record) { t.take(ctx, r) }, func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.read = true
	})
}

func (t *Trail) take(ctx context.Context, r topics.Record) {
	kind, action := auditHeaders(r)
	var a schemas.Audit
	said := action == schemas.ActionReviewed
	opened := kind == schemas.AuditView && t.Now().Sub(r.Time) <= viewable
	if said || opened {
		if err := t.Codec.Decode(ctx, schemas.TopicAudit, r.Value, &a); err != nil {
			t.Logger.Error("an audit record cannot be read", "code", "CPIS-K001", "partition", r.Partition, "offset", r.Offset, "error", err)
			return
		}
	}
	here := spot{r.Time.UnixMilli(), r.Offset, int32(r.Partition)}
	t.mu.Lock()
	defer t.mu.Unlock()
	if ref := schemas.SubjectRef(r.Key); ref.Valid() {
		t.of[ref] = append(t.of[ref], here)
	}
	switch {
	case kind == schemas.AuditFinding || action == schemas.ActionGlassBroken && kind == schemas.AuditAccess:
		t.reviews = append(t.reviews, here)
	case said:
		t.reviewed[a.EventID] = a
	case opened:
		if first, ok := t.opened[a.OutcomeID]; !ok || a.At.Before(first) {
			t.opened[a.OutcomeID] = a.At
		}
		if len(t.opened) > maxOpened {
			for id, at := range t.opened {
				if t.Now().Sub(at) > viewable {
					delete(t.opened, id)
				}
			}
		}
	}
}

// maxOpened is from how many opened answers on those of the last days alone are kept.
const maxOpened = 10_000

// Opened says when an answer of the last days was opened first.
func (t *Trail) Opened(outcomeID string) (time.Time, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	at, ok := t.opened[outcomeID]
	return at, ok
}

// errTrail means that the audit topic is still being read.
var errTrail = errors.New("the audit log is still being read")

// About reads the records about somebody in a time, the newest first, at most limit of
// them. more says that there are older ones. An error means that it cannot be told.
func (t *Trail) About(ctx context.Context, refs []schemas.SubjectRef, from, until time.Time, limit int) (list []schemas.Audit, more bool, err error) {
	t.mu.Lock()
	if !t.read {
		t.mu.Unlock()
		return nil, false, errTrail
	}
	var spots []spot
	for _, ref := range refs {
		spots = append(spots, t.of[ref]...)
	}
	t.mu.Unlock()
	return t.newest(ctx, spots, from, until, limit)
}

// Reviews reads what wants looking at, as About reads what is about somebody. said is
// what was said of it, by audit id.
func (t *Trail) Reviews(ctx context.Context, since time.Time, limit int) (list []schemas.Audit, said map[string]schemas.Audit, err error) {
	t.mu.Lock()
	if !t.read {
		t.mu.Unlock()
		return nil, nil, errTrail
	}
	spots := slices.Clone(t.reviews)
	t.mu.Unlock()
	list, _, err = t.newest(ctx, spots, since, t.Now().Add(skew), limit)
	said = map[string]schemas.Audit{}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, a := range list {
		if s, ok := t.reviewed[a.AuditID]; ok {
			said[a.AuditID] = s
		}
	}
	return list, said, err
}

func (t *Trail) newest(ctx context.Context, spots []spot, from, until time.Time, limit int) (list []schemas.Audit, more bool, err error) {
	spots = slices.DeleteFunc(spots, func(s spot) bool { return s.at < from.UnixMilli() || s.at >= until.UnixMilli() })
	slices.SortFunc(spots, func(a, b spot) int { return cmp.Or(cmp.Compare(b.at, a.at), cmp.Compare(b.offset, a.offset)) })
	if more = len(spots) > limit; more {
		spots = spots[:limit]
	}
	for _, s := range spots {
		a, ok, err := t.fetch(ctx, s)
		if err != nil {
			return nil, false, err
		}
		if ok {
			list = append(list, a)
		}
	}
	return list, more, nil
}

// fetch reads one record; ok is false where it has expired.
func (t *Trail) fetch(ctx context.Context, s spot) (a schemas.Audit, ok bool, err error) {
	b, err := t.Client.Fetch(ctx, schemas.TopicAudit, int(s.partition), s.offset, fetchWait, 1)
	var gap *topics.GapError
	switch {
	case errors.As(err, &gap) && gap.LogStart > s.offset:
		return a, false, nil
	case err != nil:
		return a, false, fmt.Errorf("read audit record: %w", err)
	case len(b.Records) == 0 || b.Records[0].Offset != s.offset:
		return a, false, fmt.Errorf("read audit record: partition %d has none at %d", s.partition, s.offset)
	}
	return a, true, t.Codec.Decode(ctx, schemas.TopicAudit, b.Records[0].Value, &a)
}

// findAhead is how many records are looked through for one that should be among the first.
const findAhead = 5000

// FindAudit finds where the audit record of an answer stands; ErrNoAnswer where it is not
// among the records of that time.
func FindAudit(ctx context.Context, c *topics.Client, k *schemas.Keyring, o schemas.Outcome) (partition int, offset int64, err error) {
	key := cmp.Or(string(o.SubjectRef), settingKey(o.ODS, o.Setting))
	n, err := c.Partitions(ctx, schemas.TopicAudit)
	if err != nil {
		return 0, 0, err
	}
	p := topics.PartitionFor([]byte(key), n)
	from, err := c.OffsetsAt(ctx, schemas.TopicAudit, o.DecidedAt.Add(-skew))
	if err != nil {
		return 0, 0, err
	}
	ends, err := c.Ends(ctx, schemas.TopicAudit)
	if err != nil {
		return 0, 0, err
	}
	want, found := k.ID("audit", o.OutcomeID), int64(-1)
	err = c.ReadFrom(ctx, schemas.TopicAudit, p, from[p], min(ends[p], from[p]+findAhead), func(batch []topics.Record) error {
		for _, r := range batch {
			if headersOf(r)["ce_id"] == want {
				found = r.Offset
			}
		}
		return nil
	})
	if err == nil && found < 0 {
		err = ErrNoAnswer
	}
	return p, found, err
}
