package router

import (
	"context"
	"errors"
	"fmt"
	"slices"
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
	unpublished map[string]*schemas.Outcome // by event id: answers on record, whose outcome is not on its topic yet
	answered    *recent                     // events with an outcome on the topic
	failed      *recent                     // events told CHECK_FAILED
	notices     *recent                     // notices on the topic
	unaudited   []*schemas.Outcome          // outcomes on the topic whose audit record did not get there
	late        []topics.Record             // the audit records of those
	last        map[string]lastAnswer       // by event id: the newest answers of the last day, of all lanes, until recalled
}

func newTold() *told {
	return &told{unpublished: map[string]*schemas.Outcome{}, answered: newRecent(), failed: newRecent(), notices: newRecent()}
}

// audited notes an answer read back from its audit record. The first stands,
// but a CHECK_FAILED gives way to the answer that follows it.
func (t *told) audited(o *schemas.Outcome) {
	held := t.unpublished[o.EventID]
	if held == nil || held.State == schemas.StateCheckFailed && o.State != schemas.StateCheckFailed {
		t.unpublished[o.EventID] = o
	}
}

// published notes an answer whose outcome is on its topic.
func (t *told) published(o *schemas.Outcome) {
	if o.State == schemas.StateCheckFailed {
		t.failed.add(o.EventID)
	} else {
		t.answered.add(o.EventID)
	}
	if held := t.unpublished[o.EventID]; held != nil && held.OutcomeID == o.OutcomeID {
		delete(t.unpublished, o.EventID)
	}
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
	last       map[string]lastAnswer // by event id
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
	t.last = h.last
	// Of what lies before the committed offset nothing is missing: what seems to be
	// stands further back than was read.
	t.unaudited = slices.DeleteFunc(t.unaudited, func(o *schemas.Outcome) bool { return o.Origin.Offset < a.Offset })
	for _, o := range t.unaudited {
		r, err := d.audit(o)
		if err != nil {
			return nil, fmt.Errorf("read back: %w", err)
		}
		t.late = append(t.late, r)
		t.published(o)
	}
	return t, nil
}

// recall finds the registrations of the last day that were answered from the
// index, so that changes reach them.
func (l *decideLane) recall(ctx context.Context, a *topics.Assignment) error {
	from, err := l.d.Client.OffsetsAt(ctx, a.Topic, l.d.Now().Add(-openFor))
	if err != nil {
		return fmt.Errorf("read back: %w", err)
	}
	ends, err := l.d.Client.Ends(ctx, a.Topic)
	if err != nil {
		return fmt.Errorf("read back: %w", err)
	}
	note := func(batch []topics.Record) error {
		for _, r := range batch {
			head := headersOf(r)
			last, ok := l.told.last[head["ce_id"]]
			if !ok && head[headerLink] == "" {
				continue
			}
			a, err := l.read(ctx, Task{Record: r})
			if err != nil { // it was answered, so it could be read; now nothing can be added to the answer
				l.d.Logger.Warn("registration cannot be read back", "code", "CPIS-K001", "partition", r.Partition, "offset", r.Offset, "error", err)
				continue
			}
			if ok {
				l.note(a, last)
				continue
			}
			l.noteSuccessor(a, r.Key)
			touched, err := l.touchedBy(ctx, a.reg)
			if err != nil {
				return err
			}
			for _, t := range touched {
				l.note(t, t.before)
			}
		}
		return nil
	}
	for next := from[a.Partition]; ; {
		err := l.d.Client.ReadFrom(ctx, a.Topic, a.Partition, next, ends[a.Partition], note)
		var gap *topics.GapError
		if errors.As(err, &gap) && gap.LogStart > next { // expired while it was read
			next = gap.LogStart
			continue
		}
		if err != nil {
			return fmt.Errorf("read back: %w", err)
		}
		l.told.last = nil
		return nil
	}
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

// load reads the topics back, in the order opposite to the one they are written
// in, so that what is written meanwhile is not taken for missing.
func (h *history) load(ctx context.Context, d *Decide, since time.Time) error {
	h.told, h.notices, h.last = map[int]*told{}, nil, map[string]lastAnswer{}
	outcomes := map[string]bool{} // by id: no audit record seen
	day := d.Now().Add(-openFor)
	if since.Before(day) {
		day = since
	}
	err := ReadSince(ctx, d.Client, schemas.TopicOutcome, day, func(r topics.Record) error {
		head := headersOf(r)
		if !r.Time.Before(since) {
			outcomes[head["ce_id"]] = true
		}
		if event := head[headerEvent]; event != "" {
			h.last[event] = lastAnswer{head["ce_id"], head[headerAnswer], head.int(headerPosition), r.Time}
		}
		return nil
	})
	if err != nil {
		return err
	}
	// A visit lasts longer than a restart: its notice is sent once in all of it.
	// A pattern looks back further still.
	back := since.Add(-max(rememberFor, time.Duration(d.Pattern.Days)*24*time.Hour))
	d.seen.reset()
	err = ReadSince(ctx, d.Client, schemas.TopicNotice, back, func(r topics.Record) error {
		h.notices = append(h.notices, headersOf(r)["ce_id"])
		var n schemas.Notice
		if err := d.Codec.Decode(ctx, schemas.TopicNotice, r.Value, &n); err != nil {
			d.Logger.Warn("notice cannot be read back", "code", "CPIS-K001", "partition", r.Partition, "offset", r.Offset, "error", err)
			return nil
		}
		d.seen.add(n)
		return nil
	})
	if err != nil {
		return err
	}
	alone := len(outcomes)
	err = ReadSince(ctx, d.Client, schemas.TopicAudit, since, func(r topics.Record) error {
		if !isKind(r, schemas.AuditDecision) {
			return nil
		}
		var a schemas.Audit
		if err := d.Codec.Decode(ctx, schemas.TopicAudit, r.Value, &a); err != nil {
			d.Logger.Warn("audit record cannot be read back", "code", "CPIS-K001", "partition", r.Partition, "offset", r.Offset, "error", err)
			return nil
		}
		if a.Kind != schemas.AuditDecision {
			return nil
		}
		t, o := h.lane(a.Origin), outcomeOf(&a)
		t.audited(&o)
		if unseen, published := outcomes[o.OutcomeID]; published {
			t.published(&o)
			if unseen {
				outcomes[o.OutcomeID] = false
				alone--
			}
		}
		return nil
	})
	if err != nil || alone == 0 {
		return err
	}
	return ReadSince(ctx, d.Client, schemas.TopicOutcome, since, func(r topics.Record) error {
		if !outcomes[headersOf(r)["ce_id"]] {
			return nil
		}
		var o schemas.Outcome
		if err := d.Codec.Decode(ctx, schemas.TopicOutcome, r.Value, &o); err != nil {
			d.Logger.Warn("outcome cannot be read back", "code", "CPIS-K001", "partition", r.Partition, "offset", r.Offset, "error", err)
			return nil
		}
		outcomes[o.OutcomeID] = false
		t := h.lane(o.Origin)
		t.unaudited = append(t.unaudited, &o)
		return nil
	})
}

// lane is what was told of the partition a question stands on.
func (h *history) lane(origin schemas.InputPosition) *told {
	t := h.told[int(origin.Partition)]
	if t == nil {
		t = newTold()
		h.told[int(origin.Partition)] = t
	}
	return t
}
