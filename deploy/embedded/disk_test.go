package embedded

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// platter is what a disk holds after a power cut: of each segment only what was fsynced. The folder that a broker
// writes to is its operating system's memory.
type platter struct {
	from, to string

	mu   sync.Mutex
	fail bool // from now on fsync fails; guarded by mu
}

func (p *platter) fsync(f *os.File) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fail {
		return errors.New("input/output error")
	}
	if !strings.HasSuffix(f.Name(), ".dat") {
		return nil // a folder
	}
	raw, err := os.ReadFile(f.Name())
	if err != nil {
		return err
	}
	name, err := filepath.Rel(p.from, f.Name())
	if err != nil {
		return err
	}
	path := filepath.Join(p.to, name)
	return errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, raw, 0o600))
}

// TestAcknowledgedMeansOnTheDisk cuts the power: what four producers were told is kept must be among what was fsynced.
func TestAcknowledgedMeansOnTheDisk(t *testing.T) {
	p := &platter{from: t.TempDir(), to: t.TempDir()}
	s := start(t, Config{Dir: p.from, fsync: p.fsync})
	makeTopic(t, s.KafkaAddr, "kept", 2, nil)
	var mu sync.Mutex
	acked := map[string]bool{}
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			kc := client(t, s.KafkaAddr)
			for i := range 100 {
				value := fmt.Sprintf("%d-%d", w, i)
				err := kc.ProduceSync(t.Context(), &kgo.Record{Topic: "kept", Partition: int32(w % 2), Value: []byte(value)}).FirstErr()
				mu.Lock()
				acked[value] = err == nil
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	p.mu.Lock()
	p.fail = true // the power is gone: nothing reaches the platter any more
	p.mu.Unlock()

	state, err := filepath.Glob(filepath.Join(p.from, "kafka", "*.json")) // kfake syncs them itself
	if err != nil || len(state) == 0 {
		t.Fatal(state, err)
	}
	for _, file := range state {
		raw, err := os.ReadFile(file)
		if err := errors.Join(err, os.WriteFile(filepath.Join(p.to, "kafka", filepath.Base(file)), raw, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	after := start(t, Config{Dir: p.to})
	have := map[string]bool{}
	for part := range int32(2) {
		values, _, _ := readAll(t, after.KafkaAddr, "kept", part)
		for _, v := range values {
			have[v] = true
		}
	}
	lost := 0
	for value, told := range acked {
		if told && !have[value] {
			lost++
		}
	}
	if lost > 0 || len(have) != 400 {
		t.Errorf("%d of %d acknowledged records are lost in a power cut", lost, len(have))
	}
}

// TestFailedSyncIsNeverAcknowledged lets fsync fail once: the page cache may then have dropped what it held, so
// nothing is acknowledged any more.
func TestFailedSyncIsNeverAcknowledged(t *testing.T) {
	dir := t.TempDir()
	p := &platter{from: dir, to: t.TempDir()}
	s, err := Start(t.Context(), Config{Dir: dir, MinFree: 1, fsync: p.fsync})
	if err != nil {
		t.Fatal(err)
	}
	makeTopic(t, s.KafkaAddr, "sick", 1, nil)
	kc := client(t, s.KafkaAddr, kgo.RecordDeliveryTimeout(time.Second))
	produce := func() error {
		return kc.ProduceSync(t.Context(), &kgo.Record{Topic: "sick", Value: []byte("v")}).FirstErr()
	}
	if err := produce(); err != nil {
		t.Fatal(err)
	}
	for _, fail := range []bool{true, false} {
		p.mu.Lock()
		p.fail = fail
		p.mu.Unlock()
		if produce() == nil {
			t.Errorf("acknowledged, fsync fails: %v", fail)
		}
		if err := s.Health(); !errors.Is(err, ErrWriteFailed) {
			t.Errorf("health: %v, want ErrWriteFailed", err)
		}
	}
	if err := s.Close(); err == nil {
		t.Error("an orderly stop says that all is well")
	}
}

// TestRolledSegmentsAreSynced writes more than a segment holds between two rounds.
func TestRolledSegmentsAreSynced(t *testing.T) {
	dir := t.TempDir()
	synced := map[string]int{}
	d, err := openDisk(dir, func(f *os.File) error { synced[filepath.Base(f.Name())]++; return nil }, func(error) {})
	if err != nil {
		t.Fatal(err)
	}
	write := func(name, text string) {
		path := filepath.Join(dir, "t-0", name)
		f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		_, err = f.WriteString(text)
		if err := errors.Join(err, f.Close()); err != nil {
			t.Fatal(err)
		}
	}
	sync := func(want ...string) {
		t.Helper()
		clear(synced)
		if err := d.sync("t-0"); err != nil {
			t.Fatal(err)
		}
		for _, name := range want {
			if synced[name] != 1 {
				t.Errorf("%s was synced %d times", name, synced[name])
			}
			delete(synced, name)
		}
		for name := range synced {
			if strings.HasSuffix(name, ".dat") {
				t.Errorf("%s was synced needlessly", name)
			}
		}
	}
	sync() // there is no such folder yet
	if err := os.Mkdir(filepath.Join(dir, "t-0"), 0o700); err != nil {
		t.Fatal(err)
	}
	write("0.dat", "a")
	sync("0.dat")
	sync()
	write("0.dat", "b")
	write("7.dat", "c")
	write("12.dat", "d")
	sync("0.dat", "7.dat", "12.dat")
	if err := os.Remove(filepath.Join(dir, "t-0", "12.dat")); err != nil { // retention
		t.Fatal(err)
	}
	write("20.dat", "e")
	sync("20.dat")
	if err := d.close(); err != nil {
		t.Error(err)
	}
}
