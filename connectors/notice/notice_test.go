package notice

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	webhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"cpis/connectors"
	"cpis/schemas"
)

const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

func canary(t testing.TB) schemas.Person {
	t.Helper()
	n, err := schemas.ParseNHSNumber("9990000018")
	if err != nil {
		t.Fatal(err)
	}
	return schemas.Person{Number: n, FamilyName: "CANARY", GivenNames: "Ada", DateOfBirth: "2019-08-07", LocalID: "HOSP1"}
}

// attendance is a notice with everything in it that must not be told.
func attendance(t testing.TB) schemas.Notice {
	at := time.Date(2026, 11, 25, 10, 0, 0, 0, time.UTC)
	return schemas.Notice{NoticeID: "n1", Kind: schemas.NoticeAttendance, Authority: "E06A", ODS: "RXX", Setting: schemas.SettingEmergencyDepartment, OccurredAt: at, CreatedAt: at.Add(time.Second),
		SubjectRef: "CANARYREF", Person: canary(t), Feed: "CANARYFEED", ControlID: "CANARYCTL", OutcomeID: "CANARYOUT", PlanTypes: []string{"CPP"}, Traced: true,
		Access: schemas.Access{Records: []schemas.PlanRecord{{PlanType: "CPP", RecordID: "CP-1001", UploadID: "u1"}, {PlanType: "LAC", RecordID: "LA-7"}}, WorkerName: "B. Lead", WorkerRole: "Safeguarding lead"}}
}

// TestANoticeSaysWhatItMayAndNothingMore holds the event against the exact text.
func TestANoticeSaysWhatItMayAndNothingMore(t *testing.T) {
	text, err := Render(attendance(t)).encode()
	if err != nil {
		t.Fatal(err)
	}
	want := `{"specversion":"1.0","id":"n1","source":"/cpis/broker","type":"cpis.attendance.v1","time":"2026-11-25T10:00:01Z","datacontenttype":"application/json",` +
		`"data":{"authority":"E06A","records":[{"record_id":"CP-1001","plan_type":"CPP","upload_id":"u1"},{"record_id":"LA-7","plan_type":"LAC"}],"organisation":"RXX",` +
		`"care_setting":"EMERGENCY_DEPARTMENT","at":"2026-11-25T10:00:00Z","worker":{"name":"B. Lead","role":"Safeguarding lead"},"words":"A person with your plan was registered. Make a case note; answer this notice."}}`
	if diff := cmp.Diff(want, string(text)); diff != "" {
		t.Error(diff)
	}
	types := map[string]bool{}
	for _, kind := range append(schemas.NoticeKinds(), emptyAttendance) {
		n := attendance(t)
		n.Kind = kind
		if kind == emptyAttendance {
			n.Kind, n.Access = schemas.NoticeAttendance, schemas.Access{}
		}
		e := Render(n)
		text, err := e.encode()
		if err != nil || types[e.Type] || e.Data.Words == "" || strings.Contains(string(text), "CANARY") || strings.Contains(string(text), "9990000018") {
			t.Errorf("%s: %s %v", kind, text, err)
		}
		types[e.Type] = true
	}
	if len(types) != len(kinds()) {
		t.Errorf("%d types for %d kinds", len(types), len(kinds()))
	}
	for _, six := range []string{"attendance", "attendance.empty", "number.inactive", "failure", "upload.failed", "upload.refused"} {
		if !types["cpis."+six+".v1"] {
			t.Errorf("case systems know %s apart", six)
		}
	}
}

type request struct {
	header http.Header
	body   string
}

// receiver is an authority's.
func receiver(t testing.TB, status int) (*httptest.Server, *[]request) {
	t.Helper()
	var got []request
	h := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, _ := io.ReadAll(r.Body)
		got = append(got, request{r.Header.Clone(), string(text)})
		if status == http.StatusFound {
			w.Header().Set("Location", "/elsewhere")
		}
		w.WriteHeader(status)
	}))
	t.Cleanup(h.Close)
	return h, &got
}

