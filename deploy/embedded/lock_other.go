//go:build !(linux || darwin || freebsd)

package embedded

import (
	"errors"
	"os"
)

// errNoLock is returned where this package has no safe way to keep a second process out.
var errNoLock = errors.New("keep data in a directory: not supported on this operating system: run without one")

func lockDir(string) (*os.File, error) { return nil, errNoLock }

func freeSpace(string) (uint64, error) { return 0, errNoLock }
