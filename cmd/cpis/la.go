package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"cpis/connectors/socialcare"
	"cpis/schemas"
)

// laShell is what the commands of an authority share.
type laShell struct {
	*shell
	brokerFlags
	authority, by string
	asJSON        bool
}

func (s *shell) la() *cobra.Command {
	l := &laShell{shell: s}
	root := &cobra.Command{Use: "la", Short: "A local authority's plans, contacts and notices"}
	root.PersistentFlags().StringVar(&l.authority, "authority", "", "code of the local authority")
	root.PersistentFlags().StringVar(&l.by, "by", "", "who you are: a second person has to have another name")
	l.add(root.PersistentFlags())
	root.PersistentFlags().BoolVar(&l.asJSON, "json", false, "print JSON")
	root.AddCommand(l.upload(), l.check(), l.template(), l.contacts(), l.health(), l.uploads(), l.approve(), l.cancel(), l.undo(), l.snapshot(), l.notices(), l.answer(), l.keygen(), l.stream())
	return root
}

// client is the broker's door for the authority.
func (l *laShell) client() (socialcare.Client, error) {
	c := socialcare.Client{Authority: schemas.AuthorityCode(l.authority)}
	if !c.Authority.Valid() {
		return c, exit{exitUsage, errors.New("say whose records these are with --authority CODE (3 to 9 letters and digits)")}
	}
	var err error
	c.Server, c.HTTP, err = l.broker(l.brokerFlags)
	return c, err
}

// ask calls an operation of the authority's door that takes no file.
func (l *laShell) ask(cmd *cobra.Command, method, what string, query url.Values, into any) error {
	client, err := l.client()
	if err != nil {
		return err
	}
	return client.Call(cmd.Context(), method, what, query, "", nil, into)
}

// formatOf is the format of a file, by its name and otherwise by its content.
func formatOf(name string, text []byte) string {
	switch strings.ToLower(filepath.Ext(name)) {
	case ".jsonl", ".ndjson", ".json":
		return socialcare.JSONL
	case ".csv", ".tsv", ".txt":
		return socialcare.CSV
	}
	return socialcare.FormatOf(text)
}

func (l *laShell) upload() *cobra.Command {
	var r socialcare.Request
	var contacts bool
	var back string
	c := &cobra.Command{
		Use: "upload FILE", Args: usage(cobra.ExactArgs(1)),
		Short:   "Send a CSV or JSON Lines file of plans, or the authority's contacts, and print a verdict per record",
		Example: "  cpis la upload contacts.json --contacts --authority E09000019\n  cpis la upload plans.csv --authority E09000019 --sequence 42 --back answer.csv",
		RunE: func(cmd *cobra.Command, args []string) error {
			client, err := l.client()
			if err != nil {
				return err
			}
			text, err := os.ReadFile(args[0])
			if err != nil {
				return fmt.Errorf("read file: %w", err)
			}
			if contacts {
				return l.putContacts(cmd.Context(), client, text)
			}
			r.Format, r.Body, r.By = formatOf(args[0], text), bytes.NewReader(text), l.by
			result, err := client.Send(cmd.Context(), r)
			if err != nil {
				return err
			}
			return l.judged(back, r.Format, text, result)
		},
	}
	c.Flags().BoolVar(&contacts, "contacts", false, "the file holds the authority's contacts")
	c.Flags().Int64Var(&r.Sequence, "sequence", 0, "number of the file; each has the next")
	c.Flags().BoolVar(&r.Full, "full", false, "the file holds all plans there are: those that it does not hold end today")
	c.Flags().StringVar(&r.Snapshot, "snapshot", "", "id of the full snapshot that the file is part of")
	c.Flags().StringVar(&back, "back", "", "write the file's rows with code and what_to_do here")
	return c
}

// judged prints a result, and writes the file's rows back where that is asked for.
func (l *laShell) judged(back, format string, text []byte, result socialcare.Result) error {
	if back != "" {
		var out bytes.Buffer
		if err := socialcare.Annotate(&out, format, text, result.Verdicts); err != nil {
			return fmt.Errorf("write answer: %w", err)
		}
		if err := os.WriteFile(back, out.Bytes(), 0o600); err != nil {
			return fmt.Errorf("write answer: %w", err)
		}
	}
	return l.verdicts(result)
}

// verdicts prints a result; refused records are exit 3, and so is a file that waits.
func (l *laShell) verdicts(result socialcare.Result) error {
	var err error
	if l.asJSON {
		err = l.json(result)
	} else {
		err = result.Table(l.out)
	}
	switch {
	case err != nil:
		return err
	case result.State == schemas.UploadWaiting && result.Check:
		return exit{exitRefused, errors.New("the file would wait for a second person")}
	case result.State == schemas.UploadWaiting:
		return exit{exitRefused, fmt.Errorf("the file waits for a second person: cpis la approve %s --authority %s --by NAME", result.UploadID, l.authority)}
	case result.Refused > 0:
		return exit{exitRefused, fmt.Errorf("%d of %d records were refused", result.Refused, result.Received)}
	}
	return nil
}

