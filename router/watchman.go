package router

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"cpis/router/topics"
	"cpis/schemas"
)

const (
	// watchPause is between two looks at what was opened and what was not.
	watchPause = time.Second
	// viewWindow is how long after a registration an opened answer counts as its.
	viewWindow = 24 * time.Hour
	// MaxUnopened is the longest time after which it is told that an answer was not
	// opened.
	MaxUnopened = 24 * time.Hour
)

// FeedState is when an authority was last heard of, and when it is due.
type FeedState struct {
	Authority schemas.AuthorityCode
	LastLoad  time.Time
	Due       time.Time
}

// Watchman tells authorities what no single message tells: that an answer was
// opened, where the care setting's policy is to tell then; that it was not opened
// in time; that their feed has gone quiet, or come back. And it tells the care
// setting where an authority has neither got nor fetched a notice for three days.
// Each is told once. All it
// knows it reads from the topics, and it acts only when it has read them to their
// end, so that no view is overlooked. One process works at a time.
type Watchman struct {
	Notices *Notices
	Feeds   func() []FeedState
	Log     *slog.Logger

	next map[schemas.Topic][]int64
	sent map[string]bool // ids of notices that were sent
	// Attendances of the last two days, and what was opened: by subject,
	// organisation and kind of setting.
	attended map[string][]schemas.Notice
	opened   map[string][]schemas.Audit
	quiet    map[schemas.AuthorityCode]schemas.Notice // newest FEED_QUIET
	waiting  map[string]schemas.Notice                // by id: of visits, and not known to be received
}

// Run works until ctx ends.
func (w *Watchman) Run(ctx context.Context) {
	tick := time.NewTicker(watchPause)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		if err := w.Step(ctx); err != nil && ctx.Err() == nil {
			w.Log.Warn("what was opened could not be looked over, trying again", "error", err)
			w.next = nil // read anew
		}
	}
}

// Step catches up with the topics, and tells what is to be told.
func (w *Watchman) Step(ctx context.Context) error {
	now := w.Notices.Now()
	if w.next == nil {
		w.next, w.sent = map[schemas.Topic][]int64{}, map[string]bool{}
		w.attended, w.opened, w.quiet = map[string][]schemas.Notice{}, map[string][]schemas.Audit{}, map[schemas.AuthorityCode]schemas.Notice{}
		w.waiting = map[string]schemas.Notice{}
		for t, back := range map[schemas.Topic]time.Duration{schemas.TopicNotice: NoticesKept, schemas.TopicAudit: viewWindow + MaxUnopened, schemas.TopicDelivery: NoticesKept} {
			at, err := w.Notices.Client.OffsetsAt(ctx, t, now.Add(-back))
			if err != nil {
				return fmt.Errorf("watch notices: %w", err)
			}
			w.next[t] = at
		}
	}
	// Notices first: a view is opened after the notice of its registration is there.
	if err := w.catchUp(ctx, schemas.TopicNotice, func(r topics.Record) error { return w.notice(ctx, r) }); err != nil {
		return err
	}
	if err := w.catchUp(ctx, schemas.TopicAudit, func(r topics.Record) error { return w.view(ctx, r) }); err != nil {
		return err
	}
	if err := w.catchUp(ctx, schemas.TopicDelivery, func(r topics.Record) error { return w.delivery(ctx, r) }); err != nil {
		return err
	}
	if err := w.tell(ctx, now); err != nil {
		return err
	}
	return w.giveUp(ctx, now)
}

