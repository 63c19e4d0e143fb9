package embedded

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"

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
	disk   *disk // nil where nothing is kept
}

// Accept waits for the next connection.
func (l guardListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &guardConn{Conn: conn, health: l.health, disk: l.disk}, nil
}

// guardConn looks at the head of each request before kfake reads it, and at the answers to produce requests:
//
//	request  +--------+---------+---------+-------------+---   answer  +--------+-------------+---
//	         | length | API key | version | correlation | …            | length | correlation | …
//	         | 4      | 2       | 2       | 4           |              | 4      | 4           |
//	         +--------+---------+---------+-------------+---           +--------+-------------+---
//
// kfake allocates whatever length says, crashes on a key it does not know, and takes records a sick disk cannot
// keep. Such a connection is closed, which a Kafka client reads as "not known whether it was written". The answer to
// a produce request waits until the disk has the records; a group's offset is not committed before what it covers.
type guardConn struct {
	net.Conn
	health *health
	disk   *disk

	// Owned by the one goroutine that reads: kfake starts the next read after the one before has ended.
	head [12]byte
	left []byte // what of head has not been handed on
	body int64  // bytes of the current request behind head that are still to come

	mu   sync.Mutex
	asks []ask // requests without an answer yet, in order; guarded by mu
}

// ask is what is needed of a request to understand its answer.
type ask struct {
	key, version int16
	correlation  int32
}

// Read hands on what the client sent, one checked request after the other.
func (c *guardConn) Read(p []byte) (int, error) {
	if len(c.left) == 0 && c.body == 0 {
		if err := c.readHead(); err != nil {
			return 0, err
		}
		c.left = c.head[:]
		c.body = int64(binary.BigEndian.Uint32(c.head[:4])) - 8
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

// readHead reads the next head and refuses what kfake must not see.
func (c *guardConn) readHead() error {
	const known = 8 // what says whether the rest is worth reading
	if _, err := io.ReadFull(c.Conn, c.head[:known]); err != nil {
		return err
	}
	if err := c.check(); err != nil {
		return err
	}
	if _, err := io.ReadFull(c.Conn, c.head[known:]); err != nil {
		return err
	}
	if c.disk == nil {
		return nil
	}
	a := ask{int16(binary.BigEndian.Uint16(c.head[4:])), int16(binary.BigEndian.Uint16(c.head[6:])), int32(binary.BigEndian.Uint32(c.head[8:]))}
	if a.key == int16(kmsg.OffsetCommit) {
		if err := c.disk.sync(); err != nil {
			return fmt.Errorf("%w: %w", errRefused, err)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asks = append(c.asks, a)
	return nil
}

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

// Write hands on one whole answer, as kfake writes it, once the disk has what it promises.
func (c *guardConn) Write(p []byte) (int, error) {
	if c.disk != nil {
		if folders, wrote := c.written(p); wrote {
			if err := c.disk.sync(folders...); err != nil {
				return 0, fmt.Errorf("%w: %w", errRefused, err)
			}
		}
	}
	return c.Conn.Write(p)
}

// written reports whether an answer says that records were written, and to which partition folders; none named means
// that it does not say.
func (c *guardConn) written(answer []byte) (folders []string, wrote bool) {
	a := c.asked(int32(binary.BigEndian.Uint32(answer[4:8])))
	if a.key != int16(kmsg.Produce) {
		return nil, false
	}
	res := kmsg.NewPtrProduceResponse()
	res.SetVersion(a.version)
	body := answer[8:]
	if res.IsFlexible() {
		body = body[1:] // no tags in the header
	}
	if err := res.ReadFrom(body); err != nil {
		return nil, true
	}
	for _, t := range res.Topics {
		for _, part := range t.Partitions {
			if part.ErrorCode != 0 {
				continue
			}
			if t.Topic == "" { // from version 13 on there is only its id
				return nil, true
			}
			folders, wrote = append(folders, partitionFolder(t.Topic, int(part.Partition))), true
		}
	}
	return folders, wrote
}

// asked finds the request that an answer belongs to. Requests before it have had no answer: they asked for none.
func (c *guardConn) asked(correlation int32) ask {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.asks) > 0 {
		a := c.asks[0]
		c.asks = c.asks[1:]
		if a.correlation == correlation {
			return a
		}
	}
	return ask{key: -1}
}
