package audit

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"

	"golang.org/x/mod/sumdb/tlog"

	"cpis/connectors"
	"cpis/router/topics"
	"cpis/schemas"
)

// Copy is a folder with a copy of the logs, to be verified without any server:
//
//	log.pub          public key of the log
//	N.entries        length uint32 │ entry, one after the other, from the first that was there
//	N.hashes         leaf hash of every entry, from the very first, 32 bytes each
//	N.heads.jsonl    {"note": …} of every head that was copied up to, newest last
//
// N is the partition. Lengths are big endian. What was copied stays: a later copy into
// the same folder goes on where the earlier one ended.
type Copy struct{ Dir *os.Root }

const publicFile = "log.pub"

func entriesName(p int) string { return strconv.Itoa(p) + ".entries" }
func hashesName(p int) string  { return strconv.Itoa(p) + ".hashes" }
func headsName(p int) string   { return strconv.Itoa(p) + ".heads.jsonl" }

// Public is the key that came with the copy: whoever changed the copy may have changed
// it too.
func (c Copy) Public() (string, error) {
	text, err := c.Dir.ReadFile(publicFile)
	if err != nil {
		return "", fmt.Errorf("read public key of the copy: %w", err)
	}
	return string(text), nil
}

// Front gives leaf hashes of entries that have expired from the topic, of a log whose
// head is known.
type Front func(ctx context.Context, head Head, from, until int64) ([]tlog.Hash, error)

// Take copies a log up to a head, reading the topic. front may be nil where nothing
// has expired. It says how many entries it added.
func (c Copy) Take(ctx context.Context, client *topics.Client, head Head, front Front) (added int64, err error) {
	starts, err := client.Starts(ctx, schemas.TopicAudit)
	if err != nil {
		return 0, fmt.Errorf("copy audit log: %w", err)
	}
	hashes, err := c.Dir.OpenFile(hashesName(head.Log), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return 0, fmt.Errorf("copy audit log: %w", err)
	}
	defer func() { err = errors.Join(err, hashes.Close()) }()
	entries, err := c.Dir.OpenFile(entriesName(head.Log), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return 0, fmt.Errorf("copy audit log: %w", err)
	}
	defer func() { err = errors.Join(err, entries.Close()) }()
	have, err := c.resume(head.Log, entries, hashes)
	if err != nil {
		return 0, err
	}
	if from := starts[head.Log]; have < min(from, head.Size) {
		if front == nil {
			return 0, &schemas.Refusal{Code: "CPIS-A002", Location: "log " + strconv.Itoa(head.Log), Reason: fmt.Sprintf("entries %d to %d have expired from the topic", have, min(from, head.Size)-1)}
		}
		if have, err = c.lead(ctx, head, hashes, have, min(from, head.Size), front); err != nil {
			return 0, err
		}
	}
	w, h := bufio.NewWriterSize(entries, 1<<20), bufio.NewWriterSize(hashes, 1<<16)
	var buffer []byte
	err = client.ReadFrom(ctx, schemas.TopicAudit, head.Log, have, head.Size, func(batch []topics.Record) error {
		for _, r := range batch {
			var leaf tlog.Hash
			leaf, buffer = hashOf(entryOf(r), buffer)
			_, errLength := w.Write(binary.BigEndian.AppendUint32(nil, uint32(len(buffer)-1)))
			_, errEntry := w.Write(buffer[1:])
			_, errHash := h.Write(leaf[:])
			if err := errors.Join(errLength, errEntry, errHash); err != nil {
				return err
			}
			added++
		}
		return nil
	})
	if err = errors.Join(err, w.Flush(), h.Flush(), entries.Sync(), hashes.Sync()); err != nil {
		return added, fmt.Errorf("copy audit log: %w", err)
	}
	return added, c.keepHead(head)
}

