package mllp

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// authority signs certificates for a test.
type authority struct {
	t    *testing.T
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	file string // its own certificate, in PEM
}

func newAuthority(t *testing.T, dir, name string) *authority {
	t.Helper()
	a := &authority{t: t, dir: dir}
	template := &x509.Certificate{Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	a.file, _, a.key, a.cert = a.issue(name, template, time.Hour)
	return a
}

// issue writes a certificate and its key. Without an authority's own it signs
// itself.
func (a *authority) issue(name string, template *x509.Certificate, valid time.Duration) (certFile, keyFile string, key *ecdsa.PrivateKey, cert *x509.Certificate) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	template.SerialNumber, _ = rand.Int(rand.Reader, big.NewInt(1<<62))
	template.NotBefore, template.NotAfter = time.Now().Add(-2*time.Hour), time.Now().Add(valid)
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		a.t.Fatal(err)
	}
	if cert, err = x509.ParseCertificate(der); err != nil {
		a.t.Fatal(err)
	}
	secret, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	certFile, keyFile = filepath.Join(a.dir, name+".pem"), filepath.Join(a.dir, name+".key")
	for file, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: der}, keyFile: {Type: "EC PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			a.t.Fatal(err)
		}
	}
	return certFile, keyFile, key, cert
}

func (a *authority) server(name string) (certFile, keyFile string) {
	certFile, keyFile, _, _ = a.issue(name, &x509.Certificate{IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}, time.Hour)
	return certFile, keyFile
}

func (a *authority) sender(name string, valid time.Duration) TLSConfig {
	c := TLSConfig{Authorities: a.file}
	c.Certificate, c.Key, _, _ = a.issue(name, &x509.Certificate{Subject: pkix.Name{CommonName: name}, URIs: []*url.URL{{Scheme: "urn", Opaque: "ods:" + name}},
		DNSNames: []string{strings.ToLower(name) + ".example.org"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}, valid)
	return c
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

func clientTLS(t *testing.T, c TLSConfig) *tls.Config {
	t.Helper()
	config, err := ClientTLS(c, "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	return config
}

func TestMutualTLS(t *testing.T) {
	dir := t.TempDir()
	ours, other := newAuthority(t, dir, "ours"), newAuthority(t, dir, "other")
	files := TLSConfig{Authorities: ours.file}
	files.Certificate, files.Key = ours.server("server")
	config, err := ServerTLS(files, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	h := &hospital{}
	s, _ := serve(t, h, Config{TLS: config, Name: "ed"})
	good := ours.sender("RXX", time.Hour)
	stranger, expired, bare := other.sender("RYY", time.Hour), ours.sender("RZZ", -time.Hour), TLSConfig{Authorities: ours.file}
	stranger.Authorities = ours.file
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
	want := Peer{Listener: "ed", Names: []string{"urn:ods:RXX", "rxx.example.org", "RXX"}}
	if fmt.Sprint(h.from.Names, h.from.Listener) != fmt.Sprint(want.Names, want.Listener) {
		t.Errorf("the sender is %v on %q", h.from.Names, h.from.Listener)
	}
	if st := s.Stats(); st.Strangers != 4 {
		t.Errorf("%d strangers", st.Strangers)
	}
}

// TestCertificatesAreReadAgain: new files serve the connections that come
// after; broken ones leave the old in use; an authority that is trusted no more
// lets nobody in, nor does a session from before.
func TestCertificatesAreReadAgain(t *testing.T) {
	dir := t.TempDir()
	first, second := newAuthority(t, dir, "first"), newAuthority(t, dir, "second")
	files := TLSConfig{Certificate: filepath.Join(dir, "cert"), Key: filepath.Join(dir, "key"), Authorities: filepath.Join(dir, "clients")}
	stamp := time.Now()
	install := func(to, from string) {
		text, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(to, text, 0o600); err != nil {
			t.Fatal(err)
		}
		stamp = stamp.Add(time.Second) // file systems differ in how fine their times are
		if err := os.Chtimes(to, stamp, stamp); err != nil {
			t.Fatal(err)
		}
	}
	cert, key := first.server("one")
	install(files.Certificate, cert)
	install(files.Key, key)
	install(files.Authorities, first.file)
	var log bytes.Buffer
	r := &reloader{files: files, log: slog.New(slog.NewTextHandler(&log, nil))}
	if err := r.load(); err != nil {
		t.Fatal(err)
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12, GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return r.current(), nil }}
	s, _ := serve(t, &hospital{}, Config{TLS: config})
	soon := func() { // the files may be looked at again
		r.mu.Lock()
		defer r.mu.Unlock()
		r.checked = time.Time{}
	}
	sessions := tls.NewLRUClientSessionCache(4)
	old := clientTLS(t, first.sender("RXX", time.Hour))
	old.ClientSessionCache = sessions
	if err := exchangeTLS(t, s, old); err != nil {
		t.Fatal(err)
	}

	install(files.Certificate, key) // a mistake
	soon()
	if err := exchangeTLS(t, s, old); err != nil {
		t.Errorf("a broken file: %v", err)
	}
	soon()
	if err := exchangeTLS(t, s, old); err != nil || strings.Count(log.String(), "cannot be used") != 1 {
		t.Errorf("a broken file, again: %v\n%s", err, log.String())
	}

	cert, key = second.server("two")
	install(files.Certificate, cert)
	install(files.Key, key)
	install(files.Authorities, second.file)
	soon()
	if err := exchangeTLS(t, s, old); err == nil {
		t.Error("the old sender is still let in")
	}
	old.RootCAs.AddCert(second.cert) // it knows the new server, but not the other way round
	if err := exchangeTLS(t, s, old); err == nil {
		t.Error("the old sender is let in by its session")
	}
	if err := exchangeTLS(t, s, clientTLS(t, second.sender("RYY", time.Hour))); err != nil {
		t.Errorf("the new sender: %v", err)
	}
}

func TestFilesThatAreMissing(t *testing.T) {
	dir := t.TempDir()
	a := newAuthority(t, dir, "a")
	cert, key := a.server("s")
	for name, c := range map[string]TLSConfig{
		"no key": {Certificate: cert}, "no file": {Certificate: filepath.Join(dir, "none"), Key: key}, "authorities that are none": {Certificate: cert, Key: key, Authorities: key},
	} {
		if _, err := ServerTLS(c, slog.New(slog.DiscardHandler)); err == nil {
			t.Errorf("%s: fine", name)
		}
	}
	if _, err := ClientTLS(TLSConfig{Authorities: key}, "x"); err == nil {
		t.Error("a receiver's authorities that are none: fine")
	}
	if _, err := Listen(Config{Listen: "127.0.0.1:0", Release: 3}, nil, slog.New(slog.DiscardHandler)); err == nil {
		t.Error("release 3: fine")
	}
}
