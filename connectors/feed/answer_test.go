package feed

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"cpis/connectors/adt"
	"cpis/connectors/mllp"
)

// TestModes holds the answers against MSH-15 and MSH-16. Most senders fill
// these fields and want AA all the same, so they are followed only where the
// profile says so.
func TestModes(t *testing.T) {
	for _, c := range []struct {
		mode, accept, application string
		good, bad                 string // answers to a message that is taken, and to one that is not
	}{
		{"", "", "", "AA", "AE"}, {"original", "NE", "NE", "AA", "AE"}, {"", "AL", "AL", "AA", "AE"},
		{"enhanced", "", "", "AA", "AE"},
		{"enhanced", "AL", "NE", "CA", "CE"}, {"enhanced", "AL", "", "CA", "CE"}, {"enhanced", "NE", "NE", "", ""},
		{"enhanced", "AL", "AL", "CA AA", "CE AE"}, {"enhanced", "NE", "AL", "AA", "AE"},
		{"enhanced", "ER", "NE", "", "CE"}, {"enhanced", "SU", "NE", "CA", ""}, {"enhanced", "ER", "SU", "AA", "CE"}, {"enhanced", "SU", "ER", "CA", "AE"},
	} {
		t.Run(fmt.Sprintf("%s %s %s", c.mode, c.accept, c.application), func(t *testing.T) {
			profile := ed()
			profile.Answer.Mode = c.mode
			s := open(t, mllp.Config{}, profile)
			conditions := "|P|2.4|||" + c.accept + "|" + c.application
			good := strings.Replace(a04("1"), "|P|2.4", conditions, 1)
			bad := strings.Replace("MSH|^~\\&|PAS|RXX|||||ADT^A04|2|P|2.4\rPV1|1\r", "|P|2.4", conditions, 1)
			last := "MSH|^~\\&|PAS|RXX|||||ADT^A04|3\rPID|||P3||Example3\r" // says where the answers end
			want := strings.Join(append(tagged(c.good, "1"), append(tagged(c.bad, "2"), "AA:3")...), " ")
			if got := said(t, s.send(strings.Count(want, ":"), frame(good), frame(bad), frame(last))); got != want {
				t.Errorf("answered %q, want %q", got, want)
			}
		})
	}
}

func tagged(codes, id string) []string {
	var out []string
	for _, code := range strings.Fields(codes) {
		out = append(out, code+":"+id)
	}
	return out
}

// TestRefusalsAsTheSenderUnderstandsThem: whatever the answer is, the message
// is in quarantine first.
func TestRefusalsAsTheSenderUnderstandsThem(t *testing.T) {
	unreadable := "MSH|^~\\&|PAS|RXX|||||ADT^A04|1|P|2.5\rPID|1\rno segment\r"
	nobody := "MSH|^~\\&|PAS|RXX|||||ADT^A04|1|P|2.5\rPV1|1\r"
	for policy, want := range map[string]string{"": "AR:1 AE:1", "AE": "AE:1 AE:1", "AR": "AR:1 AR:1", "AA": "AA:1 AA:1"} {
		profile := ed()
		profile.Answer.OnPermanent = policy
		s := open(t, mllp.Config{}, profile)
		answers := s.send(2, frame(unreadable), frame(nobody))
		if got := said(t, answers); got != want || s.books.codes() != "H008 H010" {
			t.Errorf("%q: answered %q, quarantined %q", policy, got, s.books.codes())
		}
		if policy == "" && (!strings.Contains(answers[1], "\rERR||PID^1^3|101^Required field missing^HL70357|E|CPIS-H010|||the message names no person\r")) {
			t.Errorf("ERR: %q", answers[1])
		}
		if policy == "AA" && strings.Contains(answers[0], "ERR") {
			t.Errorf("a yes with an error: %q", answers[0])
		}
	}
}

