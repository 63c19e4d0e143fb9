package embedded

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"
)

var (
	// ErrInUse says that another process has the data directory open.
	ErrInUse = errors.New("in use by another running process: stop that one first or name another directory")
	// ErrDiskFull says that records are refused because the disk has too little room.
	ErrDiskFull = errors.New("too little free disk space: free some and records are accepted again")
	// ErrWriteFailed says that a record could not be written. It stays until a restart, because kfake's memory and
	// the disk no longer agree.
	ErrWriteFailed = errors.New("a record could not be written to disk: repair the disk, then restart")
)

// checkDiskEvery is the time between two looks at the disk.
const checkDiskEvery = 2 * time.Second

// health is what stands against accepting records. The zero value is healthy.
type health struct {
	mu     sync.Mutex
	failed error // set once by a failed write, never cleared
	disk   error // set and cleared by the disk watch
}

// err is nil, or the reason why records are refused.
func (h *health) err() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.failed != nil {
		return h.failed
	}
	return h.disk
}

// writeFailed notes that a write was lost and reports whether this is the first.
func (h *health) writeFailed() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	first := h.failed == nil
	h.failed = ErrWriteFailed
	return first
}

// lost reports whether a write was lost since the start.
func (h *health) lost() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.failed != nil
}

// setDisk notes what the last look at the disk found and reports whether that is a change.
func (h *health) setDisk(err error) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	changed := (err == nil) != (h.disk == nil)
	h.disk = err
	return changed
}

// watchDisk looks at the disk once, so that a full one is known before the first record, and then every
// checkDiskEvery until Close.
func (s *System) watchDisk(cfg Config) error {
	if err := probeDisk(cfg); errors.Is(err, ErrDiskFull) {
		s.health.setDisk(err)
		cfg.Log.Warn("records are refused", "reason", err)
	} else if err != nil {
		return err
	}
	s.every(checkDiskEvery, "disk watch", func() {
		err := probeDisk(cfg)
		switch changed := s.health.setDisk(err); {
		case changed && err != nil:
			cfg.Log.Error("records are refused", "reason", err)
		case changed:
			cfg.Log.Info("records are accepted again")
		}
	})
	return nil
}

// probeDisk is nil when the disk has room and a small file can be written and fsynced.
func probeDisk(cfg Config) error {
	free, err := cfg.freeSpace(cfg.Dir)
	if err != nil {
		return err
	}
	if free < cfg.MinFree {
		return fmt.Errorf("%w (%d MiB free, %d MiB needed)", ErrDiskFull, free>>20, cfg.MinFree>>20)
	}
	f, err := os.OpenFile(filepath.Join(cfg.Dir, "probe"), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("probe disk: %w", err)
	}
	defer f.Close()
	if _, err := f.WriteString(time.Now().UTC().Format(time.RFC3339)); err != nil {
		return fmt.Errorf("probe disk: %w", err)
	}
	if err := f.Sync(); err != nil {
		return fmt.Errorf("probe disk: %w", err)
	}
	return nil
}

// every runs f again and again until Close, which waits for a run that is under way.
func (s *System) every(d time.Duration, name string, f func()) {
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(d)
		defer tick.Stop()
		for {
			select {
			case <-quit:
				return
			case <-tick.C:
				f()
			}
		}
	}()
	s.onStop(name, func() error {
		close(quit)
		<-done
		return nil
	})
}
