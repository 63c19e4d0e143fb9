package socialcare

import (
	"context"
	"encoding/xml"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"cpis/schemas"
)

const control = `<DTSControl><Version>1.0</Version><AddressType>DTS</AddressType><MessageType>Data</MessageType></DTSControl>`

type dropped struct {
	*Drop
	answers *[]string
	t       testing.TB
	folder  string
}

func drop(t testing.TB, s *store) dropped {
	t.Helper()
	folder := t.TempDir()
	var answers []string
	d, err := service(t, s).WatchDrop("E06A", folder, func(_ context.Context, id string, text []byte) error {
		if !strings.Contains(string(text), "RECEIVED") {
			return &schemas.Refusal{Code: "CPIS-L038", Location: "answer", Reason: "none of the list"}
		}
		if s.fail {
			return errors.New("result unknown")
		}
		answers = append(answers, id)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return dropped{d, &answers, t, folder}
}

func (d dropped) put(name, text string) {
	d.t.Helper()
	if err := os.WriteFile(filepath.Join(d.folder, "in", name), []byte(text), 0o600); err != nil {
		d.t.Fatal(err)
	}
}

func (d dropped) scan() {
	d.t.Helper()
	if err := d.Scan(context.Background()); err != nil {
		d.t.Fatal(err)
	}
}

func (d dropped) there(where, name string) bool {
	_, err := os.Stat(filepath.Join(d.folder, where, name))
	return err == nil
}

func (d dropped) status(stem string) Status {
	d.t.Helper()
	text, err := os.ReadFile(filepath.Join(d.folder, "out", stem+".ctl"))
	if err != nil {
		d.t.Fatal(err)
	}
	var c Control
	if err := xml.Unmarshal(text, &c); err != nil || c.Status == nil {
		d.t.Fatalf("%s: %v", text, err)
	}
	return *c.Status
}

func TestFilesInADropFolderAreAnswered(t *testing.T) {
	s := newStore(t)
	d := drop(t, s)
	d.put("E06A_0001.csv", header+good+"B2,1,X,,2019-01-01,,LAC,2026-01-01,,,1\n")
	d.scan()
	if len(s.held) != 0 || !d.there("in", "E06A_0001.csv") {
		t.Fatal("a file was taken before its control file was there")
	}
	d.put("E06A_0001.ctl", control)
	d.scan()
	a := d.status("E06A_0001")
	if len(s.held) != 1 || a.Code != "CPF03" || a.Status != "SUCCESS" || !d.there("sent", "E06A_0001.csv") || !d.there("sent", "E06A_0001.ctl") || d.there("in", "E06A_0001.ctl") {
		t.Errorf("%+v", a)
	}
	back, err := os.ReadFile(filepath.Join(d.folder, "out", "E06A_0001.csv"))
	if err != nil || !strings.Contains(string(back), "code,what_to_do") || !strings.Contains(string(back), "CPR06") || !strings.Contains(string(back), "CPR04") {
		t.Errorf("%s %v", back, err)
	}
	if s.authorities["E06A"].Sequence != 1 {
		t.Errorf("%+v", s.authorities["E06A"])
	}
}

func TestNoticesAreAnsweredInAFolder(t *testing.T) {
	s := newStore(t)
	d := drop(t, s)
	d.put("ANSWER_4f0c12.json", `{"answer":"RECEIVED"}`)
	d.put("ANSWER_4f0c12.ctl", control)
	d.put("ANSWER_9.json", `{"answer":"mother is known to us"}`)
	d.put("ANSWER_9.ctl", control)
	s.fail = true
	if err := d.Scan(context.Background()); err == nil || !d.there("in", "ANSWER_4f0c12.ctl") {
		t.Fatal("an answer went that is not known to be in")
	}
	s.fail = false
	d.scan()
	if strings.Join(*d.answers, ",") != "4f0c12" || d.status("ANSWER_4f0c12").Status != "SUCCESS" || !d.there("sent", "ANSWER_4f0c12.json") {
		t.Errorf("%v", *d.answers)
	}
	if a := d.status("ANSWER_9"); a.Status != "ERROR" || !strings.Contains(a.Words, "CPIS-L038") || !d.there("failed", "ANSWER_9.json") || strings.Contains(a.Words, "mother") {
		t.Errorf("%+v", a)
	}
}

func TestFilesAreTakenInTheOrderOfTheirNumbers(t *testing.T) {
	s := newStore(t)
	d := drop(t, s)
	for _, n := range []string{"10", "9", "2"} {
		d.put("F"+n+".jsonl", jsonRow(`,"version":`+n))
		d.put("F"+n+".ctl", control)
	}
	d.scan()
	if got := s.published; len(got) != 3 || got[0].Version != 2 || got[2].Version != 10 {
		t.Errorf("%d written", len(got))
	}
}

func TestFilesThatCannotBeUsedAreSetAside(t *testing.T) {
	for name, c := range map[string]struct{ data, control, code string }{
		"no header":       {"9990000018,Canary", control, "CPF01"},
		"another version": {header + good, strings.Replace(control, "1.0", "9.9", 1), "CPF06"},
		"no control file": {header + good, "ready", "CPF01"},
	} {
		s := newStore(t)
		d := drop(t, s)
		d.put("E06A_7.dat", c.data)
		d.put("E06A_7.ctl", c.control)
		d.scan()
		if a := d.status("E06A_7"); a.Code != c.code || a.Status != "ERROR" || !d.there("failed", "E06A_7.dat") || d.there("in", "E06A_7.dat") || len(s.held) != 0 || strings.Contains(a.Words, "Canary") {
			t.Errorf("%s: %+v", name, a)
		}
	}
}

// TestAFileStaysUntilItIsKnownToBeIn stops in the middle in every way there is.
func TestAFileStaysUntilItIsKnownToBeIn(t *testing.T) {
	s := newStore(t)
	d := drop(t, s)
	d.put("E06A_1.csv", header+good)
	d.put("E06A_1.ctl", control)
	d.put("E06A_2.csv", header+at("2"))
	d.put("E06A_2.ctl", control)
	s.fail = true
	if err := d.Scan(context.Background()); err == nil || !d.there("in", "E06A_1.csv") || len(s.published) != 1 {
		t.Fatal("a file went, or the one behind it was taken first")
	}
	s.fail = false
	d.scan()
	if a := d.status("E06A_2"); a.Code != "CPF02" || s.held["E06A/ref-00018/CPP"].Version != 2 || d.there("in", "E06A_1.csv") {
		t.Errorf("%+v", a)
	}
	// Killed after the control file was moved: the data file lies there, and is not taken again.
	d.put("E06A_3.csv", header+at("3"))
	d.scan()
	if s.held["E06A/ref-00018/CPP"].Version != 2 {
		t.Error("a data file without a control file was taken")
	}
}

func TestADropFolderCanBringAFullSnapshotAndCannotEscape(t *testing.T) {
	s := newStore(t)
	d := drop(t, s)
	d.put("E06A_1.csv", plans(0, 20, 1, ""))
	d.put("E06A_1.ctl", control)
	d.put("E06A_2.csv", plans(0, 18, 1, ""))
	d.put("E06A_2.ctl", strings.Replace(control, "</DTS", "<Subject>full</Subject></DTS", 1))
	secret := filepath.Join(t.TempDir(), "secret.csv")
	if err := os.WriteFile(secret, []byte(header+strings.Replace(good, "9990000018", valid(500), 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(secret, filepath.Join(d.folder, "in", "E06A_3.csv")); err != nil {
		t.Fatal(err)
	}
	d.put("E06A_3.ctl", control)
	d.scan()
	if liveIn(s) != 18 {
		t.Errorf("%d plans stand", liveIn(s))
	}
	if d.there("out", "E06A_3.ctl") {
		t.Error("a link out of the folder was followed")
	}
	d.put("E06A_4.csv", plans(0, 3, 2, ""))
	d.put("E06A_4.ctl", strings.Replace(control, "</DTS", "<Subject>full</Subject></DTS", 1))
	d.scan()
	if a := d.status("E06A_4"); a.Code != "" || !strings.Contains(a.Words, "second person") || liveIn(s) != 18 {
		t.Errorf("%+v", a)
	}
	for _, u := range s.uploads {
		if u.State == schemas.UploadWaiting {
			return
		}
	}
	t.Error("nothing waits")
}
