package index

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/fnv"
	"slices"

	"cpis/schemas"
)

// Entry is one indicator of the index: the key and the value of its record on
// cpis.indicator.v1, as they stand there. The index does not read values.
type Entry struct {
	Key   []byte // LA code / subject ref / plan type
	Value []byte
}

// subject is the subject ref in a key, nil where the key has another shape.
func subject(key []byte) []byte {
	_, rest, ok := bytes.Cut(key, []byte{'/'})
	if !ok {
		return nil
	}
	ref, _, ok := bytes.Cut(rest, []byte{'/'})
	if !ok {
		return nil
	}
	return ref
}

// bucketOf is the bucket that holds a subject.
func bucketOf(ref []byte, buckets int) int {
	h := fnv.New64a()
	_, _ = h.Write(ref)
	return int(h.Sum64() % uint64(buckets))
}

// bucketVersion is the first byte of an encoded bucket.
const bucketVersion = 1

// maxBucketEntries bounds what a bucket may claim to hold.
const maxBucketEntries = 10_000

var errBucket = errors.New("a bucket of the index does not have its form")

// appendBucket writes the entries of a bucket, which is then sealed:
//
//	byte    version 1
//	uvarint number of entries, then for each
//	        uvarint key length, key, uvarint value length, value
func appendBucket(buf []byte, entries []Entry) []byte {
	buf = append(buf, bucketVersion)
	buf = binary.AppendUvarint(buf, uint64(len(entries)))
	for _, e := range entries {
		buf = binary.AppendUvarint(buf, uint64(len(e.Key)))
		buf = append(buf, e.Key...)
		buf = binary.AppendUvarint(buf, uint64(len(e.Value)))
		buf = append(buf, e.Value...)
	}
	return buf
}

// readBucket reads what appendBucket wrote. The entries share its memory.
func readBucket(plain []byte) ([]Entry, error) {
	if len(plain) == 0 || plain[0] != bucketVersion {
		return nil, errBucket
	}
	n, rest, err := length(plain[1:], maxBucketEntries)
	if err != nil {
		return nil, err
	}
	entries := make([]Entry, 0, min(n, len(rest)))
	for range n {
		var e Entry
		if e.Key, rest, err = chunk(rest); err != nil {
			return nil, err
		}
		if e.Value, rest, err = chunk(rest); err != nil {
			return nil, err
		}
		entries = append(entries, e)
	}
	if len(rest) > 0 {
		return nil, errBucket
	}
	return entries, nil
}

func length(b []byte, most int) (int, []byte, error) {
	n, size := binary.Uvarint(b)
	if size <= 0 || n > uint64(most) {
		return 0, nil, errBucket
	}
	return int(n), b[size:], nil
}

func chunk(b []byte) ([]byte, []byte, error) {
	n, rest, err := length(b, schemas.MaxValueBytes)
	if err != nil || n > len(rest) {
		return nil, nil, errBucket
	}
	return rest[:n:n], rest[n:], nil
}

// put sets or, with a nil value, removes the entry of a key.
func put(entries []Entry, key, value []byte) []Entry {
	i := slices.IndexFunc(entries, func(e Entry) bool { return bytes.Equal(e.Key, key) })
	switch {
	case value == nil && i < 0:
		return entries
	case value == nil:
		return slices.Delete(slices.Clone(entries), i, i+1)
	case i < 0:
		return append(slices.Clip(entries), Entry{key, value})
	}
	entries = slices.Clone(entries)
	entries[i].Value = value
	return entries
}
