// Package feed joins a hospital's message feed to the broker: a registration
// message comes in and is acknowledged once it is safe, and the answer goes
// back to the same care setting as a message of its own.
package feed

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"cpis/connectors/adt"
	"cpis/connectors/hl7"
	"cpis/connectors/mllp"
	"cpis/schemas"
)

// Broker takes what a feed brings. Both methods are safe for concurrent use
// and return nil only when the item is durable. An error means that nobody
// knows, so that the sender is not told "taken" and sends again.
type Broker interface {
	// Accept takes the records of one message. For a message that was taken
	// before it returns the receipt it got then.
	Accept(ctx context.Context, records []schemas.Registration, payload []byte) (schemas.Receipt, error)
	Quarantine(ctx context.Context, feed, controlID string, why schemas.Refusal, raw []byte) error
}

// Feeds takes messages for a list of sender profiles. It is the handler of an
// MLLP server.
type Feeds struct {
	profiles []adt.Profile
	broker   Broker
	log      *slog.Logger
	now      func() time.Time

	accepted, copies, refused, unanswered atomic.Int64

	mu    sync.Mutex
	marks map[schemas.Code]int64 // guarded by mu
	seen  map[string]Seen        // by feed; guarded by mu
}

// Seen is what shows of a feed at its door alone.
type Seen struct {
	Copies  int64 // messages that came again
	Largest int   // bytes of the largest message that was taken
}

// Stats counts messages since the start of the process.
type Stats struct {
	Accepted   int64 // answered yes: committed
	Copies     int64 // of those, taken before and not committed again
	Refused    int64 // quarantined
	Unanswered int64 // not answered yes or no: result not known
	Marks      map[schemas.Code]int64
	Seen       map[string]Seen // by feed
}

// New prepares the intake of a list of profiles. The first that matches a
// message's sender takes it.
func New(profiles []adt.Profile, broker Broker, log *slog.Logger, now func() time.Time) *Feeds {
	return &Feeds{profiles: profiles, broker: broker, log: log, now: now, marks: map[schemas.Code]int64{}, seen: map[string]Seen{}}
}

// Stats reports the counters.
func (f *Feeds) Stats() Stats {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := Stats{f.accepted.Load(), f.copies.Load(), f.refused.Load(), f.unanswered.Load(), map[schemas.Code]int64{}, maps.Clone(f.seen)}
	for code, n := range f.marks {
		s.Marks[code] = n
	}
	return s
}

// Handle takes one frame and returns the messages to send back, none where the
// sender wants none. An error means that the connection must be closed with no
// answer.
func (f *Feeds) Handle(ctx context.Context, from mllp.Peer, frame mllp.Frame) ([][]byte, error) {
	sender := adt.Sender{Listener: from.Listener, Mutual: from.Names != nil, Names: from.Names}
	var marks []schemas.Code
	if frame.Loose {
		marks = append(marks, "CPIS-H101")
	}
	if frame.Junk > 0 {
		marks = append(marks, "CPIS-H102")
	}
	if frame.Fault != nil {
		v, err := f.refuse(ctx, f.guess(sender, frame.Message), frame.Message, frame.Fault)
		return f.answers(v), err
	}
	batch, ok, err := hl7.SplitBatch(frame.Message)
	switch {
	case err != nil:
		v, err := f.refuse(ctx, verdict{}, frame.Message, err)
		return f.answers(v), err
	case !ok:
		v, err := f.take(ctx, sender, frame.Message, marks)
		return f.answers(v), err
	case batch.Mismatch():
		marks = append(marks, "CPIS-H116")
	}
	verdicts := make([]verdict, len(batch.Messages))
	for i, raw := range batch.Messages {
		if verdicts[i], err = f.take(ctx, sender, raw, marks); err != nil {
			return nil, err // sent again, what was taken is recognised
		}
	}
	return f.batchAnswer(batch, verdicts), nil
}

// verdict is what became of one message.
type verdict struct {
	profile *adt.Profile // nil where the sender is not known
	msg     *hl7.Message // nil where it could not be read
	raw     []byte
	code    hl7.AckCode // AA, AE or AR; empty where nothing is to be answered
	err     *hl7.Error  // why not
	receipt schemas.Receipt
}

// take takes one message.
func (f *Feeds) take(ctx context.Context, from adt.Sender, raw []byte, marks []schemas.Code) (verdict, error) {
	msg, err := hl7.Parse(raw)
	if err != nil {
		return f.refuse(ctx, f.guess(from, raw), raw, err)
	}
	v := verdict{msg: msg, raw: raw}
	if msg.Value("MSH-9.1") == "ACK" { // never answered, or two engines would talk for ever
		f.log.Debug("acknowledgement ignored")
		return v, nil
	}
	if v.profile, err = f.profile(from, msg); err != nil {
		return f.refuse(ctx, v, raw, err)
	}
	if p := v.profile; p.Charset != "" && msg.Charset.Declared == "" {
		if v.msg, err = hl7.ParseWith(raw, hl7.Options{Charset: p.Charset}); err != nil {
			return f.refuse(ctx, v, raw, err)
		}
	}
	if err := v.profile.InEnvironment(v.msg); err != nil {
		return f.refuse(ctx, v, raw, err)
	}
	records, err := adt.Registrations(v.msg, v.profile)
	if err != nil {
		return f.refuse(ctx, v, raw, err)
	}
	for _, m := range marks {
		records[0].Mark(m)
	}
	return f.accept(ctx, v, records)
}

