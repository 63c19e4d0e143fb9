package socialcare

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"cpis/schemas"
)

// stood is what stood under a key before a file, as it is kept. The person is
// sealed as it is on the topic.
type stood struct {
	Authority    schemas.AuthorityCode `json:"authority"`
	Subject      schemas.SubjectRef    `json:"subject"`
	PlanType     schemas.PlanType      `json:"plan_type"`
	Absent       bool                  `json:"absent,omitempty"` // nothing stood there
	Version      int64                 `json:"version"`
	PlanStart    schemas.Date          `json:"plan_start"`
	PlanEnd      schemas.Date          `json:"plan_end"`
	ExpectedDate schemas.Date          `json:"expected"`
	ReceivedAt   time.Time             `json:"received_at"`
	UploadID     string                `json:"upload_id"`
	Withdrawn    bool                  `json:"withdrawn,omitempty"`
	Reason       string                `json:"reason"`
	Person       []byte                `json:"person"`
}

func (b stood) indicator() schemas.Indicator {
	return schemas.Indicator{Authority: b.Authority, SubjectRef: b.Subject, PlanType: b.PlanType, Version: b.Version, PlanStart: b.PlanStart, PlanEnd: b.PlanEnd,
		ExpectedDate: b.ExpectedDate, ReceivedAt: b.ReceivedAt, UploadID: b.UploadID, SealedPerson: b.Person, Withdrawn: b.Withdrawn, Reason: b.Reason}
}

// before writes what stood under the keys that a file changes, as JSON Lines.
func (s *Service) before(j *job) []byte {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	for _, after := range j.put {
		b := stood{Authority: after.Authority, Subject: after.SubjectRef, PlanType: after.PlanType, Absent: true}
		if i, ok := j.held[string(after.Key())]; ok {
			b = stood{i.Authority, i.SubjectRef, i.PlanType, false, i.Version, i.PlanStart, i.PlanEnd, i.ExpectedDate, i.ReceivedAt, i.UploadID, i.Withdrawn, i.Reason, i.SealedPerson}
		}
		_ = enc.Encode(b) // into memory
	}
	return out.Bytes()
}

// Undone is what undoing a file did.
type Undone struct {
	UploadID string `json:"upload_id"`
	Restored int    `json:"restored" doc:"Records that are as they were before the file."`
	Removed  int    `json:"removed" doc:"Records that the file brought and that are gone."`
	Kept     int    `json:"kept" doc:"Records that something else has changed since, and that stay."`
}

// Undo puts back what stood before a file, for as long as that is kept: seven
// days. A record that something else has changed since stays as it is. Where more
// current plans would go than one file may take, it has to be somebody other than
// who sent the file.
func (s *Service) Undo(ctx context.Context, code schemas.AuthorityCode, id, by string) (Undone, error) {
	defer s.exclusively(code)()
	u, ok := s.upload(code, id)
	switch {
	case !ok || u.State != schemas.UploadTaken:
		return Undone{}, &schemas.Refusal{Code: "CPIS-L032", Location: "upload", Reason: "no file was taken under this id"}
	case by == "":
		return Undone{}, &schemas.Refusal{Code: "CPIS-L033", Location: "by", Reason: "missing: who decides?"}
	}
	kept, err := s.store.Parcel(ctx, u, parcelBefore)
	if err != nil {
		return Undone{}, fmt.Errorf("%w: %w", errLater, err)
	}
	held, err := s.store.Held(ctx, code)
	if err != nil {
		return Undone{}, fmt.Errorf("%w: %w", errLater, err)
	}
	c := Changes{Authority: code}
	out := Undone{UploadID: id}
	gone, standing := 0, 0
	today := schemas.DateOf(s.config.Now(), s.book.Place())
	seen := map[string]bool{} // what was kept first stood first
	for d := json.NewDecoder(bytes.NewReader(kept)); d.More(); {
		var b stood
		if err := d.Decode(&b); err != nil {
			return Undone{}, fmt.Errorf("read what stood before: %w", err)
		}
		was := b.indicator()
		key := string(was.Key())
		if seen[key] {
			continue
		}
		seen[key] = true
		now, ok := held[key]
		switch {
		case !ok || now.UploadID != id && now.UploadID != s.markerID(id, now):
			out.Kept++
			continue
		case b.Absent:
			c.Drop = append(c.Drop, was)
			out.Removed++
		default:
			c.Put = append(c.Put, was)
			out.Restored++
		}
		if hides(now, was, today) || b.Absent && live(now, today) {
			gone++
		}
	}
	for _, i := range held {
		if live(i, today) {
			standing++
		}
	}
	if len(seen) == 0 {
		return Undone{}, &schemas.Refusal{Code: "CPIS-L032", Location: "upload", Reason: "it changed nothing, or what stood before is not kept any more"}
	}
	j := &job{Request: Request{Authority: code}, result: Result{Hidden: gone, Live: standing}}
	if s.waits(j) && s.person(code, by) == u.By {
		return Undone{}, &schemas.Refusal{Code: "CPIS-L033", Location: "by", Reason: "so many plans would go that somebody else than the sender has to do it"}
	}
	u.State, u.DecidedAt, u.DecidedBy = schemas.UploadUndone, s.config.Now(), s.person(code, by)
	c.Upload = &u
	if err := s.store.Commit(ctx, c); err != nil {
		return Undone{}, fmt.Errorf("%w: %w", errLater, err)
	}
	s.log.Warn("a file was undone", "authority", string(code), "upload", id, "restored", out.Restored, "removed", out.Removed, "kept", out.Kept)
	return out, nil
}

// Words says what undoing did.
func (u Undone) Words() string {
	return fmt.Sprintf("The file is undone: %d records are as they were, %d are gone, %d had changed since and stay.", u.Restored, u.Removed, u.Kept)
}
