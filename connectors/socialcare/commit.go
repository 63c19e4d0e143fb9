package socialcare

import (
	"context"
	"fmt"

	"cpis/schemas"
)

// commit writes what a file does.
func (s *Service) commit(ctx context.Context, j *job) (Result, error) {
	c := Changes{Authority: j.Authority, Put: j.put}
	if before := s.before(j); len(before) > 0 && !j.Stream { // what is streamed is corrected by what is streamed
		c.Parcels = append(c.Parcels, Parcel{j.upload.UploadID, parcelBefore, before})
	}
	if j.Snapshot != "" {
		held := mention{}
		held.add(j.items)
		c.Parcels = append(c.Parcels, Parcel{j.Snapshot, parcelHeld, held.encode()})
	}
	for _, it := range j.items {
		if it.refused && !j.again { // then it is there
			c.Refused = append(c.Refused, RefusedRow{it.row.Line, it.verdict.Detail, it.verdict.Field, it.row.Raw})
		}
	}
	owner := s.loaded(j)
	c.Contacts = &owner
	if !j.Stream {
		u := j.recorded()
		if !j.again { // what it did the first time stays on record
			c.Upload = &u
		}
		if j.result.Refused > 0 && !j.again {
			c.Notices = append(c.Notices, schemas.Notice{Kind: schemas.NoticeUploadRefused, Authority: j.Authority, UploadID: u.UploadID, Codes: append([]string{u.FileCode}, namesOf(u.Details)...),
				OccurredAt: j.now, CreatedAt: j.now})
		}
	}
	if err := s.store.Commit(ctx, c); err != nil {
		return Result{}, fmt.Errorf("%w: %w", errLater, err)
	}
	s.hid(j)
	for _, d := range j.details() {
		s.counted(schemas.Code(d.Name), d.Count)
	}
	s.log.Info("file taken", "authority", string(j.Authority), "upload", j.upload.UploadID, "received", j.result.Received, "accepted", j.result.Accepted, "refused", j.result.Refused)
	return j.result, nil
}

// loaded is the authority's record after a file. A file of which nothing was
// good is no load.
func (s *Service) loaded(j *job) schemas.Authority {
	a, r := j.owner, j.result
	if r.Received > r.Refused {
		a.LastLoadAt = j.now
	}
	matched := int64(r.Received)
	for _, v := range r.Verdicts {
		if doubtful(v.Detail) {
			matched--
		}
	}
	if j.Stream {
		a.Received, a.Matched, a.Refused = a.Received+int64(r.Received), a.Matched+matched, a.Refused+int64(r.Refused)
		if a.Received > streamWindow { // what was long ago counts less and less
			a.Received, a.Matched, a.Refused = a.Received/2, a.Matched/2, a.Refused/2
		}
	} else {
		a.Received, a.Matched, a.Refused = int64(r.Received), matched, int64(r.Refused)
	}
	a.Sequence = max(a.Sequence, j.Sequence)
	return a
}

// streamWindow is after how many streamed records the counts are halved.
const streamWindow = 2000
