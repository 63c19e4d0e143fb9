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

// bucketOf is the bucket that holds a subject or a block.
func bucketOf(name []byte, buckets int) int {
	h := fnv.New64a()
	_, _ = h.Write(name)
	return int(h.Sum64() % uint64(buckets))
}

// describedKey is the key of a description in its bucket: the block, and a hash
// of the indicator it came from.
func describedKey(b Block, indicator []byte) []byte {
	h := fnv.New64a()
	_, _ = h.Write(indicator)
	return h.Sum(b[:])
}

// bucketVersion is the first byte of an encoded bucket.
const bucketVersion = 1

// maxBucketEntries bounds what a bucket may claim to hold: more than all the people
// whom an authority's export could give the same date of birth by mistake.
const maxBucketEntries = 1 << 20

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

// scan hands the entries of what appendBucket wrote to each, in order, until
// the end or until each returns false. The entries share its memory. A bucket
// without its form is an error wherever the fault lies, unless each ended it.
func scan(plain []byte, each func(Entry) bool) error {
	if len(plain) == 0 || plain[0] != bucketVersion {
		return errBucket
	}
	n, rest, err := length(plain[1:], maxBucketEntries)
	if err != nil {
		return err
	}
	for range n {
		var e Entry
		if e.Key, rest, err = chunk(rest); err != nil {
			return err
		}
		if e.Value, rest, err = chunk(rest); err != nil {
			return err
		}
		if !each(e) {
			return nil
		}
	}
	if len(rest) > 0 {
		return errBucket
	}
	return nil
}

// readBucket reads what appendBucket wrote. The entries share its memory.
func readBucket(plain []byte) ([]Entry, error) {
	var entries []Entry
	err := scan(plain, func(e Entry) bool { entries = append(entries, e); return true })
	return entries, err
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

// find is the value under a key, nil where there is none.
func find(entries []Entry, key []byte) []byte {
	for _, e := range entries {
		if bytes.Equal(e.Key, key) {
			return e.Value
		}
	}
	return nil
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
