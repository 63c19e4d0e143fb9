package audit

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"cpis/router/topics"
)

// Entry is one record of the audit topic as the log takes it in. Headers are not part
// of it: they say nothing that the value does not.
type Entry struct {
	Offset int64
	Time   time.Time // millisecond precision
	Key    []byte
	Value  []byte
}

// entryHead is the fixed part of an entry:
//
//	version 1 │ offset 8 │ time 8, ms since 1970 │ length of the key 4 │ key │ value
//
// Numbers are big endian.
const (
	entryVersion = 1
	entryHead    = 1 + 8 + 8 + 4
)

// maxEntry is the largest entry there is: no record batch of a topic is larger.
const maxEntry = 1 << 20

func entryOf(r topics.Record) Entry { return Entry{r.Offset, r.Time, r.Key, r.Value} }

// append writes the entry behind b.
func (e Entry) append(b []byte) []byte {
	b = append(b, entryVersion)
	b = binary.BigEndian.AppendUint64(b, uint64(e.Offset))
	b = binary.BigEndian.AppendUint64(b, uint64(e.Time.UnixMilli()))
	b = binary.BigEndian.AppendUint32(b, uint32(len(e.Key)))
	return append(append(b, e.Key...), e.Value...)
}

var errEntry = errors.New("no entry of an audit log")

// ParseEntry reads one. Key and Value share memory with b.
func ParseEntry(b []byte) (Entry, error) {
	if len(b) < entryHead || b[0] != entryVersion {
		return Entry{}, errEntry
	}
	key := binary.BigEndian.Uint32(b[17:])
	if uint64(key) > uint64(len(b)-entryHead) {
		return Entry{}, fmt.Errorf("%w: its key is longer than itself", errEntry)
	}
	return Entry{
		Offset: int64(binary.BigEndian.Uint64(b[1:])),
		Time:   time.UnixMilli(int64(binary.BigEndian.Uint64(b[9:]))).UTC(),
		Key:    b[entryHead : entryHead+key],
		Value:  b[entryHead+key:],
	}, nil
}
