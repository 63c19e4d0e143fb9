package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"cpis/connectors/feed"
	"cpis/connectors/mllp"
	"cpis/router"
	"cpis/router/topics"
	"cpis/schemas"
)

func (s *shell) topics() *cobra.Command {
	root := &cobra.Command{Use: "topics", Short: "Compare the topics with the table, and bring them in line"}
	var asJSON bool
	for _, verb := range []string{"plan", "apply"} {
		c := &cobra.Command{
			Use: verb, Args: usage(cobra.NoArgs),
			Short: map[string]string{"plan": "Show what differs; change nothing", "apply": "Create and change what differs"}[verb],
			RunE: func(cmd *cobra.Command, _ []string) error {
				config, err := s.remote()
				if err != nil {
					return err
				}
				tc, err := config.cluster("cpis-tool")
				if err != nil {
					return err
				}
				tc.RequestTimeout = 5 * time.Second
				if config.Kafka.Brokers[0] == config.Kafka.Listen {
					tc.EventPartitions = 1 // the embedded Kafka
				}
				client, err := topics.Open(cmd.Context(), tc)
				if err != nil {
					return err
				}
				defer func() { _ = client.Close() }()
				do := client.Plan
				if verb == "apply" {
					do = client.Apply
				}
				changes, err := do(cmd.Context())
				if verb == "apply" && err == nil && len(changes) > 0 {
					s.noteApplied(cmd.Context(), len(changes))
				}
				if asJSON {
					err = errors.Join(err, s.json(changes))
				} else {
					s.changes(changes)
				}
				if errors.Is(err, topics.ErrManual) {
					return exit{exitRefused, err}
				}
				return err
			},
		}
		c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
		root.AddCommand(c)
	}
	root.AddCommand(s.acls())
	return root
}

func (s *shell) acls() *cobra.Command {
	var asJSON, apply bool
	c := &cobra.Command{
		Use: "acls", Args: usage(cobra.NoArgs),
		Short: "Show who may do what on the cluster, as Kafka's own commands, or set it",
		Long: `Each role of the broker is a user of its own on Kafka, cpis-ROLE, with a right to what
it reads and writes and to nothing else; so are operators, analysts and local
authorities that stream. A process with several roles wants the rights of each. The
cluster must deny what is not granted (allow.everyone.if.no.acl.found=false).`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			config, err := s.remote()
			if err != nil {
				return err
			}
			switch {
			case asJSON:
				return s.json(topics.Grants())
			case !apply:
				fmt.Fprint(s.out, topics.Commands(strings.Join(config.Kafka.Brokers, ",")))
				return nil
			}
			to, err := config.cluster("cpis-tool")
			if err != nil {
				return err
			}
			client, err := topics.Open(cmd.Context(), to)
			if err != nil {
				return err
			}
			defer func() { _ = client.Close() }()
			if err := client.ApplyGrants(cmd.Context()); err != nil {
				return err
			}
			s.noteApplied(cmd.Context(), len(topics.Grants()))
			fmt.Fprintf(s.out, "%d grants are set; what was granted beyond them stays.\n", len(topics.Grants()))
			return nil
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	c.Flags().BoolVar(&apply, "apply", false, "set them on the cluster, as a user who may")
	return c
}

// noteApplied puts on record that topics were set; of the very first time, before there
// is a schema registry, nothing can be.
func (s *shell) noteApplied(ctx context.Context, changes int) {
	t, done, err := s.connect(ctx)
	if err == nil {
		defer done()
		err = t.did(ctx, schemas.ActionTopicsApplied, "", int64(changes))
	}
	if err != nil {
		fmt.Fprintf(s.err, "This is not on record in the audit log: %v\n", err)
	}
}

func (s *shell) changes(changes []topics.Change) {
	if len(changes) == 0 {
		fmt.Fprintln(s.out, "The topics are as the table has them.")
		return
	}
	w := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "TOPIC\tWHAT\tHAVE\tWANT")
	for _, c := range changes {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", c.Topic, c.What, c.Have, c.Want)
	}
	_ = w.Flush()
}

