package main

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"cpis/router/topics"
	"cpis/schemas"
)

// shelf keeps a compacted topic of one partition in memory, as it stands there,
// by the authority that its keys begin with.
type shelf struct {
	topic schemas.Topic

	mu      sync.Mutex
	values  map[schemas.AuthorityCode]map[string][]byte // guarded by mu
	next    int64                                       // offset up to which it has read; guarded by mu
	changed chan struct{}                               // closed and made anew when next moves; guarded by mu
}

func newShelf(t schemas.Topic) *shelf {
	return &shelf{topic: t, values: map[schemas.AuthorityCode]map[string][]byte{}, next: -1, changed: make(chan struct{})}
}

// follow reads the topic until ctx ends.
func (h *shelf) follow(s *system) func(context.Context) error {
	return func(ctx context.Context) error {
		return s.keepTrying(ctx, string(h.topic), func() error {
			starts, err := s.client.Starts(ctx, h.topic)
			if err != nil {
				return err
			}
			h.take(topics.Batch{Next: starts[0]})
			for next := starts[0]; ; {
				b, err := s.client.Fetch(ctx, h.topic, 0, next, followWait, followBytes)
				if err != nil {
					return err
				}
				h.take(b)
				next = b.Next
			}
		})
	}
}

func (h *shelf) take(b topics.Batch) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, r := range b.Records {
		owner, _, _ := strings.Cut(string(r.Key), "/")
		of := h.values[schemas.AuthorityCode(owner)]
		if of == nil {
			of = map[string][]byte{}
			h.values[schemas.AuthorityCode(owner)] = of
		}
		if r.Value == nil {
			delete(of, string(r.Key))
		} else {
			of[string(r.Key)] = r.Value
		}
	}
	if b.Next != h.next {
		h.next = b.Next
		close(h.changed)
		h.changed = make(chan struct{})
	}
}

// shelfTime bounds how long somebody waits for the shelf to catch up.
const shelfTime = 10 * time.Second

// of gives what stands on the topic for an authority: all that was committed
// before the call. An error means that it cannot be told.
func (h *shelf) of(ctx context.Context, s *system, code schemas.AuthorityCode) (map[string][]byte, error) {
	if err := h.await(ctx, s); err != nil {
		return nil, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	out := make(map[string][]byte, len(h.values[code]))
	for k, v := range h.values[code] {
		out[k] = v
	}
	return out, nil
}

// about gives what stands on the topic about some subjects, of every authority: all that
// was committed before the call.
func (h *shelf) about(ctx context.Context, s *system, refs []schemas.SubjectRef) ([][]byte, error) {
	if err := h.await(ctx, s); err != nil {
		return nil, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	var out [][]byte
	for code, values := range h.values {
		for _, ref := range refs {
			for _, p := range planTypes() {
				if v, ok := values[string(schemas.IndicatorKey(code, ref, p))]; ok {
					out = append(out, v)
				}
			}
		}
	}
	return out, nil
}

// planTypes are the types under which somebody may have a plan.
func planTypes() []schemas.PlanType {
	return []schemas.PlanType{schemas.PlanChildProtection, schemas.PlanLookedAfter, schemas.PlanUnborn}
}

// await waits until everything that was committed before the call has been read.
func (h *shelf) await(ctx context.Context, s *system) error {
	ctx, cancel := context.WithTimeout(ctx, shelfTime)
	defer cancel()
	ends, err := s.client.Ends(ctx, h.topic)
	if err != nil {
		return fmt.Errorf("look up what is held: %w", err)
	}
	for {
		h.mu.Lock()
		next, changed := h.next, h.changed
		h.mu.Unlock()
		if next >= ends[0] {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("look up what is held: %s is read up to %d of %d", h.topic, next, ends[0])
		}
	}
}

// under counts the records of an authority on a subject, as far as it has read.
// Records that were taken back do not tell whose they were, and do count until
// their links fall.
func (h *shelf) under(code schemas.AuthorityCode, ref schemas.SubjectRef) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := 0
	for _, p := range planTypes() {
		if _, ok := h.values[code][string(schemas.IndicatorKey(code, ref, p))]; ok {
			n++
		}
	}
	return n
}

// uploads are the files of authorities and what became of them.
type uploads struct {
	mu   sync.Mutex
	held map[schemas.AuthorityCode]map[string]schemas.Upload // guarded by mu
}

func newUploads() *uploads {
	return &uploads{held: map[schemas.AuthorityCode]map[string]schemas.Upload{}}
}

func (u *uploads) put(v schemas.Upload) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.held[v.Authority] == nil {
		u.held[v.Authority] = map[string]schemas.Upload{}
	}
	u.held[v.Authority][v.UploadID] = v
}

func (u *uploads) of(code schemas.AuthorityCode) []schemas.Upload {
	u.mu.Lock()
	defer u.mu.Unlock()
	out := make([]schemas.Upload, 0, len(u.held[code]))
	for _, v := range u.held[code] {
		out = append(out, v)
	}
	return out
}

// upload takes in a record of the uploads' topic.
func (s *system) upload(ctx context.Context, r topics.Record) {
	if r.Value == nil {
		code, id, _ := strings.Cut(string(r.Key), "/")
		s.uploads.mu.Lock()
		delete(s.uploads.held[schemas.AuthorityCode(code)], id)
		s.uploads.mu.Unlock()
		return
	}
	var u schemas.Upload
	if err := s.codec.Decode(ctx, schemas.TopicUpload, r.Value, &u); err != nil {
		s.log.Error("the record of a file cannot be read", "code", "CPIS-K001", "offset", r.Offset, "error", err)
		return
	}
	s.uploads.put(u)
}
