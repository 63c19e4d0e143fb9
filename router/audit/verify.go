package audit

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"

	"github.com/transparency-dev/formats/log"
	"golang.org/x/mod/sumdb/tlog"
)

// Finding is one way in which a copy is not what was signed. The first bad entry is
// From; where more than one may be the first, it is one of From to Until-1.
type Finding struct {
	Log   int    `json:"log"`
	From  int64  `json:"from"`
	Until int64  `json:"until"`
	What  string `json:"what"`
}

func (f Finding) String() string {
	where := fmt.Sprintf("entry %d", f.From)
	if f.Until > f.From+1 {
		where = fmt.Sprintf("one of the entries %d to %d", f.From, f.Until-1)
	}
	return fmt.Sprintf("log %d, %s: %s", f.Log, where, f.What)
}

// Verified says how one log of a copy was found.
type Verified struct {
	Log       int       `json:"log"`
	Size      int64     `json:"size"`    // entries that the newest head covers
	First     int64     `json:"first"`   // the first entry in the copy
	Entries   int64     `json:"entries"` // those that are in the copy
	Cosigners []string  `json:"cosigners"`
	Findings  []Finding `json:"findings"`
}

// Logs lists the logs of a copy.
func (c Copy) Logs() []int {
	var out []int
	for p := range maxLogs {
		if _, err := c.Dir.Stat(headsName(p)); err == nil {
			out = append(out, p)
		}
	}
	return out
}

// Verify holds a log of a copy against its heads, and against heads of the same log
// that came another way, such as from a witness. It asks no server. first is the first
// entry that must be there: earlier ones may be gone, having expired before the first
// copy was made. An error means that it could not be looked at; what is wrong is a
// finding.
func (c Copy) Verify(partition int, first int64, v Verifiers, others ...string) (Verified, error) {
	out := Verified{Log: partition, Cosigners: []string{}, Findings: []Finding{}}
	find := func(from, until int64, what string, args ...any) {
		out.Findings = append(out.Findings, Finding{partition, from, until, fmt.Sprintf(what, args...)})
	}
	notes, err := c.headNotes(partition)
	if err != nil || len(notes) == 0 {
		return out, cmp.Or(err, fmt.Errorf("no head of log %d", partition))
	}
	var marks []Head
	for _, text := range append(notes, others...) {
		h, err := v.Open(partition, text)
		if err != nil {
			find(0, 1, "a head is not signed by the log's key: %v", err)
			continue
		}
		marks = append(marks, h)
		if text == notes[len(notes)-1] {
			out.Size = h.Size
		}
		for _, name := range h.Cosigners {
			if h.Size == out.Size && !slices.Contains(out.Cosigners, name) {
				out.Cosigners = append(out.Cosigners, name)
			}
		}
	}
	slices.SortStableFunc(marks, func(a, b Head) int { return cmp.Compare(a.Size, b.Size) })
	for i, m := range marks {
		if i > 0 && m.Size == marks[i-1].Size && m.Root != marks[i-1].Root {
			find(0, m.Size, "forked: two heads of %d entries were signed, and differ", m.Size)
		}
		if m.Size > out.Size {
			find(out.Size, m.Size, "cut: a head of %d entries was signed, the copy ends at %d", m.Size, out.Size)
		}
	}
	if len(out.Findings) > 0 {
		return out, nil
	}
	if err := c.verifyEntries(&out, marks, find); err != nil {
		return out, err
	}
	if out.First > first {
		out.Findings = slices.Insert(out.Findings, 0, Finding{partition, first, out.First, "missing: dropped from the copy, or expired from the topic before it was made"})
	}
	return out, nil
}

// reading is a pass over entries and their hashes.
type reading struct {
	tree        frontier
	first, next int64 // place of the first entry that is there, and of the next
	bad         int64 // first entry that differs from its hash; -1: none
	why         string
	wrong       int64 // size of the smallest head that is not right; -1: none
	good        int64 // size of the largest head before that
	marks       []Head
}

