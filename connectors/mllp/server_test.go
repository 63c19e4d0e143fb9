package mllp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestRelease2 holds the wire against the commit protocol, byte by byte.
func TestRelease2(t *testing.T) {
	commit, refuse := "\x0b\x06\x1c\r", "\x0b\x15\x1c\r"
	h := &hospital{}
	s, _ := serve(t, h, Config{Release: 2})
	conn := dial(t, s)
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	expect := func(what, prefix string, inside ...string) {
		t.Helper()
		got := make([]byte, len(prefix))
		if _, err := io.ReadFull(conn, got); err != nil || string(got) != prefix {
			t.Fatalf("%s: %q %v", what, got, err)
		}
		if len(inside) == 0 {
			return
		}
		d := newDecoder(conn, 1<<20, 5*time.Second, 5*time.Second)
		f, err := d.next()
		if err != nil || !bytes.Contains(f.Message, []byte(inside[0])) {
			t.Fatalf("%s: %q %v", what, f.Message, err)
		}
	}
	write := func(text string) {
		t.Helper()
		if _, err := conn.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	write(framed("1"))
	expect("a message", commit, "MSA|AA|1")
	write(commit + framed("2")) // the sender's own commit block for the answer is swallowed
	expect("after its commit block", commit, "MSA|AA|2")
	write(refuse + framed("3"))
	expect("after its refusal", commit, "MSA|AA|3")
	write("\x0bhello\x1c\r") // refused, but safe in quarantine
	expect("a refused message", commit, "MSA|AR|")
	h.set(func(h *hospital) { h.fail = true })
	write(framed("4"))
	expect("a result that is not known", refuse)
	h.set(func(h *hospital) { h.fail = false })
	write("\x0b" + message("5")[:40] + framed("6"))
	expect("a torn frame and a whole one", commit, "MSA|AA|6")
}

func TestRelease2IsNeverGuessed(t *testing.T) {
	s, _ := serve(t, &hospital{}, Config{})
	conn := dial(t, s)
	_, _ = conn.Write([]byte("\x0b\x06\x1c\r" + framed("1")))
	if got := answers(t, conn, 2); strings.Join(got, " ") != "AR: AA:1" {
		t.Errorf("%v", got)
	}
}

func TestClientRelease2(t *testing.T) {
	h := &hospital{}
	s, _ := serve(t, h, Config{Release: 2})
	c, err := Dial(context.Background(), s.Addr().String(), ClientConfig{Release: 2})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		if answer, err := c.Send(context.Background(), []byte(message(fmt.Sprint(i)))); err != nil || !bytes.Contains(answer, []byte("MSA|AA|")) {
			t.Fatalf("%q %v", answer, err)
		}
	}
	h.set(func(h *hospital) { h.fail = true })
	if _, err := c.Send(context.Background(), []byte(message("9"))); !errors.Is(err, ErrNotCommitted) {
		t.Errorf("not committed: %v", err)
	}
	one, _ := serve(t, &hospital{}, Config{})
	if c, err = Dial(context.Background(), one.Addr().String(), ClientConfig{Release: 2}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Send(context.Background(), []byte(message("1"))); !errors.Is(err, errNoCommit) {
		t.Errorf("a receiver of release 1: %v", err)
	}
}

// TestLargeFramesTakeTurns: with one slot, two senders of large frames are both
// answered, one after the other, and small frames pass them by.
func TestLargeFramesTakeTurns(t *testing.T) {
	h := &hospital{block: make(chan struct{})}
	s, _ := serve(t, h, Config{LargeFrames: 1})
	large := func(id string) string {
		return "\x0b" + strings.Replace(message(id), "PID|1", "PID|1"+strings.Repeat("|"+strings.Repeat("x", 50<<10), 4), 1) + "\x1c\r"
	}
	one, two := dial(t, s), dial(t, s)
	write := func(c net.Conn, text string) {
		_, _ = c.Write([]byte(text))
	}
	go write(one, large("1"))
	waitFor(t, func() bool { return s.Stats().Messages == 1 })
	go write(two, large("2"))
	small := dial(t, s)
	write(small, framed("3"))
	waitFor(t, func() bool { return s.Stats().Messages == 2 }) // 1 and 3, for 2 is not read
	if len(s.slots) != 1 {
		t.Errorf("%d slots taken", len(s.slots))
	}
	close(h.block)
	for id, conn := range map[string]net.Conn{"1": one, "2": two, "3": small} {
		if got := answers(t, conn, 1); len(got) != 1 || got[0] != "AA:"+id {
			t.Errorf("message %s: %v", id, got)
		}
	}
	waitFor(t, func() bool { return len(s.slots) == 0 })
}

// TestStaleConnectionsGiveWay: the half of a connection whose other end is gone
// does not keep its sender out.
func TestStaleConnectionsGiveWay(t *testing.T) {
	s, _ := serve(t, &hospital{}, Config{MaxConns: 2, StaleAfter: time.Millisecond})
	old, younger := dial(t, s), dial(t, s)
	quiet := func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, c := range s.conns {
			if c.d == nil || c.d.quietFor() < time.Millisecond {
				return false
			}
		}
		return true
	}
	_, _ = old.Write([]byte(framed("1")))
	answers(t, old, 1)
	waitFor(t, quiet) // old waits again before younger does
	_, _ = younger.Write([]byte(framed("2")))
	answers(t, younger, 1)
	waitFor(t, quiet)
	again := dial(t, s)
	_, _ = again.Write([]byte(framed("3")))
	if got := answers(t, again, 1); len(got) != 1 {
		t.Errorf("the new connection is not served: %+v", s.Stats())
	}
	if _, err := old.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("the longest quiet one: %v", err)
	}
	_, _ = younger.Write([]byte(framed("4")))
	if got := answers(t, younger, 1); len(got) != 1 {
		t.Error("the younger one is gone too")
	}
	if st := s.Stats(); st.Replaced != 1 || st.Turned != 0 {
		t.Errorf("%+v", st)
	}
}

