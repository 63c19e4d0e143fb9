package topics

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/sasl"
	"github.com/segmentio/kafka-go/sasl/scram"

	"cpis/schemas"
)

// Config says how to reach Kafka.
type Config struct {
	Brokers  []string // host:port of one or more brokers
	ClientID string
	// Replication of created topics. Default: 3 with three brokers or more,
	// else 1.
	Replication int
	// MinInsync is min.insync.replicas of created topics. Default: 2 where
	// Replication is 3 or more, else 1.
	MinInsync int
	// EventPartitions replaces the table's partition counts, of topics that
	// have more than one. Default 0: the table's. The embedded Kafka uses 1, since there every partition of a
	// request costs a disk sync of its own.
	EventPartitions int
	// RequestTimeout bounds one request. Default 10 s.
	RequestTimeout time.Duration
	// DeliveryTimeout is how long the producer goes on with a batch that its
	// callers have given up on. Default 30 s.
	DeliveryTimeout time.Duration
	// MaxBufferedBytes bounds what waits in the producer. Default 32 MiB.
	MaxBufferedBytes int64
	TLS              *tls.Config // nil: none
	// User and Password are those of SASL SCRAM-SHA-512. Default none.
	User, Password string
}

// Client is a connection to a Kafka cluster. It holds the process's one
// transport, since each keeps goroutines and connections of its own.
type Client struct {
	config    Config
	proof     sasl.Mechanism // nil: none
	transport *kafka.Transport
	kafka     *kafka.Client
	specs     map[schemas.Topic]Spec

	mu         sync.Mutex
	partitions map[schemas.Topic]int // guarded by mu
}

// Open prepares a client. Nothing is asked of Kafka yet.
func Open(_ context.Context, c Config) (*Client, error) {
	if len(c.Brokers) == 0 {
		return nil, errors.New("open kafka: no brokers")
	}
	if c.RequestTimeout == 0 {
		c.RequestTimeout = 10 * time.Second
	}
	if c.DeliveryTimeout == 0 {
		c.DeliveryTimeout = 30 * time.Second
	}
	if c.MaxBufferedBytes == 0 {
		c.MaxBufferedBytes = 32 << 20
	}
	var proof sasl.Mechanism
	if c.User != "" {
		var err error
		if proof, err = scram.Mechanism(scram.SHA512, c.User, c.Password); err != nil {
			return nil, fmt.Errorf("open kafka: user or password: %w", err)
		}
	}
	cl := &Client{config: c, proof: proof, specs: map[schemas.Topic]Spec{}, partitions: map[schemas.Topic]int{}}
	for _, s := range Table() {
		if c.EventPartitions > 0 && s.Partitions > 1 { // a topic with one partition relies on that
			s.Partitions = c.EventPartitions
		}
		cl.specs[s.Topic] = s
	}
	cl.transport = &kafka.Transport{ClientID: c.ClientID, TLS: c.TLS, SASL: proof, DialTimeout: 3 * time.Second, MetadataTTL: 2 * time.Second}
	cl.kafka = &kafka.Client{Addr: kafka.TCP(c.Brokers...), Transport: cl.transport, Timeout: c.RequestTimeout}
	return cl, nil
}

// Close releases the connections.
func (c *Client) Close() error {
	c.transport.CloseIdleConnections()
	return nil
}

// Ping reports whether a broker answers.
func (c *Client) Ping(ctx context.Context) error {
	if _, err := c.kafka.ApiVersions(ctx, &kafka.ApiVersionsRequest{}); err != nil {
		return fmt.Errorf("ping kafka: %w", err)
	}
	return nil
}

