package adt

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cpis/connectors/hl7"
	"cpis/schemas"
)

var ed = Profile{Name: "ed", Application: "PAS", Facility: "RXX", ODS: "RXX01", Setting: schemas.SettingEmergencyDepartment}

// one reads a message that has one record.
func one(m *hl7.Message, p Profile) (schemas.Registration, error) {
	list, err := Registrations(m, &p)
	if err != nil || len(list) != 1 {
		return schemas.Registration{}, errors.Join(err, fmt.Errorf("%d records", len(list)))
	}
	return list[0], nil
}

func message(t testing.TB, event, pid string, more ...string) *hl7.Message {
	t.Helper()
	text := "MSH|^~\\&|PAS|RXX|CPIS|HUB|20261124101500||ADT^" + event + "|7|P|2.4\r"
	if pid != "" {
		text += "PID|" + pid + "\r"
	}
	m, err := hl7.Parse([]byte(text + strings.Join(more, "\r")))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestWhereTheNumberStands lists the places and markings of an NHS number and
// its status in real English messages.
func TestWhereTheNumberStands(t *testing.T) {
	const verified, unverified, absent, invalid, conflict = schemas.NumberVerified, schemas.NumberUnverified, schemas.NumberAbsent, schemas.NumberInvalid, schemas.NumberConflict
	tail := strings.Repeat("|", 29)
	for name, c := range map[string]struct {
		pid    string
		number string
		status schemas.NumberStatus
	}{
		"authority and type":    {"1||9990000018^^^NHS^NH" + tail + "NSTS01", "9990000018", verified},
		"authority alone":       {"1||9990000018^^^NHS" + tail + "01", "9990000018", verified},
		"type alone":            {"1||9990000018^^^^NH", "9990000018", unverified},
		"as a simulator has it": {"1|12345|12345^^^MRN~9990000018^^^NHSNBR^NHSNMBR", "9990000018", unverified},
		"second repetition":     {"1||MR~B67890^^^RBS^MR~999 000 0018^^^NHS^NH", "9990000018", unverified},
		"as an OID":             {"1||9990000018^^^&2.16.840.1.113883.2.1.4.1&ISO", "9990000018", unverified},
		"status in the type":    {"1||9990000018^^^NHS^NH{status:01}", "9990000018", verified},
		"status in CX.2":        {"1||9990000018^01^^NHS^NH", "9990000018", verified},
		"typed PID-2":           {"1|9990000018^^^NHS^NH|H1^^^RXX^MR", "9990000018", unverified},
		"bare PID-19":           {"1||H1^^^RXX^MR" + strings.Repeat("|", 16) + "9990000018", "9990000018", unverified},
		"trace found several":   {"1||9990000018^^^NHS^NH" + tail + "NSTS04", "9990000018", conflict},
		"wrong check digit":     {"1||9990000019^^^NHS^NH", "", invalid},
		"two numbers":           {"1||9990000018^^^NHS^NH~9990000026^^^NHS^NH" + tail + "NSTS01", "9990000018", conflict},
		"the same number twice": {"1||9990000018^^^NHS^NH~999 000 0018^^^NHS^NH" + tail + "NSTS01", "9990000018", verified},
		"two statuses":          {"1||9990000018^^^NHS^NH" + tail + "NSTS01~NSTS05", "9990000018", conflict},
		"status in small":       {"1||9990000018^^^NHS^NH" + tail + "nsts 01~AL", "9990000018", verified},
		"marked but empty":      {"1||^^^NHS^NH", "", absent},
		"null":                  {`1||""`, "", absent},
		"only a local number":   {"1|9990000018|9990000018^^^RXX^MR", "", absent},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := one(message(t, "A04", c.pid), ed)
			if err != nil || r.Person.Number.Reveal() != c.number || r.NumberStatus != c.status {
				t.Errorf("%q %s %v, want %q %s", r.Person.Number.Reveal(), r.NumberStatus, err, c.number, c.status)
			}
		})
	}
	trusting := ed
	trusting.UnstatedStatus = "verified"
	for _, stated := range []string{"0", "nsts04", "NSTS 03", "traced", "1"} {
		if r, _ := one(message(t, "A04", "1||9990000018^^^NHS^NH"+tail+stated), trusting); r.NumberStatus == verified {
			t.Errorf("status %q counts as verified", stated)
		}
	}
	if r, _ := one(message(t, "A04", "1||9990000018^^^NHS^NH"), trusting); r.NumberStatus != verified {
		t.Errorf("a sender that traces first: %s", r.NumberStatus)
	}
}