// answerMargin is what is left of the time to answer when storing is given up
// on, so that a sender who wants to be told is told in time.
const answerMargin = 300 * time.Millisecond

func (f *Feeds) accept(ctx context.Context, v verdict, records []schemas.Registration) (verdict, error) {
	store := ctx
	if end, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		store, cancel = context.WithDeadline(ctx, end.Add(-answerMargin))
		defer cancel()
	}
	var err error
	v.receipt, err = f.broker.Accept(store, records, v.raw)
	switch {
	case errors.Is(err, schemas.ErrInvalid):
		return f.refuse(ctx, v, v.raw, &hl7.Error{Code: "CPIS-H006", Location: "MSH", Reason: "the message does not fit a record"})
	case err != nil:
		return f.unknown(v, fmt.Errorf("accept message: %w", err))
	}
	v.code = hl7.AA
	f.accepted.Add(1)
	if v.receipt.Duplicate {
		f.copies.Add(1)
	}
	f.count(records)
	f.note(v)
	return v, nil
}

// note notes what shows of a feed here alone.
func (f *Feeds) note(v verdict) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.seen[v.profile.Name]
	if v.receipt.Duplicate {
		s.Copies++
	}
	s.Largest = max(s.Largest, len(v.raw))
	f.seen[v.profile.Name] = s
}

func (f *Feeds) count(records []schemas.Registration) {
	for i := range records {
		for _, code := range records[i].Marks {
			f.mu.Lock()
			f.marks[schemas.Code(code)]++
			f.mu.Unlock()
		}
	}
}

// profile finds the feed of a message: the first whose names it gives and
// whose proof the connection has.
func (f *Feeds) profile(from adt.Sender, msg *hl7.Message) (*adt.Profile, error) {
	named := false
	for i := range f.profiles {
		p := &f.profiles[i]
		if !p.Matches(msg) {
			continue
		}
		if p.Admits(from) {
			return p, nil
		}
		named = true
	}
	if named {
		return nil, &hl7.Error{Code: "CPIS-H015", Location: "MSH-4", Reason: "the feed of this sender is bound to another certificate or listener"}
	}
	return nil, &hl7.Error{Code: "CPIS-H014", Location: "MSH-3", Reason: "no feed is configured for this sender"}
}

// guess finds the feed of a message of which perhaps only the header can be
// read.
func (f *Feeds) guess(from adt.Sender, raw []byte) verdict {
	v := verdict{raw: raw}
	if head, err := hl7.ParseHeader(raw); err == nil {
		v.profile, _ = f.profile(from, head)
	}
	return v
}

// refuse says no, after the bytes are safe in quarantine.
func (f *Feeds) refuse(ctx context.Context, v verdict, raw []byte, cause error) (verdict, error) {
	if !errors.As(cause, &v.err) {
		f.unanswered.Add(1)
		return v, cause
	}
	v.raw = raw
	feed, control := "", ""
	if v.profile != nil {
		feed = v.profile.Name
	}
	v.code = hl7.AR
	if v.msg != nil {
		control, v.code = v.msg.Value("MSH-10"), hl7.AE
	}
	why := schemas.Refusal{Code: schemas.Code(v.err.Code), Location: v.err.Location, Reason: v.err.Reason}
	if err := f.broker.Quarantine(ctx, feed, control, why, raw); err != nil {
		return f.unknown(v, fmt.Errorf("quarantine message: %w", err))
	}
	f.refused.Add(1)
	f.log.Warn("message refused", "code", v.err.Code, "at", v.err.Location, "feed", feed, "control_id", control)
	if v.profile != nil && v.profile.Answer.OnPermanent != "" {
		v.code = hl7.AckCode(v.profile.Answer.OnPermanent)
	}
	return v, nil
}

// unknown is a message of which nobody knows whether it is safe: the sender is
// told so where its profile wants that, else nothing.
func (f *Feeds) unknown(v verdict, cause error) (verdict, error) {
	f.unanswered.Add(1)
	if v.profile == nil || v.profile.Answer.OnTransient == "" || v.profile.Answer.OnTransient == "close" {
		return v, cause
	}
	f.log.Warn("message not stored", "feed", v.profile.Name, "code", "CPIS-H020", "error", cause)
	v.code, v.err = hl7.AckCode(v.profile.Answer.OnTransient), &hl7.Error{Code: "CPIS-H020", Location: "MSH", Reason: "the broker cannot store the message just now"}
	return v, nil
}
