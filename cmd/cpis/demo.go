package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"cpis/connectors/adt"
	"cpis/connectors/identity"
	"cpis/connectors/mllp"
	"cpis/connectors/socialcare"
	"cpis/router"
	"cpis/router/topics"
	"cpis/schemas"
)

func (s *shell) demo() *cobra.Command {
	var seed uint64
	var length time.Duration
	var quiet bool
	c := &cobra.Command{
		Use: "demo", Args: usage(cobra.NoArgs),
		Short: "Run the whole broker with a story, in one process",
		Long: `Runs everything in one process: embedded Kafka, schema registry and Redis, the
broker, two invented local authorities with their plans, and seven care settings
that register invented people. One child is seen at four of them. With --data
the state is kept over restarts; without, nothing is.`,
		Example: "  cpis demo\n  cpis demo --for 5s --seed 7\n  cpis demo --data ./demo-data",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if _, ok := s.flags["data"]; !ok {
				s.flags["data"] = ""
			}
			config, err := s.load()
			if err != nil {
				return err
			}
			if !config.embeddedKafka() || config.Redis.URL != "" || config.Registry.URL != "" {
				return exit{exitUsage, errors.New("the demo runs its own Kafka, registry and Redis; use `cpis serve` for real ones")}
			}
			config.Feeds = demoFeeds()
			config.SignIn = identity.SignInConfig{Practice: true}
			if !cmd.Flags().Changed("verbose") {
				config.Log.Level = "error"
			}
			ctx := cmd.Context()
			if length > 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, length)
				defer cancel()
			}
			return s.tellStory(ctx, config, &story{rand: rand.New(rand.NewPCG(seed, 0)), quiet: quiet})
		},
	}
	c.Flags().Uint64Var(&seed, "seed", 1, "the same seed tells the same story")
	c.Flags().DurationVar(&length, "for", 0, "stop after this long; 0: until told to")
	c.Flags().BoolVar(&quiet, "quiet", false, "tell the story once and register nobody more")
	c.Flags().Bool("verbose", false, "log what the broker does")
	return c
}

// demoFeeds are seven senders, one for each care setting CP-IS began with, whose facility
// alone tells them apart, so that samples sent by hand arrive at one of them; and the
// practice feed for the rest.
func demoFeeds() []adt.Profile {
	var out []adt.Profile
	for i, setting := range schemas.Settings()[:7] {
		out = append(out, adt.Profile{Name: strings.ToLower(strings.ReplaceAll(string(setting), "_", "-")), Application: "*", Facility: fmt.Sprintf("RXX%02d", i+1),
			ODS: schemas.ODSCode(fmt.Sprintf("RXX%02d", i+1)), Setting: setting})
	}
	return append(out, practiceFeed())
}

// story is the demo's cast and its stream of registrations.
type story struct {
	rand  *rand.Rand
	quiet bool
	sent  int
}

// cast is who is on a plan, by authority, as rows of its file. All invented;
// the numbers are never issued. One plan has ended, and one is for a child who
// is not born yet.
func cast(now time.Time) map[string][]string {
	day := func(months int) string { return now.AddDate(0, months, 0).Format(time.DateOnly) }
	return map[string][]string{
		"E06A": {
			"A1,9990000018,Example,Ada,2019-08-07,F,CPP," + day(-8) + ",,,1,,",
			"A2,9990000042,Specimen,Leo,2018-05-16,M,LAC," + day(-17) + ",,,1,,",
			"A3,9990000077,Sampleton,Mia,1994-02-11,F,UNBORN," + day(-2) + ",," + day(2) + ",1,,",
		},
		"E06B": {
			"B1,9990000018,Example,Ada,2019-08-07,F,LAC," + day(-5) + ",,,1,,",
			"B2,9990000085,Trialby,Noah,2016-11-30,M,CPP," + day(-21) + "," + day(-10) + ",,1,,",
		},
	}
}

