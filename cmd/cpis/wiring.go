package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"cpis/connectors"
	"cpis/connectors/feed"
	"cpis/connectors/identity"
	"cpis/connectors/mllp"
	"cpis/connectors/socialcare"
	"cpis/deploy/embedded"
	"cpis/matching"
	"cpis/matching/index"
	"cpis/router"
	"cpis/router/audit"
	"cpis/router/topics"
	"cpis/schemas"
)

// Consumer groups. Processes that share a group share its partitions.
const (
	groupMatcher  = "cpis-matcher"
	groupIndex    = "cpis-index"
	groupDelivery = "cpis-delivery"
)

// stopTime bounds how long a process takes to stop.
const stopTime = 10 * time.Second

// system is one process's part of the broker, wired and running or stopping.
type system struct {
	config   *Config
	log      *slog.Logger
	embedded *embedded.System
	keys     *schemas.Keyring
	client   *topics.Client
	codec    *schemas.Codec
	publish  *router.Publisher
	dead     *router.DeadLetters
	intake   *router.Intake
	reader   *index.Reader
	contacts *matching.Directory
	links    *matching.Links
	rendered *matching.Renderings
	notices  *router.Notices
	recorder *router.Recorder
	plans    *shelf   // what authorities share; web role
	uploads  *uploads // their files; web role
	care     *socialcare.Service

	// What metrics and readiness read; nil where the role does not run here.
	producer *topics.Producer
	feeds    *feed.Feeds
	doors    []*mllp.Server
	webAddr  string
	mux      *identity.Mux
	decide   *router.Stage
	deliver  *router.Stage
	writer   *index.Writer
	steward  *steward
	tell     *router.Stage
	inform   *router.Stage
	updates  *router.Stage
	views    *router.Views
	fetched  *router.Fetched
	notary   *audit.Notary
	people   *identity.SignIn
	arrivals *router.Arrivals
	trail    *router.Trail
	informed *router.Informed
	letters  *router.LetterBook
	brought  *router.FeedWatch
	engine   *engine

	tasks                []task
	stops                []func() error
	known, linked, filed *gate // contacts, links and the record of files have been read
}

// task is something that runs until ctx ends.
type task struct {
	name string
	run  func(ctx context.Context) error
}

