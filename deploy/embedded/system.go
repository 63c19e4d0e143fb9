package embedded

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"time"
)

const (
	// DefaultMinFree is the free disk space below which nothing more is accepted: enough for two checks' worth of
	// writing at a rate no single computer of this system reaches.
	DefaultMinFree = 256 << 20
	// DefaultMaintainEvery is how often old records are removed by their topic's retention.
	DefaultMaintainEvery = 10 * time.Minute
	// stopWithin bounds the stop of each part.
	stopWithin = 10 * time.Second
)

// Config says where the embedded services keep their data and on which addresses they answer.
type Config struct {
	// Dir is the data directory, made with mode 0700 if missing. Empty keeps everything in memory only.
	Dir string
	// KafkaListen, RegistryListen and RedisListen are loopback addresses, host:port. Port 0 picks a free one.
	// Empty is "127.0.0.1:0".
	KafkaListen, RegistryListen, RedisListen string
	// NoKafka, NoRegistry and NoRedis leave a service out, because a real one is used in its place.
	NoKafka, NoRegistry, NoRedis bool
	// Compatible says whether readers of newSchema can read what was written with each of the old schemas (Avro
	// JSON, oldest first). The registry refuses a schema for which it returns an error. Nil accepts any schema.
	Compatible func(old []string, newSchema string) error
	// Log receives what an operator should know. Nil discards it.
	Log *slog.Logger
	// MinFree is the free space in bytes on the disk of Dir below which writes are refused until there is room
	// again. 0 is DefaultMinFree. Without Dir it is not used.
	MinFree uint64
	// MaintainEvery is the time between two runs of retention. 0 is DefaultMaintainEvery.
	MaintainEvery time.Duration

	// Set by tests only.
	freeSpace func(dir string) (uint64, error)
	fsync     func(*os.File) error
}

// withDefaults fills the fields left empty.
func (c Config) withDefaults() Config {
	for _, addr := range []*string{&c.KafkaListen, &c.RegistryListen, &c.RedisListen} {
		if *addr == "" {
			*addr = "127.0.0.1:0"
		}
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.MinFree == 0 {
		c.MinFree = DefaultMinFree
	}
	if c.MaintainEvery == 0 {
		c.MaintainEvery = DefaultMaintainEvery
	}
	if c.freeSpace == nil {
		c.freeSpace = freeSpace
	}
	if c.fsync == nil {
		c.fsync = (*os.File).Sync
	}
	return c
}

// System is the running set of embedded services. Its fields do not change after Start. The address of a service left
// out is empty.
type System struct {
	// KafkaAddr is the bootstrap address, host:port.
	KafkaAddr string
	// RegistryURL is the base address of the schema registry, without a final slash.
	RegistryURL string
	// RedisURL is in the form that Redis clients parse, redis://host:port.
	RedisURL string

	health *health
	stops  []stop // last started is last in the list and first to be stopped
}

// stop ends one part of the system.
type stop struct {
	name string
	run  func() error
}

// Start opens the data directory and brings the three services up. It returns when all of them answer. ctx bounds
// the start only; the services run until Close.
//
// A directory already in use by another process gives ErrInUse.
func Start(ctx context.Context, cfg Config) (_ *System, err error) {
	cfg = cfg.withDefaults()
	for _, addr := range []string{cfg.KafkaListen, cfg.RegistryListen, cfg.RedisListen} {
		if err := requireLoopback(addr); err != nil {
			return nil, err
		}
	}
	s := &System{health: &health{}}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()

	if cfg.Dir != "" {
		if err := os.MkdirAll(filepath.Join(cfg.Dir, "kafka"), 0o700); err != nil {
			return nil, fmt.Errorf("make data directory: %w", err)
		}
		lock, err := lockDir(cfg.Dir)
		if err != nil {
			return nil, err
		}
		s.onStop("lock", lock.Close)
		if err := s.watchDisk(cfg); err != nil {
			return nil, err
		}
	}
	for _, part := range []struct {
		name  string
		out   bool
		start func(Config) error
	}{
		{"kafka", cfg.NoKafka, s.startKafka},
		{"schema registry", cfg.NoRegistry, s.startRegistry},
		{"redis", cfg.NoRedis, s.startRedis},
	} {
		if part.out {
			continue
		}
		if err := part.start(cfg); err != nil {
			return nil, fmt.Errorf("start embedded %s: %w", part.name, err)
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("start embedded services: %w", err)
	}
	return s, nil
}

// Health is nil while everything that is acknowledged is really kept, and otherwise says why records are refused at
// the moment. Lack of disk space passes when there is room again; a failed write stays until a restart.
func (s *System) Health() error { return s.health.err() }

// Close stops the services in the reverse of the order they were started, each within ten seconds, and writes what
// an orderly stop writes. It may be called more than once.
func (s *System) Close() error {
	var errs []error
	for len(s.stops) > 0 {
		last := s.stops[len(s.stops)-1]
		s.stops = s.stops[:len(s.stops)-1]
		if err := bounded(last.run); err != nil {
			errs = append(errs, fmt.Errorf("stop embedded %s: %w", last.name, err))
		}
	}
	return errors.Join(errs...)
}

// onStop registers how a part is stopped.
func (s *System) onStop(name string, run func() error) {
	s.stops = append(s.stops, stop{name, run})
}

// bounded runs f and gives up waiting after stopWithin: a disk that hangs must not hang the whole stop.
func bounded(f func() error) error {
	done := make(chan error, 1)
	go func() { done <- f() }()
	limit := time.NewTimer(stopWithin)
	defer limit.Stop()
	select {
	case err := <-done:
		return err
	case <-limit.C:
		return fmt.Errorf("not stopped after %s", stopWithin)
	}
}

// requireLoopback refuses an address other computers could reach, because the embedded services let anyone in.
func requireLoopback(addr string) error {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("read listen address %q: %w", addr, err)
	}
	if ip := net.ParseIP(host); host == "localhost" || (ip != nil && ip.IsLoopback()) {
		return nil
	}
	return fmt.Errorf("refuse listen address %q: the embedded services know no passwords and answer on loopback only; "+
		"use real Kafka, Redis and a schema registry to serve other computers", addr)
}