func (s *shell) tellStory(ctx context.Context, config *Config, st *story) (err error) {
	begin := time.Now()
	sys, err := wire(ctx, config, s.logger(config.Log))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, sys.Close()) }()
	run, stop := context.WithCancel(ctx)
	stopped := make(chan error, 1)
	go func() { stopped <- sys.Run(run) }()
	defer func() { stop(); err = errors.Join(err, <-stopped) }()
	if err := sys.awaitReady(ctx); err != nil {
		return ignoreEnd(ctx, err)
	}
	fmt.Fprintf(s.out, "CP-IS demo: invented people, practice only. Ready in %d ms.\n\n", time.Since(begin).Milliseconds())
	if err := st.share(ctx, sys); err != nil {
		return ignoreEnd(ctx, err)
	}
	conn, err := mllp.Dial(ctx, sys.doorAddr(), mllp.ClientConfig{})
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	if err := st.fourPlaces(ctx, conn); err != nil {
		return ignoreEnd(ctx, err)
	}
	outcomes, notices, err := sys.told(ctx, begin, st.sent)
	if err != nil {
		return ignoreEnd(ctx, err)
	}
	s.introduce(sys, st, outcomes, notices, time.Since(begin))
	return ignoreEnd(ctx, st.goOn(ctx, conn))
}

