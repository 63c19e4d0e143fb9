package embedded

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
)

// repair makes the data directory safe for kfake to open after any kind of stop (see the package comment).
func repair(dir string) error {
	kafka := filepath.Join(dir, "kafka")
	// Members of consumer groups from the last run: their processes are gone, new ones would wait for them.
	if err := removeIfThere(filepath.Join(kafka, "session_state.json")); err != nil {
		return err
	}
	for _, name := range []string{"groups.log", "pids.log"} {
		if err := cutTornTail(filepath.Join(kafka, name)); err != nil {
			return err
		}
	}
	return plantEnds(dir)
}

// cutTornTail shortens one of kfake's logs to its last whole entry. The format of an entry, little-endian:
//
//	+--------+-------+---------+------
//	| length | CRC   | version | data        length counts version and data,
//	| 4      | 4     | 2       | length − 2  CRC is CRC-32C of the same
//	+--------+-------+---------+------
func cutTornTail(path string) error {
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	castagnoli := crc32.MakeTable(crc32.Castagnoli)
	whole := 0
	for rest := raw; len(rest) >= 10; rest = raw[whole:] {
		length := int64(binary.LittleEndian.Uint32(rest))
		if length < 2 || 8+length > int64(len(rest)) {
			break
		}
		if crc32.Checksum(rest[8:8+length], castagnoli) != binary.LittleEndian.Uint32(rest[4:]) {
			break
		}
		whole += int(8 + length)
	}
	if whole == len(raw) {
		return nil
	}
	return os.Truncate(path, int64(whole))
}

// ends is the file ends.json: the end offset of each partition, by topic id and partition.
type ends map[string]int64

// endKey names a partition in ends. A topic made anew under an old name has a new id and starts at 0.
func endKey(topicID string, partition int) string {
	return topicID + "/" + strconv.Itoa(partition)
}

// topicList is the part of kfake's topics.json read here.
type topicList struct {
	Topics []struct {
		Name       string `json:"name"`
		ID         string `json:"id"`
		Partitions int    `json:"partitions"`
	} `json:"topics"`
}

// recordEnds writes ends.json if it would change.
func recordEnds(cluster *kfake.Cluster, dir string) error {
	var topics topicList
	if err := readJSON(filepath.Join(dir, "kafka", "topics.json"), &topics); err != nil {
		return err
	}
	now, last := ends{}, ends{}
	for _, t := range topics.Topics {
		for _, p := range cluster.PartitionInfos(t.Name) {
			now[endKey(t.ID, int(p.Partition))] = p.HighWatermark
		}
	}
	path := filepath.Join(dir, "ends.json")
	if err := readJSON(path, &last); err != nil {
		return err
	}
	same := len(now) == len(last)
	for key, end := range now {
		same = same && last[key] == end
	}
	if same {
		return nil
	}
	return writeJSON(path, now)
}

// plantEnds gives each partition without a record, but with a past, a snapshot in kfake's form from which it goes on
// at its old end.
func plantEnds(dir string) error {
	var topics topicList
	if err := readJSON(filepath.Join(dir, "kafka", "topics.json"), &topics); err != nil {
		return err
	}
	known := ends{}
	if err := readJSON(filepath.Join(dir, "ends.json"), &known); err != nil {
		return err
	}
	for _, t := range topics.Topics {
		for p := range t.Partitions {
			pdir := filepath.Join(dir, "kafka", "partitions", partitionFolder(t.Name, p))
			if err := plantEnd(pdir, known[endKey(t.ID, p)]); err != nil {
				return fmt.Errorf("partition %d of topic %s: %w", p, t.Name, err)
			}
		}
	}
	return nil
}

// partitionFolder is kfake's name for the folder of a partition.
func partitionFolder(topic string, p int) string {
	return fmt.Sprintf("%s-%d", url.PathEscape(topic), p)
}

// plantEnd does it for one partition directory.
func plantEnd(pdir string, end int64) error {
	segments, err := filepath.Glob(filepath.Join(pdir, "*.dat"))
	if err != nil {
		return err
	}
	for _, segment := range segments {
		if held, err := holdsBatch(segment); err != nil || held {
			return err
		}
	}
	path := filepath.Join(pdir, "snapshot.json")
	snapshot := map[string]any{"version": 1, "created_at": time.Now().UTC()}
	if err := readJSON(path, &snapshot); err != nil {
		return err
	}
	if high, ok := snapshot["high_watermark"].(float64); ok {
		end = max(end, int64(high))
	}
	if end == 0 {
		return nil
	}
	for _, segment := range segments {
		for _, old := range []string{segment, segment[:len(segment)-len("dat")] + "idx"} {
			if err := removeIfThere(old); err != nil {
				return err
			}
		}
	}
	if err := os.MkdirAll(pdir, 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(pdir, fmt.Sprintf("%d.dat", end)), nil, 0o600); err != nil {
		return err
	}
	for _, field := range []string{"high_watermark", "last_stable_offset", "log_start_offset"} {
		snapshot[field] = end
	}
	snapshot["segments"] = []any{map[string]any{"base_offset": end, "size": 0}}
	return writeJSON(path, snapshot)
}

// holdsBatch reports whether a segment begins with a whole record batch. A batch is 8 bytes of offset, 4 of length,
// 4 of epoch, 1 of magic, 4 of CRC-32C over all that follows; numbers are big-endian.
func holdsBatch(segment string) (bool, error) {
	f, err := os.Open(segment)
	if err != nil {
		return false, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return false, err
	}
	var head [21]byte
	if info.Size() < int64(len(head)) {
		return false, nil
	}
	if _, err := f.ReadAt(head[:], 0); err != nil {
		return false, err
	}
	size := 12 + int64(binary.BigEndian.Uint32(head[8:]))
	if size < int64(len(head)) || size > info.Size() {
		return false, nil
	}
	body := make([]byte, size-int64(len(head)))
	if _, err := f.ReadAt(body, int64(len(head))); err != nil {
		return false, err
	}
	return crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli)) == binary.BigEndian.Uint32(head[17:]), nil
}