// hook is a webhook to a receiver, whose certificate it trusts.
func hook(t testing.TB, h *httptest.Server, g Guard) (*Webhook, error) {
	t.Helper()
	dir := t.TempDir()
	ca, key := filepath.Join(dir, "ca.pem"), filepath.Join(dir, "secret")
	pem := "-----BEGIN CERTIFICATE-----\n"
	for rest := encode64(h.Certificate().Raw); rest != ""; {
		n := min(64, len(rest))
		pem, rest = pem+rest[:n]+"\n", rest[n:]
	}
	if err := errors.Join(os.WriteFile(ca, []byte(pem+"-----END CERTIFICATE-----\n"), 0o600), os.WriteFile(key, []byte(secret+"\n"), 0o600)); err != nil {
		t.Fatal(err)
	}
	w, err := NewWebhook(WebhookConfig{URL: h.URL + "/cpis", Secret: key, Authorities: ca}, g)
	if err == nil {
		t.Cleanup(func() { _ = w.Close() })
	}
	return w, err
}

func inside() Guard { return Guard{Hosts: []string{"127.0.0.1"}, Networks: []string{"127.0.0.0/8"}} }

func TestAWebhookIsSigned(t *testing.T) {
	h, got := receiver(t, http.StatusNoContent)
	w, err := hook(t, h, inside())
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := w.Tell(context.Background(), attendance(t)); err != nil {
			t.Fatal(err)
		}
	}
	check, err := webhooks.NewWebhook(secret)
	if err != nil {
		t.Fatal(err)
	}
	other, _ := webhooks.NewWebhook("whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")
	for _, r := range *got {
		if err := check.Verify([]byte(r.body), r.header); err != nil {
			t.Error(err)
		}
		if other.Verify([]byte(r.body), r.header) == nil || check.Verify([]byte(r.body+" "), r.header) == nil {
			t.Error("a signature of another key or text holds")
		}
		if r.header.Get("Idempotency-Key") != "n1" || r.header.Get("webhook-id") != "n1" || !strings.HasPrefix(r.header.Get("Content-Type"), "application/cloudevents+json") {
			t.Errorf("%v", r.header)
		}
	}
	if len(*got) != 2 {
		t.Errorf("%d requests", len(*got))
	}
}

func TestOnlyAYesIsTaken(t *testing.T) {
	for _, status := range []int{http.StatusFound, http.StatusBadRequest, http.StatusGone, http.StatusInternalServerError} {
		h, got := receiver(t, status)
		w, err := hook(t, h, inside())
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Tell(context.Background(), attendance(t)); err == nil || len(*got) != 1 {
			t.Errorf("%d: %v after %d requests", status, err, len(*got))
		}
	}
}