// ignoreEnd drops the error of a demo that was told to stop.
func ignoreEnd(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// awaitReady waits until everything this process depends on works.
func (s *system) awaitReady(ctx context.Context) error {
	for {
		var failed error
		for _, d := range s.dependencies() {
			if err := d.check(ctx); err != nil {
				failed = fmt.Errorf("%s: %w", d.name, err)
			}
		}
		if failed == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return failed
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func (st *story) share(ctx context.Context, sys *system) error {
	server := "http://" + sys.webAddr
	for _, code := range []schemas.AuthorityCode{"E06A", "E06B"} {
		contacts := fmt.Sprintf(`{"authority":%q,"name":%q,"office_phone":"01632 960001","office_hours":"Mon-Fri 09:00-17:00","emergency_phone":"01632 960999"}`,
			code, map[schemas.AuthorityCode]string{"E06A": "Aford Council", "E06B": "Beeshire County"}[code])
		client := socialcare.Client{Server: server, Authority: code}
		if err := client.Call(ctx, http.MethodPut, "contacts", nil, "application/json", strings.NewReader(contacts), &struct{}{}); err != nil {
			return err
		}
		file := socialcare.Template() + strings.Join(cast(time.Now())[string(code)], "\n") + "\n"
		result, err := client.Send(ctx, socialcare.Request{Format: socialcare.CSV, Body: strings.NewReader(file), By: "the story"})
		if err != nil {
			return err
		}
		if result.Refused > 0 {
			var table bytes.Buffer
			_ = result.Table(&table)
			return fmt.Errorf("the story's own plans were refused:\n%s", table.String())
		}
	}
	return nil
}

// fourPlaces registers Ada at four care settings and three others beside her.
func (st *story) fourPlaces(ctx context.Context, conn *mllp.Client) error {
	ada := []string{"9990000018", "Example", "Ada", "20190807", "F"}
	for _, setting := range []int{0, 2, 4, 6} {
		if err := st.register(ctx, conn, setting, ada, "NSTS01"); err != nil {
			return err
		}
	}
	if err := st.register(ctx, conn, 5, []string{"9990000077", "Sampleton", "Mia", "19940211", "F"}, "NSTS01"); err != nil {
		return err
	}
	if err := st.register(ctx, conn, 1, []string{"9990000085", "Trialby", "Noah", "20161130", "M"}, "NSTS01"); err != nil {
		return err
	}
	return st.register(ctx, conn, 3, []string{"", "Specimen", "Leo", "20180516", "M"}, "NSTS07")
}

// goOn registers invented people until ctx ends.
func (st *story) goOn(ctx context.Context, conn *mllp.Client) error {
	if st.quiet {
		<-ctx.Done()
		return nil
	}
	names := []string{"Archer", "Baker", "Cooper", "Draper", "Fisher", "Glover", "Mason", "Potter"}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(time.Duration(500+st.rand.IntN(1500)) * time.Millisecond):
		}
		who := []string{st.number(), names[st.rand.IntN(len(names))], "Sam", fmt.Sprintf("%d0%d1%d", 2009+st.rand.IntN(17), 1+st.rand.IntN(9), st.rand.IntN(10)), "U"}
		if err := st.register(ctx, conn, st.rand.IntN(7), who, []string{"NSTS01", "NSTS01", "NSTS01", "NSTS02"}[st.rand.IntN(4)]); err != nil {
			return err
		}
	}
}

func (st *story) number() string {
	for {
		text := fmt.Sprintf("999%07d", st.rand.IntN(10_000_000))
		if _, err := schemas.ParseNHSNumber(text); err == nil {
			return text
		}
	}
}

func (st *story) register(ctx context.Context, conn *mllp.Client, setting int, who []string, status string) error {
	st.sent++
	now := time.Now()
	text := fmt.Sprintf("MSH|^~\\&|DEMO|RXX%02d|CPIS|CPIS|%s||ADT^A04^ADT_A01|D%d-%d|T|2.4\rEVN|A04|%s\rPID|1||%s^^^NHS^NH||%s^%s||%s|%s%s%s\rPV1|1|E|%s%d^^^VISITID\r",
		setting+1, now.Format("20060102150405-0700"), now.UnixMilli(), st.sent, now.Format("20060102150405-0700"), who[0], who[1], who[2], who[3], who[4],
		strings.Repeat("|", 24), status, strings.Repeat("|", 16), now.UnixNano())
	answer, err := conn.Send(ctx, []byte(text))
	if err == nil && !bytes.Contains(answer, []byte("MSA|AA|")) {
		err = errors.New("a message of the story was refused")
	}
	return err
}

// told counts what this run has been answered, once everything has been.
func (s *system) told(ctx context.Context, since time.Time, want int) (map[schemas.State]int, int, error) {
	for {
		outcomes, notices, n := map[schemas.State]int{}, 0, 0
		err := router.ReadSince(ctx, s.client, schemas.TopicOutcome, since, func(r topics.Record) error {
			var o schemas.Outcome
			if err := s.codec.Decode(ctx, schemas.TopicOutcome, r.Value, &o); err != nil {
				return err
			}
			n++
			outcomes[o.State]++
			return nil
		})
		if err == nil {
			err = router.ReadSince(ctx, s.client, schemas.TopicNotice, since, func(topics.Record) error { notices++; return nil })
		}
		if err != nil || n >= want {
			return outcomes, notices, err
		}
		select {
		case <-ctx.Done():
			return nil, 0, ctx.Err()
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func (s *shell) introduce(sys *system, st *story, outcomes map[schemas.State]int, notices int, took time.Duration) {
	fmt.Fprintf(s.out, `What happened, %d ms after the start:
  1. Two authorities shared plans about four people; %d people registered at seven care settings.
  2. Ada Example is on a child protection plan and looked after: she was seen at four places, and each was told at once.
  3. %d answers INDICATOR, %d INDICATOR_ENDED, %d POSSIBLE (no NHS number: the desk is told to trace it).
  4. %d notices to the authorities: one for each visit, and that Ada was seen at so many places.

  health   http://%s/readyz      metrics  http://%s/metrics
  HL7      %s (MLLP)          Kafka    %s
  people   http://%s/signin      (practice: choose whom to be)

Open the last address and be C. Nurse: Ada is on the board; open her answer, and then who has looked. Be S. Social to see
what the authority sees, or O. Operator to see how it flows.

Try, in another terminal%s:
  cpis hl7 send sample:child-on-plan          the emergency department's board has her within a second
  cpis tail outcome --from beginning --until end
  cpis ledger
`, took.Milliseconds(), st.sent, outcomes[schemas.StateIndicator], outcomes[schemas.StateIndicatorEnded], outcomes[schemas.StatePossible], notices,
		sys.webAddr, sys.webAddr, sys.doorAddr(), strings.Join(sys.config.Kafka.Brokers, ","), sys.webAddr, toolHint(sys.config))
	if !st.quiet {
		fmt.Fprintln(s.out, "\nPeople go on registering. Stop with Ctrl-C.")
	}
}

// toolHint says how other commands find the demo's keys.
func toolHint(c *Config) string {
	if c.Data != "" {
		return " (with --data " + c.Data + ")"
	}
	return " (with CPIS_KEYS_DIR=" + c.keyDir() + ")"
}
