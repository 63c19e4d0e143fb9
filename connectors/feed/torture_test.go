package feed

import (
	"bytes"
	"strings"
	"testing"

	"cpis/connectors/mllp"
)

// TestTorture is the table of what senders do on the wire; numbers are those of
// the cases from the field that other engines met. Six receivers that
// hospitals use were seen to lose, merge or misanswer messages in it. Each row
// is run over TCP and over TLS, in one write, byte by byte, and cut in two. No
// message that is taken may hold bytes of two frames.
func TestTorture(t *testing.T) {
	latin := strings.Replace(a04("1"), "^Ada", "^Zo\xeb", 1)
	long := strings.Replace(a04("1"), "^Ada", "^"+strings.Repeat("A", 30<<10)+"^"+strings.Repeat("B", 30<<10), 1)
	batch := "FHS|^~\\&|PAS|RXX|CPIS|HUB|||||F1\rBHS|^~\\&|PAS|RXX|CPIS|HUB|||||B1\r" + a04("1") + a04("2") + "BTS|2\rFTS|1\r"
	for name, c := range map[string]struct {
		wire    string
		answers string
		refused string // codes of the quarantine
		marks   string // of the last message taken
	}{
		"1 two frames in one write":          {frame(a04("1")) + frame(a04("2")), "AA:1 AA:2", "", ""},
		"2 FS CR LF VT":                      {frame(a04("1")) + "\n" + frame(a04("2")), "AA:1 AA:2", "", ""},
		"3 NULs between frames":              {frame(a04("1")) + "\x00\x00\x00" + frame(a04("2")), "AA:1 AA:2", "", ""},
		"4 FS without CR, then VT":           {vt + a04("1") + "\x1c" + frame(a04("2")), "AA:1 AA:2", "", ""},
		"5 FS LF, then a frame":              {vt + a04("1") + "\x1c\n" + frame(a04("2")), "AA:1 AA:2", "", ""},
		"FS only":                            {vt + a04("1") + "\x1c", "AA:1", "", "CPIS-H101"},
		"9 missing VT":                       {a04("1") + fscr + frame(a04("2")), "AA:2", "", "CPIS-H102"},
		"garbage before VT":                  {"garbage" + frame(a04("1")), "AA:1", "", "CPIS-H102"},
		"6 VT inside: torn, then whole":      {vt + a04("1")[:70] + frame(a04("2")), "AA:2", "H004", ""},
		"6 VT inside, twice":                 {vt + a04("1")[:70] + vt + a04("2")[:90] + frame(a04("3")), "AA:3", "H004 H004", ""},
		"16 lone FS in a name":               {frame(strings.Replace(a04("1"), "^Ada", "^A\x1cda", 1)) + frame(a04("2")), "AR:1 AA:2", "H004", ""},
		"11 empty frame, then good":          {frame("") + frame(a04("2")), "AR: AA:2", "H001", ""},
		"no HL7, then good":                  {frame("hello") + frame(a04("2")), "AR: AA:2", "H001", ""},
		"line ends and blanks before MSH":    {frame("\r\n  " + a04("1")), "AA:1", "", ""},
		"12 byte-order mark before MSH":      {frame("\xef\xbb\xbf" + a04("1")), "AA:1", "", ""},
		"46 Latin-1 byte, MSH-18 empty":      {frame(latin), "AA:1", "", "CPIS-H103"},
		"CRLF segments":                      {frame(strings.ReplaceAll(a04("1"), "\r", "\r\n")), "AA:1", "", ""},
		"LF segments":                        {frame(strings.ReplaceAll(a04("1"), "\r", "\n")), "AA:1", "", ""},
		"version 2.9":                        {frame(strings.Replace(a04("1"), "|2.4", "|2.9", 1)), "AA:1", "", ""},
		"version blank":                      {frame(strings.Replace(a04("1"), "|2.4", "|", 1)), "AA:1", "", ""},
		"version 2.3.1^GBR":                  {frame(strings.Replace(a04("1"), "|2.4", "|2.3.1^GBR", 1)), "AA:1", "", ""},
		"36 five characters in MSH-2":        {frame(strings.Replace(a04("1"), "^~\\&", "^~\\&#", 1)), "AA:1", "", ""},
		"other delimiters":                   {frame(strings.NewReplacer("|", "#", "^", ":", "~", "*", "\\", "?", "&", "@").Replace(a04("1"))), "AA:1", "", ""},
		"63 FHS and BHS batch":               {frame(batch), "AA:1 AA:2", "", ""},
		"23 MSH-15 NE, MSH-16 NE":            {frame(strings.Replace(a04("1"), "|P|2.4", "|P|2.4|||NE|NE", 1)), "AA:1", "", ""},
		"MSH-15 AL":                          {frame(strings.Replace(a04("1"), "|P|2.4", "|P|2.4|||AL|NE", 1)), "AA:1", "", ""},
		"MSH-18 WINDOWS-1252":                {frame(strings.Replace(latin, "|P|2.4", "|P|2.4||||||WINDOWS-1252", 1)), "AA:1", "", "CPIS-H104"},
		"28 the same message twice":          {frame(a04("1")) + frame(a04("1")), "AA:1 AA:1", "", ""},
		"two messages in one frame":          {frame(a04("1")+a04("2")) + frame(a04("3")), "AR:1 AA:3", "H009", ""},
		"XML":                                {frame("<ADT_A01/>") + frame(a04("2")), "AR: AA:2", "H012", ""},
		"17 UTF-16":                          {frame("M\x00S\x00H\x00|\x00") + frame(a04("2")), "AR: AA:2", "H013", ""},
		"a message of 60 KB":                 {frame(long), "AA:1", "", ""},
		"no last CR":                         {frame(strings.TrimSuffix(a04("1"), "\r")), "AA:1", "", ""},
		"larger than the listener takes":     {frame(a04("1", "ZZZ|"+strings.Repeat("x", 100<<10)+"\r")) + frame(a04("2")), "AR:1 AA:2", "H003", ""},
		"an acknowledgement is not answered": {frame("MSH|^~\\&|PAS|RXX|||||ACK|1\rMSA|AA|9\r") + frame(a04("2")), "AA:2", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			server, client := tlsPair(t)
			for _, over := range []string{"TCP", "TLS"} {
				for _, cut := range []string{"whole", "byte by byte", "in two"} {
					if cut == "byte by byte" && len(c.wire) > 10<<10 {
						continue
					}
					config := mllp.Config{MaxFrame: 80 << 10}
					if over == "TLS" {
						config.TLS = server
					}
					s := open(t, config)
					if over == "TLS" {
						s.client = client
					}
					var pieces []string
					switch cut {
					case "whole":
						pieces = []string{c.wire}
					case "in two":
						pieces = []string{c.wire[:len(c.wire)/2], c.wire[len(c.wire)/2:]}
					default:
						pieces = strings.Split(c.wire, "")
						if strings.Join(pieces, "") != c.wire { // Split goes by characters
							pieces = nil
							for i := range len(c.wire) {
								pieces = append(pieces, c.wire[i:i+1])
							}
						}
					}
					want := strings.Count(c.answers, ":")
					if c.wire == frame(batch) { // one answer holds all
						want = 1
					}
					got := said(t, s.send(want, pieces...))
					if got != c.answers || s.books.codes() != c.refused {
						t.Errorf("%s, %s: answered %q, refused %q; want %q and %q", over, cut, got, s.books.codes(), c.answers, c.refused)
					}
					s.judge(t, name, c.wire, c.marks)
				}
			}
		})
	}
}

// judge holds the laws of the intake to what was taken: as many answers yes as
// messages taken or recognised, each a part of one frame, and the patient of
// each its own.
func (s *site) judge(t *testing.T, name, wire, marks string) {
	t.Helper()
	s.books.mu.Lock()
	defer s.books.mu.Unlock()
	for i, raw := range s.books.bytes {
		if bytes.ContainsAny(raw, "\x0b\x1c") || !strings.Contains(wire, string(raw)) {
			t.Errorf("%s: message %d holds bytes of two frames", name, i)
		}
	}
	for _, r := range s.books.taken {
		if r.Person.FamilyName != "Example"+r.ControlID {
			t.Errorf("%s: control id %s has another's patient", name, r.ControlID)
		}
	}
	if n := len(s.books.taken); marks != "" && (n == 0 || strings.Join(s.books.taken[n-1].Marks, " ") != marks) {
		t.Errorf("%s: %d taken, without the mark %s", name, n, marks)
	}
}
