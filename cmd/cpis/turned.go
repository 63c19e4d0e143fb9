package main

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"cpis/connectors/identity"
	"cpis/router"
	"cpis/schemas"
)

// turned is one kind of refused request.
type turned struct {
	route  string
	caller identity.Caller
}

// turnedAway gathers refused requests, so that whoever sends many makes few records.
type turnedAway struct {
	mu     sync.Mutex
	counts map[turned]int64 // guarded by mu
}

// maxTurned bounds how many kinds are gathered at a time; the rest is counted alone.
const maxTurned = 1000

// tellTurned is how often they are put on record.
const tellTurned = 5 * time.Second

func (t *turnedAway) add(route string, c identity.Caller) {
	t.mu.Lock()
	defer t.mu.Unlock()
	key := turned{route, c}
	if _, ok := t.counts[key]; ok || len(t.counts) < maxTurned {
		t.counts[key]++
	}
}

// tell puts them on record until ctx ends.
func (t *turnedAway) tell(ctx context.Context, r *router.Recorder, log *slog.Logger) error {
	for ctx.Err() == nil {
		select {
		case <-time.After(tellTurned):
		case <-ctx.Done():
		}
		t.mu.Lock()
		counts := t.counts
		t.counts = map[turned]int64{}
		t.mu.Unlock()
		var deeds []router.Deed
		for key, n := range counts {
			deeds = append(deeds, router.Deed{Kind: schemas.AuditRefusal, Action: schemas.ActionRequestRefused, Code: "CPIS-W002",
				Organisation: key.caller.Code, Feed: key.route, By: schemas.Access{WorkerRole: string(key.caller.Kind)}, Count: n})
		}
		if len(deeds) == 0 {
			continue
		}
		if err := within(stopTime/2, func(ctx context.Context) error { return r.Note(ctx, deeds...) }); err != nil {
			log.Error("refused requests could not be put on record", "code", "CPIS-W002", "kinds", len(deeds), "error", err)
		}
	}
	return nil
}
