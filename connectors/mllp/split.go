package mllp

import (
	"bytes"
	"net"
	"time"
)

// Split reads the frames of a stream that was recorded, as a listener would
// read them, with frames up to max bytes.
func Split(stream []byte, max int) []Frame {
	d := newDecoder(&recording{rest: bytes.NewReader(stream)}, max, 0, time.Hour)
	var out []Frame
	for {
		f, err := d.next()
		if err != nil {
			return out
		}
		out = append(out, f)
	}
}

// recording is a connection that gives what was recorded and then ends.
type recording struct {
	net.Conn // nil: only these are called
	rest     *bytes.Reader
}

func (r *recording) Read(p []byte) (int, error)      { return r.rest.Read(p) }
func (r *recording) SetReadDeadline(time.Time) error { return nil }
