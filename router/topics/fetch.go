package topics

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	fetchapi "github.com/segmentio/kafka-go/protocol/fetch"

	"cpis/schemas"
)

// Batch is what one fetch brought.
type Batch struct {
	Records       []Record
	HighWatermark int64 // next offset that will be written
	LogStart      int64 // first offset still held
	Next          int64 // offset to ask for next
}

// GapError means that offsets are missing where none may be: the records
// expired before they were read, or were lost.
type GapError struct {
	Topic     schemas.Topic
	Partition int
	Asked     int64
	Found     int64 // the next offset there is; -1 where only LogStart is known
	LogStart  int64
}

func (e *GapError) Error() string {
	return fmt.Sprintf("%s partition %d: offset %d is gone, next is %d, log starts at %d", e.Topic, e.Partition, e.Asked, e.Found, e.LogStart)
}

// TruncatedError means that an offset which was read or committed before is
// beyond the end: records were lost on the broker's side.
type TruncatedError struct {
	Topic     schemas.Topic
	Partition int
	Asked     int64
	End       int64
}

func (e *TruncatedError) Error() string {
	return fmt.Sprintf("%s partition %d: offset %d lies beyond the end %d: the log was cut", e.Topic, e.Partition, e.Asked, e.End)
}

// Fetch reads records of a partition from an offset on, waiting up to maxWait
// for the first. Checksums are verified and control records left out. On a
// topic that is not compacted every offset must follow the last: a hole is a
// *GapError, never skipped. An offset beyond the end is a *TruncatedError.
//
// A broker that sends a batch with a false record count can crash the process:
// kafka-go decodes in a goroutine of its own (trap K13). Brokers are trusted
// that far; nobody else can write batches.
func (c *Client) Fetch(ctx context.Context, t schemas.Topic, partition int, offset int64, maxWait time.Duration, maxBytes int) (b Batch, err error) {
	timed, cancel := context.WithTimeout(ctx, maxWait+c.config.RequestTimeout)
	defer cancel()
	answer, err := c.transport.RoundTrip(timed, c.kafka.Addr, &fetchapi.Request{
		ReplicaID: -1, MaxWaitTime: int32(maxWait.Milliseconds()), MinBytes: 1, MaxBytes: int32(maxBytes), SessionID: -1, SessionEpoch: -1,
		Topics: []fetchapi.RequestTopic{{Topic: string(t), Partitions: []fetchapi.RequestPartition{{
			Partition: int32(partition), CurrentLeaderEpoch: -1, FetchOffset: offset, LogStartOffset: -1, PartitionMaxBytes: int32(maxBytes)}}}},
	})
	if err != nil {
		return b, fmt.Errorf("fetch %s partition %d: %w", t, partition, err)
	}
	res := answer.(*fetchapi.Response)
	if res.ErrorCode != 0 {
		return b, fmt.Errorf("fetch %s partition %d: %w", t, partition, kafka.Error(res.ErrorCode))
	}
	if len(res.Topics) != 1 || len(res.Topics[0].Partitions) != 1 {
		return b, fmt.Errorf("fetch %s partition %d: answer names no partition", t, partition)
	}
	p := res.Topics[0].Partitions[0]
	if p.ErrorCode != 0 {
		return b, c.fetchError(ctx, t, partition, offset, kafka.Error(p.ErrorCode))
	}
	b = Batch{HighWatermark: p.HighWatermark, LogStart: p.LogStartOffset, Next: offset}
	batches, err := b.read(t, partition, offset, p.RecordSet.Records)
	if err != nil {
		return b, fmt.Errorf("fetch %s partition %d offset %d: %w", t, partition, offset, err)
	}
	compacted := c.specs[t].Cleanup == Compact
	switch {
	case len(b.Records) > 0:
		b.Next = b.Records[len(b.Records)-1].Offset + 1
	case batches > 0 && compacted && offset < p.HighWatermark:
		// Compaction left the batch that holds this offset without it. The
		// length of an empty batch is not exposed, so step one offset: the
		// broker hands out the same batch until it is passed.
		b.Next = offset + 1
	case batches > 0 && offset < p.HighWatermark:
		return b, &GapError{t, partition, offset, -1, p.LogStartOffset}
	}
	if compacted {
		return b, nil
	}
	return b, b.contiguous(t, partition, offset)
}