// resume finds how many entries the folder holds, and cuts off what an interrupted
// copy left behind them.
func (c Copy) resume(partition int, entries, hashes *os.File) (int64, error) {
	heads, err := c.headNotes(partition)
	if err != nil {
		return 0, err
	}
	var size int64
	if len(heads) > 0 {
		if size, err = sizeIn(heads[len(heads)-1]); err != nil {
			return 0, err
		}
	}
	if err := hashes.Truncate(size * tlog.HashSize); err != nil {
		return 0, fmt.Errorf("resume copy: %w", err)
	}
	if _, err := hashes.Seek(0, io.SeekEnd); err != nil {
		return 0, fmt.Errorf("resume copy: %w", err)
	}
	end := int64(0)
	err = eachEntry(bufio.NewReaderSize(entries, 1<<20), func(leaf []byte) error {
		e, err := ParseEntry(leaf[1:])
		if err != nil || e.Offset >= size {
			return errStop
		}
		end += int64(4 + len(leaf) - 1)
		return nil
	})
	if err != nil && !errors.Is(err, errStop) && !errors.Is(err, errTorn) {
		return 0, fmt.Errorf("resume copy: %w", err)
	}
	if err := entries.Truncate(end); err != nil {
		return 0, fmt.Errorf("resume copy: %w", err)
	}
	_, err = entries.Seek(end, io.SeekStart)
	return size, err
}

// lead writes the leaf hashes of entries that are gone.
func (c Copy) lead(ctx context.Context, head Head, hashes *os.File, have, until int64, front Front) (int64, error) {
	for have < until {
		part, err := front(ctx, head, have, min(until, have+signEntries))
		if err != nil {
			return have, err
		}
		var b []byte
		for _, h := range part {
			b = append(b, h[:]...)
		}
		if _, err := hashes.Write(b); err != nil {
			return have, fmt.Errorf("copy audit log: %w", err)
		}
		have += int64(len(part))
	}
	return have, nil
}

// Front reads leaf hashes from a broker.
func (r Remote) Front(ctx context.Context, head Head, from, until int64) ([]tlog.Hash, error) {
	var at []int64
	for n := from; n < until; n++ {
		at = append(at, tlog.StoredHashIndex(0, n))
	}
	return r.Hashes(ctx, head).ReadHashes(at)
}

type headLine struct {
	Note string `json:"note"`
}

func (c Copy) keepHead(h Head) error {
	notes, err := c.headNotes(h.Log)
	if err != nil || len(notes) > 0 && notes[len(notes)-1] == h.Note {
		return err
	}
	f, err := c.Dir.OpenFile(headsName(h.Log), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("keep head: %w", err)
	}
	return errors.Join(json.NewEncoder(f).Encode(headLine{h.Note}), f.Sync(), f.Close())
}

func (c Copy) headNotes(partition int) ([]string, error) {
	f, err := c.Dir.Open(headsName(partition))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read heads: %w", err)
	}
	defer func() { _ = f.Close() }()
	var out []string
	for lines := json.NewDecoder(f); ; {
		var l headLine
		if err := lines.Decode(&l); errors.Is(err, io.EOF) {
			return out, nil
		} else if err != nil {
			return nil, fmt.Errorf("read heads: %w", err)
		}
		out = append(out, l.Note)
	}
}

// KeepPublic writes the log's public key, or holds it against the one that is there.
func (c Copy) KeepPublic(key string) error {
	held, err := c.Public()
	if errors.Is(err, fs.ErrNotExist) {
		return connectors.WriteWhole(c.Dir, publicFile, []byte(key+"\n"))
	}
	if err == nil && held != key+"\n" {
		return fmt.Errorf("the folder is a copy of another log: its public key is another")
	}
	return err
}

var (
	errStop = errors.New("stop")
	errTorn = errors.New("the file ends in the middle of an entry, or an entry has no possible length")
)

// eachEntry hands over each entry with the byte before it that makes it a leaf. The
// memory is used again.
func eachEntry(r *bufio.Reader, each func(leaf []byte) error) error {
	var length [4]byte
	buffer := make([]byte, 1, 4096)
	for {
		switch _, err := io.ReadFull(r, length[:]); {
		case errors.Is(err, io.EOF):
			return nil
		case errors.Is(err, io.ErrUnexpectedEOF):
			return errTorn
		case err != nil:
			return err
		}
		n := int(binary.BigEndian.Uint32(length[:]))
		if n < entryHead || n > maxEntry {
			return errTorn
		}
		if cap(buffer) < n+1 {
			buffer = make([]byte, 1, n+1)
		}
		buffer = buffer[:n+1]
		switch _, err := io.ReadFull(r, buffer[1:]); {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return errTorn
		case err != nil:
			return err
		}
		if err := each(buffer); err != nil {
			return err
		}
	}
}
