package topics

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"cpis/schemas"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const topic = schemas.TopicRegistration

func newFake(t testing.TB, opts ...kfake.Opt) *kfake.Cluster {
	t.Helper()
	f, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(1)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Close)
	return f
}

func open(t testing.TB, seeds []string, partitions int) *Client {
	t.Helper()
	c, err := Open(context.Background(), Config{Brokers: seeds, EventPartitions: partitions, RequestTimeout: 2 * time.Second, DeliveryTimeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if _, err := c.Apply(context.Background()); err != nil {
		t.Fatal(err)
	}
	return c
}

func newProducer(t testing.TB, c *Client) *Producer {
	t.Helper()
	p, err := c.NewProducer(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = p.Close(ctx)
	})
	return p
}

// recsFrom is when the records of a test begin: now, for a broker deletes records by
// their own time, and may do so in the middle of a test.
var recsFrom = sync.OnceValue(func() time.Time { return time.Now().Truncate(time.Millisecond) })

func rec(i int) Record {
	return Record{Topic: topic, Key: fmt.Appendf(nil, "key %d", i%17), Value: fmt.Appendf(nil, "%d", i), Time: recsFrom().Add(time.Duration(i) * time.Millisecond),
		Headers: []Header{{"ce_id", fmt.Appendf(nil, "id-%d", i)}, {"empty", []byte{}}}}
}

// oracle reads a whole topic with an independent client.
func oracle(t testing.TB, seeds []string, topic schemas.Topic, want int) []*kgo.Record {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(seeds...), kgo.ConsumeTopics(string(topic)), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute) // after trouble it looks for the leader every five seconds
	defer cancel()
	var out []*kgo.Record
	var trouble []kgo.FetchError
	for len(out) < want {
		fetches := cl.PollFetches(ctx)
		if ctx.Err() != nil {
			t.Fatalf("oracle read %d of %d records; trouble on the way: %v", len(out), want, trouble)
		}
		trouble = append(trouble, fetches.Errors()...)
		out = append(out, fetches.Records()...)
	}
	return out
}

func TestK08PartitionIsTheJavaDefault(t *testing.T) {
	kafkas := kgo.StickyKeyPartitioner(nil).ForTopic("t")
	rapid.Check(t, func(t *rapid.T) {
		key := rapid.SliceOfN(rapid.Byte(), 1, 64).Draw(t, "key")
		n := rapid.IntRange(1, 50).Draw(t, "partitions")
		if got, want := PartitionFor(key, n), kafkas.Partition(&kgo.Record{Key: key}, n); got != want {
			t.Fatalf("%d, kgo says %d", got, want)
		}
	})
}

// TestK02RetriesAppendOnce drives the producer through answers that were lost,
// refused for now, or sent after the batch was appended all the same.
func TestK02RetriesAppendOnce(t *testing.T) {
	f := newFake(t)
	c := open(t, f.ListenAddrs(), 2)
	p := newProducer(t, c)
	faults := []int16{kerr.NotEnoughReplicas.Code, kerr.NotEnoughReplicasAfterAppend.Code, kerr.RequestTimedOut.Code, kerr.NotLeaderForPartition.Code, -100}
	var mu sync.Mutex
	seen, injected := 0, 0
	f.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
		f.KeepControl()
		mu.Lock()
		defer mu.Unlock()
		seen++
		if seen%2 == 0 {
			return nil, nil, false
		}
		fault := faults[injected%len(faults)]
		injected++
		if fault == -100 {
			return nil, errors.New("connection cut"), true
		}
		r := req.(*kmsg.ProduceRequest)
		res := r.ResponseKind().(*kmsg.ProduceResponse)
		for _, t := range r.Topics {
			rt := kmsg.NewProduceResponseTopic()
			rt.Topic = t.Topic
			for _, p := range t.Partitions {
				rp := kmsg.NewProduceResponseTopicPartition()
				rp.Partition, rp.ErrorCode = p.Partition, fault
				rt.Partitions = append(rt.Partitions, rp)
			}
			res.Topics = append(res.Topics, rt)
		}
		return res, nil, true
	})
	const n = 200
	for i := range n {
		if err := p.Produce(context.Background(), rec(i)); err != nil {
			t.Fatal(err)
		}
	}
	last := map[string]int{}
	records := oracle(t, f.ListenAddrs(), topic, n)
	if len(records) != n {
		t.Fatalf("%d records for %d produced", len(records), n)
	}
	for _, r := range records {
		var i int
		if _, err := fmt.Sscan(string(r.Value), &i); err != nil {
			t.Fatal(err)
		}
		if prev, ok := last[string(r.Key)]; ok && prev >= i {
			t.Fatalf("key %s: %d after %d", r.Key, i, prev)
		}
		last[string(r.Key)] = i
	}
	if injected < 100 || p.Stats().Retries < 100 {
		t.Errorf("only %d faults and %d retries: the test proves nothing", injected, p.Stats().Retries)
	}
}

