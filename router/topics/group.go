package topics

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/segmentio/kafka-go"

	"cpis/schemas"
)

// ErrFenced means that the generation which owned a partition is over, so that
// its offsets may not be committed any more.
var ErrFenced = errors.New("generation is over")

// GroupConfig says how a group shares its topics.
type GroupConfig struct {
	ID     string
	Topics []schemas.Topic
	// SessionTimeout is after how long a silent member is given up. Default 6 s.
	SessionTimeout time.Duration
	// Heartbeat is how often a member is heard. Default 1 s.
	Heartbeat time.Duration
	// RebalanceTimeout is how long members have to finish before the next
	// generation. Default 10 s.
	RebalanceTimeout time.Duration
}

// Assignment is one partition for as long as one generation of a group lives.
type Assignment struct {
	Topic      schemas.Topic
	Partition  int
	Offset     int64 // where to begin: the committed offset, else the start of the log
	Generation int32

	generation *kafka.Generation
}

// Commit says that everything before next is finished. It waits for the
// broker's answer; ErrFenced means that the partition may be someone else's.
func (a *Assignment) Commit(_ context.Context, next int64) error {
	err := a.generation.CommitOffsets(map[string]map[int]int64{string(a.Topic): {a.Partition: next}})
	if errors.Is(err, kafka.IllegalGeneration) || errors.Is(err, kafka.UnknownMemberId) || errors.Is(err, kafka.RebalanceInProgress) {
		return fmt.Errorf("%w: %w", ErrFenced, err)
	}
	return err
}

const (
	joinPause = 300 * time.Millisecond // after an error, before joining again
	leaveTime = 5 * time.Second        // hard stop
)

// RunGroup shares the partitions of topics with the other members of a group.
// For every partition it is given it calls work in a goroutine whose ctx ends
// with the generation; it waits for all of them before the next generation
// begins. When work returns an error, the generation ends and is joined again
// after a pause. Trouble with Kafka is waited out. It returns nil when ctx
// ends.
func (c *Client) RunGroup(ctx context.Context, g GroupConfig, work func(ctx context.Context, a *Assignment) error) error {
	for ctx.Err() == nil {
		if err := c.member(ctx, g, work); err != nil {
			rest(ctx, joinPause)
		}
	}
	return nil
}

// rest waits about d, or until ctx ends.
func rest(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d/2 + time.Duration(rand.Int64N(int64(d)))):
	case <-ctx.Done():
	}
}

func orElse(d, other time.Duration) time.Duration {
	if d == 0 {
		return other
	}
	return d
}

// member is one membership: it ends with ctx, or with an error that joining as
// a new member may mend.
func (c *Client) member(ctx context.Context, g GroupConfig, work func(context.Context, *Assignment) error) error {
	names := make([]string, len(g.Topics))
	for i, t := range g.Topics {
		names[i] = string(t)
	}
	group, err := kafka.NewConsumerGroup(kafka.ConsumerGroupConfig{
		ID: g.ID, Brokers: c.config.Brokers, Topics: names, StartOffset: kafka.FirstOffset,
		Dialer:         &kafka.Dialer{ClientID: c.config.ClientID, Timeout: 3 * time.Second, TLS: c.config.TLS, SASLMechanism: c.proof, DualStack: true},
		SessionTimeout: orElse(g.SessionTimeout, 6*time.Second), HeartbeatInterval: orElse(g.Heartbeat, time.Second),
		RebalanceTimeout: orElse(g.RebalanceTimeout, 10*time.Second), JoinGroupBackoff: joinPause, Timeout: 5 * time.Second,
		GroupBalancers: []kafka.GroupBalancer{wholeTopics{specs: c.specs}},
	})
	if err != nil {
		return fmt.Errorf("join group %s: %w", g.ID, err)
	}
	defer leave(group)
	for {
		generation, err := group.Next(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("join group %s: %w", g.ID, err)
		}
		assigned, err := c.assignments(ctx, generation)
		if err != nil {
			return err
		}
		for _, a := range assigned {
			generation.Start(func(alive context.Context) {
				live, end := context.WithCancel(ctx)
				defer end()
				stop := context.AfterFunc(alive, end)
				defer stop()
				if err := work(live, a); err != nil && live.Err() == nil {
					rest(live, joinPause)
				}
			})
		}
	}
}

// wholeTopics shares out every partition that the table says a topic has. The
// member that shares out asks one broker what there is, once for the whole
// generation; a broker that has not heard of all of a new topic's partitions
// would leave the others unread until the next generation, which may never
// come. A partition that is not there yet fails to be read, and is joined again.
type wholeTopics struct {
	kafka.RangeGroupBalancer
	specs map[schemas.Topic]Spec
}

// AssignGroups shares out the partitions found and those that must be there.
func (w wholeTopics) AssignGroups(members []kafka.GroupMember, found []kafka.Partition) kafka.GroupMemberAssignments {
	asked := map[string]bool{}
	for _, m := range members {
		for _, t := range m.Topics {
			asked[t] = true
		}
	}
	type partition struct {
		topic string
		id    int
	}
	known := map[partition]bool{}
	for _, p := range found {
		known[partition{p.Topic, p.ID}] = true
	}
	all := slices.Clone(found)
	for t := range asked {
		for id := range w.specs[schemas.Topic(t)].Partitions {
			if !known[partition{t, id}] {
				all = append(all, kafka.Partition{Topic: t, ID: id})
			}
		}
	}
	return w.RangeGroupBalancer.AssignGroups(members, all)
}

// leave ends the membership, for no longer than leaveTime.
func leave(group *kafka.ConsumerGroup) {
	left := make(chan struct{})
	go func() { _ = group.Close(); close(left) }()
	select {
	case <-left:
	case <-time.After(leaveTime):
	}
}

func (c *Client) assignments(ctx context.Context, g *kafka.Generation) ([]*Assignment, error) {
	var out []*Assignment
	for name, partitions := range g.Assignments {
		t := schemas.Topic(name)
		var starts []int64
		for _, p := range partitions {
			a := &Assignment{Topic: t, Partition: p.ID, Offset: p.Offset, Generation: g.ID, generation: g}
			if a.Offset < 0 {
				if starts == nil {
					var err error
					if starts, err = c.Starts(ctx, t); err != nil {
						return nil, err
					}
				}
				if p.ID >= len(starts) {
					return nil, fmt.Errorf("%s partition %d: %w", t, p.ID, kafka.UnknownTopicOrPartition)
				}
				a.Offset = starts[p.ID]
			}
			out = append(out, a)
		}
	}
	return out, nil
}
