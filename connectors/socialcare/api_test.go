package socialcare

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"cpis/connectors"
	"cpis/schemas"
)

const contactsOfAford = `{"authority":"E06A","name":"Aford","office_phone":"01632 960001","office_hours":"Mon-Fri 09:00-17:00","emergency_phone":"01632 960002"}`

// call sends a request and gives status, headers and body.
func call(t testing.TB, method, address, format, body string) (int, http.Header, string) {
	t.Helper()
	req, err := http.NewRequest(method, address, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if format != "" {
		req.Header.Set("Content-Type", format)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, res.Header, string(text)
}

func TestNothingIsSaidToBeInThatIsNot(t *testing.T) {
	for name, spoil := range map[string]func(*store){"held cannot be told": func(s *store) { s.blind = true }, "commit is not known": func(s *store) { s.fail = true }} {
		s := newStore(t)
		spoil(s)
		_, err := Client{Server: server(t, s).URL, Authority: "E06A"}.Send(context.Background(), Request{Format: CSV, Body: strings.NewReader(header + good)})
		var refusal *schemas.Refusal
		if !errors.As(err, &refusal) || refusal.Code != "CPIS-L025" {
			t.Errorf("%s: %v", name, err)
		}
		s.blind, s.fail = false, false
		r, err := Client{Server: server(t, s).URL, Authority: "E06A"}.Send(context.Background(), Request{Format: CSV, Body: strings.NewReader(header + good)})
		if err != nil || r.New+r.Unchanged != 1 || len(s.held) != 1 {
			t.Errorf("%s, sent again: %+v %v", name, r, err)
		}
	}
}

// TestAFileThatIsSentAgainAfterACrashCanStillBeUndone: the commit that nobody knew
// the result of has written the records.
func TestAFileThatIsSentAgainAfterACrashCanStillBeUndone(t *testing.T) {
	s := newStore(t)
	if _, err := take(t, s, CSV, header+good); err != nil {
		t.Fatal(err)
	}
	s.fail = true
	if _, err := take(t, s, CSV, header+strings.Replace(at("2"), "Ada", "Eva", 1)); !errors.Is(err, errLater) {
		t.Fatal(err)
	}
	s.fail = false
	r, err := take(t, s, CSV, header+strings.Replace(at("2"), "Ada", "Eva", 1))
	if err != nil || r.Unchanged != 1 {
		t.Fatalf("%+v %v", r, err)
	}
	out, err := service(t, s).Undo(context.Background(), "E06A", r.UploadID, "b")
	if err != nil || out.Restored != 1 || s.held["E06A/ref-00018/CPP"].Person.GivenNames != "Ada" {
		t.Errorf("%+v %v", out, err)
	}
}

func TestOverHTTP(t *testing.T) {
	s := newStore(t)
	delete(s.authorities, "E06A")
	h := server(t, s).URL + "/v1/authorities/"
	for _, c := range []struct {
		name, method, path, format, body string
		status                           int
		says                             string
	}{
		{"no contacts yet", "POST", "E06A/indicators", CSV, header + good, 400, "CPIS-L022"},
		{"no contacts to show", "GET", "E06A/contacts", "", "", 400, "CPIS-L022"},
		{"contacts without a number", "PUT", "E06A/contacts", "application/json", `{"name":"Aford"}`, 422, "emergency_phone"},
		{"contacts with more", "PUT", "E06A/contacts", "application/json", `{"name":"Aford","emergency_phone":"101","note":"x"}`, 422, "CPIS-W001"},
		{"a number nobody can dial", "PUT", "E06A/contacts", "application/json", `{"name":"Aford","emergency_phone":"ask Jo"}`, 400, "emergency_phone"},
		{"hours nobody can read", "PUT", "E06A/contacts", "application/json", strings.Replace(contactsOfAford, "Mon-Fri 09", "daily 9", 1), 400, "office_hours"},
		{"another's contacts", "PUT", "E06B/contacts", "application/json", contactsOfAford, 400, "authority"},
		{"contacts", "PUT", "E06A/contacts", "application/json", contactsOfAford, 200, `"version":1`},
		{"of a version that is not held", "PUT", "E06A/contacts", "application/json", strings.Replace(contactsOfAford, "{", `{"version":7,`, 1), 409, "version 1 is held"},
		{"of the version that is held", "PUT", "E06A/contacts", "application/json", strings.Replace(contactsOfAford, "{", `{"version":1,`, 1), 200, `"version":2`},
		{"who to ring", "GET", "E06A/contacts", "", "", 200, `"ring_now":"01632 960001"`},
		{"confirm", "POST", "E06A/contacts/confirm", "", "", 200, `"confirmed_on":"2026-11-24"`},
		{"a code of no shape", "POST", "e6/indicators", CSV, "", 400, "CPIS-W001"},
		{"another format", "POST", "E06A/indicators", "application/pdf", "x", 415, "CPIS-L020"},
		{"a parameter nobody knows", "POST", "E06A/indicators?dry=1", CSV, header + good, 422, "CPIS-W001"},
		{"a check", "POST", "E06A/indicators?check=true", CSV, header + good, 200, `"check":true`},
		{"plans", "POST", "E06A/indicators", CSV, header + good, 200, `"new":1`},
		{"one record", "POST", "E06A/indicators", "application/json", "{\n \"record_id\": \"B1\", \"nhs_number\": \"9990000026\", \"family_name\": \"X\", \"date_of_birth\": \"2019-01-01\",\n \"plan_type\": \"LAC\", \"plan_start\": \"2026-01-01\", \"version\": 1}", 200, `"new":1`},
		{"no record", "POST", "E06A/indicators", "application/json", "[]", 200, "CPIS-L001"},
		{"not even JSON", "POST", "E06A/indicators", "application/json", "{", 400, "CPIS-L020"},
		{"an address", "POST", "E06A/indicators", CSV, "record_id,address\n", 400, "it is named address"},
		{"health", "GET", "E06A/health", "", "", 200, `"superseded_numbers":2`},
		{"files", "GET", "E06A/uploads", "", "", 200, `"state":"TAKEN"`},
		{"no such file", "POST", "E06A/uploads/x/approve?by=b", "", "", 404, "CPIS-L032"},
		{"the file back", "POST", "E06A/indicators?answer=file&check=true", CSV, header + strings.Replace(good, ",1\n", ",0\n", 1), 200, `,1,CPR0`},
	} {
		if c.name == "the file back" {
			c.says = ",0,CPR07,"
		}
		status, header, text := call(t, c.method, h+c.path, c.format, c.body)
		if status != c.status || !strings.Contains(text, c.says) || strings.Contains(text, "Canary") && c.name != "the file back" {
			t.Errorf("%s: %d %s", c.name, status, text)
		}
		if status >= 400 && header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: %s", c.name, header.Get("Content-Type"))
		}
	}
	req, _ := http.NewRequest("POST", h+"E06A/indicators", strings.NewReader(header+good))
	req.Header.Set("Content-Type", CSV)
	req.Header.Set("Cpis-Client", "0")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	var p connectors.Problem
	if err := json.NewDecoder(res.Body).Decode(&p); err != nil || p.File != fileUnsupported {
		t.Errorf("an old client: %+v %v", p, err)
	}
	_ = res.Body.Close()
	if len(s.notices) == 0 || s.notices[0].Kind != schemas.NoticeUploadFailed {
		t.Errorf("%d notices", len(s.notices))
	}
}

// TestTheDescriptionIsOfWhatIsServed reads the OpenAPI document as a supplier would.
func TestTheDescriptionIsOfWhatIsServed(t *testing.T) {
	h := server(t, newStore(t)).URL
	_, _, text := call(t, "GET", h+"/openapi.json", "", "")
	var doc struct {
		Paths map[string]map[string]struct {
			OperationID string                     `json:"operationId"`
			Responses   map[string]json.RawMessage `json:"responses"`
			RequestBody struct {
				Content map[string]struct {
					Schema struct {
						Properties map[string]any `json:"properties"`
					} `json:"schema"`
				} `json:"content"`
			} `json:"requestBody"`
		} `json:"paths"`
	}
	if err := json.Unmarshal([]byte(text), &doc); err != nil {
		t.Fatal(err)
	}
	post := doc.Paths["/v1/authorities/{code}/indicators"]["post"]
	if len(post.RequestBody.Content) != 3 || post.Responses["202"] == nil {
		t.Errorf("%+v", post)
	}
	for _, c := range Columns() {
		if post.RequestBody.Content["application/json"].Schema.Properties[c] == nil {
			t.Errorf("the description lacks %s", c)
		}
	}
	if len(doc.Paths) < 13 {
		t.Errorf("%d paths", len(doc.Paths))
	}
	if _, _, csv := call(t, "GET", h+"/v1/template.csv", "", ""); csv != Template() {
		t.Error(csv)
	}
	if _, _, md := call(t, "GET", h+"/v1/template.md", "", ""); !strings.Contains(md, "| expected_delivery_date |") {
		t.Error(md)
	}
}

// TestAStreamIsAnsweredAsItComes sends a record, waits for its verdict, and only
// then sends the next.
func TestAStreamIsAnsweredAsItComes(t *testing.T) {
	s := newStore(t)
	pr, pw := io.Pipe()
	req, err := http.NewRequest("POST", server(t, s).URL+"/v1/authorities/E06A/stream", pr)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	lines := bufio.NewScanner(res.Body)
	next := func() Verdict {
		t.Helper()
		if !lines.Scan() {
			t.Fatal("the stream ended: ", lines.Err())
		}
		var v Verdict
		if err := json.Unmarshal(lines.Bytes(), &v); err != nil {
			t.Fatal(err)
		}
		return v
	}
	send := func(text string) {
		if _, err := io.WriteString(pw, text); err != nil {
			t.Error(err)
		}
	}
	send(jsonRow(`,"version":1`))
	if v := next(); v.Row != 1 || v.Outcome != "new" {
		t.Errorf("%+v", v)
	}
	send("rubbish\n")
	if v := next(); v.Row != 2 || v.Detail != "CPIS-L001" {
		t.Errorf("%+v", v)
	}
	send("\n" + jsonRow(`,"version":2,"plan_end":"2026-11-20"`))
	if v := next(); v.Row != 4 || v.Outcome != "ended" {
		t.Errorf("%+v", v)
	}
	send(jsonRow(`,"version":3`) + `{"record_id":"A2","address":"1 Road"}` + "\n" + jsonRow(`,"version":4`))
	if v := next(); v.Row != 5 || v.Outcome != "changed" {
		t.Errorf("a good record beside one that must not be shared: %+v", v)
	}
	if !lines.Scan() || !strings.Contains(lines.Text(), "CPIS-L021") || !strings.Contains(lines.Text(), "line 6") || strings.Contains(lines.Text(), "Road") {
		t.Errorf("what must not be shared: %s", lines.Text())
	}
	_ = pw.Close()
	if a := s.authorities["E06A"]; a.Received != 4 || a.Refused != 1 || len(s.uploads) != 0 || s.held["E06A/ref-00018/CPP"].Version != 3 {
		t.Errorf("%+v", a)
	}
}

func TestHealthSaysWhatWantsDoing(t *testing.T) {
	s := newStore(t)
	a := s.authorities["E06A"]
	a.UpdatedAt = s.now.AddDate(-1, 0, 0)
	s.authorities["E06A"] = a
	if _, err := take(t, s, CSV, plans(0, 18, 1, "")+"X,1,,,,,CPP,,,,1\nY,2,,,,,CPP,,,,1\n"); err != nil {
		t.Fatal(err)
	}
	v := service(t, s)
	h, err := v.Health("E06A", 0)
	if err != nil || h.Received != 20 || *h.MatchRate != 90 || !h.BelowLine || h.Refused != 2 || h.Quiet || !h.Unconfirmed || !h.NextDue.Equal(s.now.Add(36*time.Hour)) || len(h.ToDo) != 3 {
		t.Errorf("%+v %v", h, err)
	}
	s.now = s.now.Add(37 * time.Hour)
	if h, err := v.Health("E06A", 1); err != nil || !h.Quiet || len(h.ToDo) != 5 {
		t.Errorf("%+v %v", h, err)
	}
	if n := v.Refusals()["CPIS-L010"]; n != 0 { // counted by the service that took it
		t.Errorf("%d", n)
	}
}

func TestWhatIsOddIsTold(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		code schemas.Code
		line int
	}{
		"byte-order mark": {"\xef\xbb\xbf" + header + good, "CPIS-L101", 1},
		"Latin-1":         {header + strings.Replace(good, "Ada", "Zo\xeb", 1), "CPIS-L102", 2},
		"blank rows":      {header + good + ",,,,,,,,,,\n,,,,,,,,,,\n", "CPIS-L103", 3},
		"dates":           {header + strings.Replace(good, "2019-08-07", "07/08/2019 00:00", 1), "CPIS-L104", 2},
		"apostrophes":     {header + strings.Replace(good, "9990000018", "'9990000018", 1), "CPIS-L105", 2},
		"formulas":        {header + strings.Replace(good, "9990000018", `"=""9990000018"""`, 1), "CPIS-L105", 2},
		"semicolons":      {strings.ReplaceAll(header+good, ",", ";"), "CPIS-L106", 1},
		"tabs":            {strings.ReplaceAll(header+good, ",", "\t"), "CPIS-L106", 1},
	} {
		s := newStore(t)
		r, err := take(t, s, CSV, c.text)
		if err != nil || r.New != 1 || len(r.Notes) != 1 || r.Notes[0].Code != c.code || r.Notes[0].Lines[0] != c.line || r.Notes[0].Words == "" || s.published[0].Person.Number.Reveal() != "9990000018" || s.published[0].Person.DateOfBirth != "2019-08-07" {
			t.Errorf("%s: %+v %v", name, r, err)
		}
	}
	if r, err := take(t, newStore(t), CSV, plans(0, 30, 1, "")); err != nil || r.New != 30 || r.Notes[0].Code != "CPIS-L112" {
		t.Errorf("everybody was born on one day: %+v %v", r.Notes, err)
	}
	short := "version," + strings.Replace(header, ",version", "", 1) + "1," + strings.TrimSuffix(good, ",,,1\n")
	if r, err := take(t, newStore(t), CSV, short+"\n"); err != nil || r.New != 1 || r.Notes[0].Code != "CPIS-L111" {
		t.Errorf("a row that is short at its end: %+v %v", r, err)
	}
	if r, err := take(t, newStore(t), CSV, short); err != nil || r.Refused != 1 || !strings.Contains(r.Verdicts[0].Reason, "cut off") {
		t.Errorf("a file that is cut off: %+v %v", r, err)
	}
	for name, c := range map[string][2]string{
		"a number cut short":   {"9990000018", "9.99E+09"},
		"a day as a number":    {"2019-08-07", "43684"},
		"two digits of a year": {"2019-08-07", "07/08/19"},
		"a spreadsheet error":  {"Canary", "#N/A"},
	} {
		v := taken(t, newStore(t), CSV, header+strings.Replace(good, c[0], c[1], 1))
		if v.Outcome != "refused" || !strings.Contains(v.Reason, "spreadsheet") && !strings.Contains(v.Reason, "four digits") {
			t.Errorf("%s: %+v", name, v)
		}
	}
}

