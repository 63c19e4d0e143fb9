package embedded

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// start brings up a system that is closed at the end of the test.
func start(t *testing.T, cfg Config) *System {
	t.Helper()
	if cfg.MinFree == 0 {
		cfg.MinFree = 1
	}
	s, err := Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// client is franz-go's own client: independent of the one the product uses. It is not idempotent, for such a client
// waits for ever for the fate of a record whose broker is gone; and it does not compress, so that sizes are known.
func client(t *testing.T, addr string, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	opts = append([]kgo.Opt{kgo.SeedBrokers(addr), kgo.RequiredAcks(kgo.AllISRAcks()), kgo.ProducerLinger(0),
		kgo.DisableIdempotentWrite(), kgo.MaxProduceRequestsInflightPerBroker(1), kgo.ProducerBatchCompression(kgo.NoCompression()),
		kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.RetryTimeout(10 * time.Second)}, opts...)
	c, err := kgo.NewClient(opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// makeTopic makes a topic with one replica.
func makeTopic(t *testing.T, addr, topic string, partitions int32, configs map[string]*string) {
	t.Helper()
	c := client(t, addr)
	defer c.Close()
	if _, err := kadm.NewClient(c).CreateTopic(t.Context(), partitions, 1, configs, topic); err != nil {
		t.Fatal(err)
	}
}

// bounds returns the first offset of partition p and the one after its last.
func bounds(t *testing.T, addr, topic string, p int32) (first, end int64) {
	t.Helper()
	admin := kadm.NewClient(client(t, addr))
	starts, err := admin.ListStartOffsets(t.Context(), topic)
	if err != nil {
		t.Fatal(err)
	}
	stops, err := admin.ListEndOffsets(t.Context(), topic)
	if err != nil {
		t.Fatal(err)
	}
	from, _ := starts.Lookup(topic, p)
	to, _ := stops.Lookup(topic, p)
	return from.Offset, to.Offset
}

// readAll returns the values of partition p from its start to its present end, and the offsets of both.
func readAll(t *testing.T, addr, topic string, p int32) (values []string, first, end int64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	first, end = bounds(t, addr, topic, p)
	if first == end {
		return nil, first, end
	}
	c := client(t, addr, kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {p: kgo.NewOffset().AtStart()}}))
	for next := first; next < end; {
		fetches := c.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			t.Fatalf("read %s at %d of %d: %v", topic, next, end, err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			values = append(values, string(r.Value))
			next = r.Offset + 1
		})
	}
	return values, first, end
}

