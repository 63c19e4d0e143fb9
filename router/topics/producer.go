package topics

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"

	"cpis/schemas"
)

var (
	// ErrRejected means that the records were surely not appended.
	ErrRejected = errors.New("rejected")
	// ErrUnknown means that nobody knows whether the records were appended:
	// they may still be, later. Records that carry ids may be sent again.
	ErrUnknown = errors.New("result unknown")
)

// ProduceError says what became of records that are not known to be durable.
// Err wraps ErrRejected or ErrUnknown, and the cause.
type ProduceError struct {
	Topic     schemas.Topic
	Partition int
	Err       error
}

func (e *ProduceError) Error() string {
	return fmt.Sprintf("produce to %s partition %d: %v", e.Topic, e.Partition, e.Err)
}
func (e *ProduceError) Unwrap() error { return e.Err }

// Limits of one batch.
const (
	maxBatchBytes   = 512 << 10
	maxBatchRecords = 1000
)

// Pauses between tries of a batch.
const (
	minPause = 5 * time.Millisecond
	maxPause = 500 * time.Millisecond
)

// Producer appends records idempotently: every batch carries a producer id
// and a sequence number, so that a broker which saw it already answers as it
// did before and appends nothing.
//
// One goroutine per partition has one request in flight; what arrives
// meanwhile goes into the next batch together. Throughput under load comes
// from that, and a lone record waits for nobody.
//
// The sequence of a partition may never have a hole. So a batch whose result
// is not known is sent again, the same bytes, until it is known or its callers
// have been gone for DeliveryTimeout; then the partition takes a new producer
// id and starts over.
type Producer struct {
	client *Client
	ctx    context.Context // ends when Close gives up
	cancel context.CancelFunc
	wait   sync.WaitGroup

	mu     sync.Mutex
	lanes  map[place]*producerLane // guarded by mu
	closed bool                    // guarded by mu

	buffered                           atomic.Int64
	records, batches, retries, reinits atomic.Int64
}

// ProducerStats counts since the producer was made.
type ProducerStats struct {
	Records       int64 // acknowledged
	Batches       int64 // acknowledged
	Retries       int64 // requests sent again
	Reinits       int64 // new producer ids after an unknown result
	BufferedBytes int64 // waiting, now
}

type place struct {
	topic     schemas.Topic
	partition int
}

type producerID struct {
	id    int64
	epoch int16
}

// item is what one call of Produce has for one batch of a partition.
type item struct {
	at      place
	ctx     context.Context // of the caller
	records []Record
	bytes   int
	done    chan error // capacity 1
}

// NewProducer makes a producer. It asks for producer ids when they are needed.
func (c *Client) NewProducer(context.Context) (*Producer, error) {
	ctx, cancel := context.WithCancel(context.Background())
	return &Producer{client: c, ctx: ctx, cancel: cancel, lanes: map[place]*producerLane{}}, nil
}

// Stats reports the counters.
func (p *Producer) Stats() ProducerStats {
	return ProducerStats{p.records.Load(), p.batches.Load(), p.retries.Load(), p.reinits.Load(), p.buffered.Load()}
}

// Produce appends records and returns nil once all are committed by every
// in-sync replica. The partition is computed from the key. Records of one call
// keep their order within a partition. It tries for as long as ctx lives; safe
// for concurrent use. Errors are *ProduceError.
func (p *Producer) Produce(ctx context.Context, records ...Record) error {
	if len(records) == 0 {
		return nil
	}
	items, err := p.split(ctx, records)
	if err != nil {
		return err
	}
	for i, it := range items {
		if err := p.enqueue(it); err != nil {
			for _, rest := range items[i+1:] {
				p.buffered.Add(-int64(rest.bytes))
			}
			return err
		}
	}
	for _, it := range items {
		select {
		case e := <-it.done:
			if e != nil && err == nil {
				err = &ProduceError{it.at.topic, it.at.partition, e}
			}
		case <-ctx.Done():
			return &ProduceError{it.at.topic, it.at.partition, fmt.Errorf("%w: %w", ErrUnknown, ctx.Err())}
		}
	}
	return err
}