// TestProbesAndStrangers are told apart in counters and in the log, which never
// holds what they sent.
func TestProbesAndStrangers(t *testing.T) {
	var log safeBuffer
	h := &hospital{}
	s, err := Listen(Config{Listen: "127.0.0.1:0", Name: "ed"}, h.handle, slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelInfo})))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	stopped := make(chan struct{})
	go func() { _ = s.Run(ctx); close(stopped) }()
	defer func() { cancel(); <-stopped }()
	for range 3 {
		_ = dial(t, s).Close()
	}
	waitFor(t, func() bool { return s.Stats().Probes == 3 })
	if text := log.String(); text != "" {
		t.Errorf("a probe in the log: %s", text)
	}
	for sent, word := range map[string]string{
		"GET /secret HTTP/1.1\r\n\r\n": "looks like HTTP", "\x16\x03\x01\x02\x00\x01secret": "looks like a TLS handshake", "MSH|^~\\&|secret": "HL7 without a frame",
	} {
		conn := dial(t, s)
		_, _ = conn.Write([]byte(sent))
		_ = conn.(*net.TCPConn).CloseWrite()
		_, _ = io.ReadAll(conn)
		waitFor(t, func() bool { return strings.Contains(log.String(), word) })
	}
	if st := s.Stats(); st.Strangers != 3 || st.Messages != 0 || strings.Contains(log.String(), "secret") {
		t.Errorf("%+v\n%s", st, log.String())
	}
}

// TestHundredsOfConnections: 300 senders, each with 20 messages on the way at
// once, are all answered in their own order.
func TestHundredsOfConnections(t *testing.T) {
	s, _ := serve(t, &hospital{}, Config{})
	var wait sync.WaitGroup
	for i := range 300 {
		wait.Go(func() {
			conn, err := net.Dial("tcp", s.Addr().String())
			if err != nil {
				t.Error(err)
				return
			}
			defer func() { _ = conn.Close() }()
			var out, want []string
			for j := range 20 {
				id := fmt.Sprintf("%d-%d", i, j)
				out, want = append(out, framed(id)), append(want, "AA:"+id)
			}
			go func() { _, _ = conn.Write([]byte(strings.Join(out, ""))) }()
			d := newDecoder(conn, 1<<20, 20*time.Second, 20*time.Second)
			for _, w := range want {
				f, err := d.next()
				if err != nil || !bytes.Contains(f.Message, []byte("MSA|AA|"+w[3:]+"\r")) {
					t.Errorf("%s: %q %v", w, f.Message, err)
					return
				}
			}
		})
	}
	wait.Wait()
}