// TestUnknownResult: while nobody knows whether a message is safe, a sender is
// told nothing, or what its profile says means "later". It is never told yes.
func TestUnknownResult(t *testing.T) {
	for policy, want := range map[string]string{"": "", "close": "", "AE": "AE:1", "AR": "AR:1"} {
		for _, message := range []string{a04("1"), "MSH|^~\\&|PAS|RXX|||||ADT^A04|1\rPV1|1\r"} {
			profile := ed()
			profile.Answer.OnTransient = policy
			s := open(t, mllp.Config{}, profile)
			s.books.set(func(b *books) { b.down = errDown })
			answers := s.send(1, frame(message))
			if got := said(t, answers); got != want {
				t.Errorf("%q: answered %q, want %q", policy, got, want)
			}
			if want != "" && !strings.Contains(answers[0], "CPIS-H020") {
				t.Errorf("%q: the reason is not given: %q", policy, answers[0])
			}
		}
	}
}

// TestSlowStoreIsAnsweredInTimeOrNotAtAll: a store that does not answer leaves
// time to say so, and no answer comes late.
func TestSlowStoreIsAnsweredInTimeOrNotAtAll(t *testing.T) {
	for policy, want := range map[string]string{"close": "", "AR": "AR:1"} {
		profile := ed()
		profile.Answer.OnTransient = policy
		s := open(t, mllp.Config{AnswerBudget: answerMargin + 200*time.Millisecond}, profile)
		s.books.set(func(b *books) { b.slow = true })
		start := time.Now()
		conn := s.dial()
		if _, err := conn.Write([]byte(frame(a04("1")))); err != nil {
			t.Fatal(err)
		}
		if got := said(t, read(t, conn, 1)); got != want {
			t.Errorf("%q: answered %q, want %q", policy, got, want)
		}
		if took := time.Since(start); took > 5*time.Second {
			t.Errorf("%q: after %s", policy, took)
		}
		if policy == "close" {
			if _, err := conn.Read(make([]byte, 1)); err != io.EOF {
				t.Errorf("the connection stays: %v", err)
			}
		}
	}
}

// TestCopiesGetTheAnswerTheyGot: byte for byte, for every copy, and one event.
func TestCopiesGetTheAnswerTheyGot(t *testing.T) {
	s := open(t, mllp.Config{})
	first := s.send(1, frame(a04("1")))
	again := s.send(3, frame(a04("1")), frame(a04("2")), frame(a04("1")))
	if len(again) != 3 || again[0] != first[0] || again[2] != first[0] || again[1] == first[0] {
		t.Errorf("first %q, then %q", first, again)
	}
	if got := s.books.controls(); got != "1 2" {
		t.Errorf("taken %q", got)
	}
	if st := s.feeds.Stats(); st.Accepted != 4 || st.Copies != 2 {
		t.Errorf("%+v", st)
	}
	other := strings.Replace(a04("1"), "^Ada", "^Eve", 1) // the control id again, another message
	if got := said(t, s.send(1, frame(other))); got != "AA:1" || s.books.controls() != "1 2 1" {
		t.Errorf("a control id used again: %q, taken %q", got, s.books.controls())
	}
}

// TestRefusalsAreNotRemembered: what is refused today may be welcome tomorrow,
// when a feed was added or a profile mended.
func TestRefusalsAreNotRemembered(t *testing.T) {
	s := open(t, mllp.Config{})
	bad := strings.Replace(a04("1"), "|RXX|", "|RYY|", 1)
	if got := said(t, s.send(2, frame(bad), frame(bad))); got != "AE:1 AE:1" || s.books.codes() != "H014 H014" {
		t.Errorf("%q %q", got, s.books.codes())
	}
}

