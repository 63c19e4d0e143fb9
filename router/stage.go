package router

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"cpis/router/topics"
	"cpis/schemas"
)

// Task is one record for a handler.
type Task struct {
	topics.Record
	Attempt int // 0 the first time
	// Behind is true when an earlier record of the same key is still waiting.
	// The handler may say so to whoever waits; the record comes again, in its
	// turn, whatever the handler returns now.
	Behind bool
	// Again is true for a record that was finished before and that Work.Follow
	// hands on once more.
	Again bool
}

// Handler works on tasks of distinct keys and returns one error for each, nil
// where it is finished and durable. It is called again for those whose error
// is worth another try, after a pause and in the order of their key.
type Handler func(ctx context.Context, tasks []Task) []error

// Work is what is done with the records of one partition.
type Work struct {
	Handle Handler
	// Follow, where there is one, watches what the handler's results rest on,
	// and hands records of the partition to again, to be handled once more in
	// the order of their key. It returns when ctx ends; an error opens the
	// partition anew.
	Follow func(ctx context.Context, again func(topics.Record) error) error
	// Close, where there is one, is called when neither runs any more. It waits for
	// what they left running, which ends with their ctx.
	Close func()
}

// Stage reads a topic as a member of a group and puts every record through a
// handler. Several processes with the same group share the partitions.
type Stage struct {
	Topic schemas.Topic
	Group string
	// Open prepares the work on one partition for one generation of the group.
	Open func(ctx context.Context, a *topics.Assignment) (Work, error)
	// Workers is how many calls of the handler may run at once in a partition.
	// With 1 a call takes a whole batch; with more, each takes the next record
	// of one key, so that a slow receiver holds up nobody else. Default 1.
	Workers int
	// AnswerBehind hands records to the handler once, marked Behind, when they
	// have to wait for an earlier one of their key.
	AnswerBehind bool
	// MaxAge is how long a record may be tried before it becomes a dead letter.
	// Zero: for ever.
	MaxAge time.Duration
	// GivenUp is called with a record that was tried for MaxAge, before it becomes
	// a dead letter; nil means that whoever has to know is told. Default nothing.
	GivenUp func(ctx context.Context, r topics.Record) error
	// MaxPause is the longest pause between two tries of a record. Default 2s.
	MaxPause time.Duration
	// MaxPending is how many unfinished records a partition holds in memory
	// before it stops reading. Default 100,000.
	MaxPending int
	// StallAfter is how long one call of the handler may take before the
	// partition is given up and joined again. Default 2 minutes.
	StallAfter time.Duration

	Client *topics.Client
	Dead   *DeadLetters
	Log    *slog.Logger
	Now    func() time.Time

	stats stageCounters
}

const (
	defaultMaxPending = 100_000
	defaultStallAfter = 2 * time.Minute
	batchRecords      = 500
	fetchWait         = 500 * time.Millisecond
	fetchBytes        = 1 << 20
	commitEvery       = 100 * time.Millisecond
)

type stageCounters struct {
	finished, retried, dead, pending atomic.Int64
}

// StageStats counts since the start of the process.
type StageStats struct {
	Finished, Retried, Dead int64
	Pending                 int64 // read and not finished, now
}

// Stats reports the stage's counters.
func (s *Stage) Stats() StageStats {
	return StageStats{s.stats.finished.Load(), s.stats.retried.Load(), s.stats.dead.Load(), s.stats.pending.Load()}
}

// Run works until ctx ends. It joins again by itself after any trouble.
func (s *Stage) Run(ctx context.Context) error {
	return s.Client.RunGroup(ctx, topics.GroupConfig{ID: s.Group, Topics: []schemas.Topic{s.Topic}}, s.work)
}

func (s *Stage) work(ctx context.Context, a *topics.Assignment) error {
	work, err := s.Open(ctx, a)
	if err != nil {
		return fmt.Errorf("open %s partition %d: %w", a.Topic, a.Partition, err)
	}
	l := newLane(s, a, work)
	err = l.run(ctx)
	s.stats.pending.Add(-int64(l.pending))
	if err != nil && ctx.Err() == nil {
		s.Log.Warn("partition stopped, joining again", "topic", string(a.Topic), "partition", a.Partition, "error", err)
	}
	return err
}

// fetch reads the next records. Records that expired before they were read are
// noted in the dead letters, since nobody can read them any more.
func (s *Stage) fetch(ctx context.Context, a *topics.Assignment, from int64) (topics.Batch, error) {
	b, err := s.Client.Fetch(ctx, a.Topic, a.Partition, from, fetchWait, fetchBytes)
	var gap *topics.GapError
	if errors.As(err, &gap) && gap.LogStart > from {
		s.Log.Error("records expired before they were processed", "code", "CPIS-K003", "topic", string(a.Topic),
			"partition", a.Partition, "from", from, "until", gap.LogStart)
		if err := s.Dead.PutGap(ctx, a.Topic, a.Partition, from, gap.LogStart); err != nil {
			return topics.Batch{}, err
		}
		return topics.Batch{Next: gap.LogStart}, nil
	}
	return b, err
}
