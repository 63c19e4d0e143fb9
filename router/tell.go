package router

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"cpis/router/topics"
	"cpis/schemas"
)

// TellFor is how long a notice is tried before a human is told instead.
const TellFor = 72 * time.Hour

// TellPause is the longest pause between two tries.
const TellPause = 5 * time.Minute

// Teller takes a notice to an authority. nil means that the receiver has durably
// taken it. It may be called again for a notice that was taken: the receiver tells
// copies by the notice id. Calls for one authority come one at a time, in order.
// The caller retries.
type Teller interface {
	Tell(ctx context.Context, n schemas.Notice) error
}

// Tell is the stage from notices to local authorities. What was delivered is on
// record, so that a notice is not sent again after a restart, even where one before
// it is still being tried. An authority without a way fetches its notices, so there
// is nothing to wait for.
type Tell struct {
	*Publisher
	Keys    *schemas.Keyring
	Tellers map[schemas.AuthorityCode]Teller
	Client  *topics.Client
	Logger  *slog.Logger
}

// delivered are ids of notices that were. Safe for concurrent use.
type delivered struct{ ids sync.Map }

func (d *delivered) has(id string) bool { _, ok := d.ids.Load(id); return ok }
func (d *delivered) add(id string)      { d.ids.Store(id, true) }

// Open reads back what was delivered.
func (t *Tell) Open(ctx context.Context, _ *topics.Assignment) (Work, error) {
	done := &delivered{}
	err := ReadSince(ctx, t.Client, schemas.TopicDelivery, t.Now().Add(-2*TellFor), func(r topics.Record) error {
		var d schemas.Delivery
		if err := t.Codec.Decode(ctx, schemas.TopicDelivery, r.Value, &d); err != nil {
			return err
		}
		if d.State == schemas.Delivered {
			done.add(d.NoticeID)
		}
		return nil
	})
	if err != nil {
		return Work{}, fmt.Errorf("read deliveries back: %w", err)
	}
	return Work{Handle: func(ctx context.Context, tasks []Task) []error {
		errs := make([]error, len(tasks))
		for i, task := range tasks {
			errs[i] = t.tell(ctx, task, done)
		}
		return errs
	}}, nil
}

func (t *Tell) tell(ctx context.Context, task Task, done *delivered) error {
	var n schemas.Notice
	if err := t.Codec.Decode(ctx, schemas.TopicNotice, task.Value, &n); err != nil {
		return err
	}
	to := t.Tellers[n.Authority]
	if to == nil || n.Held() || done.has(n.NoticeID) {
		return nil
	}
	n.Access = OpenedAccess(t.Keys, n, t.Logger)
	if err := to.Tell(ctx, n); err != nil {
		return fmt.Errorf("tell %s: %w", n.Authority, err)
	}
	if err := (&Deliveries{t.Publisher, t.Keys}).Note(ctx, DeliveryOf(n, schemas.Delivered, t.Now())); err != nil {
		return err
	}
	done.add(n.NoticeID)
	return nil
}

// OpenedAccess opens the access of a notice. One that does not open is told without
// it: that somebody was seen is worth more than nothing.
func OpenedAccess(keys *schemas.Keyring, n schemas.Notice, log *slog.Logger) schemas.Access {
	if len(n.SealedAccess) == 0 { // of a release that had none
		return schemas.Access{}
	}
	a, err := keys.OpenAccess(schemas.TopicNotice, n.Authority, n.NoticeID, n.SealedAccess)
	if err != nil {
		log.Error("a notice does not open and is told without its records", "code", "CPIS-K002", "notice", n.NoticeID)
	}
	return a
}

// GivenUp is a Stage.GivenUp: the notice was tried for as long as it may be, and
// the care setting is told that the authority could not be.
func (t *Tell) GivenUp(ctx context.Context, r topics.Record) error {
	var n schemas.Notice
	if err := t.Codec.Decode(ctx, schemas.TopicNotice, r.Value, &n); err != nil {
		return nil // the dead letter says so
	}
	return (&Notices{Publisher: t.Publisher, Keys: t.Keys}).giveUp(ctx, n, t.Logger)
}

// giveUp notes that an authority could not be told, which the care setting is then
// told, and tells the authority, for when it fetches its notices or its receiver is
// back.
func (n *Notices) giveUp(ctx context.Context, notice schemas.Notice, log *slog.Logger) error {
	log.Error("a local authority could not be told", "code", "CPIS-K007", "authority", string(notice.Authority), "notice", notice.NoticeID, "kind", string(notice.Kind))
	if err := (&Deliveries{n.Publisher, n.Keys}).Note(ctx, DeliveryOf(notice, schemas.Undelivered, n.Now())); err != nil || notice.Kind == schemas.NoticeFailure {
		return err
	}
	return n.Tell(ctx, schemas.Notice{NoticeID: n.Keys.ID("notice", string(schemas.NoticeFailure), notice.NoticeID), Kind: schemas.NoticeFailure, Authority: notice.Authority,
		OutcomeID: notice.OutcomeID, OccurredAt: notice.CreatedAt, CreatedAt: n.Now().UTC().Truncate(time.Millisecond), Codes: []string{"CPIS-K007"}})
}

