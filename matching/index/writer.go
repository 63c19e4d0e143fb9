package index

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"sync"
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
	// applyChanges bounds one transaction, pipeline one round trip of a build.
	applyChanges = 500
	pipeline     = 500
	heartbeat    = time.Second
	writeTimeout = 10 * time.Second
)

// Writer keeps the index. One Follow runs at a time, in one process.
type Writer struct {
	redis    *redis.Client
	sealer   Sealer
	describe Describe
	log      *slog.Logger
	now      func() time.Time

	// Owned by Follow.
	marker Marker // as last written
	sealed []byte // the marker's bytes in Redis
	target int64  // position from which the index counts as whole
}

// OpenWriter prepares a writer; Redis need not be there yet.
func OpenWriter(c Config, s Sealer, describe Describe, log *slog.Logger) (*Writer, error) {
	c.ReadTimeout = writeTimeout
	client, err := c.open()
	if err != nil {
		return nil, err
	}
	return &Writer{redis: client, sealer: s, describe: describe, log: log, now: time.Now}, nil
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
	for ctx.Err() == nil {
		switch {
		case err == nil:
			err = w.step(ctx, src)
		case errors.Is(err, errLost):
			var epoch int64
			if epoch, err = w.standing(ctx); err != nil {
				return err
			}
			w.log.Warn("the index was lost or altered and is built anew")
			err = w.rebuild(ctx, src, epoch)
		default:
			return err
		}
	}
	return nil
}