func (s *shell) ledger() *cobra.Command {
	var asJSON bool
	var since time.Duration
	var acked string
	c := &cobra.Command{
		Use: "ledger", Args: usage(cobra.NoArgs),
		Short: "Prove that nothing was lost: received = acknowledged = decided = delivered",
		Long: `Makes up the account of every care setting and hour from the topics alone, and
names what is missing. Exit code 1 when it does not balance. With --acked it
also checks a sender's own list of the control ids that were acknowledged, one
a line ("cpis hl7 send --log FILE" writes one).`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			t, done, err := s.connect(cmd.Context())
			if err != nil {
				return err
			}
			defer done()
			ids, err := readLines(acked)
			if err != nil {
				return err
			}
			l := &router.Ledger{Client: t.client, Codec: t.codec, DeliverGroup: groupDelivery}
			lines, err := l.Read(cmd.Context(), time.Now().Add(-since), ids)
			if err != nil {
				return err
			}
			if asJSON {
				err = s.json(lines)
			} else {
				s.account(lines)
			}
			if err == nil && slices.ContainsFunc(lines, func(l router.Line) bool { return !l.Balanced() }) {
				err = &schemas.Refusal{Code: "CPIS-D001", Location: "ledger", Reason: fmt.Sprintf("%d messages are not accounted for", missing(lines))}
				return exit{exitFailed, err}
			}
			return err
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	c.Flags().DurationVar(&since, "since", 24*time.Hour, "how far back")
	c.Flags().StringVar(&acked, "acked", "", "file of control ids the sender says were acknowledged")
	return c
}

func missing(lines []router.Line) int {
	n := 0
	for _, l := range lines {
		n += len(l.Missing)
	}
	return n
}

func (s *shell) account(lines []router.Line) {
	w := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "HOUR\tFEED\tSETTING\tRECEIVED\tREFUSED\tACKNOWLEDGED\tNO CHECK\tDECIDED\tAUDITED\tDELIVERED\tSET ASIDE\tREPEATS\tMISSING\t")
	for _, l := range lines {
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t\n", l.Hour.Format("2006-01-02 15:00Z"), l.Feed, l.Setting,
			l.Received, l.Refused, l.Acknowledged, l.NoCheck, l.Decided, l.Audited, l.Delivered, l.SetAside, l.Repeats, len(l.Missing))
	}
	_ = w.Flush()
	for _, l := range lines {
		for _, m := range l.Missing {
			fmt.Fprintf(s.out, "missing  control id %q  %s  event %s\n", m.ControlID, m.What, m.EventID)
		}
	}
}

func readLines(file string) ([]string, error) {
	if file == "" {
		return nil, nil
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("read list: %w", err)
	}
	defer func() { _ = f.Close() }()
	var out []string
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if t := strings.TrimSpace(lines.Text()); t != "" {
			out = append(out, t)
		}
	}
	return out, lines.Err()
}

func (s *shell) dlq() *cobra.Command {
	root := &cobra.Command{Use: "dlq", Short: "Look at what could not be processed, and put it back or discard it"}
	var asJSON, all, dryRun bool
	var reason string
	list := &cobra.Command{Use: "ls", Short: "List dead letters", Args: usage(cobra.NoArgs), RunE: func(cmd *cobra.Command, _ []string) error {
		return s.letters(cmd.Context(), func(_ *tools, letters []router.Letter) error {
			if !all {
				letters = slices.DeleteFunc(letters, func(l router.Letter) bool { return l.Closed != "" })
			}
			if asJSON {
				return s.json(letters)
			}
			w := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
			fmt.Fprintln(w, "ID\tTIME\tCODE\tORIGIN\tBYTES\tSTATE\tWHAT IT MEANS")
			for _, l := range letters {
				e, _ := schemas.Explain(string(l.Code))
				fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%d\t%s\t%s\n", l.ID, l.Time.Format(time.RFC3339), l.Code, l.Origin, l.Bytes, orText(l.Closed, "open"), e.Title)
			}
			return w.Flush()
		})
	}}
	list.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	list.Flags().BoolVar(&all, "all", false, "closed ones too")
	show := &cobra.Command{Use: "show ID", Short: "Show one dead letter, persons masked", Args: usage(cobra.ExactArgs(1)), RunE: func(cmd *cobra.Command, args []string) error {
		return s.letter(cmd.Context(), args[0], func(t *tools, l router.Letter) error {
			e, _ := schemas.Explain(string(l.Code))
			fmt.Fprintf(s.out, "dead letter %d, %s\n  code     %s  %s\n  why      %s\n  fix      %s\n  origin   %s partition %d offset %d\n  bytes    %d\n  attempts %d\n  state    %s %s\n",
				l.ID, l.Time.Format(time.RFC3339), l.Code, e.Title, e.Why, e.Fix, l.Origin, l.Partition, l.Offset, l.Bytes, l.Attempts, orText(l.Closed, "open"), l.Reason)
			if l.Origin != router.QuarantineOrigin {
				return nil
			}
			q, _, err := t.dead.Quarantined(cmd.Context(), l)
			if err == nil {
				fmt.Fprintf(s.out, "  came by  %s, feed %s, control id %q, at %s\n", q.Origin, q.Feed, q.ControlID, q.Location)
			}
			return err
		})
	}}
	replay := &cobra.Command{Use: "replay ID", Short: "Put one back where it came from, byte for byte", Args: usage(cobra.ExactArgs(1)), RunE: func(cmd *cobra.Command, args []string) error {
		return s.letter(cmd.Context(), args[0], func(t *tools, l router.Letter) error { return s.replay(cmd.Context(), t, l, dryRun) })
	}}
	replay.Flags().BoolVar(&dryRun, "dry-run", false, "say what would happen; change nothing")
	discard := &cobra.Command{Use: "discard ID", Short: "Close one for good", Args: usage(cobra.ExactArgs(1)), RunE: func(cmd *cobra.Command, args []string) error {
		if strings.TrimSpace(reason) == "" {
			return exit{exitUsage, errors.New("say why with --reason")}
		}
		return s.letter(cmd.Context(), args[0], func(t *tools, l router.Letter) error {
			if err := t.did(cmd.Context(), schemas.ActionLetterDropped, strconv.FormatInt(l.ID, 10), 1); err != nil {
				return err
			}
			return t.dead.Close(cmd.Context(), l, "discarded", reason)
		})
	}}
	discard.Flags().StringVar(&reason, "reason", "", "why it is not needed; nobody's details")
	root.AddCommand(list, show, replay, discard)
	return root
}

