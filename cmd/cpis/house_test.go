package main

import (
	"bytes"
	"context"
	"errors"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"cpis/schemas"
)

func TestExampleConfigurationIsFine(t *testing.T) {
	c, err := loadConfig(filepath.Join("..", "..", "deploy", "config", "site.yaml"), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Feeds) != 2 || c.Feeds[0].Reply.Mode != "full" || c.Matching.StartupGrace.Seconds() != 10 {
		t.Errorf("%+v", c)
	}
}

func TestConfigurationMistakes(t *testing.T) {
	for name, c := range map[string]struct {
		text, env string
		code      schemas.Code
		says      string
	}{
		"unknown key":             {"mllp:\n  lisen: 127.0.0.1:1\n", "", "CPIS-C001", `:2: no key "lisen" here; nearest is "listen"`},
		"unknown key in feed":     {"feeds:\n  - nane: x\n", "", "CPIS-C001", `nearest is "name"`},
		"unknown variable":        {"", "CPIS_MLLP_LISTN=1", "CPIS-C001", "CPIS_MLLP_LISTEN"},
		"open to the network":     {"mllp: {listen: \"0.0.0.0:2575\"}\n", "", "CPIS-C003", "mllp.listen"},
		"role":                    {"roles: [intak]\n", "", "CPIS-C002", "intak"},
		"log level":               {"log: {level: loud}\n", "", "CPIS-C002", "loud"},
		"duration":                {"matching: {late_after: soon}\n", "", "CPIS-C002", ""},
		"one table of names":      {"matching: {given_table: x.csv}\n", "", "CPIS-C002", "both tables"},
		"no such weights":         {"matching: {weights: /nowhere/weights.json}\n", "", "CPIS-C002", "no such file"},
		"cluster without feed":    {"kafka: {brokers: [\"k:1\"]}\n", "", "CPIS-C002", "feeds"},
		"setting":                 {"feeds:\n  - {name: a, application: A, facility: B, ods: RXX, setting: PUB}\n", "", "CPIS-C002", "PUB"},
		"feed twice":              {"feeds:\n  - {name: a, application: A, facility: B, ods: RXX, setting: MATERNITY}\n  - {name: a, application: A, facility: C, ods: RXX, setting: MATERNITY}\n", "", "CPIS-C002", "twice"},
		"open without proof":      {"mllp: {listen: \"0.0.0.0:2575\", tls: {certificate: c, key: k}}\n", "", "CPIS-C003", "mllp.listen"},
		"a user without password": {"kafka: {brokers: [\"k:1\"], user: cpis}\nroles: [matcher]\n", "", "CPIS-C002", "belong together"},
		"no password file":        {"kafka: {brokers: [\"k:1\"], user: cpis, password_file: /nowhere}\nroles: [matcher]\n", "", "CPIS-C002", "read password"},
		"tls with ourselves":      {"kafka: {tls: {authorities: ca.pem}}\n", "", "CPIS-C002", "brokers of a cluster"},
		"web open to the network": {"http: {listen: \"0.0.0.0:8080\"}\n", "", "CPIS-C003", "http.listen"},
		"web without proof":       {"http: {tls: {certificate: c, key: k}}\n", "", "CPIS-C002", "every caller proves"},
		"subject of nobody":       {"http: {subjects: {\"CN=x\": \"urn:la:aford\"}}\n", "", "CPIS-C002", "http.subjects"},
		"authority twice":         {"authorities: [{code: E06A}, {code: E06A}]\n", "", "CPIS-C002", "authorities[1].code"},
		"webhook elsewhere":       {"authorities: [{code: E06A, notices: {webhook: {url: \"https://la.example.org\"}}}]\n", "", "CPIS-C002", "none of the hosts"},
		"a folder for nothing":    {"authorities: [{code: E06A, notices: {drop: true}}]\n", "", "CPIS-C002", "needs a drop folder"},
		"no demographics":         {"demographics: /nowhere.csv\n", "", "CPIS-C002", "demographics"},
		"other listener open":     {"mllp: {others: [{name: ward, listen: \"0.0.0.0:1\"}]}\n", "", "CPIS-C003", "mllp.others[0].listen"},
		"listener named twice":    {"mllp: {others: [{name: main, listen: \"127.0.0.1:1\"}]}\n", "", "CPIS-C002", "mllp.others[0].name"},
		"tls without a key":       {"mllp: {tls: {authorities: a}}\n", "", "CPIS-C002", "certificate and key"},
		"release":                 {"mllp: {release: 3}\n", "", "CPIS-C002", "release"},
		"no such listener":        {"feeds:\n  - {name: a, application: A, facility: B, ods: RXX, setting: MATERNITY, listener: ward}\n", "", "CPIS-C002", "ward"},
		"proof nobody can give":   {"feeds:\n  - {name: a, application: A, facility: B, ods: RXX, setting: MATERNITY, certificate: \"urn:ods:RXX\"}\n", "", "CPIS-C002", "no listener asks"},
		"reply in clear":          {"feeds:\n  - {name: a, application: A, facility: B, ods: RXX, setting: MATERNITY, reply: {address: \"10.0.0.1:2575\"}}\n", "", "CPIS-C003", "reply.address"},
		"answer policy":           {"feeds:\n  - {name: a, application: A, facility: B, ods: RXX, setting: MATERNITY, answer: {on_permanent: CE}}\n", "", "CPIS-C002", "on_permanent"},
		"practice in earnest":     {"signin: {practice: true}\nredis: {url: \"redis://127.0.0.1:1\"}\n", "", "CPIS-C002", "anybody may be anybody"},
		"practice for all":        {"signin: {practice: true}\nhttp: {listen: \"0.0.0.0:8080\", tls: {certificate: c, key: k, authorities: a}}\n", "", "CPIS-C002", "anybody may be anybody"},
		"sign-in in clear":        {"signin: {issuer: \"http://idp\", client_id: a, secret_file: b, public: \"https://x\"}\n", "", "CPIS-C002", "https://"},
		"algorithm of secrets":    {"signin: {issuer: \"https://idp\", client_id: a, secret_file: b, public: \"https://x\", algorithms: [HS256]}\n", "", "CPIS-C002", "HS256"},
		"people in clear":         {"signin: {practice: true, listen: \"0.0.0.0:8443\"}\n", "", "CPIS-C002", "in clear"},
		"a role of activities":    {"signin: {practice: true, roles: {UNSCHEDULED_CARE: [R1]}}\n", "", "CPIS-C002", "UNSCHEDULED_CARE"},
		"a log without name":      {"audit: {name: \"a b\"}\n", "", "CPIS-C002", "audit.name"},
		"a witness without key":   {"audit: {witnesses: [aford]}\n", "", "CPIS-C002", "audit.witnesses"},
		"no YAML":                 {"a: [", "", "CPIS-C002", ""},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "site.yaml")
			if err := os.WriteFile(file, []byte(c.text), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := loadConfig(file, []string{c.env}, nil)
			var refusal *schemas.Refusal
			if !errors.As(err, &refusal) || refusal.Code != c.code || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v", err)
			}
			var out, complaint bytes.Buffer
			if code := run(context.Background(), []string{"config", "check", file}, strings.NewReader(""), &out, &complaint, []string{c.env}); code != exitUsage || !strings.Contains(complaint.String(), string(c.code)) {
				t.Errorf("config check: exit %d, %s", code, complaint.String())
			}
		})
	}
}

