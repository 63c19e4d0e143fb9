package schemas

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/prf"
	tinkpb "github.com/tink-crypto/tink-go/v2/proto/tink_go_proto"
	"github.com/tink-crypto/tink-go/v2/tink"
)

// Key set files in the key folder, Tink keysets in JSON; a cluster needs the last
// only where authorities stream. Whoever holds
// subject.json can tell which pseudonym is whose; whoever holds person.json
// can open what travels sealed; index.json opens the Redis index.
const (
	subjectKeyFile = "subject.json"
	eventKeyFile   = "event.json"
	personKeyFile  = "person.json"
	indexKeyFile   = "index.json"
	updateKeyFile  = "update.json" // opens what authorities stream
)

// idBytes is the length of ids and pseudonyms: 128 bits.
const idBytes = 16

// Keyring holds the keys that turn a person into a pseudonym and seal what is
// known of them. Safe for concurrent use.
type Keyring struct {
	subject, event *prf.Set
	person, index  tink.AEAD
	update         tink.HybridDecrypt // nil where there is no key set for it
	updatePublic   []byte
	inner          map[string]*sealedSchema
}

// OpenKeyring reads the key sets of a folder. With create, missing ones
// are made first: right for development and embedded systems, whose keys live
// beside their data; a cluster's keys are handed to every process instead.
func OpenKeyring(dir string, create bool) (*Keyring, error) {
	k := &Keyring{}
	var err error
	if k.inner, err = sealedSchemas(); err != nil {
		return nil, err
	}
	for file, set := range map[string]**prf.Set{subjectKeyFile: &k.subject, eventKeyFile: &k.event} {
		h, err := openKeyset(filepath.Join(dir, file), prf.HMACSHA256PRFKeyTemplate(), create)
		if err != nil {
			return nil, err
		}
		if *set, err = prf.NewPRFSet(h); err != nil {
			return nil, fmt.Errorf("open key set %s: %w", file, err)
		}
	}
	for file, box := range map[string]*tink.AEAD{personKeyFile: &k.person, indexKeyFile: &k.index} {
		h, err := openKeyset(filepath.Join(dir, file), aead.AES256GCMKeyTemplate(), create)
		if err != nil {
			return nil, err
		}
		if *box, err = aead.New(h); err != nil {
			return nil, fmt.Errorf("open key set %s: %w", file, err)
		}
	}
	if err := k.openUpdateKeys(dir, create); err != nil {
		return nil, err
	}
	return k, nil
}

func openKeyset(file string, template *tinkpb.KeyTemplate, create bool) (*keyset.Handle, error) {
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) && create {
		return createKeyset(file, template)
	}
	if err != nil {
		return nil, fmt.Errorf("open key set: %w", err)
	}
	h, err := insecurecleartextkeyset.Read(keyset.NewJSONReader(bytes.NewReader(text)))
	if err != nil {
		return nil, fmt.Errorf("read key set %s: %w", filepath.Base(file), err)
	}
	return h, nil
}

// createKeyset writes a new key set under another name and links it into
// place, so that of two processes that start at once one makes the key and
// both use it.
func createKeyset(file string, template *tinkpb.KeyTemplate) (*keyset.Handle, error) {
	h, err := keyset.NewHandle(template)
	if err != nil {
		return nil, fmt.Errorf("make key set: %w", err)
	}
	var text bytes.Buffer
	if err := insecurecleartextkeyset.Write(h, keyset.NewJSONWriter(&text)); err != nil {
		return nil, fmt.Errorf("write key set: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return nil, fmt.Errorf("make key folder: %w", err)
	}
	tmp, err := os.CreateTemp(filepath.Dir(file), ".new-*")
	if err != nil {
		return nil, fmt.Errorf("write key set: %w", err)
	}
	defer func() { _ = os.Remove(tmp.Name()) }()
	_, err = tmp.Write(text.Bytes())
	if err = errors.Join(err, tmp.Sync(), tmp.Close()); err != nil {
		return nil, fmt.Errorf("write key set: %w", err)
	}
	if err := os.Link(tmp.Name(), file); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("write key set: %w", err)
	}
	return openKeyset(file, template, false)
}

// SubjectRef is the pseudonym of an NHS number.
func (k *Keyring) SubjectRef(n NHSNumber) SubjectRef {
	if n.IsZero() {
		return ""
	}
	return k.ref("nhs", n.Reveal())
}

// LocalRef is the pseudonym of a sender's own patient number: it orders the
// events of a person without an NHS number, and matches nothing.
func (k *Keyring) LocalRef(feed, localID string) SubjectRef { return k.ref("local", feed, localID) }

func (k *Keyring) ref(parts ...string) SubjectRef {
	return SubjectRef(fmt.Sprintf("%08x-%s", k.subject.PrimaryID, digest(k.subject, parts)))
}

// Block is the pseudonym of something that people share, such as a date of
// birth or a postcode: a key under which they are looked for.
func (k *Keyring) Block(text string) [16]byte {
	var out [16]byte
	sum, err := k.subject.ComputePrimaryPRF(append([]byte("block:"), text...), uint32(len(out)))
	if err != nil {
		panic(fmt.Sprintf("derive block: %v", err)) // only for an output length the key cannot give
	}
	copy(out[:], sum)
	return out
}

// ID derives a 128-bit id, in hex, from what it names. The same parts give the
// same id in every process that holds the key, and no one else can derive it.
func (k *Keyring) ID(parts ...string) string { return digest(k.event, parts) }

// digest hashes parts with their lengths in front, so that no two lists of
// parts read alike.
func digest(set *prf.Set, parts []string) string {
	in := make([]byte, 0, 256)
	for _, p := range parts {
		in = append(append(strconv.AppendInt(in, int64(len(p)), 10), ':'), p...)
	}
	sum, err := set.ComputePrimaryPRF(in, idBytes)
	if err != nil {
		panic(fmt.Sprintf("derive id: %v", err)) // only for an output length the key cannot give
	}
	return hex.EncodeToString(sum)
}

// SealIndex seals a value of the Redis index.
func (k *Keyring) SealIndex(aad, plain []byte) ([]byte, error) { return k.index.Encrypt(plain, aad) }

// OpenIndex opens a value of the Redis index; any change to it or to aad is an
// error.
func (k *Keyring) OpenIndex(aad, sealed []byte) ([]byte, error) { return k.index.Decrypt(sealed, aad) }
