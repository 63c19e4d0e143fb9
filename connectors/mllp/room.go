package mllp

import (
	"context"
	"errors"
	"net"
	"time"
)

// admit makes room for a connection; nil where there is none. A full listener
// takes the place of the longest quiet connection of the same host: most often
// the half that is left of one whose other end is gone.
func (s *Server) admit(conn net.Conn) *connection {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := &connection{host: host(conn.RemoteAddr())}
	if s.done {
		return nil
	}
	if len(s.conns) >= s.config.MaxConns && !s.replace(c.host) {
		s.turned.Add(1)
		if now := time.Now(); now.After(s.complain) {
			s.complain = now.Add(turnedPause)
			s.log.Warn("connection turned away, the listener is full", "from", conn.RemoteAddr().String(), "connections", len(s.conns))
		}
		return nil
	}
	s.conns[conn] = c
	s.open.Add(1)
	return c
}

// replace closes the longest quiet connection of a host. The caller holds mu.
func (s *Server) replace(host string) bool {
	var oldest net.Conn
	longest := s.config.StaleAfter
	for conn, c := range s.conns {
		if c.host != host || c.busy || c.d == nil {
			continue
		}
		if quiet := c.d.quietFor(); quiet >= longest {
			oldest, longest = conn, quiet
		}
	}
	if oldest == nil {
		return false
	}
	delete(s.conns, oldest)
	_ = oldest.Close()
	s.replaced.Add(1)
	return true
}

// slot is a connection's place among the large frames.
type slot struct {
	server *Server
	held   bool
}

// take waits for a place: the connection is not read meanwhile.
func (p *slot) take() error {
	wait := time.NewTimer(p.server.config.FrameTimeout)
	defer wait.Stop()
	select {
	case p.server.slots <- struct{}{}:
		p.held = true
		return nil
	case <-wait.C:
		return errors.New("too many large frames at once")
	case <-p.server.hands.Done():
		return context.Canceled
	}
}

func (p *slot) free() {
	if p.held {
		<-p.server.slots
		p.held = false
	}
}
