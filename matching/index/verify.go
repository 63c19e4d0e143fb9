package index

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
)

// Verification compares the index with the topic it is made from.
type Verification struct {
	Position    int64       `json:"position"` // next offset of the topic, as far as both were read
	Authorities []Agreement `json:"authorities"`
}

// Agreement is how far the index and the topic agree about one authority. A
// digest is of all its records, whatever their order; equal digests mean equal
// records.
type Agreement struct {
	Authority   string `json:"authority"` // "-" for what belongs to none that the topic knows
	Topic       int    `json:"topic"`     // records on the topic
	Index       int    `json:"index"`     // records in the index
	TopicDigest string `json:"topic_digest"`
	IndexDigest string `json:"index_digest"`
	Missing     int    `json:"missing"`     // on the topic alone
	Extra       int    `json:"extra"`       // in the index alone
	Differing   int    `json:"differing"`   // in both, not the same
	Undescribed int    `json:"undescribed"` // descriptions that are missing, differ or are too many
}

// Agrees reports that nothing is amiss.
func (a Agreement) Agrees() bool { return a.Missing+a.Extra+a.Differing+a.Undescribed == 0 }

// Agrees reports that index and topic say the same.
func (v Verification) Agrees() bool {
	return !slices.ContainsFunc(v.Authorities, func(a Agreement) bool { return !a.Agrees() })
}

// Verify reads all of the index and all of the topic and compares them, by
// authority. It changes nothing. What changes while it reads is left out.
// Errors are those of Lookup and of the source: a bucket that is missing or
// altered wraps ErrCorrupt.
func (r *Reader) Verify(ctx context.Context, src Source, describe Describe) (Verification, error) {
	before, err := r.Status(ctx)
	if err != nil {
		return Verification{}, err
	}
	if !before.Complete {
		return Verification{}, ErrIncomplete
	}
	held, err := r.all(ctx, before, indicators)
	if err != nil {
		return Verification{}, err
	}
	described, err := r.all(ctx, before, descriptions)
	if err != nil {
		return Verification{}, err
	}
	after, err := r.Status(ctx)
	if err != nil {
		return Verification{}, err
	}
	if after.Generation != before.Generation {
		return Verification{}, fmt.Errorf("%w: it was built anew meanwhile", ErrIncomplete)
	}
	topic, moving, err := replay(ctx, src, before.Position, after.Position)
	if err != nil {
		return Verification{}, err
	}
	c := comparison{by: map[string]*tally{}}
	c.records(topic, held, moving)
	c.descriptions(topic, described, moving, describe)
	return c.verification(after.Position), nil
}

// all reads every bucket of a shelf.
func (r *Reader) all(ctx context.Context, m Marker, s shelf) (map[string][]byte, error) {
	out := map[string][]byte{}
	for from := 0; from < m.Buckets; from += pipeline {
		var keys []string
		for n := from; n < min(from+pipeline, m.Buckets); n++ {
			keys = append(keys, bucket{s, n}.key(m.Generation))
		}
		values, err := r.mget(ctx, keys)
		if err != nil {
			return nil, err
		}
		for i, key := range keys {
			plain, err := openBucket(r.sealer, key, values[i])
			if err == nil {
				err = scan(plain, func(e Entry) bool { out[string(e.Key)] = e.Value; return true })
			}
			if err != nil {
				return nil, fmt.Errorf("%w: %w", ErrCorrupt, err)
			}
		}
	}
	return out, nil
}

// replay is what stands on the topic up to a position, and the keys that changed
// since an earlier one.
func replay(ctx context.Context, src Source, since, until int64) (held map[string][]byte, moving map[string]bool, err error) {
	held, moving = map[string][]byte{}, map[string]bool{}
	next, _, err := src.Bounds(ctx)
	for err == nil && next < until {
		var page Page
		if page, err = src.Read(ctx, next); err != nil {
			break
		}
		for _, c := range page.Changes {
			switch {
			case subject(c.Key) == nil:
			case c.Value == nil:
				delete(held, string(c.Key))
			default:
				held[string(c.Key)] = c.Value
			}
			if page.Next > since { // the page may begin before: leaving out more is harmless
				moving[string(c.Key)] = true
			}
		}
		next = page.Next
	}
	if err != nil {
		return nil, nil, fmt.Errorf("read indicators: %w", err)
	}
	return held, moving, nil
}

type tally struct {
	Agreement
	topic, index uint64
}

// comparison is by authority.
type comparison struct{ by map[string]*tally }

func (c comparison) of(key string) *tally {
	authority, _, ok := strings.Cut(key, "/")
	if !ok {
		authority = "-"
	}
	t := c.by[authority]
	if t == nil {
		t = &tally{Agreement: Agreement{Authority: authority}}
		c.by[authority] = t
	}
	return t
}

func digest(key string, value []byte) uint64 {
	h := sha256.New()
	_, _ = fmt.Fprintf(h, "%d:%s", len(key), key)
	_, _ = h.Write(value)
	return binary.BigEndian.Uint64(h.Sum(nil))
}

func (c comparison) records(topic, held map[string][]byte, moving map[string]bool) {
	for key, value := range topic {
		t := c.of(key)
		t.Topic++
		t.topic += digest(key, value)
		mine, ok := held[key]
		switch {
		case moving[key]:
		case !ok:
			t.Missing++
		case !bytes.Equal(mine, value):
			t.Differing++
		}
	}
	for key, value := range held {
		t := c.of(key)
		t.Index++
		t.index += digest(key, value)
		if _, ok := topic[key]; !ok && !moving[key] {
			t.Extra++
		}
	}
}

// descriptions makes those there should be, and strikes out those there are.
func (c comparison) descriptions(topic, described map[string][]byte, moving map[string]bool, describe Describe) {
	for key, value := range topic {
		wanted, err := describe([]byte(key), value)
		if err != nil {
			continue // the writer complains of it
		}
		for _, d := range wanted {
			at := string(describedKey(d.Block, []byte(key)))
			if !bytes.Equal(described[at], d.Value) && !moving[key] {
				c.of(key).Undescribed++
			}
			delete(described, at)
		}
	}
	if len(moving) == 0 { // else they may be of records that moved
		for range described {
			c.of("-").Undescribed++
		}
	}
}

func (c comparison) verification(position int64) Verification {
	v := Verification{Position: position}
	for _, t := range c.by {
		t.TopicDigest, t.IndexDigest = hex.EncodeToString(binary.BigEndian.AppendUint64(nil, t.topic)), hex.EncodeToString(binary.BigEndian.AppendUint64(nil, t.index))
		v.Authorities = append(v.Authorities, t.Agreement)
	}
	slices.SortFunc(v.Authorities, func(a, b Agreement) int { return strings.Compare(a.Authority, b.Authority) })
	return v
}