// TestK02AnswersLostAfterAppend lets the broker append and then loses the
// answer: the same sequence must not be appended twice.
func TestK02AnswersLostAfterAppend(t *testing.T) {
	f := newFake(t)
	c := open(t, f.ListenAddrs(), 1)
	p := newProducer(t, c)
	h := f.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.NotEnoughReplicasAfterAppend, Count: 20})
	for i := range 50 {
		if err := p.Produce(context.Background(), rec(i)); err != nil {
			t.Fatal(err)
		}
	}
	if got := oracle(t, f.ListenAddrs(), topic, 50); len(got) != 50 {
		t.Errorf("%d records for 50 produced", len(got))
	}
	if h.Hits() != 20 {
		t.Errorf("%d of 20 faults hit", h.Hits())
	}
}

func TestK01UnreachableKafkaIsNeverSuccess(t *testing.T) {
	f := newFake(t)
	c := open(t, f.ListenAddrs(), 1)
	p := newProducer(t, c)
	if err := p.Produce(context.Background(), rec(0)); err != nil {
		t.Fatal(err)
	}
	f.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	err := p.Produce(ctx, rec(1))
	if !errors.Is(err, ErrUnknown) && !errors.Is(err, ErrRejected) {
		t.Errorf("got %v", err)
	}
}

func TestRecordTooLargeIsRejected(t *testing.T) {
	p := newProducer(t, open(t, newFake(t).ListenAddrs(), 1))
	err := p.Produce(context.Background(), Record{Topic: topic, Key: []byte("k"), Value: make([]byte, maxBatchBytes), Time: time.Now()})
	if !errors.Is(err, ErrRejected) {
		t.Errorf("got %v", err)
	}
}

func TestK05CloseNeverHangs(t *testing.T) {
	f := newFake(t)
	c := open(t, f.ListenAddrs(), 1)
	p := newProducer(t, c)
	var wait sync.WaitGroup
	for i := range 20 {
		wait.Go(func() { _ = p.Produce(context.Background(), rec(i)) })
	}
	f.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	start := time.Now()
	_ = p.Close(ctx)
	wait.Wait()
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("closing took %v", took)
	}
	if err := p.Produce(context.Background(), rec(1)); !errors.Is(err, ErrRejected) {
		t.Errorf("a closed producer answered %v", err)
	}
}

func TestWorkThatFailsIsGivenThePartitionAgain(t *testing.T) {
	f := newFake(t)
	c := open(t, f.ListenAddrs(), 1)
	ctx, cancel := context.WithCancel(context.Background())
	tries := 0
	_ = c.RunGroup(ctx, GroupConfig{ID: "g", Topics: []schemas.Topic{topic}}, func(context.Context, *Assignment) error {
		if tries++; tries == 2 {
			cancel()
		}
		return errors.New("trouble")
	})
	if tries != 2 {
		t.Errorf("%d tries", tries)
	}
}

func TestPlanSeesDriftAndApplyMendsIt(t *testing.T) {
	f := newFake(t)
	c := open(t, f.ListenAddrs(), 2)
	changes, err := c.Plan(context.Background())
	if err != nil || len(changes) != 0 {
		t.Fatalf("just applied, yet %v, %v", changes, err)
	}
	other, err := Open(context.Background(), Config{Brokers: f.ListenAddrs(), EventPartitions: 3})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Close() }()
	if _, err := other.Apply(context.Background()); !errors.Is(err, ErrManual) {
		t.Errorf("partition counts differ, yet %v", err)
	}
}

// TestTheReaderAndWriterAreNotUsed guards K1, K2, K4, K5, K7, K9 to K12, K18
// to K20, K23 and K24: traps of kafka-go's Reader and Writer.
func TestTheReaderAndWriterAreNotUsed(t *testing.T) {
	root := filepath.Join("..", "..")
	banned := []string{"kafka.New" + "Reader", "kafka." + "Reader{", "kafka." + "ReaderConfig", "kafka." + "Writer", "kafka.New" + "Writer"}
	files := 0
	err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") {
			return err
		}
		files++
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, b := range banned {
			if strings.Contains(string(text), b) {
				t.Errorf("%s uses %s", path, b)
			}
		}
		return nil
	})
	if err != nil || files < 10 {
		t.Errorf("read %d files, %v", files, err)
	}
}

func BenchmarkEncodeBatch(b *testing.B) {
	var records []Record
	for i := range 100 {
		r := rec(i)
		r.Value = make([]byte, 600)
		records = append(records, r)
	}
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		buf = appendBatch(buf[:0], records, producerID{1, 0}, 0)
	}
	b.SetBytes(int64(len(buf)))
}
