package main

import (
	"fmt"
	"path/filepath"

	"cpis/connectors/socialcare"
	"cpis/schemas"
)

// AuthorityConfig is what is set for one local authority.
type AuthorityConfig struct {
	// Code of the authority.
	Code schemas.AuthorityCode `yaml:"code"`
	// Feed says how its files are guarded and when they are due.
	Feed socialcare.Site `yaml:"feed"`
	// Drop is a folder that the web role watches for its files: in, out, sent and
	// failed are made in it. Default none.
	Drop string `yaml:"drop"`
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
		if m := a.Feed.MassChange; m < 0 || m > 100 {
			bad(where+".feed.mass_change", "a share in percent, 1 to 100")
		}
		if a.Feed.DueEvery < 0 {
			bad(where+".feed.due_every", "a time above zero")
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