// TestTheFileComesBackWithTwoColumns reads what Annotate wrote with the very rules
// that read the file.
func TestTheFileComesBackWithTwoColumns(t *testing.T) {
	text := "\xef\xbb\xbf" + header + good + "\r\n" + strings.Replace(strings.Replace(good, "A1", "B2", 1), "9990000018", "123", 1) + ",,,,,,,,,,\n" + `C3,"9990000026,X` + "\n"
	r, err := take(t, newStore(t), CSV, text)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := Annotate(&out, CSV, []byte(text), r.Verdicts); err != nil {
		t.Fatal(err)
	}
	got := strings.Split(strings.TrimPrefix(out.String(), "\xef\xbb\xbf"), "\n")
	want := []string{strings.TrimSpace(header) + ",code,what_to_do", strings.TrimSpace(good) + ",CPR06,"}
	for i, line := range want {
		if got[i] != line {
			t.Errorf("line %d: %s, want %s", i+1, got[i], line)
		}
	}
	if !strings.Contains(got[3], ",CPR04,nhs_number: not a ten-digit number. Trace the NHS number and correct it.") || got[4] != ",,,,,,,,,," || !strings.Contains(got[5], ",CPR07,") {
		t.Errorf("%q", got)
	}
	rows := jsonRow(`,"version":1`) + jsonRow(`,"version":0`)
	if r, err = take(t, newStore(t), JSONL, rows); err != nil {
		t.Fatal(err)
	}
	out.Reset()
	if err := Annotate(&out, JSONL, []byte(rows), r.Verdicts); err != nil {
		t.Fatal(err)
	}
	for i, line := range strings.Split(strings.TrimSpace(out.String()), "\n") {
		var m map[string]any
		if err := json.Unmarshal([]byte(line), &m); err != nil || m["code"] != []string{"CPR07", "CPR07"}[i] && m["code"] != "CPR06" || m["record_id"] != "A1" {
			t.Errorf("%s: %v", line, err)
		}
	}
}

