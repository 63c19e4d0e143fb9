package router

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"cpis/router/topics"
	"cpis/schemas"
)

// linkbook is a Linker: plans stand under the numbers of some people.
type linkbook struct {
	mu    sync.Mutex
	held  map[schemas.SubjectRef]bool
	away  bool
	links map[string]schemas.Link
}

func (l *linkbook) Held(_ context.Context, ref schemas.SubjectRef) (bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.away {
		l.away = false
		return false, errors.New("no index")
	}
	return l.held[ref], nil
}

func (l *linkbook) Put(link schemas.Link) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.links[string(link.Key())] = link
}

func (l *linkbook) Remove(key string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.links, key)
}

// looked is a decider that asked an index.
type looked struct{ *decider }

// Watched names no reference that only the sender knows: an index has none.
func (d looked) Watched(r schemas.Registration) []string {
	if r.Person.Number.IsZero() {
		return nil
	}
	return d.decider.Watched(r)
}

func (d looked) Decide(ctx context.Context, regs []schemas.Registration) []schemas.Decision {
	out := d.decider.Decide(ctx, regs)
	for i := range out {
		out[i].Freshness = schemas.Freshness{Generation: "g"}
	}
	return out
}

// unknown is the registration of somebody without a number.
func unknown(control, local, visit string) schemas.Registration {
	r := registration(90)
	r.ControlID, r.Person, r.NumberStatus, r.VisitNumber = control, schemas.Person{LocalID: local}, schemas.NumberAbsent, visit
	return r
}

// identity is an event about two records.
func identity(control string, kind schemas.LinkKind, to, from schemas.Person) schemas.Registration {
	r := registration(91)
	r.ControlID, r.Class, r.Link, r.Person, r.Retired, r.NumberStatus = control, schemas.ClassIdentity, kind, to, from, schemas.NumberVerified
	return r
}

// decideLinked runs the stage with a linkbook.
func (b *bench) decideLinked(d Decider, l Linker, enough func() bool) {
	b.t.Helper()
	b.decideWith(&Decide{Decider: d, Linker: l}, enough)
}

// decideBy runs the stage with a rule of patterns.
func (b *bench) decideBy(rule PatternRule, enough func() bool) {
	b.t.Helper()
	b.decideWith(&Decide{Decider: &decider{}, Pattern: rule}, enough)
}

func (b *bench) decideWith(stage *Decide, enough func() bool) {
	b.t.Helper()
	stage.Publisher, stage.Keys, stage.Client, stage.Logger, stage.Place = b.publish, b.keys, b.client, slog.New(slog.DiscardHandler), time.UTC
	b.run(&Stage{Topic: schemas.TopicRegistration, Group: "matcher", Open: stage.Open, AnswerBehind: true, Client: b.client, Dead: b.dead,
		Log: slog.New(slog.DiscardHandler), Now: time.Now}, enough)
}

// TestAMergeAnswersTheVisitAnew: somebody unknown is registered, and an hour
// later merged with a number that is on a plan, while the matcher runs or is
// away; the setting is told, by an outcome that names the one before.
func TestAMergeAnswersTheVisitAnew(t *testing.T) {
	for name, kind := range map[string]schemas.LinkKind{"merge": schemas.LinkMerge, "number change": schemas.LinkChange} {
		for _, away := range []bool{false, true} {
			b := newBench(t, 3)
			book := &linkbook{held: map[schemas.SubjectRef]bool{}, links: map[string]schemas.Link{}}
			d := looked{&decider{}}
			b.accept(unknown("1", "T-1", "V-1"), unknown("2", "T-2", "V-2"))
			merge := identity("3", kind, schemas.Person{Number: number(0), LocalID: "P-1"}, schemas.Person{LocalID: "T-1"})
			sent := false
			b.decideLinked(d, book, func() bool {
				n := len(read[schemas.Outcome](b, schemas.TopicOutcome))
				if n == 2 && !sent && !away {
					sent = true
					b.accept(merge)
				}
				return n == 2 && away || n == 3
			})
			if away {
				b.accept(merge)
				b.decideLinked(d, book, b.outcomes(3))
				b.decideLinked(d, book, b.outcomes(3)) // and once only
			}
			var chain []schemas.Outcome
			for _, o := range read[schemas.Outcome](b, schemas.TopicOutcome) {
				if o.ControlID == "1" {
					chain = append(chain, o)
				}
			}
			if len(chain) != 2 || chain[1].State != schemas.StateIndicator || chain[1].Corrects != chain[0].OutcomeID {
				t.Errorf("%s, away %v: %+v", name, away, b.newest())
			}
			if b.newest()["2"] != schemas.StateNoneShared {
				t.Errorf("%s, away %v: somebody else was answered anew", name, away)
			}
			if links := read[schemas.Link](b, schemas.TopicLink); len(links) != 0 {
				t.Errorf("%s: a local number became a link", name)
			}
		}
	}
}

