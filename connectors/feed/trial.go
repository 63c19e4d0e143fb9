package feed

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"log/slog"
	"strings"
	"time"

	"cpis/connectors/adt"
	"cpis/connectors/hl7"
	"cpis/connectors/mllp"
	"cpis/schemas"
)

// Trial is what the intake would do with one frame, every step of it but
// storing.
type Trial struct {
	Messages []TrialMessage
	Answers  [][]byte // what would be sent back
}

// TrialMessage is one message of a frame.
type TrialMessage struct {
	Raw     []byte
	Records []schemas.Registration // what would be committed
	Refusal *schemas.Refusal       // why it would be quarantined instead
	Feed    string                 // whose it is, as far as is known
}

// Try runs a frame through the intake of a list of profiles and changes
// nothing. The sender is taken to be whoever the feed's profile asks for.
func Try(profiles []adt.Profile, frame mllp.Frame, now time.Time) (Trial, error) {
	keep := &keeper{now: now}
	f := New(vouched(profiles), keep, slog.New(slog.DiscardHandler), func() time.Time { return now })
	answers, err := f.Handle(context.Background(), mllp.Peer{}, frame)
	if frame.Torn { // its sender has moved on
		answers = nil
	}
	return Trial{keep.messages, answers}, err
}

// vouched are the profiles with nothing to prove.
func vouched(profiles []adt.Profile) []adt.Profile {
	open := make([]adt.Profile, len(profiles))
	for i, p := range profiles {
		p.Certificate, p.Listener = "", ""
		open[i] = p
	}
	return open
}

// Replay puts a message through the intake once more, for someone who vouches
// for its sender. It returns why it is refused, nil where it was taken.
func Replay(ctx context.Context, profiles []adt.Profile, broker Broker, raw []byte) (*schemas.Refusal, error) {
	f := New(vouched(profiles), broker, slog.New(slog.DiscardHandler), time.Now)
	v, err := f.take(ctx, adt.Sender{}, raw, nil)
	if err != nil || v.err == nil {
		return nil, err
	}
	return &schemas.Refusal{Code: schemas.Code(v.err.Code), Location: v.err.Location, Reason: v.err.Reason}, nil
}

// keeper is a broker that only looks.
type keeper struct {
	now      time.Time
	messages []TrialMessage
}

func (k *keeper) Accept(_ context.Context, records []schemas.Registration, payload []byte) (schemas.Receipt, error) {
	if len(records) == 0 {
		return schemas.Receipt{}, errors.New("no record")
	}
	k.messages = append(k.messages, TrialMessage{Raw: payload, Records: records, Feed: records[0].Feed})
	sum := sha256.Sum256(payload)
	return schemas.Receipt{EventID: hex.EncodeToString(sum[:16]), At: k.now}, nil
}

func (k *keeper) Quarantine(_ context.Context, feed, _ string, why schemas.Refusal, raw []byte) error {
	k.messages = append(k.messages, TrialMessage{Raw: raw, Refusal: &why, Feed: feed})
	return nil
}

// Explanation is one message, explained.
type Explanation struct {
	Feed   string             `json:"feed"`
	Event  string             `json:"event"`
	Class  schemas.EventClass `json:"class"`
	Number string             `json:"nhs_number"` // its standing
	Code   schemas.Code       `json:"code,omitempty"`
	Reason string             `json:"reason,omitempty"`
	Fix    string             `json:"fix,omitempty"`
	Marks  []string           `json:"marks"`
	Fields []adt.Finding      `json:"fields"`
	Answer []string           `json:"answer"` // its segments; in a batch, of the whole batch
}

// Explain says of each message what became of it, or would, and why.
func (t Trial) Explain() []Explanation {
	var all []Explanation
	for _, m := range t.Messages {
		e := Explanation{Feed: m.Feed, Marks: []string{}}
		var cause error
		if m.Refusal != nil {
			entry, _ := schemas.Explain(string(m.Refusal.Code))
			e.Code, e.Reason, e.Fix = m.Refusal.Code, m.Refusal.Reason, entry.Fix
			cause = &hl7.Error{Code: string(m.Refusal.Code), Location: m.Refusal.Location, Reason: m.Refusal.Reason}
		}
		if len(m.Records) > 0 {
			r := m.Records[0]
			e.Event, e.Class, e.Number, e.Marks = r.Event, r.Class, string(r.NumberStatus), append(e.Marks, r.Marks...)
		}
		msg, err := hl7.Parse(m.Raw)
		if err != nil {
			if msg, err = hl7.ParseHeader(m.Raw); err != nil {
				msg = &hl7.Message{}
			}
		}
		e.Fields = adt.Explain(msg, m.Records, cause)
		for _, a := range t.Answers {
			e.Answer = append(e.Answer, strings.Split(strings.TrimSpace(string(a)), "\r")...)
		}
		all = append(all, e)
	}
	return all
}
