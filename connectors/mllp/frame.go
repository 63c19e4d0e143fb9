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
package mllp

import (
	"bytes"
	"errors"
	"net"
	"time"

	"cpis/connectors/hl7"
)

const (
	vt = 0x0b
	fs = 0x1c
	cr = 0x0d
	lf = 0x0a
)

// endGrace is how long the carriage return after FS is waited for. Some
// senders never send it.
const endGrace = 250 * time.Millisecond

// Frame is what one call of next read: a message, or a fault.
type Frame struct {
	Message []byte
	// Fault says why the bytes are no message; then Message holds what was read
	// of it, up to the size limit.
	Fault *hl7.Error
	// Torn is true where the sender broke off and began anew: no answer belongs
	// to the torn part.
	Torn  bool
	Loose bool // did not end with FS CR
	Junk  int  // bytes skipped before it
}

// decoder reads frames from a connection.
type decoder struct {
	conn    net.Conn
	max     int
	idle    time.Duration // longest wait for a frame to begin; 0: none
	between time.Duration // longest wait between two reads of one frame

	buffer  [8 << 10]byte
	unread  []byte // of buffer
	torn    bool   // a start mark has been read already
	junk    int64  // bytes outside frames
	skipped int    // of them, before the present frame and no line ends or NULs
	broken  error  // set once the connection is beyond use
}

// maxJunk is how many bytes outside a frame are skipped before the peer is
// taken for no MLLP sender at all.
const maxJunk = 64 << 10

// errNoSender is a peer that does not speak MLLP, or does not end its frame.
var errNoSender = errors.New("the peer sends no frames of a size this listener takes")

// fill reads more bytes. A zero wait is for ever.
func (d *decoder) fill(wait time.Duration) error {
	deadline := time.Time{}
	if wait > 0 {
		deadline = time.Now().Add(wait)
	}
	if err := d.conn.SetReadDeadline(deadline); err != nil {
		return err
	}
	n, err := d.conn.Read(d.buffer[:])
	d.unread = d.buffer[:n]
	if n > 0 {
		return nil
	}
	return err
}

// next reads one frame. Its errors are those of the connection.
func (d *decoder) next() (Frame, error) {
	if d.broken != nil {
		return Frame{}, d.broken
	}
	if err := d.begin(); err != nil {
		return Frame{}, err
	}
	var frame []byte
	over, stray, excess := false, false, 0
	for {
		if len(d.unread) == 0 {
			if err := d.fill(d.between); err != nil {
				return Frame{}, err
			}
		}
		i := firstMark(d.unread)
		part := d.unread
		if i >= 0 {
			part = d.unread[:i]
		}
		if room := d.max - len(frame); len(part) > room {
			excess += len(part) - room
			over, part = true, part[:room]
		}
		if excess > d.max { // it is answered, but not listened to any longer
			d.broken = errNoSender
			return verdict(frame, over, stray), nil
		}
		frame = append(frame, part...)
		if i < 0 {
			d.unread = nil
			continue
		}
		mark := d.unread[i]
		d.unread = d.unread[i+1:]
		if mark == vt {
			d.torn = true
			return Frame{frame, &hl7.Error{Code: "CPIS-H004", Location: "MSH", Reason: "a new frame began before this one had ended"}, true, false, 0}, nil
		}
		before := d.skipped
		whole, loose := d.end()
		if !whole { // an end mark in the middle of the message
			stray = true
			continue
		}
		f := verdict(frame, over, stray)
		f.Loose, f.Junk = loose, before
		return f, nil
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

func verdict(frame []byte, over, stray bool) Frame {
	switch {
	case over:
		return Frame{Message: frame, Fault: &hl7.Error{Code: "CPIS-H003", Location: "MSH", Reason: "the frame is larger than this listener takes"}}
	case stray:
		return Frame{Message: frame, Fault: &hl7.Error{Code: "CPIS-H004", Location: "MSH", Reason: "an end mark stands inside the message"}}
	}
	return Frame{Message: frame}
}

// begin skips to the next start mark.
func (d *decoder) begin() error {
	if d.torn {
		d.torn = false
		return nil
	}
	d.skipped = 0
	for {
		if len(d.unread) == 0 {
			wait := d.idle
			if d.skipped > 0 { // something was sent that is no frame: it has to go on soon
				wait = d.between
			}
			if err := d.fill(wait); err != nil {
				return err
			}
		}
		i := bytes.IndexByte(d.unread, vt)
		if i < 0 {
			d.junk += int64(len(d.unread))
			if d.skipped += len(bytes.Trim(d.unread, "\r\n\x00")); d.skipped > maxJunk {
				return errNoSender
			}
			d.unread = nil
			continue
		}
		d.junk += int64(i)
		d.skipped += len(bytes.Trim(d.unread[:i], "\r\n\x00"))
		d.unread = d.unread[i+1:]
		return nil
	}
}

// end looks at what follows an FS: CR, LF, the next start mark or nothing for
// a while end the frame; anything else does not.
func (d *decoder) end() (whole, loose bool) {
	if len(d.unread) == 0 {
		if err := d.fill(endGrace); err != nil {
			return true, true // the frame is whole; the next read tells of the connection
		}
	}
	switch d.unread[0] {
	case cr:
		d.unread = d.unread[1:]
		return true, false
	case lf:
		d.unread = d.unread[1:]
		return true, true
	case vt:
		return true, true
	}
	return false, false
}

// encode frames a message for one write.
func encode(message []byte) []byte {
	out := make([]byte, 0, len(message)+3)
	return append(append(append(out, vt), message...), fs, cr)
}
