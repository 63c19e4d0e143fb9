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
// while it lasts. Only one process may send at a time.
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
	var batch []topics.Record
	for _, notice := range list {
		parts := append([]string{"notice", string(notice.Kind), string(notice.Authority), string(notice.SubjectRef), string(notice.Since)}, notice.Others...)
		if notice.Kind == schemas.NoticeOverdue || notice.Kind == schemas.NoticeStale {
			parts = append(parts, n.Now().UTC().Format("2006-01"))
		}
		notice.NoticeID = n.Keys.ID(parts...)
		if sent[notice.NoticeID] {
			continue
		}
		sent[notice.NoticeID] = true
		if notice.SealedPerson, err = n.Keys.SealPerson(schemas.TopicNotice, notice.NoticeID, notice.Person); err != nil {
			return 0, err
		}
		r, err := n.record(schemas.TopicNotice, string(notice.Authority), notice.NoticeID, "", notice)
		if err != nil {
			return 0, err
		}
		batch = append(batch, r)
	}
	for from := 0; from < len(batch); from += batchRecords {
		if err := n.Log.Produce(ctx, batch[from:min(from+batchRecords, len(batch))]...); err != nil {
			return from, fmt.Errorf("commit notices: %w", err)
		}
	}
	return len(batch), nil
}
