package feed

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"cpis/connectors/adt"
	"cpis/connectors/hl7"
	"cpis/connectors/identity"
	"cpis/connectors/mllp"
	"cpis/schemas"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// books is a broker in memory. It polices its caller: an event is committed
// once, and a copy gets the receipt that the first got.
type books struct {
	mu      sync.Mutex
	taken   []schemas.Registration // guarded by mu
	bytes   [][]byte               // of the messages taken; guarded by mu
	refused []schemas.Refusal      // guarded by mu
	kept    [][]byte               // of the messages refused; guarded by mu
	known   map[string]schemas.Receipt
	down    error // what Accept and Quarantine return, where set; guarded by mu
	slow    bool  // Accept waits for the end of its time; guarded by mu
}

func newBooks() *books { return &books{known: map[string]schemas.Receipt{}} }

func newFeeds(b *books, profiles ...adt.Profile) *Feeds {
	return New(profiles, b, slog.New(slog.DiscardHandler), func() time.Time { return time.Date(2026, 11, 24, 10, 15, 0, 0, time.UTC) })
}

func (b *books) Accept(ctx context.Context, records []schemas.Registration, payload []byte) (schemas.Receipt, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.slow {
		<-ctx.Done()
		return schemas.Receipt{}, ctx.Err()
	}
	if b.down != nil {
		return schemas.Receipt{}, b.down
	}
	sum := sha256.Sum256(append([]byte(records[0].Feed+"|"+records[0].ControlID+"|"), payload...))
	id := hex.EncodeToString(sum[:16])
	if r, ok := b.known[id]; ok {
		r.Duplicate = true
		return r, nil
	}
	r := schemas.Receipt{EventID: id, At: time.Date(2026, 11, 24, 10, 15, len(b.known)%60, 0, time.UTC)}
	b.known[id] = r
	b.taken = append(b.taken, records...)
	b.bytes = append(b.bytes, payload)
	return r, nil
}

func (b *books) Quarantine(_ context.Context, _, _ string, why schemas.Refusal, raw []byte) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.down != nil {
		return b.down
	}
	b.refused = append(b.refused, why)
	b.kept = append(b.kept, raw)
	return nil
}

// controls lists the control ids of the messages taken.
func (b *books) controls() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var ids []string
	for _, r := range b.taken {
		ids = append(ids, r.ControlID)
	}
	return strings.Join(ids, " ")
}

func (b *books) codes() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var codes []string
	for _, r := range b.refused {
		codes = append(codes, strings.TrimPrefix(string(r.Code), "CPIS-"))
	}
	return strings.Join(codes, " ")
}

func (b *books) set(change func(*books)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	change(b)
}

// site is a listener with its feeds, on a real socket.
type site struct {
	t      testing.TB
	books  *books
	feeds  *Feeds
	server *mllp.Server
	client *tls.Config // nil: plain TCP
}

func ed() adt.Profile {
	return adt.Profile{Name: "ed", Application: "PAS", Facility: "RXX", ODS: "RXX01", Setting: schemas.SettingEmergencyDepartment}
}

func open(t testing.TB, c mllp.Config, profiles ...adt.Profile) *site {
	t.Helper()
	if len(profiles) == 0 {
		profiles = []adt.Profile{ed()}
	}
	for _, p := range profiles {
		if err := p.Validate(); err != nil {
			t.Fatal(err)
		}
	}
	s := &site{t: t, books: newBooks()}
	s.feeds = newFeeds(s.books, profiles...)
	c.Listen = "127.0.0.1:0"
	var err error
	if s.server, err = mllp.Listen(c, s.feeds.Handle, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	stopped := make(chan struct{})
	go func() { _ = s.server.Run(ctx); close(stopped) }()
	t.Cleanup(func() { cancel(); <-stopped })
	return s
}

func (s *site) dial() net.Conn {
	s.t.Helper()
	conn, err := net.Dial("tcp", s.server.Addr().String())
	if err != nil {
		s.t.Fatal(err)
	}
	if s.client != nil {
		conn = tls.Client(conn, s.client)
	}
	s.t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// send writes the pieces on a new connection and reads answers until want have
// come, or no more come.
func (s *site) send(want int, pieces ...string) []string {
	s.t.Helper()
	conn := s.dial()
	go func() {
		for _, p := range pieces {
			if _, err := conn.Write([]byte(p)); err != nil {
				return
			}
		}
	}()
	return read(s.t, conn, want)
}

// read reads answers as a careless sender does: whatever stands between VT and
// FS CR. Each must be whole, with CR at the end of every segment.
func read(t testing.TB, conn net.Conn, want int) []string {
	t.Helper()
	var out []string
	var got []byte
	buffer := make([]byte, 64<<10)
	for len(out) < want {
		_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
		n, err := conn.Read(buffer)
		got = append(got, buffer[:n]...)
		for {
			end := strings.Index(string(got), "\x1c\r")
			if end < 0 {
				break
			}
			answer := string(got[:end])
			got = got[end+2:]
			if answer[0] != 0x0b || !strings.HasSuffix(answer, "\r") {
				t.Errorf("an answer is not framed, or its last segment not ended: %q", answer)
			}
			out = append(out, answer[1:])
		}
		if err != nil {
			break
		}
	}
	return out
}

// said is an answer in short: AA:7.
func said(t testing.TB, answers []string) string {
	t.Helper()
	var out []string
	for _, a := range answers {
		for _, raw := range splitAnswer(a) {
			m, err := hl7.Parse([]byte(raw))
			if err != nil {
				t.Fatalf("%v in %q", err, a)
			}
			out = append(out, m.Value("MSA-1")+":"+m.Segment("MSA").Field(2).Raw())
		}
	}
	return strings.Join(out, " ")
}

func splitAnswer(a string) []string {
	b, ok, err := hl7.SplitBatch([]byte(a))
	if !ok || err != nil {
		return []string{a}
	}
	var out []string
	for _, m := range b.Messages {
		out = append(out, string(m))
	}
	return out
}

const (
	vt   = "\x0b"
	fscr = "\x1c\r"
)

func frame(message string) string { return vt + message + fscr }

// a04 is a registration with a control id; its patient's local number is the
// same id, so that a mix-up shows.
func a04(id string, more ...string) string {
	return "MSH|^~\\&|PAS|RXX|CPIS|HUB|20261124101500||ADT^A04^ADT_A01|" + id + "|P|2.4\rEVN|A04|20261124101500\r" +
		"PID|1||P" + id + "^^^RXX^MR||Example" + id + "^Ada||20190807|F\rPV1|1|E|AE||||||||||||||||V" + id + "\r" + strings.Join(more, "")
}

// tlsPair makes a server's certificate and a client that trusts it.
func tlsPair(t testing.TB) (server, client *tls.Config) {
	t.Helper()
	i, err := identity.NewIssuer(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	files, err := i.Issue(identity.Holder{File: "server", Hosts: []string{"127.0.0.1"}, Valid: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	if client, err = identity.ClientTLS(identity.TLSConfig{Authorities: i.File()}, "127.0.0.1"); err != nil {
		t.Fatal(err)
	}
	files.Authorities = "" // anybody may come
	if server, err = identity.ServerTLS(files, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	return server, client
}

var errDown = errors.New("the broker is away")
