package index

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"pgregory.net/rapid"

	"cpis/schemas"
)

// spell describes a record under each letter of its value.
func spell(key, value []byte) ([]Description, error) {
	var out []Description
	for _, c := range value {
		out = append(out, Description{Block: Block{c}, Value: append([]byte{c}, key...)})
	}
	return out, nil
}

// log is an indicator topic in memory.
type log struct {
	mu      sync.Mutex
	changes []Change
	more    chan struct{}
}

func newLog() *log { return &log{more: make(chan struct{}, 1)} }

func (l *log) append(key, value string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := Change{Key: []byte(key)}
	if value != "" {
		c.Value = []byte(value)
	}
	l.changes = append(l.changes, c)
	select {
	case l.more <- struct{}{}:
	default:
	}
}

func (l *log) Bounds(context.Context) (int64, int64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return 0, int64(len(l.changes)), nil
}

func (l *log) Read(ctx context.Context, from int64) (Page, error) {
	l.mu.Lock()
	n := int64(len(l.changes))
	l.mu.Unlock()
	if from >= n {
		select {
		case <-l.more:
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return Page{l.changes[from:], int64(len(l.changes))}, nil
}

func key(subject, plan string) string { return "E06A/" + subject + "/" + plan }

type env struct {
	t      testing.TB
	server *miniredis.Miniredis // nil with a real Redis
	redis  *redis.Client
	keys   *schemas.Keyring
	config Config
	log    *log
	reader *Reader
}

func newEnv(t testing.TB) *env {
	t.Helper()
	e := &env{t: t, log: newLog()}
	e.server = miniredis.RunT(t)
	e.config = Config{URL: "redis://" + e.server.Addr() + "/0"}
	e.start()
	return e
}

func (e *env) start() {
	e.t.Helper()
	var err error
	if e.keys, err = schemas.OpenKeyring(e.t.TempDir(), true); err != nil {
		e.t.Fatal(err)
	}
	if e.redis, err = e.config.open(); err != nil {
		e.t.Fatal(err)
	}
	e.t.Cleanup(func() { _ = e.redis.Close() })
	if e.reader, err = OpenReader(e.config, e.keys); err != nil {
		e.t.Fatal(err)
	}
	e.t.Cleanup(func() { _ = e.reader.Close() })
}

// follow runs a writer until stop.
func (e *env) follow() (stop func(), ended chan error) {
	w, err := OpenWriter(e.config, e.keys, spell, slog.New(slog.DiscardHandler))
	if err != nil {
		e.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended = make(chan error, 1)
	done := make(chan struct{})
	go func() { ended <- w.Follow(ctx, e.log); _ = w.Close(); close(done) }()
	stop = sync.OnceFunc(func() { cancel(); <-done })
	e.t.Cleanup(stop)
	return stop, ended
}

// current waits until the index is whole and has taken in the whole log.
func (e *env) current() Snapshot {
	e.t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for {
		_, end, _ := e.log.Bounds(context.Background())
		s, err := e.reader.Lookup(context.Background(), Query{})
		if err == nil && s.Marker.Position == end {
			return s
		}
		if time.Now().After(deadline) {
			e.t.Fatalf("the index did not get there: %+v %v", s.Marker, err)
		}
		<-time.After(2 * time.Millisecond)
	}
}

func (e *env) lookup(subject string) (string, error) {
	s, err := e.reader.Lookup(context.Background(), Query{Subjects: []schemas.SubjectRef{schemas.SubjectRef(subject)}})
	if err != nil {
		return "", err
	}
	entries, err := s.Entries(schemas.SubjectRef(subject))
	var out string
	for _, en := range entries {
		out += string(en.Value) + " "
	}
	return out, err
}

func (e *env) want(subject, want string) {
	e.t.Helper()
	if got, err := e.lookup(subject); err != nil || got != want {
		e.t.Errorf("%s: %q %v, want %q", subject, got, err, want)
	}
}

func TestFollowsTheTopic(t *testing.T) {
	e := newEnv(t)
	if _, err := e.lookup("anna"); !errors.Is(err, ErrIncomplete) {
		t.Errorf("before any writer: %v", err)
	}
	e.log.append(key("anna", "CPP"), "1")
	e.follow()
	e.current()
	e.want("anna", "1 ")
	e.want("ben", "")
	e.log.append(key("anna", "LAC"), "2")
	e.log.append(key("anna", "CPP"), "")
	e.current()
	e.want("anna", "2 ")
	e.log.append(key("anna", "CPP"), "3")
	e.current()
	e.want("anna", "2 3 ")
}

// TestAbsenceIsNeverAMiss damages Redis in every way it can be damaged. The
// writer stands still meanwhile: nothing but the form of the index protects.
func TestAbsenceIsNeverAMiss(t *testing.T) {
	ctx := context.Background()
	for name, damage := range map[string]func(e *env, bucket, other string){
		"bucket deleted": func(e *env, b, _ string) { e.redis.Del(ctx, b) },
		"bucket swapped": func(e *env, b, o string) { e.redis.Set(ctx, b, e.redis.Get(ctx, o).Val(), 0) },
		"bit flipped": func(e *env, b, _ string) {
			v := []byte(e.redis.Get(ctx, b).Val())
			v[len(v)/2] ^= 1
			e.redis.Set(ctx, b, v, 0)
		},
		"bucket emptied":     func(e *env, b, _ string) { e.redis.Set(ctx, b, "", 0) },
		"wrong type":         func(e *env, b, _ string) { e.redis.Del(ctx, b); e.redis.LPush(ctx, b, "x") },
		"everything flushed": func(e *env, _, _ string) { e.redis.FlushAll(ctx) },
		"marker deleted":     func(e *env, _, _ string) { e.redis.Del(ctx, markerKey) },
		"marker altered":     func(e *env, _, _ string) { e.redis.Set(ctx, markerKey, "x", 0) },
		"marker is a bucket": func(e *env, b, _ string) { e.redis.Set(ctx, markerKey, e.redis.Get(ctx, b).Val(), 0) },
		"sealed with other keys": func(e *env, b, _ string) {
			other, _ := schemas.OpenKeyring(e.t.TempDir(), true)
			v, _ := other.SealIndex([]byte(b), appendBucket(nil, nil))
			e.redis.Set(ctx, b, v, 0)
		},
	} {
		t.Run(name, func(t *testing.T) {
			e := newEnv(t)
			e.log.append(key("anna", "CPP"), "1")
			stop, _ := e.follow()
			m := e.current().Marker
			e.want("anna", "1 ")
			stop()
			n := bucketOf([]byte("anna"), m.Buckets)
			damage(e, bucket{indicators, n}.key(m.Generation), bucket{indicators, (n + 1) % m.Buckets}.key(m.Generation))
			if got, err := e.lookup("anna"); err == nil {
				t.Errorf("answered %q", got)
			}
			e.follow()
			e.log.append(key("anna", "CPP"), "2")
			deadline := time.Now().Add(5 * time.Second)
			for {
				if got, err := e.lookup("anna"); err == nil && got == "2 " {
					return
				} else if err == nil && got != "1 " {
					t.Fatalf("answered %q while it recovers", got)
				}
				if time.Now().After(deadline) {
					t.Fatal("the writer did not mend it")
				}
			}
		})
	}
}

// TestAnOlderDumpIsNoticed restores all of Redis as it was before an update,
// while the writer runs.
func TestAnOlderDumpIsNoticed(t *testing.T) {
	e := newEnv(t)
	e.log.append(key("anna", "CPP"), "1")
	e.follow()
	e.current()
	ctx := context.Background()
	dump := map[string]string{}
	for _, k := range e.redis.Keys(ctx, "*").Val() {
		dump[k] = e.redis.Get(ctx, k).Val()
	}
	e.log.append(key("ben", "LAC"), "2")
	e.current()
	e.want("ben", "2 ")
	_, err := e.redis.TxPipelined(ctx, func(p redis.Pipeliner) error {
		p.FlushAll(ctx)
		for k, v := range dump {
			p.Set(ctx, k, v, 0)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(10 * time.Second)
	for {
		got, err := e.lookup("ben")
		if err == nil && got == "2 " {
			return
		}
		if err == nil {
			t.Fatalf("answered %q from an older dump", got)
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

func TestOneWriterAtATime(t *testing.T) {
	e := newEnv(t)
	e.log.append(key("anna", "CPP"), "1")
	_, ended := e.follow()
	e.current()
	e.follow()
	e.log.append(key("ben", "LAC"), "2")
	select {
	case err := <-ended:
		if !errors.Is(err, ErrSuperseded) {
			t.Errorf("the first ended with %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Error("the first writer goes on")
	}
	e.current()
	e.want("ben", "2 ")
}

// TestWhoBuildsAnew: a writer that finds the index lost builds it anew, unless one
// of a later epoch has taken over; it never goes back behind its own epoch.
func TestWhoBuildsAnew(t *testing.T) {
	e := newEnv(t)
	w, err := OpenWriter(e.config, e.keys, spell, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = w.Close() }()
	ctx := context.Background()
	for _, c := range []struct {
		name  string
		epoch int64 // of the marker that stands, 0 for none
		want  int64
		err   error
	}{{"nothing stands", 0, 3, nil}, {"an older one", 2, 3, nil}, {"one of its own time", 3, 3, nil}, {"a later one", 4, 0, ErrSuperseded}} {
		w.marker.Epoch = 3
		if err := e.redis.Del(ctx, markerKey).Err(); err != nil {
			t.Fatal(err)
		}
		if c.epoch > 0 {
			sealed, err := Marker{Version: form, Generation: "g", Epoch: c.epoch, Buckets: minBuckets}.seal(e.keys)
			if err != nil {
				t.Fatal(err)
			}
			if err := e.redis.Set(ctx, markerKey, sealed, 0).Err(); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := w.standing(ctx); got != c.want || !errors.Is(err, c.err) {
			t.Errorf("%s: epoch %d, %v", c.name, got, err)
		}
	}
}

func TestTakesOverAWholeIndexWhereItStands(t *testing.T) {
	e := newEnv(t)
	e.log.append(key("anna", "CPP"), "1")
	stop, _ := e.follow()
	first := e.current().Marker
	stop()
	e.log.append(key("ben", "LAC"), "2")
	e.follow()
	if second := e.current().Marker; second.Generation != first.Generation || second.Epoch <= first.Epoch {
		t.Errorf("%+v after %+v", second, first)
	}
	e.want("anna", "1 ")
	e.want("ben", "2 ")
}

func TestGrowsWithItsEntries(t *testing.T) {
	e := newEnv(t)
	e.follow()
	first := e.current().Marker
	for i := range minBuckets*perBucket*4 + 10 {
		e.log.append(key(fmt.Sprint("subject ", i), "CPP"), fmt.Sprint(i))
	}
	deadline := time.Now().Add(10 * time.Second)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		if m, err := e.reader.Status(context.Background()); err == nil && m.Complete && m.Buckets > first.Buckets {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("it did not grow")
		}
		<-tick.C
	}
	e.current()
	e.want("subject 17", "17 ")
	// Sweeping comes after the marker that says whole, off any answer's path.
	for e.redis.Exists(context.Background(), bucket{indicators, 0}.key(first.Generation)).Val() != 0 {
		if time.Now().After(deadline) {
			t.Fatal("the old build stays behind")
		}
		<-tick.C
	}
}

func TestASickRedisIsAnsweredForAtOnce(t *testing.T) {
	e := newEnv(t)
	e.follow()
	e.current()
	e.server.SetError("LOADING")
	for range breakerFailures {
		if _, err := e.lookup("anna"); !errors.Is(err, ErrUnreachable) {
			t.Fatalf("got %v", err)
		}
	}
	start := time.Now()
	for range 1000 {
		if _, err := e.lookup("anna"); err == nil {
			t.Fatal("answered")
		}
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("1,000 refusals took %v", took)
	}
}

// TestModel applies any changes and asks for any subject: the answer is that of
// a map, or an error.
func TestModel(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		var entries []Entry
		model := map[string]string{}
		for range rapid.IntRange(0, 40).Draw(r, "changes") {
			k := rapid.StringMatching(`[A-C]/s[0-3]/(CPP|LAC)`).Draw(r, "key")
			v := rapid.StringN(0, 8, -1).Draw(r, "value")
			if v == "" {
				delete(model, k)
				entries = put(entries, []byte(k), nil)
			} else {
				model[k] = v
				entries = put(entries, []byte(k), []byte(v))
			}
		}
		got, err := readBucket(appendBucket(nil, entries))
		if err != nil || len(got) != len(model) {
			r.Fatalf("%d entries of %d, %v", len(got), len(model), err)
		}
		for _, e := range got {
			if model[string(e.Key)] != string(e.Value) {
				r.Fatalf("%s: %q, want %q", e.Key, e.Value, model[string(e.Key)])
			}
		}
	})
}

// TestACrowdedBucketIsRead: an export that gives everybody the same date of birth
// must not make the index unreadable for everybody else.
func TestACrowdedBucketIsRead(t *testing.T) {
	var entries []Entry
	for i := range 30_000 {
		entries = append(entries, Entry{fmt.Appendf(nil, "block%d", i), []byte("somebody")})
	}
	if got, err := readBucket(appendBucket(nil, entries)); err != nil || len(got) != len(entries) {
		t.Errorf("%d of %d entries, %v", len(got), len(entries), err)
	}
}

func FuzzReadBucket(f *testing.F) {
	f.Add(appendBucket(nil, []Entry{{[]byte("a/b/c"), []byte("v")}}))
	f.Add([]byte{1, 0xff, 0xff, 0xff, 0x7f})
	f.Fuzz(func(t *testing.T, plain []byte) {
		entries, err := readBucket(plain)
		if err == nil {
			again, err := readBucket(appendBucket(nil, entries))
			if err != nil || len(again) != len(entries) {
				t.Errorf("%v", err)
			}
			for i := range again {
				if !bytes.Equal(again[i].Key, entries[i].Key) {
					t.Error("changed")
				}
			}
		}
	})
}

// BenchmarkLookup asks a real Redis where CPIS_REAL_REDIS names one.
func BenchmarkLookup(b *testing.B) {
	e := &env{t: b, log: newLog()}
	e.config = Config{URL: os.Getenv("CPIS_REAL_REDIS")}
	if e.config.URL == "" {
		s := miniredis.RunT(b)
		e.config.URL = "redis://" + s.Addr() + "/0"
	}
	e.start()
	const subjects, batch = 20_000, 64
	for i := range subjects {
		e.log.append(key(fmt.Sprint("subject ", i), "CPP"), string(make([]byte, 300)))
	}
	stop, _ := e.follow()
	e.current()
	stop()
	refs := make([]schemas.SubjectRef, batch)
	n := 0
	b.ReportAllocs()
	for b.Loop() {
		for i := range refs {
			n++
			refs[i] = schemas.SubjectRef(fmt.Sprint("subject ", n*31%(50*subjects)))
		}
		s, err := e.reader.Lookup(context.Background(), Query{Subjects: refs})
		if err != nil {
			b.Fatal(err)
		}
		for _, ref := range refs {
			if _, err := s.Entries(ref); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(float64(b.N*batch)/b.Elapsed().Seconds(), "lookups/s")
}