// TestAWebhookGoesNowhereElse tries what leads inside a network.
func TestAWebhookGoesNowhereElse(t *testing.T) {
	h, got := receiver(t, http.StatusNoContent)
	for name, g := range map[string]Guard{"no hosts": {}, "another host": {Hosts: []string{"la.example.gov.uk"}}, "a host below": {Hosts: []string{"*.0.0.1"}}} {
		if w, err := hook(t, h, g); (err == nil) != (name == "a host below") {
			t.Errorf("%s: %v %v", name, w, err)
		}
	}
	w, err := hook(t, h, Guard{Hosts: []string{"127.0.0.1"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Tell(context.Background(), attendance(t)); err == nil || !strings.Contains(err.Error(), "not public") || len(*got) != 0 {
		t.Errorf("an address that is not public: %v", err)
	}
	for _, address := range []string{"127.0.0.1:443", "10.1.2.3:443", "172.16.0.1:443", "192.168.1.1:443", "169.254.169.254:80", "100.64.0.1:443", "0.0.0.0:443", "[::1]:443", "[fe80::1]:443", "[fc00::1]:443",
		"[::ffff:127.0.0.1]:443", "[::ffff:100.64.0.1]:443", "[64:ff9b::7f00:1]:443", "[2002:7f00:1::]:443", "224.0.0.1:443", "255.255.255.255:443", "198.18.0.1:443", "240.0.0.1:443"} {
		if mayConnect(address, false, nil) == nil {
			t.Errorf("%s may be connected to", address)
		}
	}
	for _, address := range []string{"51.140.1.1:443", "[2a01:111::1]:443"} {
		if err := mayConnect(address, false, nil); err != nil {
			t.Errorf("%s: %v", address, err)
		}
	}
	if mayConnect("51.140.1.1:80", true, nil) == nil || mayConnect("127.0.0.1:80", true, nil) != nil {
		t.Error("plain http is for this machine alone")
	}
	allowed, err := inside().networks()
	if err != nil || mayConnect("127.1.2.3:443", false, allowed) != nil || mayConnect("10.0.0.1:443", false, allowed) == nil {
		t.Errorf("a network that is allowed: %v", err)
	}
	dir := t.TempDir()
	short, good := filepath.Join(dir, "short"), filepath.Join(dir, "good")
	if err := errors.Join(os.WriteFile(short, []byte("whsec_abc"), 0o600), os.WriteFile(good, []byte(secret), 0o600)); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]WebhookConfig{"no address": {Secret: good}, "a password in it": {URL: "https://a:b@127.0.0.1/", Secret: good}, "a query": {URL: "https://127.0.0.1/?key=1", Secret: good},
		"another scheme": {URL: "ftp://127.0.0.1/", Secret: good}, "no secret": {URL: "https://127.0.0.1/"}, "a short secret": {URL: "https://127.0.0.1/", Secret: short}} {
		if _, err := NewWebhook(c, inside()); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
}

func TestAReceiverThatIsNotCertifiedIsToldNothing(t *testing.T) {
	h, got := receiver(t, http.StatusNoContent)
	other, _ := receiver(t, http.StatusNoContent)
	w, err := hook(t, other, inside())
	if err != nil {
		t.Fatal(err)
	}
	w.url = h.URL
	w.client.Transport.(*http.Transport).TLSClientConfig.ServerName = "la.example.gov.uk"
	if err := w.Tell(context.Background(), attendance(t)); err == nil || len(*got) != 0 {
		t.Errorf("%v, %d requests", err, len(*got))
	}
}

func TestNoticesInAFolderAreWhole(t *testing.T) {
	dir := t.TempDir()
	for range 2 { // a copy is the same file
		if err := Folder(dir).Tell(context.Background(), attendance(t)); err != nil {
			t.Fatal(err)
		}
	}
	entries, err := os.ReadDir(filepath.Join(dir, "out"))
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if err != nil || !slices.Equal(names, []string{"NOTICE_n1.ctl", "NOTICE_n1.json"}) {
		t.Errorf("%v %v", names, err)
	}
	text, _ := os.ReadFile(filepath.Join(dir, "out", "NOTICE_n1.json"))
	var e Event
	if err := json.Unmarshal(text, &e); err != nil || e.Data.Records[0].RecordID != "CP-1001" {
		t.Errorf("%s %v", text, err)
	}
}

// broker is what the door sees.
type broker struct {
	notices  []schemas.Notice
	answered []schemas.Answer
	viewed   []schemas.Access
	fail     error
}

func (b *broker) Notices(_ context.Context, code schemas.AuthorityCode, cursor string, limit int, _ time.Duration) ([]schemas.Notice, string, error) {
	from := 0
	if cursor != "" {
		if _, err := fmt.Sscanf(cursor, "%d", &from); err != nil {
			return nil, "", ErrCursor
		}
	}
	to := min(len(b.notices), from+limit)
	return b.notices[from:to], fmt.Sprint(to), b.fail
}

func (b *broker) Find(_ context.Context, code schemas.AuthorityCode, id string) (schemas.Notice, bool, error) {
	for _, n := range b.notices {
		if n.NoticeID == id && n.Authority == code {
			return n, true, b.fail
		}
	}
	return schemas.Notice{}, false, b.fail
}

func (b *broker) Answer(_ context.Context, _ schemas.Notice, a schemas.Answer, _ time.Time) error {
	b.answered = append(b.answered, a)
	return b.fail
}

func (b *broker) View(_ context.Context, handle string, who schemas.Access, _ time.Time) (bool, error) {
	if handle != "o1" {
		return false, b.fail
	}
	b.viewed = append(b.viewed, who)
	return true, b.fail
}

func TestFetchAnswerAndView(t *testing.T) {
	b := &broker{notices: []schemas.Notice{attendance(t), attendance(t)}}
	mux := http.NewServeMux()
	d := NewDoor(b, slog.New(slog.DiscardHandler))
	d.now = func() time.Time { return time.Date(2026, 11, 25, 10, 0, 0, 0, time.UTC) }
	d.Register(connectors.NewAPI(mux, "test"))
	h := httptest.NewServer(mux)
	defer h.Close()
	call := func(method, path, body string) (int, string) {
		t.Helper()
		req, err := http.NewRequest(method, h.URL+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = res.Body.Close() }()
		text, _ := io.ReadAll(res.Body)
		return res.StatusCode, string(text)
	}
	const la = "/v1/authorities/E06A/notices"
	for _, c := range []struct {
		name, method, path, body string
		status                   int
		says                     string
	}{
		{"fetch", "GET", la + "?limit=1", "", 200, `"cursor":"1","more":true`},
		{"go on", "GET", la + "?after=1", "", 200, `"cursor":"2","more":false`},
		{"nothing more", "GET", la + "?after=2", "", 200, `"notices":[]`},
		{"no cursor", "GET", la + "?after=x", "", 400, "CPIS-W001"},
		{"too many", "GET", la + "?limit=501", "", 422, "CPIS-W001"},
		{"a code of no shape", "GET", "/v1/authorities/x/notices", "", 422, "CPIS-W001"},
		{"answer", "POST", la + "/n1/answer", `{"answer":"WILL_CALL","call_by":"2026-11-25T12:00:00Z"}`, 200, "WILL_CALL"},
		{"a call that is past", "POST", la + "/n1/answer", `{"answer":"WILL_CALL","call_by":"2026-11-24T12:00:00Z"}`, 400, "CPIS-L038"},
		{"a call in a month", "POST", la + "/n1/answer", `{"answer":"WILL_CALL","call_by":"2026-12-24T12:00:00Z"}`, 400, "CPIS-L038"},
		{"a call nobody promised", "POST", la + "/n1/answer", `{"answer":"RECEIVED","call_by":"2026-11-25T12:00:00Z"}`, 400, "CPIS-L038"},
		{"free text", "POST", la + "/n1/answer", `{"answer":"mother is known to us"}`, 422, "CPIS-W001"},
		{"more than an answer", "POST", la + "/n1/answer", `{"answer":"RECEIVED","note":"x"}`, 422, "CPIS-W001"},
		{"no such notice", "POST", la + "/n9/answer", `{"answer":"RECEIVED"}`, 404, "CPIS-L037"},
		{"another's notice", "POST", "/v1/authorities/E06B/notices/n1/answer", `{"answer":"RECEIVED"}`, 404, "CPIS-L037"},
		{"view", "POST", "/v1/views", `{"handle":"o1","user_id":"555","name":"C. Nurse","role":"R0170"}`, 204, ""},
		{"no such answer", "POST", "/v1/views", `{"handle":"o2","user_id":"555","name":"C. Nurse","role":"R0170"}`, 404, "CPIS-L039"},
		{"nobody looked", "POST", "/v1/views", `{"handle":"o1","user_id":" ","name":"C. Nurse","role":"R0170"}`, 400, "CPIS-W001"},
	} {
		status, text := call(c.method, c.path, c.body)
		if status != c.status || !strings.Contains(text, c.says) || strings.Contains(text, "mother is known") {
			t.Errorf("%s: %d %s", c.name, status, text)
		}
	}
	if len(b.answered) != 1 || len(b.viewed) != 1 || b.viewed[0].WorkerID != "555" {
		t.Errorf("%v, %d views", b.answered, len(b.viewed))
	}
	for name, c := range map[string]struct {
		text string
		code schemas.Code
	}{"a file": {`{"answer":"CALL_US"}`, ""}, "more in it": {`{"answer":"CALL_US","note":"x"}`, "CPIS-L038"}, "no answer": {`{}`, "CPIS-L038"}, "no JSON": {"yes", "CPIS-L038"}} {
		err := d.AnswerText(context.Background(), "E06A", "n1", []byte(c.text))
		var refusal *schemas.Refusal
		if errors.As(err, &refusal) != (c.code != "") || c.code != "" && refusal.Code != c.code {
			t.Errorf("%s: %v", name, err)
		}
	}
	b.fail = errors.New("no Kafka")
	for _, c := range [][3]string{{"GET", la, ""}, {"POST", la + "/n1/answer", `{"answer":"RECEIVED"}`}, {"POST", "/v1/views", `{"handle":"o1","user_id":"555","name":"C. Nurse","role":"R0170"}`}} {
		if status, text := call(c[0], c[1], c[2]); status != http.StatusServiceUnavailable || strings.Contains(text, "Kafka") {
			t.Errorf("%v: %d %s", c, status, text)
		}
	}
}

func encode64(raw []byte) string { return base64.StdEncoding.EncodeToString(raw) }
