package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"cpis/connectors/feed"
)

func (s *shell) hl7Explain() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use: "explain FILE|-|sample:NAME", Args: usage(cobra.ExactArgs(1)),
		Short: "Show what the broker makes of a message, field by field, and the answer it would send",
		Long: `Runs each message of a file through the intake, changing nothing, and shows
every field that was sent: its name, its value (masked where it is about a
person), what it is used for, and what is odd or refused about it; then the
answer that would be sent.`,
		RunE: func(_ *cobra.Command, args []string) error {
			config, err := s.load()
			if err != nil {
				return err
			}
			messages, err := s.messages(args[0])
			if err != nil {
				return err
			}
			var all []feed.Explanation
			for _, m := range messages {
				trial, err := feed.Try(config.Feeds, m, time.Now())
				if err != nil {
					return err
				}
				all = append(all, trial.Explain()...)
			}
			if asJSON {
				err = s.json(all)
			} else {
				err = s.printExplanations(all)
			}
			if err == nil && slices.ContainsFunc(all, func(e feed.Explanation) bool { return e.Code != "" }) {
				return exit{exitRefused, errors.New("refused")}
			}
			return err
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

func (s *shell) printExplanations(all []feed.Explanation) error {
	for _, e := range all {
		if e.Code == "" {
			fmt.Fprintf(s.out, "taken by feed %s: %s, %s; NHS number %s\n", e.Feed, e.Event, e.Class, e.Number)
		} else {
			fmt.Fprintf(s.out, "refused, %s: %s\n  fix  %s\n", e.Code, e.Reason, e.Fix)
		}
		w := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
		fmt.Fprintln(w, "\nWHERE\tNAME\tVALUE\tVERDICT\tUSED FOR, OR WHAT IS ODD")
		for _, f := range e.Fields {
			about := f.Use
			if f.Code != "" {
				about = f.Code + ": " + f.Reason
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", f.At, f.Name, f.Value, f.Verdict, about)
		}
		if err := w.Flush(); err != nil {
			return err
		}
		fmt.Fprintf(s.out, "\nanswer\n  %s\n\n", strings.Join(e.Answer, "\n  "))
	}
	return nil
}
