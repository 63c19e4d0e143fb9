package embedded

import (
	"time"

	"github.com/alicebob/miniredis/v2"
)

// ageEvery is how often keys with an expiry grow older: miniredis lets no time pass by itself.
const ageEvery = time.Second

// startRedis brings up the cache. It is always empty at first.
func (s *System) startRedis(cfg Config) error {
	m := miniredis.NewMiniRedis()
	if err := m.StartAddr(cfg.RedisListen); err != nil {
		return err
	}
	s.onStop("redis", func() error {
		m.Close()
		return nil
	})
	s.RedisURL = "redis://" + m.Addr()

	last := time.Now()
	s.every(ageEvery, "redis clock", func() {
		now := time.Now()
		m.FastForward(now.Sub(last))
		last = now
	})
	return nil
}
