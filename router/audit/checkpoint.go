package audit

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"crypto/rand"

	"github.com/transparency-dev/formats/log"
	cosignature "github.com/transparency-dev/formats/note"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"cpis/schemas"
)

// Head says how a log stood: how many entries it had, and the root of their tree.
type Head struct {
	Log  int // partition of the audit topic
	Size int64
	Root tlog.Hash
	// Note is the signed text (C2SP tlog-checkpoint) with all its signatures.
	Note string
	// Cosigners are the witnesses among those asked for who signed it.
	Cosigners []string
}

// origin names a log: no two in the world may share one.
func origin(name string, partition int) string {
	return fmt.Sprintf("%s/%s/%d", name, schemas.TopicAudit, partition)
}

// Key signs heads.
type Key struct {
	Name   string
	Public string // verifier key, to be given to whoever verifies
	signer note.Signer
}

const keyFile = "audit.key"

// GenerateKey writes a key pair to a file that is not there yet: the private key on
// the first line, the public one on the second. A witness uses the same form.
func GenerateKey(file, name string) error {
	private, public, err := note.GenerateKey(rand.Reader, name)
	if err != nil {
		return fmt.Errorf("make audit key: %w", err)
	}
	f, err := os.OpenFile(file, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("make audit key: %w", err)
	}
	_, err = fmt.Fprintf(f, "%s\n%s\n", private, public)
	return errors.Join(err, f.Sync(), f.Close())
}

func readKey(file string) (private, public string, err error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return "", "", fmt.Errorf("read audit key: %w", err)
	}
	lines := strings.Fields(string(text))
	if len(lines) != 2 {
		return "", "", fmt.Errorf("read audit key: %s holds no key pair", filepath.Base(file))
	}
	return lines[0], lines[1], nil
}

// PublicKey is the public key of a key pair.
func PublicKey(file string) (string, error) {
	_, public, err := readKey(file)
	return public, err
}

// OpenKey reads the signing key of a key folder. With create, a missing one is made
// under a name.
func OpenKey(dir, name string, create bool) (*Key, error) {
	file := filepath.Join(dir, keyFile)
	if _, err := os.Stat(file); errors.Is(err, fs.ErrNotExist) && create {
		if err := GenerateKey(file, name); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, err
		}
	}
	private, public, err := readKey(file)
	if err != nil {
		return nil, err
	}
	signer, err := note.NewSigner(private)
	if err != nil {
		return nil, fmt.Errorf("read audit key: %w", err)
	}
	return &Key{signer.Name(), public, signer}, nil
}

// sign makes a checkpoint.
func (k *Key) sign(partition int, size int64, root tlog.Hash) (Head, error) {
	text := log.Checkpoint{Origin: origin(k.Name, partition), Size: uint64(size), Hash: root[:]}.Marshal()
	signed, err := note.Sign(&note.Note{Text: string(text)}, k.signer)
	if err != nil {
		return Head{}, fmt.Errorf("sign checkpoint: %w", err)
	}
	return Head{Log: partition, Size: size, Root: root, Note: string(signed)}, nil
}

// Verifiers are the keys a head is held against.
type Verifiers struct {
	log       note.Verifier
	witnesses []note.Verifier
}

// NewVerifiers reads the log's public key and those of witnesses, as `cpis audit key`
// prints them.
func NewVerifiers(public string, witnesses []string) (Verifiers, error) {
	var v Verifiers
	var err error
	if v.log, err = note.NewVerifier(strings.TrimSpace(public)); err != nil {
		return v, fmt.Errorf("read public key of the log: %w", err)
	}
	v.witnesses, err = WitnessKeys(witnesses)
	return v, err
}

// WitnessKeys reads public keys of witnesses.
func WitnessKeys(public []string) ([]note.Verifier, error) {
	var out []note.Verifier
	for _, p := range public {
		v, err := witnessVerifier(strings.TrimSpace(p))
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, nil
}

// witnessVerifier reads a witness's public key: an Ed25519 one, which it uses for
// cosignatures (C2SP tlog-cosignature v1).
func witnessVerifier(public string) (note.Verifier, error) {
	key, err := cosignature.VKeyToCosignatureV1(public)
	if err != nil {
		return nil, fmt.Errorf("read public key of a witness: %w", err)
	}
	v, err := cosignature.NewVerifierForCosignatureV1(key)
	if err != nil {
		return nil, fmt.Errorf("read public key of a witness: %w", err)
	}
	return v, nil
}

// Which says which of the key's logs a checkpoint is of.
func (v Verifiers) Which(text string) (int, error) {
	var c log.Checkpoint
	if _, err := c.Unmarshal([]byte(text)); err == nil {
		for p := range maxLogs {
			if c.Origin == origin(v.log.Name(), p) {
				return p, nil
			}
		}
	}
	return 0, errors.New("no head of a log of this key")
}

// Open reads a checkpoint of a log: it must be that log's, and signed by its key.
func (v Verifiers) Open(partition int, text string) (Head, error) {
	c, _, n, err := log.ParseCheckpoint([]byte(text), origin(v.log.Name(), partition), v.log, v.witnesses...)
	if err != nil {
		return Head{}, fmt.Errorf("open checkpoint: %w", err)
	}
	if len(c.Hash) != tlog.HashSize || c.Size > 1<<62 {
		return Head{}, errors.New("open checkpoint: no head of an audit log")
	}
	h := Head{Log: partition, Size: int64(c.Size), Root: tlog.Hash(c.Hash), Note: text}
	for _, s := range n.Sigs {
		if s.Name != v.log.Name() || s.Hash != v.log.KeyHash() {
			h.Cosigners = append(h.Cosigners, s.Name)
		}
	}
	return h, nil
}
