package audit

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"strconv"

	cosignature "github.com/transparency-dev/formats/note"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"cpis/connectors"
)

// Witness holds each head of a log against the one it saw before, and signs it where
// the log only grew. What it saw stands in a folder, as "N.checkpoint", and outlives
// it: a broker that tells it another history later is found out.
type Witness struct {
	Remote
	Verifiers Verifiers
	Dir       *os.Root
	signer    *cosignature.Signer
}

// NewWitness reads a witness's key pair, made by GenerateKey.
func NewWitness(r Remote, keyFile string, v Verifiers, dir *os.Root) (*Witness, error) {
	private, public, err := readKey(keyFile)
	if err != nil {
		return nil, err
	}
	signer, err := cosignature.NewSignerForCosignatureV1(private)
	if err != nil {
		return nil, fmt.Errorf("read witness key: %w", err)
	}
	own, err := witnessVerifier(public)
	if err != nil {
		return nil, err
	}
	v.witnesses = append(v.witnesses, own)
	return &Witness{r, v, dir, signer}, nil
}

// ForkError means that a log was not merely added to: two heads that its key signed
// cannot both be true.
type ForkError struct {
	Log      int
	Old, New Head
	Why      string
}

func (e *ForkError) Error() string {
	return fmt.Sprintf("log %d is not what it was: %s (%d entries seen before, %d now)", e.Log, e.Why, e.Old.Size, e.New.Size)
}

// Look looks at one log, once. It answers the head that it signed. A *ForkError is a
// finding: both heads stand in the folder, and are evidence to whoever holds the log's
// public key.
func (w *Witness) Look(ctx context.Context, partition int) (Head, error) {
	seen, err := w.seen(partition)
	if err != nil {
		return Head{}, err
	}
	h, err := w.Head(ctx, w.Verifiers, partition)
	if err != nil {
		return Head{}, err
	}
	if h.Size < seen.Size {
		return h, w.found(&ForkError{partition, seen, h, "entries that were signed are gone"})
	}
	if h.Size == 0 {
		return h, nil
	}
	if err := w.grew(ctx, seen, h); err != nil {
		var fork *ForkError
		if errors.As(err, &fork) {
			return h, w.found(fork)
		}
		return h, err
	}
	n, err := note.Open([]byte(h.Note), note.VerifierList(w.Verifiers.log))
	if err != nil {
		return h, err
	}
	signed, err := note.Sign(n, w.signer)
	if err != nil {
		return h, fmt.Errorf("sign checkpoint: %w", err)
	}
	h.Note = string(signed)
	if err := connectors.WriteWhole(w.Dir, checkpointName(partition), signed); err != nil {
		return h, err
	}
	if _, err = w.call(ctx, http.MethodPost, signed, maxListing, strconv.Itoa(partition), "cosignature"); err != nil {
		return h, fmt.Errorf("signed %d entries of log %d, and the signature was not taken: %w", h.Size, partition, err)
	}
	return h, nil
}

// grew proves that the new tree holds the old one as its beginning.
func (w *Witness) grew(ctx context.Context, old, now Head) error {
	if old.Size == 0 {
		return nil
	}
	if old.Size == now.Size {
		if old.Root != now.Root {
			return &ForkError{now.Log, old, now, "the same number of entries, and others"}
		}
		return nil
	}
	hashes := w.Hashes(ctx, now)
	proof, err := tlog.ProveTree(now.Size, old.Size, hashes)
	if err != nil {
		return fmt.Errorf("ask for a proof: %w", err)
	}
	if tlog.CheckTree(proof, now.Size, now.Root, old.Size, old.Root) != nil {
		return &ForkError{now.Log, old, now, "its first entries are others"}
	}
	return nil
}

func checkpointName(partition int) string { return strconv.Itoa(partition) + ".checkpoint" }

func (w *Witness) seen(partition int) (Head, error) {
	text, err := w.Dir.ReadFile(checkpointName(partition))
	if errors.Is(err, fs.ErrNotExist) {
		return Head{Log: partition}, nil
	}
	if err != nil {
		return Head{}, fmt.Errorf("read what was seen: %w", err)
	}
	return w.Verifiers.Open(partition, string(text))
}

// found keeps the evidence.
func (w *Witness) found(e *ForkError) error {
	err := connectors.WriteWhole(w.Dir, strconv.Itoa(e.Log)+".fork", []byte(e.New.Note))
	return errors.Join(e, err)
}