func TestPersonAndVisit(t *testing.T) {
	m := message(t, "A01", "1||9990000018^^^NHS^NH~H7^^^RXX^MR||Old^Name^^^^^S~O\\T\\Neil^Ada^Mary^^^^L||20190807233000-0500|2|||^^^^zz999zz^^HOME", "PV1|1|I|WARD"+strings.Repeat("|", 16)+"V9")
	r, err := one(m, ed)
	if err != nil {
		t.Fatal(err)
	}
	want := schemas.Person{Number: r.Person.Number, FamilyName: "O&Neil", GivenNames: "Ada Mary", DateOfBirth: "2019-08-07", Sex: "F", Postcode: "ZZ99 9ZZ", LocalID: "H7@RXX"}
	if r.Person != want {
		t.Errorf("family %q given %q born %q sex %q postcode %q local %q", r.Person.FamilyName, r.Person.GivenNames, r.Person.DateOfBirth, r.Person.Sex, r.Person.Postcode, r.Person.LocalID)
	}
	if r.VisitNumber != "V9" || r.OccurredSource != "MSH-7" || r.OccurredAt.UTC().Format(time.RFC3339) != "2026-11-24T10:15:00Z" || r.Class != schemas.ClassRegistration {
		t.Errorf("%q %q %v %s", r.VisitNumber, r.OccurredSource, r.OccurredAt, r.Class)
	}
}

func TestEventClasses(t *testing.T) {
	for event, want := range map[string]schemas.EventClass{
		"A01": schemas.ClassRegistration, "A04": schemas.ClassRegistration, "A05": schemas.ClassScheduled, "A08": schemas.ClassIdentity,
		"A28": schemas.ClassIdentity, "A31": schemas.ClassIdentity, "A40": schemas.ClassIdentity, "A11": schemas.ClassRetraction,
		"A27": schemas.ClassRetraction, "A02": schemas.ClassNone, "A03": schemas.ClassNone, "A13": schemas.ClassNone, "A99": schemas.ClassNone,
	} {
		if r, err := one(message(t, event, "1||H1^^^RXX^MR"), ed); err != nil || r.Class != want {
			t.Errorf("%s: %s %v, want %s", event, r.Class, err, want)
		}
	}
	clinic := ed
	clinic.Events = map[string]schemas.EventClass{"A04": schemas.ClassScheduled}
	if r, _ := one(message(t, "A04", "1||H1"), clinic); r.Class != schemas.ClassScheduled {
		t.Errorf("a profile's own meaning: %s", r.Class)
	}
}

func TestRefusals(t *testing.T) {
	two := message(t, "A04", "1||H1", "PID|2||H2")
	notADT, err := hl7.Parse([]byte("MSH|^~\\&|||||||ORU^R01|1\r"))
	if err != nil {
		t.Fatal(err)
	}
	for code, m := range map[schemas.Code]*hl7.Message{"CPIS-H010": message(t, "A04", ""), "CPIS-H011": two, "CPIS-H007": notADT} {
		_, err := one(m, ed)
		var e *hl7.Error
		if !errors.As(err, &e) || schemas.Code(e.Code) != code {
			t.Errorf("%v, want %s", err, code)
		}
		if _, ok := schemas.Explain(string(code)); !ok {
			t.Errorf("%s is not explained", code)
		}
	}
}

func TestMergeCarriesBothNumbers(t *testing.T) {
	r, err := one(message(t, "A40", "1||9990000018^^^NHS^NH", "MRG|9990000026^^^NHS^NH~H9^^^RXX^MR"), ed)
	if err != nil || r.Retired.Number.Reveal() != "9990000026" || r.Retired.LocalID != "H9@RXX" {
		t.Errorf("%v: retired local %q", err, r.Retired.LocalID)
	}
}

