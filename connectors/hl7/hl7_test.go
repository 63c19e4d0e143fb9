package hl7

import (
	"bytes"
	"errors"
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
	if reps := m.Field("PID", 3).Repetitions(); len(reps) != 2 || reps[1].Component(5) != "MR" {
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
	if latin.Value("PID-5.2") != "Zoë" || !latin.Recoded {
		t.Errorf("Latin-1: %q", latin.Value("PID-5.2"))
	}
}

func TestNullIsNotEmpty(t *testing.T) {
	m := parse(t, "MSH|^~\\&|a\rPID|1||\"\"||\"\"^Ada\r")
	if !m.Field("PID", 3).Null() || m.Field("PID", 2).Null() || m.Value("PID-5.1") != "" || m.Value("PID-5.2") != "Ada" {
		t.Error("null, empty and value run together")
	}
}

func TestUnescape(t *testing.T) {
	for in, want := range map[string]string{
		`a\F\b`: "a|b", `\E\`: `\`, `\E\R\`: `\R\`, `4\5 re.`: `4\5 re.`, `end\`: `end\`, `\X4142\`: "AB", `\X0D\\X0A\`: "\r\n",
		`a\.br\b`: "a b", `\Zxx\`: `\Zxx\`, `\H\bold\N\`: "bold", `\XZZ\`: `\XZZ\`, "": "",
	} {
		if got := unescape(in, defaultSeparators()); got != want {
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
	if got := string(Ack(newer, AE, AckOptions{Now: now, Error: e})); !strings.Contains(got, "\rERR||PID^1^3|101|E|||CPIS-H010\r") {
		t.Errorf("ERR of 2.5: %q", got)
	}
	older := parse(t, strings.Replace(sample, "|2.4|", "|2.3|", 1))
	if got := string(Ack(older, AA, AckOptions{Now: now})); !strings.Contains(got, "||ACK|") {
		t.Errorf("type before 2.4: %q", got)
	}
	if got := string(AckRaw([]byte("rubbish"), AR, e, AckOptions{Now: now})); !strings.HasPrefix(got, "MSH|") || !strings.Contains(got, "\rMSA|AR|\r") {
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
	if ack := AckRaw([]byte(long), AR, &Error{"CPIS-H005", "MSH", ""}, AckOptions{}); !bytes.Contains(ack, []byte("\rMSA|AR|007 \r")) {
		t.Errorf("a refusal with blanks before it: %q", ack)
	}
}

func TestTimes(t *testing.T) {
	london, err := time.LoadLocation("Europe/London")
	if err != nil {
		t.Fatal(err)
	}
	for in, want := range map[string]string{
		"2026": "2026-01-01T00:00:00Z", "202611": "2026-11-01T00:00:00Z", "20260701": "2026-07-01T00:00:00+01:00", "20260701101500": "2026-07-01T10:15:00+01:00",
		"20261124101500.123": "2026-11-24T10:15:00Z", "20261124101500+0530": "2026-11-24T10:15:00+05:30", "20261124101500-0100": "2026-11-24T10:15:00-01:00",
	} {
		got, ok := Time(in, london)
		if !ok || got.Format(time.RFC3339) != want {
			t.Errorf("%s: %s %v", in, got.Format(time.RFC3339), ok)
		}
	}
	for _, in := range []string{"", "196513121515", "x", "20261", "20240910085943-0700000"} {
		if got, ok := Time(in, london); ok {
			t.Errorf("%q was read as %v", in, got)
		}
	}
	for in, want := range map[string]string{"20200203": "2020-02-03", "20200203233000-0500": "2020-02-03", "20200203000000+0100": "2020-02-03", "1985": "", "20201340": ""} {
		if got, _ := Date(in); got != want {
			t.Errorf("date of %q: %q", in, got)
		}
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
			AckRaw(raw, AR, e, AckOptions{})
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
		if got, want := again.Field("MSA", 2).Raw(), m.Field("MSH", 10).Raw(); got != want {
			t.Errorf("MSA-2 %q, MSH-10 %q", got, want)
		}
	})
}

func FuzzEscape(f *testing.F) {
	f.Add(`a|b^c&d~e\f`)
	f.Fuzz(func(t *testing.T, s string) {
		clean := strings.NewReplacer("\r", " ", "\n", " ", "\x0b", "", "\x1c", "").Replace(s)
		if got := unescape(Escape(s), defaultSeparators()); got != clean {
			t.Errorf("%q became %q", clean, got)
		}
	})
}

func BenchmarkParse(b *testing.B) {
	text := []byte(sample + "NK1|1|" + strings.Repeat("x", 1024-len(sample)-8) + "\r")
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse(text); err != nil {
			b.Fatal(err)
		}
	}
}
