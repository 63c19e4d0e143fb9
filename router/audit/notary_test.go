package audit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"go.uber.org/goleak"
	"golang.org/x/mod/sumdb/tlog"

	"cpis/router"
	"cpis/router/topics"
	"cpis/schemas"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bench is a notary over an in-process Kafka, and the door that witnesses come to.
type bench struct {
	t        *testing.T
	client   *topics.Client
	producer *topics.Producer
	codec    *schemas.Codec
	key      *Key
	notary   *Notary
	server   string
	written  int
	stop     func()
}

func newBench(t *testing.T, key *Key, witnesses ...string) *bench {
	t.Helper()
	f, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Close)
	b := &bench{t: t, key: key}
	ctx := context.Background()
	if b.client, err = topics.Open(ctx, topics.Config{Brokers: f.ListenAddrs(), EventPartitions: 2}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.client.Close() })
	if _, err := b.client.Apply(ctx); err != nil {
		t.Fatal(err)
	}
	if b.producer, err = b.client.NewProducer(ctx); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = b.producer.Close(ctx)
	})
	if b.codec, err = schemas.NewCodec(ctx, &schemas.MemoryRegistry{}); err != nil {
		t.Fatal(err)
	}
	b.start(t.TempDir(), witnesses...)
	return b
}

// start runs a notary on a folder; stop stops it.
func (b *bench) start(dir string, witnesses ...string) {
	b.t.Helper()
	b.notary = &Notary{Publisher: &router.Publisher{Codec: b.codec, Log: b.producer, Now: time.Now}, Client: b.client, Key: b.key, Witnesses: witnesses, Dir: dir, Logger: slog.New(slog.DiscardHandler)}
	if err := b.notary.Open(context.Background()); err != nil {
		b.t.Fatal(err)
	}
	mux := http.NewServeMux()
	for route, h := range b.notary.Routes() {
		mux.HandleFunc(route, h)
	}
	web := httptest.NewServer(mux)
	b.server = web.URL
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = b.notary.Run(ctx) }()
	b.stop = func() {
		cancel()
		<-done
		web.Close()
		http.DefaultClient.CloseIdleConnections()
		if err := b.notary.Close(); err != nil {
			b.t.Error(err)
		}
		b.stop = func() {}
	}
	b.t.Cleanup(func() { b.stop() })
}

// write appends audit records, to both partitions.
func (b *bench) write(n int, what string) {
	b.t.Helper()
	var records []topics.Record
	for range n {
		b.written++
		records = append(records, topics.Record{Topic: schemas.TopicAudit, Key: fmt.Appendf(nil, "key %d", b.written), Value: fmt.Appendf(nil, "%s %d", what, b.written), Time: time.Now()})
	}
	if err := b.producer.Produce(context.Background(), records...); err != nil {
		b.t.Fatal(err)
	}
}

// signed waits until everything that was written is signed.
func (b *bench) signed() []State {
	b.t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for time.Now().Before(deadline) {
		var sum int64
		states := b.notary.States()
		for _, s := range states {
			sum += s.Size
		}
		if sum == int64(b.written) {
			return states
		}
		<-time.After(20 * time.Millisecond)
	}
	b.t.Fatalf("not signed: %+v", b.notary.States())
	return nil
}

func (b *bench) witness(name string) (*Witness, string) {
	b.t.Helper()
	file := filepath.Join(b.t.TempDir(), "witness.key")
	if err := GenerateKey(file, name); err != nil {
		b.t.Fatal(err)
	}
	_, public, err := readKey(file)
	if err != nil {
		b.t.Fatal(err)
	}
	dir, err := os.OpenRoot(b.t.TempDir())
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { _ = dir.Close() })
	v, err := NewVerifiers(b.key.Public, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	w, err := NewWitness(Remote{Server: b.server}, file, v, dir)
	if err != nil {
		b.t.Fatal(err)
	}
	return w, public
}

// copied takes a copy of everything up to the newest heads.
func (b *bench) copied(c Copy, front Front) {
	b.t.Helper()
	ctx := context.Background()
	v, err := NewVerifiers(b.key.Public, b.notary.Witnesses)
	if err != nil {
		b.t.Fatal(err)
	}
	heads, err := Heads(ctx, b.codec, b.client, v)
	if err != nil {
		b.t.Fatal(err)
	}
	for _, h := range heads {
		if _, err := c.Take(ctx, b.client, h.Signed, front); err != nil {
			b.t.Fatal(err)
		}
	}
}

func newCopy(t *testing.T) Copy {
	t.Helper()
	dir, err := os.OpenRoot(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = dir.Close() })
	return Copy{dir}
}

