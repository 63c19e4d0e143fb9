package schemas

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/prf"
	tinkpb "github.com/tink-crypto/tink-go/v2/proto/tink_go_proto"
)

// KeyFolder is the key folder as an operator works on it. A key is changed in four
// steps, with time between them for every process to learn of each:
//
//	Add      a further key, with which nothing is sealed yet; hand the file to every process
//	Promote  it seals from now on; what older ones sealed still opens
//	         records that stay are written anew by the process that owns them
//	Retire   an older key is taken out: what only it sealed can be read no more
//	Destroy  the whole set is taken out, and with it everything it sealed
type KeyFolder struct{ Dir string }

// KeyInfo is one key of a set. It says nothing about the key itself.
type KeyInfo struct {
	Set     string `json:"set"`
	ID      string `json:"id"` // eight hex digits, which stand in front of what it made
	Primary bool   `json:"primary"`
}

// FixedKeySets are the sets that every broker has.
func FixedKeySets() []string {
	return []string{KeysSubject, KeysEvent, KeysIndex, KeysRegistration, KeysActor, KeysQuarantine, KeysUpdate}
}

// ErrKeySet means that a set does not exist, or may not be changed in this way.
var ErrKeySet = errors.New("key set")

func templateOf(set string) (*tinkpb.KeyTemplate, error) {
	switch set {
	case KeysSubject, KeysEvent:
		return prf.HMACSHA256PRFKeyTemplate(), nil
	case KeysUpdate:
		return updateTemplate(), nil
	case KeysIndex, KeysRegistration, KeysActor, KeysQuarantine:
		return aead.AES256GCMKeyTemplate(), nil
	}
	if code, ok := strings.CutPrefix(set, keysAuthority); ok && AuthorityCode(code).Valid() {
		return aead.AES256GCMKeyTemplate(), nil
	}
	return nil, fmt.Errorf("%w: %q is none of %s and %sCODE", ErrKeySet, set, strings.Join(FixedKeySets(), ", "), keysAuthority)
}

// Sets lists the key sets that are there.
func (f KeyFolder) Sets() ([]string, error) {
	var out []string
	err := filepath.WalkDir(f.Dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(f.Dir, strings.TrimSuffix(path, ".json"))
		name = filepath.ToSlash(name)
		if _, none := templateOf(name); err == nil && none == nil && strings.HasSuffix(path, ".json") {
			out = append(out, name)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list key sets: %w", err)
	}
	slices.Sort(out)
	return out, nil
}

// Keys lists the keys of a set, the oldest first.
func (f KeyFolder) Keys(set string) ([]KeyInfo, error) {
	h, err := f.read(set)
	if err != nil {
		return nil, err
	}
	var out []KeyInfo
	for i := range h.Len() {
		e, err := h.Entry(i)
		if err != nil {
			return nil, fmt.Errorf("read key set %s: %w", set, err)
		}
		out = append(out, KeyInfo{set, idText(e.KeyID()), e.IsPrimary()})
	}
	return out, nil
}

func idText(id uint32) string { return fmt.Sprintf("%08x", id) }

func (f KeyFolder) read(set string) (*keyset.Handle, error) {
	if _, err := templateOf(set); err != nil {
		return nil, err
	}
	h, err := readKeyset(keySetFile(f.Dir, set))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %s does not exist here", ErrKeySet, set)
	}
	return h, err
}

// Make makes sets that are not there yet, and gives the names of those it made.
func (f KeyFolder) Make(sets ...string) ([]string, error) {
	var made []string
	for _, set := range sets {
		template, err := templateOf(set)
		if err != nil {
			return made, err
		}
		file := keySetFile(f.Dir, set)
		if _, err := os.Stat(file); err == nil {
			continue
		}
		if _, err := createKeyset(file, template); err != nil {
			return made, err
		}
		made = append(made, set)
	}
	return made, nil
}

// change rewrites a set.
func (f KeyFolder) change(set string, do func(*keyset.Manager) error) error {
	h, err := f.read(set)
	if err != nil {
		return err
	}
	if set == KeysEvent {
		return fmt.Errorf("%w: %s is never changed: a message sent again must get the id it had", ErrKeySet, set)
	}
	m := keyset.NewManagerFromHandle(h)
	if err := do(m); err != nil {
		return fmt.Errorf("change key set %s: %w", set, err)
	}
	if h, err = m.Handle(); err != nil {
		return fmt.Errorf("change key set %s: %w", set, err)
	}
	file := keySetFile(f.Dir, set)
	return writeKeyset(file, h, func(tmp string) error {
		old := file + ".old"
		if err := errors.Join(os.Link(file, old), os.Rename(tmp, file)); err != nil {
			return err
		}
		return overwrite(old) // it may hold a key that is retired
	})
}

// Add adds a key and gives its id. It seals nothing until it is promoted.
func (f KeyFolder) Add(set string) (id string, err error) {
	template, err := templateOf(set)
	if err != nil {
		return "", err
	}
	err = f.change(set, func(m *keyset.Manager) error {
		n, err := m.Add(template)
		id = idText(n)
		return err
	})
	return id, err
}

// Promote makes a key the one that seals.
func (f KeyFolder) Promote(set, id string) error {
	n, err := f.find(set, id)
	if err != nil {
		return err
	}
	return f.change(set, func(m *keyset.Manager) error { return m.SetPrimary(n) })
}

// Retire takes a key out of a set. The one that seals cannot be.
func (f KeyFolder) Retire(set, id string) error {
	n, err := f.find(set, id)
	if err != nil {
		return err
	}
	return f.change(set, func(m *keyset.Manager) error { return m.Delete(n) })
}

// Destroy takes a whole set out: only authorities' can be, for without the others
// nothing works.
func (f KeyFolder) Destroy(set string) error {
	if _, err := f.read(set); err != nil {
		return err
	}
	if !strings.HasPrefix(set, keysAuthority) {
		return fmt.Errorf("%w: %s is needed for everything; only keys of it can be retired", ErrKeySet, set)
	}
	return overwrite(keySetFile(f.Dir, set))
}

// overwrite makes a file's content unreadable before it is removed, as far as the disk
// lets that be done from here.
func overwrite(file string) error {
	info, err := os.Stat(file)
	if err != nil {
		return fmt.Errorf("destroy keys: %w", err)
	}
	f, err := os.OpenFile(file, os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("destroy keys: %w", err)
	}
	_, err = f.Write(make([]byte, info.Size()))
	if err = errors.Join(err, f.Sync(), f.Close(), os.Remove(file)); err != nil {
		return fmt.Errorf("destroy keys: %w", err)
	}
	return nil
}

func (f KeyFolder) find(set, id string) (uint32, error) {
	n, err := strconv.ParseUint(id, 16, 32)
	if err != nil {
		return 0, fmt.Errorf("%w: %q is no key id", ErrKeySet, id)
	}
	keys, err := f.Keys(set)
	if err != nil {
		return 0, err
	}
	if !slices.ContainsFunc(keys, func(k KeyInfo) bool { return k.ID == idText(uint32(n)) }) {
		return 0, fmt.Errorf("%w: %s has no key %s", ErrKeySet, set, id)
	}
	return uint32(n), nil
}
