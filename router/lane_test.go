package router

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"cpis/connectors"
	"cpis/router/topics"
	"cpis/schemas"
)

// TestK20OffsetsAreCommittedInOrder lets a later record finish first: nothing
// beyond the earlier one may be committed.
func TestK20OffsetsAreCommittedInOrder(t *testing.T) {
	b := newBench(t, 1)
	b.accept(registration(1), registration(2), registration(3))
	s := &Stage{Topic: schemas.TopicRegistration, Group: "g", Client: b.client, Dead: b.dead, Log: slog.New(slog.DiscardHandler), Now: time.Now,
		Open: func(context.Context, *topics.Assignment) (Work, error) {
			return Work{Handle: func(_ context.Context, tasks []Task) []error {
				errs := make([]error, len(tasks))
				for i, t := range tasks {
					if t.Offset == 1 {
						errs[i] = errors.New("not yet")
					}
				}
				return errs
			}}, nil
		}}
	b.run(s, func() bool { return s.Stats().Finished == 2 && s.Stats().Retried > 3 })
	offsets, err := b.client.GroupOffsets(context.Background(), "g", schemas.TopicRegistration)
	if err != nil || offsets[0] != 1 {
		t.Errorf("committed %v, %v", offsets, err)
	}
}

// TestK22AHandlerThatHangsLosesItsPartition: heartbeats alone must not keep it.
func TestK22AHandlerThatHangsLosesItsPartition(t *testing.T) {
	b := newBench(t, 1)
	b.accept(registration(1))
	opened := make(chan struct{}, 10)
	s := &Stage{Topic: schemas.TopicRegistration, Group: "g", Client: b.client, Dead: b.dead, Log: slog.New(slog.DiscardHandler), Now: time.Now, StallAfter: 200 * time.Millisecond,
		Open: func(context.Context, *topics.Assignment) (Work, error) {
			opened <- struct{}{}
			return Work{Handle: func(ctx context.Context, tasks []Task) []error {
				<-ctx.Done()
				return []error{ctx.Err()}
			}}, nil
		}}
	b.run(s, func() bool { return len(opened) >= 2 })
}

func TestFate(t *testing.T) {
	for _, c := range []struct {
		err  error
		want fate
		code schemas.Code
	}{
		{nil, done, ""}, {errors.New("x"), again, ""}, {fmt.Errorf("a: %w", schemas.ErrInvalid), dead, "CPIS-K001"},
		{fmt.Errorf("a: %w", schemas.ErrSealed), dead, "CPIS-K002"}, {fmt.Errorf("a: %w", connectors.ErrRefused), dead, "CPIS-K004"},
		{fmt.Errorf("a: %w", schemas.ErrUnknownSchema), dead, "CPIS-K001"},
	} {
		if f, code := fateOf(c.err); f != c.want || code != c.code {
			t.Errorf("%v: %v %s", c.err, f, code)
		}
	}
}
