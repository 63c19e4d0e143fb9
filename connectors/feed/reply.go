package feed

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"cpis/connectors"
	"cpis/connectors/adt"
	"cpis/connectors/hl7"
	"cpis/connectors/identity"
	"cpis/connectors/mllp"
	"cpis/schemas"
	"cpis/schemas/contact"
)

// Reply sends outcomes back to a care setting as ORU^R01 messages over MLLP.
// The message's control id is the outcome id, so that a copy sent after a lost
// acknowledgement is the same message.
type Reply struct {
	profile adt.Profile
	config  mllp.ClientConfig
	book    *contact.Book

	mu   sync.Mutex
	conn *mllp.Client // nil until needed, and after any trouble; guarded by mu
}

var _ connectors.Destination = (*Reply)(nil)

// NewReply prepares the way back to a setting. It connects when there is
// something to say.
func NewReply(profile adt.Profile) (*Reply, error) {
	to := profile.Reply
	book, err := contact.NewBook()
	if err != nil {
		return nil, err
	}
	r := &Reply{profile: profile, config: mllp.ClientConfig{Release: to.Release}, book: book}
	if to.TLS {
		host, _, err := net.SplitHostPort(to.Address)
		if err != nil {
			return nil, fmt.Errorf("address of the receiver: %w", err)
		}
		if r.config.TLS, err = identity.ClientTLS(identity.TLSConfig{Certificate: to.Certificate, Key: to.Key, Authorities: to.Authorities}, host); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// Deliver implements connectors.Destination: nil means that the setting
// answered AA or CA. AR and CR, which say that the receiver will never take
// the message, are connectors.ErrRefused; everything else is worth another try.
func (r *Reply) Deliver(ctx context.Context, o schemas.Outcome) error {
	return r.send(ctx, adt.Reply(o, r.profile))
}

// Inform tells the setting what a local authority says to a notice, as Deliver does.
func (r *Reply) Inform(ctx context.Context, d schemas.Delivery, a schemas.Authority) error {
	return r.send(ctx, adt.Receipt(d, a, r.book.Number(a, time.Now()), r.profile))
}

func (r *Reply) send(ctx context.Context, message []byte) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.conn == nil {
		c, err := mllp.Dial(ctx, r.profile.Reply.Address, r.config)
		if err != nil {
			return err
		}
		r.conn = c
	}
	answer, err := r.conn.Send(ctx, message)
	if err != nil {
		return errors.Join(err, r.drop())
	}
	msg, err := hl7.Parse(answer)
	if err != nil {
		return errors.Join(err, r.drop())
	}
	switch code := msg.Value("MSA-1"); code {
	case "AA", "CA":
		return nil
	case "AR", "CR":
		return fmt.Errorf("%w: the receiver answered %s", connectors.ErrRefused, code)
	default:
		return errors.New("the receiver did not take the message")
	}
}

func (r *Reply) drop() error {
	err := r.conn.Close()
	r.conn = nil
	return err
}

// Close ends the connection, if there is one.
func (r *Reply) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.conn == nil {
		return nil
	}
	return r.drop()
}
