package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"cpis/connectors/mllp"
	"cpis/router/topics"
	"cpis/schemas"
)

// measure runs the benchmark.
func (s *shell) measure(ctx context.Context, l load) (report, error) {
	b, err := s.startServer(ctx)
	if b != nil {
		defer b.stop()
	}
	if err != nil {
		return report{}, err
	}
	r := report{Kafka: "embedded, fsync", Redis: "embedded", CPUs: runtime.NumCPU(), Rate: l.rate, Connections: l.connections}
	if !b.embedded {
		r.Kafka = strings.Join(b.config.Kafka.Brokers, ",")
	}
	if b.config.Redis.URL != "" {
		r.Redis = "server"
	}
	_, r.IdleRSS = b.usage()
	w, err := b.watch(ctx)
	if err != nil {
		return r, err
	}
	defer w.close()
	if err := w.warmUp(ctx, b.mllp, l); err != nil {
		return r, err
	}
	ack := newHistogram()
	begin := time.Now()
	if err := w.send(ctx, b.mllp, l, ack); err != nil {
		return r, err
	}
	took := time.Since(begin)
	w.await(ctx)
	r.Seconds, r.Accepted, r.Outcomes = took.Seconds(), ack.TotalCount(), w.histogram.TotalCount()
	r.AcceptedPS = float64(r.Accepted) / took.Seconds()
	r.OutcomesPS = float64(r.Outcomes) / w.last.Sub(begin).Seconds()
	r.AckMS, r.OutcomeMS = quantiles(ack), quantiles(w.histogram)
	r.ServerCPU, r.ServerRSS = b.usage()
	if r.Outcomes < r.Accepted {
		return r, exit{exitFailed, fmt.Errorf("%d messages were accepted and %d answered", r.Accepted, r.Outcomes)}
	}
	return r, nil
}

func quantiles(h *hdrhistogram.Histogram) times {
	ms := func(us int64) float64 { return float64(us) / 1000 }
	return times{ms(h.ValueAtQuantile(50)), ms(h.ValueAtQuantile(99)), ms(h.ValueAtQuantile(99.9)), ms(h.Max())}
}

// watcher reads outcomes and knows when each message was due.
type watcher struct {
	client *topics.Client
	codec  *schemas.Codec
	cancel context.CancelFunc
	wait   sync.WaitGroup
	run    string // prefix of the control ids of this run

	mu        sync.Mutex
	due       map[string]time.Time    // by control id; guarded by mu
	histogram *hdrhistogram.Histogram // microseconds to the outcome; guarded by mu
	last      time.Time               // of the newest outcome; guarded by mu
}

func (b *server) watch(ctx context.Context) (*watcher, error) {
	to, err := b.config.cluster("cpis-bench")
	if err != nil {
		return nil, err
	}
	client, err := topics.Open(ctx, to)
	if err != nil {
		return nil, err
	}
	registry, err := schemas.NewRegistryClient(b.config.Registry.URL)
	if err != nil {
		return nil, err
	}
	codec, err := schemas.NewCodec(ctx, registry)
	if err != nil {
		return nil, err
	}
	ends, err := client.Ends(ctx, schemas.TopicOutcome)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	w := &watcher{client: client, codec: codec, cancel: cancel, run: newRun(), due: map[string]time.Time{}, histogram: newHistogram(), last: time.Now()}
	for p, next := range ends {
		w.wait.Go(func() {
			for ctx.Err() == nil {
				batch, err := client.Fetch(ctx, schemas.TopicOutcome, p, next, followWait, followBytes)
				if err != nil {
					return
				}
				next = batch.Next
				w.saw(ctx, batch.Records, time.Now())
			}
		})
	}
	return w, nil
}

func (w *watcher) saw(ctx context.Context, records []topics.Record, now time.Time) {
	for _, r := range records {
		var o schemas.Outcome
		if w.codec.Decode(ctx, schemas.TopicOutcome, r.Value, &o) != nil || o.State == schemas.StateCheckFailed {
			continue
		}
		w.mu.Lock()
		if due, ok := w.due[o.ControlID]; ok {
			delete(w.due, o.ControlID)
			_ = w.histogram.RecordValue(max(now.Sub(due).Microseconds(), 1))
			w.last = now
		}
		w.mu.Unlock()
	}
}