func orText(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

func (s *shell) letters(ctx context.Context, f func(*tools, []router.Letter) error) error {
	t, done, err := s.connect(ctx)
	if err != nil {
		return err
	}
	defer done()
	letters, err := t.dead.List(ctx)
	if err != nil {
		return err
	}
	return f(t, letters)
}

func (s *shell) letter(ctx context.Context, id string, f func(*tools, router.Letter) error) error {
	n, err := strconv.ParseInt(id, 10, 64)
	if err != nil {
		return exit{exitUsage, fmt.Errorf("%q is no dead letter id; `cpis dlq ls` lists them", id)}
	}
	return s.letters(ctx, func(t *tools, letters []router.Letter) error {
		i := slices.IndexFunc(letters, func(l router.Letter) bool { return l.ID == n })
		if i < 0 {
			return exit{exitFailed, fmt.Errorf("no dead letter %d", n)}
		}
		return f(t, letters[i])
	})
}

// replay puts a record back on its topic. A quarantined message goes through
// the intake again instead, so that its sender's profile as it is now applies;
// whoever may replay it vouches for the sender.
func (s *shell) replay(ctx context.Context, t *tools, l router.Letter, dryRun bool) error {
	if l.Closed != "" {
		return t.dead.Close(ctx, l, "", "")
	}
	if l.Origin == router.QuarantineOrigin {
		q, raw, err := t.dead.Quarantined(ctx, l)
		if err != nil {
			return err
		}
		if q.Origin != router.OriginMLLP {
			return exit{exitRefused, fmt.Errorf("a refused row is not replayed: the authority corrects it and sends it again")}
		}
		if dryRun {
			trial, err := feed.Try(t.config.Feeds, mllp.Frame{Message: raw}, time.Now())
			if err != nil {
				return err
			}
			return s.printExplanations(trial.Explain())
		}
		if err := t.did(ctx, schemas.ActionLetterReplayed, strconv.FormatInt(l.ID, 10), 1); err != nil {
			return err
		}
		if err := t.takeAgain(ctx, raw); err != nil {
			return err
		}
		return t.dead.Close(ctx, l, "replayed", "")
	}
	r, err := l.Original()
	if err != nil {
		return exit{exitRefused, err}
	}
	if dryRun {
		fmt.Fprintf(s.out, "would append %d bytes to %s\n", len(r.Value), r.Topic)
		return nil
	}
	if err := t.did(ctx, schemas.ActionLetterReplayed, strconv.FormatInt(l.ID, 10), 1); err != nil {
		return err
	}
	if err := t.producer.Produce(ctx, r); err != nil {
		return err
	}
	return t.dead.Close(ctx, l, "replayed", "")
}

// takeAgain puts one quarantined message through the intake.
func (t *tools) takeAgain(ctx context.Context, raw []byte) error {
	in, stop, err := retaker(ctx, t.dead.Publisher, t.keys, t.client)
	if err != nil {
		return err
	}
	defer stop()
	refusal, err := feed.Replay(ctx, t.config.Feeds, again{in}, raw)
	switch {
	case err != nil:
		return err
	case refusal != nil:
		return exit{exitRefused, fmt.Errorf("the message is refused again: %w", refusal)}
	}
	return nil
}

// again is the broker for a message that is in quarantine already.
type again struct{ *router.Intake }

func (again) Quarantine(context.Context, string, string, schemas.Refusal, []byte) error { return nil }