func (l *laShell) check() *cobra.Command {
	var r socialcare.Request
	var offline bool
	var back string
	c := &cobra.Command{
		Use: "check FILE", Args: usage(cobra.ExactArgs(1)),
		Short: "Say exactly what an upload would do, and change nothing",
		Long: `Says what an upload of the file would do: which records are new, changed, ended,
unchanged, and which would be refused. Nothing is written. The broker is asked
what it holds; with --offline only the rules are applied, here, and the file
goes nowhere.`,
		Example: "  cpis la check plans.csv --authority E09000019\n  cpis la check plans.csv --authority E09000019 --offline --back marked.csv",
		RunE: func(cmd *cobra.Command, args []string) error {
			text, err := os.ReadFile(args[0])
			if err != nil {
				return fmt.Errorf("read file: %w", err)
			}
			r.Format, r.Body, r.Check, r.By = formatOf(args[0], text), bytes.NewReader(text), true, l.by
			var result socialcare.Result
			if offline {
				r.Authority = schemas.AuthorityCode(l.authority)
				result, err = socialcare.Examine(r, time.Now())
			} else {
				client, cerr := l.client()
				if cerr != nil {
					return cerr
				}
				result, err = client.Send(cmd.Context(), r)
			}
			if err != nil {
				return err
			}
			return l.judged(back, r.Format, text, result)
		},
	}
	c.Flags().BoolVar(&offline, "offline", false, "apply the rules here, and ask nobody")
	c.Flags().BoolVar(&r.Full, "full", false, "as for upload")
	c.Flags().StringVar(&back, "back", "", "write the file's rows with code and what_to_do here")
	return c
}

func (l *laShell) template() *cobra.Command {
	var notes bool
	c := &cobra.Command{
		Use: "template", Short: "Print the header of a file, or notes on its columns", Args: usage(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			text := socialcare.Template()
			if notes {
				text = socialcare.ColumnNotes()
			}
			_, err := io.WriteString(l.out, text)
			return err
		},
	}
	c.Flags().BoolVar(&notes, "notes", false, "explain the columns, in Markdown")
	return c
}

func (l *laShell) putContacts(ctx context.Context, client socialcare.Client, text []byte) error {
	var held socialcare.Reached
	if err := client.Call(ctx, http.MethodPut, "contacts", nil, "application/json", bytes.NewReader(text), &held); err != nil {
		return err
	}
	return l.reached(held)
}

func (l *laShell) contacts() *cobra.Command {
	var confirm bool
	c := &cobra.Command{
		Use: "contacts", Short: "Show how to reach the authority, and the number to ring now", Args: usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			method, what := http.MethodGet, "contacts"
			if confirm {
				method, what = http.MethodPost, "contacts/confirm"
			}
			var held socialcare.Reached
			if err := l.ask(cmd, method, what, nil, &held); err != nil {
				return err
			}
			return l.reached(held)
		},
	}
	c.Flags().BoolVar(&confirm, "confirm", false, "say that the numbers are right: ring them first")
	return c
}

func (l *laShell) reached(c socialcare.Reached) error {
	if l.asJSON {
		return l.json(c)
	}
	which := "emergency duty team"
	if c.RingOffice {
		which = "office"
	}
	until := ""
	if c.RingUntil != nil {
		until = ", until " + c.RingUntil.Format("Mon 2 January 15:04")
	}
	fmt.Fprintf(l.out, "%s %s, version %d\nring now   %s (%s%s)\noffice     %s, %s\nemergency  %s\n", c.Authority, c.Name, c.Version, c.RingNow, which, until, orText(c.OfficePhone, "none"), orText(c.OfficeHours, "no hours"), c.EmergencyPhone)
	if c.Unconfirmed {
		fmt.Fprintln(l.out, "It is long since these were confirmed: ring them, then cpis la contacts --confirm.")
	}
	return nil
}

func (l *laShell) health() *cobra.Command {
	return &cobra.Command{
		Use: "health", Short: "Show how the authority's feed is, and what wants doing", Args: usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			var h socialcare.Health
			if err := l.ask(cmd, http.MethodGet, "health", nil, &h); err != nil {
				return err
			}
			if l.asJSON {
				return l.json(h)
			}
			rate := "nothing came yet"
			if h.MatchRate != nil {
				rate = fmt.Sprintf("%.1f %% of %d records, the line is %d %%", *h.MatchRate, h.Received, h.MatchLine)
			}
			t := tabwriter.NewWriter(l.out, 0, 0, 2, ' ', 0)
			for _, row := range [][2]string{{"match rate", rate}, {"last good load", moment(h.LastGoodLoad)}, {"next due", moment(h.NextDue)}, {"refused records", fmt.Sprint(h.Refused)},
				{"files that wait", fmt.Sprint(h.Waiting)}, {"superseded numbers", fmt.Sprint(h.SupersededNumbers)}, {"contacts", fmt.Sprintf("version %d, confirmed on %s", h.ContactsVersion, orText(string(h.ConfirmedOn), "no day"))}} {
				fmt.Fprintf(t, "%s\t%s\n", row[0], row[1])
			}
			if err := t.Flush(); err != nil {
				return err
			}
			for _, todo := range h.ToDo {
				fmt.Fprintln(l.out, "-", todo)
			}
			return nil
		},
	}
}

func moment(t *time.Time) string {
	if t == nil {
		return "never"
	}
	return t.UTC().Format("2006-01-02 15:04 UTC")
}
