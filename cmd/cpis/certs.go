package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"cpis/connectors/identity"
)

func (s *shell) certs() *cobra.Command {
	root := &cobra.Command{Use: "certs", Short: "A test authority, and whose certificate one is"}
	begin := &cobra.Command{
		Use: "init FOLDER", Short: "Make a test authority: ca.pem and ca.key", Args: usage(cobra.ExactArgs(1)),
		RunE: func(_ *cobra.Command, args []string) error {
			i, err := identity.NewIssuer(args[0])
			if err != nil {
				return err
			}
			fmt.Fprintf(s.out, "%s is whom listeners and callers trust (tls.authorities); keep its key to yourself. Not for real patients.\n", i.File())
			return nil
		},
	}
	var la, ods string
	var hosts []string
	var operations bool
	var days int
	issue := &cobra.Command{
		Use: "issue FOLDER NAME", Short: "Issue a certificate: NAME.pem and NAME.key", Args: usage(cobra.ExactArgs(2)),
		Example: "  cpis certs issue ca server --host hub.example.org --host 10.0.0.5\n  cpis certs issue ca aford --la E06A\n  cpis certs issue ca hospital --ods RXX",
		RunE: func(_ *cobra.Command, args []string) error {
			h := identity.Holder{File: args[1], Hosts: hosts, Valid: time.Duration(days) * 24 * time.Hour}
			given := 0
			for name, is := range map[string]bool{"urn:la:" + la: la != "", "urn:ods:" + ods: ods != "", "urn:cpis:operations": operations} {
				if is {
					h.Name = name
					given++
				}
			}
			if len(hosts) > 0 {
				given++
			}
			if given != 1 || strings.ContainsAny(args[1], `/\`) || days < 1 {
				return exit{exitUsage, errors.New("say whose it is with one of --la CODE, --ods CODE, --operations or --host NAME; NAME is a file name; --days is above zero")}
			}
			i, err := identity.OpenIssuer(args[0])
			if err != nil {
				return err
			}
			files, err := i.Issue(h)
			if err != nil {
				return exit{exitUsage, err}
			}
			fmt.Fprintf(s.out, "%s\n%s\n", files.Certificate, files.Key)
			return nil
		},
	}
	issue.Flags().StringVar(&la, "la", "", "for a local authority")
	issue.Flags().StringVar(&ods, "ods", "", "for a provider of care")
	issue.Flags().BoolVar(&operations, "operations", false, "for whoever runs the broker")
	issue.Flags().StringSliceVar(&hosts, "host", nil, "for a server: a DNS name or an address, once or more")
	issue.Flags().IntVar(&days, "days", 90, "how long it is good for")
	var asJSON bool
	show := &cobra.Command{
		Use: "show FILE", Short: "Say whose certificate it is, how long it is good for, and its fingerprint", Args: usage(cobra.ExactArgs(1)),
		RunE: func(_ *cobra.Command, args []string) error {
			c, err := identity.ReadCertificate(args[0])
			if err != nil {
				return err
			}
			var subjects map[string]string
			if s.file != "" {
				config, err := s.load()
				if err != nil {
					return err
				}
				subjects = config.HTTP.Subjects
			}
			caller := identity.Holds(c, subjects)
			left := int(time.Until(c.NotAfter).Hours() / 24)
			if asJSON {
				return s.json(map[string]any{"file": filepath.Base(args[0]), "kind": caller.Kind, "organisation": caller.Code, "subject": c.Subject.String(), "not_before": c.NotBefore, "not_after": c.NotAfter, "days_left": left, "sha256": identity.Fingerprint(c)})
			}
			whose := strings.TrimSpace(strings.ToLower(string(caller.Kind)) + " " + caller.Code)
			if caller.Kind == identity.Nobody {
				whose = "nobody's: it names no organisation, or several"
			}
			fmt.Fprintf(s.out, "whose        %s\nsubject      %s\nnames        %s\ngood until   %s, %d days\nsha256       %s\n", whose, c.Subject, strings.Join(append(uris(c.URIs), c.DNSNames...), ", "), c.NotAfter.UTC().Format("2006-01-02 15:04 UTC"), left, identity.Fingerprint(c))
			return nil
		},
	}
	show.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	root.AddCommand(begin, issue, show)
	return root
}

func uris[T fmt.Stringer](list []T) []string {
	var out []string
	for _, u := range list {
		out = append(out, u.String())
	}
	return out
}

// Days before a certificate ends at which its end is told of.
const (
	expiresSoon = 30
	expiresNow  = 7
)

// ownCertificates are those of the listeners here, by listener.
func (s *system) ownCertificates() map[string]string {
	out := map[string]string{}
	if s.config.HTTP.TLS.Set() {
		out["http"] = s.config.HTTP.TLS.Certificate
	}
	if s.config.has(roleIntake) {
		for _, l := range s.config.MLLP.listeners() {
			if l.TLS.Set() {
				out["mllp "+l.Name] = l.TLS.Certificate
			}
		}
	}
	return out
}

// daysLeft is how long a certificate is still good; negative where it cannot be read.
func daysLeft(file string) float64 {
	c, err := identity.ReadCertificate(file)
	if err != nil {
		return -1
	}
	return time.Until(c.NotAfter).Hours() / 24
}

// watchCertificates complains, twice a day, of certificates that end soon.
func (s *system) watchCertificates(ctx context.Context) error {
	tick := time.NewTicker(12 * time.Hour)
	defer tick.Stop()
	for {
		for listener, file := range s.ownCertificates() {
			switch left := daysLeft(file); {
			case left < expiresNow:
				s.log.Error("a certificate ends", "code", "CPIS-W003", "listener", listener, "days_left", int(left))
			case left < expiresSoon:
				s.log.Warn("a certificate ends soon", "code", "CPIS-W003", "listener", listener, "days_left", int(left))
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}
