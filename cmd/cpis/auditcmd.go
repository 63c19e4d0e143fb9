package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"cpis/router/audit"
	"cpis/schemas"
)

func (s *shell) audit() *cobra.Command {
	root := &cobra.Command{Use: "audit", Short: "The audit log: copy it, verify it, witness it"}
	root.AddCommand(s.auditKey(), s.auditKeygen(), s.auditCopy(), s.auditVerify(), s.auditWitness(), s.auditExport(), s.auditColumns())
	return root
}

func (s *shell) auditKey() *cobra.Command {
	return &cobra.Command{
		Use: "key", Short: "Print the log's public key, which whoever verifies a copy wants from you and not from the copy", Args: usage(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			c, err := s.load()
			if err != nil {
				return err
			}
			key, err := audit.OpenKey(c.keyDir(), c.Audit.Name, false)
			if err != nil {
				return err
			}
			fmt.Fprintln(s.out, key.Public)
			return nil
		},
	}
}

func (s *shell) auditKeygen() *cobra.Command {
	return &cobra.Command{
		Use: "keygen FILE NAME", Short: "Make a key pair for a log (keys.dir/audit.key) or a witness, and print the public key", Args: usage(cobra.ExactArgs(2)),
		Example: "  cpis audit keygen witness.key aford.example.org",
		RunE: func(_ *cobra.Command, args []string) error {
			if err := audit.GenerateKey(args[0], args[1]); err != nil {
				return err
			}
			public, err := audit.PublicKey(args[0])
			if err != nil {
				return err
			}
			fmt.Fprintln(s.out, public)
			return nil
		},
	}
}

