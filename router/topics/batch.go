package topics

import (
	"encoding/binary"
	"hash/crc32"
)

// appendBatch writes records as one Kafka record batch of format 2,
// uncompressed, with the four-byte length in front that a produce request has
// there (kafka-go's raw produce expects it from its caller).
//
//	int32   length of what follows
//	int64   base offset               0, the broker sets it
//	int32   batch length              from the next field to the end
//	int32   partition leader epoch    -1
//	int8    magic                     2
//	uint32  CRC-32C                   from the next field to the end
//	int16   attributes                0: no compression, create time, no transaction
//	int32   last offset delta
//	int64   base timestamp, max timestamp
//	int64   producer id, int16 epoch, int32 base sequence
//	int32   record count, then the records:
//	        varint length, int8 attributes, varint timestamp delta, varint offset delta,
//	        varint key length and key, varint value length and value (-1 is null),
//	        varint header count, then name and value each with a varint length
func appendBatch(buf []byte, records []Record, id producerID, sequence int32) []byte {
	start := len(buf)
	first, newest := records[0].Time.UnixMilli(), records[0].Time.UnixMilli()
	for i := range records {
		newest = max(newest, records[i].Time.UnixMilli())
	}
	buf = binary.BigEndian.AppendUint32(buf, 0) // length, below
	buf = binary.BigEndian.AppendUint64(buf, 0)
	buf = binary.BigEndian.AppendUint32(buf, 0) // batch length, below
	buf = binary.BigEndian.AppendUint32(buf, 0xffffffff)
	buf = append(buf, 2)
	buf = binary.BigEndian.AppendUint32(buf, 0) // CRC, below
	body := len(buf)
	buf = binary.BigEndian.AppendUint16(buf, 0)
	buf = binary.BigEndian.AppendUint32(buf, uint32(len(records)-1))
	buf = binary.BigEndian.AppendUint64(buf, uint64(first))
	buf = binary.BigEndian.AppendUint64(buf, uint64(newest))
	buf = binary.BigEndian.AppendUint64(buf, uint64(id.id))
	buf = binary.BigEndian.AppendUint16(buf, uint16(id.epoch))
	buf = binary.BigEndian.AppendUint32(buf, uint32(sequence))
	buf = binary.BigEndian.AppendUint32(buf, uint32(len(records)))
	for i := range records {
		buf = appendRecord(buf, &records[i], records[i].Time.UnixMilli()-first, int64(i))
	}
	binary.BigEndian.PutUint32(buf[start:], uint32(len(buf)-start-4))
	binary.BigEndian.PutUint32(buf[start+12:], uint32(len(buf)-start-16))
	binary.BigEndian.PutUint32(buf[body-4:], crc32.Checksum(buf[body:], crc32.MakeTable(crc32.Castagnoli)))
	return buf
}

func appendRecord(buf []byte, r *Record, timestamp, offset int64) []byte {
	n := 1 + varintSize(timestamp) + varintSize(offset) + bytesSize(r.Key) + bytesSize(r.Value) + varintSize(int64(len(r.Headers)))
	for _, h := range r.Headers {
		n += varintSize(int64(len(h.Key))) + len(h.Key) + bytesSize(h.Value)
	}
	buf = binary.AppendVarint(buf, int64(n))
	buf = append(buf, 0)
	buf = binary.AppendVarint(buf, timestamp)
	buf = binary.AppendVarint(buf, offset)
	buf = appendBytes(buf, r.Key)
	buf = appendBytes(buf, r.Value)
	buf = binary.AppendVarint(buf, int64(len(r.Headers)))
	for _, h := range r.Headers {
		buf = binary.AppendVarint(buf, int64(len(h.Key)))
		buf = append(buf, h.Key...)
		buf = appendBytes(buf, h.Value)
	}
	return buf
}

func appendBytes(buf, b []byte) []byte {
	if b == nil {
		return binary.AppendVarint(buf, -1)
	}
	return append(binary.AppendVarint(buf, int64(len(b))), b...)
}

func bytesSize(b []byte) int {
	if b == nil {
		return 1
	}
	return varintSize(int64(len(b))) + len(b)
}

// varintSize is the length of a zigzag varint.
func varintSize(v int64) int {
	u := uint64(v)<<1 ^ uint64(v>>63)
	n := 1
	for ; u >= 0x80; u >>= 7 {
		n++
	}
	return n
}