// TestAMovedVisitIsAnsweredAnew: of two visits of the wrong person, the one that
// was moved is.
func TestAMovedVisitIsAnsweredAnew(t *testing.T) {
	b := newBench(t, 1)
	b.accept(unknown("1", "T-1", "V-1"), unknown("2", "T-1", "V-2"))
	b.decideLinked(looked{&decider{}}, nil, b.outcomes(2))
	move := identity("3", schemas.LinkMove, schemas.Person{Number: number(0), LocalID: "P-1"}, schemas.Person{LocalID: "T-1"})
	move.PriorVisitNumber = "V-2"
	b.accept(move)
	b.decideLinked(looked{&decider{}}, nil, b.outcomes(3))
	if now := b.newest(); now["1"] != schemas.StateNoneShared || now["2"] != schemas.StateIndicator {
		t.Errorf("%v", now)
	}
}

// TestALinkIsKeptWhereAPlanStands, and only there; it is taken back by its
// undoing. While nobody can tell, the merge waits.
func TestALinkIsKeptWhereAPlanStands(t *testing.T) {
	b := newBench(t, 3)
	book := &linkbook{held: map[schemas.SubjectRef]bool{b.keys.SubjectRef(number(1)): true}, links: map[string]schemas.Link{}, away: true}
	person := func(i int) schemas.Person { return schemas.Person{Number: number(i)} }
	b.accept(identity("1", schemas.LinkMerge, person(2), person(1)), identity("2", schemas.LinkMerge, person(4), person(3)))
	held := func() int { book.mu.Lock(); defer book.mu.Unlock(); return len(book.links) }
	done := func(n int) func() bool {
		return func() bool {
			offsets, err := b.client.GroupOffsets(context.Background(), "matcher", schemas.TopicRegistration)
			ends, err2 := b.client.Ends(context.Background(), schemas.TopicRegistration)
			if err != nil || err2 != nil {
				return false
			}
			for p := range ends {
				if max(offsets[p], 0) != ends[p] {
					return false
				}
			}
			return held() == n
		}
	}
	b.decideLinked(looked{&decider{}}, book, done(1))
	links := read[schemas.Link](b, schemas.TopicLink)
	for _, l := range links {
		if l.Retired != b.keys.SubjectRef(number(1)) || l.Survivor != b.keys.SubjectRef(number(2)) {
			t.Errorf("%+v", l)
		}
	}
	if len(links) == 0 {
		t.Error("no link on record")
	}
	b.accept(identity("3", schemas.LinkUnlink, person(2), person(1)))
	b.decideLinked(looked{&decider{}}, book, done(0))
	last := topics.Record{}
	_ = ReadSince(context.Background(), b.client, schemas.TopicLink, time.Time{}, func(r topics.Record) error { last = r; return nil })
	if last.Key == nil || last.Value != nil {
		t.Error("the link was not taken back on the topic")
	}
}