func (s *shell) auditCopy() *cobra.Command {
	var from brokerFlags
	c := &cobra.Command{
		Use: "copy FOLDER", Short: "Copy the audit log up to its newest signed head, or continue a copy", Args: usage(cobra.ExactArgs(1)),
		Long: `Reads the audit topic and its heads, and adds what is new to the folder. Persons
in it stay sealed. Verify the copy with "cpis audit verify", on any machine.

Where the first entries have expired from the topic and the folder does not hold
them, --server lets their hashes be read from a running broker.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			return s.copyLog(cmd.Context(), args[0], from)
		},
	}
	from.add(c.Flags())
	c.Flags().Lookup("server").Usage = "address of the broker, for hashes of entries that have expired; default none"
	return c
}

func (s *shell) copyLog(ctx context.Context, folder string, from brokerFlags) error {
	t, done, err := s.connect(ctx)
	if err != nil {
		return err
	}
	defer done()
	key, err := audit.OpenKey(t.config.keyDir(), t.config.Audit.Name, false)
	if err != nil {
		return err
	}
	v, err := audit.NewVerifiers(key.Public, t.config.Audit.Witnesses)
	if err != nil {
		return exit{exitUsage, err}
	}
	dir, err := openFolder(folder)
	if err != nil {
		return err
	}
	defer func() { _ = dir.Close() }()
	to := audit.Copy{Dir: dir}
	if err := to.KeepPublic(key.Public); err != nil {
		return exit{exitRefused, err}
	}
	var front audit.Front
	if from.server != "" {
		server, client, err := s.broker(from)
		if err != nil {
			return err
		}
		front = audit.Remote{Server: server, HTTP: client}.Front
	}
	heads, err := audit.Heads(ctx, t.codec, t.client, v)
	if err != nil {
		return err
	}
	if len(heads) == 0 {
		return exit{exitFailed, errors.New("no head is signed yet: is a process with the role audit running?")}
	}
	if err := t.did(ctx, schemas.ActionAuditCopied, "", 1); err != nil {
		return err
	}
	for _, p := range slices.Sorted(maps.Keys(heads)) {
		h := heads[p].Signed
		if heads[p].Cosigned.Size == h.Size {
			h = heads[p].Cosigned
		}
		added, err := to.Take(ctx, t.client, h, front)
		if err != nil {
			return err
		}
		fmt.Fprintf(s.out, "log %d: %d entries, %d new\n", p, h.Size, added)
	}
	return nil
}

func (s *shell) auditVerify() *cobra.Command {
	var key string
	var witnesses, against []string
	var need int
	var first int64
	var asJSON bool
	c := &cobra.Command{
		Use: "verify FOLDER", Short: "Prove that a copy of the audit log is what was signed; asks no server", Args: usage(cobra.ExactArgs(1)),
		Long: `Recomputes the log from the entries of a copy and holds it against the signed heads.
It finds any entry that was changed, dropped, moved, repeated or cut off, and names
the first. Exit code 1 where it finds something.

Give the public key that the broker's operators published (--key): without it the one
in the folder is used, and then only a change to the copy is found, not a copy that
was made up as a whole. --against FILE holds the copy against a head that came another
way, such as a file of your own witness: that finds a history that was rewritten by
whoever holds the log's key.`,
		Example: "  cpis audit verify copy --key broker.example.org+a1b2c3d4+AZ… --witness aford.example.org+…  --against witness/0.checkpoint",
		RunE: func(_ *cobra.Command, args []string) error {
			return s.verifyLog(args[0], key, witnesses, against, need, first, asJSON)
		},
	}
	c.Flags().StringVar(&key, "key", "", "public key of the log")
	c.Flags().StringSliceVar(&witnesses, "witness", nil, "public key of a witness, once or more")
	c.Flags().IntVar(&need, "cosigned-by", -1, "how many of them must have signed each newest head (default: all given)")
	c.Flags().StringSliceVar(&against, "against", nil, "file with a head that came another way, once or more")
	c.Flags().Int64Var(&first, "first", 0, "the first entry that must be there, where earlier ones had expired")
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

func (s *shell) verifyLog(folder, key string, witnesses, against []string, need int, first int64, asJSON bool) error {
	dir, err := os.OpenRoot(folder)
	if err != nil {
		return fmt.Errorf("open copy: %w", err)
	}
	defer func() { _ = dir.Close() }()
	from := audit.Copy{Dir: dir}
	if key == "" {
		if key, err = from.Public(); err != nil {
			return err
		}
		fmt.Fprintln(s.err, "The public key is the one in the folder: whoever changed the copy may have changed it too. Give --key.")
	}
	v, err := audit.NewVerifiers(key, witnesses)
	if err != nil {
		return exit{exitUsage, err}
	}
	others := map[int][]string{}
	for _, file := range against {
		text, err := os.ReadFile(file)
		if err != nil {
			return fmt.Errorf("read head: %w", err)
		}
		p, err := v.Which(string(text))
		if err != nil {
			return exit{exitUsage, fmt.Errorf("%s: %w", file, err)}
		}
		others[p] = append(others[p], string(text))
	}
	if need < 0 {
		need = len(witnesses)
	}
	logs := from.Logs()
	if len(logs) == 0 {
		return exit{exitUsage, errors.New("the folder holds no copy of an audit log")}
	}
	var all []audit.Verified
	begin, entries, found := time.Now(), int64(0), 0
	for _, p := range logs {
		got, err := from.Verify(p, first, v, others[p]...)
		if err != nil {
			return err
		}
		if len(got.Cosigners) < need {
			got.Findings = append(got.Findings, audit.Finding{Log: p, Until: got.Size, What: fmt.Sprintf("its newest head is signed by %d of the witnesses, %d are asked for", len(got.Cosigners), need)})
		}
		all, entries, found = append(all, got), entries+got.Entries, found+len(got.Findings)
	}
	if asJSON {
		if err := s.json(all); err != nil {
			return err
		}
	} else {
		for _, got := range all {
			fmt.Fprintf(s.out, "log %d: %d entries from %d, signed up to %d, witnessed by %s\n", got.Log, got.Entries, got.First, got.Size, cmp.Or(strings.Join(got.Cosigners, ", "), "nobody"))
			for _, f := range got.Findings {
				fmt.Fprintf(s.out, "  FOUND  %s\n", f)
			}
		}
		fmt.Fprintf(s.out, "%d entries in %s, findings: %d\n", entries, time.Since(begin).Round(time.Millisecond), found)
	}
	if found > 0 {
		return exit{exitFailed, &schemas.Refusal{Code: "CPIS-A003", Location: "copy", Reason: fmt.Sprintf("findings: %d", found)}}
	}
	return nil
}

func (s *shell) auditWitness() *cobra.Command {
	var key, logKey string
	var every time.Duration
	var once bool
	var from brokerFlags
	c := &cobra.Command{
		Use: "witness FOLDER", Short: "Watch that a broker's audit log only grows, and sign its heads", Args: usage(cobra.ExactArgs(1)),
		Long: `Asks the broker for the heads of its audit log, proves that each continues the one
seen before, signs it and gives the signature to the broker, who knows this witness by
its public key (audit.witnesses). What was seen stands in the folder; keep it. Nothing
about any person is asked for or told.

Where the broker shows a history that does not continue the one seen before, both heads
are kept in the folder as evidence and the exit code is 1.`,
		Example: "  cpis audit keygen witness.key aford.example.org\n  cpis audit witness seen --server https://hub.example.org --key witness.key --log-key broker.example.org+a1b2c3d4+AZ…",
		RunE: func(cmd *cobra.Command, args []string) error {
			if key == "" {
				return exit{exitUsage, errors.New("sign with --key FILE (cpis audit keygen)")}
			}
			server, client, err := s.broker(from)
			if err != nil {
				return err
			}
			return s.witness(cmd.Context(), args[0], audit.Remote{Server: server, HTTP: client}, key, logKey, every, once)
		},
	}
	c.Flags().StringVar(&key, "key", "", "file with this witness's key pair (cpis audit keygen)")
	c.Flags().StringVar(&logKey, "log-key", "", "public key of the log, as its operators published it; without it the one the broker tells first is kept")
	c.Flags().DurationVar(&every, "every", time.Minute, "how often to look")
	c.Flags().BoolVar(&once, "once", false, "look once and end")
	from.add(c.Flags())
	return c
}

func (s *shell) witness(ctx context.Context, folder string, from audit.Remote, key, logKey string, every time.Duration, once bool) error {
	dir, err := openFolder(folder)
	if err != nil {
		return err
	}
	defer func() { _ = dir.Close() }()
	told, _, err := from.List(ctx)
	if err != nil {
		return exit{exitUnreachable, err}
	}
	kept := audit.Copy{Dir: dir}
	if logKey == "" {
		if logKey, err = kept.Public(); audit.Absent(err) {
			logKey, err = told, nil
			fmt.Fprintln(s.err, "The log's public key is taken from the broker itself, this once: compare it with the one its operators published.\n"+told)
		}
		if err != nil {
			return err
		}
	}
	logKey = strings.TrimSpace(logKey)
	if err := kept.KeepPublic(logKey); err != nil {
		return exit{exitRefused, err}
	}
	v, err := audit.NewVerifiers(logKey, nil)
	if err != nil {
		return exit{exitUsage, err}
	}
	w, err := audit.NewWitness(from, key, v, dir)
	if err != nil {
		return exit{exitUsage, err}
	}
	for {
		err := s.look(ctx, w)
		var fork *audit.ForkError
		if errors.As(err, &fork) {
			return exit{exitFailed, &schemas.Refusal{Code: "CPIS-A004", Location: fmt.Sprintf("log %d", fork.Log), Reason: fork.Error()}}
		}
		if once {
			return err
		}
		if err != nil {
			fmt.Fprintf(s.err, "cpis: %v\n", err)
		}
		select {
		case <-time.After(every):
		case <-ctx.Done():
			return nil
		}
	}
}

func (s *shell) look(ctx context.Context, w *audit.Witness) error {
	_, logs, err := w.List(ctx)
	if err != nil {
		return err
	}
	for _, l := range logs {
		h, err := w.Look(ctx, l.Log)
		if err != nil {
			return err
		}
		fmt.Fprintf(s.out, "%s  log %d: signed %d entries, root %s\n", time.Now().UTC().Format(time.RFC3339), l.Log, h.Size, h.Root)
	}
	return nil
}

// openFolder opens a folder, and makes it first where it is not there.
func openFolder(name string) (*os.Root, error) {
	if err := os.MkdirAll(name, 0o700); err != nil {
		return nil, fmt.Errorf("make folder: %w", err)
	}
	dir, err := os.OpenRoot(name)
	if err != nil {
		return nil, fmt.Errorf("open folder: %w", err)
	}
	return dir, nil
}
