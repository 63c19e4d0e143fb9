package identity

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cpis/schemas"
)

func issuer(t testing.TB) *Issuer {
	t.Helper()
	i, err := NewIssuer(filepath.Join(t.TempDir(), "ca"))
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func (i *Issuer) must(t testing.TB, h Holder) TLSConfig {
	t.Helper()
	if h.Valid == 0 {
		h.Valid = time.Hour
	}
	c, err := i.Issue(h)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func server(t testing.TB, i *Issuer) TLSConfig {
	return i.must(t, Holder{File: "server", Hosts: []string{"127.0.0.1"}})
}

// door is a TLS listener that counts the bytes which got through its handshakes.
type door struct {
	net.Listener
	read chan int
}

func open(t testing.TB, c *tls.Config) *door {
	t.Helper()
	l, err := tls.Listen("tcp", "127.0.0.1:0", c)
	if err != nil {
		t.Fatal(err)
	}
	d := &door{l, make(chan int, 100)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
			n, err := conn.Read(make([]byte, 10)) // after the handshake alone
			d.read <- n
			if err == nil {
				_, _ = conn.Write([]byte("ok"))
			}
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() { _ = l.Close(); <-done })
	return d
}

// try sends a word and waits for one; the error says that it was not let in.
func (d *door) try(c *tls.Config) error {
	conn, err := (&tls.Dialer{Config: c, NetDialer: &net.Dialer{Timeout: 5 * time.Second}}).Dial("tcp", d.Addr().String())
	if err != nil {
		<-d.read
		return err
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
	_, _ = conn.Write([]byte("MSH|"))
	_, err = io.ReadFull(conn, make([]byte, 2))
	if n := <-d.read; err != nil && n > 0 {
		return fmt.Errorf("%d bytes were read all the same", n)
	}
	return err
}

func client(t testing.TB, c TLSConfig) *tls.Config {
	t.Helper()
	out, err := ClientTLS(c, "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestCertificatesAreReadAgain: new files serve the connections that come after;
// broken ones leave the old in use; who is trusted no more, or denied since, is not
// let in, nor by a session from before.
func TestCertificatesAreReadAgain(t *testing.T) {
	dir := t.TempDir()
	first, second := issuer(t), issuer(t)
	files := TLSConfig{Certificate: filepath.Join(dir, "cert"), Key: filepath.Join(dir, "key"), Authorities: filepath.Join(dir, "clients"), Denied: filepath.Join(dir, "denied")}
	stamp := time.Now()
	put := func(to string, text []byte) {
		t.Helper()
		if err := os.WriteFile(to, text, 0o600); err != nil {
			t.Fatal(err)
		}
		stamp = stamp.Add(time.Second) // file systems differ in how fine their times are
		if err := os.Chtimes(to, stamp, stamp); err != nil {
			t.Fatal(err)
		}
	}
	install := func(to, from string) {
		t.Helper()
		text, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		put(to, text)
	}
	one := server(t, first)
	install(files.Certificate, one.Certificate)
	install(files.Key, one.Key)
	install(files.Authorities, first.File())
	put(files.Denied, []byte("# nobody yet\n"))
	var log bytes.Buffer
	r := &reloader{files: files, log: slog.New(slog.NewTextHandler(&log, nil))}
	if err := r.load(); err != nil {
		t.Fatal(err)
	}
	d := open(t, &tls.Config{MinVersion: tls.VersionTLS12, GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return r.current(), nil }})
	soon := func() { // the files may be looked at again
		r.mu.Lock()
		defer r.mu.Unlock()
		r.checked = time.Time{}
	}
	rxx, ryy := first.must(t, Holder{File: "rxx", Name: "urn:ods:RXX"}), first.must(t, Holder{File: "ryy", Name: "urn:ods:RYY"})
	old := client(t, rxx)
	old.ClientSessionCache = tls.NewLRUClientSessionCache(4)
	if err := d.try(old); err != nil {
		t.Fatal(err)
	}
	install(files.Certificate, one.Key) // a mistake
	for range 2 {
		soon()
		if err := d.try(old); err != nil {
			t.Errorf("a broken file: %v", err)
		}
	}
	if n := strings.Count(log.String(), "cannot be used"); n != 1 {
		t.Errorf("complained of %d times\n%s", n, log.String())
	}
	install(files.Certificate, one.Certificate)
	cert, err := ReadCertificate(rxx.Certificate)
	if err != nil {
		t.Fatal(err)
	}
	put(files.Denied, []byte(strings.ToUpper(Fingerprint(cert))+" # laptop stolen\n"))
	soon()
	if err := d.try(old); err == nil {
		t.Error("a denied certificate is let in")
	}
	if err := d.try(client(t, ryy)); err != nil {
		t.Errorf("another one: %v", err)
	}
	put(files.Denied, []byte("not a fingerprint\n"))
	soon()
	if err := d.try(old); err == nil {
		t.Error("a broken list lets in who was denied")
	}
	put(files.Denied, []byte(Fingerprint(first.Certificate())+"\n"))
	soon()
	if err := d.try(client(t, ryy)); err == nil {
		t.Error("whoever a denied authority vouches for is let in")
	}
	two := server(t, second)
	install(files.Certificate, two.Certificate)
	install(files.Key, two.Key)
	install(files.Authorities, second.File())
	put(files.Denied, nil)
	soon()
	old.RootCAs.AddCert(second.Certificate())
	if err := d.try(old); err == nil {
		t.Error("an authority that is trusted no more lets in")
	}
	if err := d.try(client(t, second.must(t, Holder{File: "rzz", Name: "urn:ods:RZZ"}))); err != nil {
		t.Errorf("the new authority: %v", err)
	}
}

func TestFilesThatAreMissing(t *testing.T) {
	i := issuer(t)
	s := server(t, i)
	for name, c := range map[string]TLSConfig{
		"no key": {Certificate: s.Certificate}, "no file": {Certificate: "none", Key: s.Key}, "authorities that are none": {Certificate: s.Certificate, Key: s.Key, Authorities: s.Key},
		"no list of the denied": {Certificate: s.Certificate, Key: s.Key, Authorities: i.File(), Denied: "none"},
	} {
		if _, err := ServerTLS(c, slog.New(slog.DiscardHandler)); err == nil {
			t.Errorf("%s: fine", name)
		}
	}
	if _, err := ClientTLS(TLSConfig{Authorities: s.Key}, "x"); err == nil {
		t.Error("a receiver's authorities that are none: fine")
	}
	if _, err := i.Issue(Holder{File: "server", Hosts: []string{"x"}, Valid: time.Hour}); err == nil {
		t.Error("a certificate is written over")
	}
	again, err := OpenIssuer(filepath.Dir(i.File()))
	if err != nil || !again.Certificate().Equal(i.Certificate()) {
		t.Errorf("%v", err)
	}
}

// hostile are certificates that nobody may come in with.
func hostile(t *testing.T, ours *Issuer) map[string]*tls.Config {
	t.Helper()
	other := issuer(t)
	name := func(s string) []*url.URL { u, _ := url.Parse(s); return []*url.URL{u} }
	usual := func() *x509.Certificate {
		return &x509.Certificate{Subject: pkix.Name{CommonName: "RXX"}, URIs: name("urn:ods:RXX"), KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	}
	out := map[string]*tls.Config{}
	add := func(what string, by *Issuer, change func(*x509.Certificate), more ...*x509.Certificate) {
		template := usual()
		change(template)
		cert, key, err := by.sign(template, time.Hour)
		if err != nil {
			t.Fatal(what, err)
		}
		pair := tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key}
		for _, c := range more {
			pair.Certificate = append(pair.Certificate, c.Raw)
		}
		c := client(t, TLSConfig{Authorities: ours.File()})
		c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
		out[what] = c
	}
	nothing := func(*x509.Certificate) {}
	add("self-signed", &Issuer{}, nothing)
	add("self-signed as an authority", &Issuer{}, func(c *x509.Certificate) { c.IsCA, c.BasicConstraintsValid = true, true })
	add("another authority's", other, nothing)
	add("another authority's, with it", other, nothing, other.cert)
	add("another authority's, with ours", other, nothing, ours.cert)
	twin := &Issuer{} // the same name and another key
	var err error
	if twin.cert, twin.key, err = (&Issuer{}).sign(&x509.Certificate{Subject: ours.cert.Subject, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign, SubjectKeyId: ours.cert.SubjectKeyId}, time.Hour); err != nil {
		t.Fatal(err)
	}
	add("an authority's of the same name", twin, nothing)
	add("an authority's of the same name, with it", twin, nothing, twin.cert)
	leafCert, leafKey, err := ours.sign(usual(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	add("signed by a caller", &Issuer{cert: leafCert, key: leafKey}, nothing, leafCert)
	between, betweenKey, err := ours.sign(&x509.Certificate{Subject: pkix.Name{CommonName: "between"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	add("by an authority that ours may not make", &Issuer{cert: between, key: betweenKey}, nothing, between)
	for what, when := range map[string][2]time.Duration{"expired a second ago": {-time.Hour, -time.Second}, "expired a year ago": {-8761 * time.Hour, -8760 * time.Hour}, "not yet valid": {time.Minute, time.Hour}, "valid next year": {8760 * time.Hour, 8761 * time.Hour}} {
		add(what, ours, func(c *x509.Certificate) { c.NotBefore, c.NotAfter = time.Now().Add(when[0]), time.Now().Add(when[1]) })
	}
	for what, use := range map[string]x509.ExtKeyUsage{"a server's": x509.ExtKeyUsageServerAuth, "for signing code": x509.ExtKeyUsageCodeSigning, "for mail": x509.ExtKeyUsageEmailProtection, "for time stamps": x509.ExtKeyUsageTimeStamping, "for answers about certificates": x509.ExtKeyUsageOCSPSigning} {
		add(what, ours, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{use} })
	}
	good := func(change func(*tls.Config)) *tls.Config {
		c := client(t, ours.must(t, Holder{File: fmt.Sprintf("good-%d", len(out)), Name: "urn:ods:RXX"}))
		change(c)
		return c
	}
	out["none"] = client(t, TLSConfig{Authorities: ours.File()})
	out["TLS 1.0"] = good(func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS10 })
	out["TLS 1.1"] = good(func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS11, tls.VersionTLS11 })
	out["another's key"] = good(func(c *tls.Config) {
		pair := c.Certificates[0]
		pair.PrivateKey = betweenKey
		c.Certificates, c.GetClientCertificate = nil, func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
	})
	out["a torn certificate"] = good(func(c *tls.Config) {
		pair := c.Certificates[0]
		pair.Certificate = [][]byte{pair.Certificate[0][:len(pair.Certificate[0])-7]}
		c.Certificates, c.GetClientCertificate = nil, func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
	})
	out["a changed certificate"] = good(func(c *tls.Config) {
		pair := c.Certificates[0]
		raw := bytes.Replace(bytes.Clone(pair.Certificate[0]), []byte("urn:ods:RXX"), []byte("urn:ods:RYY"), 1)
		pair.Certificate = [][]byte{raw}
		c.Certificates, c.GetClientCertificate = nil, func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
	})
	return out
}

// misnamed are certificates that are good, and say nothing of use: they come in, and
// may do nothing.
func misnamed(t *testing.T, ours *Issuer) map[string]*tls.Config {
	t.Helper()
	out := map[string]*tls.Config{}
	for what, names := range map[string][]string{"no name": nil, "another's code": {"urn:la:E06B"}, "a provider": {"urn:ods:E06A"}, "two authorities": {"urn:la:E06A", "urn:la:E06B"}, "an authority and a provider": {"urn:la:E06A", "urn:ods:RXX"},
		"the same twice": {"urn:la:E06A", "urn:la:E06A"}, "small letters": {"urn:la:e06a"}, "a longer code": {"urn:la:E06AX"}, "a shorter code": {"urn:la:E06"}, "too long a code": {"urn:la:E06AE06AE06A"}, "another scheme": {"https://la/E06A"},
		"in capitals": {"URN:LA:E06A"}, "a blank": {"urn:la:E06A%20"}, "a stroke": {"urn:la:E06A/E06B"}, "no code": {"urn:la:"}, "any": {"urn:la:*"}, "operations, nearly": {"urn:cpis:operations2"}} {
		template := &x509.Certificate{Subject: pkix.Name{CommonName: "urn:la:E06A"}, DNSNames: []string{"e06a.example.org"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
		for _, n := range names {
			u, err := url.Parse(n)
			if err != nil {
				t.Fatal(err)
			}
			template.URIs = append(template.URIs, u)
		}
		cert, key, err := ours.sign(template, time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		c := client(t, TLSConfig{Authorities: ours.File()})
		c.Certificates = []tls.Certificate{{Certificate: [][]byte{cert.Raw}, PrivateKey: key}}
		out[what] = c
	}
	return out
}

// TestHostileCertificates: none of forty gets as far as a byte of what it wants to say.
func TestHostileCertificates(t *testing.T) {
	ours := issuer(t)
	files := server(t, ours)
	config, err := ServerTLS(files, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	d := open(t, config)
	bad := hostile(t, ours)
	for what, c := range bad {
		if err := d.try(c); err == nil || strings.Contains(err.Error(), "all the same") {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := d.try(client(t, ours.must(t, Holder{File: "rxx", Name: "urn:ods:RXX"}))); err != nil {
		t.Errorf("a good one: %v", err)
	}
	wrong := misnamed(t, ours)
	if len(bad)+len(wrong) < 40 {
		t.Errorf("%d and %d certificates", len(bad), len(wrong))
	}

	read := 0
	m := NewMux(nil, slog.New(slog.DiscardHandler))
	m.HandleFunc("POST /v1/authorities/{code}/indicators", func(_ http.ResponseWriter, r *http.Request) {
		text, _ := io.ReadAll(r.Body)
		read += len(text)
	})
	h := httptest.NewUnstartedServer(m)
	h.TLS, h.Config.ErrorLog = config, slog.NewLogLogger(slog.DiscardHandler, 0)
	h.StartTLS()
	defer h.Close()
	post := func(c *tls.Config) int {
		hc := &http.Client{Transport: &http.Transport{TLSClientConfig: c}, Timeout: 5 * time.Second}
		defer hc.CloseIdleConnections()
		res, err := hc.Post(h.URL+"/v1/authorities/E06A/indicators", "text/csv", strings.NewReader("records"))
		if err != nil {
			return 0
		}
		_ = res.Body.Close()
		return res.StatusCode
	}
	for what, c := range wrong {
		if got := post(c); got != http.StatusForbidden || read != 0 {
			t.Errorf("%s: %d, %d bytes read", what, got, read)
		}
	}
	for what, c := range bad {
		if got := post(c); got != 0 || read != 0 {
			t.Errorf("%s: %d, %d bytes read", what, got, read)
		}
	}
	if got := post(client(t, ours.must(t, Holder{File: "e06a", Name: "urn:la:E06A"}))); got != http.StatusOK || read == 0 {
		t.Errorf("the authority itself: %d", got)
	}
}

func TestSubjectsCanStandForNames(t *testing.T) {
	ours := issuer(t)
	cert, _, err := ours.sign(&x509.Certificate{Subject: pkix.Name{CommonName: "feed", Organization: []string{"Aford"}}}, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	subjects := map[string]string{"CN=feed,O=Aford": "urn:la:E06A"}
	if c := Holds(cert, subjects); c != (Caller{Kind: Authority, Code: "E06A"}) {
		t.Errorf("%+v", c)
	}
	if c := Holds(cert, nil); c.Kind != Nobody {
		t.Errorf("not on the list: %+v", c)
	}
	u, _ := url.Parse("urn:ods:RXX")
	if cert, _, err = ours.sign(&x509.Certificate{Subject: cert.Subject, URIs: []*url.URL{u}}, time.Hour); err != nil {
		t.Fatal(err)
	}
	if c := Holds(cert, subjects); c != (Caller{Kind: Provider, Code: "RXX"}) {
		t.Errorf("its own name comes first: %+v", c)
	}
}

func TestAProviderSpeaksForItsSites(t *testing.T) {
	for _, c := range []struct {
		caller Caller
		ods    string
		want   bool
	}{
		{Caller{Kind: Provider, Code: "RXX"}, "RXX", true}, {Caller{Kind: Provider, Code: "RXX"}, "RXX01", true}, {Caller{Kind: Provider, Code: "RXX01"}, "RXX02", false}, {Caller{Kind: Provider, Code: "RXX01"}, "RXX", false},
		{Caller{Kind: Provider, Code: "RXX0"}, "RXX01", false}, {Caller{Kind: Authority, Code: "RXX"}, "RXX", false}, {Caller{Kind: Local}, "RXX", true}, {Caller{Kind: Nobody}, "RXX", false}, {Caller{Kind: Operations}, "RXX", false},
	} {
		if got := c.caller.Covers(schemas.ODSCode(c.ods)); got != c.want {
			t.Errorf("%+v for %s: %v", c.caller, c.ods, got)
		}
	}
}
