package main

import (
	"bytes"
	"context"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// TestEmbeddedKilledFiftyTimes kills the whole broker with no warning, again
// and again, while a sender that gets no answer sends again.
func TestEmbeddedKilledFiftyTimes(t *testing.T) {
	killedFiftyTimes(t, runUndisturbed(t, inventedDay()))
}

// TestEmbeddedRecording does the same with the recording of an independent
// simulator.
func TestEmbeddedRecording(t *testing.T) {
	if d, ok := recordedDay(t); ok {
		killedFiftyTimes(t, runUndisturbed(t, d))
	}
}

func killedFiftyTimes(t *testing.T, u *undisturbed) {
	s := newSite(t, u.day, u.keys, "")
	s.start(all)
	s.ready()
	s.share("E06A", u.plans)
	sent := make(chan int, 1)
	go func() { sent <- s.send(u.messages) }()
	r := rand.New(rand.NewPCG(1, 2))
	for range 50 {
		<-time.After(time.Duration(20+r.IntN(150)) * time.Millisecond)
		s.kill(all)
		s.start(all)
	}
	if got := <-sent; got != len(u.messages) {
		t.Errorf("%d of %d messages answered AA", got, len(u.messages))
	}
	s.balanced(60 * time.Second)
	u.matches(s)
	s.verified()
}

// TestEmbeddedBadInput ends every kind of bad input in an answer and a
// quarantine record, and the next good one flows.
func TestEmbeddedBadInput(t *testing.T) {
	d := inventedDay()
	s := newSite(t, d, t.TempDir(), "")
	s.start(all)
	s.ready()
	s.share("E06A", d.plans)
	raw := func(bytes string) string {
		c, err := net.Dial("tcp", s.mllp)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close() }()
		_ = c.SetDeadline(time.Now().Add(5 * time.Second))
		if _, err := c.Write([]byte(bytes)); err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 4096)
		n, _ := c.Read(buf)
		return string(buf[:n])
	}
	for name, c := range map[string]struct{ bytes, want string }{
		"not HL7":         {"\x0bhello\x1c\r", "MSA|AR|"},
		"no PID":          {"\x0bMSH|^~\\&|PAS|RXX|||||ADT^A04|X1|P|2.4\r\x1c\r", "MSA|AE|X1"},
		"unknown sender":  {"\x0bMSH|^~\\&|WHO|ARE|YOU||||ADT^A04|X2|P|2.4\rPID|1\r\x1c\r", "MSA|AE|X2"},
		"torn, then good": {"\x0bMSH|^~\\&|PAS|RXX|||||ADT^A04|X3\x0b" + string(d.messages[0]) + "\x1c\r", "MSA|AA|M00000"},
	} {
		if got := raw(c.bytes); !strings.Contains(got, c.want) {
			t.Errorf("%s: answered %q, want %q", name, got, c.want)
		}
	}
	s.strange("cpis.registration.v1", []byte{0, 0, 0, 0x27, 0x0f, 'h', 'e', 'l', 'l', 'o'}) // names a schema nobody registered
	rows := filepath.Join(s.dir, "corrupt.csv")
	text := strings.Join([]string{strings.Join(csvHeader(), ","), `R90,"9990000018,hello,Ada,2019-08-07,F,CPP,2026-01-02,,,1`, strings.Replace(d.plans[0], ",1", ",2", 1)}, "\n")
	if err := os.WriteFile(rows, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, out := s.cpis("la", "upload", rows, "--authority", "E06A"); code != exitRefused || !strings.Contains(out, "CPIS-L001") || !strings.Contains(out, "1 refused") {
		t.Errorf("a corrupt row: exit %d\n%s", code, out)
	}
	if got := s.send(d.messages[1:5]); got != 4 {
		t.Errorf("%d of 4 good messages answered AA", got)
	}
	s.balanced(30 * time.Second)
	var out string
	for _, code := range []string{"CPIS-H001", "CPIS-H010", "CPIS-H014", "CPIS-H004", "CPIS-K001", "CPIS-L001"} {
		eventually(t, 10*time.Second, "a dead letter with "+code, func() bool {
			_, out = s.cpis("dlq", "ls", "--json")
			return strings.Contains(out, code)
		})
	}
	if strings.Contains(out, "hello") {
		t.Error("a listing shows what was received")
	}
}

// strange appends a value to a topic that this broker did not write.
func (s *site) strange(topic string, value []byte) {
	s.t.Helper()
	c, err := kgo.NewClient(kgo.SeedBrokers(s.setting("CPIS_KAFKA_LISTEN")))
	if err != nil {
		s.t.Fatal(err)
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := c.ProduceSync(ctx, &kgo.Record{Topic: topic, Key: []byte("stranger"), Value: value}).FirstErr(); err != nil {
		s.t.Fatal(err)
	}
}

// TestDemoTellsItsStory runs the demo twice on the same folder.
func TestDemoTellsItsStory(t *testing.T) {
	s := newSite(t, inventedDay(), t.TempDir(), "")
	for range 2 {
		code, out := s.cpis("demo", "--quiet", "--for", "5s")
		for _, want := range []string{"Ready in ", "seen at four places", "5 answers INDICATOR, 1 INDICATOR_ENDED, 1 POSSIBLE", " notices to the authorities: one for each visit"} {
			if code != exitFine || !strings.Contains(out, want) {
				t.Errorf("exit %d, no %q in\n%s", code, want, out)
			}
		}
	}
}

// TestReadmeCommands runs what the README says can be tried, in its order, on
// a broker that was just installed.
func TestReadmeCommands(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, part, _ := bytes.Cut(text, []byte("## Try it"))
	part, _, _ = bytes.Cut(part, []byte("\n## The answers"))
	s := newSite(t, inventedDay(), t.TempDir(), "")
	s.flags = s.flags[2:] // no configuration, as a newcomer has none
	t.Chdir(filepath.Join("..", ".."))
	n := 0
	for line := range strings.Lines(string(part)) {
		command, ok := strings.CutPrefix(line, "    cpis ")
		if !ok {
			continue
		}
		command, _, _ = strings.Cut(command, "#")
		n++
		switch args := strings.Fields(command); args[0] {
		case "serve":
			s.start(all)
			s.ready()
		case "ledger":
			s.balanced(30 * time.Second)
		case "tail": // the answer follows the acknowledgement
			eventually(t, 10*time.Second, "an answer to show", func() bool { code, out := s.cpis(args...); return code == exitFine && out != "" })
		default:
			if code, out := s.cpis(args...); code != exitFine || out == "" {
				t.Errorf("cpis %s: exit %d\n%s", command, code, out)
			}
		}
	}
	if n < 14 {
		t.Errorf("the README has %d commands", n)
	}
	flagged := false
	for _, o := range s.records("outcome") {
		flagged = flagged || o["state"] == "INDICATOR"
	}
	if !flagged {
		t.Error("the child of the README is not flagged")
	}
}
