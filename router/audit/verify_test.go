package audit

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"
)

// sample is a log that was copied: what its files hold.
type sample struct {
	key     *Key
	entries [][]byte
	heads   []Head
}

func newKey(t testing.TB, name string) *Key {
	t.Helper()
	k, err := OpenKey(t.TempDir(), name, true)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// newSample makes a log with a head at each of the sizes.
func newSample(t testing.TB, sizes ...int) *sample {
	t.Helper()
	s := &sample{key: newKey(t, "broker.example")}
	var tree frontier
	for i := range slices.Max(sizes) {
		e := Entry{int64(i), time.UnixMilli(1_790_000_000_000 + int64(i)), fmt.Appendf(nil, "key %d", i%7), bytes.Repeat([]byte{byte(i)}, 40+i%90)}
		s.entries = append(s.entries, e.append(nil))
		leaf, _ := hashOf(e, nil)
		tree.add(leaf)
		if slices.Contains(sizes, i+1) {
			h, err := s.key.sign(0, tree.size, tree.root())
			if err != nil {
				t.Fatal(err)
			}
			s.heads = append(s.heads, h)
		}
	}
	return s
}

// write lays the copy out in a folder.
func (s *sample) write(t testing.TB) Copy {
	t.Helper()
	root, err := os.OpenRoot(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = root.Close() })
	var entries, hashes []byte
	for _, e := range s.entries {
		entries = append(binary.BigEndian.AppendUint32(entries, uint32(len(e))), e...)
		h := leafHash(append([]byte{0}, e...))
		hashes = append(hashes, h[:]...)
	}
	c := Copy{root}
	for name, text := range map[string][]byte{entriesName(0): entries, hashesName(0): hashes, publicFile: []byte(s.key.Public)} {
		if err := root.WriteFile(name, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, h := range s.heads {
		if err := c.keepHead(h); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

func (s *sample) verifiers(t testing.TB, witnesses ...string) Verifiers {
	t.Helper()
	v, err := NewVerifiers(s.key.Public, witnesses)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func verified(t *testing.T, s *sample, c Copy, others ...string) Verified {
	t.Helper()
	got, err := c.Verify(0, 0, s.verifiers(t), others...)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestAWholeCopyIsFine(t *testing.T) {
	for _, sizes := range [][]int{{1}, {2}, {1, 2, 3}, {255, 256, 257}, {1000, 3001}} {
		s := newSample(t, sizes...)
		if got := verified(t, s, s.write(t)); len(got.Findings) > 0 || got.Entries != int64(slices.Max(sizes)) {
			t.Errorf("%v: %+v", sizes, got)
		}
	}
}

// edit changes one file of a copy.
func edit(t *testing.T, c Copy, name string, change func([]byte) []byte) {
	t.Helper()
	text, err := c.Dir.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Dir.WriteFile(name, change(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// place is where an entry begins in the file, its length first.
func (s *sample) place(entry int) int {
	at := 0
	for _, e := range s.entries[:entry] {
		at += 4 + len(e)
	}
	return at
}

// TestEveryTamperingIsFoundAndNamed is promise 8: whatever is done to the entries of a
// copy is found, and the first entry that is not as it was signed is named.
func TestEveryTamperingIsFoundAndNamed(t *testing.T) {
	s := newSample(t, 100, 700, 1500)
	const size = 1500
	rng := rand.New(rand.NewPCG(7, 7))
	cut := func(b []byte, from, until int) []byte { return slices.Delete(slices.Clone(b), from, until) }
	for name, tamper := range map[string]func(b []byte, at int) []byte{
		"flip": func(b []byte, at int) []byte {
			bit := rng.IntN((4 + len(s.entries[at])) * 8)
			b[s.place(at)+bit/8] ^= 1 << (bit % 8)
			return b
		},
		"drop": func(b []byte, at int) []byte { return cut(b, s.place(at), s.place(at+1)) },
		"swap": func(b []byte, at int) []byte {
			one, two := s.entries[at], s.entries[at+1]
			changed := slices.Clone(b[:s.place(at)])
			for _, e := range [][]byte{two, one} {
				changed = append(binary.BigEndian.AppendUint32(changed, uint32(len(e))), e...)
			}
			return append(changed, b[s.place(at+2):]...)
		},
		"repeat": func(b []byte, at int) []byte {
			return slices.Insert(slices.Clone(b), s.place(at), b[s.place(at-1):s.place(at)]...)
		},
		"cut":      func(b []byte, at int) []byte { return b[:s.place(at)] },
		"cut torn": func(b []byte, at int) []byte { return b[:s.place(at)+3+rng.IntN(len(s.entries[at]))] },
		"forge": func(b []byte, at int) []byte { // a good entry that was never signed
			e, err := ParseEntry(s.entries[at])
			if err != nil {
				t.Fatal(err)
			}
			e.Value = slices.Clone(e.Value)
			e.Value[rng.IntN(len(e.Value))] ^= 0xff
			copy(b[s.place(at)+4:], e.append(nil))
			return b
		},
	} {
		for range 25 {
			at := 1 + rng.IntN(size-3)
			c := s.write(t)
			edit(t, c, entriesName(0), func(b []byte) []byte { return tamper(b, at) })
			got := verified(t, s, c)
			if len(got.Findings) != 1 || got.Findings[0].From != int64(at) || got.Findings[0].Until != int64(at)+1 {
				t.Errorf("%s entry %d: %+v", name, at, got.Findings)
			}
		}
	}
}

func TestEntriesBehindTheHeadAndBeforeTheFirst(t *testing.T) {
	s := newSample(t, 50)
	c := s.write(t)
	edit(t, c, entriesName(0), func(b []byte) []byte { return append(b, b[:s.place(1)]...) })
	if got := verified(t, s, c); len(got.Findings) != 1 || !strings.Contains(got.Findings[0].What, "behind") {
		t.Errorf("%+v", got)
	}
	c = s.write(t)
	edit(t, c, entriesName(0), func(b []byte) []byte { return b[s.place(10):] })
	got := verified(t, s, c)
	if len(got.Findings) != 1 || got.Findings[0].From != 0 || got.Findings[0].Until != 10 {
		t.Errorf("%+v", got)
	}
	if got, err := c.Verify(0, 10, s.verifiers(t)); err != nil || len(got.Findings) != 0 || got.First != 10 || got.Entries != 40 {
		t.Errorf("%+v %v", got, err)
	}
}

// TestHashesChangedToo: whoever changes an entry and its hash cannot change what was
// signed; then the heads narrow it down.
func TestHashesChangedToo(t *testing.T) {
	s := newSample(t, 100, 700, 1500)
	c := s.write(t)
	edit(t, c, hashesName(0), func(b []byte) []byte { b[300*tlog.HashSize] ^= 1; return b })
	if got := verified(t, s, c); len(got.Findings) != 1 || got.Findings[0].From != 300 || !strings.Contains(got.Findings[0].What, "file of hashes") {
		t.Errorf("%+v", got)
	}
	c = s.write(t)
	var forged tlog.Hash
	edit(t, c, entriesName(0), func(b []byte) []byte {
		b[s.place(301)-1] ^= 1
		forged = leafHash(append([]byte{0}, b[s.place(300)+4:s.place(301)]...))
		return b
	})
	edit(t, c, hashesName(0), func(b []byte) []byte { copy(b[300*tlog.HashSize:], forged[:]); return b })
	if got := verified(t, s, c); len(got.Findings) != 1 || got.Findings[0].From != 100 || got.Findings[0].Until != 700 {
		t.Errorf("%+v", got)
	}
}

// TestForksAndForeignHeads: a head that came another way shows a history that was
// rewritten as a whole, keys and all.
func TestForksAndForeignHeads(t *testing.T) {
	s := newSample(t, 100, 700)
	fork := &sample{key: s.key, entries: slices.Clone(s.entries)}
	fork.entries[5] = Entry{5, time.UnixMilli(1), nil, []byte("another")}.append(nil)
	var tree frontier
	for _, e := range fork.entries {
		tree.add(leafHash(append([]byte{0}, e...)))
	}
	h, err := s.key.sign(0, 700, tree.root())
	if err != nil {
		t.Fatal(err)
	}
	fork.heads = []Head{h}
	c := fork.write(t)
	if got := verified(t, s, c); len(got.Findings) != 0 {
		t.Errorf("by itself the fork is whole: %+v", got)
	}
	if got := verified(t, s, c, s.heads[0].Note); len(got.Findings) != 1 || got.Findings[0].From != 0 || got.Findings[0].Until != 100 {
		t.Errorf("held against an older head: %+v", got)
	}
	if got := verified(t, s, c, s.heads[1].Note); len(got.Findings) != 1 || !strings.Contains(got.Findings[0].What, "forked") {
		t.Errorf("held against a head of the same size: %+v", got)
	}
	short := &sample{key: s.key, entries: s.entries[:100], heads: s.heads[:1]}
	if got := verified(t, s, short.write(t), s.heads[1].Note); len(got.Findings) != 1 || got.Findings[0].From != 100 || got.Findings[0].Until != 700 {
		t.Errorf("cut to an older head: %+v", got)
	}
	other := newSample(t, 100)
	if got := verified(t, s, other.write(t)); len(got.Findings) == 0 || !strings.Contains(got.Findings[0].What, "not signed") {
		t.Errorf("signed by another key: %+v", got)
	}
}

func TestTreeAndFrontierAgree(t *testing.T) {
	file := filepath.Join(t.TempDir(), "0.tree")
	tree, err := OpenTree(file)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := OpenTree(file); err == nil {
		t.Error("two owners of one tree")
	}
	var edge frontier
	for i := range int64(600) {
		leaf := tlog.RecordHash(binary.BigEndian.AppendUint64(nil, uint64(i)))
		if err := tree.Add(leaf); err != nil {
			t.Fatal(err)
		}
		edge.add(leaf)
		if root, err := tree.Root(i + 1); err != nil || root != edge.root() {
			t.Fatalf("size %d: %v %v", i+1, root, err)
		}
		if i%37 == 0 { // torn by a crash, and taken up again
			if err := tree.Close(); err != nil {
				t.Fatal(err)
			}
			f, err := os.OpenFile(file, os.O_APPEND|os.O_WRONLY, 0)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = f.Write(make([]byte, i%33))
			_ = f.Close()
			if tree, err = OpenTree(file); err != nil || tree.Size() != i+1 {
				t.Fatalf("size %d after %d: %v", tree.Size(), i+1, err)
			}
		}
	}
	if err := tree.Close(); err != nil {
		t.Fatal(err)
	}
}

func FuzzParseEntry(f *testing.F) {
	f.Add(Entry{7, time.UnixMilli(5), []byte("key"), []byte("value")}.append(nil))
	f.Add([]byte{1})
	f.Fuzz(func(t *testing.T, b []byte) {
		if e, err := ParseEntry(b); err == nil && !bytes.Equal(e.append(nil), b) {
			t.Errorf("%x is read as %+v", b, e)
		}
	})
}

// BenchmarkVerify verifies a copy of a million entries of the size of a decision's.
func BenchmarkVerify(b *testing.B) {
	const size = 1_000_000
	s := &sample{key: newKey(b, "broker.example")}
	value := bytes.Repeat([]byte("audit "), 100)
	var tree frontier
	for i := range int64(size) {
		e := Entry{i, time.UnixMilli(i), []byte("RXX/EMERGENCY_DEPARTMENT"), value}
		s.entries = append(s.entries, e.append(nil))
		leaf, _ := hashOf(e, nil)
		tree.add(leaf)
	}
	h, err := s.key.sign(0, size, tree.root())
	if err != nil {
		b.Fatal(err)
	}
	s.heads = []Head{h}
	c := s.write(b)
	b.ResetTimer()
	for range b.N {
		if got, err := c.Verify(0, 0, s.verifiers(b)); err != nil || len(got.Findings) > 0 {
			b.Fatal(got, err)
		}
	}
	b.ReportMetric(float64(size)*float64(b.N)/b.Elapsed().Seconds(), "entries/s")
}