func TestSourcesInOrder(t *testing.T) {
	file := filepath.Join(t.TempDir(), "site.yaml")
	if err := os.WriteFile(file, []byte("http: {listen: \"127.0.0.1:1\"}\nmllp: {listen: \"127.0.0.1:1\"}\ndata: from-file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := loadConfig(file, []string{"CPIS_HTTP_LISTEN=127.0.0.1:2", "CPIS_MLLP_LISTEN=127.0.0.1:2"}, map[string]any{"http.listen": "127.0.0.1:3"})
	if err != nil || c.HTTP.Listen != "127.0.0.1:3" || c.MLLP.Listen != "127.0.0.1:2" || c.Data != "from-file" || c.Kafka.Listen != "127.0.0.1:9092" {
		t.Errorf("%+v %v", c, err)
	}
}

func TestCommandsExplainThemselves(t *testing.T) {
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"version", "--json"}, exitFine, `"version"`}, {[]string{"explain", "H010"}, exitFine, "names no person"},
		{[]string{"explain", "nonsense"}, exitUsage, "no code"}, {[]string{"nonsense"}, exitUsage, "unknown command"},
		{[]string{"serve", "--nonsense"}, exitUsage, "unknown flag"}, {[]string{"hl7", "explain", "sample:child-on-plan"}, exitFine, "[10 digits, check digit right]"},
		{[]string{"hl7", "explain", "sample:nobody"}, exitUsage, "no sample"}, {[]string{"tail", "outcom"}, exitUsage, "nearest is cpis.outcome.v1"},
		{[]string{"ledger", "--kafka-brokers", "127.0.0.1:1"}, exitUsage, "feeds"}, {[]string{"la", "upload", "x"}, exitUsage, "--authority"},
		{[]string{"la", "upload", "nowhere.csv", "--authority", "E06A"}, exitUsage, "no such file"}, {[]string{"la", "check", samples("plans.csv"), "--offline"}, exitFine, "3 fine by the rules"},
		{[]string{"la", "template"}, exitFine, "record_id,nhs_number"}, {[]string{"la", "health", "--authority", "E06A", "--server", "http://127.0.0.1:1"}, exitUnreachable, "refused"},
	} {
		var out, complaint bytes.Buffer
		code := run(context.Background(), c.args, strings.NewReader(""), &out, &complaint, nil)
		if code != c.code || !strings.Contains(out.String()+complaint.String(), c.says) {
			t.Errorf("%v: exit %d\n%s%s", c.args, code, out.String(), complaint.String())
		}
	}
}

