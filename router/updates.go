package router

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"cpis/connectors"
	"cpis/router/topics"
	"cpis/schemas"
)

// Updates is the stage from what local authorities stream to verdicts. The verdict
// is committed before the offset; a copy of an update, or one that is handled again
// after a crash, changes nothing, since the version of each record decides, and is
// answered under the same id.
type Updates struct {
	*Publisher
	Keys *schemas.Keyring
	// Verifiers know the authorities' keys. One without a key cannot stream.
	Verifiers map[schemas.AuthorityCode]*schemas.UpdateVerifier
	// Take judges and commits records, JSON Lines. A *schemas.Refusal in the verdict
	// is its Code; an error means that it must be tried again.
	Take   func(ctx context.Context, code schemas.AuthorityCode, records []byte) (schemas.UpdateVerdict, error)
	Logger *slog.Logger
}

// Open implements Stage.Open: every partition is handled alike.
func (u *Updates) Open(context.Context, *topics.Assignment) (Work, error) {
	return Work{Handle: func(ctx context.Context, tasks []Task) []error {
		errs := make([]error, len(tasks))
		for i, t := range tasks {
			errs[i] = u.update(ctx, t)
		}
		return errs
	}}, nil
}

func (u *Updates) update(ctx context.Context, t Task) error {
	var in schemas.Update
	if err := u.Codec.Decode(ctx, schemas.TopicUpdate, t.Value, &in); err != nil {
		return err
	}
	if string(t.Key) != string(in.Authority) || !in.Authority.Valid() || !schemas.ValidUpdateID(in.UpdateID) {
		return fmt.Errorf("%w: key, authority or update id of an update", schemas.ErrInvalid)
	}
	// Nothing is said to an update that is not proven to be the authority's.
	by := u.Verifiers[in.Authority]
	if by == nil {
		return fmt.Errorf("%w: %s has no stream key", connectors.ErrRefused, in.Authority)
	}
	if err := by.Verify(in); err != nil {
		u.Logger.Error("an update is not the authority's", "code", "CPIS-L036", "authority", string(in.Authority), "partition", t.Partition, "offset", t.Offset)
		// Its id follows from the day, so that whoever forges many makes one notice.
		now := u.Now().UTC().Truncate(time.Millisecond)
		alarm := schemas.Notice{NoticeID: u.Keys.ID("notice", string(schemas.NoticeFailure), string(in.Authority), "CPIS-L036", now.Format(time.DateOnly)), Kind: schemas.NoticeFailure, Authority: in.Authority,
			OccurredAt: now, CreatedAt: now, Codes: []string{"CPIS-L036"}}
		if err := (&Notices{Publisher: u.Publisher, Keys: u.Keys}).Tell(ctx, alarm); err != nil {
			return err
		}
		return fmt.Errorf("%w: %w", connectors.ErrRefused, err)
	}
	records, err := u.Keys.OpenUpdate(in)
	var v schemas.UpdateVerdict
	if err == nil {
		v, err = u.Take(ctx, in.Authority, records)
	} else {
		v.Code, v.FileCode, err = "CPIS-L036", "CPF01", nil // signed, and sealed for somebody else
	}
	if err != nil {
		return fmt.Errorf("take update: %w", err)
	}
	v.Authority, v.UpdateID, v.At = in.Authority, in.UpdateID, u.Now()
	r, err := u.record(schemas.TopicVerdict, string(in.Authority), u.Keys.ID("verdict", string(in.Authority), in.UpdateID), "", v)
	if err != nil {
		return err
	}
	if err := u.Log.Produce(ctx, r); err != nil {
		return fmt.Errorf("commit verdict: %w", err)
	}
	return nil
}
