package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/knadh/koanf/parsers/yaml"
	"github.com/knadh/koanf/providers/confmap"
	"github.com/knadh/koanf/v2"

	"cpis/connectors/adt"
	"cpis/connectors/identity"
	"cpis/connectors/notice"
	"cpis/connectors/socialcare"
	"cpis/router"
	"cpis/router/audit"
	"cpis/schemas"
)

// Config is everything a process can be told. Sources, later over earlier:
// the defaults written here, the YAML file, CPIS_* environment variables
// (CPIS_MLLP_LISTEN is mllp.listen), flags. Secrets are files, never values.
type Config struct {
	// Data is the folder for the embedded services and the development keys.
	// Default cpis-data. Empty with `demo`: nothing is kept.
	Data string `yaml:"data"`
	// Roles are the parts of the system this process runs: intake, matcher,
	// delivery, web, audit. Default: all.
	Roles []string `yaml:"roles"`

	Kafka    KafkaConfig    `yaml:"kafka"`
	Registry RegistryConfig `yaml:"registry"`
	Redis    RedisConfig    `yaml:"redis"`
	MLLP     MLLPConfig     `yaml:"mllp"`
	HTTP     HTTPConfig     `yaml:"http"`
	Keys     KeysConfig     `yaml:"keys"`
	Matching MatchingConfig `yaml:"matching"`
	Log      LogConfig      `yaml:"log"`

	// Authorities are local authorities for which something is set. One that is
	// not listed is taken as the defaults have it.
	Authorities []AuthorityConfig `yaml:"authorities"`
	// Audit says whose audit log this is, and who witnesses it.
	Audit AuditConfig `yaml:"audit"`
	// SignIn says how people prove who they are.
	SignIn identity.SignInConfig `yaml:"signin"`
	// Notices says where notices may be sent at all.
	Notices notice.Guard `yaml:"notices"`
	// Demographics is a file that says who NHS numbers are, such as the answer to
	// a batch trace: CSV with nhs_number, family_name, given_names, date_of_birth
	// and status (FOUND, SENSITIVE, SUPERSEDED). Default none: authorities are
	// believed.
	Demographics string `yaml:"demographics"`

	// Feeds are the senders, one profile each. With none, and the embedded
	// Kafka, one feed named practice takes any sender on loopback.
	Feeds []adt.Profile `yaml:"feeds"`
}

// KafkaConfig says where the topics live.
type KafkaConfig struct {
	// Brokers of a cluster, host:port. Default none: Kafka runs in this process.
	Brokers []string `yaml:"brokers"`
	// Listen is where the embedded Kafka listens. Default 127.0.0.1:9092.
	Listen string `yaml:"listen"`
	// Replication of topics this process creates. Default 0: three where the
	// cluster has three brokers, else one.
	Replication int `yaml:"replication"`
	// TLS with the brokers of a cluster, who must hold a certificate of one of the
	// authorities; a certificate of ours is a principal. Default none.
	TLS identity.TLSConfig `yaml:"tls"`
	// User of SASL SCRAM-SHA-512, and the file with its password. Default none.
	User         string `yaml:"user"`
	PasswordFile string `yaml:"password_file"`
}

// RegistryConfig says where the schemas are kept.
type RegistryConfig struct {
	// URL of a schema registry. Default none: it runs in this process.
	URL string `yaml:"url"`
	// Listen is where the embedded registry listens. Default 127.0.0.1:8081.
	Listen string `yaml:"listen"`
}

// RedisConfig says where the index is cached.
type RedisConfig struct {
	// URL of a Redis server, redis://host:port/db. Default none: it runs in
	// this process and is rebuilt from the topics at every start.
	URL string `yaml:"url"`
}

// HTTPConfig is the door for authorities, health and metrics.
type HTTPConfig struct {
	// Listen is the address. Default 127.0.0.1:8080; "off" for none. An address
	// other than loopback needs tls with authorities.
	Listen string `yaml:"listen"`
	// TLS is the listener's certificate, and whose callers may come in: what each
	// may do follows from the organisation its certificate names, urn:la:CODE,
	// urn:ods:CODE or urn:cpis:operations. Default none: plain HTTP, on loopback
	// only, for whoever is on this machine.
	TLS identity.TLSConfig `yaml:"tls"`
	// Subjects are subjects of certificates without such a name, and the name that
	// each stands for: "CN=feed,O=Aford": "urn:la:E06A".
	Subjects map[string]string `yaml:"subjects"`
}

// KeysConfig says where the key sets are.
type KeysConfig struct {
	// Dir is the folder of the key sets (cpis keys). Default: keys in the data folder.
	Dir string `yaml:"dir"`
	// Create makes missing key sets. Default: only with the embedded Kafka,
	// since the processes of a cluster must share theirs.
	Create bool `yaml:"create"`
}