// TestCasesWire are the rest of the cases from the field that are about time
// and size on the wire: 2, 7, 8, 13, 14, 15 and 67.
func TestCasesWire(t *testing.T) {
	pieces := func(text string, n int) []string {
		var out []string
		for ; len(text) > n; text = text[n:] {
			out = append(out, text[:n])
		}
		return append(out, text)
	}
	field := func(id string, size int) string {
		return "\x0b" + strings.Replace(message(id), "PID|1", "PID|1"+strings.Repeat("|"+strings.Repeat("x", 60<<10), size/(60<<10)), 1) + "\x1c\r"
	}
	for name, c := range map[string]struct {
		pieces []string
		pause  time.Duration
		want   string
	}{
		"2 LF, and the next is larger than a buffer": {[]string{framed("1") + "\n" + field("2", 60<<10)}, 0, "AA:1 AA:2"},
		"7 CR long after FS":                         {[]string{"\x0b" + message("1") + "\x1c", "\r", framed("2")}, 400 * time.Millisecond, "AA:1 AA:2"},
		"8 half a frame, a pause, the rest":          {[]string{framed("1")[:30], framed("1")[30:]}, 600 * time.Millisecond, "AA:1"},
		"13 over many segments":                      {pieces(field("1", 120<<10), 1460), 0, "AA:1"},
		"14 the last character":                      {[]string{"\x0b" + strings.TrimSuffix(message("1"), "\r") + "Z\x1c\r"}, 0, "AA:1"},
		"15 a message of 900 KB":                     {[]string{field("1", 900<<10)}, 0, "AA:1"},
		"15 a message beyond the limit":              {[]string{field("1", 1100<<10) + framed("2")}, 0, "AR:1 AA:2"},
		"67 quiet, then a message":                   {[]string{framed("1"), framed("2")}, 400 * time.Millisecond, "AA:1 AA:2"},
	} {
		t.Run(name, func(t *testing.T) {
			h := &hospital{}
			s, _ := serve(t, h, Config{})
			conn := dial(t, s)
			go func() {
				for i, p := range c.pieces {
					if i > 0 && c.pause > 0 {
						<-time.After(c.pause)
					}
					if _, err := conn.Write([]byte(p)); err != nil {
						return
					}
				}
			}()
			if got := strings.Join(answers(t, conn, strings.Count(c.want, ":")), " "); got != c.want {
				t.Errorf("answered %q, want %q", got, c.want)
			}
		})
	}
}

// waitFor waits until something is so.
func waitFor(t *testing.T, so func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !so(); {
		if time.Now().After(deadline) {
			t.Fatal("it did not come about")
		}
		<-time.After(time.Millisecond)
	}
}

// safeBuffer is a log that several goroutines write.
type safeBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *safeBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// stream is a connection that gives the same bytes over and over.
type stream struct {
	net.Conn
	text []byte
	at   int
}

func (s *stream) Read(p []byte) (int, error) {
	n := copy(p, s.text[s.at:])
	s.at = (s.at + n) % len(s.text)
	return n, nil
}
func (*stream) SetReadDeadline(time.Time) error { return nil }

// BenchmarkFrames reads frames of one kilobyte.
func BenchmarkFrames(b *testing.B) {
	text := "\x0b" + message("1") + "ZZZ|" + strings.Repeat("x", 1024-len(message("1"))-5) + "\r\x1c\r"
	d := newDecoder(&stream{text: []byte(text)}, 1<<20, 0, time.Second)
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		if f, err := d.next(); err != nil || f.Fault != nil {
			b.Fatal(err, f.Fault)
		}
	}
}

// TestTheLastAnswerIsNotDestroyed: a sender of a frame that is far too large is
// answered, and then sees an orderly end. A reset in its place would take the
// answer with it on some systems.
func TestTheLastAnswerIsNotDestroyed(t *testing.T) {
	s, _ := serve(t, &hospital{}, Config{MaxFrame: 10 << 10})
	conn := dial(t, s)
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := conn.Write([]byte("\x0b" + strings.Replace(message("1"), "PID|1", "PID|"+strings.Repeat("x", 4<<20), 1) + "\x1c\r")); err != nil {
		t.Errorf("cut off while it was sending: %v", err)
	}
	got, err := io.ReadAll(conn)
	if err != nil || !bytes.Contains(got, []byte("MSA|AR|1\r")) {
		t.Errorf("answered %q, then %v", got, err)
	}
}
