package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"cpis/connectors/socialcare"
	"cpis/schemas"
)

func (l *laShell) uploads() *cobra.Command {
	return &cobra.Command{
		Use: "uploads", Short: "List the authority's files and what became of them", Args: usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			var list []socialcare.Listed
			if err := l.ask(cmd, http.MethodGet, "uploads", nil, &list); err != nil {
				return err
			}
			if l.asJSON {
				return l.json(list)
			}
			t := tabwriter.NewWriter(l.out, 0, 0, 2, ' ', 0)
			fmt.Fprintln(t, "UPLOAD\tSTATE\tAT\tNUMBER\tCODE\tRECORDS\tREFUSED FOR")
			for _, u := range list {
				fmt.Fprintf(t, "%s\t%s\t%s\t%d\t%s\t%s\t%s\n", u.UploadID, u.State, moment(&u.At), u.Sequence, u.FileCode, counts(u.Counts), counts(u.Details))
			}
			return t.Flush()
		},
	}
}

func counts(list []schemas.Count) string {
	var out []string
	for _, c := range list {
		out = append(out, fmt.Sprintf("%d %s", c.Count, c.Name))
	}
	return strings.Join(out, ", ")
}

// decide is a command that acts on an upload.
func (l *laShell) decide(use, short, what string, show func(text json.RawMessage) error) *cobra.Command {
	return &cobra.Command{
		Use: use + " UPLOAD", Short: short, Args: usage(cobra.ExactArgs(1)), Example: "  cpis la " + use + " 9c1e… --authority E09000019 --by \"B. Second\"",
		RunE: func(cmd *cobra.Command, args []string) error {
			var text json.RawMessage
			if err := l.ask(cmd, http.MethodPost, "uploads/"+url.PathEscape(args[0])+"/"+what, l.whoActs(), &text); err != nil {
				return err
			}
			return show(text)
		},
	}
}

func (l *laShell) whoActs() url.Values {
	if l.by == "" {
		return nil
	}
	return url.Values{"by": {l.by}}
}

func (l *laShell) approve() *cobra.Command {
	return l.decide("approve", "Take a file that waits, as a second person", "approve", l.printVerdicts)
}

func (l *laShell) printVerdicts(text json.RawMessage) error {
	var r socialcare.Result
	if err := json.Unmarshal(text, &r); err != nil {
		return fmt.Errorf("read answer: %w", err)
	}
	return l.verdicts(r)
}

func (l *laShell) cancel() *cobra.Command {
	return l.decide("cancel", "Drop a file that waits", "cancel", l.print)
}

func (l *laShell) undo() *cobra.Command {
	return l.decide("undo", "Put back what stood before a file", "undo", l.print)
}

// print prints an answer as it came.
func (l *laShell) print(text json.RawMessage) error {
	var v any
	if err := json.Unmarshal(text, &v); err != nil {
		return fmt.Errorf("read answer: %w", err)
	}
	return l.json(v)
}

func (l *laShell) snapshot() *cobra.Command {
	root := &cobra.Command{Use: "snapshot", Short: "A full snapshot in several files: begin, upload with --snapshot, commit"}
	begin := &cobra.Command{
		Use: "begin", Short: "Begin a full snapshot and print its id", Args: usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			var u socialcare.Listed
			if err := l.ask(cmd, http.MethodPost, "snapshots", l.whoActs(), &u); err != nil {
				return err
			}
			fmt.Fprintln(l.out, u.UploadID)
			return nil
		},
	}
	var check bool
	commit := &cobra.Command{
		Use: "commit SNAPSHOT", Short: "Commit a full snapshot: plans that none of its files holds end today", Args: usage(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			q := url.Values{}
			if check {
				q.Set("check", "true")
			}
			var text json.RawMessage
			if err := l.ask(cmd, http.MethodPost, "snapshots/"+url.PathEscape(args[0])+"/commit", q, &text); err != nil {
				return err
			}
			return l.printVerdicts(text)
		},
	}
	commit.Flags().BoolVar(&check, "check", false, "say what it would do, and change nothing")
	root.AddCommand(begin, commit)
	return root
}
