package index

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
)

// rebuild starts a new build: first the marker that says so, then the buckets
// from all of the topic, each written once, then the marker that makes it count.
func (w *Writer) rebuild(ctx context.Context, src Source, epoch int64) error {
	start, end, err := src.Bounds(ctx)
	if err != nil {
		return fmt.Errorf("rebuild index: %w", err)
	}
	w.marker = Marker{Version: form, Generation: strings.ToLower(rand.Text()[:16]), Epoch: epoch + 1, Buckets: minBuckets, Position: start, AsOf: w.now()}
	w.target = end
	w.log.Info("building the index", "generation", w.marker.Generation, "records", end-start)
	sealed, err := w.marker.seal(w.sealer)
	if err != nil {
		return err
	}
	if err := w.redis.Set(ctx, markerKey, sealed, 0).Err(); err != nil {
		return fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	w.sealed = sealed
	held, next, err := w.load(ctx, src)
	if err != nil {
		return err
	}
	w.marker.Entries, w.marker.Buckets = int64(len(held)), minBuckets
	for w.marker.Buckets*perBucket < len(held) && w.marker.Buckets < maxBuckets {
		w.marker.Buckets *= 2
	}
	if err := w.fill(ctx, held); err != nil {
		return err
	}
	if err := w.apply(ctx, nil, next); err != nil {
		return err
	}
	w.log.Info("the index is whole", "generation", w.marker.Generation, "entries", w.marker.Entries, "buckets", w.marker.Buckets)
	w.sweep(ctx)
	return nil
}

// load reads the topic to the target: what stands under each key. How far it
// is shows in the marker.
func (w *Writer) load(ctx context.Context, src Source) (map[string][]byte, int64, error) {
	held := map[string][]byte{}
	next := w.marker.Position
	for next < w.target {
		page, err := src.Read(ctx, next)
		if err != nil {
			return nil, 0, fmt.Errorf("rebuild index: %w", err)
		}
		for _, c := range page.Changes {
			switch {
			case subject(c.Key) == nil:
				w.log.Error("a record of the indicator topic has no proper key", "code", "CPIS-K001")
			case c.Value == nil:
				delete(held, string(c.Key))
			default:
				held[string(c.Key)] = c.Value
			}
		}
		if next = page.Next; next < w.target {
			if err := w.apply(ctx, nil, next); err != nil {
				return nil, 0, err
			}
		}
	}
	return held, next, nil
}

// fill writes every bucket of a build. Describing people and sealing is work
// for all cores.
func (w *Writer) fill(ctx context.Context, held map[string][]byte) error {
	shelves := [...]shelf{indicators, descriptions}
	var filled [len(shelves)][][]Entry
	for i := range shelves {
		filled[i] = make([][]Entry, w.marker.Buckets)
	}
	workers := runtime.GOMAXPROCS(0)
	changes := make([]Change, 0, len(held))
	for key, value := range held {
		changes = append(changes, Change{[]byte(key), value})
	}
	for at, described := range w.described(changes) {
		c := changes[at]
		n := bucketOf(subject(c.Key), w.marker.Buckets)
		filled[0][n] = append(filled[0][n], Entry(c))
		for _, m := range w.moves(c.Key, described, true) {
			filled[1][m.bucket.n] = append(filled[1][m.bucket.n], Entry{m.key, m.value})
		}
	}
	var wait sync.WaitGroup
	errs := make([]error, workers)
	for i := range workers {
		wait.Go(func() {
			for s := range shelves {
				errs[i] = errors.Join(errs[i], w.write(ctx, shelves[s], filled[s], i, workers))
			}
		})
	}
	wait.Wait()
	return errors.Join(errs...)
}

// write writes one worker's buckets of a shelf.
func (w *Writer) write(ctx context.Context, s shelf, filled [][]Entry, worker, workers int) error {
	pipe := w.redis.Pipeline()
	flush := func() error {
		if pipe.Len() == 0 {
			return nil
		}
		if _, err := pipe.Exec(ctx); err != nil {
			return fmt.Errorf("%w: %w", ErrUnreachable, err)
		}
		return nil
	}
	var plain []byte
	for n := worker; n < len(filled); n += workers {
		key := bucket{s, n}.key(w.marker.Generation)
		plain = appendBucket(plain[:0], filled[n])
		value, err := w.sealer.SealIndex([]byte(key), plain)
		if err != nil {
			return fmt.Errorf("rebuild index: %w", err)
		}
		pipe.Set(ctx, key, value, 0)
		if pipe.Len() == pipeline {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	return flush()
}
