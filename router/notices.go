package router

import (
	"context"
	"fmt"
	"slices"
	"time"

	"cpis/router/topics"
	"cpis/schemas"
)

// NoticesKept is how long the notice topic holds its records, and so how far
// back it is known what was sent.
const NoticesKept = 30 * 24 * time.Hour

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
	err := ReadSince(ctx, n.Client, schemas.TopicNotice, n.Now().Add(-NoticesKept), func(r topics.Record) error {
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
	if notice.SealedPerson, err = n.Keys.SealPerson(schemas.TopicNotice, notice.Authority, notice.NoticeID, notice.Person); err != nil {
		return r, err
	}
	if notice.SealedAccess, err = n.Keys.SealAccess(schemas.TopicNotice, notice.Authority, notice.NoticeID, notice.Access); err != nil {
		return r, err
	}
	return n.record(schemas.TopicNotice, string(notice.Authority), notice.NoticeID, trace, notice)
}

// notices tells each authority whose plan was shown, once per visit: several
// messages of one visit derive the same id.
func (l *decideLane) notices(a *answer) []schemas.Notice {
	o := a.outcome
	if o.Silent || !o.State.Matched() {
		return nil
	}
	visit := a.reg.VisitRef
	if visit == "" {
		visit = o.EventID
	}
	var out []schemas.Notice
	at := map[schemas.AuthorityCode]int{}
	for _, p := range o.Details.Plans {
		i, ok := at[p.Authority]
		if !ok {
			i, at[p.Authority] = len(out), len(out)
			person := o.Details.Person
			person.LocalID = p.RecordID
			out = append(out, schemas.Notice{NoticeID: l.d.Keys.ID("notice", string(p.Authority), string(o.SubjectRef), string(o.ODS), string(o.Setting), visit),
				Kind: schemas.NoticeAttendance, Authority: p.Authority, OutcomeID: o.OutcomeID, ODS: o.ODS, Setting: o.Setting, OccurredAt: a.reg.OccurredAt, CreatedAt: o.DecidedAt,
				SubjectRef: o.SubjectRef, Restricted: o.Details.Restricted, Person: person, Origin: o.Origin, Feed: o.Feed, ControlID: o.ControlID,
				Traced: a.reg.NumberStatus == schemas.NumberVerified && a.reg.SubjectRef == o.SubjectRef,
				Notify: a.reg.Notify, UnopenedAfter: a.reg.UnopenedAfter,
				Access: schemas.Access{WorkerName: a.reg.Evidence.ResponsibleName, WorkerRole: a.reg.Evidence.ResponsibleRole}})
		}
		out[i].PlanTypes = append(out[i].PlanTypes, string(p.PlanType))
		out[i].Access.Records = append(out[i].Access.Records, schemas.PlanRecord{PlanType: p.PlanType, RecordID: p.RecordID, UploadID: p.UploadID})
	}
	return out
}

// unique drops notices of one visit that stand in the batch twice.
func unique(notices []topics.Record) []topics.Record {
	seen := newRecent()
	return slices.DeleteFunc(notices, func(n topics.Record) bool { return !seen.add(headersOf(n)["ce_id"]) })
}