// Partitions is the number of partitions of a topic. A broker that has not
// heard of all of a new topic's is believed for this one call.
func (c *Client) Partitions(ctx context.Context, t schemas.Topic) (int, error) {
	c.mu.Lock()
	n := c.partitions[t]
	c.mu.Unlock()
	if n > 0 {
		return n, nil
	}
	m, err := c.kafka.Metadata(ctx, &kafka.MetadataRequest{Topics: []string{string(t)}})
	if err != nil {
		return 0, fmt.Errorf("read metadata: %w", err)
	}
	for _, found := range m.Topics {
		if found.Name != string(t) {
			continue
		}
		if found.Error != nil {
			return 0, fmt.Errorf("read metadata of %s: %w", t, found.Error)
		}
		if n = len(found.Partitions); n > 0 {
			if n >= c.specs[t].Partitions {
				c.mu.Lock()
				c.partitions[t] = n
				c.mu.Unlock()
			}
			return n, nil
		}
	}
	return 0, fmt.Errorf("read metadata of %s: %w", t, kafka.UnknownTopicOrPartition)
}

// Ends gives the next offset of every partition.
func (c *Client) Ends(ctx context.Context, t schemas.Topic) ([]int64, error) {
	return c.offsets(ctx, t, kafka.LastOffset)
}

// Starts gives the first offset that every partition still holds.
func (c *Client) Starts(ctx context.Context, t schemas.Topic) ([]int64, error) {
	return c.offsets(ctx, t, kafka.FirstOffset)
}

// OffsetsAt gives, for every partition, the first offset of a record that is
// not older than an instant, or the end where there is none.
func (c *Client) OffsetsAt(ctx context.Context, t schemas.Topic, at time.Time) ([]int64, error) {
	out, err := c.offsets(ctx, t, max(at.UnixMilli(), 0))
	if err != nil {
		return nil, err
	}
	ends, err := c.Ends(ctx, t)
	if err != nil {
		return nil, err
	}
	for p := range out {
		if out[p] < 0 {
			out[p] = ends[p]
		}
	}
	return out, nil
}

func (c *Client) offsets(ctx context.Context, t schemas.Topic, timestamp int64) ([]int64, error) {
	n, err := c.Partitions(ctx, t)
	if err != nil {
		return nil, err
	}
	ask := make([]kafka.OffsetRequest, n)
	for p := range ask {
		ask[p] = kafka.OffsetRequest{Partition: p, Timestamp: timestamp}
	}
	res, err := c.kafka.ListOffsets(ctx, &kafka.ListOffsetsRequest{Topics: map[string][]kafka.OffsetRequest{string(t): ask}})
	if err != nil {
		return nil, fmt.Errorf("list offsets of %s: %w", t, err)
	}
	out := make([]int64, n)
	seen := 0
	for _, p := range res.Topics[string(t)] {
		if p.Error != nil {
			return nil, fmt.Errorf("list offsets of %s: %w", t, p.Error)
		}
		seen++
		switch timestamp {
		case kafka.FirstOffset:
			out[p.Partition] = p.FirstOffset
		case kafka.LastOffset:
			out[p.Partition] = p.LastOffset
		default:
			out[p.Partition] = -1
			for offset := range p.Offsets {
				out[p.Partition] = offset
			}
		}
	}
	if seen != n {
		return nil, fmt.Errorf("list offsets of %s: %d of %d partitions answered", t, seen, n)
	}
	return out, nil
}

// GroupOffsets gives the committed next offset of a group for every partition,
// -1 where it has committed none.
func (c *Client) GroupOffsets(ctx context.Context, group string, t schemas.Topic) ([]int64, error) {
	n, err := c.Partitions(ctx, t)
	if err != nil {
		return nil, err
	}
	ask := make([]int, n)
	out := make([]int64, n)
	for p := range ask {
		ask[p], out[p] = p, -1
	}
	res, err := c.kafka.OffsetFetch(ctx, &kafka.OffsetFetchRequest{GroupID: group, Topics: map[string][]int{string(t): ask}})
	if err == nil {
		err = res.Error
	}
	if errors.Is(err, kafka.GroupIdNotFound) { // nobody has joined it yet
		return out, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read offsets of group %s: %w", group, err)
	}
	for _, p := range res.Topics[string(t)] {
		if p.Error != nil {
			return nil, fmt.Errorf("read offsets of group %s: %w", group, p.Error)
		}
		out[p.Partition] = p.CommittedOffset
	}
	return out, nil
}
