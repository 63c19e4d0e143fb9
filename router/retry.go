package router

import (
	"cmp"
	"context"
	"log/slog"
	"time"

	"github.com/cenkalti/backoff/v4"
)

// Pauses between tries: full jitter around a doubling interval.
const (
	firstRetry = 50 * time.Millisecond
	maxRetry   = 2 * time.Second
)

// newPause starts a series of pauses that never ends: a record ends by being
// finished or by Stage.MaxAge, a service by coming back or by the process
// being stopped. (The library would give up after 15 minutes.)
// longest is the longest of them, 0 for the usual.
func newPause(longest time.Duration) *backoff.ExponentialBackOff {
	return backoff.NewExponentialBackOff(backoff.WithInitialInterval(firstRetry), backoff.WithMaxInterval(cmp.Or(longest, maxRetry)), backoff.WithMaxElapsedTime(0))
}

// Patiently calls try until it returns nil or ctx ends, and says each time
// what it waits for.
func Patiently(ctx context.Context, log *slog.Logger, what string, try func() error) error {
	return backoff.RetryNotify(try, backoff.WithContext(newPause(0), ctx), func(err error, _ time.Duration) {
		log.Warn("waiting for "+what, "error", err)
	})
}
