// Package feed joins a hospital's message feed to the broker: a registration
// message comes in and is acknowledged once it is safe, and the answer goes
// back to the same care setting as a message of its own.
package feed

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"cpis/connectors/adt"
	"cpis/connectors/hl7"
	"cpis/connectors/mllp"
	"cpis/schemas"
)

// Broker takes what a feed brings. Both methods are safe for concurrent use
// and return nil only when the item is durable. An error means that nobody
// knows, so that the sender gets no answer and sends again.
type Broker interface {
	Accept(ctx context.Context, r schemas.Registration, payload []byte) error
	Quarantine(ctx context.Context, feed, controlID string, why schemas.Refusal, raw []byte) error
}

// Feeds takes messages for a list of sender profiles. It is the handler of an
// MLLP server.
type Feeds struct {
	profiles []adt.Profile
	broker   Broker
	log      *slog.Logger
	now      func() time.Time

	accepted, refused, unanswered atomic.Int64
}

// Stats counts messages since the start of the process.
type Stats struct {
	Accepted   int64 // answered AA: committed
	Refused    int64 // answered AE or AR: quarantined
	Unanswered int64 // connection closed without an answer: result not known
}

// New prepares the intake of a list of profiles. The first that matches a
// message's sender takes it.
func New(profiles []adt.Profile, broker Broker, log *slog.Logger, now func() time.Time) *Feeds {
	return &Feeds{profiles: profiles, broker: broker, log: log, now: now}
}

// Stats reports the counters.
func (f *Feeds) Stats() Stats {
	return Stats{f.accepted.Load(), f.refused.Load(), f.unanswered.Load()}
}

// Handle takes one frame and returns the acknowledgement to send. An error
// means that the connection must be closed with no answer.
func (f *Feeds) Handle(ctx context.Context, _ mllp.ConnInfo, frame []byte) ([]byte, error) {
	msg, err := hl7.Parse(frame)
	if err != nil {
		return f.refuse(ctx, "", nil, frame, err)
	}
	profile, ok := f.profile(msg)
	if !ok {
		return f.refuse(ctx, "", msg, frame, &hl7.Error{Code: "CPIS-H014", Location: "MSH-3", Reason: "no feed is configured for this sender"})
	}
	r, err := adt.Registration(msg, profile)
	if err != nil {
		return f.refuse(ctx, profile.Name, msg, frame, err)
	}
	if err := f.broker.Accept(ctx, r, frame); err != nil {
		if errors.Is(err, schemas.ErrInvalid) {
			return f.refuse(ctx, profile.Name, msg, frame, &hl7.Error{Code: "CPIS-H006", Location: "MSH", Reason: "the message does not fit a record"})
		}
		f.unanswered.Add(1)
		return nil, fmt.Errorf("accept message: %w", err)
	}
	f.accepted.Add(1)
	return hl7.Ack(msg, hl7.AA, hl7.AckOptions{Now: f.now()}), nil
}

// Fault takes what is left of a frame that could not be read whole, keeps it,
// and returns the answer that its sender can make sense of.
func (f *Feeds) Fault(ctx context.Context, fault *hl7.Error, partial []byte) ([]byte, error) {
	return f.refuse(ctx, "", nil, partial, fault)
}

func (f *Feeds) profile(msg *hl7.Message) (adt.Profile, bool) {
	for _, p := range f.profiles {
		if p.Matches(msg) {
			return p, true
		}
	}
	return adt.Profile{}, false
}

// refuse answers no, after the bytes are safe in quarantine.
func (f *Feeds) refuse(ctx context.Context, feed string, msg *hl7.Message, raw []byte, cause error) ([]byte, error) {
	var e *hl7.Error
	if !errors.As(cause, &e) {
		f.unanswered.Add(1)
		return nil, cause
	}
	control := ""
	if msg != nil {
		control = msg.Value("MSH-10")
	}
	why := schemas.Refusal{Code: schemas.Code(e.Code), Location: e.Location, Reason: e.Reason}
	if err := f.broker.Quarantine(ctx, feed, control, why, raw); err != nil {
		f.unanswered.Add(1)
		return nil, fmt.Errorf("quarantine message: %w", err)
	}
	f.refused.Add(1)
	f.log.Warn("message refused", "code", e.Code, "at", e.Location, "feed", feed, "control_id", control)
	if msg == nil {
		return hl7.AckRaw(raw, hl7.AR, e, hl7.AckOptions{Now: f.now()}), nil
	}
	return hl7.Ack(msg, hl7.AE, hl7.AckOptions{Now: f.now(), Error: e}), nil
}
