package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"cpis/matching/index"
	"cpis/router"
	"cpis/router/audit"
	"cpis/router/topics"
	"cpis/schemas"
)

func (s *shell) keys() *cobra.Command {
	root := &cobra.Command{Use: "keys", Short: "The keys that seal people and make pseudonyms: look at them, change them, destroy them",
		Long: `A key is changed in steps, with time between them: add, hand the folder to every
process, promote, wait until nothing needs the older key (keys list), retire. Running
processes see a change within seconds. Each step says with --dry-run what it would do,
and is on record in the audit log.`}
	root.AddCommand(s.keysInit(), s.keysList(), s.keysAdd(), s.keysPromote(), s.keysRetire(), s.keysDestroy())
	return root
}

// keySteps are what the steps share.
type keySteps struct {
	*shell
	dryRun bool
}

func (s *shell) keyStep(use, short string, args int, run func(k keySteps, ctx context.Context, t *tools, f schemas.KeyFolder, args []string) error) *cobra.Command {
	k := keySteps{shell: s}
	c := &cobra.Command{Use: use, Short: short, Args: usage(cobra.ExactArgs(args)), RunE: func(cmd *cobra.Command, args []string) error {
		t, done, err := s.connect(cmd.Context())
		if err != nil {
			return err
		}
		defer done()
		return keyError(run(k, cmd.Context(), t, schemas.KeyFolder{Dir: t.config.keyDir()}, args))
	}}
	c.Flags().BoolVar(&k.dryRun, "dry-run", false, "say what would happen; change nothing")
	return c
}

func keyError(err error) error {
	if errors.Is(err, schemas.ErrKeySet) {
		return exit{exitUsage, err}
	}
	return err
}

func (s *shell) keysInit() *cobra.Command {
	var name string
	c := &cobra.Command{
		Use: "init FOLDER [CODE...]", Short: "Make the key sets that are missing in a folder, and those of authorities: for a cluster, whose processes share it", Args: usage(cobra.MinimumNArgs(1)),
		Example: "  cpis keys init /etc/cpis/keys E09000019 E06A --log-name hub.example.org",
		RunE: func(_ *cobra.Command, args []string) error {
			sets := schemas.FixedKeySets()
			for _, code := range args[1:] {
				sets = append(sets, schemas.AuthorityKeys(schemas.AuthorityCode(code)))
			}
			made, err := schemas.KeyFolder{Dir: args[0]}.Make(sets...)
			fmt.Fprintf(s.out, "made %d: %s\n", len(made), strings.Join(made, ", "))
			if err != nil || name == "" {
				return keyError(err)
			}
			key, err := audit.OpenKey(args[0], name, true)
			if err == nil {
				fmt.Fprintf(s.out, "the audit log's public key, for whoever verifies or witnesses it: %s\n", key.Public)
			}
			return err
		},
	}
	c.Flags().StringVar(&name, "log-name", "", "make the key of the audit log too, under this host name, for the process with the role audit")
	return c
}

// keyUse is a key and how much needs it.
type keyUse struct {
	schemas.KeyInfo
	Needed int64  `json:"needed"` // records that only it opens or finds; -1: not known
	Why    string `json:"why"`
}

func (s *shell) keysList() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use: "list", Short: "List the keys, which of them seal, and how many records need each", Args: usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			t, done, err := s.connect(cmd.Context())
			if err != nil {
				return err
			}
			defer done()
			folder := schemas.KeyFolder{Dir: t.config.keyDir()}
			sets, err := folder.Sets()
			if err != nil {
				return err
			}
			needs, err := t.needs(cmd.Context())
			if err != nil {
				return err
			}
			var all []keyUse
			for _, set := range sets {
				keys, err := folder.Keys(set)
				if err != nil {
					return err
				}
				for _, k := range keys {
					n, why := needs.of(k)
					all = append(all, keyUse{k, n, why})
				}
			}
			if asJSON {
				return s.json(all)
			}
			w := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
			fmt.Fprintln(w, "SET\tKEY\tSEALS\tNEEDED BY\t")
			for _, k := range all {
				fmt.Fprintf(w, "%s\t%s\t%v\t%s\t\n", k.Set, k.ID, k.Primary, neededBy(k.Needed, k.Why))
			}
			return w.Flush()
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

func neededBy(n int64, why string) string {
	if n < 0 {
		return why
	}
	return fmt.Sprintf("%d %s", n, why)
}

func (s *shell) keysAdd() *cobra.Command {
	return s.keyStep("add SET", "Add a key; it seals nothing until it is promoted", 1, func(k keySteps, ctx context.Context, t *tools, f schemas.KeyFolder, args []string) error {
		if k.dryRun {
			_, err := f.Keys(args[0])
			if err == nil {
				fmt.Fprintf(k.out, "would add a key to %s\n", args[0])
			}
			return err
		}
		if err := t.did(ctx, schemas.ActionKeyAdded, args[0], 1); err != nil {
			return err
		}
		id, err := f.Add(args[0])
		if err == nil {
			fmt.Fprintf(k.out, "%s\n", id)
			fmt.Fprintf(k.err, "added to %s; hand the folder to every process, then: cpis keys promote %s %s\n", args[0], args[0], id)
		}
		return err
	})
}