// standing is the epoch after which this writer may build anew: its own, or that of
// a marker which stands. A writer of a later epoch has taken over (ErrSuperseded):
// two that both thought the index lost would destroy each other's for ever.
func (w *Writer) standing(ctx context.Context) (int64, error) {
	sealed, err := w.redis.Get(ctx, markerKey).Result()
	if err != nil && !errors.Is(err, redis.Nil) {
		return 0, fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	if m, err := openMarker(w.sealer, sealed); err == nil && m.Epoch > w.marker.Epoch {
		return 0, ErrSuperseded
	}
	return w.marker.Epoch, nil
}

// takeOvers is how often a writer tries to take over an index that another is
// still writing to, before it builds its own.
const takeOvers = 5

// begin takes over a whole index where it stands, and builds one otherwise.
func (w *Writer) begin(ctx context.Context, src Source) error {
	start, end, err := src.Bounds(ctx)
	if err != nil {
		return fmt.Errorf("follow indicators: %w", err)
	}
	var epoch int64
	for range takeOvers {
		sealed, err := w.redis.Get(ctx, markerKey).Result()
		if err != nil && !errors.Is(err, redis.Nil) {
			return fmt.Errorf("%w: %w", ErrUnreachable, err)
		}
		m, err := openMarker(w.sealer, sealed)
		if err != nil {
			break
		}
		epoch = m.Epoch
		if !m.Complete || m.Position < start || m.Position > end {
			break
		}
		w.marker, w.sealed, w.target = m, []byte(sealed), m.Position
		w.marker.Epoch++
		if err := w.apply(ctx, nil, m.Position); !errors.Is(err, errLost) {
			return err
		}
	}
	return w.rebuild(ctx, src, epoch)
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
	for len(page.Changes) > applyChanges { // the position moves only with the last part
		if err := w.apply(ctx, page.Changes[:applyChanges], w.marker.Position); err != nil {
			return err
		}
		page.Changes = page.Changes[applyChanges:]
	}
	if err := w.apply(ctx, page.Changes, page.Next); err != nil {
		return err
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
// will be, sealed, and by how many indicators the index grows. What a record
// described before is taken back in the same step.
func (w *Writer) change(ctx context.Context, tx *redis.Tx, changes []Change) (map[string][]byte, int64, error) {
	held := draft{w: w, tx: tx, buckets: map[bucket][]Entry{}}
	var at []bucket
	for _, c := range changes {
		if ref := subject(c.Key); ref != nil {
			at = append(at, bucket{indicators, bucketOf(ref, w.marker.Buckets)})
		}
	}
	if err := held.read(ctx, at); err != nil {
		return nil, 0, err
	}
	described := w.described(changes)
	var delta int64
	var moves []move
	for at, c := range changes {
		ref := subject(c.Key)
		if ref == nil {
			w.log.Error("a record of the indicator topic has no proper key", "code", "CPIS-K001")
			continue
		}
		b := bucket{indicators, bucketOf(ref, w.marker.Buckets)}
		before := held.buckets[b]
		moves = append(append(moves, w.moves(c.Key, w.describes(Change{c.Key, find(before, c.Key)}), false)...), w.moves(c.Key, described[at], true)...)
		held.buckets[b] = put(before, c.Key, c.Value)
		delta += int64(len(held.buckets[b]) - len(before))
	}
	at = at[:0]
	for _, m := range moves {
		at = append(at, m.bucket)
	}
	if err := held.read(ctx, at); err != nil {
		return nil, 0, err
	}
	for _, m := range moves {
		held.buckets[m.bucket] = put(held.buckets[m.bucket], m.key, m.value)
	}
	out, err := held.seal()
	return out, delta, err
}

// move is a description that comes, or goes where value is nil.
type move struct {
	bucket     bucket
	key, value []byte
}

// moves are the comings or goings of what a record describes.
func (w *Writer) moves(key []byte, described []Description, comes bool) []move {
	out := make([]move, len(described))
	for i, d := range described {
		out[i] = move{bucket: bucket{descriptions, bucketOf(d.Block[:], w.marker.Buckets)}, key: describedKey(d.Block, key)}
		if comes {
			out[i].value = d.Value
		}
	}
	return out
}

// describes gives what a record describes, none where it is taken back or cannot
// be read.
func (w *Writer) describes(c Change) []Description {
	if c.Value == nil || subject(c.Key) == nil {
		return nil
	}
	described, err := w.describe(c.Key, c.Value)
	if err != nil {
		w.log.Error("a record of the indicator topic cannot be described", "code", "CPIS-K001")
	}
	return described
}

// described describes many records: people are opened, which is work for all
// cores.
func (w *Writer) described(changes []Change) [][]Description {
	out := make([][]Description, len(changes))
	var wait sync.WaitGroup
	workers := runtime.GOMAXPROCS(0)
	for i := range workers {
		wait.Go(func() {
			for at := i; at < len(changes); at += workers {
				out[at] = w.describes(changes[at])
			}
		})
	}
	wait.Wait()
	return out
}

// draft is the part of the index that a change touches.
type draft struct {
	w       *Writer
	tx      *redis.Tx
	buckets map[bucket][]Entry
}

func (d draft) read(ctx context.Context, at []bucket) error {
	var keys []string
	var wanted []bucket
	for _, b := range at {
		if _, ok := d.buckets[b]; !ok {
			d.buckets[b] = nil
			keys, wanted = append(keys, b.key(d.w.marker.Generation)), append(wanted, b)
		}
	}
	if len(keys) == 0 {
		return nil
	}
	values, err := d.tx.MGet(ctx, keys...).Result()
	if err != nil {
		return err
	}
	for i, b := range wanted {
		plain, err := openBucket(d.w.sealer, keys[i], values[i])
		if err != nil {
			return err
		}
		if d.buckets[b], err = readBucket(plain); err != nil {
			return fmt.Errorf("%w: %w", ErrCorrupt, err)
		}
	}
	return nil
}

func (d draft) seal() (map[string][]byte, error) {
	out := make(map[string][]byte, len(d.buckets))
	var plain []byte
	for b, entries := range d.buckets {
		key := b.key(d.w.marker.Generation)
		plain = appendBucket(plain[:0], entries)
		var err error
		if out[key], err = d.w.sealer.SealIndex([]byte(key), plain); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// sweep removes the buckets of older builds. It is off the path of any answer;
// what it leaves behind the next one takes.
func (w *Writer) sweep(ctx context.Context) {
	for _, s := range []shelf{indicators, descriptions} {
		own := string(s) + w.marker.Generation + ":"
		scan := w.redis.Scan(ctx, 0, string(s)+"*", 1000).Iterator()
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
}