func (w *watcher) close() {
	w.cancel()
	w.wait.Wait()
	_ = w.client.Close()
}

// warmUp sends the load once without counting it: connections, code and the
// matcher's history are then those of a broker at work, not of one just started.
func (w *watcher) warmUp(ctx context.Context, to string, l load) error {
	l.duration = l.warmUp
	if err := w.send(ctx, to, l, newHistogram()); err != nil {
		return err
	}
	w.await(ctx)
	w.mu.Lock()
	defer w.mu.Unlock()
	clear(w.due)
	w.histogram.Reset()
	w.run = newRun()
	return nil
}

func newRun() string { return fmt.Sprintf("B%d-", time.Now().UnixNano()) }

// newHistogram counts microseconds up to two minutes, to three digits.
func newHistogram() *hdrhistogram.Histogram { return hdrhistogram.New(1, 120_000_000, 3) }

// await waits until every accepted message has its outcome, but not for ever.
func (w *watcher) await(ctx context.Context) {
	until := time.Now().Add(30 * time.Second)
	for time.Now().Before(until) && ctx.Err() == nil {
		w.mu.Lock()
		open := len(w.due)
		w.mu.Unlock()
		if open == 0 {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// send drives the connections. Message n is due at n/rate on connection
// n mod connections, whether or not the one before it has been answered.
func (w *watcher) send(ctx context.Context, to string, l load, ack *hdrhistogram.Histogram) error {
	var wait sync.WaitGroup
	var mu sync.Mutex
	var failed error
	begin := time.Now()
	for c := range l.connections {
		wait.Go(func() {
			own := newHistogram()
			err := w.connection(ctx, to, l, c, begin, own)
			mu.Lock()
			defer mu.Unlock()
			ack.Merge(own)
			if failed == nil {
				failed = err
			}
		})
	}
	wait.Wait()
	return failed
}

func (w *watcher) connection(ctx context.Context, to string, l load, c int, begin time.Time, ack *hdrhistogram.Histogram) error {
	conn, err := mllp.Dial(ctx, to, mllp.ClientConfig{Timeout: 30 * time.Second})
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	for n := c; ; n += l.connections {
		due := time.Now()
		if l.rate > 0 {
			due = begin.Add(time.Duration(float64(n) / float64(l.rate) * float64(time.Second)))
			time.Sleep(time.Until(due))
		}
		if due.Sub(begin) >= l.duration || ctx.Err() != nil {
			return nil
		}
		id := w.run + strconv.Itoa(n)
		w.mu.Lock()
		w.due[id] = due
		w.mu.Unlock()
		answer, err := conn.Send(ctx, benchMessage(id, n))
		if err != nil {
			return err
		}
		if !bytes.Contains(answer, []byte("MSA|AA|")) {
			return exit{exitRefused, errors.New("a message was refused")}
		}
		_ = ack.RecordValue(max(time.Since(due).Microseconds(), 1))
	}
}

// benchMessage is an ADT^A04 of the usual size about one of 100,000 people.
func benchMessage(id string, n int) []byte {
	number := ""
	for stem := n * 7919 % 1_000_000; number == ""; stem++ {
		for check := range 10 {
			if got, err := schemas.ParseNHSNumber(fmt.Sprintf("999%06d%d", stem%1_000_000, check)); err == nil {
				number = got.Reveal()
			}
		}
	}
	return fmt.Appendf(nil, "MSH|^~\\&|BENCH|RXX01|CPIS|CPIS|20261124101500||ADT^A04^ADT_A01|%s|T|2.4|||AL|NE\rEVN|A04|20261124101500|||C002^Smith^Elizabeth^^^Dr\r"+
		"PID|1||%s^^^NHS^NH~H%d^^^RXX^MR||Example^Sam^Lee^^^^L||20150203|F|||17 Example Road^^Exampleton^^ZZ99 9ZZ^GBR^HOME||01632 960000^HOME|||||||||||||||||||\r"+
		"PD1|||EXAMPLE PRACTICE^^Y00001|G0000001\rPV1|1|E|AE^^^RXX01||||C002^Smith^Elizabeth^^^Dr|||||||||||V%d^^^VISITID|||||||||||||||||||||||||20261124101500\r", id, number, n, n)
}
