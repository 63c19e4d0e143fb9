package embedded

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// maxRequest is the largest request taken from a client, in bytes. A batch is 1 MiB at most; a request may carry one
// for each of several partitions.
const maxRequest = 32 << 20

// errRefused closes a connection whose next request must not reach kfake.
var errRefused = errors.New("refuse request")

// guardListener puts a guard before each connection.
type guardListener struct {
	net.Listener
	health *health
}

// Accept waits for the next connection.
func (l guardListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &guardConn{Conn: conn, health: l.health}, nil
}

// guardConn looks at the head of each request before kfake reads it:
//
//	+--------+---------+---------+------------------
//	| length | API key | version | the rest …
//	| 4      | 2       | 2       | length − 4
//	+--------+---------+---------+------------------
//
// kfake allocates whatever length says, crashes on a key it does not know, and takes records a sick disk cannot
// keep. Such a connection is closed, which a Kafka client reads as "not known whether it was written".
type guardConn struct {
	net.Conn
	health *health

	// Owned by the one goroutine that reads: kfake starts the next read after the one before has ended.
	head [8]byte
	left []byte // what of head has not been handed on
	body int64  // bytes of the current request behind head that are still to come
}

// Read hands on what the client sent, one checked request after the other.
func (c *guardConn) Read(p []byte) (int, error) {
	if len(c.left) == 0 && c.body == 0 {
		if _, err := io.ReadFull(c.Conn, c.head[:]); err != nil {
			return 0, err
		}
		if err := c.check(); err != nil {
			return 0, err
		}
		c.left = c.head[:]
		c.body = int64(binary.BigEndian.Uint32(c.head[:4])) - 4
	}
	if len(c.left) > 0 {
		n := copy(p, c.left)
		c.left = c.left[n:]
		return n, nil
	}
	if int64(len(p)) > c.body {
		p = p[:c.body]
	}
	n, err := c.Conn.Read(p)
	c.body -= int64(n)
	return n, err
}

// check refuses what kfake must not see.
func (c *guardConn) check() error {
	length, key := binary.BigEndian.Uint32(c.head[:4]), int16(binary.BigEndian.Uint16(c.head[4:6]))
	if length < 8 || length > maxRequest {
		return fmt.Errorf("%w: length %d", errRefused, length)
	}
	if kmsg.RequestForKey(key) == nil {
		return fmt.Errorf("%w: key %d", errRefused, key)
	}
	if key == int16(kmsg.Produce) {
		if err := c.health.err(); err != nil {
			return fmt.Errorf("%w: %w", errRefused, err)
		}
	}
	return nil
}