// wire builds the process, in the order the data flows:
//
//	mllp ─▶ feeds ─▶ intake ─▶ [registration] ─▶ decide ─▶ [audit] [notice] [outcome] ─▶ deliver ─▶ mllp
//	http ─▶ socialcare ─▶ [indicator] [authority] ─▶ index writer ─▶ Redis ─▶ matcher ─┘
//	[notice] ─▶ tell ─▶ webhook, drop folder; http ─▶ [delivery] ─▶ inform ─▶ mllp
//	[audit] ─▶ notary ─▶ [checkpoint] ─▶ http ─▶ witnesses
//
// It is one straight line on purpose. Whatever is opened registers its stop on
// the next line; Close runs the stops last in, first out.
func wire(ctx context.Context, c *Config, log *slog.Logger) (_ *system, err error) {
	s := &system{config: c, log: log, known: newGate(), linked: newGate(), filed: newGate()}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	if err := s.openEmbedded(ctx); err != nil {
		return nil, err
	}
	if s.keys, err = schemas.OpenKeyring(c.keyDir(), c.Keys.Create); err != nil {
		return nil, err
	}
	if err := s.openTopics(ctx); err != nil {
		return nil, err
	}
	if s.producer, err = s.client.NewProducer(ctx); err != nil {
		return nil, err
	}
	s.stop(func() error { return within(stopTime/2, s.producer.Close) })
	s.publish = &router.Publisher{Codec: s.codec, Log: s.producer, Now: time.Now}
	s.recorder = &router.Recorder{Publisher: s.publish, Keys: s.keys}
	s.dead = &router.DeadLetters{Publisher: s.publish, Keys: s.keys, Client: s.client}
	s.notices = &router.Notices{Publisher: s.publish, Keys: s.keys, Client: s.client}
	s.intake = &router.Intake{Publisher: s.publish, Keys: s.keys, Receipts: router.NewReceipts(time.Now)}

	s.contacts = matching.NewDirectory(c.Matching.LateAfter)
	if c.has(roleMatcher) || c.has(roleWeb) || c.has(roleDelivery) {
		s.add("contacts", s.followState(schemas.TopicAuthority, s.known, s.contact))
	}
	if c.has(roleMatcher) || c.has(roleWeb) {
		s.links = matching.NewLinks()
		s.add("links", s.followState(schemas.TopicLink, s.linked, s.link))
		if s.reader, err = index.OpenReader(index.Config{URL: c.Redis.URL}, s.keys); err != nil {
			return nil, err
		}
		s.stop(s.reader.Close)
	}
	if c.has(roleMatcher) {
		describer := opener{s.codec, s.keys}.describer()
		if s.writer, err = index.OpenWriter(index.Config{URL: c.Redis.URL}, s.keys, describer.Describe, log); err != nil {
			return nil, err
		}
		s.stop(s.writer.Close)
		s.add("index", s.followIndicators)
		s.add("index check", s.verifyIndex)
		s.rendered = matching.NewRenderings(renderedFor)
		s.add("renderings", s.followRenderings)
		weights, err := c.Matching.open()
		if err != nil {
			return nil, err
		}
		matcher, err := matching.New(weights, matching.Sources{Index: s.reader, Describer: describer, Contacts: s.contacts, Links: s.links, Rendered: s.rendered, Horizon: s.horizon, Now: time.Now})
		if err != nil {
			return nil, err
		}
		s.steward = &steward{s, matcher}
		decide := &router.Decide{Publisher: s.publish, Keys: s.keys, Decider: matcher, Linker: linker{matcher, s.links}, Client: s.client, Logger: log, Place: matcher.Place(), Pattern: c.Matching.Pattern.rule()}
		s.decide = &router.Stage{Topic: schemas.TopicRegistration, Group: groupMatcher, Open: decide.Open, AnswerBehind: true,
			Client: s.client, Dead: s.dead, Log: log, Now: time.Now}
		s.add("matcher", s.startDeciding)
	}
	if c.has(roleDelivery) {
		destinations, err := s.destinations()
		if err != nil {
			return nil, err
		}
		to := &router.Deliver{Codec: s.codec, Keys: s.keys, Destinations: destinations}
		s.deliver = &router.Stage{Topic: schemas.TopicOutcome, Group: groupDelivery, Open: to.Open, Workers: 32, MaxAge: 72 * time.Hour,
			Client: s.client, Dead: s.dead, Log: log, Now: time.Now}
		s.add("delivery", s.deliver.Run)
		if err := s.openTelling(destinations); err != nil {
			return nil, err
		}
	}
	if c.has(roleIntake) {
		s.feeds = feed.New(c.Feeds, doorkeeper{s}, log, time.Now)
		s.add("receipts", s.followReceipts)
		for _, l := range c.MLLP.listeners() {
			if err := s.openDoor(l); err != nil {
				return nil, err
			}
		}
	}
	if c.has(roleAudit) {
		if err := s.openNotary(ctx); err != nil {
			return nil, err
		}
	}
	if len(s.ownCertificates()) > 0 {
		s.add("certificates", s.watchCertificates)
	}
	if c.HTTP.Listen != "off" {
		if err := s.openWeb(); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// stages are the stages that run here, by name.
func (s *system) stages() map[string]*router.Stage {
	out := map[string]*router.Stage{}
	if s.decide != nil {
		out["decide"] = s.decide
	}
	if s.deliver != nil {
		out["deliver"], out["tell"], out["inform"] = s.deliver, s.tell, s.inform
	}
	if s.updates != nil {
		out["updates"] = s.updates
	}
	return out
}

func (s *system) stop(f func() error) { s.stops = append(s.stops, f) }
func (s *system) add(name string, run func(context.Context) error) {
	s.tasks = append(s.tasks, task{name, run})
}

// Run works until ctx ends or a part of the process fails for good.
func (s *system) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	errs := make([]error, len(s.tasks))
	var wait sync.WaitGroup
	for i, t := range s.tasks {
		wait.Go(func() {
			defer cancel()
			if err := t.run(ctx); err != nil && !errors.Is(err, context.Canceled) {
				errs[i] = fmt.Errorf("%s: %w", t.name, err)
			}
		})
	}
	wait.Wait()
	return errors.Join(errs...)
}

// Close stops everything, last opened first. It may be called once.
func (s *system) Close() error {
	var errs []error
	for i := len(s.stops) - 1; i >= 0; i-- {
		errs = append(errs, s.stops[i]())
	}
	return errors.Join(errs...)
}

func within(d time.Duration, stop func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	return stop(ctx)
}

// openEmbedded starts the services that are not configured elsewhere, and
// points the configuration at them.
func (s *system) openEmbedded(ctx context.Context) error {
	c := s.config
	if !c.embeddedKafka() && c.Registry.URL != "" && c.Redis.URL != "" {
		return nil
	}
	dir := ""
	if c.Data != "" {
		dir = filepath.Join(c.Data, "services")
	} else if c.Keys.Dir == "" {
		tmp, err := os.MkdirTemp("", "cpis-keys-")
		if err != nil {
			return fmt.Errorf("make key folder: %w", err)
		}
		s.stop(func() error { return os.RemoveAll(tmp) })
		c.Keys.Dir = tmp
	}
	ec := embedded.Config{Dir: dir, KafkaListen: c.Kafka.Listen, RegistryListen: c.Registry.Listen, Compatible: compatible, Log: s.log,
		NoKafka: !c.embeddedKafka(), NoRegistry: c.Registry.URL != "", NoRedis: c.Redis.URL != ""}
	e, err := embedded.Start(ctx, ec)
	if err != nil {
		return fmt.Errorf("start embedded services: %w", err)
	}
	s.embedded = e
	s.stop(e.Close)
	if e.KafkaAddr != "" {
		c.Kafka.Brokers = []string{e.KafkaAddr}
	}
	if e.RegistryURL != "" {
		c.Registry.URL = e.RegistryURL
	}
	if e.RedisURL != "" {
		c.Redis.URL = e.RedisURL
	}
	return nil
}

// compatible is the registry's gate: a new schema must read all older ones.
func compatible(older []string, newer string) error {
	for _, o := range older {
		if err := schemas.Compatible(o, newer); err != nil {
			return err
		}
	}
	return nil
}

// openTopics connects, creates what is missing and registers the schemas. It
// waits for a Kafka or a registry that is not there yet.
func (s *system) openTopics(ctx context.Context) error {
	config, err := s.config.cluster("cpis")
	if err != nil {
		return err
	}
	if s.embedded != nil && s.embedded.KafkaAddr != "" {
		config.EventPartitions = 1 // every partition of a request costs a sync of its own
	}
	err = router.Patiently(ctx, s.log, "Kafka", func() error {
		c, err := topics.Open(ctx, config)
		if err != nil {
			return err
		}
		if _, err := c.Apply(ctx); err != nil {
			return errors.Join(err, c.Close())
		}
		s.client = c
		return nil
	})
	if err != nil {
		return err
	}
	s.stop(s.client.Close)
	registry, err := schemas.NewRegistryClient(s.config.Registry.URL)
	if err != nil {
		return err
	}
	return router.Patiently(ctx, s.log, "schema registry", func() (err error) {
		s.codec, err = schemas.NewCodec(ctx, registry)
		return err
	})
}

// openDoor opens a listener for messages. It takes them once it is known what
// was taken before.
func (s *system) openDoor(l ListenerConfig) error {
	config := mllp.Config{Name: l.Name, Listen: l.Listen, Release: l.Release}
	if l.TLS.Set() {
		var err error
		if config.TLS, err = identity.ServerTLS(l.TLS, s.log); err != nil {
			return &schemas.Refusal{Code: "CPIS-C002", Location: "mllp.tls of listener " + l.Name, Reason: err.Error()}
		}
	}
	door, err := mllp.Listen(config, s.feeds.Handle, s.log)
	if err != nil {
		return err
	}
	s.doors = append(s.doors, door)
	s.stop(door.Close)
	s.add("mllp "+l.Name, func(ctx context.Context) error {
		select {
		case <-s.intake.Receipts.Ready():
			return door.Run(ctx)
		case <-ctx.Done():
			return nil
		}
	})
	return nil
}

func (s *system) destinations() (map[string]connectors.Destination, error) {
	to := map[string]connectors.Destination{}
	for _, p := range s.config.Feeds {
		if p.Reply.Address == "" {
			continue
		}
		r, err := feed.NewReply(p)
		if err != nil {
			return nil, &schemas.Refusal{Code: "CPIS-C002", Location: "reply of feed " + p.Name, Reason: err.Error()}
		}
		s.stop(r.Close)
		to[p.Name] = r
	}
	return to, nil
}

// doorkeeper is what a feed sees of the broker.
type doorkeeper struct{ *system }

func (d doorkeeper) Accept(ctx context.Context, records []schemas.Registration, payload []byte) (schemas.Receipt, error) {
	return d.intake.Accept(ctx, records, payload)
}

func (d doorkeeper) Quarantine(ctx context.Context, feed, control string, why schemas.Refusal, raw []byte) error {
	return d.dead.Quarantine(ctx, router.Refused{Origin: router.OriginMLLP, Feed: feed, ControlID: control, Refusal: why, Raw: raw})
}
