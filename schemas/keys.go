package schemas

import (
	"encoding/hex"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"sync"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/prf"
	"github.com/tink-crypto/tink-go/v2/tink"
)

// Key sets of the key folder, Tink keysets in JSON, "NAME.json"; a cluster needs the
// last only where authorities stream. Whoever holds the subject keys can tell which
// pseudonym is whose. What travels sealed has keys by what it is: those of an
// authority, la/CODE, seal its plans, notices, files and what outcomes say of its plans,
// so that all of it can be destroyed at once.
const (
	KeysSubject      = "subject"      // pseudonyms of NHS numbers
	KeysEvent        = "event"        // ids; never changed, for a retry must get the id it had
	KeysIndex        = "index"        // the index in Redis
	KeysRegistration = "registration" // who was registered; of use for a day
	KeysActor        = "actor"        // who looked and who acted
	KeysQuarantine   = "quarantine"   // messages that were not taken
	KeysUpdate       = "update"       // opens what authorities stream
	keysAuthority    = "la/"          // and the code of the authority
)

// idBytes is the length of ids and pseudonyms: 128 bits.
const idBytes = 16

// Keyring holds the keys that turn a person into a pseudonym and seal what is
// known of them. Safe for concurrent use; keys that are added to the folder or taken
// out of it are noticed within seconds.
type Keyring struct {
	dir            string
	create         bool
	subject, event *keyFile[*prf.Set]
	boxes          map[string]*keyFile[tink.AEAD] // of the fixed names
	authorities    sync.Map                       // of AuthorityCode to *keyFile[tink.AEAD]
	update         *keyFile[updateKeys]
	inner          map[string]*sealedSchema
}

// OpenKeyring reads the key sets of a folder. With create, missing ones
// are made first: right for development and embedded systems, whose keys live
// beside their data; a cluster's keys are handed to every process instead.
func OpenKeyring(dir string, create bool) (*Keyring, error) {
	k := &Keyring{dir: dir, create: create, boxes: map[string]*keyFile[tink.AEAD]{}}
	var err error
	if k.inner, err = sealedSchemas(); err != nil {
		return nil, err
	}
	k.subject, k.event = k.prfFile(KeysSubject), k.prfFile(KeysEvent)
	for _, f := range []*keyFile[*prf.Set]{k.subject, k.event} {
		if _, err := f.look(create); err != nil {
			return nil, err
		}
	}
	for _, name := range []string{KeysIndex, KeysRegistration, KeysActor, KeysQuarantine} {
		k.boxes[name] = k.boxFile(name)
		if _, err := k.boxes[name].look(create); err != nil {
			return nil, err
		}
	}
	k.update = &keyFile[updateKeys]{name: k.file(KeysUpdate), template: updateTemplate(), make: newUpdateKeys}
	if _, err := k.update.look(create); err != nil && !errors.Is(err, ErrDestroyed) {
		return nil, err
	}
	return k, nil
}

func (k *Keyring) file(name string) string { return keySetFile(k.dir, name) }

func keySetFile(dir, name string) string {
	return filepath.Join(dir, filepath.FromSlash(name)+".json")
}

func (k *Keyring) prfFile(name string) *keyFile[*prf.Set] {
	return &keyFile[*prf.Set]{name: k.file(name), template: prf.HMACSHA256PRFKeyTemplate(), make: prf.NewPRFSet, keep: true}
}

func (k *Keyring) boxFile(name string) *keyFile[tink.AEAD] {
	return &keyFile[tink.AEAD]{name: k.file(name), template: aead.AES256GCMKeyTemplate(), make: func(h *keyset.Handle) (tink.AEAD, error) { return aead.New(h) }}
}

// box finds the keys that seal; a name that begins with la/ is an authority's.
func (k *Keyring) box(name string) *keyFile[tink.AEAD] {
	if f, ok := k.boxes[name]; ok {
		return f
	}
	if f, ok := k.authorities.Load(name); ok {
		return f.(*keyFile[tink.AEAD])
	}
	f, _ := k.authorities.LoadOrStore(name, k.boxFile(name))
	return f.(*keyFile[tink.AEAD])
}

// AuthorityKeys names the key set of an authority.
func AuthorityKeys(code AuthorityCode) string { return keysAuthority + string(code) }

// encrypt seals with the newest key of a set. A set that an authority does not have yet
// is made where sets may be.
func (k *Keyring) encrypt(name string, plain, aad []byte) ([]byte, error) {
	l, err := k.box(name).get(k.create)
	if err != nil {
		return nil, err
	}
	return l.keys.Encrypt(plain, aad)
}

// decrypt opens with whichever key of a set sealed. Where none fits, the file is looked
// at again: the key may be new.
func (k *Keyring) decrypt(name string, sealed, aad []byte) ([]byte, error) {
	f := k.box(name)
	l, err := f.get(false)
	if err != nil {
		return nil, err
	}
	plain, err := l.keys.Decrypt(sealed, aad)
	if err == nil {
		return plain, nil
	}
	fresh, lookErr := f.look(false)
	if lookErr != nil || fresh.handle == l.handle {
		return nil, errors.Join(err, lookErr)
	}
	return fresh.keys.Decrypt(sealed, aad)
}

