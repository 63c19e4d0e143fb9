package socialcare

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"time"

	"cpis/schemas"
)

const waitingWords = "for a second person: it would end or take back more plans than one file may"

// waits reports whether a file, with those of the last hour, ends or takes back so
// many current plans that a second person has to look: a mistake in a filter must not remove every flag.
func (s *Service) waits(j *job) bool {
	share := s.config.Sites[j.Authority].MassChange
	if share == 0 {
		share = defaultMassChange
	}
	r := &j.result
	if j.approved != "" || r.Hidden == 0 {
		return false
	}
	lately := s.lately(j.Authority)
	if gone := r.Hidden + lately; gone < massFrom || gone*100 <= (r.Live+lately)*share {
		return false
	}
	r.State, r.FileCode, r.FileWords = schemas.UploadWaiting, "", waitingWords
	return true
}

// hid is how many current plans a file took from view.
type hid struct {
	at time.Time
	n  int
}

// hidFor is how long it counts: the same mistake in many small files, or in a
// stream, is one mistake.
const hidFor = time.Hour

// lately is how many current plans were taken from view in the last hour, by what
// nobody else has looked at.
func (s *Service) lately(code schemas.AuthorityCode) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.config.Now()
	s.hidden[code] = slices.DeleteFunc(s.hidden[code], func(h hid) bool { return now.Sub(h.at) > hidFor })
	n := 0
	for _, h := range s.hidden[code] {
		n += h.n
	}
	return n
}

// hid notes what a file took from view.
func (s *Service) hid(j *job) {
	if j.approved != "" || j.result.Hidden == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hidden[j.Authority] = append(s.hidden[j.Authority], hid{j.now, j.result.Hidden})
}

// hold keeps a file until a second person has looked. Nothing of it is written.
func (s *Service) hold(ctx context.Context, j *job) (Result, error) {
	if j.Check {
		j.result.Check, j.result.UploadID = true, ""
		return j.result, nil
	}
	e, _ := schemas.Explain("CPIS-L031")
	for i := range j.result.Verdicts { // nobody may take a row for being in
		if v := &j.result.Verdicts[i]; v.Outcome != outcomeRefused {
			v.Code, v.Outcome, v.Detail, v.Field, v.Reason, v.Fix = codeRefused, outcomeWaiting, e.Code, "", "", e.Fix
		}
	}
	u := j.recorded()
	u.State, u.FileCode = schemas.UploadWaiting, ""
	c := Changes{Authority: j.Authority, Upload: &u}
	if j.Format != formatSnapshot { // a snapshot's parts are kept already
		c.Parcels = []Parcel{{u.UploadID, parcelFile, append([]byte(flags(j.Request)), j.text...)}}
	}
	if err := s.store.Commit(ctx, c); err != nil {
		return Result{}, fmt.Errorf("%w: %w", errLater, err)
	}
	s.log.Warn("a file waits for a second person", "code", "CPIS-L031", "authority", string(j.Authority), "upload", u.UploadID, "hidden", j.result.Hidden, "live", j.result.Live)
	return j.result, nil
}

// flags is the first byte of a kept file.
func flags(r Request) string {
	if r.Full {
		return "F"
	}
	return "-"
}

// waiting finds a file that waits, for somebody who is not the one who sent it.
func (s *Service) waiting(code schemas.AuthorityCode, id, by string, second bool) (schemas.Upload, error) {
	u, ok := s.upload(code, id)
	switch {
	case !ok || u.State != schemas.UploadWaiting:
		return u, &schemas.Refusal{Code: "CPIS-L032", Location: "upload", Reason: "no file waits under this id"}
	case by == "":
		return u, &schemas.Refusal{Code: "CPIS-L033", Location: "by", Reason: "missing: who decides?"}
	case second && s.person(code, by) == u.By:
		return u, &schemas.Refusal{Code: "CPIS-L033", Location: "by", Reason: "the same person who sent the file"}
	}
	return u, nil
}

// Approve takes a file that waits, as a second person.
func (s *Service) Approve(ctx context.Context, code schemas.AuthorityCode, id, by string) (Result, error) {
	defer s.exclusively(code)()
	u, err := s.waiting(code, id, by, true)
	if err != nil {
		return Result{}, err
	}
	r := Request{Authority: code, Format: u.Format, Sequence: u.Sequence, Snapshot: u.Snapshot, approved: s.person(code, by)}
	if u.Format == formatSnapshot {
		return s.finish(ctx, u, r)
	}
	kept, err := s.store.Parcel(ctx, u, parcelFile)
	if err != nil {
		return Result{}, fmt.Errorf("%w: %w", errLater, err)
	}
	if len(kept) == 0 {
		return Result{}, &schemas.Refusal{Code: "CPIS-L032", Location: "upload", Reason: "the file is not kept any more"}
	}
	r.Full = bytes.HasPrefix(kept, []byte("F"))
	return s.take(ctx, r, kept[1:])
}

// Cancel drops a file that waits. Whoever sent it may do so, too.
func (s *Service) Cancel(ctx context.Context, code schemas.AuthorityCode, id, by string) error {
	defer s.exclusively(code)()
	u, err := s.waiting(code, id, by, false)
	if err != nil {
		return err
	}
	u.State, u.DecidedAt, u.DecidedBy = schemas.UploadCancelled, s.config.Now(), s.person(code, by)
	if err := s.store.Commit(ctx, Changes{Authority: code, Upload: &u}); err != nil {
		return fmt.Errorf("%w: %w", errLater, err)
	}
	return nil
}
