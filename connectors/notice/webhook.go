package notice

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path"
	"slices"
	"strings"
	"syscall"
	"time"

	webhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"cpis/connectors"
	"cpis/schemas"
)

// WebhookConfig is how an authority's receiver is reached.
type WebhookConfig struct {
	// URL of the receiver, https. Plain http goes to loopback addresses alone.
	URL string `yaml:"url"`
	// Secret is a file with the secret that signs what is sent, in the form of the
	// Standard Webhooks: whsec_ and base64, 24 bytes or more.
	Secret string `yaml:"secret"`
	// Authorities is a PEM file of those who may certify the receiver. Default
	// those of the system.
	Authorities string `yaml:"authorities"`
	// Certificate and Key prove to the receiver who comes. Default none.
	Certificate string `yaml:"certificate"`
	Key         string `yaml:"key"`
}

// Guard says where webhooks may go at all.
type Guard struct {
	// Hosts are the names of receivers; *.example.gov.uk is any below it. A webhook
	// to any other host is refused at the start.
	Hosts []string `yaml:"hosts"`
	// Networks are private networks, such as 10.2.0.0/16, in which receivers may
	// stand. Default none: an address that is not public is not connected to,
	// whatever the name says when it is asked for.
	Networks []string `yaml:"networks"`
}

const (
	webhookTime = 15 * time.Second
	maxSecret   = 4 << 10
)

// Webhook sends notices to an authority's receiver: signed, with an
// Idempotency-Key, to the host it was configured with and nowhere else. It follows
// no redirect. Safe for concurrent use.
type Webhook struct {
	url    string
	signer *webhooks.Webhook
	client *http.Client
	now    func() time.Time
}