// TestSendersAreWhoTheyProve: MSH-3 and MSH-4 are a claim; the certificate, the
// listener and the environment decide.
func TestSendersAreWhoTheyProve(t *testing.T) {
	bound, ward, live := ed(), ed(), ed()
	bound.Certificate = "urn:ods:RXX"
	ward.Listener = "ward"
	live.Environment = "P"
	for _, c := range []struct {
		name    string
		profile adt.Profile
		sender  adt.Sender
		ok      bool
	}{
		{"no proof asked, none given", ed(), adt.Sender{}, true},
		{"its organisation's certificate, where none is set", ed(), adt.Sender{Mutual: true, Names: []string{"pas.example.org", "urn:ods:RXX"}}, true},
		{"another organisation's", ed(), adt.Sender{Mutual: true, Names: []string{"urn:ods:RYY"}}, false},
		{"two organisations'", ed(), adt.Sender{Mutual: true, Names: []string{"urn:ods:RYY", "urn:ods:RXX"}}, false},
		{"an authority's of that code", ed(), adt.Sender{Mutual: true, Names: []string{"urn:la:RXX"}}, false},
		{"no organisation's", ed(), adt.Sender{Mutual: true, Names: []string{"RXX"}}, false},
		{"the right certificate", bound, adt.Sender{Mutual: true, Names: []string{"pas.example.org", "urn:ods:RXX"}}, true},
		{"another's certificate", bound, adt.Sender{Mutual: true, Names: []string{"urn:ods:RYY"}}, false},
		{"no certificate", bound, adt.Sender{}, false},
		{"the right listener", ward, adt.Sender{Listener: "ward"}, true},
		{"another listener", ward, adt.Sender{Listener: "ed"}, false},
	} {
		if got := c.profile.Admits(c.sender); got != c.ok {
			t.Errorf("%s: %v", c.name, got)
		}
	}
	s := open(t, mllp.Config{}, bound)
	if got := said(t, s.send(1, frame(a04("1")))); got != "AE:1" || s.books.codes() != "H015" {
		t.Errorf("a bound feed without its certificate: %q %q", got, s.books.codes())
	}
	s = open(t, mllp.Config{}, live)
	test := strings.Replace(a04("1"), "|P|2.4", "|T|2.4", 1)
	if got := said(t, s.send(2, frame(test), frame(a04("2")))); got != "AE:1 AA:2" || s.books.codes() != "H016" {
		t.Errorf("a training message on a live feed: %q %q", got, s.books.codes())
	}
}

// TestOneAnswerForABatch speaks for all, and names the first that failed.
func TestOneAnswerForABatch(t *testing.T) {
	profile := ed()
	profile.Answer.Batch = "one"
	s := open(t, mllp.Config{}, profile)
	good := "BHS|^~\\&|PAS|RXX\r" + a04("1") + a04("2") + "BTS|2\r"
	bad := "BHS|^~\\&|PAS|RXX\r" + a04("3") + "MSH|^~\\&|PAS|RXX|||||ADT^A04|4\rPV1|1\r" + a04("5") + "BTS|3\r"
	if got := said(t, s.send(2, frame(good), frame(bad))); got != "AA:1 AE:4" || s.books.controls() != "1 2 3 5" {
		t.Errorf("answered %q, taken %q", got, s.books.controls())
	}
}

// TestCharsetOfTheProfile applies where the message does not say.
func TestCharsetOfTheProfile(t *testing.T) {
	profile := ed()
	profile.Charset = "8859/15"
	s := open(t, mllp.Config{}, profile)
	if got := said(t, s.send(1, frame(strings.Replace(a04("1"), "^Ada", "^Zo\xeb\xa4", 1)))); got != "AA:1" {
		t.Fatal(got)
	}
	if r := s.books.taken[0]; r.Person.GivenNames != "Zoë€" || len(r.Marks) > 0 {
		t.Errorf("%q %v", r.Person.GivenNames, r.Marks)
	}
}

func TestTrialChangesNothing(t *testing.T) {
	bound := ed()
	bound.Certificate = "urn:ods:RXX"
	trial, err := Try([]adt.Profile{bound}, mllp.Frame{Message: []byte(a04("1"))}, time.Now())
	if err != nil || len(trial.Messages) != 1 || trial.Messages[0].Records[0].ControlID != "1" || said(t, []string{string(trial.Answers[0])}) != "AA:1" {
		t.Errorf("%+v %v", trial, err)
	}
	trial, err = Try([]adt.Profile{bound}, mllp.Frame{Message: []byte("rubbish")}, time.Now())
	if err != nil || trial.Messages[0].Refusal.Code != "CPIS-H001" || len(trial.Answers) != 1 {
		t.Errorf("%+v %v", trial, err)
	}
}
