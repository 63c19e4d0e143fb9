package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os/user"
	"strings"
	"time"

	"cpis/router"
	"cpis/router/topics"
	"cpis/schemas"
)

// toolTime bounds what a command asks of a running system.
const toolTime = 30 * time.Second

func (s *shell) json(v any) error {
	enc := json.NewEncoder(s.out)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// remote points the configuration of a command at a running system: the one
// configured, or the embedded one on its usual addresses.
func (s *shell) remote() (*Config, error) {
	c, err := s.load()
	if err != nil {
		return nil, err
	}
	if c.embeddedKafka() {
		c.Kafka.Brokers = []string{c.Kafka.Listen}
	}
	if c.Registry.URL == "" {
		c.Registry.URL = "http://" + c.Registry.Listen
	}
	return c, nil
}

// tools is what operators' commands work with: the topics of a running system.
type tools struct {
	config   *Config
	client   *topics.Client
	codec    *schemas.Codec
	keys     *schemas.Keyring
	producer *topics.Producer
	dead     *router.DeadLetters
}

// reach opens the topics of a running system, without the keys of those who run
// it. Nothing is created.
func (s *shell) reach(ctx context.Context) (*tools, func(), error) {
	c, err := s.remote()
	if err != nil {
		return nil, nil, err
	}
	to, err := c.cluster("cpis-tool")
	if err != nil {
		return nil, nil, err
	}
	to.RequestTimeout = 5 * time.Second
	client, err := topics.Open(ctx, to)
	if err != nil {
		return nil, nil, err
	}
	t := &tools{config: c, client: client}
	closing := func() {
		if t.producer != nil {
			_ = within(stopTime/2, t.producer.Close)
		}
		_ = client.Close()
	}
	unreachable := func(err error) (*tools, func(), error) { closing(); return nil, nil, exit{exitUnreachable, err} }
	limited, cancel := context.WithTimeout(ctx, toolTime)
	defer cancel()
	if err := client.Ping(limited); err != nil {
		return unreachable(fmt.Errorf("no Kafka at %s: is `cpis serve` running? %w", strings.Join(c.Kafka.Brokers, ","), err))
	}
	registry, err := schemas.NewRegistryClient(c.Registry.URL)
	if err != nil {
		return unreachable(err)
	}
	if t.codec, err = schemas.NewCodec(limited, registry); err != nil {
		return unreachable(err)
	}
	if t.producer, err = client.NewProducer(ctx); err != nil {
		return unreachable(err)
	}
	return t, closing, nil
}

// did puts on record what an operator is about to do, and nothing is done that cannot
// be: about is what it is done to. Who it is is the account on this machine.
func (t *tools) did(ctx context.Context, action schemas.Action, about string, count int64) error {
	who := schemas.Access{WorkerID: "unknown", WorkerRole: router.Operations}
	if u, err := user.Current(); err == nil {
		who.WorkerID = u.Username
	}
	kind := schemas.AuditOperation
	if action == schemas.ActionAuditCopied || action == schemas.ActionAuditExported {
		kind = schemas.AuditExport
	}
	r := &router.Recorder{Publisher: t.dead.Publisher, Keys: t.keys}
	return r.Note(ctx, router.Deed{Kind: kind, Action: action, Organisation: router.Operations, By: who, Count: count, About: about})
}

// connect opens the topics of a running system, with the keys. Nothing is created.
func (s *shell) connect(ctx context.Context) (*tools, func(), error) {
	t, closing, err := s.reach(ctx)
	if err != nil {
		return nil, nil, err
	}
	if t.keys, err = schemas.OpenKeyring(t.config.keyDir(), false); err != nil {
		closing()
		return nil, nil, err
	}
	t.dead = &router.DeadLetters{Publisher: &router.Publisher{Codec: t.codec, Log: t.producer, Now: time.Now}, Keys: t.keys, Client: t.client}
	return t, closing, nil
}
