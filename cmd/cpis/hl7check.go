package main

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"cpis/connectors/feed"
)

func (s *shell) hl7Check() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use: "check PATH…", Args: usage(cobra.MinimumNArgs(1)),
		Short: "Tell whether a sender's feed is ready, from a day of its messages",
		Long: `Runs the messages of files, and of all files in folders, through the intake,
changing nothing, and reports what they show: events, NHS numbers and how far
they are traced, character sets, times and zones, copies, everything odd or
refused, and what to do about it. No person is named.`,
		Example: "  cpis hl7 check --config site.yaml monday.hl7",
		RunE: func(_ *cobra.Command, args []string) error {
			config, err := s.load()
			if err != nil {
				return err
			}
			report := feed.NewReport()
			for _, path := range args {
				if err := s.checkPath(report, config, path); err != nil {
					return err
				}
			}
			report.Close()
			if asJSON {
				err = s.json(report)
			} else {
				err = s.printCheck(report)
			}
			if err == nil && !report.Ready() {
				return exit{exitRefused, errors.New("the feed is not ready")}
			}
			return err
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

func (s *shell) checkPath(report *feed.Report, config *Config, path string) error {
	check := func(name string) error {
		messages, err := s.messages(name)
		if err != nil {
			return err
		}
		for _, m := range messages {
			if err := report.Add(config.Feeds, m, time.Now()); err != nil {
				return err
			}
		}
		return nil
	}
	if path == "-" || strings.HasPrefix(path, "sample:") {
		return check(path)
	}
	return filepath.WalkDir(path, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		return check(name)
	})
}

func (s *shell) printCheck(r *feed.Report) error {
	w := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "%d messages in %d frames: %d would be taken, %d refused, %d copies, %d control ids used again\n\n", r.Messages, r.Frames, r.Taken, r.Refused, r.Copies, r.ReusedIDs)
	for _, t := range []struct {
		name  string
		tally feed.Tally
	}{
		{"feed", r.Feeds}, {"sender", r.Senders}, {"event", r.Events}, {"NHS number", r.Numbers}, {"identifier", r.Identifiers}, {"status", r.Statuses},
		{"has a usable", r.Complete}, {"patient class", r.Classes}, {"time", r.Times}, {"character set", r.Charsets}, {"version", r.Versions},
		{"environment", r.Environments}, {"MSH-15, MSH-16", r.AnswerModes}, {"segment", r.Segments},
	} {
		for i, key := range t.tally.Top() {
			name := t.name
			if i > 0 {
				name = ""
			}
			fmt.Fprintf(w, "%s\t%s\t%d\n", name, key, t.tally[key])
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(s.out)
	for _, line := range r.Advice {
		fmt.Fprintf(s.out, "- %s\n", line)
	}
	if r.Ready() {
		fmt.Fprintln(s.out, "Ready: every message would be taken, and most persons can be checked.")
	}
	return nil
}