// NewWebhook prepares a webhook. It connects when there is something to say.
func NewWebhook(c WebhookConfig, g Guard) (*Webhook, error) {
	u, err := url.Parse(c.URL)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, errors.New("url: want https://host/path, and nothing secret in it")
	}
	if !g.host(u.Hostname()) {
		return nil, fmt.Errorf("url: %s is none of the hosts that notices may go to", u.Hostname())
	}
	secret, err := readSecret(c.Secret)
	if err != nil {
		return nil, err
	}
	signer, err := webhooks.NewWebhook(secret)
	if err != nil {
		return nil, errors.New("secret: want whsec_ and base64")
	}
	allowed, err := g.networks()
	if err != nil {
		return nil, err
	}
	plain := u.Scheme == "http"
	dialer := &net.Dialer{Timeout: 5 * time.Second, Control: func(_, address string, _ syscall.RawConn) error {
		return mayConnect(address, plain, allowed)
	}}
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.Authorities != "" {
		pem, err := os.ReadFile(c.Authorities)
		if err != nil {
			return nil, fmt.Errorf("authorities: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, errors.New("authorities: no certificate in it")
		}
	}
	if c.Certificate != "" {
		pair, err := tls.LoadX509KeyPair(c.Certificate, c.Key)
		if err != nil {
			return nil, fmt.Errorf("certificate: %w", err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	client := &http.Client{
		Timeout:       webhookTime,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport:     &http.Transport{DialContext: dialer.DialContext, TLSClientConfig: config, TLSHandshakeTimeout: 5 * time.Second, MaxIdleConnsPerHost: 2, IdleConnTimeout: time.Minute, ForceAttemptHTTP2: true},
	}
	return &Webhook{c.URL, signer, client, time.Now}, nil
}

func readSecret(name string) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", fmt.Errorf("secret: %w", err)
	}
	defer func() { _ = f.Close() }()
	text, err := io.ReadAll(io.LimitReader(f, maxSecret))
	if err != nil {
		return "", fmt.Errorf("secret: %w", err)
	}
	secret := strings.TrimSpace(string(text))
	if len(secret) < len("whsec_")+32 {
		return "", errors.New("secret: too short: 24 random bytes are the least")
	}
	return secret, nil
}

// host reports whether webhooks may go to a host.
func (g Guard) host(name string) bool {
	return slices.ContainsFunc(g.Hosts, func(allowed string) bool {
		if below, ok := strings.CutPrefix(allowed, "*."); ok {
			return strings.HasSuffix(strings.ToLower(name), "."+strings.ToLower(below))
		}
		return strings.EqualFold(allowed, name)
	})
}

func (g Guard) networks() ([]netip.Prefix, error) {
	var out []netip.Prefix
	for _, n := range g.Networks {
		p, err := netip.ParsePrefix(n)
		if err != nil {
			return nil, fmt.Errorf("networks: %s is not a network such as 10.2.0.0/16", n)
		}
		out = append(out, p)
	}
	return out, nil
}

// mayConnect judges the address that a name has led to, at the moment of the
// connection: a name that meant somebody else when it was looked at before must not
// lead inside.
func mayConnect(address string, plain bool, allowed []netip.Prefix) error {
	a, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	ip := a.Addr().Unmap().WithZone("")
	if plain {
		if ip.IsLoopback() {
			return nil
		}
		return errors.New("connect: plain http goes to loopback addresses alone")
	}
	if slices.ContainsFunc(allowed, func(p netip.Prefix) bool { return p.Contains(ip) }) {
		return nil
	}
	if !ip.IsGlobalUnicast() || ip.IsPrivate() || slices.ContainsFunc(special(), func(p netip.Prefix) bool { return p.Contains(ip) }) {
		return errors.New("connect: the name leads to an address that is not public")
	}
	return nil
}

// special are the networks beside the private ones that are nobody's in public
// (RFC 6890): this host, carrier's shared addresses, documentation, benchmarks,
// reserved, and those that embed an IPv4 address.
func special() []netip.Prefix {
	var out []netip.Prefix
	for _, n := range []string{"0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.0.2.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "240.0.0.0/4",
		"64:ff9b::/96", "64:ff9b:1::/48", "2001::/23", "2001:db8::/32", "2002::/16", "100::/64"} {
		out = append(out, netip.MustParsePrefix(n))
	}
	return out
}

// Tell sends a notice. nil means that the receiver answered 2xx; everything else is
// worth another try.
func (w *Webhook) Tell(ctx context.Context, n schemas.Notice) error {
	text, err := Render(n).encode()
	if err != nil {
		return fmt.Errorf("send notice: %w", err)
	}
	now := w.now()
	signature, err := w.signer.Sign(n.NoticeID, now, text)
	if err != nil {
		return fmt.Errorf("sign notice: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.url, bytes.NewReader(text))
	if err != nil {
		return fmt.Errorf("send notice: %w", err)
	}
	for name, value := range map[string]string{"Content-Type": "application/cloudevents+json; charset=utf-8", "Idempotency-Key": n.NoticeID, "User-Agent": "cpis",
		webhooks.HeaderWebhookID: n.NoticeID, webhooks.HeaderWebhookTimestamp: fmt.Sprint(now.Unix()), webhooks.HeaderWebhookSignature: signature} {
		req.Header.Set(name, value)
	}
	res, err := w.client.Do(req)
	if err != nil {
		return fmt.Errorf("send notice: %w", err)
	}
	defer func() { _ = res.Body.Close() }()
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, 64<<10)) // so that the connection can be used again
	if res.StatusCode < 200 || res.StatusCode > 299 {
		return fmt.Errorf("send notice: the receiver answered %d", res.StatusCode)
	}
	return nil
}

// Close ends idle connections.
func (w *Webhook) Close() error {
	w.client.CloseIdleConnections()
	return nil
}

// Folder puts notices into an authority's drop folder: out/NOTICE_ID.json, and then
// out/NOTICE_ID.ctl, which says that it is whole.
type Folder string

// Tell implements the way to an authority.
func (f Folder) Tell(_ context.Context, n schemas.Notice) error {
	text, err := Render(n).encode()
	if err != nil {
		return fmt.Errorf("write notice: %w", err)
	}
	if err := os.MkdirAll(path.Join(string(f), "out"), 0o700); err != nil {
		return fmt.Errorf("write notice: %w", err)
	}
	root, err := os.OpenRoot(path.Join(string(f), "out"))
	if err != nil {
		return fmt.Errorf("write notice: %w", err)
	}
	defer func() { _ = root.Close() }()
	name := "NOTICE_" + n.NoticeID
	if err := connectors.WriteWhole(root, name+".json", text); err != nil {
		return err
	}
	return connectors.WriteWhole(root, name+".ctl", []byte(`<DTSControl><Version>1.0</Version><AddressType>DTS</AddressType><MessageType>Data</MessageType><Subject>notice</Subject></DTSControl>`+"\n"))
}
