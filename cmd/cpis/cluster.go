package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"

	"cpis/connectors/identity"
	"cpis/router/topics"
)

// cluster is how to reach Kafka, for whoever goes by an id there.
func (c *Config) cluster(id string) (topics.Config, error) {
	k := c.Kafka
	out := topics.Config{Brokers: k.Brokers, ClientID: id, Replication: k.Replication, User: k.User}
	if k.TLS.Set() {
		if c.embeddedKafka() {
			return out, errors.New("tls is for the brokers of a cluster")
		}
		host, _, err := net.SplitHostPort(k.Brokers[0])
		if err != nil {
			return out, fmt.Errorf("brokers: want host:port, not %s", k.Brokers[0])
		}
		if out.TLS, err = identity.ClientTLS(k.TLS, host); err != nil {
			return out, err
		}
		out.TLS.ServerName = "" // each broker by its own name
	}
	if (k.User == "") != (k.PasswordFile == "") {
		return out, errors.New("user and password_file belong together")
	}
	if k.User != "" {
		text, err := os.ReadFile(k.PasswordFile)
		if err != nil {
			return out, fmt.Errorf("read password: %w", err)
		}
		if out.Password = strings.TrimRight(string(text), "\r\n"); out.Password == "" {
			return out, errors.New("read password: the file is empty")
		}
	}
	return out, nil
}