func (s *shell) keysPromote() *cobra.Command {
	return s.keyStep("promote SET KEY", "Have a key seal from now on; every process must hold it", 2, func(k keySteps, ctx context.Context, t *tools, f schemas.KeyFolder, args []string) error {
		if k.dryRun {
			keys, err := f.Keys(args[0])
			if err != nil {
				return err
			}
			for _, key := range keys {
				if key.ID == args[1] {
					fmt.Fprintf(k.out, "%s %s would seal from now on; what others sealed still opens\n", args[0], args[1])
					return nil
				}
			}
			return fmt.Errorf("%w: %s has no key %s", schemas.ErrKeySet, args[0], args[1])
		}
		if err := t.did(ctx, schemas.ActionKeyPromoted, args[0]+" "+args[1], 1); err != nil {
			return err
		}
		return f.Promote(args[0], args[1])
	})
}

func (s *shell) keysRetire() *cobra.Command {
	var purge bool
	c := s.keyStep("retire SET KEY", "Take an older key out; refused while records need it", 2, func(k keySteps, ctx context.Context, t *tools, f schemas.KeyFolder, args []string) error {
		needs, err := t.needs(ctx)
		if err != nil {
			return err
		}
		keys, err := f.Keys(args[0])
		if err != nil {
			return err
		}
		var key schemas.KeyInfo
		for _, one := range keys {
			if one.ID == args[1] {
				key = one
			}
		}
		n, why := needs.of(key)
		switch {
		case key.ID == "":
			return fmt.Errorf("%w: %s has no key %s", schemas.ErrKeySet, args[0], args[1])
		case key.Primary:
			return fmt.Errorf("%w: %s seals with %s; promote another first", schemas.ErrKeySet, args[0], args[1])
		case n > 0 && !purge:
			return exit{exitRefused, &schemas.Refusal{Code: "CPIS-K008", Location: args[0] + " " + args[1], Reason: neededBy(n, why)}}
		case k.dryRun:
			fmt.Fprintf(k.out, "would take %s out of %s; needed by: %s\n", args[1], args[0], neededBy(n, why))
			return nil
		}
		if err := t.did(ctx, schemas.ActionKeyRetired, args[0]+" "+args[1], max(n, 1)); err != nil {
			return err
		}
		if args[0] == schemas.KeysIndex && t.config.Redis.URL != "" { // built anew, nothing needs it
			if err := s.withIndex(ctx, func(ctx context.Context, r *index.Reader) error { return s.rebuild(ctx, t, r) }); err != nil {
				return err
			}
		}
		return f.Retire(args[0], args[1])
	})
	c.Flags().BoolVar(&purge, "purge", false, "even if records need it: nobody can read them any more")
	return c
}

func (s *shell) keysDestroy() *cobra.Command {
	var confirm string
	c := s.keyStep("destroy la/CODE", "Destroy an authority's keys: its plans are taken out, and nobody can read any more what they sealed", 1, func(k keySteps, ctx context.Context, t *tools, f schemas.KeyFolder, args []string) error {
		code := schemas.AuthorityCode(strings.TrimPrefix(args[0], schemas.AuthorityKeys("")))
		if !strings.HasPrefix(args[0], schemas.AuthorityKeys("")) {
			return f.Destroy(args[0]) // says why not
		}
		if _, err := f.Keys(args[0]); err != nil {
			return err
		}
		gone, err := t.ownedBy(ctx, code)
		if err != nil {
			return err
		}
		if k.dryRun {
			fmt.Fprintf(k.out, "would take out %d records of %s (plans, contacts, files), and make unreadable its part of every outcome, notice, parcel and audit record, in backups too\n", len(gone), code)
			return nil
		}
		if confirm != string(code) {
			return exit{exitUsage, fmt.Errorf("this cannot be undone: say so with --confirm %s", code)}
		}
		if err := t.did(ctx, schemas.ActionKeysDestroyed, args[0], int64(max(len(gone), 1))); err != nil {
			return err
		}
		if err := t.producer.Produce(ctx, gone...); err != nil {
			return err
		}
		if err := f.Destroy(args[0]); err != nil {
			return err
		}
		fmt.Fprintf(k.out, "%d records of %s taken out, and its keys destroyed here; remove %s.json from the key folder of every process and from its backups\n", len(gone), code, args[0])
		return nil
	})
	c.Flags().StringVar(&confirm, "confirm", "", "the code once more")
	return c
}

// ownedBy are the records that take out what stands of an authority.
func (t *tools) ownedBy(ctx context.Context, code schemas.AuthorityCode) ([]topics.Record, error) {
	var out []topics.Record
	for _, topic := range []schemas.Topic{schemas.TopicIndicator, schemas.TopicUpload, schemas.TopicAuthority} {
		standing, err := t.standing(ctx, topic)
		if err != nil {
			return nil, err
		}
		for key := range standing {
			if owner, _, _ := strings.Cut(key, "/"); owner == string(code) {
				out = append(out, topics.Record{Topic: topic, Key: []byte(key), Time: time.Now()})
			}
		}
	}
	return out, nil
}

// standing reads a compacted topic: the newest value of each key.
func (t *tools) standing(ctx context.Context, topic schemas.Topic) (map[string][]byte, error) {
	out := map[string][]byte{}
	err := router.ReadSince(ctx, t.client, topic, time.Time{}, func(r topics.Record) error {
		if r.Value == nil {
			delete(out, string(r.Key))
		} else {
			out[string(r.Key)] = r.Value
		}
		return nil
	})
	return out, err
}
