package feed

import (
	"bytes"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"cpis/connectors/adt"
	"cpis/connectors/hl7"
	"cpis/connectors/mllp"
)

// TestCasesAnswers are the cases from the field about acknowledgements: 18 to
// 25, 28, 65 and 66. Case 26 is about what a client makes of answers, and is
// with the client.
func TestCasesAnswers(t *testing.T) {
	t.Run("18 a client that reads once", func(t *testing.T) {
		s := open(t, mllp.Config{})
		conn := s.dial()
		if _, err := conn.Write([]byte(frame(a04("1")))); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, 64<<10)
		_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
		n, err := conn.Read(got)
		if err != nil || !bytes.HasPrefix(got[:n], []byte(vt)) || !bytes.HasSuffix(got[:n], []byte("\r"+fscr)) {
			t.Errorf("one read gives %q, %v", got[:n], err)
		}
	})
	t.Run("19 framed, and the last segment ended", func(t *testing.T) {
		s := open(t, mllp.Config{})
		answers := s.send(2, frame(a04("1")), frame("rubbish")) // read complains
		if len(answers) != 2 {
			t.Errorf("%q", answers)
		}
	})
	t.Run("20 no late answer is paired with the next message", func(t *testing.T) {
		s := open(t, mllp.Config{AnswerBudget: answerMargin + 50*time.Millisecond})
		s.books.set(func(b *books) { b.slow = true })
		if got := s.send(2, frame(a04("1")), frame(a04("2"))); len(got) != 0 {
			t.Errorf("answered %q", got)
		}
	})
	t.Run("21 a storm of copies is one event", func(t *testing.T) {
		s := open(t, mllp.Config{})
		var wait sync.WaitGroup
		for range 30 {
			wait.Go(func() {
				if got := s.send(1, frame(a04("1"))); len(got) != 1 {
					t.Errorf("%q", got)
				}
			})
		}
		wait.Wait()
		if got := s.books.controls(); got != "1" {
			t.Errorf("taken %q", got)
		}
	})
	t.Run("22 a sender that wants AA gets AA, one that wants CA gets CA", func(t *testing.T) {
		enhanced := ed()
		enhanced.Answer.Mode = "enhanced"
		message := strings.Replace(a04("1"), "|P|2.4", "|P|2.4|||AL|NE", 1)
		for want, profile := range map[string]adt.Profile{"AA:1": ed(), "CA:1": enhanced} {
			if got := said(t, open(t, mllp.Config{}, profile).send(1, frame(message))); got != want {
				t.Errorf("%q, want %q", got, want)
			}
		}
	})
	t.Run("24 a no is sent, and the connection stays", func(t *testing.T) {
		s := open(t, mllp.Config{})
		nobody := "MSH|^~\\&|PAS|RXX|||||ADT^A04|1|P|2.4\rPV1|1\r"
		if got := said(t, s.send(3, frame(nobody), frame("rubbish"), frame(a04("2")))); got != "AE:1 AR: AA:2" {
			t.Errorf("%q", got)
		}
	})
	t.Run("25 MSH-9 of the answer by version", func(t *testing.T) {
		for version, want := range map[string]string{"2.2": "ACK", "2.3.1": "ACK", "2.4": "ACK^A04^ACK", "2.5.1": "ACK^A04^ACK", "2.10": "ACK^A04^ACK", "": "ACK"} {
			s := open(t, mllp.Config{})
			answers := s.send(1, frame(strings.Replace(a04("1"), "|2.4", "|"+version, 1)))
			m, err := hl7.Parse([]byte(answers[0]))
			if err != nil || m.Segment("MSH").Field(9).Raw() != want {
				t.Errorf("%q: %q %v", version, answers[0], err)
			}
		}
	})
	t.Run("28 a control id used again", func(t *testing.T) {
		s := open(t, mllp.Config{})
		other := strings.Replace(a04("1"), "^Ada", "^Eve", 1)
		if got := said(t, s.send(2, frame(a04("1")), frame(other))); got != "AA:1 AA:1" || s.books.controls() != "1 1" {
			t.Errorf("%q, taken %q", got, s.books.controls())
		}
	})
	t.Run("65 a probe is no message", func(t *testing.T) {
		s := open(t, mllp.Config{})
		_ = s.dial().Close()
		if got := said(t, s.send(1, frame(a04("1")))); got != "AA:1" || s.server.Stats().Faults != 0 {
			t.Errorf("%q %+v", got, s.server.Stats())
		}
	})
	t.Run("66 more clients than connections", func(t *testing.T) {
		s := open(t, mllp.Config{MaxConns: 1})
		first := s.dial()
		if _, err := first.Write([]byte(frame(a04("1")))); err != nil {
			t.Fatal(err)
		}
		if got := said(t, read(t, first, 1)); got != "AA:1" {
			t.Fatal(got)
		}
		second := s.dial() // is not left to believe that it is connected
		_ = second.SetReadDeadline(time.Now().Add(10 * time.Second))
		if _, err := second.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("the second: %v", err)
		}
		if _, err := first.Write([]byte(frame(a04("2")))); err != nil {
			t.Fatal(err)
		}
		if got := said(t, read(t, first, 1)); got != "AA:2" {
			t.Errorf("the first: %q", got)
		}
	})
}
