package mllp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"cpis/connectors/hl7"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func message(id string) string { return "MSH|^~\\&|A|B|C|D|||ADT^A04|" + id + "|P|2.4\rPID|1\r" }

func framed(id string) string { return "\x0b" + message(id) + "\x1c\r" }

// hospital is a server that answers each message with AA and remembers it.
type hospital struct {
	mu     sync.Mutex
	got    []string
	faults []string
	block  chan struct{} // where set, messages wait for it
	fail   bool
	from   Peer // of the last message
}

func (h *hospital) set(change func(*hospital)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	change(h)
}

func (h *hospital) handle(ctx context.Context, from Peer, f Frame) ([][]byte, error) {
	if f.Fault != nil {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.faults = append(h.faults, f.Fault.Code)
		return [][]byte{hl7.AckRaw(f.Message, hl7.AR, hl7.AckOptions{Error: f.Fault})}, nil
	}
	raw := f.Message
	if h.block != nil {
		select {
		case <-h.block:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	m, err := hl7.Parse(raw)
	if err != nil {
		var e *hl7.Error
		errors.As(err, &e)
		return [][]byte{hl7.AckRaw(raw, hl7.AR, hl7.AckOptions{Error: e})}, nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.fail {
		return nil, errors.New("result unknown")
	}
	h.from = from
	h.got = append(h.got, m.Value("MSH-10"))
	return [][]byte{hl7.Ack(m, hl7.AA, hl7.AckOptions{})}, nil
}

func serve(t *testing.T, h *hospital, c Config) (*Server, func()) {
	t.Helper()
	c.Listen = "127.0.0.1:0"
	s, err := Listen(c, h.handle, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	stopped := make(chan struct{})
	go func() { _ = s.Run(ctx); close(stopped) }()
	stop := sync.OnceFunc(func() { cancel(); <-stopped })
	t.Cleanup(stop)
	return s, stop
}

func dial(t *testing.T, s *Server) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// answers reads acknowledgements until n came or the server hangs up.
func answers(t *testing.T, c net.Conn, n int) []string {
	t.Helper()
	d := newDecoder(c, 1<<20, 3*time.Second, 3*time.Second)
	var out []string
	for len(out) < n {
		f, err := d.next()
		if err != nil {
			return out
		}
		m, err := hl7.Parse(f.Message)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, m.Value("MSA-1")+":"+m.Value("MSA-2"))
	}
	return out
}

// TestTorture is the table of what senders do to frames, each case written to
// a socket whole, byte by byte, and cut in two at every place.
func TestTorture(t *testing.T) {
	long := strings.Replace(message("big"), "PID|1", "PID|"+strings.Repeat("x", 5000), 1)
	cases := map[string]struct {
		bytes   string
		answers string
		faults  string
	}{
		"two frames at once":       {framed("1") + framed("2"), "AA:1 AA:2", ""},
		"FS CR LF":                 {framed("1") + "\n" + framed("2"), "AA:1 AA:2", ""},
		"NULs between":             {framed("1") + "\x00\x00" + framed("2"), "AA:1 AA:2", ""},
		"FS then next frame":       {"\x0b" + message("1") + "\x1c" + framed("2"), "AA:1 AA:2", ""},
		"FS LF":                    {"\x0b" + message("1") + "\x1c\n" + framed("2"), "AA:1 AA:2", ""},
		"garbage before":           {"hello" + framed("1"), "AA:1", ""},
		"torn frame":               {"\x0b" + message("1")[:40] + framed("2"), "AA:2", "CPIS-H004"},
		"torn twice":               {"\x0b" + message("1")[:40] + "\x0b" + message("2")[:40] + framed("3"), "AA:3", "CPIS-H004 CPIS-H004"},
		"end mark inside":          {"\x0b" + strings.Replace(message("1"), "PID|1", "PID|\x1cx", 1) + "\x1c\r" + framed("2"), "AR:1 AA:2", "CPIS-H004"},
		"empty frame":              {"\x0b\x1c\r" + framed("2"), "AR: AA:2", ""},
		"no HL7":                   {"\x0bhello\x1c\r" + framed("2"), "AR: AA:2", ""},
		"larger than the limit":    {"\x0b" + long + "\x1c\r" + framed("2"), "AR:big AA:2", "CPIS-H003"},
		"no frame, then one":       {message("1") + framed("2"), "AA:2", ""},
		"FS and nothing more":      {"\x0b" + message("1") + "\x1c", "AA:1", ""},
		"the same message twice":   {framed("1") + framed("1"), "AA:1 AA:1", ""},
		"leading line end and BOM": {"\x0b\r\n\xef\xbb\xbf" + message("1") + "\x1c\r", "AA:1", ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			for _, cut := range []string{"whole", "bytes", "two"} {
				h := &hospital{}
				s, stop := serve(t, h, Config{MaxFrame: 4096})
				conn := dial(t, s)
				want := strings.Fields(c.answers)
				go func() {
					parts := [][]byte{[]byte(c.bytes)}
					switch cut {
					case "bytes":
						parts = nil
						for _, b := range []byte(c.bytes) {
							parts = append(parts, []byte{b})
						}
					case "two":
						parts = [][]byte{[]byte(c.bytes[:len(c.bytes)/2]), []byte(c.bytes[len(c.bytes)/2:])}
					}
					for _, p := range parts {
						_, _ = conn.Write(p)
					}
				}()
				got := answers(t, conn, len(want))
				stop()
				if strings.Join(got, " ") != c.answers || strings.Join(h.faults, " ") != c.faults {
					t.Errorf("%s: answers %v faults %v, want %q and %q", cut, got, h.faults, c.answers, c.faults)
				}
			}
		})
	}
}

func TestPeersThatAreNoSendersAreLetGo(t *testing.T) {
	for name, bytes := range map[string]string{
		"HTTP": "GET / HTTP/1.1\r\n\r\n", "no frame, much of it": strings.Repeat("x", maxJunk+10), "a frame without an end": "\x0b" + strings.Repeat("x", 10_000),
	} {
		s, _ := serve(t, &hospital{}, Config{MaxFrame: 1000, FrameTimeout: 100 * time.Millisecond})
		conn := dial(t, s)
		_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
		_, _ = conn.Write([]byte(bytes))
		answer, err := io.ReadAll(conn)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%s: the connection stays open", name)
		}
		if refused := strings.Contains(string(answer), "MSA|AR|"); refused != strings.Contains(name, "without an end") {
			t.Errorf("%s: answered %q", name, answer)
		}
	}
}

func TestStoppingDoesNotWaitForEver(t *testing.T) {
	h := &hospital{block: make(chan struct{})}
	s, stop := serve(t, h, Config{DrainTimeout: 50 * time.Millisecond, AnswerBudget: time.Minute})
	conn := dial(t, s)
	_, _ = conn.Write([]byte(framed("1")))
	for s.Stats().Messages == 0 {
		<-time.After(time.Millisecond)
	}
	start := time.Now()
	stop()
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("stopping took %s", took)
	}
	close(h.block)
}