// DeliveryOf is the record of what became of a notice, without an answer.
func DeliveryOf(n schemas.Notice, state schemas.DeliveryState, at time.Time) schemas.Delivery {
	return schemas.Delivery{NoticeID: n.NoticeID, Authority: n.Authority, Kind: n.Kind, State: state, At: at.UTC().Truncate(time.Millisecond), Feed: n.Feed, ODS: n.ODS, Setting: n.Setting,
		ControlID: n.ControlID, OutcomeID: n.OutcomeID, Restricted: n.Restricted}
}

// Deliveries puts on record what became of notices.
type Deliveries struct {
	*Publisher
	Keys *schemas.Keyring
}

// Note commits records and gives them their ids: the same for the same answer.
func (d *Deliveries) Note(ctx context.Context, list ...schemas.Delivery) error {
	batch := make([]topics.Record, 0, len(list))
	for _, v := range list {
		by := ""
		if !v.CallBy.IsZero() {
			by = v.CallBy.UTC().Format(time.RFC3339)
		}
		v.DeliveryID = d.Keys.ID("delivery", v.NoticeID, string(v.State), string(v.Answer), by)
		r, err := d.record(schemas.TopicDelivery, string(v.Authority), v.DeliveryID, "", v)
		if err != nil {
			return err
		}
		batch = append(batch, r)
	}
	if err := d.Log.Produce(ctx, batch...); err != nil {
		return fmt.Errorf("note delivery: %w", err)
	}
	return nil
}

// Fetched notes which notices an authority has fetched: those before the place at
// which it goes on. Safe for concurrent use.
type Fetched struct {
	*Deliveries
	Client *topics.Client

	mu   sync.Mutex
	upTo map[schemas.AuthorityCode]int64 // guarded by mu
	done map[string]bool                 // ids of notices known to be received, nil until read; guarded by mu
}

// Confirm notes that an authority has fetched its notices of a partition before an
// offset. mine gives the notice of a record that was for the authority to see.
func (f *Fetched) Confirm(ctx context.Context, code schemas.AuthorityCode, partition int, start, offset int64, mine func(topics.Record) (schemas.Notice, bool, error)) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.done == nil {
		done := map[string]bool{}
		err := ReadSince(ctx, f.Client, schemas.TopicDelivery, f.Now().Add(-NoticesKept), func(r topics.Record) error {
			var d schemas.Delivery
			if err := f.Codec.Decode(ctx, schemas.TopicDelivery, r.Value, &d); err != nil {
				return err
			}
			done[d.NoticeID] = done[d.NoticeID] || d.State != schemas.Undelivered
			return nil
		})
		if err != nil {
			return fmt.Errorf("read deliveries back: %w", err)
		}
		f.done, f.upTo = done, map[schemas.AuthorityCode]int64{}
	}
	from := max(f.upTo[code], start)
	if offset <= from {
		return nil
	}
	err := f.Client.ReadFrom(ctx, schemas.TopicNotice, partition, from, offset, func(batch []topics.Record) error {
		var fetched []schemas.Delivery
		for _, r := range batch {
			n, ok, err := mine(r)
			if err != nil {
				return err
			}
			if ok && !f.done[n.NoticeID] {
				d := DeliveryOf(n, schemas.Delivered, f.Now())
				d.Way = "PULL"
				fetched = append(fetched, d)
			}
		}
		if err := f.Note(ctx, fetched...); err != nil {
			return err
		}
		for _, d := range fetched {
			f.done[d.NoticeID] = true
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("note what was fetched: %w", err)
	}
	f.upTo[code] = offset
	return nil
}

// Informer tells a care setting what an authority says to the notice of one of its
// registrations, or that it could not be told. nil means that the receiver has
// durably taken it; the caller retries.
type Informer interface {
	Inform(ctx context.Context, d schemas.Delivery, a schemas.Authority) error
}

// Inform is the stage from what became of notices back to the care settings whose
// registrations caused them.
type Inform struct {
	Codec     *schemas.Codec
	Informers map[string]Informer // by feed
	Contacts  func(schemas.AuthorityCode) (schemas.Authority, bool)
}

// Open implements Stage.Open: every partition is handled alike.
func (f *Inform) Open(context.Context, *topics.Assignment) (Work, error) {
	return Work{Handle: func(ctx context.Context, tasks []Task) []error {
		errs := make([]error, len(tasks))
		for i, t := range tasks {
			errs[i] = f.inform(ctx, t)
		}
		return errs
	}}, nil
}

func (f *Inform) inform(ctx context.Context, t Task) error {
	var d schemas.Delivery
	if err := f.Codec.Decode(ctx, schemas.TopicDelivery, t.Value, &d); err != nil {
		return err
	}
	to := f.Informers[d.Feed]
	if to == nil || d.State == schemas.Delivered || d.State == schemas.Undelivered && !d.Kind.Visit() {
		return nil
	}
	a, ok := f.Contacts(d.Authority)
	if !ok {
		a = schemas.Authority{Code: d.Authority, Name: string(d.Authority)}
	}
	if err := to.Inform(ctx, d, a); err != nil {
		return fmt.Errorf("inform %s: %w", d.Feed, err)
	}
	return nil
}
