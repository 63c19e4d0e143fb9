package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"cpis/matching"
	"cpis/matching/index"
	"cpis/router"
	"cpis/router/topics"
	"cpis/schemas"
)

// followWait is how long a reader waits at the end of a topic.
const followWait = 500 * time.Millisecond

// followBytes bounds one fetch of a state topic.
const followBytes = 4 << 20

// gate is closed until what stands behind it is there.
type gate struct {
	once sync.Once
	c    chan struct{}
}

func newGate() *gate { return &gate{c: make(chan struct{})} }

func (g *gate) open() { g.once.Do(func() { close(g.c) }) }

// followState keeps a compacted topic of one partition in memory: read from the
// start, then followed. known opens when its present end was reached.
func (s *system) followState(t schemas.Topic, known *gate, take func(context.Context, topics.Record)) func(context.Context) error {
	return func(ctx context.Context) error {
		return s.keepTrying(ctx, string(t), func() error {
			starts, err := s.client.Starts(ctx, t)
			if err != nil {
				return err
			}
			ends, err := s.client.Ends(ctx, t)
			if err != nil {
				return err
			}
			for next := starts[0]; ; {
				if next >= ends[0] {
					known.open()
				}
				b, err := s.client.Fetch(ctx, t, 0, next, followWait, followBytes)
				if err != nil {
					return err
				}
				for _, r := range b.Records {
					take(ctx, r)
				}
				next = b.Next
			}
		})
	}
}

// link takes in a record of the link topic.
func (s *system) link(ctx context.Context, r topics.Record) {
	if r.Value == nil {
		s.links.Remove(string(r.Key))
		return
	}
	var l schemas.Link
	if err := s.codec.Decode(ctx, schemas.TopicLink, r.Value, &l); err != nil {
		s.log.Error("a link cannot be read", "code", "CPIS-K001", "offset", r.Offset, "error", err)
		return
	}
	s.links.Put(l)
}

// renderedFor is how long a care setting's description of a protected person is
// kept: as long as the notice it is read from.
const renderedFor = 30 * 24 * time.Hour

// followRenderings keeps protected people as care settings registered them, from
// the notices of the last month.
func (s *system) followRenderings(ctx context.Context) error {
	return s.keepTrying(ctx, "renderings", func() error {
		return router.Follow(ctx, s.client, schemas.TopicNotice, time.Now().Add(-renderedFor), func(r topics.Record) { s.rendering(ctx, r) }, func() {})
	})
}

// rendering takes in a notice. Only somebody who was registered under the very
// number of the plan, and a verified one, is described by it.
func (s *system) rendering(ctx context.Context, r topics.Record) {
	var n schemas.Notice
	err := s.codec.Decode(ctx, schemas.TopicNotice, r.Value, &n)
	if err == nil && n.Traced && n.Kind == schemas.NoticeAttendance {
		if n.Person, err = s.keys.OpenPerson(schemas.TopicNotice, n.Authority, n.NoticeID, n.SealedPerson); err == nil {
			s.rendered.Put(n.SubjectRef, n.Person, n.CreatedAt)
		}
	}
	if err != nil {
		s.log.Error("a notice cannot be read", "code", "CPIS-K001", "partition", r.Partition, "offset", r.Offset, "error", err)
	}
}

// linker is what the router sees of links.
type linker struct {
	*matching.Matcher
	*matching.Links
}

// contact takes in a record of the contacts' topic.
func (s *system) contact(ctx context.Context, r topics.Record) {
	if r.Value == nil {
		s.contacts.Remove(schemas.AuthorityCode(r.Key))
		return
	}
	var a schemas.Authority
	if err := s.codec.Decode(ctx, schemas.TopicAuthority, r.Value, &a); err != nil {
		s.log.Error("contacts cannot be read", "code", "CPIS-K001", "offset", r.Offset, "error", err)
		return
	}
	s.contacts.Put(a)
}

// keepTrying runs a loop again after trouble, until ctx ends.
func (s *system) keepTrying(ctx context.Context, what string, loop func() error) error {
	for {
		err := router.Patiently(ctx, s.log, what, loop)
		if ctx.Err() != nil {
			return nil
		}
		if err == nil {
			return errors.New("ended by itself")
		}
	}
}

// trying is a task that runs a loop again after trouble.
func (s *system) trying(what string, loop func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error { return s.keepTrying(ctx, what, func() error { return loop(ctx) }) }
}

// followReceipts keeps what was taken in mind, so that copies are recognised.
func (s *system) followReceipts(ctx context.Context) error {
	return s.keepTrying(ctx, "receipts", func() error { return s.intake.Receipts.Follow(ctx, s.client) })
}

