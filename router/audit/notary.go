package audit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"cpis/router"
	"cpis/router/topics"
	"cpis/schemas"
)

// How far a signed head may be behind the topic.
const (
	signEvery   = time.Second
	signEntries = 1000
)

const (
	readBytes = 4 << 20
	retryWait = time.Second
)

// Notary follows the audit topic and signs its heads. Several may work at once, each
// with a folder of its own: the topic's order is the log's, so that they sign the same.
type Notary struct {
	*router.Publisher
	Client *topics.Client
	Key    *Key
	// Witnesses are public keys of those whose signatures are taken.
	Witnesses []string
	// Dir keeps the trees. It can be made again from the topic for as long as the
	// topic holds its first entries.
	Dir    string
	Logger *slog.Logger

	verifiers Verifiers
	mu        sync.Mutex
	logs      []*logState // by partition; guarded by mu, as are their heads
}

// logState is one partition's log.
type logState struct {
	partition int
	tree      *Tree
	head      Head // newest that was signed
	cosigned  Head // newest that witnesses signed
	broken    schemas.Code
}

// State is what is told of a log.
type State struct {
	Log      int          `json:"log"`
	Origin   string       `json:"origin"`
	Size     int64        `json:"size"`
	Cosigned int64        `json:"cosigned"`         // size of the newest head that a witness signed
	Broken   schemas.Code `json:"broken,omitempty"` // why no head is signed any more
}

// Open reads how far the logs are.
func (n *Notary) Open(ctx context.Context) (err error) {
	if n.verifiers, err = NewVerifiers(n.Key.Public, n.Witnesses); err != nil {
		return err
	}
	if err := os.MkdirAll(n.Dir, 0o700); err != nil {
		return fmt.Errorf("open audit log: %w", err)
	}
	partitions, err := n.Client.Partitions(ctx, schemas.TopicAudit)
	if err != nil {
		return fmt.Errorf("open audit log: %w", err)
	}
	for p := range partitions {
		t, err := OpenTree(filepath.Join(n.Dir, strconv.Itoa(p)+".tree"))
		if err != nil {
			return errors.Join(err, n.Close())
		}
		n.logs = append(n.logs, &logState{partition: p, tree: t})
	}
	return nil
}

// Close gives the trees up.
func (n *Notary) Close() error {
	var errs []error
	for _, l := range n.logs {
		errs = append(errs, l.tree.Close())
	}
	return errors.Join(errs...)
}

// Run follows the topic until ctx ends. A log that is not what was signed is signed no
// more; the others go on.
func (n *Notary) Run(ctx context.Context) error {
	var wait sync.WaitGroup
	for _, l := range n.logs {
		wait.Go(func() {
			for ctx.Err() == nil {
				err := n.follow(ctx, l)
				var broken *brokenError
				switch {
				case errors.As(err, &broken):
					n.mu.Lock()
					l.broken = broken.code
					n.mu.Unlock()
					n.Logger.Error("the audit log is signed no more", "code", broken.code, "partition", l.partition, "error", err)
					return
				case ctx.Err() == nil:
					n.Logger.Warn("the audit log cannot be followed, trying again", "partition", l.partition, "error", err)
				}
				select {
				case <-time.After(retryWait):
				case <-ctx.Done():
				}
			}
		})
	}
	wait.Wait()
	return nil
}

// brokenError means that trying again does not help.
type brokenError struct {
	code schemas.Code
	why  string
}

func (e *brokenError) Error() string { return e.why }

