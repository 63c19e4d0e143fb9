package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"cpis/connectors/adt"
	"cpis/connectors/feed"
	"cpis/connectors/hl7"
	"cpis/schemas"
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
			var all []explanation
			for _, m := range messages {
				trial, err := feed.Try(config.Feeds, m, time.Now())
				if err != nil {
					return err
				}
				all = append(all, explain(trial)...)
			}
			if asJSON {
				err = s.json(all)
			} else {
				err = s.printExplanations(all)
			}
			if err == nil && slices.ContainsFunc(all, func(e explanation) bool { return e.Code != "" }) {
				return exit{exitRefused, errors.New("refused")}
			}
			return err
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

// explanation is one message, explained.
type explanation struct {
	Feed   string             `json:"feed"`
	Event  string             `json:"event"`
	Class  schemas.EventClass `json:"class"`
	Number string             `json:"nhs_number"` // its standing
	Code   schemas.Code       `json:"code,omitempty"`
	Reason string             `json:"reason,omitempty"`
	Fix    string             `json:"fix,omitempty"`
	Marks  []string           `json:"marks"`
	Fields []adt.Finding      `json:"fields"`
	Answer []string           `json:"answer"` // its segments; in a batch, of the whole batch
}

func explain(t feed.Trial) []explanation {
	var all []explanation
	for _, m := range t.Messages {
		e := explanation{Feed: m.Feed, Marks: []string{}}
		var cause error
		if m.Refusal != nil {
			entry, _ := schemas.Explain(string(m.Refusal.Code))
			e.Code, e.Reason, e.Fix = m.Refusal.Code, m.Refusal.Reason, entry.Fix
			cause = &hl7.Error{Code: string(m.Refusal.Code), Location: m.Refusal.Location, Reason: m.Refusal.Reason}
		}
		if len(m.Records) > 0 {
			r := m.Records[0]
			e.Event, e.Class, e.Number, e.Marks = r.Event, r.Class, string(r.NumberStatus), append(e.Marks, r.Marks...)
		}
		msg, err := hl7.Parse(m.Raw)
		if err != nil {
			if msg, err = hl7.ParseHeader(m.Raw); err != nil {
				msg = &hl7.Message{}
			}
		}
		e.Fields = adt.Explain(msg, m.Records, cause)
		for _, a := range t.Answers {
			e.Answer = append(e.Answer, strings.Split(strings.TrimSpace(string(a)), "\r")...)
		}
		all = append(all, e)
	}
	return all
}

func (s *shell) printExplanations(all []explanation) error {
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
