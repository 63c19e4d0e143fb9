// Package mllp carries HL7 messages over a network connection the way
// hospitals do: each message stands in a frame, and the sender waits for the
// answer to it before it sends the next.
//
//	0x0B  message  0x1C 0x0D
//	VT             FS   CR
//
// Frames come in pieces, several at once, with other bytes between them and
// with their last byte missing. All of that is read. What is never done is to
// make one message of two: a start mark inside a frame means that the frame
// was torn, and the torn part is set aside.
//
// # Memory
//
// Backpressure is not reading: one frame of a connection is in hand at a time,
// and the rest waits in the sender's network stack. A listener holds at most
//
//	MaxConns × 80 KiB  +  LargeFrames × 2 × MaxFrame
//
// whatever its peers do: a read buffer and a frame of up to 64 KiB for each
// connection, and larger frames only for those that hold a slot.
package mllp

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync/atomic"
	"time"

	"cpis/connectors/hl7"
)

const (
	vt = 0x0b
	fs = 0x1c
	cr = 0x0d
	lf = 0x0a
)

const (
	// endGrace is how long the carriage return after FS is waited for. Some
	// senders never send it.
	endGrace = 250 * time.Millisecond

	// maxJunk is how many bytes outside a frame are skipped before the peer is
	// taken for no MLLP sender at all. CR, LF and NUL do not count.
	maxJunk = 64 << 10

	// smallFrame is the size in bytes that a frame may have without a slot.
	smallFrame = 64 << 10

	// readBuffer is the size in bytes of one read, and of the frames that are
	// put together without new memory.
	readBuffer = 8 << 10

	// wholeFrame times the longest silence is the longest that a frame may take
	// in all: who sends a byte now and then shall not hold a slot for ever.
	wholeFrame = 10
)

var (
	// errNoSender is a peer that does not speak MLLP, or does not end its frame.
	errNoSender = errors.New("the peer sends no frames of a size this listener takes")

	// errStranger is a peer that begins in another protocol.
	errStranger = errors.New("the peer speaks another protocol")

	// errInside is a connection that ended in the middle of a frame. The message
	// was not answered, so it is still its sender's to send.
	errInside = errors.New("the connection ended inside a frame")
)

// Frame is what stood between two marks: a message, or bytes with a fault.
type Frame struct {
	// Message holds the bytes without the marks. They belong to whoever gets the
	// frame, and contain neither VT nor FS.
	Message []byte
	// Fault says why the bytes are no message; then Message holds what was read
	// of it, up to the size limit. It is nil for a good frame.
	Fault *hl7.Error
	// Torn is true where the sender broke off and began anew: no answer belongs
	// to the torn part.
	Torn bool
	// Loose is true where the end was not FS CR, but FS LF, FS and the next
	// frame's VT, or FS and then nothing. The message is as good as another.
	Loose bool
	// Junk counts the bytes skipped before the frame that have no business there.
	Junk int
	// Filler counts the CR, LF and NUL bytes skipped before the frame. Many
	// senders put them there, and they harm nobody.
	Filler int
}

// decoder reads frames from a connection. One goroutine owns it; only quietFor
// may be called by others.
type decoder struct {
	conn    net.Conn
	max     int           // bytes of a message
	idle    time.Duration // longest wait for a frame to begin; 0: none
	between time.Duration // longest wait between two reads of one frame
	large   func() error  // asked once before a frame grows beyond smallFrame; nil: always allowed

	buffer [readBuffer]byte
	unread []byte // of buffer
	frame  []byte // what is read of the frame in hand; kept while it is small
	excess int    // bytes of the frame in hand that went beyond max
	junk   int    // bytes outside frames since the last one
	filler int    // CR, LF and NUL outside frames since the last one
	torn   bool   // a start mark has been read already
	spoke  bool   // a frame has begun on this connection
	head   []byte // the first bytes, where they are no frame; at most headSize
	broken error  // set once the connection is beyond use

	born  time.Time
	quiet atomic.Int64 // nanoseconds after born since when it waits for a frame; 0: it does not
}

func newDecoder(conn net.Conn, max int, idle, between time.Duration) *decoder {
	return &decoder{conn: conn, max: max, idle: idle, between: between, born: time.Now()}
}

// next reads one frame. Its errors are those of the connection.
func (d *decoder) next() (Frame, error) {
	if d.broken != nil {
		return Frame{}, d.broken
	}
	if err := d.begin(); err != nil {
		return Frame{}, err
	}
	f := Frame{Junk: d.junk, Filler: d.filler}
	d.junk, d.filler, d.excess, d.frame = 0, 0, 0, d.frame[:0]
	stray := false
	var by time.Time // set when the frame has to be waited for
	for {
		if len(d.unread) == 0 {
			if by.IsZero() {
				by = time.Now().Add(wholeFrame * d.between)
			}
			if err := d.fill(min(d.between, time.Until(by))); err != nil {
				return Frame{}, fmt.Errorf("%w: %w", errInside, err)
			}
		}
		i := firstMark(d.unread)
		part := d.unread
		if i >= 0 {
			part = d.unread[:i]
		}
		if err := d.keep(part); err != nil {
			return Frame{}, err
		}
		if d.excess > d.max { // it is answered, but not listened to any longer
			d.broken = errNoSender
			return d.verdict(f, stray), nil
		}
		if i < 0 {
			d.unread = nil
			continue
		}
		mark := d.unread[i]
		d.unread = d.unread[i+1:]
		if mark == vt {
			d.torn, f.Torn = true, true
			f.Message, f.Fault = d.take(), &hl7.Error{Code: "CPIS-H004", Location: "MSH", Reason: "a new frame began before this one had ended"}
			return f, nil
		}
		ended, loose, err := d.end()
		if err != nil {
			return Frame{}, fmt.Errorf("%w: %w", errInside, err)
		}
		if ended {
			f.Loose = loose
			return d.verdict(f, stray), nil
		}
		stray = true // an end mark in the middle of the message
	}
}

