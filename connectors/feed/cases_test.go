package feed

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"cpis/connectors/adt"
	"cpis/connectors/hl7"
	"cpis/connectors/mllp"
	"cpis/schemas"
)

// with is a04 of control id 1 with one thing changed.
func with(old, new string) string { return strings.Replace(a04("1"), old, new, 1) }

// adtMessage builds a message of an event from its segments.
func adtMessage(event string, segments ...string) string {
	return "MSH|^~\\&|PAS|RXX|CPIS|HUB|20261124101500||ADT^" + event + "|1|P|2.4\r" + strings.Join(segments, "\r") + "\r"
}

const (
	adaNumber = "9990000018"
	benNumber = "9990000026"
)

// TestCasesText are messages that broke other engines in how they are written:
// escapes, separators, nulls, character sets (cases 27 and 29 to 46). Each goes
// through a socket, is answered as said, and read as said.
func TestCasesText(t *testing.T) {
	family := func(raw, want string) textCase { // what a family name is read as
		return textCase{message: with("Example1", raw), answer: "AA:1", read: func(r schemas.Registration) string { return r.Person.FamilyName }, want: want}
	}
	for name, c := range map[string]textCase{
		"27 leading zeros in the control id":         {message: with("|1|P", "|0001|P"), answer: "AA:0001"},
		"27 blanks in the control id":                {message: with("|1|P", "| 1 |P"), answer: "AA: 1 "},
		"27 escapes in the control id":               {message: with("|1|P", "|a\\T\\b|P"), answer: "AA:a\\T\\b"},
		"27 no control id":                           {message: with("|1|P", "||P"), answer: "AA:", read: marks, want: "CPIS-H106"},
		"29 nested escape":                           family(`O\E\R\Neil`, `O\R\Neil`),
		"29 repetition mark escaped":                 {message: with("Example1", `GP COMMS,\R\'#$%`), answer: "AA:1", read: func(r schemas.Registration) string { return r.Person.FamilyName }, want: "GP COMMS,~'#$%"},
		"30 escape mark at the end of a field":       family(`ONeil\`, `ONeil\`),
		"30 escaped escape mark at the end":          family(`ONeil\E\`, `ONeil\`),
		"31 lone backslash":                          family(`BSV 4\5 re.`, `BSV 4\5 re.`),
		"32 two hexadecimal digits":                  family(`O\X27\Neil`, "O'Neil"),
		"32 four hexadecimal digits":                 family(`O\X0027\Neil`, "O'Neil"),
		"33 hexadecimal escapes side by side":        family(`A\X41\\X42\`, "AAB"),
		"34 a line break escape":                     {message: with("Example1", `A\.br\B`), answer: "AA:1", read: func(r schemas.Registration) string { return r.Person.FamilyName }, want: "A B"},
		"35 unescaped & in a name":                   {message: with("^Ada", "^Ada & Eve"), answer: "AA:1", read: func(r schemas.Registration) string { return r.Person.GivenNames }, want: "Ada & Eve"},
		"35 unescaped & in an address":               {message: with("|F\r", "|F|||1 Road & Co^^^^ZZ99 9ZZ\r"), answer: "AA:1", read: func(r schemas.Registration) string { return r.Person.Postcode }, want: "ZZ99 9ZZ"},
		"36 five characters in MSH-2":                {message: with(`^~\&`, `^~\&#`), answer: "AA:1"},
		"37 MSH inside a value":                      family("xMSH|", "xMSH"),
		"37 MSH at the start of a value":             family("MSH", "MSH"),
		"38 repetition in a field that has none":     {message: with("|F\r", "|F~M\r"), answer: "AA:1", read: func(r schemas.Registration) string { return r.Person.Sex }, want: "F"},
		"38 an empty repetition first":               {message: with("P1^^^RXX^MR", "~"+adaNumber+"^^^NHS^NH"), answer: "AA:1", read: func(r schemas.Registration) string { return r.Person.Number.Reveal() }, want: adaNumber},
		"38 junk in the first repetition":            {message: with("P1^^^RXX^MR", "MR~B67890^^^RBS^MR~"+adaNumber+"^^^NHS^NH"), answer: "AA:1", read: func(r schemas.Registration) string { return r.Person.Number.Reveal() }, want: adaNumber},
		"39 null in a date":                          {message: with("20190807", `""`), answer: "AA:1", read: func(r schemas.Registration) string { return string(r.Person.DateOfBirth) + fmt.Sprint(r.Deleted) }, want: "[PID-7]"},
		"40 null is not empty":                       {message: with("Example1^Ada||20190807|F", `""||""|`), answer: "AA:1", read: func(r schemas.Registration) string { return fmt.Sprint(r.Deleted) }, want: "[PID-5 PID-7]"},
		"40 empty says nothing":                      {message: with("Example1^Ada||20190807|F", "|||"), answer: "AA:1", read: func(r schemas.Registration) string { return fmt.Sprint(r.Deleted) }, want: "[]"},
		"40 nulls in components":                     {message: with("Example1^Ada", `Testperson^Spine^""^""^""`), answer: "AA:1", read: func(r schemas.Registration) string { return r.Person.FamilyName + "," + r.Person.GivenNames }, want: "Testperson,Spine"},
		"41 line end in a field":                     {message: with("Example1", "Exam\rple1"), answer: "AR:1", refused: "H008"},
		"42 line feeds only":                         {message: strings.ReplaceAll(a04("1"), "\r", "\n"), answer: "AA:1"},
		"43 line feeds, and MSH-18 is last":          {message: strings.ReplaceAll(with("|2.4", "|2.4||||||UNICODE UTF-8"), "\r", "\n"), answer: "AA:1"},
		"44 MSH-18 UNICODE UTF-8":                    {message: strings.Replace(with("|2.4", "|2.4||||||UNICODE UTF-8"), "Example1", "Zo\xc3\xab", 1), answer: "AA:1", read: func(r schemas.Registration) string { return r.Person.FamilyName }, want: "Zoë"},
		"45 MSH-18 8859/1 is honoured":               {message: strings.Replace(with("|2.4", "|2.4||||||8859/1"), "Example1", "Zo\xeb", 1), answer: "AA:1", read: func(r schemas.Registration) string { return r.Person.FamilyName + strings.Join(r.Marks, "") }, want: "Zoë"},
		"46 Latin-1 without MSH-18":                  {message: with("Example1", "Zo\xeb"), answer: "AA:1", read: func(r schemas.Registration) string { return r.Person.FamilyName + strings.Join(r.Marks, "") }, want: "ZoëCPIS-H103"},
		"lower-case and padded segment names":        {message: strings.Replace(strings.Replace(a04("1"), "\rPID|", "\rpid |", 1), "\rPV1", "\rPV1", 1), answer: "AA:1", read: marks, want: "CPIS-H117"},
		"segments in another order":                  {message: adtMessage("A04", "ZU1|x", "PV1|1|E", "PID|1||P1^^^RXX^MR||Example1", "EVN|A04"), answer: "AA:1", read: func(r schemas.Registration) string { return r.Person.LocalID }, want: "P1@RXX"},
		"fields beyond the version and Z segments":   {message: a04("1", "ZZ9|x\r", "ZAL|1|2\r", "ZPI|"+strings.Repeat("|", 60)+"\r"), answer: "AA:1"},
		"MSH-9 of one component, the event in EVN-1": {message: strings.Replace(with("ADT^A04^ADT_A01", "ADT"), "|2.4", "|2.2", 1), answer: "AA:1", read: func(r schemas.Registration) string { return r.Event }, want: "A04"},
		"EVN-1 names another event":                  {message: strings.Replace(a04("1"), "\rEVN|A04", "\rEVN|Sub", 1), answer: "AA:1", read: marks, want: "CPIS-H114"},
		"MSH-14 holds a timestamp":                   {message: with("|2.4", "|2.4|0|20261124"), answer: "AA:1"},
		"a null where a header field stands":         {message: with("|HUB|", `|""|`), answer: "AA:1"},
		"no version, no structure":                   {message: with("ADT^A04^ADT_A01|1|P|2.4", "ADT^A04|1|P"), answer: "AA:1"},
		"unknown structure":                          {message: with("ADT_A01", "ADT_A99"), answer: "AA:1"},
		"no EVN, no PV1, no MSH-7":                   {message: "MSH|^~\\&|PAS|RXX|||||ADT^A04|1\rPID|||P1^^^RXX^MR||Example1\r", answer: "AA:1", read: marks, want: "CPIS-H110"},
	} {
		t.Run(name, func(t *testing.T) { c.run(t) })
	}
}

func marks(r schemas.Registration) string { return strings.Join(r.Marks, " ") }

// textCase is one message, its answer, and one thing that is read of it.
type textCase struct {
	message string
	profile *adt.Profile
	answer  string
	refused string
	records int // default 1 where taken
	read    func(schemas.Registration) string
	want    string
}

func (c textCase) run(t *testing.T) {
	t.Helper()
	var profiles []adt.Profile
	if c.profile != nil {
		profiles = append(profiles, *c.profile)
	}
	s := open(t, mllp.Config{}, profiles...)
	answers := s.send(1, frame(c.message))
	if got := said(t, answers); got != c.answer || s.books.codes() != c.refused {
		t.Fatalf("answered %q, refused %q; want %q and %q", got, s.books.codes(), c.answer, c.refused)
	}
	if c.records == 0 && c.refused == "" {
		c.records = 1
	}
	if len(s.books.taken) != c.records {
		t.Fatalf("%d records, want %d", len(s.books.taken), c.records)
	}
	if c.read != nil {
		var got []string
		for _, r := range s.books.taken {
			got = append(got, c.read(r))
		}
		if joined := strings.Join(got, "; "); joined != c.want {
			t.Errorf("read %q, want %q", joined, c.want)
		}
	}
}

// TestCasesTimes are timestamps that real systems send (cases 47 to 53).
func TestCasesTimes(t *testing.T) {
	when := func(r schemas.Registration) string {
		out := r.OccurredSource + " " + r.OccurredAt.Format(time.RFC3339) + " " + r.OccurredPrecision + " " + r.OccurredZone
		if !r.OccurredOther.IsZero() {
			out += " or " + r.OccurredOther.Format(time.RFC3339)
		}
		return strings.Join(append([]string{out}, r.Marks...), " ")
	}
	evn := func(msh7, evn2 string) string {
		return strings.Replace(with("HUB|20261124101500", "HUB|"+msh7), "EVN|A04|20261124101500", "EVN|A04|"+evn2, 1)
	}
	born := func(r schemas.Registration) string {
		return strings.Join(append([]string{string(r.Person.DateOfBirth)}, r.Marks...), " ")
	}
	zurich := ed()
	zurich.Zone = "Europe/Zurich"
	for name, c := range map[string]textCase{
		"47 the zone of MSH-7":                {message: evn("20261124101500-0500", "20261124101400"), read: when, want: "EVN-2 2026-11-24T10:14:00-05:00 SECOND MESSAGE"},
		"47 the zone of the profile":          {message: evn("20261124101500", "20261124101400"), profile: &zurich, read: when, want: "EVN-2 2026-11-24T10:14:00+01:00 SECOND PROFILE"},
		"48 sign and half hours":              {message: evn("", "20261124101400-0330"), read: when, want: "EVN-2 2026-11-24T10:14:00-03:30 SECOND STATED"},
		"49 precision component":              {message: evn("", "20261124101400^M"), read: when, want: "EVN-2 2026-11-24T10:14:00Z MINUTE PROFILE"},
		"49 a layout as precision":            {message: evn("", "20261124101400^YYYYMMDDHHMMSS"), read: when, want: "EVN-2 2026-11-24T10:14:00Z SECOND PROFILE CPIS-H112"},
		"50 the hour that comes twice":        {message: evn("", "20261025013000"), read: when, want: "EVN-2 2026-10-25T01:30:00+01:00 SECOND PROFILE or 2026-10-25T01:30:00Z CPIS-H111"},
		"50 the hour that never comes":        {message: evn("", "20260329013000"), read: when, want: "EVN-2 2026-03-29T02:30:00+01:00 SECOND PROFILE CPIS-H112"},
		"51 month 13 in the date of birth":    {message: with("20190807", "196513121515"), read: born, want: " CPIS-H113"},
		"51 a time behind the date of birth":  {message: with("20190807", "20190807000000+0100"), read: born, want: "2019-08-07"},
		"51 only a year of birth":             {message: with("20190807", "2019"), read: born, want: " CPIS-H113"},
		"51 a date of birth with a precision": {message: with("20190807", "20190807+^D"), read: born, want: "2019-08-07"},
		"52 dashes and colons":                {message: evn("2026-05-05 23:23:32", ""), read: when, want: "MSH-7 2026-05-05T23:23:32+01:00 SECOND PROFILE CPIS-H112"},
		"53 an offset of seven digits":        {message: evn("", "20260910085943-0700000"), read: when, want: "EVN-2 2026-09-10T08:59:43-07:00 SECOND STATED CPIS-H112"},
		"fractions without a point":           {message: evn("", "20260916143134920350"), read: when, want: "EVN-2 2026-09-16T14:31:34+01:00 SECOND PROFILE CPIS-H112"},
		"EVN-6 before EVN-2":                  {message: strings.Replace(a04("1"), "EVN|A04|20261124101500", "EVN|A04|20261124101500||||20261124090000", 1), read: when, want: "EVN-6 2026-11-24T09:00:00Z SECOND PROFILE"},
		"an unreadable time gives way":        {message: evn("20261124101500", "yesterday"), read: when, want: "MSH-7 2026-11-24T10:15:00Z SECOND PROFILE CPIS-H112"},
	} {
		c.answer = "AA:1"
		t.Run(name, func(t *testing.T) { c.run(t) })
	}
}

// TestCasesEvents are merges, moves and the places of numbers (cases 54 to 63).
func TestCasesEvents(t *testing.T) {
	const ada, ben = adaNumber + "^^^NHS^NH", benNumber + "^^^NHS^NH"
	link := func(r schemas.Registration) string {
		return strings.TrimSpace(fmt.Sprintf("%s %s%s<%s%s %s", r.Link, r.Person.Number.Reveal(), r.Person.LocalID, r.Retired.Number.Reveal(), r.Retired.LocalID, strings.Join(r.Marks, " ")))
	}
	number := func(r schemas.Registration) string {
		return r.Person.Number.Reveal() + " " + string(r.NumberStatus)
	}
	tail := strings.Repeat("|", 29)
	for name, c := range map[string]textCase{
		"54 A39 without groups":                  {message: adtMessage("A39", "EVN|A39", "PID|||"+ada, "MRG|"+ben), read: link, want: "MERGE " + adaNumber + "<" + benNumber},
		"54 ADT^A40^ADT_A40":                     {message: adtMessage("A40^ADT_A40", "PID|||H1^^^RXX^MR", "MRG|H2^^^RXX^MR"), read: link, want: "MERGE H1@RXX<H2@RXX"},
		"54 ADT^A40^ADT_A39":                     {message: adtMessage("A40^ADT_A39", "PID|||H1^^^RXX^MR", "MRG|H2^^^RXX^MR"), read: link, want: "MERGE H1@RXX<H2@RXX"},
		"55 A40 with repeated PID and MRG":       {message: adtMessage("A40", "EVN|A40", "PID|1||H1^^^RXX^MR", "PD1|", "MRG|H2^^^RXX^MR", "PID|2||H3^^^RXX^MR", "MRG|H4^^^RXX^MR"), records: 2, read: link, want: "MERGE H1@RXX<H2@RXX; MERGE H3@RXX<H4@RXX"},
		"55 two MRG under one PID":               {message: adtMessage("A40", "PID|1||H1^^^RXX^MR", "MRG|H2^^^RXX^MR", "MRG|H3^^^RXX^MR"), records: 2, read: link, want: "MERGE H1@RXX<H2@RXX; MERGE H1@RXX<H3@RXX"},
		"56 circular merge":                      {message: adtMessage("A40", "PID|||"+ada, "MRG|"+ada), read: link, want: "MERGE " + adaNumber + "< CPIS-H109"},
		"56 two records of one number":           {message: adtMessage("A40", "PID|||"+ada+"~H1^^^RXX^MR", "MRG|"+ada+"~H2^^^RXX^MR"), read: link, want: "MERGE " + adaNumber + "H1@RXX<H2@RXX"},
		"57 the reverse of a merge":              {message: adtMessage("A40", "PID|||"+ben, "MRG|"+ada), read: link, want: "MERGE " + benNumber + "<" + adaNumber},
		"58 MRG missing in A34 and A35":          {message: adtMessage("A34", "PID|||"+ada), read: link, want: "MERGE " + adaNumber + "< CPIS-H108"},
		"58 a bare MRG":                          {message: adtMessage("A40", "PID|||H1^^^RXX^MR", "MRG|1234"), read: link, want: "MERGE H1@RXX<1234@"},
		"58 the retired record in MRG-4":         {message: adtMessage("A34", "PID|||H1^^^RXX^MR", "MRG||||H2^^^RXX^MR"), read: link, want: "MERGE H1@RXX<H2@RXX"},
		"58 PV1-19 missing, account in PID-18":   {message: adtMessage("A04", "PID|||H1^^^RXX^MR"+strings.Repeat("|", 15)+"F77", "PV1|1|E"), read: func(r schemas.Registration) string { return r.VisitNumber }, want: "account F77"},
		"58 blank local number":                  {message: adtMessage("A04", "PID|||^^^CNN^MR~"+ada), read: number, want: adaNumber + " UNVERIFIED"},
		"58 several GPs":                         {message: adtMessage("A04", "PID|||"+ada, "PD1||||G1^A~G2^B~^^Y06601"), read: number, want: adaNumber + " UNVERIFIED"},
		"58 a foreign site's episode":            {message: strings.Replace(a04("1"), "|RXX|", "|RYY|", 1), answer: "AE:1", refused: "H014"},
		"59 A17 has two PIDs and takes neither":  {message: adtMessage("A17", "PID|||"+ada, "PV1|1|I", "PID|||"+ben, "PV1|2|I"), read: number, want: " ABSENT"},
		"59 two PIDs in an event of one person":  {message: adtMessage("A04", "PID|||"+ada, "PID|||"+ben), answer: "AE:1", refused: "H011"},
		"59 A24 links two records":               {message: adtMessage("A24", "PID|||H1^^^RXX^MR", "PID|||H2^^^RXX^MR"), read: link, want: "LINK H1@RXX<H2@RXX"},
		"59 A37 unlinks them":                    {message: adtMessage("A37", "PID|||H1^^^RXX^MR", "PID|||H2^^^RXX^MR"), read: link, want: "UNLINK H1@RXX<H2@RXX"},
		"59 A45 moves a visit":                   {message: adtMessage("A45", "PID|||H1^^^RXX^MR", "MRG|H2^^^RXX^MR||||V8", "PV1|1|E"+strings.Repeat("|", 17)+"V9"), read: func(r schemas.Registration) string { return link(r) + " " + r.VisitNumber + " " + r.PriorVisitNumber }, want: "MOVE H1@RXX<H2@RXX V9 V8"},
		"60 NHS number only in PID-19":           {message: adtMessage("A04", "PID|||H1^^^RXX^MR"+strings.Repeat("|", 16)+adaNumber), read: number, want: adaNumber + " UNVERIFIED"},
		"60 NHS number only in PID-2":            {message: adtMessage("A04", "PID||"+ada+"|H1^^^RXX^MR"), read: number, want: adaNumber + " UNVERIFIED"},
		"60 a bare PID-2 is a local number":      {message: adtMessage("A04", "PID||"+adaNumber+"|H1^^^RXX^MR"), read: number, want: " ABSENT"},
		"60 marked in PID-4":                     {message: adtMessage("A04", "PID|||H1^^^RXX^MR|"+ada), read: number, want: adaNumber + " UNVERIFIED"},
		"61 status in CX.2":                      {message: adtMessage("A04", "PID|||"+adaNumber+"^01^^NI"), read: number, want: adaNumber + " VERIFIED"},
		"61 status in CX.5":                      {message: adtMessage("A04", "PID|||"+adaNumber+"^^^NHS^NH{status:01}"), read: number, want: adaNumber + " VERIFIED"},
		"61 status in PID-32":                    {message: adtMessage("A04", "PID|||"+ada+tail+"NSTS01"), read: number, want: adaNumber + " VERIFIED"},
		"61 status in PID-32, bare":              {message: adtMessage("A04", "PID|||"+ada+tail+"01"), read: number, want: adaNumber + " VERIFIED"},
		"61 a Scottish number is no English one": {message: adtMessage("A04", "PID|||"+adaNumber+"^^^CHI^CHI"+tail+"01"), read: func(r schemas.Registration) string { return number(r) + " " + marks(r) }, want: " OTHER_COUNTRY CPIS-H115"},
		"61 a Scottish number beside an English": {message: adtMessage("A04", "PID|||"+benNumber+"^^^CHI^CHI~"+ada+tail+"01"), read: number, want: adaNumber + " VERIFIED"},
		"61 a Northern Irish number":             {message: adtMessage("A04", "PID|||"+adaNumber+"^^^HSCNI"), read: number, want: " OTHER_COUNTRY"},
		"62 the mother's number in NK1-33":       {message: adtMessage("A01", "PID|||H1^^^RXX^MR||Example^Baby||20261120"+strings.Repeat("|", 25)+"NSTS08", "NK1|1|Example^Eve|MTH^Mother"+strings.Repeat("|", 30)+ben+"~H9^^^RXX^MR"), read: mother, want: benNumber + "H9@RXX NK1-33 [PID-32 PID-7]"},
		"62 the mother in PID-21":                {message: adtMessage("A01", "PID|||H1^^^RXX^MR||Example^Baby||20261120"+strings.Repeat("|", 14)+ben+"|||Y|2"), read: func(r schemas.Registration) string { return mother(r) + " " + r.Evidence.BirthOrder }, want: benNumber + " PID-21 [PID-7] 2"},
		"62 the father is no mother":             {message: adtMessage("A01", "PID|||H1^^^RXX^MR", "NK1|1|Example^Sam|FTH^Father"+strings.Repeat("|", 30)+ben), read: mother, want: "  []"},
		"63 a count mismatch":                    {message: "BHS|^~\\&|PAS|RXX\r" + a04("1") + "BTS|7\r", read: marks, want: "CPIS-H116"},
		"pregnancy in every place":               {message: adtMessage("A01", "PID|||"+ada, "PV1|1|B|MATWRD|||||||500|||||B6|||Pregnant", "PV2|||^Labour"), read: func(r schemas.Registration) string { return fmt.Sprint(r.Evidence.Pregnancy) }, want: "[PV1-2 PV1-3 PV1-10 PV1-15 PV1-18 PV2-3]"},
		"the operator, where there is one": {message: adtMessage("A04", "EVN|A04||||111111111^Clerk^Emily^^Miss^^RXX", "PID|||"+ada), read: func(r schemas.Registration) string {
			return r.Evidence.OperatorID + " " + r.Evidence.OperatorName + " " + r.Evidence.OperatorSource
		}, want: "111111111 Emily Clerk EVN-5"},
		"no operator is made up":               {message: a04("1"), read: func(r schemas.Registration) string { return r.Evidence.OperatorID + r.Evidence.OperatorSource }, want: ""},
		"aliases and other numbers are kept":   {message: adtMessage("A04", "PID|||H1^^^RXX^MR~H2^^^RYY^PI||Example^Ada^^^^^L~Sample^Ada^^^^^A||||Other^Ada"), read: func(r schemas.Registration) string { return fmt.Sprint(r.Evidence.Aliases, r.Evidence.Identifiers) }, want: "[Sample^Ada Other^Ada] [H2@RYY]"},
		"no person in an event that needs one": {message: adtMessage("A04", "PV1|1|E"), answer: "AE:1", refused: "H010"},
		"not ADT":                              {message: strings.Replace(a04("1"), "ADT^A04^ADT_A01", "ORU^R01", 1), answer: "AE:1", refused: "H007"},
		"the last home postcode":               {message: adtMessage("A04", "PID|||H1||||||||^^^^ZZ99 9ZZ^^H~x@example.com~^^^^zz999zy^^HOME~^^^^ZZ99 9ZX^^BA"), read: func(r schemas.Registration) string { return r.Person.Postcode }, want: "ZZ99 9ZY"},
	} {
		if c.answer == "" {
			c.answer = "AA:1"
		}
		t.Run(name, func(t *testing.T) { c.run(t) })
	}
}

func mother(r schemas.Registration) string {
	m := r.Evidence.Mother
	return m.Number.Reveal() + m.LocalID + " " + r.Evidence.MotherSource + " " + fmt.Sprint(r.Evidence.Newborn)
}

// TestCase63BadMessageInABatch: one message that cannot be read loses no other,
// and the answers stand in the order of the messages.
func TestCase63BadMessageInABatch(t *testing.T) {
	s := open(t, mllp.Config{})
	batch := "BHS|^~\\&|PAS|RXX|CPIS|HUB|||||B9\r" + a04("1") + "MSH|^~\\&|PAS|RXX|||||ADT^A04|2\rPV1|1\r" + "MSH|x\rPID|1\r" + a04("4") + "BTS|4\r"
	answers := s.send(1, frame(batch))
	if got := said(t, answers); got != "AA:1 AE:2 AR: AA:4" || s.books.controls() != "1 4" || s.books.codes() != "H010 H002" {
		t.Errorf("answered %q, taken %q, refused %q", got, s.books.controls(), s.books.codes())
	}
	if b, ok, err := hl7.SplitBatch([]byte(answers[0])); !ok || err != nil || b.Declared != 4 || !strings.HasPrefix(answers[0], "BHS|^~\\&|CPIS|HUB|PAS|RXX|") || !strings.Contains(answers[0], "|B9\r") {
		t.Errorf("the answer is no batch: %q %v", answers[0], err)
	}
	again := s.send(1, frame(batch))
	if got := said(t, again); got != "AA:1 AE:2 AR: AA:4" || s.books.controls() != "1 4" {
		t.Errorf("sent again: answered %q, taken %q", got, s.books.controls())
	}
}