// TestReceipt holds what goes back for each thing an authority can say against the
// exact words.
func TestReceipt(t *testing.T) {
	at := time.Date(2026, 7, 1, 13, 5, 0, 0, time.UTC) // five past two in London
	d := schemas.Delivery{DeliveryID: "d1", NoticeID: "n1", Authority: "E06A", State: schemas.Acknowledged, At: at, ControlID: "M|7", OutcomeID: "o1"}
	a := schemas.Authority{Code: "E06A", Name: "Aford & Co"}
	p := Profile{Application: "PAS", Facility: "RXX01", Reply: ReplyTo{Mode: "full"}}
	for name, c := range map[string]struct {
		state  schemas.DeliveryState
		answer schemas.Answer
		by     time.Time
		notice string
		words  string
	}{
		"received":       {schemas.Acknowledged, schemas.AnswerReceived, time.Time{}, "RECEIVED", "Received by the local authority at 14:05 on 1 July."},
		"will call by":   {schemas.Acknowledged, schemas.AnswerWillCall, at.Add(time.Hour), "WILL_CALL", "Received by the local authority at 14:05 on 1 July. The duty worker will call by 15:05 on 1 July."},
		"will call":      {schemas.Acknowledged, schemas.AnswerWillCall, time.Time{}, "WILL_CALL", "Received by the local authority at 14:05 on 1 July. The duty worker will call."},
		"call us":        {schemas.Acknowledged, schemas.AnswerCallUs, time.Time{}, "CALL_US", "Received by the local authority at 14:05 on 1 July. Please ring it."},
		"not ours":       {schemas.Acknowledged, schemas.AnswerNotOurs, time.Time{}, "NOT_OURS", "The local authority says that it does not protect this person any more. Ring it if you are concerned."},
		"nobody reached": {schemas.Undelivered, "", time.Time{}, "UNDELIVERED", "The local authority could not be told of this attendance. Ring it."},
	} {
		d.State, d.Answer, d.CallBy = c.state, c.answer, c.by
		text := string(Receipt(d, a, "01632 960999", p))
		for _, want := range []string{"|ORU^R01^ORU_R01|d1|P|2.4", "OBR|1|M\\F\\7|d1|CPISNOTICE", "NOTICE^^CPIS||" + c.notice + "^^CPIS", "|" + c.words + "|", "HANDLE^^CPIS||o1", "AUTHORITY^^CPIS||E06A^Aford \\T\\ Co^CPIS", "RINGNOW^^CPIS||01632 960999"} {
			if !strings.Contains(text, want) {
				t.Errorf("%s: no %s in\n%s", name, want, strings.ReplaceAll(text, "\r", "\n"))
			}
		}
		if m, err := hl7.Parse([]byte(text)); err != nil || m.Value("PID-3") != "" {
			t.Errorf("%s: %v", name, err)
		}
		p.Reply.Mode = "flag"
		if text := string(Receipt(d, a, "01632 960999", p)); strings.Contains(text, "Aford") || strings.Contains(text, "960999") || !strings.Contains(text, c.words) {
			t.Errorf("%s: mode flag says %s", name, text)
		}
		p.Reply.Mode = "full"
	}
}

func TestReply(t *testing.T) {
	n, err := schemas.ParseNHSNumber("9990000018")
	if err != nil {
		t.Fatal(err)
	}
	o := schemas.Outcome{OutcomeID: "f00d", ControlID: "7", State: schemas.StateIndicator, Reason: schemas.ReasonPlanCurrent,
		Details: schemas.Details{Person: schemas.Person{Number: n, FamilyName: "O&Neil", GivenNames: "Ada"}, Plans: []schemas.Plan{
			{Authority: "E06A", AuthorityName: "A^B", PlanType: schemas.PlanChildProtection, PlanStart: "2026-01-02", RingNow: "0123", OfficePhone: "0123", EmergencyPhone: "0456"}}}}
	full, flag := ed, ed
	full.Reply.Mode = "full"
	text := string(Reply(o, full))
	m, err := hl7.Parse([]byte(text))
	if err != nil || m.Value("MSH-10") != "f00d" || m.Value("OBR-2") != "7" || m.Value("PID-3") != "9990000018" || m.Value("PID-5.1") != "O&Neil" {
		t.Errorf("%v %s", err, text)
	}
	for _, want := range []string{"STATE^^CPIS||INDICATOR^^CPIS", "PLAN^^CPIS|1|CPP^", "AUTHORITY^^CPIS|1|E06A^A\\S\\B", "RINGNOW^^CPIS|1|0123", "EMERGENCY^^CPIS|1|0456", "HANDLE^^CPIS||f00d"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in %q", want, text)
		}
	}
	text = string(Reply(o, flag))
	for _, secret := range []string{"9990000018", "Neil", "CPP", "E06A", "0123", "0456"} {
		if strings.Contains(text, secret) {
			t.Errorf("mode flag tells %q", secret)
		}
	}
	if !strings.Contains(text, "STATE^^CPIS||INDICATOR^^CPIS") {
		t.Errorf("mode flag: %q", text)
	}
}