// split sorts records into items that each fit one batch.

func (p *Producer) split(ctx context.Context, records []Record) ([]*item, error) {
	var items []*item
	open := map[place]*item{}
	total := 0
	for _, r := range records {
		n, err := p.client.Partitions(ctx, r.Topic)
		if err != nil {
			return nil, &ProduceError{r.Topic, -1, fmt.Errorf("%w: %w", ErrRejected, err)}
		}
		at := place{r.Topic, PartitionFor(r.Key, n)}
		if r.size() > maxBatchBytes {
			return nil, &ProduceError{at.topic, at.partition, fmt.Errorf("%w: %d bytes, at most %d", ErrRejected, r.size(), maxBatchBytes)}
		}
		it := open[at]
		if it == nil || len(it.records) == maxBatchRecords || it.bytes+r.size() > maxBatchBytes {
			it = &item{at: at, ctx: ctx, done: make(chan error, 1)}
			open[at] = it
			items = append(items, it)
		}
		it.records = append(it.records, r)
		it.bytes += r.size()
		total += r.size()
	}
	if p.buffered.Add(int64(total)) > p.client.config.MaxBufferedBytes {
		p.buffered.Add(-int64(total))
		return nil, &ProduceError{records[0].Topic, -1, fmt.Errorf("%w: %d bytes wait already", ErrRejected, p.buffered.Load())}
	}
	return items, nil
}

func (p *Producer) enqueue(it *item) error {
	at := it.at
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		p.buffered.Add(-int64(it.bytes))
		return &ProduceError{at.topic, at.partition, fmt.Errorf("%w: producer is closed", ErrRejected)}
	}
	l := p.lanes[at]
	if l == nil {
		l = &producerLane{p: p, place: at, wake: make(chan struct{}, 1), stop: make(chan struct{})}
		p.lanes[at] = l
		p.wait.Go(l.run)
	}
	l.mu.Lock()
	l.queue = append(l.queue, it)
	l.mu.Unlock()
	select {
	case l.wake <- struct{}{}:
	default:
	}
	return nil
}

// Close sends what waits until ctx ends, then fails the rest with ErrUnknown.
// It never blocks longer than that. Idempotent.
func (p *Producer) Close(ctx context.Context) error {
	p.mu.Lock()
	if !p.closed {
		p.closed = true
		for _, l := range p.lanes {
			close(l.stop)
		}
	}
	p.mu.Unlock()
	stopped := make(chan struct{})
	go func() { p.wait.Wait(); close(stopped) }()
	select {
	case <-stopped:
	case <-ctx.Done():
		p.cancel()
		<-stopped
	}
	p.cancel()
	if p.buffered.Load() > 0 {
		return fmt.Errorf("close producer: %w: %w", ErrUnknown, ctx.Err())
	}
	return nil
}

// producerLane is one partition of the producer.
type producerLane struct {
	p *Producer
	place
	wake chan struct{} // capacity 1: there is something in the queue
	stop chan struct{} // closed: finish the queue and end

	mu    sync.Mutex
	queue []*item // guarded by mu

	// Owned by run.
	id       producerID
	ready    bool // id is set
	sequence int32
	buffer   []byte
}

func (l *producerLane) run() {
	for {
		batch := l.next()
		if len(batch) > 0 {
			l.deliver(batch)
			continue
		}
		select {
		case <-l.wake:
		case <-l.stop: // nothing can be added any more
			if l.idle() {
				return
			}
		}
	}
}

func (l *producerLane) idle() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.queue) == 0
}

// next takes the items of one batch off the queue. Items whose caller has
// given up before anything was sent are dropped.
func (l *producerLane) next() []*item {
	l.mu.Lock()
	defer l.mu.Unlock()
	var batch []*item
	bytes, records := 0, 0
	for len(l.queue) > 0 {
		it := l.queue[0]
		if it.ctx.Err() == nil && len(batch) > 0 && (bytes+it.bytes > maxBatchBytes || records+len(it.records) > maxBatchRecords) {
			break
		}
		l.queue = l.queue[1:]
		if it.ctx.Err() != nil {
			l.finish(it, fmt.Errorf("%w: %w", ErrRejected, it.ctx.Err()))
			continue
		}
		batch = append(batch, it)
		bytes += it.bytes
		records += len(it.records)
	}
	return batch
}

