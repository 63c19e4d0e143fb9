package main

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/spf13/cobra"

	"cpis/connectors/feed"
	"cpis/connectors/mllp"
	"cpis/deploy/embedded"
	"cpis/matching"
	"cpis/matching/index"
	"cpis/router"
	"cpis/router/topics"
	"cpis/schemas"
)

func (s *shell) matchExplain() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use: "explain [FILE|-|sample:NAME]", Args: usage(cobra.MaximumNArgs(1)),
		Short: "Show every step from a message to its answer, changing nothing",
		Long: `Takes a message from standard input, or a file, and answers it as the running
system would, from its topics: what was looked for, what was found, how far it
agrees, field by field, and what decided. Nobody is told, nothing is written, and
nobody is named. The index is read in Redis, where one is configured; the one of an
embedded system is built anew for the purpose, from its topics.`,
		Example: "  cpis match explain < message.hl7",
		RunE: func(cmd *cobra.Command, args []string) error {
			name := "-"
			if len(args) == 1 {
				name = args[0]
			}
			messages, err := s.messages(name)
			if err != nil {
				return err
			}
			t, done, err := s.connect(cmd.Context())
			if err != nil {
				return err
			}
			defer done()
			m, stop, err := s.bystander(cmd.Context(), t)
			if err != nil {
				return err
			}
			defer stop()
			return s.explainMatches(cmd.Context(), t, m, messages, asJSON)
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

// explainedMatch is one record of a message, and how it was answered.
type explainedMatch struct {
	Event  string          `json:"event"`
	Class  string          `json:"class"`
	State  schemas.State   `json:"state,omitempty"`
	Reason schemas.Reason  `json:"reason,omitempty"`
	Plans  int             `json:"plans"`
	Steps  []matching.Step `json:"steps"`
}

func (s *shell) explainMatches(ctx context.Context, t *tools, m *matching.Matcher, frames []mllp.Frame, asJSON bool) error {
	var all []explainedMatch
	for _, f := range frames {
		trial, err := feed.Try(t.config.Feeds, f, time.Now())
		if err != nil {
			return err
		}
		for _, message := range trial.Messages {
			all = append(all, explainMatch(ctx, m, message)...)
		}
	}
	if asJSON {
		return s.json(all)
	}
	for i, e := range all {
		if i > 0 {
			fmt.Fprintln(s.out)
		}
		fmt.Fprintf(s.out, "%s  %s\n", e.Event, e.Class)
		for _, step := range e.Steps {
			fmt.Fprintf(s.out, "  %-8s %-20s %s\n", step.What, step.Field, step.Says)
		}
	}
	return nil
}

func explainMatch(ctx context.Context, m *matching.Matcher, message feed.TrialMessage) []explainedMatch {
	if r := message.Refusal; r != nil {
		return []explainedMatch{{Steps: []matching.Step{{What: "message", Says: fmt.Sprintf("refused, %s at %s: %s", r.Code, r.Location, r.Reason)}}}}
	}
	var all []explainedMatch
	for _, r := range message.Records {
		e := explainedMatch{Event: r.Event, Class: string(r.Class)}
		if !r.Class.Checked() && !r.Promotable {
			e.Steps = []matching.Step{{What: "event", Says: "it asks nothing"}}
		} else {
			var d schemas.Decision
			d, e.Steps = m.Explain(ctx, r)
			e.State, e.Reason, e.Plans = d.State, d.Reason, len(d.Plans)
		}
		all = append(all, e)
	}
	return all
}

// bystander makes a matcher that answers from the topics of a running system
// and takes no part in it.
func (s *shell) bystander(ctx context.Context, t *tools) (*matching.Matcher, func(), error) {
	var stops []func()
	stop := func() {
		for i := len(stops) - 1; i >= 0; i-- {
			stops[i]()
		}
	}
	fail := func(err error) (*matching.Matcher, func(), error) { stop(); return nil, nil, err }
	side := &system{config: t.config, log: slog.New(slog.DiscardHandler), client: t.client, codec: t.codec, keys: t.keys}
	side.contacts, side.links = matching.NewDirectory(t.config.Matching.LateAfter), matching.NewLinks()
	redis := t.config.Redis.URL
	if redis == "" {
		e, err := embedded.Start(ctx, embedded.Config{NoKafka: true, NoRegistry: true})
		if err != nil {
			return fail(err)
		}
		stops = append(stops, func() { _ = e.Close() })
		redis = e.RedisURL
		w, err := index.OpenWriter(index.Config{URL: redis}, t.keys, opener{t.codec, t.keys}.describer().Describe, side.log)
		if err != nil {
			return fail(err)
		}
		following, end := context.WithCancel(ctx)
		ended := make(chan struct{})
		go func() { _ = w.Follow(following, indicatorSource{t.client}); _ = w.Close(); close(ended) }()
		stops = append(stops, func() { end(); <-ended })
	}
	reader, err := index.OpenReader(index.Config{URL: redis}, t.keys)
	if err != nil {
		return fail(err)
	}
	stops = append(stops, func() { _ = reader.Close() })
	waiting, end := context.WithTimeout(ctx, toolTime)
	err = whole(waiting, reader)
	end()
	if err != nil {
		return fail(exit{exitUnreachable, err})
	}
	err = router.ReadSince(ctx, t.client, schemas.TopicAuthority, time.Unix(0, 0), func(r topics.Record) error { side.contact(ctx, r); return nil })
	if err != nil {
		return fail(err)
	}
	err = router.ReadSince(ctx, t.client, schemas.TopicLink, time.Unix(0, 0), func(r topics.Record) error { side.link(ctx, r); return nil })
	if err != nil {
		return fail(err)
	}
	config, err := t.config.Matching.open()
	if err != nil {
		return fail(err)
	}
	m, err := matching.New(config, matching.Sources{Index: reader, Describer: opener{t.codec, t.keys}.describer(), Contacts: side.contacts, Links: side.links, Horizon: side.horizon, Now: time.Now})
	if err != nil {
		return fail(err)
	}
	return m, stop, nil
}