// TestUnconfirmedIdentitiesReadAlike compares the answers byte by byte: whether
// a number is missing, wrong, or fits a protected child must not show.
func TestUnconfirmedIdentitiesReadAlike(t *testing.T) {
	reply := func(state schemas.State, reason schemas.Reason) string {
		return string(Reply(schemas.Outcome{OutcomeID: "f00d", ControlID: "7", State: state, Reason: reason}, ed))
	}
	want := reply(schemas.StateNotChecked, schemas.ReasonNumberAbsent)
	for _, reason := range []schemas.Reason{schemas.ReasonNumberInvalid, schemas.ReasonNumberUnverified, schemas.ReasonNumberConflict, schemas.ReasonIdentityConflict} {
		if got := reply(schemas.StateNotChecked, reason); got != want {
			t.Errorf("%s: %q", reason, got)
		}
	}
	if got := reply(schemas.StatePossible, schemas.ReasonNumberAbsent); got != want {
		t.Errorf("POSSIBLE: %q", got)
	}
	if got := reply(schemas.StateNotChecked, schemas.ReasonOtherCountry); got == want || strings.Contains(got, "trace") {
		t.Errorf("another country: %q", got)
	}
}

func TestProfilesAreChecked(t *testing.T) {
	if err := ed.Validate(); err != nil {
		t.Error(err)
	}
	bad := Profile{Name: "E D", ODS: "?", Setting: "PUB", Zone: "Mars", UnstatedStatus: "maybe", Reply: ReplyTo{Mode: "loud"}, Notify: "never", UnopenedAfter: time.Second, Events: map[string]schemas.EventClass{"A04": "X"}}
	err := bad.Validate()
	for _, word := range []string{"name", "application", "ods", "setting", "zone", "unstated_status", "reply.mode", "notify", "unopened_after", "events.A04"} {
		if err == nil || !strings.Contains(err.Error(), word) {
			t.Errorf("%s is not complained of: %v", word, err)
		}
	}
}

func TestTheProfileSaysWhenTheAuthorityIsTold(t *testing.T) {
	for notify, want := range map[string]schemas.NotifyPolicy{"": schemas.NotifyOnRegistration, "on_registration": schemas.NotifyOnRegistration, "on_view": schemas.NotifyOnView, "both": schemas.NotifyBoth} {
		p := ed
		p.Notify, p.UnopenedAfter, p.Responsible = notify, 30*time.Minute, Responsible{"B. Lead", "Safeguarding lead"}
		if err := p.Validate(); err != nil {
			t.Error(err)
		}
		r, err := one(message(t, "A04", "1||9990000018^^^NHS^NH", ""), p)
		if err != nil || r.Notify != want || r.UnopenedAfter != 1800 || r.Evidence.ResponsibleName != "B. Lead" || r.Evidence.IsZero() {
			t.Errorf("%q: %s, %d, %v", notify, r.Notify, r.UnopenedAfter, err)
		}
	}
}

func TestSamplesAreWhatTheySay(t *testing.T) {
	for _, s := range Samples() {
		m, err := hl7.Parse([]byte(s.Message))
		if err != nil {
			t.Fatalf("%s: %v", s.Name, err)
		}
		r, err := one(m, ed)
		want := map[string]schemas.NumberStatus{"child-on-plan": schemas.NumberVerified, "no-plan": schemas.NumberVerified, "not-traced": schemas.NumberUnverified,
			"no-number": schemas.NumberAbsent, "wrong-check-digit": schemas.NumberInvalid}[s.Name]
		if (err != nil) != (s.Name == "no-person") || err == nil && r.NumberStatus != want {
			t.Errorf("%s: %s %v", s.Name, r.NumberStatus, err)
		}
	}
}