// Stale reports whether something was sealed with another key of a set than the one
// that seals now, so that it wants sealing anew before that other key is retired.
func (k *Keyring) Stale(authority AuthorityCode, sealed []byte) bool {
	l, err := k.box(AuthorityKeys(authority)).get(false)
	if err != nil || len(sealed) < 5 {
		return false
	}
	primary, err := l.handle.Primary()
	return err == nil && fmt.Sprintf("%08x", primary.KeyID()) != hex.EncodeToString(sealed[1:5])
}

// Enrolled reports whether there are keys for an authority, or whether they may be made.
func (k *Keyring) Enrolled(authority AuthorityCode) bool {
	_, err := k.box(AuthorityKeys(authority)).get(false)
	return err == nil || k.create
}

// Sealing names the keys with which an authority's records are written now.
func (k *Keyring) Sealing(authority AuthorityCode) string {
	l, err := k.box(AuthorityKeys(authority)).get(false)
	if err != nil {
		return ""
	}
	primary, err := l.handle.Primary()
	if err != nil {
		return ""
	}
	return fmt.Sprintf("%08x/%08x", k.subjects().PrimaryID, primary.KeyID())
}

// SubjectRef is the pseudonym of an NHS number.
func (k *Keyring) SubjectRef(n NHSNumber) SubjectRef {
	if n.IsZero() {
		return ""
	}
	return k.ref("nhs", n.Reveal())
}

// FormerRefs are the other pseudonyms that an NHS number has had, and still has in
// records that were not rewritten since the subject keys changed.
func (k *Keyring) FormerRefs(n NHSNumber) []SubjectRef {
	set := k.subjects()
	if n.IsZero() || len(set.PRFs) == 1 {
		return nil
	}
	var out []SubjectRef
	for id, key := range set.PRFs {
		if id != set.PrimaryID {
			out = append(out, refOf(id, key, "nhs", n.Reveal()))
		}
	}
	return out
}

// Current reports whether a pseudonym is of the newest subject key.
func (k *Keyring) Current(ref SubjectRef) bool {
	return len(ref) > 8 && string(ref[:8]) == fmt.Sprintf("%08x", k.subjects().PrimaryID)
}

// LocalRef is the pseudonym of a sender's own patient number: it orders the
// events of a person without an NHS number, and matches nothing.
func (k *Keyring) LocalRef(feed, localID string) SubjectRef { return k.ref("local", feed, localID) }

func (k *Keyring) ref(parts ...string) SubjectRef {
	set := k.subjects()
	return refOf(set.PrimaryID, set.PRFs[set.PrimaryID], parts...)
}

func refOf(id uint32, key prf.PRF, parts ...string) SubjectRef {
	return SubjectRef(fmt.Sprintf("%08x-%s", id, digest(key, parts)))
}

func (k *Keyring) subjects() *prf.Set { return setOf(k.subject) }
func (k *Keyring) events() *prf.Set   { return setOf(k.event) }

// setOf gives keys that are there for as long as the process is.
func setOf(f *keyFile[*prf.Set]) *prf.Set {
	l, err := f.get(false)
	if err != nil {
		l = f.now.Load()
	}
	return l.keys
}

// Block is the pseudonym of something that people share, such as a date of
// birth or a postcode: a key under which they are looked for.
func (k *Keyring) Block(text string) [16]byte {
	set := k.subjects()
	return blockOf(set.PRFs[set.PrimaryID], text)
}

// FormerBlocks are those it has in an index that was built before the subject keys
// changed.
func (k *Keyring) FormerBlocks(text string) [][16]byte {
	set := k.subjects()
	var out [][16]byte
	for id, key := range set.PRFs {
		if id != set.PrimaryID {
			out = append(out, blockOf(key, text))
		}
	}
	return out
}

func blockOf(key prf.PRF, text string) [16]byte {
	return [16]byte(derive(key, append([]byte("block:"), text...)))
}

// ID derives a 128-bit id, in hex, from what it names. The same parts give the
// same id in every process that holds the key, and no one else can derive it.
func (k *Keyring) ID(parts ...string) string {
	set := k.events()
	return digest(set.PRFs[set.PrimaryID], parts)
}

// digest hashes parts with their lengths in front, so that no two lists of
// parts read alike.
func digest(key prf.PRF, parts []string) string {
	in := make([]byte, 0, 256)
	for _, p := range parts {
		in = append(append(strconv.AppendInt(in, int64(len(p)), 10), ':'), p...)
	}
	return hex.EncodeToString(derive(key, in))
}

func derive(key prf.PRF, in []byte) []byte {
	sum, err := key.ComputePRF(in, idBytes)
	if err != nil {
		panic(fmt.Sprintf("derive id: %v", err)) // only for an output length the key cannot give
	}
	return sum
}

// SealIndex seals a value of the Redis index.
func (k *Keyring) SealIndex(aad, plain []byte) ([]byte, error) {
	return k.encrypt(KeysIndex, plain, aad)
}

// OpenIndex opens a value of the Redis index; any change to it or to aad is an
// error.
func (k *Keyring) OpenIndex(aad, sealed []byte) ([]byte, error) {
	return k.decrypt(KeysIndex, sealed, aad)
}
