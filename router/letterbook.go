package router

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"cpis/router/topics"
	"cpis/schemas"
)

// Filed is a dead letter as it is filed: where it came from and why, and nothing of what
// was sent.
type Filed struct {
	Letter
	Door     string // "mllp" or "socialcare", empty where a stage set it aside
	Feed     string // profile name or authority code
	Control  string
	Location string
}

// LetterBook knows the dead letters, without their bytes, so that pages show them however
// many there are. Safe for concurrent use.
type LetterBook struct {
	*DeadLetters
	Logger *slog.Logger

	mu      sync.Mutex
	letters *letters
	filed   map[int64]Filed // what is known of each beside the letter, by id; guarded by mu
}

// Follow reads the dead letters until ctx ends.
func (b *LetterBook) Follow(ctx context.Context) error {
	b.mu.Lock()
	b.letters, b.filed = newLetters(), map[int64]Filed{}
	b.mu.Unlock()
	return Follow(ctx, b.Client, schemas.TopicDeadLetter, time.Unix(0, 0), func(r topics.Record) { b.take(ctx, r) }, func() {})
}

func (b *LetterBook) take(ctx context.Context, r topics.Record) {
	b.mu.Lock()
	defer b.mu.Unlock()
	l := b.letters.take(r)
	if l == nil {
		return
	}
	if l.Origin == QuarantineOrigin && l.ID == r.Offset {
		var q schemas.Quarantine
		if err := b.Codec.Decode(ctx, schemas.TopicDeadLetter, r.Value, &q); err != nil {
			b.Logger.Warn("a dead letter cannot be read", "code", "CPIS-K001", "offset", r.Offset, "error", err)
		}
		b.filed[l.ID] = Filed{Door: q.Origin, Feed: q.Feed, Control: q.ControlID, Location: q.Location}
	}
	l.record.Value = nil // it is read again when it is needed
	for i := range l.parts {
		l.parts[i].Value = nil
	}
}

// All lists the dead letters, the oldest first, closed ones too.
func (b *LetterBook) All() []Filed {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.letters == nil {
		return nil
	}
	out := make([]Filed, len(b.letters.list))
	for i, l := range b.letters.list {
		out[i] = b.filed[l.ID]
		out[i].Letter = l
		out[i].parts = slices.Clone(l.parts)
	}
	return out
}

// Load reads the bytes of a letter.
func (b *LetterBook) Load(ctx context.Context, l Letter) (Letter, error) {
	for _, r := range append([]*topics.Record{&l.record}, pointers(l.parts)...) {
		batch, err := b.Client.Fetch(ctx, schemas.TopicDeadLetter, 0, r.Offset, fetchWait, 1)
		if err != nil {
			return l, fmt.Errorf("read dead letter %d: %w", l.ID, err)
		}
		if len(batch.Records) == 0 || batch.Records[0].Offset != r.Offset {
			return l, fmt.Errorf("read dead letter %d: it has expired", l.ID)
		}
		*r = batch.Records[0]
	}
	return l, nil
}

func pointers(list []topics.Record) []*topics.Record {
	out := make([]*topics.Record, len(list))
	for i := range list {
		out[i] = &list[i]
	}
	return out
}
