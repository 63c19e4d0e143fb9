package index

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/sony/gobreaker/v2"

	"cpis/schemas"
)

// Reader reads the index. Safe for concurrent use.
type Reader struct {
	redis   *redis.Client
	sealer  Sealer
	breaker *gobreaker.CircuitBreaker[[]any]

	mu   sync.Mutex
	last Marker // the newest marker this process has seen; guarded by mu
}

// A breaker opens after this many failures in a row, so that a sick Redis is
// answered for at once, and lets one request through after breakerRest.
const (
	breakerFailures = 3
	breakerRest     = 250 * time.Millisecond
)

// OpenReader prepares a reader; Redis need not be there yet.
func OpenReader(c Config, s Sealer) (*Reader, error) {
	client, err := c.open()
	if err != nil {
		return nil, err
	}
	b := gobreaker.NewCircuitBreaker[[]any](gobreaker.Settings{Name: "redis", Timeout: breakerRest,
		ReadyToTrip: func(n gobreaker.Counts) bool { return n.ConsecutiveFailures >= breakerFailures }})
	return &Reader{redis: client, sealer: s, breaker: b}, nil
}

// Close releases the connections.
func (r *Reader) Close() error { return r.redis.Close() }

// Query is what a look into the index is for.
type Query struct {
	Subjects []schemas.SubjectRef
	Blocks   []Block
}

// buckets are those in which a query's answers lie, each once.
func (q Query) buckets(of int) []bucket {
	if of == 0 {
		return nil
	}
	out := make([]bucket, 0, len(q.Subjects)+len(q.Blocks))
	seen := make(map[bucket]struct{}, cap(out))
	add := func(b bucket) {
		if _, ok := seen[b]; !ok {
			seen[b] = struct{}{}
			out = append(out, b)
		}
	}
	for _, ref := range q.Subjects {
		add(bucket{indicators, bucketOf([]byte(ref), of)})
	}
	for i := range q.Blocks {
		add(bucket{descriptions, bucketOf(q.Blocks[i][:], of)})
	}
	return out
}

// Snapshot is the index at one moment, as far as it was asked for.
type Snapshot struct {
	Marker  Marker
	buckets map[bucket]opened
}

// opened is what a bucket says, or why it cannot be read.
type opened struct {
	plain []byte
	err   error
}

func (s Snapshot) scan(b bucket, each func(Entry)) error {
	o, ok := s.buckets[b]
	if !ok {
		return fmt.Errorf("%w: bucket was not asked for", ErrCorrupt)
	}
	if o.err != nil {
		return o.err
	}
	if err := scan(o.plain, func(e Entry) bool { each(e); return true }); err != nil {
		return fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return nil
}

// Entries are the indicators of a subject; none, without an error, means that
// the index proves there are none. The error wraps ErrCorrupt.
func (s Snapshot) Entries(ref schemas.SubjectRef) ([]Entry, error) {
	var out []Entry
	err := s.scan(bucket{indicators, bucketOf([]byte(ref), s.Marker.Buckets)}, func(e Entry) {
		if string(subject(e.Key)) == string(ref) {
			out = append(out, e)
		}
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// Described are the values of the descriptions under a block; none, without an
// error, means that the index proves there are none. The error wraps ErrCorrupt.
func (s Snapshot) Described(b Block) ([][]byte, error) {
	var out [][]byte
	err := s.scan(bucket{descriptions, bucketOf(b[:], s.Marker.Buckets)}, func(e Entry) {
		if bytes.HasPrefix(e.Key, b[:]) {
			out = append(out, e.Value)
		}
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// Lookup reads what a query is for, in one round trip unless the index was
// built anew since the last. Errors wrap ErrUnreachable, ErrIncomplete,
// ErrWentBack or ErrCorrupt: nothing may then be said of anybody.
func (r *Reader) Lookup(ctx context.Context, q Query) (Snapshot, error) {
	r.mu.Lock()
	known := r.last
	r.mu.Unlock()
	for try := 0; ; try++ {
		s, err := r.lookup(ctx, q, known)
		if err != nil {
			return s, err
		}
		if s.Marker.Generation == known.Generation && s.Marker.Buckets == known.Buckets {
			return s, r.accept(s.Marker)
		}
		if try == 2 {
			return s, fmt.Errorf("%w: it changes faster than it can be read", ErrIncomplete)
		}
		known = s.Marker
	}
}

func (r *Reader) lookup(ctx context.Context, q Query, known Marker) (Snapshot, error) {
	asked := q.buckets(known.Buckets)
	s := Snapshot{buckets: make(map[bucket]opened, len(asked))}
	keys := make([]string, 1, len(asked)+1)
	keys[0] = markerKey
	for _, b := range asked {
		keys = append(keys, b.key(known.Generation))
	}
	values, err := r.mget(ctx, keys)
	if err != nil {
		return s, err
	}
	sealed, ok := values[0].(string)
	if !ok {
		return s, fmt.Errorf("%w: no marker", ErrIncomplete)
	}
	if s.Marker, err = openMarker(r.sealer, sealed); err != nil {
		return s, err
	}
	if !s.Marker.Complete {
		return s, ErrIncomplete
	}
	for i, b := range asked {
		plain, err := openBucket(r.sealer, keys[i+1], values[i+1])
		s.buckets[b] = opened{plain, err}
	}
	return s, nil
}

// openBucket opens a bucket as Redis holds it.
func openBucket(s Sealer, key string, value any) ([]byte, error) {
	sealed, ok := value.(string)
	if !ok {
		return nil, fmt.Errorf("%w: bucket is missing", ErrCorrupt)
	}
	plain, err := s.OpenIndex([]byte(key), []byte(sealed))
	if err != nil {
		return nil, fmt.Errorf("%w: bucket does not open", ErrCorrupt)
	}
	return plain, nil
}

func (r *Reader) mget(ctx context.Context, keys []string) ([]any, error) {
	values, err := r.breaker.Execute(func() ([]any, error) { return r.redis.MGet(ctx, keys...).Result() })
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	if len(values) != len(keys) {
		return nil, fmt.Errorf("%w: short answer", ErrUnreachable)
	}
	return values, nil
}

// accept remembers a marker, unless it is older than one seen before.
func (r *Reader) accept(m Marker) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if m.Generation == r.last.Generation && (m.Position < r.last.Position || m.Epoch < r.last.Epoch) {
		return ErrWentBack
	}
	r.last = m
	return nil
}

// Status reads the marker alone. A marker of an index that is being built is
// no error; an absent one is ErrIncomplete.
func (r *Reader) Status(ctx context.Context) (Marker, error) {
	values, err := r.mget(ctx, []string{markerKey})
	if err != nil {
		return Marker{}, err
	}
	sealed, ok := values[0].(string)
	if !ok {
		return Marker{}, fmt.Errorf("%w: no marker", ErrIncomplete)
	}
	return openMarker(r.sealer, sealed)
}

// Forget removes the marker, so that the writer builds the index anew. Until
// it is whole every answer is CHECK_FAILED.
func (r *Reader) Forget(ctx context.Context) error {
	if err := r.redis.Del(ctx, markerKey).Err(); err != nil && !errors.Is(err, redis.Nil) {
		return fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	return nil
}
