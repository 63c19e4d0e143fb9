package topics

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"cpis/schemas"
)

// kafkaTests are run on kfake and on real Apache Kafka alike: what kfake lets
// pass is necessary, and real Kafka says whether it is enough.
func kafkaTests() map[string]func(t *testing.T, seeds []string) {
	return map[string]func(t *testing.T, seeds []string){
		"produce and fetch agree with the oracle": agreesWithTheOracle,
		"K02 lost answers append once":            lostAnswersAppendOnce,
		"K15 expired records are not skipped":     expiredRecordsAreNotSkipped,
		"K16 truncation is noticed":               truncationIsNoticed,
		"K18 partitions move with their offsets":  partitionsMoveWithTheirOffsets,
		"K21 a new group starts at the start":     newGroupStartsAtTheStart,
	}
}

func TestKafka(t *testing.T) {
	for name, test := range kafkaTests() {
		t.Run(name, func(t *testing.T) { test(t, newFake(t).ListenAddrs()) })
	}
}

func TestRealKafka(t *testing.T) {
	for name, test := range kafkaTests() {
		t.Run(name, func(t *testing.T) { test(t, realKafka(t)) })
	}
	t.Run("K12 a compacted topic is read whole", compactedTopicIsReadWhole)
	t.Run("K24 producer and group outlive a restart of the broker", outliveARestart)
}