// followIndicators keeps the index: one process of the group does, since the
// topic has one partition.
func (s *system) followIndicators(ctx context.Context) error {
	return s.client.RunGroup(ctx, topics.GroupConfig{ID: groupIndex, Topics: []schemas.Topic{schemas.TopicIndicator}},
		func(ctx context.Context, _ *topics.Assignment) error {
			var wait sync.WaitGroup
			defer wait.Wait()
			beside, end := context.WithCancel(ctx)
			defer end()
			wait.Go(func() { s.steward.run(beside) })
			wait.Go(func() { s.watchman().Run(beside) })
			return s.writer.Follow(ctx, indicatorSource{s.client})
		})
}

// indicatorSource is the indicator topic as the index reads it.
type indicatorSource struct{ client *topics.Client }

func (i indicatorSource) Bounds(ctx context.Context) (start, end int64, err error) {
	starts, err := i.client.Starts(ctx, schemas.TopicIndicator)
	if err != nil {
		return 0, 0, err
	}
	ends, err := i.client.Ends(ctx, schemas.TopicIndicator)
	if err != nil {
		return 0, 0, err
	}
	return starts[0], ends[0], nil
}

func (i indicatorSource) Read(ctx context.Context, from int64) (index.Page, error) {
	b, err := i.client.Fetch(ctx, schemas.TopicIndicator, 0, from, followWait, followBytes)
	if err != nil {
		return index.Page{}, err
	}
	p := index.Page{Next: b.Next}
	for _, r := range b.Records {
		p.Changes = append(p.Changes, index.Change{Key: r.Key, Value: r.Value})
	}
	return p, nil
}

// horizon is the position the index must have reached to be as new as every
// indicator acknowledged so far.
func (s *system) horizon(ctx context.Context) (int64, error) {
	ends, err := s.client.Ends(ctx, schemas.TopicIndicator)
	if err != nil {
		return 0, err
	}
	return ends[0], nil
}

// opener reads records of the indicator topic.
type opener struct {
	codec *schemas.Codec
	keys  *schemas.Keyring
}

// indicator reads a record, with its person.
func (o opener) indicator(value []byte) (schemas.Indicator, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	var i schemas.Indicator
	if err := o.codec.Decode(ctx, schemas.TopicIndicator, value, &i); err != nil {
		return i, err
	}
	var err error
	if !i.Withdrawn { // taken back: nobody is named
		i.Person, err = o.keys.OpenPerson(schemas.TopicIndicator, i.Authority, string(i.Key()), i.SealedPerson)
	}
	return i, err
}

// describer describes the people of the indicator topic.
func (o opener) describer() matching.Describer {
	return matching.Describer{Keys: o.keys, Open: o.indicator}
}

// verifyIndex compares the index with its topic from time to time, and has it
// built anew where they differ.
func (s *system) verifyIndex(ctx context.Context) error {
	tick := time.NewTicker(s.config.Matching.VerifyEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
		v, err := s.reader.Verify(ctx, indicatorSource{s.client}, opener{s.codec, s.keys}.describer().Describe)
		switch {
		case ctx.Err() != nil:
		case err != nil && !errors.Is(err, index.ErrCorrupt):
			s.log.Warn("the index could not be compared with its topic", "error", err)
		case err != nil || !v.Agrees():
			s.log.Error("the index differs from its topic and is built anew", "code", "CPIS-K006", "position", v.Position, "error", fmt.Sprint(err))
			if err := s.reader.Forget(ctx); err != nil {
				s.log.Warn("the index could not be thrown away", "error", err)
			}
		}
	}
}

// startDeciding waits until contacts and index are there, for no longer than
// the grace: a restart must not answer CHECK_FAILED where a moment's wait gives
// the answer.
func (s *system) startDeciding(ctx context.Context) error {
	for _, g := range []*gate{s.known, s.linked} {
		select {
		case <-g.c:
		case <-ctx.Done():
			return nil
		}
	}
	grace, cancel := context.WithTimeout(ctx, s.config.Matching.StartupGrace)
	defer cancel()
	if err := whole(grace, s.reader); err != nil && ctx.Err() == nil {
		s.log.Warn("the index is not whole yet: answers will be CHECK_FAILED until it is", "error", err)
	}
	return s.decide.Run(ctx)
}

// whole waits until an index is whole; the error says what was the matter when
// ctx ended.
func whole(ctx context.Context, r *index.Reader) error {
	for {
		m, err := r.Status(ctx)
		if err == nil && m.Complete {
			return nil
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return cmp.Or(err, index.ErrIncomplete)
		}
	}
}
