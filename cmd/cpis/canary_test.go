package main

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"cpis/router/topics"
	"cpis/schemas"
)

// canaries are what must never be seen outside of a seal: everything that is known of the
// invented people of this test.
func canaries() []string {
	return []string{"9990000018", "999 000 0018", "9990000093", "9990000107", "Canaryfield", "CANARYFIELD", "Wrenna", "WRENNA", "Finchley-Canary", "FINCHLEY-CANARY", "20190807", "2019-08-07", "20150309", "2015-03-09", "CN1 7RY", "CN17RY", "H-CANARY-1", "H-CANARY-2",
		"Canary Lane", "LA-CANARY-7", "N. Canarynurse", "555-CANARY"}
}

// transcript gathers what is written, from several goroutines.
type transcript struct {
	mu   sync.Mutex
	text bytes.Buffer // guarded by mu
}

func (l *transcript) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *transcript) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// loud is a whole system that logs everything it ever logs, and the messages of one day
// of its care setting.
type loud struct {
	*system
	log  *transcript
	dir  string
	env  []string
	file string
}

func newLoud(t *testing.T) *loud {
	t.Helper()
	ports, err := freePorts(4)
	if err != nil {
		t.Fatal(err)
	}
	l := &loud{log: &transcript{}, dir: t.TempDir()}
	l.file = filepath.Join(t.TempDir(), "site.yaml")
	text := "signin: {practice: true}\nlog: {level: debug}\nfeeds:\n  - {name: ed, application: PRACTICE, facility: RXX01, ods: RXX01, setting: EMERGENCY_DEPARTMENT}\n"
	if err := os.WriteFile(l.file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	l.env = []string{"CPIS_MLLP_LISTEN=" + ports[0], "CPIS_HTTP_LISTEN=" + ports[1], "CPIS_KAFKA_LISTEN=" + ports[2], "CPIS_REGISTRY_LISTEN=" + ports[3], "CPIS_DATA=" + l.dir, "CPIS_CONFIG=" + l.file}
	config, err := loadConfig(l.file, l.env[:5], nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	if l.system, err = wire(ctx, config, (&shell{err: l.log}).logger(config.Log)); err != nil {
		cancel()
		t.Fatal(err)
	}
	stopped := make(chan error, 1)
	go func() { stopped <- l.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-stopped; err != nil {
			t.Error(err)
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	<-l.intake.Receipts.Ready()
	return l
}

// cli runs a command; what it says is part of the transcript.
func (l *loud) cli(in string, args ...string) int {
	return run(context.Background(), args, strings.NewReader(in), l.log, l.log, l.env)
}

// TestNothingLeaks runs invented people through everything there is, and then looks for
// them in everything that is not sealed: logs, metrics, answers to operators, keys and
// headers of records, records, files and their names.
func TestNothingLeaks(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir()) // nobody else's temporary files
	l := newLoud(t)
	dir := t.TempDir()
	rows := strings.Join(csvHeader(), ",") + "\nLA-CANARY-7,9990000018,Canaryfield,Wrenna,2019-08-07,F,CPP,2026-03-03,,,1\nLA-CANARY-8,9990000019,Canaryfield,Wrenna,2019-08-07,F,CPP,2026-03-03,,,1\nLA-CANARY-9,9990000093,Finchley-Canary,Wrenna,2019-08-07,F,CPP,never,,,1\n"
	plans := filepath.Join(dir, "plans.csv")
	if err := os.WriteFile(plans, []byte(rows), 0o600); err != nil {
		t.Fatal(err)
	}
	eventually(t, 20*time.Second, "contacts", func() bool {
		return l.cli("", "la", "upload", samples("contacts.json"), "--contacts", "--authority", "E06A") == exitFine
	})
	var quiet transcript // an authority is told which of its own rows was refused; nobody else reads that
	eventually(t, 20*time.Second, "the upload", func() bool {
		code := run(context.Background(), []string{"la", "upload", plans, "--authority", "E06A"}, strings.NewReader(""), &quiet, &quiet, l.env)
		return code == exitFine || code == exitRefused
	})
	person := func(number, family, given, born, local string) string {
		return "PID|1||" + number + "^^^NHS^NH~" + local + "^^^RXX^MR||" + family + "^" + given + "||" + born + "|F|||12 Canary Lane^^Aford^^CN1 7RY||||||||||||||||||||||NSTS01\rPV1|1|E|AE||||||||||||||||V-CANARY\r"
	}
	known, unknown := person("9990000018", "Canaryfield", "Wrenna", "20190807", "H-CANARY-1"), person("9990000107", "Finchley-Canary", "Wrenna", "20150309", "H-CANARY-2")
	sent := 0
	for _, m := range []string{
		message("1", "A04", known), message("2", "A04", unknown), message("3", "A08", known), message("4", "A04", strings.Replace(known, "9990000018", "9990000019", 1)),
		message("5", "A04", strings.Replace(known, "9990000018^^^NHS^NH~", "", 1)), message("6", "A40", known+"MRG|9990000093^^^NHS^NH\r"), message("7", "A11", known), message("8", "A04", "PID|garbage|9990000018|Canaryfield"),
		message("9", "Z99", known), message("10", "A04", known+known), "MSH|^~\\&|PRACTICE|RXX01|CPIS|HUB|9990000018||Canaryfield|", "Wrenna Canaryfield 9990000018", message("1", "A04", unknown),
		message("11", "A04", strings.Replace(known, "V-CANARY", "V-CANARY-2", 1)),
	} {
		file := filepath.Join(dir, fmt.Sprint(sent, ".hl7"))
		if err := os.WriteFile(file, []byte(m), 0o600); err != nil {
			t.Fatal(err)
		}
		l.cli("", "hl7", "send", file)
		sent++
	}
	eventually(t, 20*time.Second, "the answers", func() bool { return l.cli("", "ledger") == exitFine })
	h := &oneHospital{web: "http://" + l.webAddr}
	nurse := h.signIn(t, "555000000001")
	for _, ask := range []map[string]string{{"nhs_number": "9990000018"}, {"nhs_number": "9990000107"}, {"nhs_number": "9990000019"}, {"handle": "9990000018"}, {"nhs_number": "9990000018", "reason": "LIFE_AT_RISK"}, {"nhs_number": "9990000018", "reason": "Canaryfield"}} {
		for _, path := range []string{"/v1/people/find", "/v1/people/open", "/v1/people/glass"} {
			nurse.ask(path, ask) // what a nurse is shown is for the nurse
		}
	}
	// The pages, and the national reads, whose address holds the number as the guide has it.
	form := func(v *visitor, path string, values url.Values) string {
		_, text := v.do(http.MethodPost, path, "application/x-www-form-urlencoded", values.Encode())
		return text
	}
	var board string
	eventually(t, 20*time.Second, "the board", func() bool {
		_, board = nurse.do(http.MethodGet, "/board", "", "")
		return strings.Contains(board, `name="handle"`)
	})
	handle := regexp.MustCompile(`name="handle" value="(\w+)"`).FindStringSubmatch(board)[1]
	shown := form(nurse, "/answer", url.Values{"handle": {handle}}) + form(nurse, "/history", url.Values{"nhs_number": {"9990000018"}}) + form(nurse, "/answer/feedback", url.Values{"handle": {handle}, "what": {"NUMBER_WRONG"}})
	if !strings.Contains(shown, "CANARYFIELD") || !strings.Contains(shown, "Registered") {
		t.Error("the nurse is not shown the child")
	}
	for _, number := range []string{"9990000018", "9990000107", "9990000019"} {
		form(nurse, "/glass", url.Values{"nhs_number": {number}, "reason": {"LIFE_AT_RISK"}})
		for _, resource := range []string{"CareTeam", "AuditEvent"} {
			req, err := http.NewRequest(http.MethodGet, h.web+"/cpis/FHIR/R4/"+resource+"?patient:identifier=https://fhir.nhs.uk/Id/nhs-number%7C"+number, nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Authorization", "Bearer "+h.token(t, "555000000001"))
			res, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			_ = res.Body.Close()
		}
	}
	operator := h.signIn(t, "555000000007")
	for _, path := range []string{"/operations", "/operations/letters", "/operations/letters?code=CPIS-H010", "/operations/ledger", "/connect", "/connect/practice"} {
		_, text := operator.do(http.MethodGet, path, "", "")
		_, _ = io.WriteString(l.log, text)
	}
	for _, control := range []string{"1", "2", "5"} {
		_, _ = io.WriteString(l.log, form(operator, "/operations/message", url.Values{"feed": {"practice"}, "control": {control}}))
	}
	_, _ = io.WriteString(l.log, form(operator, "/connect", url.Values{"message": {message("1", "A04", known)}}))
	for _, path := range []string{"/metrics", "/readyz", "/livez", "/version", "/v1/audit", "/v1/people/reviews", "/nowhere"} {
		res, err := http.Get(h.web + path)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = fmt.Fprintf(l.log, "%s %v\n", path, res.Header)
		_, _ = io.Copy(l.log, res.Body)
		_ = res.Body.Close()
	}
	for _, spec := range topics.Table() {
		l.cli("", "tail", string(spec.Topic), "--from", "beginning", "--until", "end", "--json")
		l.cli("", "tail", string(spec.Topic), "--from", "beginning", "--until", "end")
	}
	for _, args := range [][]string{{"dlq", "ls", "--all"}, {"dlq", "show", "0"}, {"dlq", "show", "1"}, {"dlq", "replay", "0", "--dry-run"}, {"ledger", "--json"}, {"feed", "list"}, {"doctor"}, {"keys", "list"}, {"audit", "export", "--from", time.Now().Format(time.DateOnly), "--out", filepath.Join(dir, "x.csv")},
		{"audit", "copy", filepath.Join(dir, "log")}, {"la", "uploads", "--authority", "E06A"}, {"la", "health", "--authority", "E06A"}} {
		l.cli("", args...)
	}
	for _, file := range []string{"x.csv", "log/0.entries"} {
		text, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil && file == "x.csv" {
			t.Error(err)
		}
		search(t, file, string(text))
	}
	said := l.log.String()
	search(t, "what was logged and told", said)
	for _, found := range regexp.MustCompile(`\b\d{3} ?\d{3} ?\d{4}\b`).FindAllString(said, -1) {
		if _, err := schemas.ParseNHSNumber(found); err == nil {
			t.Errorf("an NHS number was logged or told: ...%s", found[len(found)-3:])
		}
	}
	if len(said) < 20_000 || !strings.Contains(said, "DEBUG") && !strings.Contains(said, "file taken") {
		t.Errorf("only %d bytes were logged and told", len(said))
	}
	l.searchTopics(t)
	l.searchFiles(t)
}

// search looks for canaries.
func search(t *testing.T, where, text string) {
	t.Helper()
	for _, c := range canaries() {
		if i := strings.Index(text, c); i >= 0 {
			t.Errorf("%s: a canary (%s…) stands there: %q", where, c[:3], text[max(0, i-80):min(len(text), i+40)])
		}
		if strings.Contains(text, hex.EncodeToString([]byte(c))) {
			t.Errorf("%s: a canary stands there in hex", where)
		}
	}
}

// searchTopics looks through every record as it stands, key and headers and value. Of a
// registration that matched nothing not even the pseudonym may stand anywhere but on the
// topic that lasts a day.
func (l *loud) searchTopics(t *testing.T) {
	t.Helper()
	var names []string
	for _, spec := range topics.Table() {
		names = append(names, string(spec.Topic))
	}
	c, err := kgo.NewClient(kgo.SeedBrokers(l.config.Kafka.Brokers...), kgo.ConsumeTopics(names...), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	unknown := l.pseudonyms(t, "9990000107")
	seen := map[string]int{}
	for quiet := 0; quiet < 3; {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		fetches := c.PollFetches(ctx)
		cancel()
		if fetches.NumRecords() == 0 {
			quiet++
		}
		fetches.EachRecord(func(r *kgo.Record) {
			seen[r.Topic]++
			all := string(r.Key) + "\x00" + string(r.Value)
			for _, h := range r.Headers {
				all += "\x00" + h.Key + "\x00" + string(h.Value)
			}
			search(t, r.Topic, all)
			if r.Topic == string(schemas.TopicRegistration) {
				return
			}
			for _, p := range unknown {
				if strings.Contains(all, p) {
					t.Errorf("%s: a pseudonym of somebody of whom nothing is shared", r.Topic)
				}
			}
		})
	}
	for _, must := range []schemas.Topic{schemas.TopicRegistration, schemas.TopicIndicator, schemas.TopicOutcome, schemas.TopicNotice, schemas.TopicAudit, schemas.TopicDeadLetter, schemas.TopicLink} {
		if seen[string(must)] == 0 {
			t.Errorf("nothing stands on %s: the search found nothing because there is nothing", must)
		}
	}
}

// pseudonyms are the forms in which a number's could stand somewhere.
func (l *loud) pseudonyms(t *testing.T, number string) []string {
	t.Helper()
	n, err := schemas.ParseNHSNumber(number)
	if err != nil {
		t.Fatal(err)
	}
	ref := string(l.keys.SubjectRef(n))
	_, tail, _ := strings.Cut(ref, "-")
	raw, err := hex.DecodeString(tail)
	if err != nil {
		t.Fatal(err)
	}
	return []string{ref, tail, string(raw)}
}

// searchFiles looks through every file of the data folder, but for that of the topic that
// lasts a day, and at every name; and at what was left in the folder for temporary files.
func (l *loud) searchFiles(t *testing.T) {
	t.Helper()
	unknown := l.pseudonyms(t, "9990000107")
	files := 0
	for _, root := range []string{l.dir, os.TempDir()} {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			search(t, "a file name", path)
			if d.IsDir() || !d.Type().IsRegular() {
				return nil
			}
			text, err := os.ReadFile(path)
			if err != nil {
				return nil // gone meanwhile
			}
			files++
			search(t, path, string(text))
			for _, p := range unknown {
				if !strings.Contains(path, string(schemas.TopicRegistration)) && strings.Contains(string(text), p) {
					t.Errorf("%s: a pseudonym of somebody of whom nothing is shared", path)
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if files < 20 {
		t.Errorf("only %d files were searched", files)
	}
}
