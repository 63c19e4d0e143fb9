package topics

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"cpis/schemas"
)

// The traps of kafka-go are numbered K1 to K27. A test named for one fails
// where it is stepped into; those that lie in parts of the library that are not
// used at all are guarded by TestTheReaderAndWriterAreNotUsed; K6 (leaking
// transports) by goleak in TestMain; K20 and K22 by package router, which
// commits and watches.

// tapped is a connection whose incoming bytes go through a function.
type tapped struct {
	net.Conn
	tap func([]byte) error
}

func (c tapped) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if cut := c.tap(b[:n]); cut != nil {
		return 0, errors.Join(cut, c.Close())
	}
	return n, err
}

func tap(c *Client, f func([]byte) error) {
	c.transport.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return tapped{conn, f}, nil
	}
}

func second(t *testing.T, seeds []string, f func([]byte) error) *Client {
	t.Helper()
	c, err := Open(context.Background(), Config{Brokers: seeds, EventPartitions: 1, RequestTimeout: 2 * time.Second, DeliveryTimeout: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if f != nil {
		tap(c, f)
	}
	return c
}

// K3: a caller that gives up does not undo the write. The result is unknown,
// the record may come, once, and the sequence is whole for the next.
func TestK03GivingUpIsNotUndoing(t *testing.T) {
	f := newFake(t)
	_ = open(t, f.ListenAddrs(), 1)
	var mu sync.Mutex
	hold := make(chan struct{})
	held := false
	c := second(t, f.ListenAddrs(), func([]byte) error {
		mu.Lock()
		wait := held
		mu.Unlock()
		if wait {
			<-hold
		}
		return nil
	})
	p := newProducer(t, c)
	if err := p.Produce(context.Background(), rec(0)); err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	held = true
	mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	if err := p.Produce(ctx, rec(1)); !errors.Is(err, ErrUnknown) {
		t.Errorf("got %v", err)
	}
	mu.Lock()
	held = false
	mu.Unlock()
	close(hold)
	if err := p.Produce(context.Background(), rec(2)); err != nil {
		t.Fatal(err)
	}
	seen := map[string]int{}
	for _, r := range oracle(t, f.ListenAddrs(), topic, 3) {
		seen[string(r.Value)]++
	}
	if len(seen) != 3 || seen["1"] != 1 {
		t.Errorf("records %v", seen)
	}
}

// K9: a record changed on its way is not delivered.
func TestK09ChangedBytesAreNoticed(t *testing.T) {
	f := newFake(t)
	p := newProducer(t, open(t, f.ListenAddrs(), 1))
	r := rec(0)
	r.Value = []byte("plan=YES")
	if err := p.Produce(context.Background(), r); err != nil {
		t.Fatal(err)
	}
	c := second(t, f.ListenAddrs(), func(b []byte) error {
		if i := bytes.Index(b, []byte("plan=YES")); i >= 0 {
			b[i+5] = 'N'
		}
		return nil
	})
	b, err := c.Fetch(context.Background(), topic, 0, 0, 100*time.Millisecond, 1<<20)
	if err == nil || len(b.Records) > 0 {
		t.Errorf("delivered %d records, %v", len(b.Records), err)
	}
}

// K10: a transaction's marker is never handed out as a record.
func TestK10MarkersAreNoRecords(t *testing.T) {
	f := newFake(t)
	c := open(t, f.ListenAddrs(), 1)
	cl, err := kgo.NewClient(kgo.SeedBrokers(f.ListenAddrs()...), kgo.TransactionalID("x"), kgo.DefaultProduceTopic(string(topic)))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	ctx := context.Background()
	if err := cl.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	if err := cl.ProduceSync(ctx, kgo.StringRecord("in")).FirstErr(); err != nil {
		t.Fatal(err)
	}
	if err := cl.EndTransaction(ctx, kgo.TryCommit); err != nil {
		t.Fatal(err)
	}
	if err := newProducer(t, c).Produce(ctx, rec(7)); err != nil {
		t.Fatal(err)
	}
	b, err := c.Fetch(ctx, topic, 0, 0, 100*time.Millisecond, 1<<20)
	if err != nil || len(b.Records) != 1 || string(b.Records[0].Value) != "in" {
		t.Errorf("%d records, %v", len(b.Records), err)
	}
	// The marker's offset is a hole, which on our topics must not be: it stops
	// the reader rather than be stepped over.
	var gap *GapError
	if _, err := c.Fetch(ctx, topic, 0, b.Next, 100*time.Millisecond, 1<<20); !errors.As(err, &gap) {
		t.Errorf("at the marker: %v", err)
	}
}

// emptyBatch is what compaction may leave of a batch: its header.
func emptyBatch(base int64) []byte {
	b := binary.BigEndian.AppendUint64(nil, uint64(base))
	b = binary.BigEndian.AppendUint32(b, 49)
	b = binary.BigEndian.AppendUint32(b, 0)
	b = append(b, 2)
	body := binary.BigEndian.AppendUint16(nil, 0)
	body = binary.BigEndian.AppendUint32(body, 0)
	body = append(body, make([]byte, 16)...)
	body = binary.BigEndian.AppendUint64(body, ^uint64(0))
	body = binary.BigEndian.AppendUint16(body, ^uint16(0))
	body = binary.BigEndian.AppendUint32(body, ^uint32(0))
	body = binary.BigEndian.AppendUint32(body, 0)
	b = binary.BigEndian.AppendUint32(b, crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli)))
	return append(b, body...)
}

