package router

import (
	"context"
	"errors"
	"fmt"
	"sync"
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
// again. each is called for one record at a time. caughtUp is called once, when what was
// there at the start has been read; what expires before it is read is passed over.
func Follow(ctx context.Context, c *topics.Client, t schemas.Topic, since time.Time, each func(topics.Record), caughtUp func()) error {
	next, err := c.OffsetsAt(ctx, t, since)
	if err != nil {
		return fmt.Errorf("follow %s: %w", t, err)
	}
	ends, err := c.Ends(ctx, t)
	if err != nil {
		return fmt.Errorf("follow %s: %w", t, err)
	}
	f := &follower{client: c, topic: t, each: each, caughtUp: caughtUp, behind: len(next)}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wait sync.WaitGroup
	for p := range next { // side by side: what waits at the end of one holds up no other
		wait.Go(func() { cancel(f.partition(ctx, p, next[p], ends[p])) })
	}
	wait.Wait()
	return fmt.Errorf("follow %s: %w", t, context.Cause(ctx))
}

// follower is a topic that is followed.
type follower struct {
	client   *topics.Client
	topic    schemas.Topic
	each     func(topics.Record)
	caughtUp func()

	mu     sync.Mutex // held while each or caughtUp runs
	behind int        // partitions of which the present end is not read yet; guarded by mu
}

// partition follows one partition until something fails. end is where it ended at the
// start.
func (f *follower) partition(ctx context.Context, p int, next, end int64) error {
	behind := true
	for {
		if behind && next >= end {
			behind = false
			f.mu.Lock()
			if f.behind--; f.behind == 0 {
				f.caughtUp()
			}
			f.mu.Unlock()
		}
		b, err := f.client.Fetch(ctx, f.topic, p, next, fetchWait, fetchBytes)
		var gap *topics.GapError
		switch {
		case errors.As(err, &gap) && gap.LogStart > next: // expired
			b.Next = gap.LogStart
		case err != nil:
			return err
		}
		f.mu.Lock()
		for _, r := range b.Records {
			f.each(r)
		}
		f.mu.Unlock()
		next = b.Next
	}
}
