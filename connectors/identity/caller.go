// Package identity says who calls, and what they may do.
//
// An organisation is what its certificate says: a URI name in it, urn:la:CODE for a
// local authority, urn:ods:CODE for a provider of care, urn:cpis:operations for whoever
// runs the broker. A certificate that an authority of ours did not sign, that is out
// of date, or that is denied, gets no further than the handshake. What each may do is
// one table, and whatever is not in it is denied.
package identity

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"strings"

	"cpis/schemas"
)

// Kind is what kind of caller somebody is.
type Kind string

const (
	Nobody     Kind = "NOBODY"     // a certificate that names no organisation, or several
	Local      Kind = "LOCAL"      // without TLS, which is on this machine alone
	Authority  Kind = "AUTHORITY"  // a local authority
	Provider   Kind = "PROVIDER"   // a provider of care
	Operations Kind = "OPERATIONS" // whoever runs the broker
	Person     Kind = "PERSON"     // somebody who is signed in
	// Resting is somebody who is signed in and has done nothing for so long that nobody
	// may stand at the screen: it goes on without a name on it.
	Resting Kind = "RESTING"
)

// Kinds lists every kind.
func Kinds() []Kind { return []Kind{Nobody, Local, Authority, Provider, Operations, Person, Resting} }

// Caller is who calls.
type Caller struct {
	Kind   Kind
	Code   string  // of the organisation, empty where it has none
	Worker *Worker // who is signed in; nil for organisations
}

// Prefixes of the URI names of organisations.
const (
	authorityName  = "urn:la:"
	providerName   = "urn:ods:"
	operationsName = "urn:cpis:operations"
)

// Names is what a verified certificate says its holder is: the URI names, the DNS
// names, then the subject's common name. It is nil without a certificate that was
// verified.
func Names(state tls.ConnectionState) []string {
	if len(state.VerifiedChains) == 0 || len(state.PeerCertificates) == 0 {
		return nil
	}
	leaf := state.PeerCertificates[0]
	out := []string{} // a certificate without a name is a certificate
	for _, u := range leaf.URIs {
		out = append(out, u.String())
	}
	out = append(out, leaf.DNSNames...)
	if cn := leaf.Subject.CommonName; cn != "" {
		out = append(out, cn)
	}
	return out
}

// callerOf reads the organisation from a connection. subjects are names of subjects
// that stand for a URI name, for certificates that have none.
func callerOf(state *tls.ConnectionState, subjects map[string]string) Caller {
	if state == nil {
		return Caller{Kind: Local}
	}
	if len(state.VerifiedChains) == 0 || len(state.PeerCertificates) == 0 {
		return Caller{Kind: Nobody}
	}
	return Holds(state.PeerCertificates[0], subjects)
}

// Holds says which organisation a certificate is of.
func Holds(leaf *x509.Certificate, subjects map[string]string) Caller {
	if len(leaf.URIs) == 0 {
		return Organisation([]string{subjects[leaf.Subject.String()]})
	}
	var names []string
	for _, u := range leaf.URIs {
		names = append(names, u.String())
	}
	return Organisation(names)
}

// Organisation is the one that names tell of; Nobody where they tell of none, or of
// several, for then nobody can tell which is meant.
func Organisation(names []string) Caller {
	found := Caller{Kind: Nobody}
	for _, name := range names {
		c, ok := organisation(name)
		if !ok {
			continue
		}
		if found.Kind != Nobody {
			return Caller{Kind: Nobody}
		}
		found = c
	}
	return found
}

// organisation reads one URI name. Its code is taken as it stands: no blanks, no
// other case.
func organisation(name string) (Caller, bool) {
	if name == operationsName {
		return Caller{Kind: Operations}, true
	}
	if code, ok := strings.CutPrefix(name, authorityName); ok && schemas.AuthorityCode(code).Valid() {
		return Caller{Kind: Authority, Code: code}, true
	}
	if code, ok := strings.CutPrefix(name, providerName); ok && schemas.ODSCode(code).Valid() {
		return Caller{Kind: Provider, Code: code}, true
	}
	return Caller{}, false
}

// Known reports whether a name is that of an organisation.
func Known(name string) bool { _, ok := organisation(name); return ok }

// Covers reports whether a provider speaks for an organisation code: its own, or a
// site of it, whose code begins with the trust's three characters.
func (c Caller) Covers(ods schemas.ODSCode) bool {
	switch c.Kind {
	case Local:
		return true
	case Provider:
		return ods.Under(c.Code)
	}
	return false
}

type callerKey struct{}

// From is who a request comes from; Nobody outside of a Mux.
func From(ctx context.Context) Caller {
	if c, ok := ctx.Value(callerKey{}).(Caller); ok {
		return c
	}
	return Caller{Kind: Nobody}
}

func with(r *http.Request, c Caller) *http.Request {
	return r.WithContext(context.WithValue(r.Context(), callerKey{}, c))
}