// MatchingConfig tunes the check.
type MatchingConfig struct {
	// StartupGrace is how long a starting matcher waits for the index before
	// it answers CHECK_FAILED. Default 10s.
	StartupGrace time.Duration `yaml:"startup_grace"`
	// LateAfter is how old an authority's last load may be before answers name
	// it as late. Default 36h.
	LateAfter time.Duration `yaml:"late_after"`
	// StaleAfter is how long an authority may leave an open plan unsent before
	// it is asked whether the plan still stands. Default 4320h, 180 days.
	StaleAfter time.Duration `yaml:"stale_after"`
	// Pattern says when it is told how often somebody was seen.
	Pattern PatternConfig `yaml:"pattern"`
	// VerifyEvery is how often the index is compared with its topic, record by
	// record. Default 6h.
	VerifyEvery time.Duration `yaml:"verify_every"`
	// ByDetails lets INDICATOR be said to a registration without an NHS number
	// whose details leave no doubt. Default false: it is POSSIBLE, and the desk
	// is told to trace the number.
	ByDetails bool `yaml:"by_details"`
	// GivenTable and FamilyTable say how common names are: CSV with sex, name,
	// birth_years_from, births, and with surname, frequency; .gz too. Default
	// none: the table that comes with the broker.
	GivenTable  string `yaml:"given_table"`
	FamilyTable string `yaml:"family_table"`
	// Weights is a file that cpis match calibrate wrote. Default none: the
	// weights that come with the broker.
	Weights string `yaml:"weights"`
}

// PatternConfig is the rule by which it is told how often somebody was seen: from
// so many care settings or so many visits in so many days.
type PatternConfig struct {
	// Days the rule looks back, 1 to 28; 0 turns it off. Default 28.
	Days int `yaml:"days"`
	// Settings is the number of distinct care settings. Default 3.
	Settings int `yaml:"settings"`
	// Visits is the number of visits. Default 4.
	Visits int `yaml:"visits"`
}

func (p PatternConfig) rule() router.PatternRule {
	return router.PatternRule{Days: p.Days, Settings: p.Settings, Visits: p.Visits}
}

// AuditConfig is about the log that is computed over the audit topic.
type AuditConfig struct {
	// Name of the log, by which its heads are told from those of any other in the
	// world: a host name of the broker. It is fixed in the key when that is made.
	// Default cpis.invalid.
	Name string `yaml:"name"`
	// Witnesses are public keys of authorities and trusts who sign the log's heads,
	// as `cpis audit keygen` prints them. Default none.
	Witnesses []string `yaml:"witnesses"`
}

// LogConfig is what goes to standard error.
type LogConfig struct {
	// Level is debug, info, warn or error. Default info.
	Level string `yaml:"level"`
	// Format is text, json or auto: text on a terminal, json elsewhere.
	// Default auto.
	Format string `yaml:"format"`
}

func defaults() map[string]any {
	return map[string]any{
		"data": "cpis-data", "roles": allRoles(),
		"kafka.listen": "127.0.0.1:9092", "registry.listen": "127.0.0.1:8081",
		"mllp.listen": "127.0.0.1:2575", "http.listen": "127.0.0.1:8080",
		"matching.startup_grace": "10s", "matching.late_after": "36h", "matching.verify_every": "6h", "matching.stale_after": "4320h",
		"matching.pattern.days": 28, "matching.pattern.settings": 3, "matching.pattern.visits": 4,
		"audit.name": "cpis.invalid", "log.level": "info", "log.format": "auto",
	}
}

// Roles of a process.
const (
	roleIntake   = "intake"
	roleMatcher  = "matcher"
	roleDelivery = "delivery"
	roleWeb      = "web"
	roleAudit    = "audit"
)

func allRoles() []string { return []string{roleIntake, roleMatcher, roleDelivery, roleWeb, roleAudit} }

func (c *Config) has(role string) bool { return slices.Contains(c.Roles, role) }

func (c *Config) embeddedKafka() bool { return len(c.Kafka.Brokers) == 0 }

func (c *Config) keyDir() string {
	if c.Keys.Dir != "" {
		return c.Keys.Dir
	}
	return filepath.Join(c.Data, "keys")
}

// practiceFeed takes any sender, as an emergency department: for a first look
// and for training, with the embedded services only.
func practiceFeed() adt.Profile {
	return adt.Profile{Name: "practice", Application: "*", Facility: "*", ODS: "X26", Setting: schemas.SettingEmergencyDepartment, UnstatedStatus: "verified"}
}

// testVariables are read by the tests and scripts, not by the program.
func testVariables() []string {
	return []string{"CPIS_CORPUS", "CPIS_REQUIRE_REAL", "CPIS_REAL_KAFKA", "CPIS_REAL_REDIS", "CPIS_CONFIG", "CPIS_BINARY"}
}