// K12, K27: empty batches in a row neither crash nor stall the reader of a
// compacted topic; on another topic they are a gap.
func TestK12EmptyBatchesAreSteppedOver(t *testing.T) {
	f := newFake(t)
	c := open(t, f.ListenAddrs(), 1)
	p := newProducer(t, c)
	for i := range 10 {
		for _, at := range []schemas.Topic{schemas.TopicIndicator, topic} {
			r := rec(i)
			r.Topic = at
			if err := p.Produce(context.Background(), r); err != nil {
				t.Fatal(err)
			}
		}
	}
	f.ControlKey(int16(kmsg.Fetch), func(req kmsg.Request) (kmsg.Response, error, bool) {
		f.KeepControl()
		r := req.(*kmsg.FetchRequest)
		asked := r.Topics[0].Partitions[0].FetchOffset
		if asked >= 8 {
			return nil, nil, false
		}
		res := r.ResponseKind().(*kmsg.FetchResponse)
		rt := kmsg.NewFetchResponseTopic()
		rt.Topic, rt.TopicID = r.Topics[0].Topic, r.Topics[0].TopicID
		rp := kmsg.NewFetchResponseTopicPartition()
		rp.HighWatermark = 10
		for base := asked; base < 8; base++ {
			rp.RecordBatches = append(rp.RecordBatches, emptyBatch(base)...)
		}
		rt.Partitions = append(rt.Partitions, rp)
		res.Topics = append(res.Topics, rt)
		return res, nil, true
	})
	var got []Record
	err := c.ReadFrom(context.Background(), schemas.TopicIndicator, 0, 0, 10, func(b []Record) error { got = append(got, b...); return nil })
	if err != nil || len(got) != 2 {
		t.Errorf("%d records, %v", len(got), err)
	}
	var gap *GapError
	if _, err := c.Fetch(context.Background(), topic, 0, 0, 100*time.Millisecond, 1<<20); !errors.As(err, &gap) {
		t.Errorf("on a topic without compaction: %v", err)
	}
}

// K14, K17: what the client cannot guard against, the topics forbid.
func TestK14K17TopicsForbidWhatTheClientCannotGuard(t *testing.T) {
	for _, s := range Table() {
		c := s.configs(2)
		if c["compression.type"] != "uncompressed" || c["unclean.leader.election.enable"] != "false" || c["max.message.bytes"] == "" || c["min.insync.replicas"] != "2" {
			t.Errorf("%s: %v", s.Topic, c)
		}
		if (s.Cleanup == Delete) != (s.Retention > 0) || s.Doc == "" || s.Key == "" || len(s.Writers) == 0 || len(s.Readers) == 0 {
			t.Errorf("%s: %+v", s.Topic, s)
		}
	}
	if schemas.MaxValueBytes > maxBatchBytes || maxBatchBytes > maxMessageBytes {
		t.Error("a value that may be written does not fit a batch, or a batch a topic")
	}
}

// K23: stopping does not wait for a broker that is gone.
func TestK23StoppingDoesNotWaitForABroker(t *testing.T) {
	f := newFake(t)
	c := open(t, f.ListenAddrs(), 1)
	ctx, cancel := context.WithCancel(context.Background())
	joined := make(chan struct{})
	stopped := make(chan struct{})
	go func() {
		_ = c.RunGroup(ctx, GroupConfig{ID: "g", Topics: []schemas.Topic{topic}}, func(ctx context.Context, _ *Assignment) error {
			close(joined)
			<-ctx.Done()
			return nil
		})
		close(stopped)
	}()
	<-joined
	f.Close()
	cancel()
	select {
	case <-stopped:
	case <-time.After(leaveTime + 5*time.Second):
		t.Error("still stopping")
	}
}

// K24, K25: a group that was started before its broker joins when it comes.
func TestK24AGroupWaitsForItsBroker(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	_ = l.Close()
	c, err := Open(context.Background(), Config{Brokers: []string{l.Addr().String()}, EventPartitions: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	joined := false
	stopped := make(chan struct{})
	go func() {
		_ = c.RunGroup(ctx, GroupConfig{ID: "g", Topics: []schemas.Topic{topic}}, func(context.Context, *Assignment) error {
			joined = true
			cancel()
			return nil
		})
		close(stopped)
	}()
	if err := c.Ping(ctx); err == nil {
		t.Error("a broker that is not there answers")
	}
	f := newFake(t, kfake.Ports(port), kfake.SeedTopics(1, string(topic)))
	_ = f
	<-stopped
	if !joined {
		t.Error("never joined")
	}
}

// K26: the batch is Kafka's format, byte for byte, with its length in front.
func TestK26BatchFormat(t *testing.T) {
	records := []Record{rec(3), rec(4)}
	records[1].Value = nil
	raw := appendBatch(nil, records, producerID{7, 2}, 11)
	if int(binary.BigEndian.Uint32(raw)) != len(raw)-4 {
		t.Errorf("length in front: %d of %d", binary.BigEndian.Uint32(raw), len(raw))
	}
	var b kmsg.RecordBatch
	if err := b.ReadFrom(raw[4:]); err != nil {
		t.Fatal(err)
	}
	sum := crc32.Checksum(raw[4+21:], crc32.MakeTable(crc32.Castagnoli))
	if uint32(b.CRC) != sum || b.Magic != 2 || b.ProducerID != 7 || b.ProducerEpoch != 2 || b.FirstSequence != 11 || b.NumRecords != 2 || b.LastOffsetDelta != 1 ||
		int(b.Length) != len(raw)-16 || b.FirstTimestamp != records[0].Time.UnixMilli() || b.MaxTimestamp != records[1].Time.UnixMilli() {
		t.Errorf("%+v", b)
	}
	var first kmsg.Record
	if err := first.ReadFrom(b.Records); err != nil || string(first.Key) != "key 3" || string(first.Value) != "3" || len(first.Headers) != 2 {
		t.Errorf("%+v %v", first, err)
	}
}