func TestUnknownResultClosesWithoutAnAnswer(t *testing.T) {
	s, _ := serve(t, &hospital{fail: true}, Config{})
	conn := dial(t, s)
	_, _ = conn.Write([]byte(framed("1")))
	if got, err := io.ReadAll(conn); err != nil || len(got) > 0 {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestNoAnswerIsLate(t *testing.T) {
	h := &hospital{block: make(chan struct{})}
	s, _ := serve(t, h, Config{AnswerBudget: 50 * time.Millisecond})
	conn := dial(t, s)
	_, _ = conn.Write([]byte(framed("1")))
	if got, err := io.ReadAll(conn); err != nil || len(got) > 0 {
		t.Errorf("got %q, %v", got, err)
	}
	close(h.block)
}

func TestStoppingAnswersWhatIsInHand(t *testing.T) {
	h := &hospital{block: make(chan struct{})}
	s, stop := serve(t, h, Config{})
	busy, idle := dial(t, s), dial(t, s)
	_, _ = busy.Write([]byte(framed("1")))
	for s.Stats().Messages == 0 {
		<-time.After(time.Millisecond)
	}
	go stop()
	if _, err := idle.Read(make([]byte, 1)); err == nil {
		t.Error("an idle connection stays open")
	}
	close(h.block)
	if got := answers(t, busy, 1); len(got) != 1 || got[0] != "AA:1" {
		t.Errorf("in hand: %v", got)
	}
	stop()
	if _, err := net.Dial("tcp", s.Addr().String()); err == nil {
		t.Error("still listening")
	}
}

func TestTooManyConnections(t *testing.T) {
	s, _ := serve(t, &hospital{}, Config{MaxConns: 2})
	a, b := dial(t, s), dial(t, s)
	for s.Stats().Connections < 2 {
		<-time.After(time.Millisecond)
	}
	c := dial(t, s)
	if got, err := io.ReadAll(c); err != nil || len(got) > 0 {
		t.Errorf("the third: %q %v", got, err)
	}
	for i, conn := range []net.Conn{a, b} {
		_, _ = conn.Write([]byte(framed(fmt.Sprint(i))))
		if got := answers(t, conn, 1); len(got) != 1 {
			t.Error("one of the first two is not served")
		}
	}
}

func TestClientTakesNoAnswerToAnotherMessage(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	answers := []string{"MSH|^~\\&|\rMSA|AA|other\r", "MSH|^~\\&|\rMSA|AA|\r", "MSH|^~\\&|\r"}
	go func() {
		for _, answer := range answers {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = c.Write(appendFrame(nil, []byte(answer)))
			_, _ = io.Copy(io.Discard, c)
			_ = c.Close()
		}
	}()
	for _, answer := range answers[1:] {
		c, err := Dial(context.Background(), l.Addr().String(), ClientConfig{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Send(context.Background(), []byte(message("1"))); !errors.Is(err, ErrMismatch) {
			t.Errorf("%q: %v", answer, err)
		}
	}
	c, err := Dial(context.Background(), l.Addr().String(), ClientConfig{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	if _, err := c.Send(context.Background(), []byte(message("1"))); !errors.Is(err, ErrMismatch) {
		t.Errorf("got %v", err)
	}
	if _, err := c.Send(context.Background(), []byte(message("1"))); err == nil {
		t.Error("the connection is used again")
	}
}

// TestCase26InvalidAnswerThenAValidOne: the first frame that comes is the
// answer; what follows is not taken for it, nor for the next message's.
func TestCase26InvalidAnswerThenAValidOne(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	done := make(chan struct{})
	go func() {
		defer close(done)
		c, err := l.Accept()
		if err != nil {
			return
		}
		_, _ = c.Write(append(appendFrame(nil, []byte("no answer")), appendFrame(nil, []byte("MSH|^~\\&|\rMSA|AA|1\r"))...))
		_, _ = io.Copy(io.Discard, c)
		_ = c.Close()
	}()
	c, err := Dial(context.Background(), l.Addr().String(), ClientConfig{})
	if err != nil {
		t.Fatal(err)
	}
	if answer, err := c.Send(context.Background(), []byte(message("1"))); err == nil {
		t.Errorf("taken for an answer: %q", answer)
	}
	if _, err := c.Send(context.Background(), []byte(message("1"))); err == nil {
		t.Error("the connection is used again")
	}
	<-done
}

func TestClientAndServer(t *testing.T) {
	h := &hospital{}
	s, _ := serve(t, h, Config{})
	c, err := Dial(context.Background(), s.Addr().String(), ClientConfig{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	for i := range 50 {
		answer, err := c.Send(context.Background(), []byte(message(fmt.Sprint(i))))
		if err != nil || !bytes.Contains(answer, fmt.Appendf(nil, "MSA|AA|%d", i)) {
			t.Fatalf("%q %v", answer, err)
		}
	}
}

// FuzzFrames feeds any bytes in any pieces: no message may hold a mark, and
// the frames of a clean stream come out as they went in.
func FuzzFrames(f *testing.F) {
	f.Add([]byte(framed("1")+framed("2")), uint8(3))
	f.Add([]byte("\x0bMSH|\x0bMSH|\x1c\x1c\r"), uint8(1))
	f.Fuzz(func(t *testing.T, stream []byte, size uint8) {
		a, b := net.Pipe()
		go func() {
			step := int(size) + 1
			for rest := stream; len(rest) > 0; rest = rest[min(step, len(rest)):] {
				if _, err := a.Write(rest[:min(step, len(rest))]); err != nil {
					break
				}
			}
			_ = a.Close()
		}()
		d := newDecoder(b, 1000, time.Second, time.Second)
		for {
			fr, err := d.next()
			if err != nil {
				break
			}
			if bytes.ContainsAny(fr.Message, "\x0b\x1c") {
				t.Errorf("a message holds a frame mark: %q", fr.Message)
			}
			if len(fr.Message) > 1000 {
				t.Errorf("a message of %d bytes", len(fr.Message))
			}
			if fr.Fault == nil && !bytes.Contains(stream, append([]byte{vt}, fr.Message...)) {
				t.Errorf("%q was never sent in one frame", fr.Message)
			}
		}
		_ = b.Close()
	})
}