// follow takes in what is added to a partition, and signs.
func (n *Notary) follow(ctx context.Context, l *logState) error {
	if err := n.resume(ctx, l); err != nil {
		return err
	}
	var buffer []byte
	signed := n.Now()
	for {
		wait := signEvery
		if l.tree.Size() > l.head.Size {
			wait = max(0, signEvery-n.Now().Sub(signed))
		}
		b, err := n.Client.Fetch(ctx, schemas.TopicAudit, l.partition, l.tree.Size(), wait, readBytes)
		if err != nil {
			return broken(err, l)
		}
		for _, r := range b.Records {
			var leaf tlog.Hash
			leaf, buffer = hashOf(entryOf(r), buffer)
			if err := l.tree.Add(leaf); err != nil {
				return err
			}
			if l.tree.Size()-l.head.Size >= signEntries {
				if err := n.sign(ctx, l); err != nil {
					return err
				}
				signed = n.Now()
			}
		}
		if l.tree.Size() > l.head.Size && n.Now().Sub(signed) >= signEvery {
			if err := n.sign(ctx, l); err != nil {
				return err
			}
			signed = n.Now()
		}
	}
}

// broken tells errors that mean the topic was cut or has expired unread.
func broken(err error, l *logState) error {
	var cut *topics.TruncatedError
	var gap *topics.GapError
	switch {
	case errors.As(err, &cut):
		return &brokenError{"CPIS-A001", fmt.Sprintf("the topic ends at %d, and entries up to %d were taken in", cut.End, l.tree.Size())}
	case errors.As(err, &gap):
		return &brokenError{"CPIS-A002", fmt.Sprintf("entry %d is gone, and it was not taken in yet", l.tree.Size())}
	}
	return err
}

// resume holds the tree against the newest head that anyone signed with our key. A
// tree that does not agree is made anew once, from the topic.
func (n *Notary) resume(ctx context.Context, l *logState) error {
	heads, err := Heads(ctx, n.Publisher.Codec, n.Client, n.verifiers)
	if err != nil {
		return err
	}
	newest := heads[l.partition]
	n.mu.Lock()
	l.head, l.cosigned = newest.Signed, newest.Cosigned
	n.mu.Unlock()
	for fresh := false; ; fresh = true {
		if err := n.catchUp(ctx, l, l.head.Size); err != nil {
			return err
		}
		root, err := l.tree.Root(l.head.Size)
		if err == nil && (root == l.head.Root || l.head.Size == 0) {
			return nil
		}
		if fresh {
			return &brokenError{"CPIS-A001", fmt.Sprintf("the first %d entries are not those that were signed", l.head.Size)}
		}
		if err := l.tree.Reset(); err != nil {
			return err
		}
	}
}

// catchUp takes in entries until there are as many as a head has.
func (n *Notary) catchUp(ctx context.Context, l *logState, size int64) error {
	var buffer []byte
	err := n.Client.ReadFrom(ctx, schemas.TopicAudit, l.partition, l.tree.Size(), size, func(batch []topics.Record) error {
		for _, r := range batch {
			var leaf tlog.Hash
			leaf, buffer = hashOf(entryOf(r), buffer)
			if err := l.tree.Add(leaf); err != nil {
				return err
			}
		}
		return l.tree.Flush()
	})
	return broken(err, l)
}

// sign signs what the tree holds, and publishes it.
func (n *Notary) sign(ctx context.Context, l *logState) error {
	if err := l.tree.Flush(); err != nil {
		return err
	}
	root, err := l.tree.Root(l.tree.Size())
	if err != nil {
		return err
	}
	h, err := n.Key.sign(l.partition, l.tree.Size(), root)
	if err != nil {
		return err
	}
	if err := n.publish(ctx, h, ""); err != nil {
		return err
	}
	n.mu.Lock()
	l.head = h
	n.mu.Unlock()
	return nil
}

// cosignedSuffix sets the newest head that witnesses signed apart from the newest.
const cosignedSuffix = "#cosigned"

func (n *Notary) publish(ctx context.Context, h Head, suffix string) error {
	id := origin(n.Key.Name, h.Log) + suffix
	r, err := n.State(schemas.TopicCheckpoint, []byte(id), fmt.Sprintf("%s@%d", id, h.Size),
		schemas.Checkpoint{LogID: id, Size: h.Size, RootHash: h.Root[:], Note: h.Note, At: n.Now().UTC().Truncate(time.Millisecond)})
	if err != nil {
		return err
	}
	if err := n.Log.Produce(ctx, r); err != nil {
		return fmt.Errorf("publish checkpoint: %w", err)
	}
	return nil
}