// TestImportsPointDown holds the rooms to the layout: a new edge is a decision.
func TestImportsPointDown(t *testing.T) {
	allowed := map[string][]string{
		"schemas": nil, "connectors": {"schemas"}, "connectors/hl7": nil, "connectors/mllp": {"connectors", "connectors/hl7", "connectors/identity"}, "connectors/identity": {"connectors", "schemas"},
		"connectors/console": {"connectors", "connectors/feed", "connectors/identity", "connectors/notice", "connectors/socialcare", "schemas"}, "connectors/fhir": {"connectors/console", "connectors/identity", "schemas"}, "connectors/adt": {"connectors/hl7", "connectors/identity", "schemas"}, "connectors/feed": {"connectors", "connectors/adt", "connectors/hl7", "connectors/identity", "connectors/mllp", "schemas", "schemas/contact"},
		"connectors/socialcare": {"connectors", "schemas", "schemas/contact"}, "connectors/notice": {"connectors", "schemas"}, "schemas/contact": {"schemas"}, "router/topics": {"schemas"}, "router": {"connectors", "router/topics", "schemas"}, "router/audit": {"connectors", "router", "router/topics", "schemas"},
		"matching/index": {"schemas"}, "matching/compare": nil, "matching/weigh": {"matching/compare"}, "matching": {"matching/compare", "matching/index", "matching/weigh", "schemas", "schemas/contact"},
		"matching/population": {"matching/compare", "matching/weigh"}, "matching/evaluate": {"matching", "matching/compare", "matching/weigh", "schemas"}, "deploy/embedded": nil,
	}
	owners := map[string]string{"github.com/segmentio/kafka-go": "router/topics", "github.com/linkedin/goavro": "schemas", "github.com/redis/go-redis": "matching/index", "github.com/cenkalti/backoff": "router"}
	root := filepath.Join("..", "..")
	seen := 0
	err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		room, err := filepath.Rel(root, filepath.Dir(path))
		if err != nil {
			return err
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		seen++
		for _, i := range f.Imports {
			name := strings.Trim(i.Path.Value, `"`)
			if inner, ok := strings.CutPrefix(name, "cpis/"); ok && room != "cmd/cpis" && !slices.Contains(allowed[room], inner) {
				t.Errorf("%s imports %s", path, inner)
			}
			for library, owner := range owners {
				if strings.HasPrefix(name, library) && room != owner {
					t.Errorf("%s imports %s, which belongs to %s", path, name, owner)
				}
			}
		}
		return nil
	})
	if err != nil || seen < 50 {
		t.Errorf("read %d files, %v", seen, err)
	}
}

// TestNamedTestsExist: a hazard or a threat is proven by tests that are there.
func TestNamedTestsExist(t *testing.T) {
	root := filepath.Join("..", "..")
	there := map[string]bool{}
	err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		for _, m := range regexp.MustCompile(`(?m)^func (Test\w+)\(`).FindAllSubmatch(text, -1) {
			there[string(m[1])] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"SAFETY.md", "SECURITY.md"} {
		text, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		named := 0
		for line := range strings.Lines(string(text)) {
			tests := regexp.MustCompile("`(Test\\w+)`").FindAllStringSubmatch(line, -1)
			if strings.HasPrefix(line, "| H") && len(tests) == 0 {
				t.Errorf("%s: nothing proves %.60s", name, line)
			}
			for _, m := range tests {
				if named++; !there[m[1]] {
					t.Errorf("%s names %s, which is not there", name, m[1])
				}
			}
		}
		if named < 15 {
			t.Errorf("%s names %d tests", name, named)
		}
	}
}
