package router

import (
	"context"
	"errors"
	"fmt"
	"time"

	"cpis/router/topics"
	"cpis/schemas"
)

// ReadSince hands every record of a topic from an instant to its present end
// to a function, partition by partition.
func ReadSince(ctx context.Context, c *topics.Client, t schemas.Topic, since time.Time, each func(topics.Record) error) error {
	from, err := c.OffsetsAt(ctx, t, since)
	if err != nil {
		return err
	}
	ends, err := c.Ends(ctx, t)
	if err != nil {
		return err
	}
	for p := range ends {
		err := c.ReadFrom(ctx, t, p, from[p], ends[p], func(batch []topics.Record) error {
			for _, r := range batch {
				if err := each(r); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("read %s partition %d: %w", t, p, err)
		}
	}
	return nil
}

// Follow reads what was written to a topic since a moment, and goes on reading what
// is added, until ctx ends; any return is an error, after which it may be called
// again. caughtUp is called once, when what was there at the start has been read;
// what expires before it is read is passed over.
func Follow(ctx context.Context, c *topics.Client, t schemas.Topic, since time.Time, each func(topics.Record), caughtUp func()) error {
	next, err := c.OffsetsAt(ctx, t, since)
	if err != nil {
		return fmt.Errorf("follow %s: %w", t, err)
	}
	ends, err := c.Ends(ctx, t)
	if err != nil {
		return fmt.Errorf("follow %s: %w", t, err)
	}
	for behind := true; ; {
		left := false
		for p := range next {
			b, err := c.Fetch(ctx, t, p, next[p], fetchWait, fetchBytes)
			var gap *topics.GapError
			switch {
			case errors.As(err, &gap) && gap.LogStart > next[p]: // expired
				b.Next = gap.LogStart
			case err != nil:
				return fmt.Errorf("follow %s: %w", t, err)
			}
			for _, r := range b.Records {
				each(r)
			}
			next[p] = b.Next
			left = left || next[p] < ends[p]
		}
		if behind && !left {
			behind = false
			caughtUp()
		}
	}
}