// catchUp reads a topic up to its present end.
func (w *Watchman) catchUp(ctx context.Context, t schemas.Topic, each func(topics.Record) error) error {
	ends, err := w.Notices.Client.Ends(ctx, t)
	if err != nil {
		return fmt.Errorf("watch notices: %w", err)
	}
	for p := range ends {
		if w.next[t][p] >= ends[p] {
			continue
		}
		err := w.Notices.Client.ReadFrom(ctx, t, p, w.next[t][p], ends[p], func(batch []topics.Record) error {
			for _, r := range batch {
				if err := each(r); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("watch notices: %w", err)
		}
		w.next[t][p] = ends[p]
	}
	return nil
}

func seenAt(subject schemas.SubjectRef, ods schemas.ODSCode, setting schemas.CareSetting) string {
	return string(subject) + "/" + settingKey(ods, setting)
}

func (w *Watchman) notice(ctx context.Context, r topics.Record) error {
	var n schemas.Notice
	if err := w.Notices.Codec.Decode(ctx, schemas.TopicNotice, r.Value, &n); err != nil {
		w.Log.Error("a notice cannot be read", "code", "CPIS-K001", "partition", r.Partition, "offset", r.Offset)
		return nil
	}
	if n.Kind.Visit() && !n.Held() && w.Notices.Now().Sub(n.CreatedAt) < giveUpAfter+giveUpWithin {
		w.waiting[n.NoticeID] = n
	}
	switch n.Kind {
	case schemas.NoticeViewed, schemas.NoticeUnopened, schemas.NoticeFeedBack:
		w.sent[n.NoticeID] = true
	case schemas.NoticeFeedQuiet:
		w.sent[n.NoticeID] = true
		if held := w.quiet[n.Authority]; !held.OccurredAt.After(n.OccurredAt) {
			w.quiet[n.Authority] = n
		}
	case schemas.NoticeAttendance:
		if n.UnopenedAfter > 0 || n.Notify == schemas.NotifyOnView || n.Notify == schemas.NotifyBoth {
			key := seenAt(n.SubjectRef, n.ODS, n.Setting)
			w.attended[key] = append(w.attended[key], n)
		}
	}
	return nil
}

func (w *Watchman) view(ctx context.Context, r topics.Record) error {
	if !isKind(r, schemas.AuditView) {
		return nil
	}
	var a schemas.Audit
	if err := w.Notices.Codec.Decode(ctx, schemas.TopicAudit, r.Value, &a); err != nil {
		w.Log.Error("an audit record cannot be read", "code", "CPIS-K001", "partition", r.Partition, "offset", r.Offset)
		return nil
	}
	if a.Kind == schemas.AuditView && !a.Silent {
		key := seenAt(a.SubjectRef, a.ODS, a.Setting)
		w.opened[key] = append(w.opened[key], a)
	}
	return nil
}

const (
	// giveUpAfter is when the watchman looks whether a notice was received: later
	// than a stage gives up, so that it speaks only where none did.
	giveUpAfter = TellFor + time.Hour
	// giveUpWithin is how long after that it still does. What is older was so before
	// anybody looked.
	giveUpWithin = 24 * time.Hour
)

func (w *Watchman) delivery(ctx context.Context, r topics.Record) error {
	var d schemas.Delivery
	if err := w.Notices.Codec.Decode(ctx, schemas.TopicDelivery, r.Value, &d); err != nil {
		w.Log.Error("the record of a delivery cannot be read", "code", "CPIS-K001", "partition", r.Partition, "offset", r.Offset)
		return nil
	}
	delete(w.waiting, d.NoticeID)
	return nil
}

// giveUp tells of notices that nobody has received: an authority that fetches its
// notices may have stopped.
func (w *Watchman) giveUp(ctx context.Context, now time.Time) error {
	for id, n := range w.waiting {
		if age := now.Sub(n.CreatedAt); age < giveUpAfter {
			continue
		} else if age < giveUpAfter+giveUpWithin {
			if err := w.Notices.giveUp(ctx, n, w.Log); err != nil {
				return err
			}
		}
		delete(w.waiting, id)
	}
	return nil
}

// tell sends what is due, and forgets what is long past.
func (w *Watchman) tell(ctx context.Context, now time.Time) error {
	var list []schemas.Notice
	for key, attended := range w.attended {
		for _, n := range attended {
			view, opened := w.firstView(key, n)
			due := n.CreatedAt.Add(time.Duration(n.UnopenedAfter) * time.Second)
			switch {
			case opened && n.Notify != schemas.NotifyOnRegistration:
				list = append(list, w.viewed(n, view))
			case !opened && n.UnopenedAfter > 0 && !now.Before(due):
				list = append(list, w.unopened(n, due))
			}
		}
		w.attended[key] = slices.DeleteFunc(attended, func(n schemas.Notice) bool { return now.Sub(n.CreatedAt) > viewWindow+MaxUnopened })
		if len(w.attended[key]) == 0 {
			delete(w.attended, key)
		}
	}
	for key, views := range w.opened {
		w.opened[key] = slices.DeleteFunc(views, func(a schemas.Audit) bool { return now.Sub(a.At) > viewWindow+MaxUnopened })
		if len(w.opened[key]) == 0 {
			delete(w.opened, key)
		}
	}
	list = append(list, w.feeds(now)...)
	list = slices.DeleteFunc(list, func(n schemas.Notice) bool { return w.sent[n.NoticeID] })
	if len(list) == 0 {
		return nil
	}
	if err := w.Notices.Tell(ctx, list...); err != nil {
		return err
	}
	for _, n := range list {
		w.sent[n.NoticeID] = true
	}
	return nil
}

// firstView is the first time the answer to a registration was opened.
func (w *Watchman) firstView(key string, n schemas.Notice) (schemas.Audit, bool) {
	var first schemas.Audit
	for _, a := range w.opened[key] {
		if since := a.At.Sub(n.CreatedAt); since < -skew || since > viewWindow {
			continue
		}
		if first.AuditID == "" || a.At.Before(first.At) {
			first = a
		}
	}
	return first, first.AuditID != ""
}

// viewed is the notice that an answer was opened, and by whom.
func (w *Watchman) viewed(n schemas.Notice, a schemas.Audit) schemas.Notice {
	access := OpenedAccess(w.Notices.Keys, n, w.Log)
	if len(a.SealedActor) > 0 {
		who, err := w.Notices.Keys.OpenAccess(schemas.TopicAudit, "", a.AuditID, a.SealedActor)
		if err == nil {
			access.WorkerID, access.WorkerName, access.WorkerRole = who.WorkerID, who.WorkerName, who.WorkerRole
		}
	}
	return w.about(n, schemas.NoticeViewed, a.At, access)
}

func (w *Watchman) unopened(n schemas.Notice, due time.Time) schemas.Notice {
	return w.about(n, schemas.NoticeUnopened, due, OpenedAccess(w.Notices.Keys, n, w.Log))
}

// about is a notice that follows from the notice of an attendance: its id does, so
// there is one of each kind for each.
func (w *Watchman) about(n schemas.Notice, kind schemas.NoticeKind, at time.Time, access schemas.Access) schemas.Notice {
	id := w.Notices.Keys.ID("notice", string(kind), n.NoticeID)
	n.NoticeID, n.Kind, n.OccurredAt, n.CreatedAt, n.Access = id, kind, at, w.Notices.Now().UTC().Truncate(time.Millisecond), access
	n.Person, n.Traced = schemas.Person{}, false
	return n
}

// feeds are the notices about feeds that went quiet or came back.
func (w *Watchman) feeds(now time.Time) []schemas.Notice {
	if w.Feeds == nil {
		return nil
	}
	var list []schemas.Notice
	about := func(kind schemas.NoticeKind, f FeedState, at time.Time) {
		n := schemas.Notice{Kind: kind, Authority: f.Authority, OccurredAt: at, CreatedAt: now.UTC().Truncate(time.Millisecond), Since: schemas.Date(at.UTC().Format(time.DateOnly))}
		n.NoticeID = w.Notices.Keys.ID("notice", string(kind), string(f.Authority), at.UTC().Format(time.RFC3339))
		list = append(list, n)
		if kind == schemas.NoticeFeedQuiet {
			w.quiet[f.Authority] = n
		}
	}
	for _, f := range w.Feeds() {
		last := f.LastLoad.UTC().Truncate(time.Millisecond)
		quiet, was := w.quiet[f.Authority]
		if was && quiet.OccurredAt.Before(last) {
			about(schemas.NoticeFeedBack, f, quiet.OccurredAt)
		}
		if now.After(f.Due) {
			about(schemas.NoticeFeedQuiet, f, last)
		}
	}
	return list
}
