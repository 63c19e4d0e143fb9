package socialcare

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"cpis/schemas"
)

// formatSnapshot is the format of the end of a full snapshot.
const formatSnapshot = "snapshot"

// snapshotTime is how long a snapshot may take from begin to commit.
const snapshotTime = 24 * time.Hour

// mention is which records a full snapshot holds: by topic key, and by record id
// where a row was refused, since a bad row must not end the plan it is about.
type mention struct {
	Keys    []string `json:"keys"`
	Records []string `json:"records"`
	Unknown int      `json:"unknown"` // rows of which nobody can tell whose they are
}

func (m *mention) add(items []item) {
	for _, it := range items {
		switch {
		case !it.refused:
			m.Keys = append(m.Keys, string(it.indicator.Key()))
		case it.verdict.RecordID != "":
			m.Records = append(m.Records, it.verdict.RecordID)
		default:
			m.Unknown++
		}
	}
}

func (m *mention) encode() []byte {
	text, _ := json.Marshal(m) // nothing in it can fail
	return text
}

// endAbsent ends the plans that a full snapshot does not hold. What came in some
// other way after it began stays.
func (s *Service) endAbsent(j *job, m mention, began time.Time) error {
	if m.Unknown > 0 {
		return &schemas.Refusal{Code: "CPIS-L034", Location: "file", Reason: fmt.Sprintf("%d rows have no record id that can be read", m.Unknown)}
	}
	keys, records := map[string]bool{}, map[string]bool{}
	for _, k := range m.Keys {
		keys[k] = true
	}
	for _, r := range m.Records {
		records[r] = true
	}
	for _, i := range j.put {
		keys[string(i.Key())] = true // such as a record taken back for a corrected number
	}
	for key, i := range j.held {
		if keys[key] || records[i.Person.LocalID] || !live(i, j.today) || i.PlanEnd != "" || i.ReceivedAt.After(began) {
			continue
		}
		i.PlanEnd, i.Reason, i.ReceivedAt, i.UploadID = j.today, reasonSnapshot, j.now, j.upload.UploadID
		j.put = append(j.put, i)
	}
	return nil
}

// Begin begins a full snapshot that comes in several files.
func (s *Service) Begin(ctx context.Context, code schemas.AuthorityCode, by string) (schemas.Upload, error) {
	defer s.exclusively(code)()
	if _, ok := s.store.Authority(code); !ok {
		return schemas.Upload{}, &schemas.Refusal{Code: "CPIS-L022", Location: "authority", Reason: "its contacts are not loaded"}
	}
	now := s.config.Now().UTC().Truncate(time.Millisecond)
	u := schemas.Upload{Authority: code, UploadID: s.config.ID("snapshot", string(code), now.Format(time.RFC3339Nano)), State: schemas.UploadOpen, Format: formatSnapshot, At: now, By: s.person(code, by)}
	if err := s.store.Commit(ctx, Changes{Authority: code, Upload: &u}); err != nil {
		return u, fmt.Errorf("%w: %w", errLater, err)
	}
	return u, nil
}

// Finish commits a full snapshot: whatever none of its files holds ends today. check
// says what it would do.
func (s *Service) Finish(ctx context.Context, code schemas.AuthorityCode, id string, check bool) (Result, error) {
	defer s.exclusively(code)()
	u, ok := s.upload(code, id)
	if !ok || u.State != schemas.UploadOpen || s.config.Now().Sub(u.At) > snapshotTime {
		return Result{}, &schemas.Refusal{Code: "CPIS-L032", Location: "snapshot", Reason: "no snapshot is open under this id"}
	}
	return s.finish(ctx, u, Request{Authority: code, Format: formatSnapshot, Check: check})
}

func (s *Service) finish(ctx context.Context, u schemas.Upload, r Request) (Result, error) {
	owner, ok := s.store.Authority(u.Authority)
	if !ok {
		return Result{}, &schemas.Refusal{Code: "CPIS-L022", Location: "authority", Reason: "its contacts are not loaded"}
	}
	for _, part := range s.store.Uploads(u.Authority) {
		if part.Snapshot == u.UploadID && part.State == schemas.UploadWaiting { // what it holds must not end as absent
			return Result{}, &schemas.Refusal{Code: "CPIS-L034", Location: "snapshot", Reason: "a file of it waits for a second person"}
		}
	}
	kept, err := s.store.Parcel(ctx, u, parcelHeld)
	if err != nil {
		return Result{}, fmt.Errorf("%w: %w", errLater, err)
	}
	if len(kept) == 0 {
		return Result{}, &schemas.Refusal{Code: "CPIS-L034", Location: "snapshot", Reason: "it holds nothing"}
	}
	var all mention
	for d := json.NewDecoder(bytes.NewReader(kept)); d.More(); {
		var m mention
		if err := d.Decode(&m); err != nil {
			return Result{}, fmt.Errorf("read what a snapshot holds: %w", err)
		}
		all.Keys, all.Records, all.Unknown = append(all.Keys, m.Keys...), append(all.Records, m.Records...), all.Unknown+m.Unknown
	}
	now := s.config.Now().UTC().Truncate(time.Millisecond)
	j := &job{Request: r, now: now, today: schemas.DateOf(now, s.book.Place()), owner: owner, upload: u, file: file{notes: notes{}}}
	j.upload.State = schemas.UploadTaken
	if r.approved != "" {
		j.upload.DecidedAt, j.upload.DecidedBy = now, r.approved
	}
	if j.held, err = s.store.Held(ctx, u.Authority); err != nil {
		return Result{}, fmt.Errorf("%w: %w", errLater, err)
	}
	if err := s.endAbsent(j, all, u.At); err != nil {
		return Result{}, err
	}
	s.summarise(j)
	if s.waits(j) {
		return s.hold(ctx, j)
	}
	if r.Check {
		j.result.State, j.result.Check = "", true
		return j.result, nil
	}
	rec := j.recorded()
	c := Changes{Authority: u.Authority, Put: j.put, Upload: &rec}
	if before := s.before(j); len(before) > 0 {
		c.Parcels = []Parcel{{u.UploadID, parcelBefore, before}}
	}
	if err := s.store.Commit(ctx, c); err != nil {
		return Result{}, fmt.Errorf("%w: %w", errLater, err)
	}
	s.hid(j)
	return j.result, nil
}
