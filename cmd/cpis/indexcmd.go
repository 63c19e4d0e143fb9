package main

import (
	"context"
	"errors"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"cpis/matching/index"
	"cpis/schemas"
)

func (s *shell) index() *cobra.Command {
	root := &cobra.Command{Use: "index", Short: "Look at the index of plans in Redis, or build it anew"}
	var asJSON bool
	status := &cobra.Command{
		Use: "status", Short: "Say whether the index is whole and how new it is", Args: usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return s.withIndex(cmd.Context(), func(ctx context.Context, r *index.Reader) error {
				m, err := r.Status(ctx)
				if err != nil {
					return exit{exitUnreachable, err}
				}
				if asJSON {
					return s.json(m)
				}
				s.printStatus(m)
				return nil
			})
		},
	}
	status.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	rebuild := &cobra.Command{
		Use: "rebuild", Short: "Throw the index away and build it from the topics; until it is whole, answers are CHECK_FAILED", Args: usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			t, done, err := s.connect(cmd.Context())
			if err != nil {
				return err
			}
			defer done()
			return s.withIndex(cmd.Context(), func(ctx context.Context, r *index.Reader) error { return s.rebuild(ctx, t, r) })
		},
	}
	root.AddCommand(status, rebuild, s.verify(), s.indexACLs())
	return root
}

func (s *shell) indexACLs() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use: "acls", Args: usage(cobra.NoArgs),
		Short: "Show who may do what on the Redis server, as its own commands",
		Long: `Prints ACL SETUSER for the roles that come to Redis, with PASSWORD where one belongs;
a process says who it is in redis.url, redis://cpis-matcher:…@host:6379/0. A process
with both roles is the matcher. Turn the user "default" off.`,
		RunE: func(*cobra.Command, []string) error {
			if asJSON {
				return s.json(index.Users())
			}
			for _, u := range index.Users() {
				fmt.Fprintf(s.out, "ACL SETUSER %s\n", u.Rule("PASSWORD"))
			}
			return nil
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

func (s *shell) verify() *cobra.Command {
	var asJSON, repair bool
	c := &cobra.Command{
		Use: "verify", Args: usage(cobra.NoArgs),
		Short: "Compare the index in Redis with the topic it is made from, record by record and by authority",
		Long: `Reads the whole index and the whole topic. For each authority it says how many
records both hold, a digest of either, and what is missing, too many or different.
Exit code 1 where they differ. With --repair the index is then built anew; until
it is whole, answers are CHECK_FAILED. A running matcher does the same from time
to time (matching.verify_every).`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			t, done, err := s.connect(cmd.Context())
			if err != nil {
				return err
			}
			defer done()
			return s.withIndex(cmd.Context(), func(ctx context.Context, r *index.Reader) error {
				v, err := r.Verify(ctx, indicatorSource{t.client}, opener{t.codec, t.keys}.describer().Describe)
				corrupt := errors.Is(err, index.ErrCorrupt)
				if err != nil && !corrupt {
					return exit{exitUnreachable, err}
				}
				if err := s.printVerification(v, asJSON); err != nil {
					return err
				}
				switch {
				case !corrupt && v.Agrees():
					return nil
				case repair:
					return s.rebuild(ctx, t, r)
				}
				return exit{exitFailed, errors.Join(err, errors.New("the index differs from its topic: --repair builds it anew"))}
			})
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	c.Flags().BoolVar(&repair, "repair", false, "build the index anew where it differs")
	return c
}

func (s *shell) printVerification(v index.Verification, asJSON bool) error {
	if asJSON {
		return s.json(v)
	}
	w := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "AUTHORITY\tTOPIC\tINDEX\tTOPIC DIGEST\tINDEX DIGEST\tMISSING\tEXTRA\tDIFFERING\tUNDESCRIBED\t")
	for _, a := range v.Authorities {
		fmt.Fprintf(w, "%s\t%d\t%d\t%s\t%s\t%d\t%d\t%d\t%d\t\n", a.Authority, a.Topic, a.Index, a.TopicDigest, a.IndexDigest, a.Missing, a.Extra, a.Differing, a.Undescribed)
	}
	return w.Flush()
}

func (s *shell) printStatus(m index.Marker) {
	state := "being built"
	if m.Complete {
		state = "whole"
	}
	fmt.Fprintf(s.out, "the index is %s: %d entries in %d buckets, build %s, position %d, proven %s ago\n",
		state, m.Entries, m.Buckets, m.Generation, m.Position, time.Since(m.AsOf).Round(time.Millisecond))
}

// rebuild waits for the new index and shows how far it is.
func (s *shell) rebuild(ctx context.Context, t *tools, r *index.Reader) error {
	if err := t.did(ctx, schemas.ActionIndexRebuilt, "", 1); err != nil {
		return err
	}
	before, _ := r.Status(ctx) // absent is fine: then there is nothing to throw away
	if err := r.Forget(ctx); err != nil {
		return exit{exitUnreachable, err}
	}
	ctx, cancel := context.WithTimeout(ctx, 10*toolTime)
	defer cancel()
	for {
		m, err := r.Status(ctx)
		if err == nil && m.Generation != before.Generation {
			if m.Complete {
				s.printStatus(m)
				return nil
			}
			fmt.Fprintf(s.err, "building: %d records taken in\n", m.Position)
		}
		select {
		case <-time.After(200 * time.Millisecond):
		case <-ctx.Done():
			return exit{exitUnreachable, fmt.Errorf("no process builds the index: is a matcher running?")}
		}
	}
}

func (s *shell) withIndex(ctx context.Context, f func(context.Context, *index.Reader) error) error {
	c, err := s.remote()
	if err != nil {
		return err
	}
	if c.Redis.URL == "" {
		return exit{exitUnreachable, fmt.Errorf("the embedded Redis is inside the process that runs it; its /readyz and /metrics tell of the index, and a restart rebuilds it")}
	}
	keys, err := schemas.OpenKeyring(c.keyDir(), false)
	if err != nil {
		return err
	}
	r, err := index.OpenReader(index.Config{URL: c.Redis.URL}, keys)
	if err != nil {
		return err
	}
	defer func() { _ = r.Close() }()
	return f(ctx, r)
}