// Newest are the heads of one log that stand on the checkpoint topic.
type Newest struct{ Signed, Cosigned Head }

// Heads reads the newest heads of every log from the checkpoint topic. One that does
// not open is not ours.
func Heads(ctx context.Context, codec *schemas.Codec, c *topics.Client, v Verifiers) (map[int]Newest, error) {
	out := map[int]Newest{}
	err := router.ReadSince(ctx, c, schemas.TopicCheckpoint, time.Time{}, func(r topics.Record) error {
		var point schemas.Checkpoint
		if err := codec.Decode(ctx, schemas.TopicCheckpoint, r.Value, &point); err != nil {
			return err
		}
		for p := range maxLogs {
			id := origin(v.log.Name(), p)
			if point.LogID != id && point.LogID != id+cosignedSuffix {
				continue
			}
			h, err := v.Open(p, point.Note)
			if err != nil {
				return fmt.Errorf("read checkpoint of log %d: %w", p, err)
			}
			newest := out[p]
			if point.LogID == id && h.Size >= newest.Signed.Size {
				newest.Signed = h
			}
			if len(h.Cosigners) > 0 && h.Size >= newest.Cosigned.Size {
				newest.Cosigned = h
			}
			out[p] = newest
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read checkpoints: %w", err)
	}
	return out, nil
}

// maxLogs is how many partitions the audit topic may have.
const maxLogs = 64

// ErrNotOurs means that a cosignature is not of a head of this log.
var ErrNotOurs = errors.New("no head of this log, or not signed by a witness whose public key stands under audit.witnesses")

// Cosign takes a head that a witness signed.
func (n *Notary) Cosign(ctx context.Context, partition int, text string) error {
	l := n.log(partition)
	if l == nil {
		return ErrNotOurs
	}
	h, err := n.verifiers.Open(partition, text)
	if err != nil || len(h.Cosigners) == 0 {
		return ErrNotOurs
	}
	n.mu.Lock()
	signed, cosigned := l.head, l.cosigned
	n.mu.Unlock()
	if h.Size < cosigned.Size {
		return nil // a newer one is cosigned already
	}
	if root, err := (tlog.TreeHash(h.Size, flushedReader{l.tree.file})); h.Size > signed.Size || err != nil || root != h.Root {
		return ErrNotOurs
	}
	if h.Size == cosigned.Size {
		if h, err = n.joined(cosigned, h); err != nil {
			return err
		}
	}
	if err := n.publish(ctx, h, cosignedSuffix); err != nil {
		return err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	l.cosigned = h
	return nil
}

// joined is a head with the signatures of both.
func (n *Notary) joined(a, b Head) (Head, error) {
	all := note.VerifierList(append(n.verifiers.witnesses, n.verifiers.log)...)
	first, err := note.Open([]byte(a.Note), all)
	if err != nil {
		return Head{}, err
	}
	second, err := note.Open([]byte(b.Note), all)
	if err != nil {
		return Head{}, err
	}
	held := map[uint32]bool{}
	for _, s := range first.Sigs {
		held[s.Hash] = true
	}
	for _, s := range second.Sigs {
		if !held[s.Hash] {
			first.Sigs = append(first.Sigs, s)
		}
	}
	text, err := note.Sign(&note.Note{Text: first.Text, Sigs: first.Sigs})
	if err != nil {
		return Head{}, err
	}
	return n.verifiers.Open(a.Log, string(text))
}

func (n *Notary) log(partition int) *logState {
	if partition < 0 || partition >= len(n.logs) {
		return nil
	}
	return n.logs[partition]
}

// States tells of every log.
func (n *Notary) States() []State {
	n.mu.Lock()
	defer n.mu.Unlock()
	var out []State
	for _, l := range n.logs {
		out = append(out, State{l.partition, origin(n.Key.Name, l.partition), l.head.Size, l.cosigned.Size, l.broken})
	}
	return out
}
