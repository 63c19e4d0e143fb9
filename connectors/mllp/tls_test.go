package mllp

import (
	"context"
	"cpis/connectors/identity"
	"crypto/tls"
	"fmt"
	"log/slog"
	"path/filepath"
	"testing"
	"time"
)

// authority signs certificates for a test.
type authority struct {
	t *testing.T
	*identity.Issuer
}

func newAuthority(t *testing.T, dir, name string) *authority {
	t.Helper()
	i, err := identity.NewIssuer(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return &authority{t, i}
}

func (a *authority) issue(h identity.Holder) identity.TLSConfig {
	a.t.Helper()
	c, err := a.Issue(h)
	if err != nil {
		a.t.Fatal(err)
	}
	return c
}

func (a *authority) server(name string) identity.TLSConfig {
	return a.issue(identity.Holder{File: name, Hosts: []string{"127.0.0.1"}, Valid: time.Hour})
}

func (a *authority) sender(name string, valid time.Duration) identity.TLSConfig {
	return a.issue(identity.Holder{File: name, Name: "urn:ods:" + name, Valid: valid})
}

// exchange sends one message over TLS.
func exchangeTLS(t *testing.T, s *Server, config *tls.Config) error {
	t.Helper()
	c, err := Dial(context.Background(), s.Addr().String(), ClientConfig{TLS: config, Timeout: 5 * time.Second})
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	_, err = c.Send(context.Background(), []byte(message("1")))
	return err
}

func clientTLS(t *testing.T, c identity.TLSConfig) *tls.Config {
	t.Helper()
	config, err := identity.ClientTLS(c, "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	return config
}

func TestMutualTLS(t *testing.T) {
	dir := t.TempDir()
	ours, other := newAuthority(t, dir, "ours"), newAuthority(t, dir, "other")
	files := ours.server("server")
	config, err := identity.ServerTLS(files, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	h := &hospital{}
	s, _ := serve(t, h, Config{TLS: config, Name: "ed"})
	good := ours.sender("RXX", time.Hour)
	stranger, expired, bare := other.sender("RYY", time.Hour), ours.sender("RZZ", -time.Minute), identity.TLSConfig{Authorities: ours.File()}
	stranger.Authorities = ours.File()
	old := clientTLS(t, good)
	old.MinVersion, old.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
	for name, c := range map[string]*tls.Config{
		"no certificate": clientTLS(t, bare), "another authority's": clientTLS(t, stranger), "an expired one": clientTLS(t, expired), "TLS 1.1": old,
	} {
		if err := exchangeTLS(t, s, c); err == nil {
			t.Errorf("%s: let in", name)
		}
	}
	if len(h.got) > 0 {
		t.Errorf("messages of strangers: %v", h.got)
	}
	twelve := clientTLS(t, good)
	twelve.MaxVersion = tls.VersionTLS12
	for name, c := range map[string]*tls.Config{"TLS 1.3": clientTLS(t, good), "TLS 1.2": twelve} {
		if err := exchangeTLS(t, s, c); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	want := Peer{Listener: "ed", Names: []string{"urn:ods:RXX", "RXX"}}
	if fmt.Sprint(h.from.Names, h.from.Listener) != fmt.Sprint(want.Names, want.Listener) {
		t.Errorf("the sender is %v on %q", h.from.Names, h.from.Listener)
	}
	if st := s.Stats(); st.Strangers != 4 {
		t.Errorf("%d strangers", st.Strangers)
	}
}

func TestThereAreTwoReleases(t *testing.T) {
	if _, err := Listen(Config{Listen: "127.0.0.1:0", Release: 3}, nil, slog.New(slog.DiscardHandler)); err == nil {
		t.Error("release 3: fine")
	}
}
