package index

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// Source is the indicator topic. Read returns the changes from an offset on,
// waiting up to half a second for the first; it never skips one. Bounds are
// the first offset still held and the next that will be written.
type Source interface {
	Read(ctx context.Context, from int64) (Page, error)
	Bounds(ctx context.Context) (start, end int64, err error)
}

// Page is a run of changes. Next is the offset to read next.
type Page struct {
	Changes []Change
	Next    int64
}

// Change is one record of the topic; a nil Value takes the key back.
type Change struct {
	Key, Value []byte
}

const (
	minBuckets = 256
	maxBuckets = 1 << 20
	// perBucket is how many entries a bucket should hold; at four times as many
	// the index is built anew with more buckets.
	perBucket = 4
	// applyChanges bounds one transaction.
	applyChanges = 2000
	heartbeat    = time.Second
	writeTimeout = 10 * time.Second
)

// Writer keeps the index. One Follow runs at a time, in one process.
type Writer struct {
	redis  *redis.Client
	sealer Sealer
	log    *slog.Logger
	now    func() time.Time

	// Owned by Follow.
	marker Marker // as last written
	sealed []byte // the marker's bytes in Redis
	target int64  // position from which the index counts as whole
}

// OpenWriter prepares a writer; Redis need not be there yet.
func OpenWriter(c Config, s Sealer, log *slog.Logger) (*Writer, error) {
	c.ReadTimeout = writeTimeout
	client, err := c.open()
	if err != nil {
		return nil, err
	}
	return &Writer{redis: client, sealer: s, log: log, now: time.Now}, nil
}

// Close releases the connections.
func (w *Writer) Close() error { return w.redis.Close() }

// errLost means that the marker is not what this writer left: the index was
// flushed, restored or altered and must be built anew.
var errLost = errors.New("the index is not as it was left")

