package main

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	yamlnode "go.yaml.in/yaml/v3"

	"cpis/connectors/adt"
	"cpis/connectors/feed"
	"cpis/schemas"
)

func (s *shell) feeds() *cobra.Command {
	root := &cobra.Command{Use: "feed", Short: "See and try the senders' profiles"}
	list := &cobra.Command{
		Use: "list", Short: "List the feeds", Args: usage(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			config, err := s.load()
			if err != nil {
				return err
			}
			w := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
			fmt.Fprintln(w, "NAME\tMSH-3\tMSH-4\tPROVES ITSELF BY\tODS\tSETTING\tNOTIFIES\tANSWERS GO TO")
			for i := range config.Feeds {
				p := &config.Feeds[i]
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", p.Name, p.Application, p.Facility, proof(p), p.ODS, p.Setting, yesNo(p.Setting.Unscheduled()), orText(p.Reply.Address, "the board"))
			}
			return w.Flush()
		},
	}
	show := &cobra.Command{
		Use: "show NAME", Short: "Show a feed's profile as it applies, and what each event means in it", Args: usage(cobra.ExactArgs(1)),
		RunE: func(_ *cobra.Command, args []string) error {
			p, _, err := s.feed(args[0])
			if err != nil {
				return err
			}
			enc := yamlnode.NewEncoder(s.out)
			enc.SetIndent(2)
			if err := errors.Join(enc.Encode(p), enc.Close()); err != nil {
				return err
			}
			return s.printMeanings(p)
		},
	}
	root.AddCommand(list, show, s.feedTest())
	return root
}

func (s *shell) feedTest() *cobra.Command {
	c := &cobra.Command{
		Use: "test NAME [FILE|-|sample:NAME]", Args: usage(cobra.RangeArgs(1, 2)),
		Short: "Try a feed: its profile on a message, and whether its receiver can be reached",
		Long: `Runs messages, by default a sample made out as this sender's, through the
intake as this feed, changing nothing, and shows the answers; then connects to
the receiver of its answers, sending nothing.`,
		RunE: func(_ *cobra.Command, args []string) error {
			p, config, err := s.feed(args[0])
			if err != nil {
				return err
			}
			name := "sample:child-on-plan"
			if len(args) == 2 {
				name = args[1]
			}
			messages, err := s.messages(name)
			if err != nil {
				return err
			}
			good := true
			for _, m := range messages {
				if strings.HasPrefix(name, "sample:") {
					m.Message = madeOut(m.Message, p)
				}
				trial, err := feed.Try(config.Feeds, m, time.Now())
				if err != nil {
					return err
				}
				for _, e := range trial.Explain() {
					good = s.printTest(e, p) && good
				}
			}
			if p.Reply.Address != "" {
				conn, err := net.DialTimeout("tcp", p.Reply.Address, 5*time.Second)
				if err != nil {
					return exit{exitUnreachable, fmt.Errorf("receiver of the answers: %w", err)}
				}
				_ = conn.Close()
				fmt.Fprintf(s.out, "receiver %s can be reached\n", p.Reply.Address)
			}
			if !good {
				return exit{exitRefused, errors.New("not every message would be taken by this feed")}
			}
			return nil
		},
	}
	return c
}

// printTest reports one message, and whether it would be taken by the feed.
func (s *shell) printTest(e feed.Explanation, p *adt.Profile) bool {
	switch {
	case e.Code != "":
		fmt.Fprintf(s.out, "refused, %s: %s\n  fix  %s\n", e.Code, e.Reason, e.Fix)
	case e.Feed != p.Name:
		fmt.Fprintf(s.out, "taken, but by feed %s: it stands before %s and matches too\n", e.Feed, p.Name)
	default:
		fmt.Fprintf(s.out, "taken: %s, %s; NHS number %s %s\n", e.Event, e.Class, e.Number, strings.Join(e.Marks, " "))
	}
	fmt.Fprintf(s.out, "answer\n  %s\n", strings.Join(e.Answer, "\n  "))
	return e.Code == "" && e.Feed == p.Name
}

func (s *shell) feed(name string) (*adt.Profile, *Config, error) {
	config, err := s.load()
	if err != nil {
		return nil, nil, err
	}
	i := slices.IndexFunc(config.Feeds, func(p adt.Profile) bool { return p.Name == name })
	if i < 0 {
		return nil, nil, exit{exitUsage, fmt.Errorf("no feed %q; `cpis feed list` lists them", name)}
	}
	return &config.Feeds[i], config, nil
}

// madeOut writes a sample as the feed's sender would: its names and its
// environment.
func madeOut(message []byte, p *adt.Profile) []byte {
	head, rest, _ := bytes.Cut(message, []byte("\r"))
	f := strings.Split(string(head), "|")
	if p.Application != "*" {
		f[2] = p.Application
	}
	if p.Facility != "*" {
		f[3] = p.Facility
	}
	if p.Environment != "" {
		f[10] = p.Environment
	}
	return append([]byte(strings.Join(f, "|")+"\r"), rest...)
}

func (s *shell) printMeanings(p *adt.Profile) error {
	w := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "\nEVENT\tMEANS\tLINK\tABOUT")
	meanings := p.Meanings()
	var events []string
	for event := range meanings {
		events = append(events, event)
	}
	slices.Sort(events)
	for _, event := range events {
		m := meanings[event]
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", event, m.Class, m.Link, m.About)
	}
	fmt.Fprintf(w, "others\t%s\t\tacknowledged, nothing asked\n", schemas.ClassNone)
	return w.Flush()
}

func proof(p *adt.Profile) string {
	switch {
	case p.Certificate != "":
		return "certificate " + p.Certificate
	case p.Listener != "":
		return "listener " + p.Listener
	}
	return "nothing"
}

func yesNo(yes bool) string {
	if yes {
		return "yes"
	}
	return "no"
}
