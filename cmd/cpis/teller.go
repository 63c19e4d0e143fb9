package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"cpis/connectors"
	"cpis/connectors/identity"
	"cpis/connectors/notice"
	"cpis/router"
	"cpis/router/topics"
	"cpis/schemas"
)

// Consumer groups of notices and of what became of them.
const (
	groupTell   = "cpis-tell"
	groupInform = "cpis-inform"
)

// openTelling adds the stages that tell authorities, and tell care settings what
// they answer.
func (s *system) openTelling(to map[string]connectors.Destination) error {
	tellers := map[schemas.AuthorityCode]router.Teller{}
	for i, a := range s.config.Authorities {
		switch {
		case a.Notices.Webhook.URL != "":
			hook, err := notice.NewWebhook(a.Notices.Webhook, s.config.Notices)
			if err != nil {
				return &schemas.Refusal{Code: "CPIS-C002", Location: fmt.Sprintf("authorities[%d].notices", i), Reason: err.Error()}
			}
			s.stop(hook.Close)
			tellers[a.Code] = hook
		case a.Notices.Drop:
			tellers[a.Code] = notice.Folder(a.Drop)
		}
	}
	tell := &router.Tell{Publisher: s.publish, Keys: s.keys, Tellers: tellers, Client: s.client, Logger: s.log}
	s.tell = &router.Stage{Topic: schemas.TopicNotice, Group: groupTell, Open: tell.Open, Workers: 32, MaxAge: router.TellFor, MaxPause: router.TellPause, GivenUp: tell.GivenUp,
		Client: s.client, Dead: s.dead, Log: s.log, Now: time.Now}
	s.add("notices", s.tell.Run)
	informers := map[string]router.Informer{}
	for feed, d := range to {
		if informer, ok := d.(router.Informer); ok {
			informers[feed] = informer
		}
	}
	inform := &router.Inform{Codec: s.codec, Informers: informers, Contacts: s.contacts.Get}
	s.inform = &router.Stage{Topic: schemas.TopicDelivery, Group: groupInform, Open: inform.Open, Workers: 32, MaxAge: 72 * time.Hour, Client: s.client, Dead: s.dead, Log: s.log, Now: time.Now}
	s.add("answers to notices", s.inform.Run)
	return nil
}

// watchman tells what no single message tells.
func (s *system) watchman() *router.Watchman {
	every := map[schemas.AuthorityCode]time.Duration{}
	for _, a := range s.config.Authorities {
		every[a.Code] = a.Feed.DueEvery
	}
	return &router.Watchman{Notices: s.notices, Log: s.log, Feeds: func() []router.FeedState {
		select {
		case <-s.known.c:
		default:
			return nil
		}
		var out []router.FeedState
		for _, a := range s.contacts.All() {
			last, due := a.LastLoadAt, s.config.Matching.LateAfter
			if last.IsZero() {
				last = a.UpdatedAt
			}
			if own := every[a.Code]; own > 0 {
				due = own
			}
			out = append(out, router.FeedState{Authority: a.Code, LastLoad: last, Due: last.Add(due)})
		}
		return out
	}}
}

// messenger is what the notices' door sees of the broker.
type messenger struct{ *system }

// Notices gives an authority's notices. All of them stand in one partition, so that
// a cursor is an offset.
func (m messenger) Notices(ctx context.Context, code schemas.AuthorityCode, cursor string, limit int, wait time.Duration) ([]schemas.Notice, string, error) {
	n, err := m.client.Partitions(ctx, schemas.TopicNotice)
	if err != nil {
		return nil, "", err
	}
	p := topics.PartitionFor([]byte(code), n)
	starts, err := m.client.Starts(ctx, schemas.TopicNotice)
	if err != nil {
		return nil, "", err
	}
	ends, err := m.client.Ends(ctx, schemas.TopicNotice)
	if err != nil {
		return nil, "", err
	}
	from := starts[p]
	if cursor != "" {
		at, err := strconv.ParseInt(cursor, 10, 64)
		if err != nil || at < 0 || at > ends[p] {
			return nil, "", notice.ErrCursor
		}
		// What lies before the cursor was received. Where that cannot be noted, it is
		// the next time.
		err = m.fetched.Confirm(ctx, code, p, starts[p], at, func(r topics.Record) (schemas.Notice, bool, error) { return m.own(ctx, code, r) })
		if err != nil {
			m.log.Warn("what an authority has fetched could not be noted", "authority", string(code), "error", err)
		}
		from = max(from, at)
	}
	var out []schemas.Notice
	for until := time.Now().Add(wait); ; {
		b, err := m.client.Fetch(ctx, schemas.TopicNotice, p, from, max(min(time.Until(until), followWait), time.Millisecond), followBytes)
		if err != nil {
			return nil, "", err
		}
		for _, r := range b.Records {
			found, ok, err := m.own(ctx, code, r)
			if err != nil {
				return nil, "", err
			}
			if ok {
				if out = append(out, found); len(out) == limit {
					return out, strconv.FormatInt(r.Offset+1, 10), nil
				}
			}
		}
		from = b.Next
		if from >= ends[p] && (len(out) > 0 || !time.Now().Before(until)) {
			return out, strconv.FormatInt(from, 10), nil
		}
	}
}

// own reads a notice if it is one for the authority to see.
func (m messenger) own(ctx context.Context, code schemas.AuthorityCode, r topics.Record) (schemas.Notice, bool, error) {
	if string(r.Key) != string(code) {
		return schemas.Notice{}, false, nil
	}
	var n schemas.Notice
	if err := m.codec.Decode(ctx, schemas.TopicNotice, r.Value, &n); err != nil {
		if errors.Is(err, schemas.ErrInvalid) { // noted by those who follow the topic
			return n, false, nil
		}
		return n, false, err
	}
	if n.Authority != code || n.Held() {
		return n, false, nil
	}
	n.Access = router.OpenedAccess(m.keys, n, m.log)
	return n, true, nil
}

// Find gives one notice of an authority.
func (m messenger) Find(ctx context.Context, code schemas.AuthorityCode, id string) (found schemas.Notice, ok bool, err error) {
	err = router.ReadSince(ctx, m.client, schemas.TopicNotice, time.Now().Add(-router.NoticesKept), func(r topics.Record) error {
		n, own, err := m.own(ctx, code, r)
		if own && n.NoticeID == id {
			found, ok = n, true
		}
		return err
	})
	return found, ok, err
}

// Answer puts on record what an authority says to a notice.
func (m messenger) Answer(ctx context.Context, n schemas.Notice, answer schemas.Answer, callBy time.Time) error {
	d := router.DeliveryOf(n, schemas.Acknowledged, time.Now())
	d.Answer, d.CallBy = answer, callBy
	return m.fetched.Note(ctx, d)
}

// View puts on record that an answer was opened.
func (m messenger) View(ctx context.Context, handle string, who schemas.Access, at time.Time) (bool, error) {
	err := m.views.Note(ctx, handle, identity.From(ctx).Covers, router.View{Who: who, At: at})
	if errors.Is(err, router.ErrNoAnswer) {
		return false, nil
	}
	return err == nil, err
}
