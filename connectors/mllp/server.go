package mllp

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"cpis/connectors"
	"cpis/connectors/hl7"
	"cpis/connectors/identity"
)

// Handler takes one frame and returns the messages to send back; each is
// framed, and all go in one write. None means that nothing is sent and the
// connection goes on. A frame with a Fault is given to it too, to be kept and
// refused; for a torn one no answer is sent whatever it returns, for its sender
// has moved on.
//
// An error means that the result is not known: the connection is closed with
// no answer, so that the sender sends again. The same happens when it takes
// longer than Config.AnswerBudget, for an answer that comes late could be taken
// for the next message's.
type Handler func(ctx context.Context, from Peer, f Frame) (answers [][]byte, err error)

// Config of a listener.
type Config struct {
	Name         string        // of the listener, as profiles and logs know it
	Listen       string        // host:port; port 0 takes a free one
	Release      int           // of MLLP: 1, the default, or 2 with commit blocks; never guessed
	TLS          *tls.Config   // nil: plain TCP
	MaxConns     int           // default 512
	MaxFrame     int           // bytes; default hl7.MaxMessage
	LargeFrames  int           // frames beyond 64 KiB that may be in hand at once; default 32
	IdleTimeout  time.Duration // default 0: a connection may be quiet for days
	FrameTimeout time.Duration // longest silence inside a frame; default 30 s
	AnswerBudget time.Duration // default 4 s: below the 5 s after which common senders give up
	DrainTimeout time.Duration // how long stopping waits for messages in hand; default 5 s
	StaleAfter   time.Duration // quiet time after which a full listener lets a connection of the same host take its place; default 2 min
}

func (c Config) withDefaults() Config {
	pick := func(d *time.Duration, other time.Duration) {
		if *d == 0 {
			*d = other
		}
	}
	number := func(n *int, other int) {
		if *n == 0 {
			*n = other
		}
	}
	number(&c.MaxConns, 512)
	number(&c.MaxFrame, hl7.MaxMessage)
	number(&c.LargeFrames, 32)
	pick(&c.FrameTimeout, 30*time.Second)
	pick(&c.AnswerBudget, 4*time.Second)
	pick(&c.DrainTimeout, 5*time.Second)
	pick(&c.StaleAfter, 2*time.Minute)
	return c
}

const (
	keepAlive     = time.Minute      // how often a quiet connection is tested
	writeTime     = 10 * time.Second // bounds one answer
	handshakeTime = 10 * time.Second // bounds a TLS handshake
	turnedPause   = time.Minute      // between two warnings that the listener is full
)

// Stats counts since the listener was opened.
type Stats struct {
	Connections int64 // open now
	Turned      int64 // closed at once, since there were too many
	Replaced    int64 // closed since another of the same host took their place
	Probes      int64 // connected and hung up without a byte
	Strangers   int64 // spoke another protocol, or failed to prove who they are
	Messages    int64
	Faults      int64
	Junk        int64 // bytes outside frames that have no business there
}

// Server takes messages on a listener. It is a connectors.Source.
type Server struct {
	config   Config
	listener net.Listener
	handle   Handler
	log      *slog.Logger
	slots    chan struct{} // taken by frames beyond smallFrame

	hands context.Context // of handlers; ends when stopping has waited long enough
	drop  context.CancelFunc

	open, turned, replaced, probes, strangers, messages, faults, junk atomic.Int64

	mu       sync.Mutex
	conns    map[net.Conn]*connection // guarded by mu
	proofs   map[string]time.Time     // until when the certificate of a name is good; guarded by mu
	done     bool                     // no message may begin; guarded by mu
	complain time.Time                // when "full" may be logged again; guarded by mu
}

// connection is what the server knows of one peer.
type connection struct {
	host string
	busy bool     // a message is in hand; guarded by the server's mu
	d    *decoder // nil until the handshake is done; guarded by the server's mu
}

var _ connectors.Source = (*Server)(nil)

// Listen opens the listener, so that its address is known; Run serves it.
func Listen(c Config, handle Handler, log *slog.Logger) (*Server, error) {
	c = c.withDefaults()
	if err := checkRelease(c.Release); err != nil {
		return nil, err
	}
	l, err := (&net.ListenConfig{KeepAlive: keepAlive}).Listen(context.Background(), "tcp", c.Listen)
	if err != nil {
		return nil, fmt.Errorf("listen for mllp: %w", err)
	}
	hands, drop := context.WithCancel(context.Background())
	return &Server{config: c, listener: l, handle: handle, log: log.With("listener", c.Name), slots: make(chan struct{}, c.LargeFrames),
		hands: hands, drop: drop, conns: map[net.Conn]*connection{}, proofs: map[string]time.Time{}}, nil
}

// Addr is where the server listens.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// Name is the listener's name.
func (s *Server) Name() string { return s.config.Name }

// maxProofs bounds how many names are remembered.
const maxProofs = 10_000

// proved notes until when a sender's certificate is good.
func (s *Server) proved(names []string, state tls.ConnectionState) {
	if names == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, name := range names {
		if len(s.proofs) < maxProofs {
			s.proofs[name] = state.PeerCertificates[0].NotAfter
		}
	}
}

// Certificates says until when the certificate of each name is good that has connected.
func (s *Server) Certificates() map[string]time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.proofs)
}

// Stats reports the counters.
func (s *Server) Stats() Stats {
	return Stats{s.open.Load(), s.turned.Load(), s.replaced.Load(), s.probes.Load(), s.strangers.Load(), s.messages.Load(), s.faults.Load(), s.junk.Load()}
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
		if c := s.admit(conn); c != nil {
			wait.Go(func() { s.serve(conn, c) })
		} else {
			_ = conn.Close()
		}
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
	for conn, c := range s.conns {
		if !c.busy {
			_ = conn.Close()
		}
	}
}

