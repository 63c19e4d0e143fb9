package main

import (
	"fmt"
	"net"
	"strings"

	"cpis/connectors/adt"
	"cpis/connectors/identity"
	"cpis/schemas"
)

// MLLPConfig are the doors for HL7 v2 messages. The first listener is named
// main.
type MLLPConfig struct {
	// Listen is the address senders connect to. Default 127.0.0.1:2575. An
	// address other than loopback needs tls with authorities.
	Listen string `yaml:"listen"`
	// Release of MLLP: 1, or 2 with commit blocks. Default 1.
	Release int `yaml:"release"`
	// TLS is the listener's certificate, and whose senders may come in.
	// Default none: plain TCP, on loopback only.
	TLS identity.TLSConfig `yaml:"tls"`
	// Others are further listeners, each with a name that feeds can be bound to.
	Others []ListenerConfig `yaml:"others"`
}

// ListenerConfig is one more listener.
type ListenerConfig struct {
	// Name in lower case, for `listener` in a feed's profile and for the log.
	Name    string             `yaml:"name"`
	Listen  string             `yaml:"listen"`
	Release int                `yaml:"release"`
	TLS     identity.TLSConfig `yaml:"tls"`
}

// mainListener is the name of the first listener.
const mainListener = "main"

// listeners lists all of them, the first first.
func (c MLLPConfig) listeners() []ListenerConfig {
	return append([]ListenerConfig{{mainListener, c.Listen, c.Release, c.TLS}}, c.Others...)
}

// checkListeners looks at the doors for messages: only where every peer proves
// who it is may one be open to a network.
func (c *Config) checkListeners(bad func(where, format string, args ...any), add func(error)) {
	seen := map[string]bool{}
	for i, l := range c.MLLP.listeners() {
		where := "mllp"
		if i > 0 {
			where = fmt.Sprintf("mllp.others[%d]", i-1)
		}
		if l.Name == "" || strings.Trim(l.Name, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" || seen[l.Name] {
			bad(where+".name", "want a name of its own, in lower-case letters, digits and hyphens; the first listener is %q", mainListener)
		}
		seen[l.Name] = true
		if l.Release < 0 || l.Release > 2 {
			bad(where+".release", "%d is neither 1 nor 2", l.Release)
		}
		if l.TLS.Set() && (l.TLS.Certificate == "" || l.TLS.Key == "") {
			bad(where+".tls", "a listener needs certificate and key")
		}
		if l.TLS.Mutual() {
			if _, _, err := net.SplitHostPort(l.Listen); err != nil {
				bad(where+".listen", "want host:port")
			}
		} else if err := loopback(where+".listen", l.Listen); err != nil {
			add(err)
		}
	}
}

// checkWeb looks at the door for authorities and operators.
func (c *Config) checkWeb(bad func(where, format string, args ...any), add func(error)) {
	h := c.HTTP
	if h.TLS.Set() && (h.TLS.Certificate == "" || h.TLS.Key == "" || !h.TLS.Mutual()) {
		bad("http.tls", "needs certificate, key and authorities: every caller proves who it is")
	}
	if !h.TLS.Mutual() {
		if err := loopback("http.listen", h.Listen); err != nil {
			add(err)
		}
	} else if _, _, err := net.SplitHostPort(h.Listen); err != nil {
		bad("http.listen", "want host:port")
	}
	for subject, name := range h.Subjects {
		if !identity.Known(name) {
			bad("http.subjects", "%q stands for %q, which is no urn:la:CODE, urn:ods:CODE or urn:cpis:operations", subject, name)
		}
	}
}

// checkProof holds a feed's proof against the listeners: it must be one that
// can be given.
func (c *Config) checkProof(where string, f *adt.Profile, bad func(where, format string, args ...any), add func(error)) {
	var mutual, named bool
	for _, l := range c.MLLP.listeners() {
		if f.Listener == "" || f.Listener == l.Name {
			mutual, named = mutual || l.TLS.Mutual(), true
		}
	}
	switch {
	case !named:
		bad(where+".listener", "there is no listener %q", f.Listener)
	case f.Certificate != "" && !mutual:
		bad(where+".certificate", "no listener asks for certificates: give one tls.authorities")
	}
	if r := f.Reply; (r.Certificate == "") != (r.Key == "") {
		bad(where+".reply", "certificate and key belong together")
	}
	if f.Reply.Address != "" && !f.Reply.TLS {
		if err := loopback(where+".reply.address", f.Reply.Address); err != nil {
			add(err)
		}
	}
}

// loopback refuses a listener that others could reach without proving who they
// are: what passes here is about children.
func loopback(where, address string) error {
	if address == "" || address == "off" {
		return nil
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return &schemas.Refusal{Code: "CPIS-C002", Location: where, Reason: "want host:port"}
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return &schemas.Refusal{Code: "CPIS-C003", Location: where, Reason: "not a loopback address"}
	}
	return nil
}