func TestNothingAcknowledgedIsLostByKill(t *testing.T) {
	const kills, partitions, writers = 6, 3, 4
	dir := t.TempDir()
	acked := map[string]bool{}
	written := 0
	for round := range kills + 1 {
		c := startChild(t, dir)
		if round == 0 {
			makeTopic(t, c.KafkaAddr, "kept", partitions, nil)
		}
		before := len(acked)
		killAt := before + 20 + rand.IntN(200) // at a number of answers, so that a slow machine is killed in the act too
		if round == kills {
			killAt = before + 1
		}
		var mu sync.Mutex
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		for w := range writers {
			wg.Go(func() {
				kc := client(t, c.KafkaAddr, kgo.RecordRetries(0), kgo.RecordDeliveryTimeout(time.Second))
				defer kc.Close()
				for ctx.Err() == nil {
					mu.Lock()
					written++
					value := strconv.Itoa(written)
					mu.Unlock()
					err := kc.ProduceSync(ctx, &kgo.Record{Topic: "kept", Partition: int32(w % partitions), Value: []byte(value)}).FirstErr()
					mu.Lock()
					if err == nil {
						acked[value] = true
						if len(acked) >= killAt && ctx.Err() == nil {
							c.kill()
							cancel()
						}
					}
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		cancel()
	}

	c := startChild(t, dir)
	have := map[string]int{}
	for p := range int32(partitions) {
		values, _, _ := readAll(t, c.KafkaAddr, "kept", p)
		for _, v := range values {
			have[v]++
		}
	}
	lost := 0
	for value := range acked {
		if have[value] == 0 {
			lost++
		}
	}
	t.Logf("%d kills, %d acknowledged, %d kept", kills, len(acked), len(have))
	if lost > 0 || len(acked) < kills*20 {
		t.Errorf("%d of %d acknowledged records are lost after %d kills", lost, len(acked), kills)
	}
}

func TestGroupOffsetsSurviveKillAndStop(t *testing.T) {
	dir := t.TempDir()
	ends := []struct {
		name string
		end  func(*child)
	}{
		{"kill", (*child).kill},
		{"kill again, behind a torn tail", func(c *child) {
			c.kill()
			tear(t, filepath.Join(dir, "kafka", "groups.log"))
		}},
		{"kill after the tear", (*child).kill},
		{"orderly stop", func(c *child) { c.stop(t) }},
		{"last", (*child).kill},
	}
	for i, e := range ends {
		c := startChild(t, dir)
		if i == 0 {
			makeTopic(t, c.KafkaAddr, "read", 1, nil)
		}
		admin := kadm.NewClient(client(t, c.KafkaAddr))
		if i > 0 {
			got, err := admin.FetchOffsets(t.Context(), "readers")
			if err != nil {
				t.Fatal(err)
			}
			if o, _ := got.Lookup("read", 0); o.At != int64(i) {
				t.Errorf("after %s: offset %d, want %d", ends[i-1].name, o.At, i)
			}
		}
		var offsets kadm.Offsets
		offsets.AddOffset("read", 0, int64(i+1), -1)
		if err := admin.CommitAllOffsets(t.Context(), "readers", offsets); err != nil {
			t.Fatal(err)
		}
		e.end(c)
	}
}

// tear adds half an entry to one of kfake's logs, as a power cut would.
func tear(t *testing.T, path string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.Write([]byte{200, 0, 0, 0, 1, 2, 3, 4, 1, 0, '{'})
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
}

func TestSecondProcessIsRefused(t *testing.T) {
	dir := t.TempDir()
	c := startChild(t, dir)
	if _, err := Start(t.Context(), Config{Dir: dir}); !errors.Is(err, ErrInUse) {
		t.Fatalf("second start: %v, want ErrInUse", err)
	}
	c.kill()
	start(t, Config{Dir: dir})
}

func TestEmptiedPartitionGoesOnAtItsEnd(t *testing.T) {
	for _, how := range []string{"close", "kill", "kill with a torn first write"} {
		t.Run(how, func(t *testing.T) {
			dir := t.TempDir()
			short := "1000"
			c := startChild(t, dir)
			makeTopic(t, c.KafkaAddr, "brief", 1, map[string]*string{"retention.ms": &short})
			old := time.Now().Add(-time.Hour)
			kc := client(t, c.KafkaAddr)
			for range 5 {
				r := &kgo.Record{Topic: "brief", Value: []byte("v"), Timestamp: old}
				if err := kc.ProduceSync(t.Context(), r).FirstErr(); err != nil {
					t.Fatal(err)
				}
			}
			c.kill()
			c = startChild(t, dir) // runs retention at start
			if _, first, end := readAll(t, c.KafkaAddr, "brief", 0); first != 5 || end != 5 {
				t.Fatalf("after retention: %d to %d, want 5 to 5", first, end)
			}
			if how == "close" {
				c.stop(t)
			} else {
				c.kill()
			}
			if how == "kill with a torn first write" {
				torn := filepath.Join(dir, "kafka", "partitions", "brief-0", "5.dat")
				if err := os.WriteFile(torn, []byte("half a batch, cut by the power"), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			c = startChild(t, dir)
			kc = client(t, c.KafkaAddr)
			if err := kc.ProduceSync(t.Context(), &kgo.Record{Topic: "brief", Value: []byte("new")}).FirstErr(); err != nil {
				t.Fatal(err)
			}
			values, first, end := readAll(t, c.KafkaAddr, "brief", 0)
			if !slices.Equal(values, []string{"new"}) || first != 5 || end != 6 {
				t.Errorf("%q from %d to %d, want one record from 5 to 6", values, first, end)
			}
		})
	}
}

func TestCompactedTopicIsKeptWhateverItsAge(t *testing.T) {
	for name, dir := range map[string]string{"memory": "", "disk": t.TempDir()} {
		t.Run(name, func(t *testing.T) {
			s := start(t, Config{Dir: dir, MaintainEvery: 20 * time.Millisecond})
			compact, week := "compact", "604800000"
			makeTopic(t, s.KafkaAddr, "truth", 1, map[string]*string{"cleanup.policy": &compact})
			makeTopic(t, s.KafkaAddr, "event", 1, map[string]*string{"retention.ms": &week})
			kc := client(t, s.KafkaAddr)
			for _, topic := range []string{"truth", "event"} {
				r := &kgo.Record{Topic: topic, Key: []byte("k"), Value: []byte("v"), Timestamp: time.Now().AddDate(-1, 0, 0)}
				if err := kc.ProduceSync(t.Context(), r).FirstErr(); err != nil {
					t.Fatal(err)
				}
			}
			eventually(t, "old event to be removed", func() bool {
				first, end := bounds(t, s.KafkaAddr, "event", 0) // not read: it may go while it is read
				return end == 1 && first == 1
			})
			if values, _, _ := readAll(t, s.KafkaAddr, "truth", 0); !slices.Equal(values, []string{"v"}) {
				t.Errorf("compacted topic holds %q, want its one record", values)
			}
		})
	}
}

// eventually waits for something that another goroutine brings about.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-ctx.Done():
			t.Fatalf("waited 10 s for %s", what)
		case <-tick.C:
		}
	}
}

func TestFailedWriteIsNeverAcknowledgedLater(t *testing.T) {
	dir := t.TempDir()
	c := startChild(t, dir)
	makeTopic(t, c.KafkaAddr, "full", 1, nil)
	c.stop(t)
	// 64 KiB a file is enough for kfake's state and some of the records.
	c = startChild(t, dir, childLimit+"=65536")
	kc := client(t, c.KafkaAddr, kgo.RecordDeliveryTimeout(2*time.Second), kgo.UnknownTopicRetries(1))
	acked := map[string]bool{}
	for i := range 40 {
		value := fmt.Sprintf("%02d%4000s", i, "")
		if kc.ProduceSync(t.Context(), &kgo.Record{Topic: "full", Value: []byte(value)}).FirstErr() == nil {
			acked[value] = true
		} else {
			break
		}
	}
	if len(acked) == 0 || len(acked) == 40 {
		t.Fatalf("%d of 40 records acknowledged: the limit did not bite in the middle", len(acked))
	}
	c.kill()
	c = startChild(t, dir)
	values, _, _ := readAll(t, c.KafkaAddr, "full", 0)
	for _, v := range values {
		delete(acked, v)
	}
	if len(acked) > 0 {
		t.Errorf("%d acknowledged records were never written", len(acked))
	}
}

func TestLowDiskRefusesRecordsUntilThereIsRoom(t *testing.T) {
	var free atomic.Uint64
	s := start(t, Config{Dir: t.TempDir(), freeSpace: func(string) (uint64, error) { return free.Load(), nil }})
	if err := s.Health(); !errors.Is(err, ErrDiskFull) {
		t.Fatalf("health: %v, want ErrDiskFull", err)
	}
	makeTopic(t, s.KafkaAddr, "tight", 1, nil)
	kc := client(t, s.KafkaAddr, kgo.RecordDeliveryTimeout(time.Second))
	if err := kc.ProduceSync(t.Context(), &kgo.Record{Topic: "tight", Value: []byte("v")}).FirstErr(); err == nil {
		t.Fatal("record accepted on a full disk")
	}
	free.Store(1 << 30)
	kc = client(t, s.KafkaAddr, kgo.RecordDeliveryTimeout(checkDiskEvery+10*time.Second))
	if err := kc.ProduceSync(t.Context(), &kgo.Record{Topic: "tight", Value: []byte("v")}).FirstErr(); err != nil {
		t.Errorf("record refused though there is room: %v", err)
	}
}

func TestStrangersDoNotCrashTheBroker(t *testing.T) {
	s := start(t, Config{})
	for name, bytes := range map[string]string{
		"HTTP":                "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
		"unknown key":         "\x00\x00\x00\x08\x7f\x00\x00\x00\x00\x00\x00\x00",
		"two gigabytes":       "\x7f\xff\xff\xff\x00\x00\x00\x00",
		"shorter than a head": "\x00\x00\x00\x04\x00\x03\x00\x01",
	} {
		t.Run(name, func(t *testing.T) {
			conn, err := net.Dial("tcp", s.KafkaAddr)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if _, err := conn.Write([]byte(bytes)); err != nil {
				t.Fatal(err)
			}
			if err := conn.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
				t.Fatal(err)
			}
			var one [1]byte
			if _, err := conn.Read(one[:]); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("connection left open: %v", err)
			}
		})
	}
	makeTopic(t, s.KafkaAddr, "alive", 1, nil)
}

func TestOnlyLoopbackAddressesAreServed(t *testing.T) {
	for _, addr := range []string{"0.0.0.0:0", ":9092", "192.0.2.1:9092", "[::]:0", "example.org:9092", "9092"} {
		if _, err := Start(t.Context(), Config{KafkaListen: addr}); err == nil {
			t.Errorf("address %q accepted", addr)
		}
	}
}

func TestFixedPortsAndRestartKeepTopics(t *testing.T) {
	dir := t.TempDir()
	s := start(t, Config{Dir: dir})
	makeTopic(t, s.KafkaAddr, "stays", 2, nil)
	kc := client(t, s.KafkaAddr)
	if err := kc.ProduceSync(t.Context(), &kgo.Record{Topic: "stays", Partition: 1, Value: []byte("v")}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	kc.Close()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	again := start(t, Config{Dir: dir, KafkaListen: s.KafkaAddr, NoRegistry: true, NoRedis: true})
	if again.KafkaAddr != s.KafkaAddr || again.RedisURL != "" || again.RegistryURL != "" {
		t.Errorf("restarted as %+v, want Kafka only, at %s", again, s.KafkaAddr)
	}
	if values, _, _ := readAll(t, again.KafkaAddr, "stays", 1); !slices.Equal(values, []string{"v"}) {
		t.Errorf("kept %q", values)
	}
}

func TestStartIsQuickAndCloseLeavesNothing(t *testing.T) {
	began := time.Now()
	s := start(t, Config{Dir: t.TempDir()})
	took := time.Since(began)
	t.Logf("empty start in %s", took)
	if took > 2*time.Second { // ten times the aim: a busy machine is no failure, a wait of seconds is
		t.Errorf("start took %s", took)
	}
	resp, err := http.Get(s.RegistryURL + "/subjects")
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	http.DefaultClient.CloseIdleConnections()
	if err := errors.Join(s.Close(), s.Close()); err != nil {
		t.Error(err)
	}
	if _, err := net.Dial("tcp", s.KafkaAddr); err == nil {
		t.Error("kafka still answers after Close")
	}
}