// loadConfig reads every source in order and checks the whole. `config check`
// and `serve` both call it, so what one accepts the other does.
func loadConfig(file string, env []string, flags map[string]any) (*Config, error) {
	k := koanf.New(".")
	layers := []map[string]any{defaults()}
	if file != "" {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("read configuration: %w", err)
		}
		if err := unknownKeys(file, text); err != nil {
			return nil, err
		}
		fromFile, err := yaml.Parser().Unmarshal(text)
		if err != nil {
			return nil, &schemas.Refusal{Code: "CPIS-C002", Location: file, Reason: err.Error()}
		}
		layers = append(layers, fromFile)
	}
	fromEnv, err := environment(env)
	if err != nil {
		return nil, err
	}
	for _, layer := range append(layers, fromEnv, flags) {
		if err := k.Load(confmap.Provider(layer, "."), nil); err != nil {
			return nil, fmt.Errorf("read configuration: %w", err)
		}
	}
	c := &Config{}
	if err := k.UnmarshalWithConf("", c, koanf.UnmarshalConf{Tag: "yaml"}); err != nil {
		return nil, &schemas.Refusal{Code: "CPIS-C002", Location: file, Reason: err.Error()}
	}
	return c, c.check()
}

func (c *Config) check() error {
	var errs []error
	bad := func(where, format string, args ...any) {
		errs = append(errs, &schemas.Refusal{Code: "CPIS-C002", Location: where, Reason: fmt.Sprintf(format, args...)})
	}
	if len(c.Roles) == 0 {
		bad("roles", "at least one of %s", strings.Join(allRoles(), ", "))
	}
	for _, r := range c.Roles {
		if !slices.Contains(allRoles(), r) {
			bad("roles", "%q is none of %s", r, strings.Join(allRoles(), ", "))
		}
	}
	add := func(err error) { errs = append(errs, err) }
	c.checkListeners(bad, add)
	c.checkWeb(bad, add)
	if _, err := c.cluster("check"); err != nil {
		bad("kafka", "%v", err)
	}
	for where, address := range map[string]string{"kafka.listen": c.Kafka.Listen, "registry.listen": c.Registry.Listen} {
		if err := loopback(where, address); err != nil {
			errs = append(errs, err)
		}
	}
	if c.Matching.VerifyEvery < time.Second {
		bad("matching.verify_every", "at least 1s")
	}
	if p := c.Matching.Pattern; p.Days < 0 || p.Days > 28 || p.Settings < 2 || p.Visits < 2 {
		bad("matching.pattern", "days 0 to 28, settings and visits 2 or more")
	}
	if _, err := c.Matching.open(); err != nil {
		bad("matching", "%v", err)
	}
	if err := c.SignIn.Check(); err != nil {
		bad("signin", "%v", err)
	}
	if c.SignIn.Practice && (!c.embeddedKafka() || c.Redis.URL != "" || c.HTTP.TLS.Set() || !identity.OnLoopback(c.HTTP.Listen)) {
		bad("signin.practice", "anybody may be anybody: only with the embedded services and on a loopback address")
	}
	if c.Audit.Name == "" || strings.ContainsAny(c.Audit.Name, "+ \t\n") {
		bad("audit.name", "want the name of a host, without blanks and plus signs")
	}
	if _, err := audit.WitnessKeys(c.Audit.Witnesses); err != nil {
		bad("audit.witnesses", "%v", err)
	}
	if !slices.Contains([]string{"debug", "info", "warn", "error"}, c.Log.Level) {
		bad("log.level", "%q is none of debug, info, warn, error", c.Log.Level)
	}
	if !slices.Contains([]string{"auto", "text", "json"}, c.Log.Format) {
		bad("log.format", "%q is none of auto, text, json", c.Log.Format)
	}
	if c.embeddedKafka() {
		c.Keys.Create = true
		if len(c.Feeds) == 0 {
			c.Feeds = []adt.Profile{practiceFeed()}
		}
	} else if len(c.Feeds) == 0 && c.has(roleIntake) {
		bad("feeds", "a process that takes messages for a cluster needs at least one feed: who sends, and which care setting it is")
	}
	c.checkAuthorities(bad)
	if c.Demographics != "" {
		if _, err := socialcare.DemographicsFile(c.Demographics).Trace(context.Background(), nil); err != nil {
			bad("demographics", "%v", err)
		}
	}
	names := map[string]bool{}
	for i, f := range c.Feeds {
		where := fmt.Sprintf("feeds[%d]", i)
		if names[f.Name] {
			bad(where+".name", "%q stands twice", f.Name)
		}
		names[f.Name] = true
		if err := f.Validate(); err != nil {
			bad(where, "%v", err)
		}
		c.checkProof(where, &f, bad, add)
	}
	return errors.Join(errs...)
}