func (s *Server) serve(raw net.Conn, c *connection) {
	defer func() {
		s.mu.Lock()
		delete(s.conns, raw)
		s.mu.Unlock()
		s.open.Add(-1)
		_ = raw.Close()
	}()
	from := Peer{Remote: raw.RemoteAddr().String(), Listener: s.config.Name}
	conn := raw
	if s.config.TLS != nil {
		secure, err := s.handshake(raw)
		if err != nil {
			s.unproven(from, err)
			return
		}
		conn, from.Names = secure, identity.Names(secure.ConnectionState())
		s.proved(from.Names, secure.ConnectionState())
	}
	d := newDecoder(conn, s.config.MaxFrame, s.config.IdleTimeout, s.config.FrameTimeout)
	slot := &slot{server: s}
	d.large = slot.take
	s.mu.Lock()
	c.d = d
	s.mu.Unlock()
	for {
		f, err := d.next()
		if err != nil {
			slot.free()
			s.ended(from, d, err)
			if errors.Is(err, errNoSender) {
				linger(conn)
			}
			return
		}
		s.junk.Add(int64(f.Junk))
		if s.config.Release == 2 && s.commitment(from, f) {
			continue
		}
		if !s.begin(c) {
			slot.free()
			return
		}
		err = s.answer(conn, from, f)
		slot.free()
		if !s.finish(c) || err != nil {
			if err != nil {
				s.log.Warn("connection closed without an answer", "from", from.Remote, "error", err)
			}
			return
		}
	}
}

func (s *Server) handshake(raw net.Conn) (*tls.Conn, error) {
	ctx, cancel := context.WithTimeout(s.hands, handshakeTime)
	defer cancel()
	secure := tls.Server(raw, s.config.TLS)
	return secure, secure.HandshakeContext(ctx)
}

// unproven is a peer whose handshake failed; most often a probe, or a sender
// that is not set up for TLS.
func (s *Server) unproven(from Peer, err error) {
	if errors.Is(err, io.EOF) {
		s.probes.Add(1)
		s.log.Debug("probe", "from", from.Remote)
		return
	}
	s.strangers.Add(1)
	var header tls.RecordHeaderError
	if errors.As(err, &header) {
		s.log.Info("connection refused: no TLS", "from", from.Remote, "it", string(looksLike(header.RecordHeader[:])))
		return
	}
	s.log.Info("connection refused", "from", from.Remote, "error", err)
}

// ended tells of the end of a connection in the tone it deserves.
func (s *Server) ended(from Peer, d *decoder, err error) {
	switch {
	case errors.Is(err, errNoSender), errors.Is(err, errStranger):
		s.strangers.Add(1)
		s.log.Info("connection closed", "from", from.Remote, "it", string(looksLike(d.head)), "error", err)
	case errors.Is(err, errInside):
		s.log.Info("connection lost", "from", from.Remote, "error", err)
	case !d.spoke && d.junk+d.filler == 0:
		s.probes.Add(1)
		s.log.Debug("probe", "from", from.Remote)
	case !d.spoke:
		s.strangers.Add(1)
		s.log.Info("connection ended without a frame", "from", from.Remote, "it", string(looksLike(d.head)))
	default:
		s.log.Debug("connection ended", "from", from.Remote, "error", err)
	}
}

const (
	lingerTime  = time.Second // how long a peer that is not listened to any more
	lingerBytes = 16 << 20    // may go on, and how much
)

// linger lets a peer read its last answer: to close while it still sends would
// destroy the answer on its way.
func linger(conn net.Conn) {
	half, ok := conn.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil || conn.SetReadDeadline(time.Now().Add(lingerTime)) != nil {
		return
	}
	_, _ = io.CopyN(io.Discard, conn, lingerBytes)
}

// begin marks a message as in hand; false when the server is stopping.
func (s *Server) begin(c *connection) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.done {
		return false
	}
	c.busy = true
	return true
}

// finish reports whether the connection may go on.
func (s *Server) finish(c *connection) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	c.busy = false
	return !s.done
}

// commitment swallows a sender's commit block for one of our answers.
func (s *Server) commitment(from Peer, f Frame) bool {
	block, ok := f.commitBlock()
	if ok && block == notCommitted {
		s.log.Warn("the sender could not store an answer", "from", from.Remote)
	}
	return ok
}

// errLate is an answer that is not sent any more.
var errLate = errors.New("the answer took too long")

// answer lets the handler take a frame and sends what it returns. An error ends
// the connection.
func (s *Server) answer(conn net.Conn, from Peer, f Frame) error {
	ctx, cancel := context.WithTimeout(s.hands, s.config.AnswerBudget)
	defer cancel()
	if f.Fault != nil {
		s.faults.Add(1)
	} else {
		s.messages.Add(1)
	}
	answers, err := s.handle(ctx, from, f)
	if err == nil && ctx.Err() != nil {
		err = errLate
	}
	var out []byte
	switch {
	case f.Torn && err == nil:
		return nil
	case s.config.Release == 2 && err != nil && !errors.Is(err, errLate):
		s.log.Warn("message not committed", "from", from.Remote, "error", err)
		out = appendFrame(out, []byte{notCommitted})
	case err != nil:
		return err
	default:
		if s.config.Release == 2 {
			out = appendFrame(out, []byte{committed})
		}
		for _, a := range answers {
			out = appendFrame(out, a)
		}
	}
	if len(out) == 0 {
		return nil
	}
	if err := conn.SetWriteDeadline(time.Now().Add(writeTime)); err != nil {
		return err
	}
	_, err = conn.Write(out) // one write: some senders read once
	return err
}
