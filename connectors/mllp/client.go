package mllp

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"time"

	"cpis/connectors/hl7"
)

// ClientConfig of a sending connection.
type ClientConfig struct {
	Timeout time.Duration // for one message and its answer; default 10 s
	TLS     *tls.Config   // nil: plain TCP
	Release int           // of MLLP: 1, the default, or 2 with commit blocks
}

// ErrMismatch is an answer to another message than the one sent.
var ErrMismatch = errors.New("the answer is to another message")

// Client sends messages, one at a time. It is not safe for concurrent use.
// After an error the connection is closed: an answer that comes late must not
// be taken for the next message's.
type Client struct {
	config ClientConfig
	conn   net.Conn
	d      *decoder
}

// Dial connects to a receiver.
func Dial(ctx context.Context, address string, c ClientConfig) (*Client, error) {
	if err := checkRelease(c.Release); err != nil {
		return nil, err
	}
	if c.Timeout == 0 {
		c.Timeout = 10 * time.Second
	}
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	conn, err := (&net.Dialer{KeepAlive: keepAlive}).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("connect to receiver: %w", err)
	}
	if c.TLS != nil {
		secure := tls.Client(conn, c.TLS)
		if err := secure.HandshakeContext(ctx); err != nil {
			return nil, errors.Join(fmt.Errorf("connect to receiver: %w", err), conn.Close())
		}
		conn = secure
	}
	return &Client{c, conn, newDecoder(conn, hl7.MaxMessage, c.Timeout, c.Timeout)}, nil
}

// Send sends a message and returns the answer to it. The answer's MSA-2 must
// be the message's MSH-10. When ctx ends, the connection is closed.
func (c *Client) Send(ctx context.Context, message []byte) ([]byte, error) {
	stop := context.AfterFunc(ctx, func() { _ = c.conn.Close() })
	defer stop()
	answer, err := c.exchange(message)
	if err != nil {
		_ = c.conn.Close()
		return nil, fmt.Errorf("send message: %w", err)
	}
	return answer, nil
}

func (c *Client) exchange(message []byte) ([]byte, error) {
	if err := c.write(message); err != nil {
		return nil, err
	}
	if c.config.Release == 2 {
		if err := c.commitment(); err != nil {
			return nil, err
		}
	}
	f, err := c.d.next()
	if err != nil {
		return nil, err
	}
	if f.Fault != nil {
		return nil, f.Fault
	}
	if c.config.Release == 2 { // it is safe with us: the caller has it
		if err := c.write([]byte{committed}); err != nil {
			return nil, err
		}
	}
	sent, err := hl7.Parse(message)
	if err != nil { // a batch, or sent on purpose: whatever comes back is its answer
		return f.Message, nil
	}
	answer, err := hl7.Parse(f.Message)
	if err != nil {
		return nil, err
	}
	if answer.Count("MSA") == 0 || answer.Segment("MSA").Field(2).Raw() != sent.Segment("MSH").Field(10).Raw() {
		return nil, ErrMismatch
	}
	return f.Message, nil
}

// commitment waits for the receiver's commit block.
func (c *Client) commitment() error {
	f, err := c.d.next()
	if err != nil {
		return err
	}
	switch block, ok := f.commitBlock(); {
	case !ok:
		return errNoCommit
	case block == notCommitted:
		return ErrNotCommitted
	}
	return nil
}

func (c *Client) write(message []byte) error {
	if err := c.conn.SetWriteDeadline(time.Now().Add(c.config.Timeout)); err != nil {
		return err
	}
	_, err := c.conn.Write(appendFrame(make([]byte, 0, len(message)+3), message))
	return err
}

// Close ends the connection.
func (c *Client) Close() error { return c.conn.Close() }
