package mllp

import (
	"net"
	"slices"
	"strings"
)

// Peer is who sends.
type Peer struct {
	Remote   string // address, host:port
	Listener string // Config.Name
	// Names is what its verified certificate says it is: the URI names, the DNS
	// names, then the subject's common name. It is nil without a client
	// certificate that was verified.
	Names []string
}

// host is an address without its port.
func host(a net.Addr) string {
	h, _, err := net.SplitHostPort(a.String())
	if err != nil {
		return a.String()
	}
	return h
}

// likeness is a word for the log about bytes that should have been a frame. It
// is all that is ever said about them: they may be part of a message.
type likeness string

const (
	likeHTTP    likeness = "looks like HTTP"
	likeTLS     likeness = "looks like a TLS handshake"
	likeMLLP    likeness = "looks like MLLP without TLS"
	likeHL7     likeness = "looks like HL7 without a frame"
	likeNothing likeness = "looks like nothing known"
)

// headSize is how many first bytes tell: as many as a TLS record's header, for
// the handshake reports no more.
const headSize = 5

// looksLike tells a protocol by its first bytes.
func looksLike(head []byte) likeness {
	begins := func(s string) bool { return strings.HasPrefix(string(head), s) }
	switch {
	case begins("\x16\x03"):
		return likeTLS
	case begins("\x0b"):
		return likeMLLP
	case begins("MSH"), begins("FHS"), begins("BHS"):
		return likeHL7
	case slices.ContainsFunc([]string{"GET ", "HEAD ", "POST ", "PUT ", "DELET", "OPTIO", "CONNE", "PATCH", "TRACE", "PRI *"}, begins):
		return likeHTTP
	}
	return likeNothing
}
