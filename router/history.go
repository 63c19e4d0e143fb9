package router

import (
	"context"
	"fmt"
	"sync"
	"time"

	"cpis/router/topics"
	"cpis/schemas"
)

const (
	// readBackMargin is how far before the oldest unanswered registration the
	// output topics are read back: it covers clocks that differ between
	// machines, and a message sent again after the crash that lost its answer.
	readBackMargin = 2 * time.Minute
	// rememberedIDs bounds how many ids of one kind a partition remembers. A
	// message that is repeated later than that is answered again, with the same
	// ids.
	rememberedIDs = 100_000
)

// told is what a partition's registrations have been answered. It belongs to
// one lane.
type told struct {
	unpublished map[string]*schemas.Audit // by event id: answers decided, whose outcome is not on its topic yet
	answered    *recent                   // events with an outcome on the topic
	failed      *recent                   // events told CHECK_FAILED
	notices     *recent                   // notices on the topic
}

func newTold() *told {
	return &told{unpublished: map[string]*schemas.Audit{}, answered: newRecent(), failed: newRecent(), notices: newRecent()}
}

// audited notes an answer whose audit record is committed. The first stands.
func (t *told) audited(o *schemas.Outcome) {
	if o.State != schemas.StateCheckFailed && t.unpublished[o.EventID] == nil {
		a := auditOf(*o, "")
		t.unpublished[o.EventID] = &a
	}
}

// published notes an answer whose outcome is on its topic.
func (t *told) published(o *schemas.Outcome) {
	if o.State == schemas.StateCheckFailed {
		t.failed.add(o.EventID)
		return
	}
	t.answered.add(o.EventID)
	delete(t.unpublished, o.EventID)
}

// recent is a set that forgets its oldest members.
type recent struct {
	members map[string]struct{}
	order   []string
}

func newRecent() *recent { return &recent{members: map[string]struct{}{}} }

func (r *recent) has(id string) bool { _, ok := r.members[id]; return ok }

// add reports whether the id is new.
func (r *recent) add(id string) bool {
	if r.has(id) {
		return false
	}
	r.members[id] = struct{}{}
	r.order = append(r.order, id)
	if len(r.order) > rememberedIDs {
		delete(r.members, r.order[0])
		r.order = r.order[1:]
	}
	return true
}

// history is what was read back from the output topics, shared by the lanes
// of one generation so that the topics are read once.
type history struct {
	mu         sync.Mutex
	generation int32
	since      time.Time
	told       map[int]*told // by partition of the question; a lane takes its own out
	notices    []string
}

func (d *Decide) readBack(ctx context.Context, a *topics.Assignment) (*told, error) {
	since, err := d.oldestOpen(ctx, a)
	if err != nil {
		return nil, err
	}
	h := &d.history
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.told == nil || h.generation != a.Generation || since.Before(h.since) {
		if err := h.load(ctx, d, since); err != nil {
			return nil, fmt.Errorf("read back: %w", err)
		}
		h.generation, h.since = a.Generation, since
	}
	t := h.told[a.Partition]
	delete(h.told, a.Partition)
	if t == nil {
		t = newTold()
	}
	for _, id := range h.notices {
		t.notices.add(id)
	}
	return t, nil
}

// oldestOpen is the moment from which answers may exist that the committed
// offset does not know of.
func (d *Decide) oldestOpen(ctx context.Context, a *topics.Assignment) (time.Time, error) {
	since := d.Now()
	ends, err := d.Client.Ends(ctx, a.Topic)
	if err != nil {
		return since, fmt.Errorf("read back: %w", err)
	}
	if a.Offset < ends[a.Partition] {
		b, err := d.Client.Fetch(ctx, a.Topic, a.Partition, a.Offset, fetchWait, 1)
		if err == nil && len(b.Records) > 0 && b.Records[0].Time.Before(since) {
			since = b.Records[0].Time
		}
		// A gap is reported when the lane reads it; the margin covers the rest.
	}
	return since.Add(-readBackMargin), nil
}

func (h *history) load(ctx context.Context, d *Decide, since time.Time) error {
	h.told, h.notices = map[int]*told{}, nil
	published := map[string]bool{}
	err := ReadSince(ctx, d.Client, schemas.TopicNotice, since, func(r topics.Record) error {
		h.notices = append(h.notices, headersOf(r)["ce_id"])
		return nil
	})
	if err != nil {
		return err
	}
	err = ReadSince(ctx, d.Client, schemas.TopicOutcome, since, func(r topics.Record) error {
		published[headersOf(r)["ce_id"]] = true
		return nil
	})
	if err != nil {
		return err
	}
	return ReadSince(ctx, d.Client, schemas.TopicAudit, since, func(r topics.Record) error {
		var a schemas.Audit
		if err := d.Codec.Decode(ctx, schemas.TopicAudit, r.Value, &a); err != nil {
			d.Logger.Warn("audit record cannot be read back", "code", "CPIS-K001", "partition", r.Partition, "offset", r.Offset, "error", err)
			return nil
		}
		if a.Kind != schemas.AuditDecision {
			return nil
		}
		t := h.told[int(a.Origin.Partition)]
		if t == nil {
			t = newTold()
			h.told[int(a.Origin.Partition)] = t
		}
		o := outcomeOf(&a)
		t.audited(&o)
		if published[o.OutcomeID] {
			t.published(&o)
		}
		return nil
	})
}

// ReadSince hands every record of a topic from an instant to its present end
// to a function, partition by partition.
func ReadSince(ctx context.Context, c *topics.Client, t schemas.Topic, since time.Time, each func(topics.Record) error) error {
	from, err := c.OffsetsAt(ctx, t, since)
	if err != nil {
		return err
	}
	ends, err := c.Ends(ctx, t)
	if err != nil {
		return err
	}
	for p := range ends {
		err := c.ReadFrom(ctx, t, p, from[p], ends[p], func(batch []topics.Record) error {
			for _, r := range batch {
				if err := each(r); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("read %s partition %d: %w", t, p, err)
		}
	}
	return nil
}