// TestACheckIsTheUpload: whatever a check says, the upload then does.
func TestACheckIsTheUpload(t *testing.T) {
	s := newStore(t)
	if _, err := take(t, s, CSV, plans(0, 10, 1, "")); err != nil {
		t.Fatal(err)
	}
	text := plans(5, 10, 2, "") + "Z,1,,,,,CPP,,,,1\n"
	held := len(s.published)
	v := service(t, s)
	check, err := v.Take(context.Background(), Request{Authority: "E06A", Format: CSV, Body: strings.NewReader(text), Check: true})
	if err != nil || len(s.published) != held || len(s.uploads) != 1 || len(s.quarantined) != 0 || len(s.notices) != 0 {
		t.Fatalf("a check writes: %+v %v", check, err)
	}
	did, err := take(t, s, CSV, text)
	if err != nil {
		t.Fatal(err)
	}
	check.Check, check.State, check.UploadID = did.Check, did.State, did.UploadID
	a, _ := json.Marshal(check)
	b, _ := json.Marshal(did)
	if !bytes.Equal(a, b) {
		t.Errorf("%s\n%s", a, b)
	}
	off, err := Examine(Request{Authority: "E06A", Format: CSV, Body: strings.NewReader(text)}, s.now)
	if err != nil || off.Refused != did.Refused || off.Received != did.Received || off.Verdicts[10] != did.Verdicts[10] {
		t.Errorf("without a broker: %+v %v", off, err)
	}
}