// TestALogIsSignedWitnessedCopiedAndVerified goes the whole way, over a restart that
// lost the notary's folder.
func TestALogIsSignedWitnessedCopiedAndVerified(t *testing.T) {
	b := newBench(t, newKey(t, "broker.example"))
	w, public := b.witness("authority.example")
	b.stop()
	dir := t.TempDir()
	b.start(dir, public)
	w.Server = b.server
	b.write(700, "audit")
	b.signed()
	c := newCopy(t)
	b.copied(c, nil)
	for p := range 2 {
		if h, err := w.Look(context.Background(), p); err != nil || !slices.Contains(h.Cosigners, "authority.example") && len(h.Note) == 0 {
			t.Fatalf("log %d: %+v %v", p, h, err)
		}
	}
	b.stop()
	b.start(t.TempDir(), public) // all hashes are read from the topic again
	w.Server = b.server
	b.write(2500, "more")
	states := b.signed()
	for p, s := range states {
		if s.Cosigned == 0 || s.Broken != "" {
			t.Errorf("%+v", s)
		}
		if h, err := w.Look(context.Background(), p); err != nil || h.Size != s.Size {
			t.Errorf("log %d grew: %+v %v", p, h, err)
		}
		if _, err := w.Look(context.Background(), p); err != nil {
			t.Errorf("log %d stood still: %v", p, err)
		}
	}
	b.copied(c, nil)
	b.copied(c, nil) // nothing new
	v, err := NewVerifiers(b.key.Public, []string{public})
	if err != nil {
		t.Fatal(err)
	}
	var entries int64
	for _, p := range c.Logs() {
		seen, err := w.Dir.ReadFile(checkpointName(p))
		if err != nil {
			t.Fatal(err)
		}
		got, err := c.Verify(p, 0, v, string(seen))
		if err != nil || len(got.Findings) > 0 || !slices.Equal(got.Cosigners, []string{"authority.example"}) {
			t.Errorf("%+v %v", got, err)
		}
		entries += got.Entries
	}
	if entries != int64(b.written) {
		t.Errorf("%d of %d entries", entries, b.written)
	}
}

// TestARewrittenTopicIsSignedNoMore: the topic is replaced by another; neither the
// notary nor the witness takes it for the same.
func TestARewrittenTopicIsSignedNoMore(t *testing.T) {
	key := newKey(t, "broker.example")
	before := newBench(t, key)
	before.write(300, "audit")
	before.signed()
	w, _ := before.witness("authority.example")
	for p := range 2 {
		// The broker does not know this witness: it signs, and is refused.
		if _, err := w.Look(context.Background(), p); err == nil || !strings.Contains(err.Error(), "403") {
			t.Fatal(err)
		}
	}
	after := newBench(t, key)
	after.write(400, "history") // from the first entry on another
	after.signed()
	w.Server = after.server
	for p := range 2 {
		_, err := w.Look(context.Background(), p)
		var fork *ForkError
		if !errors.As(err, &fork) || fork.Old.Size >= fork.New.Size {
			t.Errorf("log %d: %v", p, err)
		}
		if _, err := w.Dir.Stat(fmt.Sprintf("%d.fork", p)); err != nil {
			t.Errorf("no evidence: %v", err)
		}
	}
	// A notary that finds heads of the other history signs nothing.
	v, err := NewVerifiers(key.Public, nil)
	if err != nil {
		t.Fatal(err)
	}
	heads, err := Heads(context.Background(), before.codec, before.client, v)
	if err != nil {
		t.Fatal(err)
	}
	for _, entries := range []int{400, 10} { // others, or fewer
		later := newBench(t, key)
		later.stop()
		for p, h := range heads {
			if err := later.notary.publish(context.Background(), h.Signed, ""); err != nil {
				t.Fatal(p, err)
			}
		}
		later.write(entries, "history")
		later.start(t.TempDir())
		later.broken("CPIS-A001")
	}
}

// broken waits until no log is signed any more, for a reason.
func (b *bench) broken(code schemas.Code) {
	b.t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for slices.ContainsFunc(b.notary.States(), func(s State) bool { return s.Broken != code }) {
		if time.Now().After(deadline) {
			b.t.Fatalf("%+v", b.notary.States())
		}
		<-time.After(20 * time.Millisecond)
	}
}

// TestACopyOfALogWhoseBeginningHasExpired reads the hashes of what is gone from the
// broker, which kept them, and holds them against the head.
func TestACopyOfALogWhoseBeginningHasExpired(t *testing.T) {
	b := newBench(t, newKey(t, "broker.example"))
	b.write(3000, "audit")
	b.signed()
	v, err := NewVerifiers(b.key.Public, nil)
	if err != nil {
		t.Fatal(err)
	}
	r := Remote{Server: b.server}
	h, err := r.Head(context.Background(), v, 0)
	if err != nil {
		t.Fatal(err)
	}
	front, err := r.Front(context.Background(), h, 0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	tree := b.notary.log(0).tree
	for i, got := range front {
		want, err := tree.ReadHashes([]int64{tlog.StoredHashIndex(0, int64(i))})
		if err != nil || got != want[0] {
			t.Fatalf("hash of entry %d: %v %v", i, got, err)
		}
	}
	h.Root[3] ^= 1 // a broker that hands out hashes of another tree
	if _, err := r.Front(context.Background(), h, 0, 10); err == nil {
		t.Error("hashes that do not belong to the head were taken")
	}
}

func TestWhatTheDoorRefuses(t *testing.T) {
	b := newBench(t, newKey(t, "broker.example"))
	b.write(20, "audit")
	b.signed()
	for path, want := range map[string]int{
		"/v1/audit": 200, "/v1/audit/0/checkpoint": 200, "/v1/audit/0/cosigned": 404, "/v1/audit/9/checkpoint": 404, "/v1/audit/x/checkpoint": 404,
		"/v1/audit/0/tile/8/0/000": 404, "/v1/audit/0/tile/8/0/000.p/1": 200, "/v1/audit/0/tile/4/0/000.p/1": 404, "/v1/audit/0/tile/8/data/000": 404, "/v1/audit/0/tile/8/0/x999999/000.p/1": 404,
	} {
		res, err := http.Get(b.server + path)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		if res.StatusCode != want {
			t.Errorf("%s: %s", path, res.Status)
		}
	}
	res, err := http.Post(b.server+"/v1/audit/0/cosignature", "text/plain", strings.NewReader("nothing"))
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if res.StatusCode != http.StatusForbidden {
		t.Error(res.Status)
	}
}
