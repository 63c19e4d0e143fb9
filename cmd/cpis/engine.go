package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"cpis/connectors/console"
	"cpis/connectors/feed"
	"cpis/connectors/identity"
	"cpis/router"
	"cpis/router/topics"
	"cpis/schemas"
)

// sampleEvery is how often the flow is measured for the operators' page, which so costs
// no more than it shows.
const sampleEvery = 5 * time.Second

// engine measures how everything flows, and does what operators want done.
type engine struct {
	*system

	mu      sync.Mutex
	flow    console.Flow             // guarded by mu
	samples map[schemas.Topic][]ends // the last minutes; guarded by mu
	sent    map[int]int64            // committed offsets of the delivery group by partition; guarded by mu
	account console.Ledger           // guarded by mu

	wanted    chan struct{} // an account is to be made up; it has room for one
	replaying sync.Mutex    // held while letters are put back
}

// ends is how many records had ever been written to a topic at a moment.
type ends struct {
	at  time.Time
	sum int64
}

func newEngine(s *system) *engine {
	e := &engine{system: s, samples: map[schemas.Topic][]ends{}, wanted: make(chan struct{}, 1)}
	s.engine = e
	s.add("flow", e.run)
	return e
}

// console is the engine as pages see it.
func (e *engine) console() console.Engine {
	return console.Engine{Flow: e.lastFlow, Feeds: e.connections, Letters: e.groups, Group: e.group, Try: e.try, Replay: e.replay, Discard: e.discard, Trace: e.trace, Ledger: e.ledger, Explain: e.explain, Ready: e.ready}
}

// run measures until ctx ends.
func (e *engine) run(ctx context.Context) error {
	tick := time.NewTicker(sampleEvery)
	defer tick.Stop()
	var wait sync.WaitGroup
	defer wait.Wait()
	failed := 0
	for measure := true; ; {
		if measure {
			switch err := e.sample(ctx); {
			case err == nil:
				failed = 0
			case ctx.Err() == nil:
				if failed++; failed == 2 { // once is how a cluster begins, or changes its mind
					e.log.Warn("the flow cannot be measured", "error", err)
				}
			}
		}
		measure = false
		select {
		case <-tick.C:
			measure = true
		case <-e.wanted:
			wait.Go(func() { e.makeUp(ctx) })
		case <-ctx.Done():
			return nil
		}
	}
}

// hop is an edge of the flow: who writes a topic, who reads it, and the group that says
// how far they are.
type hop struct {
	from  string
	topic schemas.Topic
	to    string
	group string
}

func hops() []hop {
	return []hop{
		{"Care settings", schemas.TopicRegistration, "Matcher", groupMatcher},
		{"Local authorities", schemas.TopicIndicator, "Index in Redis", ""},
		{"Matcher", schemas.TopicOutcome, "Care settings", groupDelivery},
		{"Matcher", schemas.TopicNotice, "Local authorities", groupTell},
		{"Local authorities", schemas.TopicDelivery, "Care settings", groupInform},
		{"Everybody", schemas.TopicAudit, "Audit log", ""},
	}
}

// sample looks once.
func (e *engine) sample(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, sampleEvery)
	defer cancel()
	flow := console.Flow{At: time.Now(), Supply: e.supply(), Index: e.indexState(ctx)}
	aside := map[string]int64{}
	for _, l := range e.letters.All() {
		if l.Closed == "" && flow.At.Sub(l.Time) < 24*time.Hour {
			aside[topicOf(l)]++
		}
	}
	sent := map[int]int64{}
	for _, hop := range hops() {
		at, err := e.client.Ends(ctx, hop.topic)
		if err != nil {
			return err
		}
		edge := console.Edge{From: hop.from, Topic: string(hop.topic), To: hop.to, Waiting: -1, Errors: aside[string(hop.topic)]}
		switch {
		case hop.topic == schemas.TopicIndicator:
			edge.Waiting = flow.Index.Behind
		case hop.topic == schemas.TopicAudit && e.notary != nil:
			edge.Waiting = 0
			for _, l := range e.notary.States() {
				edge.Waiting += max(0, at[l.Log]-l.Size)
			}
		}
		if hop.group != "" {
			committed, err := e.client.GroupOffsets(ctx, hop.group, hop.topic)
			if err != nil {
				return err
			}
			if edge.Waiting, edge.Oldest, err = e.lag(ctx, hop.topic, at, committed); err != nil {
				return err
			}
			if hop.group == groupDelivery {
				for p, offset := range committed {
					sent[p] = offset
				}
			}
		}
		edge.PerMinute = e.rate(hop.topic, flow.At, at)
		flow.Edges = append(flow.Edges, edge)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.flow, e.sent = flow, sent
	return nil
}

