package identity

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"time"
)

// Issuer is an authority for tests and small trials: its key lies in a file. A site
// with real patients has its certificates from elsewhere.
type Issuer struct {
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// Files of an issuer's folder.
const (
	issuerCert = "ca.pem"
	issuerKey  = "ca.key"
)

// issuerValid is how long an issuer's own certificate is good for.
const issuerValid = 10 * 365 * 24 * time.Hour

// NewIssuer makes an authority in a folder: ca.pem, for the files called authorities,
// and ca.key. It never writes over one that is there.
func NewIssuer(dir string) (*Issuer, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make authority: %w", err)
	}
	i := &Issuer{dir: dir}
	template := &x509.Certificate{Subject: pkix.Name{CommonName: "cpis test authority"}, IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign}
	cert, key, err := i.sign(template, issuerValid)
	if err != nil {
		return nil, err
	}
	i.cert, i.key = cert, key
	return i, write(filepath.Join(dir, issuerCert), filepath.Join(dir, issuerKey), cert, key)
}

// OpenIssuer opens what NewIssuer made.
func OpenIssuer(dir string) (*Issuer, error) {
	cert, err := ReadCertificate(filepath.Join(dir, issuerCert))
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(filepath.Join(dir, issuerKey))
	if err != nil {
		return nil, fmt.Errorf("open authority: %w", err)
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, errors.New("open authority: no key in " + issuerKey)
	}
	key, err := x509.ParseECPrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("open authority: %w", err)
	}
	return &Issuer{dir, cert, key}, nil
}

// File is the authority's certificate.
func (i *Issuer) File() string { return filepath.Join(i.dir, issuerCert) }

// Certificate is the authority's certificate.
func (i *Issuer) Certificate() *x509.Certificate { return i.cert }

// Holder is whom a certificate is for.
type Holder struct {
	File  string   // name of the files, without .pem and .key
	Name  string   // urn:la:CODE, urn:ods:CODE or urn:cpis:operations; empty for a server
	Hosts []string // of a server: DNS names and addresses
	Valid time.Duration
}

// Issue makes a certificate and its key: of a caller, or of a server where there are
// hosts. It never writes over files that are there.
func (i *Issuer) Issue(h Holder) (TLSConfig, error) {
	template := &x509.Certificate{Subject: pkix.Name{CommonName: h.File}, KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	if h.Name != "" {
		name, err := url.Parse(h.Name)
		if err != nil || !Known(h.Name) {
			return TLSConfig{}, fmt.Errorf("issue certificate: %q is no urn:la:CODE, urn:ods:CODE or urn:cpis:operations", h.Name)
		}
		template.URIs = []*url.URL{name}
	}
	for _, host := range h.Hosts {
		template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	cert, key, err := i.sign(template, h.Valid)
	if err != nil {
		return TLSConfig{}, err
	}
	out := TLSConfig{Certificate: filepath.Join(i.dir, h.File+".pem"), Key: filepath.Join(i.dir, h.File+".key"), Authorities: i.File()}
	return out, write(out.Certificate, out.Key, cert, key)
}

// sign makes a key and a certificate of it, by the issuer, or by itself where the
// issuer has none yet.
func (i *Issuer) sign(template *x509.Certificate, valid time.Duration) (*x509.Certificate, *ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("make key: %w", err)
	}
	if template.SerialNumber, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120)); err != nil {
		return nil, nil, fmt.Errorf("make serial number: %w", err)
	}
	if template.NotAfter.IsZero() {
		template.NotBefore, template.NotAfter = time.Now().Add(-5*time.Minute), time.Now().Add(valid)
	}
	parent, signer := i.cert, i.key
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		return nil, nil, fmt.Errorf("sign certificate: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, nil, fmt.Errorf("sign certificate: %w", err)
	}
	return cert, key, nil
}

func write(certFile, keyFile string, cert *x509.Certificate, key *ecdsa.PrivateKey) error {
	secret, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return fmt.Errorf("write key: %w", err)
	}
	for _, f := range []struct {
		name  string
		block *pem.Block
	}{{keyFile, &pem.Block{Type: "EC PRIVATE KEY", Bytes: secret}}, {certFile, &pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw}}} {
		out, err := os.OpenFile(f.name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
		if err != nil {
			return fmt.Errorf("write certificate: %w", err)
		}
		if err := errors.Join(pem.Encode(out, f.block), out.Close()); err != nil {
			return fmt.Errorf("write certificate: %w", err)
		}
	}
	return nil
}

// ReadCertificate reads the first certificate of a PEM file.
func ReadCertificate(file string) (*x509.Certificate, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read certificate: %w", err)
	}
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == "CERTIFICATE" {
			return x509.ParseCertificate(block.Bytes)
		}
	}
	return nil, fmt.Errorf("read certificate: no certificate in %s", file)
}
