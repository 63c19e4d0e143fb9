package main

import (
	"errors"
	"net/http"
	"net/url"

	"github.com/spf13/pflag"

	"cpis/connectors/identity"
)

// brokerFlags say where a broker's door is, and who calls there.
type brokerFlags struct {
	server string
	files  identity.TLSConfig
}

func (b *brokerFlags) add(f *pflag.FlagSet) {
	f.StringVar(&b.server, "server", "", "address of the broker; default http:// and http.listen")
	f.StringVar(&b.files.Certificate, "tls-certificate", "", "your organisation's certificate, for a broker at https")
	f.StringVar(&b.files.Key, "tls-key", "", "its key")
	f.StringVar(&b.files.Authorities, "tls-authorities", "", "who certifies the broker; default those of the system")
}

// broker is the address of the broker, and how to call there.
func (s *shell) broker(b brokerFlags) (server string, client *http.Client, err error) {
	if b.server == "" {
		config, err := s.load()
		if err != nil {
			return "", nil, err
		}
		b.server = "http://" + config.HTTP.Listen
		if config.HTTP.TLS.Set() {
			b.server = "https://" + config.HTTP.Listen
		}
	}
	if !b.files.Set() {
		return b.server, http.DefaultClient, nil
	}
	u, err := url.Parse(b.server)
	if err != nil || u.Scheme != "https" {
		return "", nil, exit{exitUsage, errors.New("certificates are for a --server at https://")}
	}
	secure, err := identity.ClientTLS(b.files, u.Hostname())
	if err != nil {
		return "", nil, exit{exitUsage, err}
	}
	return b.server, &http.Client{Transport: &http.Transport{TLSClientConfig: secure, ForceAttemptHTTP2: true}}, nil
}
