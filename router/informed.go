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

// Told is what an authority was told about an answer, and what became of it.
type Told struct {
	NoticeID  string
	Authority schemas.AuthorityCode
	Kind      schemas.NoticeKind
	At        time.Time
	State     schemas.DeliveryState // empty while it is on its way
	Answer    schemas.Answer        // what the authority said, empty where nothing
	AnswerAt  time.Time
	CallBy    time.Time
}

// Informed knows which authorities were told of the answers of the last days. Safe for
// concurrent use.
type Informed struct {
	Codec  *schemas.Codec
	Now    func() time.Time
	Logger *slog.Logger
	// Changed, if set before Follow, is told which feed something was told about. It must
	// not wait.
	Changed func(feed string)

	mu      sync.Mutex
	told    map[string][]*Told // by answer; guarded by mu
	notices map[string]*Told   // by notice; guarded by mu
	pending map[string]Told    // what became of notices that are not read yet; guarded by mu
	order   []string           // answers, as they came; guarded by mu
}

// Follow reads the topic of notices, or that of what became of them, until ctx ends.
func (f *Informed) Follow(ctx context.Context, c *topics.Client, t schemas.Topic) error {
	return Follow(ctx, c, t, f.Now().Add(-viewable), func(r topics.Record) {
		var n schemas.Notice
		var d schemas.Delivery
		var err error
		if t == schemas.TopicNotice {
			if err = f.Codec.Decode(ctx, t, r.Value, &n); err == nil {
				f.Notice(n)
			}
		} else if err = f.Codec.Decode(ctx, t, r.Value, &d); err == nil {
			f.Delivery(d)
		}
		if err != nil {
			f.Logger.Error("what an authority was told cannot be read", "code", "CPIS-K001", "topic", string(t), "partition", r.Partition, "offset", r.Offset)
		}
	}, func() {})
}

// Notice takes in a notice; those that are held, and those about no answer, count for
// nothing.
func (f *Informed) Notice(n schemas.Notice) {
	if n.OutcomeID == "" || n.Held() {
		return
	}
	f.mu.Lock()
	f.forget()
	if f.notices[n.NoticeID] == nil {
		t := &Told{NoticeID: n.NoticeID, Authority: n.Authority, Kind: n.Kind, At: n.CreatedAt}
		f.notices[n.NoticeID] = t
		if f.told[n.OutcomeID] == nil {
			f.order = append(f.order, n.OutcomeID)
		}
		f.told[n.OutcomeID] = append(f.told[n.OutcomeID], t)
		if d, ok := f.pending[n.NoticeID]; ok {
			delete(f.pending, n.NoticeID)
			t.become(d)
		}
	}
	f.mu.Unlock()
	if f.Changed != nil {
		f.Changed(n.Feed)
	}
}

// Delivery takes in what became of a notice.
func (f *Informed) Delivery(d schemas.Delivery) {
	became := Told{State: d.State, Answer: d.Answer, AnswerAt: d.At, CallBy: d.CallBy}
	f.mu.Lock()
	f.forget()
	if t := f.notices[d.NoticeID]; t != nil {
		t.become(became)
	} else if d.OutcomeID != "" {
		before := f.pending[d.NoticeID]
		before.become(became)
		f.pending[d.NoticeID] = before
	}
	f.mu.Unlock()
	if f.Changed != nil {
		f.Changed(d.Feed)
	}
}

// become takes in what became of a notice. What a person said stands, whatever is known
// of the way.
func (t *Told) become(d Told) {
	if t.Answer != "" && d.Answer == "" {
		return
	}
	t.State, t.Answer, t.AnswerAt, t.CallBy = d.State, d.Answer, d.AnswerAt, d.CallBy
}

// forget drops what is too old to be shown. The caller holds mu.
func (f *Informed) forget() {
	if f.told == nil {
		f.told, f.notices, f.pending = map[string][]*Told{}, map[string]*Told{}, map[string]Told{}
	}
	for len(f.order) > 0 {
		list := f.told[f.order[0]]
		if f.Now().Sub(list[0].At) <= viewable {
			return
		}
		for _, t := range list {
			delete(f.notices, t.NoticeID)
		}
		delete(f.told, f.order[0])
		f.order = f.order[1:]
	}
	for id, t := range f.pending {
		if f.Now().Sub(t.AnswerAt) > viewable {
			delete(f.pending, id)
		}
	}
}

// Find gives one notice, and what became of it.
func (f *Informed) Find(id string) (Told, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if t := f.notices[id]; t != nil {
		return *t, true
	}
	return Told{}, false
}

// Of lists who was told about an answer, in the order of time.
func (f *Informed) Of(outcomeID string) []Told {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []Told
	for _, t := range f.told[outcomeID] {
		out = append(out, *t)
	}
	slices.SortStableFunc(out, func(a, b Told) int { return a.At.Compare(b.At) })
	return out
}
