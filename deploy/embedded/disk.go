package embedded

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// disk makes what producers wrote durable before they are told so. kfake writes a batch and answers; the answer waits
// here until the segment files it stands in are fsynced. Answers that wait at the same time share one round, so the
// more producers there are, the less each costs, and kfake itself never waits for the disk.
//
// Only segment files (.dat) are synced: kfake rebuilds an index without its file, offsets of consumer groups that are
// lost repeat work, and its other files it syncs itself.
type disk struct {
	dir      string // kfake's folder of partition folders
	fsync    func(*os.File) error
	failed   func(error) // told of the first failure; nothing is acknowledged after it
	wake     chan struct{}
	quit     chan struct{}
	ended    chan struct{}
	segments map[string]*segment // the newest of each partition folder; owned by run

	mu       sync.Mutex
	cond     *sync.Cond      // a round has ended
	dirty    map[string]bool // partition folders written to since a round began; guarded by mu
	all      bool            // every folder may have been; guarded by mu
	begun    uint64          // rounds; guarded by mu
	finished uint64          // rounds; guarded by mu
	err      error           // of the first round that failed, for good; guarded by mu
}

// segment is a file as far as it is synced.
type segment struct {
	file *os.File
	base int64 // first offset, the file's name
	size int64
}

// openDisk syncs all there is, since a process that was killed may have left written what was never synced, and
// begins. close ends it.
func openDisk(dir string, fsync func(*os.File) error, failed func(error)) (*disk, error) {
	d := &disk{dir: dir, fsync: fsync, failed: failed, wake: make(chan struct{}, 1), quit: make(chan struct{}), ended: make(chan struct{}),
		segments: map[string]*segment{}, dirty: map[string]bool{}}
	d.cond = sync.NewCond(&d.mu)
	if err := d.round(nil, true); err != nil {
		return nil, err
	}
	go d.run()
	return d, nil
}

// sync returns once what stands in partition folders now is on the disk; with no folder named, once everything is.
func (d *disk) sync(folders ...string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, f := range folders {
		d.dirty[f] = true
	}
	d.all = d.all || len(folders) == 0
	want := d.begun + 1
	select {
	case d.wake <- struct{}{}:
	default:
	}
	for d.finished < want && d.err == nil {
		d.cond.Wait()
	}
	return d.err
}

// close syncs what is left and ends. It is called once kfake has ended.
func (d *disk) close() error {
	err := d.sync()
	close(d.quit)
	<-d.ended
	for _, s := range d.segments {
		err = errors.Join(err, s.file.Close())
	}
	return err
}

func (d *disk) run() {
	defer close(d.ended)
	for {
		select {
		case <-d.wake:
		case <-d.quit:
			return
		}
		d.mu.Lock()
		folders, all := d.dirty, d.all
		d.dirty, d.all = map[string]bool{}, false
		d.begun++
		d.mu.Unlock()
		err := d.round(folders, all)
		d.mu.Lock()
		d.finished = d.begun
		if err != nil && d.err == nil {
			d.err = err
			d.failed(err)
		}
		d.mu.Unlock()
		d.cond.Broadcast()
	}
}

// round syncs folders side by side.
func (d *disk) round(folders map[string]bool, all bool) error {
	if all {
		entries, err := os.ReadDir(d.dir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("sync partitions: %w", err)
		}
		folders = map[string]bool{}
		for _, e := range entries {
			folders[e.Name()] = e.IsDir()
		}
	}
	errs := make(chan error, len(folders))
	next := map[string]*segment{}
	var mu sync.Mutex
	for folder := range folders {
		last := d.segments[folder]
		go func() {
			newest, err := d.syncFolder(folder, last)
			mu.Lock()
			defer mu.Unlock()
			next[folder] = newest
			errs <- err
		}()
	}
	var err error
	for range folders {
		err = errors.Join(err, <-errs)
	}
	for folder, s := range next {
		if s != nil {
			d.segments[folder] = s
		}
	}
	return err
}

// syncFolder syncs the segment that was the newest, if it has grown, and those that came after it. It returns the
// newest.
func (d *disk) syncFolder(folder string, last *segment) (*segment, error) {
	entries, err := os.ReadDir(filepath.Join(d.dir, folder))
	if errors.Is(err, fs.ErrNotExist) {
		return last, nil // the topic was deleted, or has no record yet
	}
	if err != nil {
		return last, fmt.Errorf("sync partition: %w", err)
	}
	var bases []int64
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), ".dat")
		if base, err := strconv.ParseInt(name, 10, 64); ok && err == nil && (last == nil || base >= last.base) {
			bases = append(bases, base)
		}
	}
	slices.Sort(bases)
	for _, base := range bases {
		s := last
		if last == nil || base > last.base {
			file, err := os.Open(filepath.Join(d.dir, folder, strconv.FormatInt(base, 10)+".dat"))
			if err != nil {
				return last, fmt.Errorf("sync partition: %w", err)
			}
			if err := d.syncEntry(folder); err != nil {
				return last, errors.Join(err, file.Close())
			}
			s = &segment{file: file, base: base, size: -1}
		}
		if err := d.syncSegment(s); err != nil {
			return last, err
		}
		if last != nil && s != last {
			if err := last.file.Close(); err != nil {
				return s, err
			}
		}
		last = s
	}
	return last, nil
}

func (d *disk) syncSegment(s *segment) error {
	info, err := s.file.Stat()
	if err != nil {
		return fmt.Errorf("sync segment: %w", err)
	}
	if info.Size() == s.size {
		return nil
	}
	if err := d.fsync(s.file); err != nil {
		return fmt.Errorf("sync segment: %w", err)
	}
	s.size = info.Size() // or more, if it grew meanwhile
	return nil
}

// syncEntry makes the name of a new file last: a file that is synced and in no folder is lost all the same.
func (d *disk) syncEntry(folder string) error {
	for _, path := range []string{filepath.Join(d.dir, folder), d.dir, filepath.Dir(d.dir)} {
		f, err := os.Open(path)
		if err != nil {
			return fmt.Errorf("sync folder: %w", err)
		}
		if err := errors.Join(d.fsync(f), f.Close()); err != nil {
			return fmt.Errorf("sync folder: %w", err)
		}
	}
	return nil
}