// TestRecording reads an independent simulator's stream where one is given.
func TestRecording(t *testing.T) {
	dir := os.Getenv("CPIS_CORPUS")
	if dir == "" {
		t.Log("NOT RUN: CPIS_CORPUS names no folder")
		return
	}
	stream, err := os.ReadFile(filepath.Join(dir, "simhospital-1094-adt.frames.bin"))
	if err != nil {
		t.Fatal(err)
	}
	counts := map[string]int{}
	any := Profile{Name: "sim", Application: "SIMHOSP", Facility: "SFAC", ODS: "RXX01", Setting: schemas.SettingEmergencyDepartment, UnstatedStatus: "verified"}
	for _, frame := range bytes.Split(stream, []byte{0x0b})[1:] {
		m, err := hl7.Parse(bytes.TrimSuffix(frame, []byte("\x1c\r")))
		if err != nil {
			t.Fatal(err)
		}
		r, err := one(m, any)
		if err == nil && r.Class == schemas.ClassNone && r.Person.IsZero() {
			counts[r.Event]++
			continue
		}
		if err != nil || r.NumberStatus != schemas.NumberVerified || r.OccurredAt.IsZero() || r.Person.DateOfBirth == "" {
			t.Fatalf("control id %s: %s %v", r.ControlID, r.NumberStatus, err)
		}
		if (r.Event == "A40") == r.Retired.IsZero() {
			t.Errorf("control id %s: %s, retired person known: %v", r.ControlID, r.Event, !r.Retired.IsZero())
		}
		counts[r.Event]++
	}
	for event, want := range map[string]int{"A01": 134, "A02": 54, "A03": 256, "A04": 158, "A05": 38, "A11": 42, "A13": 38, "A14": 51, "A27": 51, "A28": 57, "A31": 183, "A40": 32} {
		if counts[event] != want {
			t.Errorf("%s: %d, want %d", event, counts[event], want)
		}
	}
}

// TestPromote: what a profile says of updates whose visit began, or of which
// nobody knows when it began.
func TestPromote(t *testing.T) {
	known, unknown := "PV1|1|I|W"+strings.Repeat("|", 16)+"V1"+strings.Repeat("|", 25)+"20250101", "PV1|1|I|W"+strings.Repeat("|", 16)+"V1"
	for _, c := range []struct {
		policy    string
		setting   schemas.CareSetting
		pv1       string
		may, when bool // promotable, and when the visit began is looked at
	}{
		{"", schemas.SettingEmergencyDepartment, unknown, true, false}, {"", schemas.SettingPaediatricWard, unknown, false, false},
		{"recent", schemas.SettingPaediatricWard, known, true, true}, {"always", schemas.SettingPaediatricWard, known, true, false},
		{"always", schemas.SettingPaediatricWard, unknown, true, false}, {"never", schemas.SettingEmergencyDepartment, known, false, true},
		{"", schemas.SettingEmergencyDepartment, strings.Replace(unknown, "|I|", "|P|", 1), false, false},
	} {
		p := ed
		p.Promote, p.Setting = c.policy, c.setting
		r, err := one(message(t, "A08", "1||H1", c.pv1), p)
		if err != nil || r.Promotable != c.may || r.VisitBegan.IsZero() == c.when {
			t.Errorf("%q in %s: promotable %v, began %v, %v", c.policy, c.setting, r.Promotable, r.VisitBegan, err)
		}
	}
}

// TestWhereSomebodyRestrictedIsIsNotTold: PD1-12 marks a person as protected; then no
// message names the authority, whose name alone can betray where they live.
func TestWhereSomebodyRestrictedIsIsNotTold(t *testing.T) {
	for mark, want := range map[string]bool{"Y": true, "N": false, "": false, "y": false} {
		r, err := one(message(t, "A04", "1||9990000018^^^NHS^NH", "PD1||||||||||||"+mark), ed)
		if err != nil || r.Evidence.Restricted != want || want && r.Evidence.IsZero() {
			t.Errorf("PD1-12 %q: %v %v", mark, r.Evidence.Restricted, err)
		}
	}
	o := schemas.Outcome{OutcomeID: "f00d", ControlID: "7", State: schemas.StateIndicator, Reason: schemas.ReasonPlanCurrent, Details: schemas.Details{Restricted: true, Plans: []schemas.Plan{
		{Authority: "E06A", AuthorityName: "Aford", PlanType: schemas.PlanChildProtection, PlanStart: "2026-01-02", RingNow: "0123", OfficePhone: "0123", EmergencyPhone: "0456", LastLoadAt: time.Now()}}}}
	full := ed
	full.Reply.Mode = "full"
	d := schemas.Delivery{DeliveryID: "d1", Authority: "E06A", State: schemas.Acknowledged, Answer: schemas.AnswerCallUs, Restricted: true}
	for name, text := range map[string]string{"reply": string(Reply(o, full)), "receipt": string(Receipt(d, schemas.Authority{Code: "E06A", Name: "Aford"}, "0123", full))} {
		for _, secret := range []string{"E06A", "Aford", "0123", "0456", "LASTLOAD", "AUTHORITY"} {
			if strings.Contains(text, secret) {
				t.Errorf("%s names %s:\n%s", name, secret, text)
			}
		}
		if !strings.Contains(text, "safeguarding lead") {
			t.Errorf("%s says not whom to ask:\n%s", name, text)
		}
	}
}