// read copies the records at or after an offset, and counts the batches.
func (b *Batch) read(t schemas.Topic, partition int, offset int64, records protocol.RecordReader) (batches int, err error) {
	if records == nil {
		return 0, nil
	}
	if stream, ok := records.(*protocol.RecordStream); ok {
		batches = len(stream.Records)
	}
	for {
		r, err := records.ReadRecord()
		if errors.Is(err, io.EOF) {
			return batches, nil
		}
		if err != nil {
			return batches, err
		}
		key, keyErr := contents(r.Key)
		value, valueErr := contents(r.Value)
		if err := errors.Join(keyErr, valueErr); err != nil {
			return batches, err
		}
		if r.Offset < offset { // the batch began before the offset asked for
			continue
		}
		rec := Record{Topic: t, Partition: partition, Offset: r.Offset, Key: key, Value: value, Time: r.Time}
		for _, h := range r.Headers {
			rec.Headers = append(rec.Headers, Header{h.Key, h.Value})
		}
		b.Records = append(b.Records, rec)
	}
}

// contents copies a key or value; nil stays nil, since an absent value is a
// tombstone and an empty one is not.
func contents(from protocol.Bytes) ([]byte, error) {
	if from == nil {
		return nil, nil
	}
	defer func() { _ = from.Close() }()
	out := make([]byte, from.Len())
	if _, err := io.ReadFull(from, out); err != nil {
		return nil, fmt.Errorf("read record: %w", err)
	}
	return out, nil
}

func (b *Batch) contiguous(t schemas.Topic, partition int, offset int64) error {
	for i, r := range b.Records {
		if r.Offset == offset+int64(i) {
			continue
		}
		if i > 0 { // what came before the hole is good
			b.Records, b.Next = b.Records[:i], offset+int64(i)
			return nil
		}
		return &GapError{t, partition, offset, r.Offset, b.LogStart}
	}
	return nil
}

// fetchError makes an out-of-range answer say on which side.
func (c *Client) fetchError(ctx context.Context, t schemas.Topic, partition int, offset int64, code kafka.Error) error {
	cause := fmt.Errorf("fetch %s partition %d: %w", t, partition, code)
	if code != kafka.OffsetOutOfRange {
		return cause
	}
	starts, err := c.Starts(ctx, t)
	if err != nil {
		return errors.Join(cause, err)
	}
	if offset < starts[partition] {
		return &GapError{t, partition, offset, -1, starts[partition]}
	}
	ends, err := c.Ends(ctx, t)
	if err != nil {
		return errors.Join(cause, err)
	}
	if offset > ends[partition] {
		return &TruncatedError{t, partition, offset, ends[partition]}
	}
	return cause
}

// Limits of the fetches of a bounded read.
const (
	readWait  = 250 * time.Millisecond
	readBytes = 4 << 20
)

// ReadFrom reads a partition from an offset up to, not including, another, in
// batches. It fails rather than skip.
func (c *Client) ReadFrom(ctx context.Context, t schemas.Topic, partition int, from, until int64, each func([]Record) error) error {
	for from < until {
		b, err := c.Fetch(ctx, t, partition, from, readWait, readBytes)
		if err != nil {
			return err
		}
		n := len(b.Records)
		for n > 0 && b.Records[n-1].Offset >= until {
			n--
		}
		if n > 0 {
			if err := each(b.Records[:n]); err != nil {
				return err
			}
		}
		if b.Next == from && b.HighWatermark < until {
			return &TruncatedError{t, partition, until, b.HighWatermark}
		}
		from = b.Next
	}
	return nil
}
