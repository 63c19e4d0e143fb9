package schemas

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
	tinkpb "github.com/tink-crypto/tink-go/v2/proto/tink_go_proto"
)

// ErrDestroyed means that the keys of what is asked for are gone, so that nobody can
// read it any more. It wraps ErrSealed.
var ErrDestroyed = fmt.Errorf("its keys are gone: %w", ErrSealed)

// rereadEvery is how often a key set's file is looked at again: a key that is added is
// known everywhere so long after.
const rereadEvery = 5 * time.Second

// keyFile is one key set of the key folder, read again when its file changes. Safe for
// concurrent use.
type keyFile[T any] struct {
	name     string // of the file
	template *tinkpb.KeyTemplate
	make     func(*keyset.Handle) (T, error)
	keep     bool // a file that is gone leaves the keys as they were

	now atomic.Pointer[loaded[T]]
	mu  sync.Mutex // held while the file is read
}

// loaded is a key set as it was when the file was last read.
type loaded[T any] struct {
	keys    T
	handle  *keyset.Handle
	changed time.Time // of the file
	size    int64
	looked  time.Time
}

// get gives the keys. With create, a missing file is made first.
func (f *keyFile[T]) get(create bool) (*loaded[T], error) {
	if l := f.now.Load(); l != nil && time.Since(l.looked) < rereadEvery {
		return l, nil
	}
	return f.look(create)
}

// look looks at the file. One that is gone is destroyed; one that cannot be read leaves
// the keys as they were, for it may be half written.
func (f *keyFile[T]) look(create bool) (*loaded[T], error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	held := f.now.Load()
	info, err := os.Stat(f.name)
	if errors.Is(err, fs.ErrNotExist) && create {
		if _, err := createKeyset(f.name, f.template); err != nil {
			return nil, err
		}
		info, err = os.Stat(f.name)
	}
	if errors.Is(err, fs.ErrNotExist) && f.keep && held != nil {
		return held, nil
	}
	if errors.Is(err, fs.ErrNotExist) {
		f.now.Store(nil)
		return nil, fmt.Errorf("key set %s: %w", filepath.Base(f.name), ErrDestroyed)
	}
	if err != nil {
		return nil, fmt.Errorf("open key set: %w", err)
	}
	next := &loaded[T]{changed: info.ModTime(), size: info.Size(), looked: time.Now()}
	if held != nil && held.changed.Equal(next.changed) && held.size == next.size {
		next.keys, next.handle = held.keys, held.handle
		f.now.Store(next)
		return next, nil
	}
	if next.handle, err = readKeyset(f.name); err == nil {
		next.keys, err = f.make(next.handle)
	}
	if err != nil && held != nil {
		return held, nil
	}
	if err != nil {
		return nil, fmt.Errorf("open key set %s: %w", filepath.Base(f.name), err)
	}
	f.now.Store(next)
	return next, nil
}

func readKeyset(file string) (*keyset.Handle, error) {
	text, err := os.ReadFile(file)
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
	err = writeKeyset(file, h, func(tmp string) error {
		if err := os.Link(tmp, file); !errors.Is(err, fs.ErrExist) {
			return err
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return readKeyset(file)
}

// writeKeyset writes a key set to a temporary file, and has it put into place.
func writeKeyset(file string, h *keyset.Handle, place func(tmp string) error) error {
	var text bytes.Buffer
	if err := insecurecleartextkeyset.Write(h, keyset.NewJSONWriter(&text)); err != nil {
		return fmt.Errorf("write key set: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return fmt.Errorf("make key folder: %w", err)
	}
	tmp, err := os.CreateTemp(filepath.Dir(file), ".new-*")
	if err != nil {
		return fmt.Errorf("write key set: %w", err)
	}
	defer func() { _ = os.Remove(tmp.Name()) }()
	_, err = tmp.Write(text.Bytes())
	if err = errors.Join(err, tmp.Sync(), tmp.Close()); err == nil {
		err = place(tmp.Name())
	}
	if err != nil {
		return fmt.Errorf("write key set: %w", err)
	}
	return nil
}