func (l *producerLane) finish(it *item, err error) {
	l.p.buffered.Add(-int64(it.bytes))
	it.done <- err
}

// deliver sends one batch until its result is known or nobody waits any more.
func (l *producerLane) deliver(batch []*item) {
	var records []Record
	for _, it := range batch {
		records = append(records, it.records...)
	}
	err := l.send(batch, records)
	if err == nil {
		l.sequence += int32(len(records)) // wraps at 2^31 as Kafka's does
		if l.sequence < 0 {
			l.ready = false
		}
		l.p.batches.Add(1)
		l.p.records.Add(int64(len(records)))
	}
	for _, it := range batch {
		l.finish(it, err)
	}
}

func (l *producerLane) send(batch []*item, records []Record) error {
	maybe := false // an earlier try may have been appended
	encoded := false
	abandoned := time.Time{}
	pause := minPause
	for try := 0; ; try++ {
		var err error
		if !l.ready {
			if maybe {
				l.p.reinits.Add(1)
				return fmt.Errorf("%w: the sequence was lost", ErrUnknown)
			}
			err = l.initialise()
			encoded = false
		}
		if err == nil {
			if !encoded {
				l.buffer = appendBatch(l.buffer[:0], records, l.id, l.sequence)
				encoded = true
			}
			if try > 0 {
				l.p.retries.Add(1)
			}
			err = l.request()
			switch judge(err) {
			case accepted:
				return nil
			case refused:
				if maybe {
					l.ready = false
					l.p.reinits.Add(1)
					return fmt.Errorf("%w: %w", ErrUnknown, err)
				}
				return fmt.Errorf("%w: %w", ErrRejected, err)
			case lost:
				l.ready = false
			}
			maybe = maybe || !definite(err)
		}
		if waiting(batch) {
			abandoned = time.Time{}
		} else if abandoned.IsZero() {
			abandoned = time.Now()
		}
		if !maybe && !abandoned.IsZero() {
			return fmt.Errorf("%w: %w", ErrRejected, err)
		}
		if l.p.ctx.Err() != nil || !abandoned.IsZero() && time.Since(abandoned) > l.p.client.config.DeliveryTimeout {
			l.ready = false // the sequence may have a hole now
			l.p.reinits.Add(1)
			return fmt.Errorf("%w: %w", ErrUnknown, err)
		}
		select {
		case <-time.After(time.Duration(rand.Int64N(int64(pause))) + minPause/2):
		case <-l.p.ctx.Done():
		}
		pause = min(pause*2, maxPause)
	}
}

// waiting reports whether any caller still waits for the batch.
func waiting(batch []*item) bool {
	for _, it := range batch {
		if it.ctx.Err() == nil {
			return true
		}
	}
	return false
}

func (l *producerLane) initialise() error {
	ctx, cancel := context.WithTimeout(l.p.ctx, l.p.client.config.RequestTimeout)
	defer cancel()
	res, err := l.p.client.kafka.InitProducerID(ctx, &kafka.InitProducerIDRequest{TransactionTimeoutMs: 60_000})
	if err == nil {
		err = res.Error
	}
	if err != nil {
		return fmt.Errorf("initialise producer: %w", err)
	}
	l.id = producerID{int64(res.Producer.ProducerID), int16(res.Producer.ProducerEpoch)}
	l.sequence, l.ready = 0, true
	return nil
}

// request sends the encoded batch.
func (l *producerLane) request() error {
	ctx, cancel := context.WithTimeout(l.p.ctx, l.p.client.config.RequestTimeout)
	defer cancel()
	res, err := l.p.client.kafka.RawProduce(ctx, &kafka.RawProduceRequest{Topic: string(l.topic), Partition: l.partition,
		RequiredAcks: kafka.RequireAll, RawRecords: protocol.RawRecordSet{Reader: bytes.NewReader(l.buffer)}})
	if err != nil {
		return err
	}
	return res.Error
}
