package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestAnUnknownChild goes the whole way: a child comes without a number, the
// hospital is told to trace it and nothing more; the steps can be explained, and
// name nobody; then the hospital merges its record into the traced one, and gets
// an answer that names the first.
func TestAnUnknownChild(t *testing.T) {
	h := newHospital(t, t.TempDir(), "", "")
	plans := filepath.Join(h.dir, "plans.csv")
	rows := "record_id,nhs_number,family_name,given_names,date_of_birth,sex,plan_type,plan_start,plan_end,expected_delivery_date,version,postcode,other_names\n" +
		"A1,9990000018,Quillfeather,Zoe Marigold,2019-08-07,F,CPP,2026-01-02,,,1,ZZ1 1AA,Featherquill^Zola\n"
	if err := os.WriteFile(plans, []byte(rows), 0o600); err != nil {
		t.Fatal(err)
	}
	h.upload(samples("contacts.json"), "--contacts")
	h.upload(plans)
	unknown := message("1", "A04", "PID|1||T77^^^RXX^MR||Quillfeather^Zoey||20190807|F|||1 High Street^^Aford^^ZZ1 1AA\rPV1|1|E|AE||||||||||||||||V77\r")
	h.send(unknown)
	eventually(t, 20*time.Second, "the first answer", h.answered("IDENTITY_NOT_CONFIRMED"))
	if h.answered("POSSIBLE")() || h.answered("Quillfeather")() || h.answered("RINGNOW")() {
		t.Error("the desk is told that somebody protected fits")
	}
	code, steps := h.cli(unknown, "match", "explain")
	if code != exitFine || !strings.Contains(steps, "POSSIBLE, DETAILS") || !strings.Contains(steps, "date of birth        same") {
		t.Errorf("match explain: exit %d\n%s", code, steps)
	}
	for _, secret := range []string{"Quill", "Zo", "2019", "9990000018", "ZZ1"} {
		if strings.Contains(steps, secret) {
			t.Errorf("the steps name %s:\n%s", secret, steps)
		}
	}
	h.send(message("2", "A40", "PID|1||9990000018^^^NHS^NH~P12^^^RXX^MR||Quillfeather^Zoe||20190807|F"+strings.Repeat("|", 24)+"NSTS01\rMRG|T77^^^RXX^MR\r"))
	eventually(t, 20*time.Second, "the answer after the merge", h.answered("STATE^^CPIS||INDICATOR^^CPIS"))
	if !h.answered("CORRECTS^^CPIS")() || !h.answered("RINGNOW^^CPIS")() {
		t.Error("it does not name the first, or nobody to ring")
	}
}

// message is an ADT message of the practice sender, with what follows EVN.
func message(id, event, more string) string {
	return "MSH|^~\\&|PRACTICE|RXX01|CPIS|HUB|20261125101500+0000||ADT^" + event + "|" + id + "|T|2.4\rEVN|" + event + "|20261125101500+0000\r" + more
}
