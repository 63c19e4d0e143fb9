package router

import (
	"context"
	"fmt"
	"time"

	"cpis/router/topics"
	"cpis/schemas"
)

// noticesKept is how long the notice topic holds its records, and so how far
// back it is known what was sent.
const noticesKept = 30 * 24 * time.Hour

// Notices sends notices that no registration gives rise to.
type Notices struct {
	*Publisher
	Keys   *schemas.Keyring
	Client *topics.Client
}

// Send sends those of a list that were not sent before, and gives how many. A
// notice is the same if kind, authority, subject, others and since are; what
// goes on and wants an end, an overdue or a stale plan, is sent again each month
// while it lasts. Only one process may send in this way at a time.
func (n *Notices) Send(ctx context.Context, list []schemas.Notice) (int, error) {
	if len(list) == 0 {
		return 0, nil
	}
	sent := map[string]bool{}
	err := ReadSince(ctx, n.Client, schemas.TopicNotice, n.Now().Add(-noticesKept), func(r topics.Record) error {
		sent[headersOf(r)["ce_id"]] = true
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("read notices back: %w", err)
	}
	var fresh []schemas.Notice
	for _, notice := range list {
		notice.NoticeID = n.id(notice)
		if !sent[notice.NoticeID] {
			sent[notice.NoticeID] = true
			fresh = append(fresh, notice)
		}
	}
	return len(fresh), n.Tell(ctx, fresh...)
}

// id derives the id of a notice from what makes it another.
func (n *Notices) id(notice schemas.Notice) string {
	parts := append([]string{"notice", string(notice.Kind), string(notice.Authority), string(notice.SubjectRef), string(notice.Since)}, notice.Others...)
	switch notice.Kind {
	case schemas.NoticeOverdue, schemas.NoticeStale:
		parts = append(parts, n.Now().UTC().Format("2006-01"))
	case schemas.NoticeUploadRefused, schemas.NoticeUploadFailed:
		parts = append(parts, notice.UploadID)
	}
	return n.Keys.ID(parts...)
}

// Tell sends notices. One without an id gets that of what it says, so that a
// copy, sent after an unknown result, is known as one.
func (n *Notices) Tell(ctx context.Context, list ...schemas.Notice) error {
	var batch []topics.Record
	for _, notice := range list {
		if notice.NoticeID == "" {
			notice.NoticeID = n.id(notice)
		}
		r, err := n.seal(notice, "")
		if err != nil {
			return err
		}
		batch = append(batch, r)
	}
	for from := 0; from < len(batch); from += batchRecords {
		if err := n.Log.Produce(ctx, batch[from:min(from+batchRecords, len(batch))]...); err != nil {
			return fmt.Errorf("commit notices: %w", err)
		}
	}
	return nil
}

// seal renders a notice with its id.
func (n *Notices) seal(notice schemas.Notice, trace string) (r topics.Record, err error) {
	if notice.SealedPerson, err = n.Keys.SealPerson(schemas.TopicNotice, notice.NoticeID, notice.Person); err != nil {
		return r, err
	}
	if notice.SealedAccess, err = n.Keys.SealAccess(schemas.TopicNotice, notice.NoticeID, notice.Access); err != nil {
		return r, err
	}
	return n.record(schemas.TopicNotice, string(notice.Authority), notice.NoticeID, trace, notice)
}
