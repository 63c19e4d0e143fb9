package feed

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"cpis/connectors/adt"
	"cpis/connectors/mllp"
)

// TestReportSaysWhatToDo feeds the faults of a new sender, and looks for the
// advice that each of them must lead to.
func TestReportSaysWhatToDo(t *testing.T) {
	numbered := func(id, number, status string) string {
		return strings.Replace(a04(id), "P"+id+"^^^RXX^MR||Example"+id+"^Ada||20190807|F", number+"||Canary^Secret||20190807|F"+strings.Repeat("|", 24)+status, 1)
	}
	for name, c := range map[string]struct {
		messages []string
		says     string // empty: nothing, and ready
	}{
		"a good day":               {[]string{numbered("1", adaNumber+"^^^NHS^NH", "NSTS01"), numbered("2", benNumber+"^^^NHS^NH", "NSTS01")}, ""},
		"numbers under a marker":   {[]string{numbered("1", adaNumber+"^^^OURS^NNN", "01")}, "marker"},
		"no status":                {[]string{numbered("1", adaNumber+"^^^NHS^NH", "")}, "unstated_status"},
		"statuses of its own":      {[]string{numbered("1", adaNumber+"^^^NHS^NH", "Y")}, "statuses in the profile"},
		"no visit":                 {[]string{strings.Replace(numbered("1", adaNumber+"^^^NHS^NH", "01"), "V1\r", "\r", 1)}, "name a visit"},
		"no registrations":         {[]string{strings.ReplaceAll(numbered("1", adaNumber+"^^^NHS^NH", "01"), "A04", "A31")}, "No message registers anybody"},
		"another sender":           {[]string{strings.Replace(a04("1"), "|PAS|", "|OTHER|", 1)}, "CPIS-H014"},
		"reused control ids":       {[]string{numbered("1", adaNumber+"^^^NHS^NH", "01"), numbered("1", benNumber+"^^^NHS^NH", "01")}, "used again"},
		"copies":                   {[]string{numbered("1", adaNumber+"^^^NHS^NH", "01"), numbered("1", adaNumber+"^^^NHS^NH", "01")}, "copies"},
		"two environments":         {[]string{numbered("1", adaNumber+"^^^NHS^NH", "01"), strings.Replace(numbered("2", adaNumber+"^^^NHS^NH", "01"), "|P|", "|T|", 1)}, "environments"},
		"a character set in doubt": {[]string{strings.Replace(numbered("1", adaNumber+"^^^NHS^NH", "01"), "Canary", "Canar\xff", 1)}, "CPIS-H103"},
	} {
		t.Run(name, func(t *testing.T) {
			r := NewReport()
			for _, m := range c.messages {
				if err := r.Add([]adt.Profile{ed()}, mllp.Frame{Message: []byte(m)}, time.Now()); err != nil {
					t.Fatal(err)
				}
			}
			r.Close()
			advice := strings.Join(r.Advice, "\n")
			if c.says == "" && (advice != "" || !r.Ready()) || !strings.Contains(advice, c.says) {
				t.Errorf("ready %v, advice %q, want %q", r.Ready(), advice, c.says)
			}
			text, err := json.Marshal(r)
			if err != nil {
				t.Fatal(err)
			}
			for _, secret := range []string{"Canar", "Secret", adaNumber, "2019"} {
				if strings.Contains(string(text), secret) {
					t.Errorf("the report holds %q", secret)
				}
			}
		})
	}
}
