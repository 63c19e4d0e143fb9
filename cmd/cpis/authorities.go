package main

import (
	"fmt"
	"os"
	"path/filepath"

	"cpis/connectors/notice"
	"cpis/connectors/socialcare"
	"cpis/schemas"
)

// AuthorityConfig is what is set for one local authority.
type AuthorityConfig struct {
	// Code of the authority.
	Code schemas.AuthorityCode `yaml:"code"`
	// People is the organisation code in whose name its people sign in, such as its ODS
	// code. Default the code itself.
	People schemas.ODSCode `yaml:"people"`
	// Feed says how its files are guarded and when they are due.
	Feed socialcare.Site `yaml:"feed"`
	// Drop is a folder that the web role watches for its files: in, out, sent and
	// failed are made in it. Default none.
	Drop string `yaml:"drop"`
	// StreamKey is a file with the public keys that the authority signs updates on
	// Kafka with (cpis la keygen). Default none: it cannot stream.
	StreamKey string `yaml:"stream_key"`
	// Notices says how it is told. Default: it fetches its notices.
	Notices NoticesConfig `yaml:"notices"`
}

// NoticesConfig is the way to an authority: a webhook, or its drop folder.
type NoticesConfig struct {
	// Webhook is a receiver; its host must be one of notices.hosts.
	Webhook notice.WebhookConfig `yaml:"webhook"`
	// Drop puts notices into the authority's drop folder.
	Drop bool `yaml:"drop"`
}

// checkAuthorities looks at what is set for authorities.
func (c *Config) checkAuthorities(bad func(where, format string, args ...any)) {
	codes, drops := map[schemas.AuthorityCode]bool{}, map[string]bool{}
	for i, a := range c.Authorities {
		where := fmt.Sprintf("authorities[%d]", i)
		if !a.Code.Valid() || codes[a.Code] {
			bad(where+".code", "want the code of an authority, each once")
		}
		codes[a.Code] = true
		if a.People != "" && !a.People.Valid() {
			bad(where+".people", "want an organisation code")
		}
		if m := a.Feed.MassChange; m < 0 || m > 100 {
			bad(where+".feed.mass_change", "a share in percent, 1 to 100")
		}
		if a.Feed.DueEvery < 0 {
			bad(where+".feed.due_every", "a time above zero")
		}
		if a.Notices.Drop && (a.Drop == "" || a.Notices.Webhook.URL != "") {
			bad(where+".notices.drop", "needs a drop folder, and no webhook beside it")
		}
		if a.Notices.Webhook.URL != "" {
			if _, err := notice.NewWebhook(a.Notices.Webhook, c.Notices); err != nil {
				bad(where+".notices.webhook", "%v", err)
			}
		}
		if a.StreamKey != "" {
			if _, err := a.verifier(); err != nil {
				bad(where+".stream_key", "%v", err)
			}
		}
		if a.Drop != "" {
			folder := filepath.Clean(a.Drop)
			if drops[folder] {
				bad(where+".drop", "another authority has this folder")
			}
			drops[folder] = true
		}
	}
}

// verifier knows the authority's signatures.
func (a AuthorityConfig) verifier() (*schemas.UpdateVerifier, error) {
	text, err := os.ReadFile(a.StreamKey)
	if err != nil {
		return nil, fmt.Errorf("read stream key: %w", err)
	}
	return schemas.NewUpdateVerifier(text)
}
