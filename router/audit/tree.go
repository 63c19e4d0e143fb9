package audit

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"syscall"

	"golang.org/x/mod/sumdb/tlog"
)

// Tree keeps the hashes of one log in a file that only grows: leaves and inner nodes
// at the places tlog.StoredHashIndex gives. Everything in it can be made again from
// the topic, so nothing is synced. One goroutine adds; any number may read what was
// flushed.
type Tree struct {
	file    *os.File
	size    int64       // leaves, with those that are pending
	flushed int64       // hashes in the file
	pending []tlog.Hash // hashes behind those in the file
}

// OpenTree opens the file, or makes it. What a crash left incomplete at its end is cut
// off. A file has one owner at a time: a second is an error.
func OpenTree(name string) (*Tree, error) {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open tree: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("open tree: another process works on it: %w", err), f.Close())
	}
	info, err := f.Stat()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open tree: %w", err), f.Close())
	}
	t := &Tree{file: f, size: leaves(info.Size() / tlog.HashSize)}
	t.flushed = tlog.StoredHashCount(t.size)
	if err := f.Truncate(t.flushed * tlog.HashSize); err != nil {
		return nil, errors.Join(fmt.Errorf("open tree: %w", err), f.Close())
	}
	return t, nil
}

// leaves is how many leaves a number of stored hashes is enough for.
func leaves(hashes int64) int64 {
	low, high := int64(0), hashes // low leaves fit; high+1 do not
	for low < high {
		mid := low + (high-low+1)/2
		if tlog.StoredHashCount(mid) <= hashes {
			low = mid
		} else {
			high = mid - 1
		}
	}
	return low
}

// Size is the number of leaves.
func (t *Tree) Size() int64 { return t.size }

// Add takes in the next leaf. It is readable after Flush.
func (t *Tree) Add(leaf tlog.Hash) error {
	hashes, err := tlog.StoredHashesForRecordHash(t.size, leaf, t)
	if err != nil {
		return fmt.Errorf("add to tree: %w", err)
	}
	t.pending = append(t.pending, hashes...)
	t.size++
	return nil
}

// Flush writes what was added.
func (t *Tree) Flush() error {
	var b []byte
	for _, h := range t.pending {
		b = append(b, h[:]...)
	}
	if _, err := t.file.WriteAt(b, t.flushed*tlog.HashSize); err != nil {
		return fmt.Errorf("write tree: %w", err)
	}
	t.flushed += int64(len(t.pending))
	t.pending = t.pending[:0]
	return nil
}

// Reset forgets everything.
func (t *Tree) Reset() error {
	t.size, t.flushed, t.pending = 0, 0, nil
	if err := t.file.Truncate(0); err != nil {
		return fmt.Errorf("reset tree: %w", err)
	}
	return nil
}

// ReadHashes implements tlog.HashReader.
func (t *Tree) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, at := range indexes {
		if behind := at - t.flushed; behind >= 0 && behind < int64(len(t.pending)) {
			out[i] = t.pending[behind]
			continue
		}
		if _, err := t.file.ReadAt(out[i][:], at*tlog.HashSize); err != nil {
			return nil, fmt.Errorf("read tree: %w", err)
		}
	}
	return out, nil
}

// Root is the hash of the tree of the first leaves.
func (t *Tree) Root(size int64) (tlog.Hash, error) { return tlog.TreeHash(size, t) }

// flushedReader reads a tree while its owner adds to it.
type flushedReader struct{ file *os.File }

func (r flushedReader) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	return (&Tree{file: r.file}).ReadHashes(indexes)
}

// Close gives the file up.
func (t *Tree) Close() error { return errors.Join(t.Flush(), t.file.Close()) }

// leafHash is the hash of a leaf whose first byte is the 0x00 that sets leaves apart.
func leafHash(prefixed []byte) tlog.Hash { return sha256.Sum256(prefixed) }

// hashOf is the leaf hash of a record; buffer is reused.
func hashOf(e Entry, buffer []byte) (tlog.Hash, []byte) {
	buffer = e.append(append(buffer[:0], 0))
	return leafHash(buffer), buffer
}

// frontier is the right edge of a growing tree: all that is needed for its root.
type frontier struct {
	size  int64
	nodes []tlog.Hash // of complete subtrees, largest first
}

func (f *frontier) add(leaf tlog.Hash) {
	for n := f.size; n&1 == 1; n >>= 1 {
		last := len(f.nodes) - 1
		leaf = tlog.NodeHash(f.nodes[last], leaf)
		f.nodes = f.nodes[:last]
	}
	f.nodes = append(f.nodes, leaf)
	f.size++
}

func (f *frontier) root() tlog.Hash {
	if f.size == 0 {
		return sha256.Sum256(nil)
	}
	h := f.nodes[len(f.nodes)-1]
	for _, n := range slices.Backward(f.nodes[:len(f.nodes)-1]) {
		h = tlog.NodeHash(n, h)
	}
	return h
}

// rootOf is the root of a tree of leaf hashes as they stand in a file.
func rootOf(leaves io.Reader) (tlog.Hash, error) {
	var f frontier
	var h tlog.Hash
	for {
		switch _, err := io.ReadFull(leaves, h[:]); {
		case errors.Is(err, io.EOF):
			return f.root(), nil
		case err != nil:
			return h, err
		}
		f.add(h)
	}
}
