package topics

import (
	"time"

	"cpis/schemas"
)

// Header is one header of a record. Names and values hold nobody's details.
type Header struct {
	Key   string
	Value []byte
}

// Record is one record of a topic. Partition and Offset are set on records
// that were read; a producer computes the partition from the key.
type Record struct {
	Topic     schemas.Topic
	Partition int
	Offset    int64
	Key       []byte
	Value     []byte // nil is a tombstone: it takes the key back on a compacted topic
	Headers   []Header
	Time      time.Time // millisecond precision
}

// size is about what the record takes on the wire.
func (r *Record) size() int {
	n := len(r.Key) + len(r.Value) + 32
	for _, h := range r.Headers {
		n += len(h.Key) + len(h.Value) + 8
	}
	return n
}

// PartitionFor is the partition of a key as the Java client computes it:
// murmur2 of the key, sign bit cleared, modulo the partition count. Other
// clients that use the default agree with it.
func PartitionFor(key []byte, partitions int) int {
	return int(murmur2(key)&0x7fffffff) % partitions
}

// murmur2 is Kafka's variant: 32 bits, seed 0x9747b28c.
func murmur2(data []byte) uint32 {
	const m, r = 0x5bd1e995, 24
	h := uint32(0x9747b28c) ^ uint32(len(data))
	for ; len(data) >= 4; data = data[4:] {
		k := uint32(data[0]) | uint32(data[1])<<8 | uint32(data[2])<<16 | uint32(data[3])<<24
		k *= m
		k ^= k >> r
		k *= m
		h = h*m ^ k
	}
	switch len(data) {
	case 3:
		h ^= uint32(data[2]) << 16
		fallthrough
	case 2:
		h ^= uint32(data[1]) << 8
		fallthrough
	case 1:
		h = (h ^ uint32(data[0])) * m
	}
	h ^= h >> 13
	h *= m
	return h ^ h>>15
}
