package identity

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"
)

// TLSConfig names the files of one side of a connection, in PEM.
type TLSConfig struct {
	// Certificate and Key of this side.
	Certificate string `yaml:"certificate"`
	Key         string `yaml:"key"`
	// Authorities whose certificates the other side must hold. On a listener:
	// every caller proves who it is. On the way to a receiver: default those of
	// the system.
	Authorities string `yaml:"authorities"`
	// Denied is a list of certificates that are let in no more, on a listener with
	// authorities: a SHA-256 fingerprint in hex on each line (cpis certs show),
	// and after a # why. Default none.
	Denied string `yaml:"denied"`
}

// Set reports whether anything is configured.
func (c TLSConfig) Set() bool { return c != TLSConfig{} }

// Mutual reports whether peers of a listener must prove who they are.
func (c TLSConfig) Mutual() bool { return c.Authorities != "" }

// reloadEvery bounds how often the files are looked at.
const reloadEvery = time.Second

// ServerTLS loads the files of a listener. TLS 1.2 is the least that is spoken.
// Files that change are read again for the connections that come after, at most
// a second later; while new files cannot be read the old ones stay in use. A
// session is never resumed: who was let in by an authority that is trusted no
// more, or was denied since, must come in anew.
func ServerTLS(c TLSConfig, log *slog.Logger) (*tls.Config, error) {
	r := &reloader{files: c, log: log}
	if err := r.load(); err != nil {
		return nil, err
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return r.current(), nil }}, nil
}

// ClientTLS loads the files of the way to a receiver, host:port.
func ClientTLS(c TLSConfig, host string) (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: host}
	if c.Authorities != "" {
		pool, err := readAuthorities(c.Authorities)
		if err != nil {
			return nil, err
		}
		config.RootCAs = pool
	}
	if c.Certificate != "" {
		pair, err := tls.LoadX509KeyPair(c.Certificate, c.Key)
		if err != nil {
			return nil, fmt.Errorf("load certificate: %w", err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}

// reloader keeps a listener's configuration in step with its files.
type reloader struct {
	files TLSConfig
	log   *slog.Logger

	mu      sync.Mutex
	config  *tls.Config // guarded by mu
	state   string      // of the files when they were last read; guarded by mu
	checked time.Time   // guarded by mu
}

// current is the configuration for the next connection.
func (r *reloader) current() *tls.Config {
	r.mu.Lock()
	defer r.mu.Unlock()
	if now := time.Now(); now.Sub(r.checked) >= reloadEvery {
		r.checked = now
		if state := r.look(); state != r.state {
			r.state = state // a broken file is complained of once
			if err := r.read(); err != nil {
				r.log.Error("new certificates cannot be used, the old ones stay", "error", err)
			} else {
				r.log.Info("certificates read again")
			}
		}
	}
	return r.config
}

func (r *reloader) load() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.state, r.checked = r.look(), time.Now()
	return r.read()
}

// look describes the files without reading them.
func (r *reloader) look() string {
	var out string
	for _, name := range []string{r.files.Certificate, r.files.Key, r.files.Authorities, r.files.Denied} {
		if info, err := os.Stat(name); err == nil {
			out += fmt.Sprintf("%d %d;", info.ModTime().UnixNano(), info.Size())
		} else {
			out += "none;"
		}
	}
	return out
}

// read reads the files. The caller holds mu.
func (r *reloader) read() error {
	pair, err := tls.LoadX509KeyPair(r.files.Certificate, r.files.Key)
	if err != nil {
		return fmt.Errorf("load certificate: %w", err)
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}, SessionTicketsDisabled: true}
	if r.files.Authorities != "" {
		if config.ClientCAs, err = readAuthorities(r.files.Authorities); err != nil {
			return err
		}
		config.ClientAuth = tls.RequireAndVerifyClientCert
		denied, err := readDenied(r.files.Denied)
		if err != nil {
			return err
		}
		config.VerifyConnection = func(s tls.ConnectionState) error { return denied.check(s) }
	}
	r.config = config
	return nil
}

// denials are fingerprints of certificates that are let in no more.
type denials map[string]bool

// readDenied reads a list of them; no file is an empty one.
func readDenied(file string) (denials, error) {
	out := denials{}
	if file == "" {
		return out, nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("load denied certificates: %w", err)
	}
	n := 0
	for line := range strings.Lines(string(text)) {
		n++
		print, _, _ := strings.Cut(line, "#")
		print = strings.ToLower(strings.ReplaceAll(strings.TrimSpace(print), ":", ""))
		if print == "" {
			continue
		}
		if raw, err := hex.DecodeString(print); err != nil || len(raw) != sha256.Size {
			return nil, fmt.Errorf("load denied certificates: line %d is no SHA-256 fingerprint", n)
		}
		out[print] = true
	}
	return out, nil
}

// check refuses a peer whose certificate, or one of those that vouch for it, is
// denied.
func (d denials) check(s tls.ConnectionState) error {
	for _, chain := range s.VerifiedChains {
		for _, c := range chain {
			if d[Fingerprint(c)] {
				return errors.New("the certificate is denied")
			}
		}
	}
	return nil
}

// Fingerprint is the SHA-256 of a certificate, in hex.
func Fingerprint(c *x509.Certificate) string {
	sum := sha256.Sum256(c.Raw)
	return hex.EncodeToString(sum[:])
}

func readAuthorities(file string) (*x509.CertPool, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("load authorities: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, errors.New("load authorities: no certificate in the file")
	}
	return pool, nil
}