// firstMark is the place of the first VT or FS, -1 where there is none.
func firstMark(b []byte) int {
	end := bytes.IndexByte(b, fs)
	if end >= 0 {
		b = b[:end]
	}
	if start := bytes.IndexByte(b, vt); start >= 0 {
		return start
	}
	return end
}

// begin skips to the next start mark.
func (d *decoder) begin() error {
	if d.torn {
		d.torn = false
		return nil
	}
	for {
		if len(d.unread) == 0 {
			if err := d.await(); err != nil {
				return err
			}
		}
		i := bytes.IndexByte(d.unread, vt)
		before := d.unread
		if i >= 0 {
			before = d.unread[:i]
		}
		if err := d.skip(before); err != nil {
			return err
		}
		if i < 0 {
			d.unread = nil
			continue
		}
		d.unread = d.unread[i+1:]
		d.spoke = true
		return nil
	}
}

// await reads more outside of a frame. A peer that has sent something, but
// never a frame, has to go on soon; a known sender may be quiet.
func (d *decoder) await() error {
	if d.junk > 0 && !d.spoke {
		return d.fill(d.between)
	}
	d.quiet.Store(max(1, int64(time.Since(d.born))))
	defer d.quiet.Store(0)
	return d.fill(d.idle)
}

// quietFor is how long the connection has been waiting for a frame to begin; 0
// where it is not waiting.
func (d *decoder) quietFor() time.Duration {
	since := d.quiet.Load()
	if since == 0 {
		return 0
	}
	return time.Since(d.born) - time.Duration(since)
}

// skip counts bytes outside frames. A peer that begins in another protocol is
// not listened to: a web page can have a browser send a request whose body
// holds a frame.
func (d *decoder) skip(b []byte) error {
	for _, c := range b {
		if c == cr || c == lf || c == 0 {
			d.filler++
		} else {
			d.junk++
		}
	}
	if !d.spoke && len(d.head) < headSize {
		d.head = append(d.head, b[:min(len(b), headSize-len(d.head))]...)
		if k := looksLike(d.head); k == likeHTTP || k == likeTLS {
			return errStranger
		}
	}
	if d.junk > maxJunk {
		return errNoSender
	}
	return nil
}

// keep adds bytes to the frame in hand, up to the limit.
func (d *decoder) keep(part []byte) error {
	if room := d.max - len(d.frame); len(part) > room {
		d.excess += len(part) - room
		part = part[:room]
	}
	if size := len(d.frame); d.large != nil && size <= smallFrame && size+len(part) > smallFrame {
		if err := d.large(); err != nil {
			return err
		}
	}
	d.frame = append(d.frame, part...)
	return nil
}

// take hands the frame's bytes over. Small ones are copied, so that the next
// frame needs no memory but its own.
func (d *decoder) take() []byte {
	b := d.frame
	if cap(b) <= readBuffer {
		return bytes.Clone(b[:len(b):len(b)])
	}
	d.frame = nil
	return b
}

func (d *decoder) verdict(f Frame, stray bool) Frame {
	f.Message = d.take()
	switch {
	case d.excess > 0:
		f.Fault = &hl7.Error{Code: "CPIS-H003", Location: "MSH", Reason: "the frame is larger than this listener takes"}
	case stray:
		f.Fault = &hl7.Error{Code: "CPIS-H004", Location: "MSH", Reason: "an end mark stands inside the message"}
	}
	return f
}

// end looks at what follows an FS: CR, LF, the next start mark or nothing for
// a while end the frame; anything else does not. A sender that hangs up after
// FS has said all it wanted to; one whose connection breaks may have been in
// the middle.
func (d *decoder) end() (ended, loose bool, err error) {
	if len(d.unread) == 0 {
		switch err := d.fill(endGrace); {
		case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, io.EOF):
			return true, true, nil
		case err != nil:
			return false, false, err
		}
	}
	switch d.unread[0] {
	case cr:
		d.unread = d.unread[1:]
		return true, false, nil
	case lf:
		d.unread = d.unread[1:]
		return true, true, nil
	case vt:
		return true, true, nil
	}
	return false, false, nil
}

// fill reads more bytes, at least one. A zero wait is for ever.
func (d *decoder) fill(wait time.Duration) error {
	deadline := time.Time{}
	if wait != 0 {
		deadline = time.Now().Add(wait)
	}
	if err := d.conn.SetReadDeadline(deadline); err != nil {
		return err
	}
	for {
		n, err := d.conn.Read(d.buffer[:])
		d.unread = d.buffer[:n]
		if n > 0 {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// appendFrame frames a message.
func appendFrame(out, message []byte) []byte {
	return append(append(append(out, vt), message...), fs, cr)
}