// Follow keeps the index up with the topic until ctx ends (nil), another
// writer takes over (ErrSuperseded) or Redis or the source fails.
func (w *Writer) Follow(ctx context.Context, src Source) error {
	err := w.begin(ctx, src)
	for err == nil && ctx.Err() == nil {
		err = w.step(ctx, src)
		if errors.Is(err, errLost) {
			w.log.Warn("the index was lost or altered and is built anew")
			err = w.rebuild(ctx, src, 0)
		}
	}
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// begin takes over a whole index where it stands, and builds one otherwise.
func (w *Writer) begin(ctx context.Context, src Source) error {
	start, end, err := src.Bounds(ctx)
	if err != nil {
		return fmt.Errorf("follow indicators: %w", err)
	}
	sealed, err := w.redis.Get(ctx, markerKey).Result()
	if err != nil && !errors.Is(err, redis.Nil) {
		return fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	var epoch int64
	if err == nil {
		m, err := openMarker(w.sealer, sealed)
		if err == nil && m.Complete && m.Position >= start && m.Position <= end {
			w.marker, w.sealed, w.target = m, []byte(sealed), m.Position
			w.marker.Epoch++
			if err := w.apply(ctx, nil, m.Position); !errors.Is(err, errLost) {
				return err
			}
		}
		epoch = m.Epoch
	}
	return w.rebuild(ctx, src, epoch)
}

// rebuild starts a new build: empty buckets first, then the marker that makes
// it count, not yet whole.
func (w *Writer) rebuild(ctx context.Context, src Source, epoch int64) error {
	start, end, err := src.Bounds(ctx)
	if err != nil {
		return fmt.Errorf("rebuild index: %w", err)
	}
	want := max(w.marker.Entries, end-start) / perBucket
	buckets := minBuckets
	for int64(buckets) < want && buckets < maxBuckets {
		buckets *= 2
	}
	w.marker = Marker{Generation: strings.ToLower(rand.Text()[:16]), Epoch: epoch + 1, Buckets: buckets, Position: start, AsOf: w.now()}
	w.target = end
	w.log.Info("building the index", "generation", w.marker.Generation, "records", end-start, "buckets", buckets)
	empty := appendBucket(nil, nil)
	for from := 0; from < buckets; from += applyChanges {
		pipe := w.redis.Pipeline()
		for n := from; n < min(from+applyChanges, buckets); n++ {
			key := bucketKey(w.marker.Generation, n)
			value, err := w.sealer.SealIndex([]byte(key), empty)
			if err != nil {
				return fmt.Errorf("rebuild index: %w", err)
			}
			pipe.Set(ctx, key, value, 0)
		}
		if _, err := pipe.Exec(ctx); err != nil {
			return fmt.Errorf("%w: %w", ErrUnreachable, err)
		}
	}
	w.marker.Complete = start >= end
	sealed, err := w.marker.seal(w.sealer)
	if err != nil {
		return err
	}
	if err := w.redis.Set(ctx, markerKey, sealed, 0).Err(); err != nil {
		return fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	w.sealed = sealed
	if w.marker.Complete {
		w.sweep(ctx)
	}
	return nil
}

// step takes in the next changes, or renews the marker where there are none.
func (w *Writer) step(ctx context.Context, src Source) error {
	page, err := src.Read(ctx, w.marker.Position)
	if err != nil {
		return fmt.Errorf("follow indicators: %w", err)
	}
	if len(page.Changes) == 0 && page.Next == w.marker.Position && w.marker.Complete && w.now().Sub(w.marker.AsOf) < heartbeat {
		return w.unchanged(ctx)
	}
	whole := w.marker.Complete
	for len(page.Changes) > applyChanges { // the position moves only with the last part
		if err := w.apply(ctx, page.Changes[:applyChanges], w.marker.Position); err != nil {
			return err
		}
		page.Changes = page.Changes[applyChanges:]
	}
	if err := w.apply(ctx, page.Changes, page.Next); err != nil {
		return err
	}
	if !whole && w.marker.Complete {
		w.log.Info("the index is whole", "generation", w.marker.Generation, "entries", w.marker.Entries)
		w.sweep(ctx)
	}
	if w.marker.Complete && w.marker.Entries > int64(w.marker.Buckets)*perBucket*4 && w.marker.Buckets < maxBuckets {
		return w.rebuild(ctx, src, w.marker.Epoch)
	}
	return nil
}

// unchanged looks whether the marker is still ours.
func (w *Writer) unchanged(ctx context.Context) error {
	now, err := w.redis.Get(ctx, markerKey).Bytes()
	if err != nil && !errors.Is(err, redis.Nil) {
		return fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	return w.ours(now)
}

func (w *Writer) ours(now []byte) error {
	if bytes.Equal(now, w.sealed) {
		return nil
	}
	if m, err := openMarker(w.sealer, string(now)); err == nil && m.Epoch > w.marker.Epoch {
		return ErrSuperseded
	}
	return errLost
}

// apply writes changes and the marker in one transaction, which Redis refuses
// if the marker was touched in between.
func (w *Writer) apply(ctx context.Context, changes []Change, next int64) error {
	m := w.marker
	m.Position, m.AsOf = next, w.now()
	m.Complete = m.Complete || next >= w.target
	var sealed []byte
	err := w.redis.Watch(ctx, func(tx *redis.Tx) error {
		now, err := tx.Get(ctx, markerKey).Bytes()
		if err != nil && !errors.Is(err, redis.Nil) {
			return err
		}
		if err := w.ours(now); err != nil {
			return err
		}
		buckets, delta, err := w.change(ctx, tx, changes)
		if err != nil {
			return err
		}
		m.Entries = w.marker.Entries + delta
		if sealed, err = m.seal(w.sealer); err != nil {
			return err
		}
		_, err = tx.TxPipelined(ctx, func(p redis.Pipeliner) error {
			for key, value := range buckets {
				p.Set(ctx, key, value, 0)
			}
			p.Set(ctx, markerKey, sealed, 0)
			return nil
		})
		return err
	}, markerKey)
	switch {
	case errors.Is(err, errLost), errors.Is(err, ErrSuperseded):
		return err
	case errors.Is(err, redis.TxFailedErr):
		return errLost
	case errors.Is(err, ErrCorrupt):
		w.log.Warn("a bucket of the index is missing or altered", "error", err)
		return errLost
	case err != nil:
		return fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	w.marker, w.sealed = m, sealed
	return nil
}

// change reads the buckets that changes fall into and returns them as they
// will be, sealed, and by how many entries the index grows.
func (w *Writer) change(ctx context.Context, tx *redis.Tx, changes []Change) (map[string][]byte, int64, error) {
	if len(changes) == 0 {
		return nil, 0, nil
	}
	byBucket := map[int][]Change{}
	for _, c := range changes {
		ref := subject(c.Key)
		if ref == nil {
			w.log.Error("a record of the indicator topic has no proper key", "code", "CPIS-K001")
			continue
		}
		n := bucketOf(ref, w.marker.Buckets)
		byBucket[n] = append(byBucket[n], c)
	}
	var keys []string
	var numbers []int
	for n := range byBucket {
		keys, numbers = append(keys, bucketKey(w.marker.Generation, n)), append(numbers, n)
	}
	if len(keys) == 0 {
		return nil, 0, nil
	}
	values, err := tx.MGet(ctx, keys...).Result()
	if err != nil {
		return nil, 0, err
	}
	out := map[string][]byte{}
	var delta int64
	for i, key := range keys {
		entries, err := openBucket(w.sealer, key, values[i])
		if err != nil {
			return nil, 0, err
		}
		before := len(entries)
		for _, c := range byBucket[numbers[i]] {
			entries = put(entries, c.Key, c.Value)
		}
		delta += int64(len(entries) - before)
		if out[key], err = w.sealer.SealIndex([]byte(key), appendBucket(nil, entries)); err != nil {
			return nil, 0, err
		}
	}
	return out, delta, nil
}

// sweep removes the buckets of older builds. It is off the path of any answer;
// what it leaves behind the next one takes.
func (w *Writer) sweep(ctx context.Context) {
	own := bucketKey(w.marker.Generation, 0)
	own = own[:len(own)-1]
	scan := w.redis.Scan(ctx, 0, "cpis:b:*", 1000).Iterator()
	var old []string
	for scan.Next(ctx) {
		if !strings.HasPrefix(scan.Val(), own) {
			old = append(old, scan.Val())
		}
	}
	for len(old) > 0 {
		n := min(len(old), applyChanges)
		if err := w.redis.Unlink(ctx, old[:n]...).Err(); err != nil {
			w.log.Warn("old builds of the index stay behind", "error", err)
			return
		}
		old = old[n:]
	}
}