// topicOf is the topic that a dead letter stood on, or would have.
func topicOf(l router.Filed) string {
	switch l.Door {
	case router.OriginMLLP:
		return string(schemas.TopicRegistration)
	case router.OriginSocialCare:
		return string(schemas.TopicIndicator)
	}
	return l.Origin
}

// lag is how many records a group has not worked off, and how old the first is.
func (e *engine) lag(ctx context.Context, t schemas.Topic, ends, committed []int64) (waiting int64, oldest time.Duration, err error) {
	starts, err := e.client.Starts(ctx, t)
	if err != nil {
		return 0, 0, err
	}
	for p := range ends {
		from := max(committed[p], starts[p])
		if from >= ends[p] {
			continue
		}
		waiting += ends[p] - from
		b, err := e.client.Fetch(ctx, t, p, from, time.Second, 1)
		var gap *topics.GapError
		if err != nil && !errors.As(err, &gap) {
			return 0, 0, err
		}
		if len(b.Records) > 0 {
			oldest = max(oldest, time.Since(b.Records[0].Time))
		}
	}
	return waiting, oldest, nil
}

// rate is how many records a topic got a minute, over the last minute.
func (e *engine) rate(t schemas.Topic, now time.Time, at []int64) float64 {
	sum := int64(0)
	for _, n := range at {
		sum += n
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	list := append(e.samples[t], ends{now, sum})
	for len(list) > 2 && now.Sub(list[0].at) > time.Minute {
		list = list[1:]
	}
	e.samples[t] = list
	if span := now.Sub(list[0].at).Minutes(); span > 0 {
		return float64(sum-list[0].sum) / span
	}
	return 0
}

func (e *engine) indexState(ctx context.Context) console.IndexState {
	status, err := e.reader.Status(ctx)
	if err != nil {
		return console.IndexState{Problem: err.Error()}
	}
	out := console.IndexState{Whole: status.Complete, Position: status.Position}
	if end, err := e.horizon(ctx); err == nil {
		out.Behind = max(0, end-status.Position)
	}
	return out
}

func (e *engine) lastFlow() console.Flow {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.flow
}

// connections are the feeds, as those know them who run integration engines.
func (e *engine) connections() []console.Connection {
	refused := map[string]map[schemas.Code]int64{}
	last := map[string]time.Time{}
	for _, l := range e.letters.All() {
		if l.Door != router.OriginMLLP || time.Since(l.Time) > 24*time.Hour {
			continue
		}
		if refused[l.Feed] == nil {
			refused[l.Feed] = map[schemas.Code]int64{}
		}
		refused[l.Feed][l.Code]++
		last[l.Feed] = l.Time
	}
	ends := map[string]time.Time{}
	for _, d := range e.doors {
		maps.Copy(ends, d.Certificates())
	}
	e.mu.Lock()
	sent := e.sent
	e.mu.Unlock()
	var out []console.Connection
	feeds := append(clerk{system: e.system}.Feeds(), console.Feed{})
	for _, f := range feeds {
		p, known := e.profileOf(f.Name)
		if !known && refused[""] == nil {
			continue
		}
		if !known {
			f.Name = "no feed known"
		}
		day := e.brought.Day(f.Name)
		c := console.Connection{Feed: f, Acknowledged: day.Taken, Last: day.Last, LastRefused: last[p.Name], Reply: p.Reply.Address != "", Certificate: "asked of nobody"}
		for _, code := range slices.Sorted(maps.Keys(refused[p.Name])) {
			n := refused[p.Name][code]
			c.Refused += n
			c.Reasons = append(c.Reasons, schemas.Count{Name: string(code), Count: n})
		}
		c.Received = c.Acknowledged + c.Refused
		c.Sent, c.Queued = e.arrivals.Delivered(p.Name, sent)
		if p.Certificate != "" {
			c.Certificate = "not seen here"
			if end, ok := ends[p.Certificate]; ok {
				c.Certificate, c.Days = "", int(time.Until(end).Hours()/24)
			}
		}
		out = append(out, c)
	}
	return out
}

// explain says what would become of a message, and keeps nothing of it.
func (e *engine) explain(text string) ([]feed.Explanation, error) {
	var out []feed.Explanation
	for _, m := range splitMessages([]byte(text)) {
		trial, err := feed.Try(e.config.Feeds, m, time.Now())
		if err != nil {
			return nil, err
		}
		out = append(out, trial.Explain()...)
	}
	return out, nil
}

// trace follows one message through every hop.
func (e *engine) trace(ctx context.Context, name, control string) ([]console.Hop, error) {
	place := func(t schemas.Topic, p int, offset int64) string {
		return fmt.Sprintf("%s, partition %d, offset %d", t, p, offset)
	}
	e.mu.Lock()
	sent := e.sent
	e.mu.Unlock()
	var out []console.Hop
	for _, a := range e.arrivals.ByControl(name, control) {
		out = append(out, console.Hop{Name: "Taken", At: a.At, Where: place(schemas.TopicRegistration, a.Partition, a.Offset), Done: true,
			Words: fmt.Sprintf("%s, committed and then acknowledged. Event id %s. Marks: %s.", a.Event, a.EventID, cmp.Or(strings.Join(a.Marks, ", "), "none"))})
		if a.Answer == nil {
			out = append(out, console.Hop{Name: "Answered", Words: "Not yet: the matcher works on it, or waits for its index."})
			continue
		}
		o := a.Answer
		out = append(out, console.Hop{Name: "Answered", At: o.DecidedAt, After: o.DecidedAt.Sub(a.At), Where: place(schemas.TopicOutcome, o.Partition, o.Offset), Done: true, Words: "Answer " + o.OutcomeID + "."})
		partition, offset, err := router.FindAudit(ctx, e.client, e.keys, schemas.Outcome{OutcomeID: o.OutcomeID, SubjectRef: o.SubjectRef, ODS: a.ODS, Setting: o.Setting, DecidedAt: o.DecidedAt})
		audited := console.Hop{Name: "On record", Words: "Its audit record was not found where it should be: run the ledger."}
		switch {
		case err == nil:
			audited.Done, audited.Words, audited.Where = true, "Its audit record is committed.", place(schemas.TopicAudit, partition, offset)
		case !errors.Is(err, router.ErrNoAnswer):
			return nil, err
		}
		out = append(out, audited)
		p, _ := e.profileOf(name)
		delivered := console.Hop{Name: "Delivered", Words: "The feed has no reply address: the answer is on the board alone.", Done: true}
		if p.Reply.Address != "" {
			delivered.Done = o.Offset < sent[o.Partition]
			delivered.Words = map[bool]string{true: "The care setting's system has the answer.", false: "The care setting's system has not taken the answer yet; it is tried for 72 hours."}[delivered.Done]
		}
		out = append(out, delivered)
	}
	return out, nil
}

// ledgerAge is how old an account may be before another is made up.
const ledgerAge = time.Minute

// ledger is the last account; one that is old is made up anew beside whoever asks.
func (e *engine) ledger() console.Ledger {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.account.Running && time.Since(e.account.At) > ledgerAge {
		e.account.Running = true
		e.wanted <- struct{}{} // there is room: none is being made up
	}
	return e.account
}

// did puts on record what an operator is about to do to a dead letter.
func (e *engine) did(ctx context.Context, w *identity.Worker, action schemas.Action, id int64) error {
	ctx, cancel := context.WithTimeout(ctx, auditTime)
	defer cancel()
	return e.recorder.Note(ctx, router.Deed{Kind: schemas.AuditOperation, Action: action, Organisation: router.Operations, By: w.Access(), About: fmt.Sprint(id)})
}
