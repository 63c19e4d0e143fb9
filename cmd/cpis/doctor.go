package main

import (
	"context"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"cpis/matching/index"
	"cpis/router/topics"
	"cpis/schemas"
)

// finding is one line of the doctor.
type finding struct {
	Check string `json:"check"`
	State string `json:"state"` // OK, WARN or FAIL
	Found string `json:"found"`
	Fix   string `json:"fix,omitempty"`
}

func (s *shell) doctor() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use: "doctor", Args: usage(cobra.NoArgs),
		Short: "Check everything the broker needs, and say what to do about what is wrong",
		RunE: func(cmd *cobra.Command, _ []string) error {
			config, err := s.remote()
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), toolTime)
			defer cancel()
			findings := examine(ctx, config)
			failed := false
			for _, f := range findings {
				failed = failed || f.State == "FAIL"
				if !asJSON {
					fmt.Fprintf(s.out, "%-5s %-16s %s\n", f.State, f.Check, f.Found)
					if f.Fix != "" {
						fmt.Fprintf(s.out, "      %-16s %s\n", "", f.Fix)
					}
				}
			}
			if asJSON {
				err = s.json(findings)
			}
			if err == nil && failed {
				return exit{exitFailed, fmt.Errorf("something the broker needs does not work")}
			}
			return err
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

func examine(ctx context.Context, c *Config) []finding {
	var out []finding
	ok := func(check, found string) { out = append(out, finding{check, "OK", found, ""}) }
	bad := func(check string, err error, fix string) { out = append(out, finding{check, "FAIL", err.Error(), fix}) }
	warn := func(check, found, fix string) { out = append(out, finding{check, "WARN", found, fix}) }

	ok("configuration", fmt.Sprintf("%d feeds, roles %s", len(c.Feeds), strings.Join(c.Roles, ",")))
	if _, err := schemas.OpenKeyring(c.keyDir(), false); err != nil {
		bad("keys", err, "hand this machine the key sets of the system (keys.dir), or run `cpis serve` once where it makes its own")
	} else {
		ok("keys", c.keyDir())
	}
	var client *topics.Client
	to, err := c.cluster("cpis-doctor")
	if err == nil {
		to.RequestTimeout = 3 * time.Second
		client, err = topics.Open(ctx, to)
	}
	if err == nil {
		defer func() { _ = client.Close() }()
		err = client.Ping(ctx)
	}
	if err != nil {
		bad("kafka", err, "start Kafka, or `cpis serve` for the embedded one; check kafka.brokers")
	} else {
		ok("kafka", strings.Join(c.Kafka.Brokers, ","))
		if _, err := client.Ends(ctx, schemas.TopicRegistration); err != nil {
			bad("topics", err, "run `cpis topics apply`")
		} else {
			ok("topics", fmt.Sprintf("%d in the table", len(topics.Table())))
		}
	}
	registry, err := schemas.NewRegistryClient(c.Registry.URL)
	if err == nil {
		_, err = schemas.NewCodec(ctx, registry)
	}
	if err != nil {
		bad("schema registry", err, "start the registry; if it refuses a schema, an older release wrote one that this build cannot read")
	} else {
		ok("schema registry", c.Registry.URL)
	}
	if c.Redis.URL == "" {
		warn("redis", "embedded: only the process that runs it can look inside", "see /readyz of that process")
	} else if err := examineIndex(ctx, c); err != nil {
		bad("redis", err, "start Redis; the index is rebuilt from the topics by itself. Until then answers are CHECK_FAILED")
	} else {
		ok("redis", "the index is whole")
	}
	for name, address := range map[string]string{"mllp": c.MLLP.Listen, "http": c.HTTP.Listen} {
		if address == "off" {
			continue
		}
		conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "tcp", address)
		if err != nil {
			warn(name, "nobody listens on "+address, "start `cpis serve`")
			continue
		}
		_ = conn.Close()
		ok(name, address)
	}
	return out
}

func examineIndex(ctx context.Context, c *Config) error {
	keys, err := schemas.OpenKeyring(c.keyDir(), false)
	if err != nil {
		return err
	}
	r, err := index.OpenReader(index.Config{URL: c.Redis.URL}, keys)
	if err != nil {
		return err
	}
	defer func() { _ = r.Close() }()
	status, err := r.Status(ctx)
	if err == nil && !status.Complete {
		err = fmt.Errorf("the index is being rebuilt")
	}
	return err
}
