package hl7

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const sample = "MSH|^~\\&|PAS|RXX|CPIS|HUB|20261124101500||ADT^A04^ADT_A01|007 |P|2.4|||AL|NE||UNICODE UTF-8\r" +
	"EVN|A04|20261124101500\r" +
	"PID|1||9990000018^^^NHS^NH~H123^^^RXX^MR||O\\T\\Neil^Ada^Mary||20200203000000+0100|F|||1 Road^^Town^^ZZ99 9ZZ\r" +
	"PV1|1|E|AE^^^RXX01||||||||||||||||V99^^^VISITID\r"

func parse(t testing.TB, text string) *Message {
	t.Helper()
	m, err := Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestValues(t *testing.T) {
	m := parse(t, sample)
	for path, want := range map[string]string{
		"MSH-1": "|", "MSH-2": `^~\&`, "MSH-3": "PAS", "MSH-9.2": "A04", "MSH-10": "007", "PID-3": "9990000018", "PID-3.5": "NH",
		"PID-5.1": "O&Neil", "PID-5.2": "Ada", "PV1-19": "V99", "PV1-99": "", "ZZZ-1": "", "PID-5.9": "", "nonsense": "",
	} {
		if got := m.Value(path); got != want {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}
	if got := m.Segment("MSH").Between(3, 4); got != "PAS|RXX" {
		t.Errorf("MSH-3 to 4: %q", got)
	}
	if got := m.Segment("EVN").Between(1, 9) + m.Segment("EVN").Between(5, 6) + m.Segment("ZZZ").Between(1, 2); got != "A04|20261124101500" {
		t.Errorf("EVN-1 to 9: %q", got)
	}
	if reps := m.Segment("PID").Field(3).Repetitions(); len(reps) != 2 || reps[1].Component(5) != "MR" {
		t.Errorf("repetitions %v", reps)
	}
}

func TestForgivenWhatHarmsNobody(t *testing.T) {
	for name, text := range map[string]string{
		"line feeds": strings.ReplaceAll(sample, "\r", "\n"), "both": strings.ReplaceAll(sample, "\r", "\r\n"),
		"no last line end": strings.TrimSuffix(sample, "\r"), "byte order mark": "\xef\xbb\xbf" + sample, "blank lines": "\r\n " + strings.ReplaceAll(sample, "\r", "\r\r"),
		"five encoding characters": strings.Replace(sample, `^~\&`, `^~\&#`, 1), "lower case": strings.Replace(sample, "\rPID", "\rpid", 1),
	} {
		if got := parse(t, text).Value("PID-5.2"); got != "Ada" {
			t.Errorf("%s: %q", name, got)
		}
	}
	custom := strings.NewReplacer("|", "#", "^", ":", "~", "?", `\`, "@", "&", "*").Replace(sample)
	m := parse(t, custom)
	if m.Value("PID-5.1") != "O*Neil" || m.Value("PID-3.5") != "NH" {
		t.Errorf("custom separators: %q", m.Value("PID-5.1"))
	}
	if ack := string(Ack(m, AA, AckOptions{Now: time.Now()})); !strings.HasPrefix(ack, "MSH#:?@*#CPIS#") || !strings.Contains(ack, "MSA#AA#007 ") {
		t.Errorf("the answer to custom separators: %q", ack)
	}
	latin := parse(t, strings.Replace(sample, "Ada", "Zo\xeb", 1))
	if latin.Value("PID-5.2") != "Zoë" || latin.Charset.Used != "WINDOWS-1252" || latin.Charset.Doubt != "CPIS-H103" {
		t.Errorf("Latin-1: %q", latin.Value("PID-5.2"))
	}
}

func TestNullIsNotEmpty(t *testing.T) {
	m := parse(t, "MSH|^~\\&|a\rPID|1||\"\"||\"\"^Ada\r")
	if !m.Segment("PID").Field(3).Null() || m.Segment("PID").Field(2).Null() || m.Value("PID-5.1") != "" || m.Value("PID-5.2") != "Ada" {
		t.Error("null, empty and value run together")
	}
}

func TestUnescape(t *testing.T) {
	sep := defaultSeparators()
	for in, want := range map[string]string{
		`a\F\b`: "a|b", `\E\`: `\`, `\E\R\`: `\R\`, `4\5 re.`: `4\5 re.`, `end\`: `end\`, `\X4142\`: "AB", `\X0D\\X0A\`: "\r\n",
		`a\.br\b`: "a b", `\Zxx\`: `\Zxx\`, `\H\bold\N\`: "bold", `\X000d\`: "\r", `\XE9\`: "é", `a\.sp 2\b`: "a b", `\P\`: "#", `\C2842\`: `\C2842\`, `\\E\\X09\\E\\`: "\\\\\t\\\\", `\XZZ\`: `\XZZ\`, "": "",
	} {
		if got := unescape(in, &sep); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestRefusals(t *testing.T) {
	for name, c := range map[string]struct{ text, code string }{
		"no MSH": {"PID|1\r", "CPIS-H001"}, "empty": {"", "CPIS-H001"}, "http": {"GET / HTTP/1.1\r\n", "CPIS-H001"},
		"no separator": {"MSH", "CPIS-H002"}, "separators alike": {"MSH|||||\r", "CPIS-H002"}, "letters": {"MSH|abcd|\r", "CPIS-H002"},
		"segments": {sample + strings.Repeat("ZZZ|1\r", MaxSegments), "CPIS-H005"}, "field": {sample + "ZZZ|" + strings.Repeat("x", MaxField+1) + "\r", "CPIS-H006"},
		"two messages": {sample + sample, "CPIS-H009"}, "a line end in a name": {strings.Replace(sample, "Ada", "A\rda", 1), "CPIS-H008"},
		"repetitions": {sample + "ZZZ|" + strings.Repeat("~", MaxRepeats) + "\r", "CPIS-H006"},
		"size":        {sample + strings.Repeat("x", MaxMessage), "CPIS-H003"},
	} {
		_, err := Parse([]byte(c.text))
		var e *Error
		if !errors.As(err, &e) || e.Code != c.code {
			t.Errorf("%s: %v, want %s", name, err, c.code)
		}
	}
}

func TestAck(t *testing.T) {
	m := parse(t, sample)
	now := time.Date(2026, 11, 24, 10, 15, 1, 0, time.UTC)
	lines := strings.Split(string(Ack(m, AA, AckOptions{Now: now})), "\r")
	f := strings.Split(lines[0], "|")
	if f[2] != "CPIS" || f[3] != "HUB" || f[4] != "PAS" || f[5] != "RXX" || f[8] != "ACK^A04^ACK" || f[9] == "007 " || f[9] == "" || f[10] != "P" || f[11] != "2.4" || f[17] != "UNICODE UTF-8" {
		t.Errorf("header %q", lines[0])
	}
	if lines[1] != "MSA|AA|007 " || lines[2] != "" || len(lines) != 3 {
		t.Errorf("body %q", lines[1:])
	}
	e := &Error{"CPIS-H010", "PID-3", "missing"}
	if got := string(Ack(m, AE, AckOptions{Now: now, Error: e})); !strings.Contains(got, "\rERR|PID^1^3^101&CPIS-H010\r") {
		t.Errorf("ERR of 2.4: %q", got)
	}
	newer := parse(t, strings.Replace(sample, "|2.4|", "|2.5.1|", 1))
	if got := string(Ack(newer, AE, AckOptions{Now: now, Error: e})); !strings.Contains(got, "\rERR||PID^1^3|101^Required field missing^HL70357|E|CPIS-H010|||missing\r") {
		t.Errorf("ERR of 2.5: %q", got)
	}
	older := parse(t, strings.Replace(sample, "|2.4|", "|2.3|", 1))
	if got := string(Ack(older, AA, AckOptions{Now: now})); !strings.Contains(got, "||ACK|") {
		t.Errorf("type before 2.4: %q", got)
	}
	if got := string(AckRaw([]byte("rubbish"), AR, AckOptions{Now: now, Error: e})); !strings.HasPrefix(got, "MSH|") || !strings.Contains(got, "\rMSA|AR|\r") {
		t.Errorf("answer to rubbish: %q", got)
	}
}

// TestAnswersGiveBackWhatCame looks at the parts of the header that a sender
// compares byte by byte.
func TestAnswersGiveBackWhatCame(t *testing.T) {
	id := "\xe9\x81\x80 7"
	m, err := Parse([]byte(strings.Replace(sample, "007 ", id, 1)))
	if err != nil || !bytes.Contains(Ack(m, AA, AckOptions{}), []byte("\rMSA|AA|"+id+"\r")) {
		t.Errorf("a control id that is no UTF-8: %q %v", Ack(m, AA, AckOptions{}), err)
	}
	m = parse(t, strings.Replace(sample, "A04^ADT_A01", `A\X1C\4\X0D\^X`, 1))
	if ack := Ack(m, AA, AckOptions{}); bytes.ContainsRune(ack, 0x1c) || bytes.Count(ack, []byte("\r")) != 2 {
		t.Errorf("an escaped mark became one: %q", ack)
	}
	long := "\r\n\xef\xbb\xbf" + sample + strings.Repeat("ZZZ|1\r", MaxSegments)
	if ack := AckRaw([]byte(long), AR, AckOptions{Error: &Error{"CPIS-H005", "MSH", ""}}); !bytes.Contains(ack, []byte("\rMSA|AR|007 \r")) {
		t.Errorf("a refusal with blanks before it: %q", ack)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(sample))
	f.Add([]byte("MSH|^~\\&\rPID|||\x1c"))
	f.Add([]byte("MSH#:?@*#\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		m, err := Parse(raw)
		if err != nil {
			var e *Error
			if !errors.As(err, &e) {
				t.Fatalf("%v is no *Error", err)
			}
			AckRaw(raw, AR, AckOptions{Error: e})
			return
		}
		ack := Ack(m, AA, AckOptions{})
		if bytes.ContainsAny(ack, "\x0b\x1c") && !bytes.ContainsAny(raw, "\x0b\x1c") {
			t.Error("the answer holds a frame mark")
		}
		again, err := Parse(ack)
		if err != nil {
			t.Fatalf("our own answer cannot be read: %v", err)
		}
		if got, want := again.Segment("MSA").Field(2).Raw(), m.Segment("MSH").Field(10).Raw(); got != want {
			t.Errorf("MSA-2 %q, MSH-10 %q", got, want)
		}
	})
}

// FuzzAck answers any message with any verdict: the answer can be read, names
// the message byte for byte, and holds no more segments than it should.
func FuzzAck(f *testing.F) {
	f.Add([]byte(sample), "CPIS-H010", "PID-3", "the message names no person")
	f.Add([]byte("MSH#:?@*#PAS#\xe9#####ADT:A04#\xff7 #P#2.5.1\rPID#1"), "CPIS-H003", "MSH", "a|b^c\\d\re")
	f.Add([]byte("MSH|^~\\&|||||||ACK|1|P|2.10"), "CPIS-H006", "ZZZ-3.4", "")
	f.Fuzz(func(t *testing.T, raw []byte, code, at, reason string) {
		m, err := Parse(raw)
		if err != nil {
			return
		}
		if strings.Trim(code+at, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-.") != "" {
			return // ours, from the catalogue
		}
		for _, o := range []AckOptions{{}, {ControlID: "42", Error: &Error{code, at, reason}}} {
			for _, c := range []AckCode{AA, AE, AR, CA, CE, CR} {
				ack := Ack(m, c, o)
				again, err := Parse(ack)
				if err != nil {
					t.Fatalf("%q cannot be read: %v", ack, err)
				}
				want := 2
				if o.Error != nil {
					want = 3
				}
				if len(again.Segments()) != want || again.Value("MSA-1") != string(c) || !bytes.HasSuffix(ack, []byte("\r")) {
					t.Errorf("%q", ack)
				}
				lines := bytes.Split(ack, []byte("\r"))
				if got := bytes.Join([][]byte{[]byte("MSA"), []byte(c), m.RawField(10)}, []byte{m.Separators.Field}); !bytes.Equal(lines[1], got) {
					t.Errorf("MSA %q, want %q", lines[1], got)
				}
				if bytes.ContainsAny(ack, "\x0b\x1c") && !bytes.ContainsAny(raw, "\x0b\x1c") && !strings.ContainsAny(reason, "\x0b\x1c") {
					t.Errorf("the answer holds a frame mark: %q", ack)
				}
			}
		}
	})
}

func FuzzEscape(f *testing.F) {
	f.Add(`a|b^c&d~e\f`)
	sep := defaultSeparators()
	f.Fuzz(func(t *testing.T, s string) {
		clean := strings.NewReplacer("\r", " ", "\n", " ", "\x0b", "", "\x1c", "").Replace(s)
		if got := unescape(Escape(s), &sep); got != clean {
			t.Errorf("%q became %q", clean, got)
		}
	})
}

// kilobyte is an A04 as an emergency department sends it, one kilobyte long.
func kilobyte(b *testing.B) []byte {
	b.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "kilobyte.hl7"))
	if err != nil {
		b.Fatal(err)
	}
	return bytes.ReplaceAll(text, []byte("\n"), []byte("\r"))
}

func BenchmarkParse(b *testing.B) {
	text := kilobyte(b)
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse(text); err != nil {
			b.Fatal(err)
		}
	}
}
