package mllp

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"cpis/connectors"
	"cpis/connectors/hl7"
)

// Peer is who sends.
type Peer struct {
	Remote   string   // address, host:port
	Listener string   // Config.Name
	Names    []string // of its verified certificate; nil without one
}

// Handler takes one frame and returns the messages to send back, in one write.
// An error means that the result is not known: the connection is closed with no
// answer, so that the sender sends again.
type Handler func(ctx context.Context, from Peer, f Frame) (answers [][]byte, err error)

// Config of a listener.
type Config struct {
	Listen       string        // host:port; port 0 takes a free one
	MaxConns     int           // default 512; a connection more is closed at once
	MaxFrame     int           // bytes; default hl7.MaxMessage
	IdleTimeout  time.Duration // default 0: a connection may be quiet for days
	FrameTimeout time.Duration // longest silence inside a frame; default 30 s
	AnswerBudget time.Duration // default 4 s: below the 5 s after which common senders give up
	DrainTimeout time.Duration // how long stopping waits for messages in hand; default 5 s
	TLS          *tls.Config   // nil: plain TCP
}

func (c Config) withDefaults() Config {
	pick := func(d *time.Duration, other time.Duration) {
		if *d == 0 {
			*d = other
		}
	}
	if c.MaxConns == 0 {
		c.MaxConns = 512
	}
	if c.MaxFrame == 0 {
		c.MaxFrame = hl7.MaxMessage
	}
	pick(&c.FrameTimeout, 30*time.Second)
	pick(&c.AnswerBudget, 4*time.Second)
	pick(&c.DrainTimeout, 5*time.Second)
	return c
}

// keepAlive is how often a quiet connection is tested.
const keepAlive = time.Minute

// writeTime bounds one answer.
const writeTime = 10 * time.Second

// Stats counts since the listener was opened.
type Stats struct {
	Connections int64 // open now
	Turned      int64 // closed at once, since there were too many
	Messages    int64
	Faults      int64
	Junk        int64 // bytes outside frames
}

// Server takes messages on a listener. It is a connectors.Source.
type Server struct {
	config   Config
	listener net.Listener
	handle   Handler
	log      *slog.Logger

	hands context.Context // of handlers; ends when stopping has waited long enough
	drop  context.CancelFunc

	open, turned, messages, faults, junk atomic.Int64

	mu    sync.Mutex
	conns map[net.Conn]bool // guarded by mu; true while a message is in hand
	done  bool              // guarded by mu; no message may begin
}

var _ connectors.Source = (*Server)(nil)

// Listen opens the listener, so that its address is known; Run serves it.
func Listen(c Config, handle Handler, log *slog.Logger) (*Server, error) {
	c = c.withDefaults()
	l, err := (&net.ListenConfig{KeepAlive: keepAlive}).Listen(context.Background(), "tcp", c.Listen)
	if err != nil {
		return nil, fmt.Errorf("listen for mllp: %w", err)
	}
	if c.TLS != nil {
		l = tls.NewListener(l, c.TLS)
	}
	hands, drop := context.WithCancel(context.Background())
	return &Server{config: c, listener: l, handle: handle, log: log, hands: hands, drop: drop, conns: map[net.Conn]bool{}}, nil
}

// Addr is where the server listens.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// Stats reports the counters.
func (s *Server) Stats() Stats {
	return Stats{s.open.Load(), s.turned.Load(), s.messages.Load(), s.faults.Load(), s.junk.Load()}
}

// Run serves until ctx ends. Then it takes no new message, answers those in
// hand within DrainTimeout, and closes every connection.
func (s *Server) Run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, s.drain)
	defer stop()
	var wait sync.WaitGroup
	for {
		conn, err := s.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			break
		}
		if err != nil { // out of descriptors, mostly: others may close theirs
			s.log.Warn("cannot accept a connection", "error", err)
			select {
			case <-ctx.Done():
			case <-time.After(100 * time.Millisecond):
			}
			continue
		}
		if !s.admit(conn) {
			s.turned.Add(1)
			_ = conn.Close()
			continue
		}
		wait.Go(func() { s.serve(conn) })
	}
	defer s.drop()
	force := time.AfterFunc(s.config.DrainTimeout, func() {
		s.drop()
		s.mu.Lock()
		defer s.mu.Unlock()
		for c := range s.conns {
			_ = c.Close()
		}
	})
	defer force.Stop()
	wait.Wait()
	return nil
}

// Close closes the listener of a server that is not run.
func (s *Server) Close() error {
	s.drop()
	if err := s.listener.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

func (s *Server) drain() {
	_ = s.listener.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.done = true
	for c, busy := range s.conns {
		if !busy {
			_ = c.Close()
		}
	}
}

func (s *Server) admit(c net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.done || len(s.conns) >= s.config.MaxConns {
		return false
	}
	s.conns[c] = false
	s.open.Add(1)
	return true
}

func (s *Server) serve(conn net.Conn) {
	defer func() {
		s.mu.Lock()
		delete(s.conns, conn)
		s.mu.Unlock()
		s.open.Add(-1)
		_ = conn.Close()
	}()
	from := Peer{Remote: conn.RemoteAddr().String()}
	if secure, ok := conn.(*tls.Conn); ok {
		ctx, cancel := context.WithTimeout(s.hands, s.config.FrameTimeout)
		err := secure.HandshakeContext(ctx)
		cancel()
		if err != nil {
			s.log.Info("connection refused", "from", from.Remote, "error", err)
			return
		}
	}
	d := &decoder{conn: conn, max: s.config.MaxFrame, idle: s.config.IdleTimeout, between: s.config.FrameTimeout}
	for {
		f, err := d.next()
		s.junk.Add(d.junk)
		d.junk = 0
		if err != nil { // the sender hung up, or we are stopping; a probe is no error
			s.log.Debug("connection ended", "from", from.Remote, "error", err)
			return
		}
		if !s.begin(conn) {
			return
		}
		err = s.answer(conn, from, f)
		if !s.finish(conn) || err != nil {
			if err != nil {
				s.log.Warn("connection closed without an answer", "from", from.Remote, "error", err)
			}
			return
		}
	}
}

// begin marks a message as in hand; false when the server is stopping.
func (s *Server) begin(c net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.done {
		return false
	}
	s.conns[c] = true
	return true
}

// finish reports whether the connection may go on.
func (s *Server) finish(c net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conns[c] = false
	return !s.done
}

// errLate is an answer that is not sent any more.
var errLate = errors.New("the answer took too long")

func (s *Server) answer(conn net.Conn, from Peer, f Frame) error {
	ctx, cancel := context.WithTimeout(s.hands, s.config.AnswerBudget)
	defer cancel()
	if f.Fault != nil {
		s.faults.Add(1)
	} else {
		s.messages.Add(1)
	}
	answers, err := s.handle(ctx, from, f)
	switch {
	case err != nil:
		return err
	case ctx.Err() != nil:
		return errLate
	case f.Torn || len(answers) == 0:
		return nil
	}
	if err := conn.SetWriteDeadline(time.Now().Add(writeTime)); err != nil {
		return err
	}
	var out []byte
	for _, a := range answers {
		out = append(out, encode(a)...)
	}
	_, err = conn.Write(out) // one write: some senders read once
	return err
}