func (c Copy) verifyEntries(out *Verified, marks []Head, find func(from, until int64, what string, args ...any)) error {
	entries, err := c.Dir.Open(entriesName(out.Log))
	if err != nil {
		return fmt.Errorf("verify: %w", err)
	}
	defer func() { _ = entries.Close() }()
	hashes, err := c.Dir.Open(hashesName(out.Log))
	if err != nil {
		return fmt.Errorf("verify: %w", err)
	}
	defer func() { _ = hashes.Close() }()
	r := &reading{bad: -1, wrong: -1, marks: marks, first: -1}
	if err := r.read(out.Size, bufio.NewReaderSize(entries, 1<<20), bufio.NewReaderSize(hashes, 1<<16)); err != nil {
		return fmt.Errorf("verify: %w", err)
	}
	out.First, out.Entries = max(r.first, 0), r.next-max(r.first, 0)
	if r.bad < 0 && r.next < out.Size {
		r.bad, r.why = r.next, fmt.Sprintf("cut: the copy holds %d of %d entries", r.next, out.Size)
	}
	if r.bad < 0 && r.wrong < 0 {
		return nil
	}
	if _, err := hashes.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("verify: %w", err)
	}
	root, err := rootOf(bufio.NewReaderSize(io.LimitReader(hashes, out.Size*tlog.HashSize), 1<<16))
	switch head := marks[len(marks)-1]; {
	case r.bad >= 0 && err == nil && root == head.Root:
		find(r.bad, r.bad+1, "%s", r.why) // the hashes are those that were signed
	case r.bad >= 0 && r.wrong < 0 && r.next == out.Size:
		find(r.bad, r.bad+1, "the entries are as they were signed, but not the file of hashes beside them")
	default:
		until := r.wrong
		if until < 0 {
			until = out.Size
		}
		find(r.good, until, "changed: entries and the hashes beside them are not those that were signed")
	}
	return nil
}

// read goes through a log once.
func (r *reading) read(size int64, entries, hashes *bufio.Reader) error {
	var want tlog.Hash
	nextHash := func() bool { _, err := io.ReadFull(hashes, want[:]); return err == nil }
	take := func(leaf tlog.Hash) {
		r.tree.add(leaf)
		r.next++
		for ; len(r.marks) > 0 && r.marks[0].Size <= r.next; r.marks = r.marks[1:] {
			switch m := r.marks[0]; {
			case m.Size < r.next || r.wrong >= 0: // a head of nothing; or all is wrong from there on
			case r.tree.root() == m.Root:
				r.good = m.Size
			default:
				r.wrong = m.Size
			}
		}
	}
	err := eachEntry(entries, func(leaf []byte) error {
		e, err := ParseEntry(leaf[1:])
		if r.first < 0 { // entries before the first have expired; their hashes are there
			for r.first = min(max(e.Offset, 0), size); err == nil && r.next < r.first && nextHash(); {
				take(want)
			}
			if r.next != r.first {
				r.first = r.next
			}
		}
		if r.next >= size {
			r.note(size, fmt.Sprintf("added: there are entries behind the %d that were signed", size))
			return errStop
		}
		computed := leafHash(leaf)
		switch known := nextHash(); {
		case err != nil:
			r.note(r.next, "changed: "+err.Error())
		case e.Offset != r.next:
			r.note(r.next, fmt.Sprintf("dropped, repeated or moved: entry %d stands in its place", e.Offset))
		case !known || computed != want:
			r.note(r.next, "changed: it is not the entry that was signed")
		}
		take(computed)
		return nil
	})
	switch {
	case errors.Is(err, errTorn):
		r.note(r.next, "changed or cut: "+err.Error())
	case errors.Is(err, errStop), err == nil:
	default:
		return err
	}
	return nil
}

func (r *reading) note(at int64, why string) {
	if r.bad < 0 {
		r.bad, r.why = at, why
	}
}

// sizeIn reads the size from a checkpoint without asking who signed it.
func sizeIn(text string) (int64, error) {
	var c log.Checkpoint
	if _, err := c.Unmarshal([]byte(text)); err != nil {
		return 0, fmt.Errorf("read head: %w", err)
	}
	return int64(c.Size), nil
}

// Absent reports whether an error means that a copy has no such log.
func Absent(err error) bool { return errors.Is(err, fs.ErrNotExist) }