// realKafka gives the addresses of a real Kafka that holds no topic. Where
// there is none the test is skipped and says why; with CPIS_REQUIRE_REAL it
// fails.
func realKafka(t *testing.T) []string {
	t.Helper()
	address := os.Getenv("CPIS_REAL_KAFKA")
	if address == "" {
		if os.Getenv("CPIS_REQUIRE_REAL") != "" {
			t.Fatal("real services are required and CPIS_REAL_KAFKA is not set: run make real")
		}
		t.Skip("SKIPPED: no real Kafka here: run make real")
	}
	seeds := []string{address}
	admin := administer(t, seeds)
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	held, err := admin.ListTopics(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := admin.DeleteTopics(ctx, held.Names()...); err != nil {
		t.Fatal(err)
	}
	for len(held) > 0 { // they go in their own time, and must not take what is made next with them
		if held, err = admin.ListTopics(ctx); err != nil {
			t.Fatal(err)
		}
	}
	return seeds
}

func administer(t *testing.T, seeds []string) *kadm.Client {
	t.Helper()
	admin, err := kadm.NewOptClient(kgo.SeedBrokers(seeds...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(admin.Close)
	return admin
}

// lostAnswersAppendOnce cuts the connection under every third answer of the
// broker: what was appended and not acknowledged is sent again, and stands once.
func lostAnswersAppendOnce(t *testing.T, seeds []string) {
	_ = open(t, seeds, 1)
	var armed atomic.Bool
	c := second(t, seeds, func([]byte) error {
		if armed.CompareAndSwap(true, false) {
			return errors.New("connection cut")
		}
		return nil
	})
	p := newProducer(t, c)
	const n = 60
	for i := range n {
		armed.Store(i%3 == 2)
		if err := p.Produce(context.Background(), rec(i)); err != nil {
			t.Fatal(err)
		}
	}
	records := oracle(t, seeds, topic, n)
	for i, r := range records {
		if string(r.Value) != fmt.Sprint(i) {
			t.Fatalf("at %d stands record %s", i, r.Value)
		}
	}
	if len(records) != n || p.Stats().Retries < n/6 {
		t.Errorf("%d records for %d produced, %d retries", len(records), n, p.Stats().Retries)
	}
}

// compactedTopicIsReadWhole reads a topic that the log cleaner has been over,
// with both kinds of holes it leaves.
func compactedTopicIsReadWhole(t *testing.T) {
	seeds := realKafka(t)
	c := open(t, seeds, 1)
	admin := administer(t, seeds)
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	eager := func(key, value string) kadm.AlterConfig {
		return kadm.AlterConfig{Op: kadm.SetConfig, Name: key, Value: &value}
	}
	if _, err := admin.AlterTopicConfigs(ctx, []kadm.AlterConfig{eager("segment.bytes", "1048576"), eager("min.cleanable.dirty.ratio", "0.01"), eager("delete.retention.ms", "0")}, string(schemas.TopicIndicator)); err != nil {
		t.Fatal(err)
	}
	p := newProducer(t, c)
	for i := range 600 { // six segments, of which all but the last can be cleaned
		r := rec(i)
		r.Topic, r.Key, r.Value = schemas.TopicIndicator, fmt.Appendf(nil, "key %d", i%40), fmt.Appendf(nil, "%10000d", i)
		if i%40 == 7 {
			r.Value = nil
		}
		if err := p.Produce(ctx, r); err != nil {
			t.Fatal(err)
		}
	}
	read := func() map[string]string {
		kept := map[string]string{}
		records := 0
		err := c.ReadFrom(ctx, schemas.TopicIndicator, 0, 0, 600, func(batch []Record) error {
			for _, r := range batch {
				records++
				if kept[string(r.Key)] = string(r.Value); r.Value == nil {
					delete(kept, string(r.Key))
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if records == 600 {
			return nil // not cleaned yet
		}
		return kept
	}
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	kept := read()
	for ; kept == nil; kept = read() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatal("the log cleaner has not been by")
		}
	}
	if len(kept) != 39 || kept["key 5"] != fmt.Sprintf("%10000d", 565) || kept["key 39"] != fmt.Sprintf("%10000d", 599) {
		t.Errorf("%d keys are left, want 39 with their newest values", len(kept))
	}
}

// outliveARestart restarts the broker under a producer and a group.
func outliveARestart(t *testing.T) {
	seeds := realKafka(t)
	c := open(t, seeds, 2)
	p := newProducer(t, c)
	var mu sync.Mutex
	seen := map[string]int{}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	stopped := make(chan struct{})
	go func() {
		_ = c.RunGroup(ctx, GroupConfig{ID: "g-" + t.Name(), Topics: []schemas.Topic{topic}}, func(ctx context.Context, a *Assignment) error {
			for next := a.Offset; ctx.Err() == nil; {
				b, err := c.Fetch(ctx, topic, a.Partition, next, 100*time.Millisecond, 1<<20)
				if err != nil {
					return err
				}
				mu.Lock()
				for _, r := range b.Records {
					seen[string(r.Value)]++
				}
				mu.Unlock()
				next = b.Next
			}
			return nil
		})
		close(stopped)
	}()
	const n = 200
	produced := make(chan error, 1)
	go func() {
		for i := range n {
			r := rec(i)
			r.Time = time.Now() // after a crash a broker forgets producers whose records are older than a day
			if err := p.Produce(ctx, r); err != nil {
				produced <- err
				return
			}
		}
		produced <- nil
	}()
	for _, verb := range []string{"kill", "start"} {
		if out, err := exec.Command(filepath.Join("..", "..", "deploy", "testbed", "kafka"), verb).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	if err := <-produced; err != nil {
		t.Fatal(err)
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for done := false; !done; {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("%d of %d records seen", len(seen), n)
		}
		mu.Lock()
		done = len(seen) == n
		mu.Unlock()
	}
	cancel()
	<-stopped
	if got := len(oracle(t, seeds, topic, n)); got != n {
		t.Errorf("%d records for %d produced", got, n)
	}
}

func agreesWithTheOracle(t *testing.T, seeds []string) {
	c := open(t, seeds, 3)
	p := newProducer(t, c)
	const n = 2500 // more than two batches
	var records []Record
	for i := range n {
		records = append(records, rec(i))
	}
	records[7].Value = nil
	if err := p.Produce(context.Background(), records...); err != nil {
		t.Fatal(err)
	}
	theirs := oracle(t, seeds, topic, n)
	got := map[string]Record{}
	for part := range 3 {
		ends, err := c.Ends(context.Background(), topic)
		if err != nil {
			t.Fatal(err)
		}
		err = c.ReadFrom(context.Background(), topic, part, 0, ends[part], func(b []Record) error {
			for _, r := range b {
				got[string(r.Headers[0].Value)] = r
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if len(got) != n || len(theirs) != n {
		t.Fatalf("we read %d, the oracle %d, want %d", len(got), len(theirs), n)
	}
	for _, r := range theirs {
		ours := got[string(r.Headers[0].Value)]
		if string(ours.Key) != string(r.Key) || string(ours.Value) != string(r.Value) || (ours.Value == nil) != (r.Value == nil) ||
			ours.Offset != r.Offset || ours.Partition != int(r.Partition) || !ours.Time.Equal(r.Timestamp) || len(ours.Headers) != 2 {
			t.Fatalf("we read %+v, the oracle %+v", ours, r)
		}
	}
}

func expiredRecordsAreNotSkipped(t *testing.T, seeds []string) {
	c := open(t, seeds, 1)
	p := newProducer(t, c)
	for i := range 10 {
		if err := p.Produce(context.Background(), rec(i)); err != nil {
			t.Fatal(err)
		}
	}
	deleteBefore(t, seeds, 6)
	_, err := c.Fetch(context.Background(), topic, 0, 2, 100*time.Millisecond, 1<<20)
	var gap *GapError
	if !errors.As(err, &gap) || gap.LogStart != 6 || gap.Asked != 2 {
		t.Fatalf("got %v", err)
	}
	b, err := c.Fetch(context.Background(), topic, 0, 6, 100*time.Millisecond, 1<<20)
	if err != nil || len(b.Records) != 4 {
		t.Errorf("from the log start: %d records, %v", len(b.Records), err)
	}
}

func deleteBefore(t *testing.T, seeds []string, offset int64) {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(seeds...))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	req := kmsg.NewDeleteRecordsRequest()
	rt := kmsg.NewDeleteRecordsRequestTopic()
	rt.Topic = string(topic)
	rp := kmsg.NewDeleteRecordsRequestTopicPartition()
	rp.Offset = offset
	rt.Partitions = append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)
	if _, err := req.RequestWith(context.Background(), cl); err != nil {
		t.Fatal(err)
	}
}

func truncationIsNoticed(t *testing.T, seeds []string) {
	c := open(t, seeds, 1)
	if err := newProducer(t, c).Produce(context.Background(), rec(0)); err != nil {
		t.Fatal(err)
	}
	_, err := c.Fetch(context.Background(), topic, 0, 5, 100*time.Millisecond, 1<<20)
	var cut *TruncatedError
	if !errors.As(err, &cut) || cut.End != 1 {
		t.Errorf("got %v", err)
	}
}

func newGroupStartsAtTheStart(t *testing.T, seeds []string) {
	c := open(t, seeds, 1)
	if err := newProducer(t, c).Produce(context.Background(), rec(0)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	err := c.RunGroup(ctx, GroupConfig{ID: "g-" + t.Name(), Topics: []schemas.Topic{topic}}, func(_ context.Context, a *Assignment) error {
		if a.Offset != 0 {
			t.Errorf("begins at %d", a.Offset)
		}
		cancel()
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// partitionsMoveWithTheirOffsets lets a second member join and the
// first leave: every record is seen, and each member begins where the last
// committed.
func partitionsMoveWithTheirOffsets(t *testing.T, seeds []string) {
	c := open(t, seeds, 4)
	p := newProducer(t, c)
	var mu sync.Mutex
	seen := map[string]int{}
	work := func(ctx context.Context, a *Assignment) error {
		next := a.Offset
		for ctx.Err() == nil {
			b, err := c.Fetch(ctx, topic, a.Partition, next, 50*time.Millisecond, 1<<20)
			if err != nil {
				return err
			}
			if len(b.Records) == 0 {
				continue
			}
			mu.Lock()
			for _, r := range b.Records {
				seen[string(r.Value)]++
			}
			mu.Unlock()
			next = b.Next
			if err := a.Commit(ctx, next); err != nil {
				return err
			}
		}
		return nil
	}
	group := GroupConfig{ID: "g-" + t.Name(), Topics: []schemas.Topic{topic}, SessionTimeout: 6 * time.Second, Heartbeat: 50 * time.Millisecond}
	first, stopFirst := context.WithCancel(context.Background())
	second, stopSecond := context.WithCancel(context.Background())
	var wait sync.WaitGroup
	wait.Go(func() { _ = c.RunGroup(first, group, work) })
	total := 0
	produce := func(n int) {
		for range n {
			if err := p.Produce(context.Background(), rec(total)); err != nil {
				t.Error(err)
			}
			total++
		}
	}
	all := func() {
		deadline := time.Now().Add(15 * time.Second)
		for time.Now().Before(deadline) {
			mu.Lock()
			n := len(seen)
			mu.Unlock()
			if n == total {
				return
			}
			<-time.After(5 * time.Millisecond)
		}
		t.Errorf("%d of %d records seen", len(seen), total)
	}
	produce(100)
	all()
	wait.Go(func() { _ = c.RunGroup(second, group, work) })
	produce(200)
	all()
	stopFirst()
	produce(200)
	all()
	stopSecond()
	wait.Wait()
	offsets, err := c.GroupOffsets(context.Background(), group.ID, topic)
	if err != nil {
		t.Fatal(err)
	}
	var committed int64
	for _, o := range offsets {
		committed += max(o, 0)
	}
	if committed != int64(total) {
		t.Errorf("committed %d of %d", committed, total)
	}
}
