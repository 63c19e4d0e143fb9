package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/spf13/cobra"

	"cpis/connectors/mllp"
	"cpis/router/topics"
	"cpis/schemas"
)

// load is what a benchmark does.
type load struct {
	rate        int // messages a second; 0: flat out
	connections int
	warmUp      time.Duration // sent first, at the same rate, and not counted
	duration    time.Duration
}

// report is what it measured. Times are in milliseconds, from the moment a
// message was due to be sent: one that had to wait for its turn counts the
// wait (coordinated omission).
type report struct {
	Kafka       string  `json:"kafka"`
	Redis       string  `json:"redis"`
	CPUs        int     `json:"cpus"`
	Rate        int     `json:"rate"` // 0: flat out
	Connections int     `json:"connections"`
	Seconds     float64 `json:"seconds"`
	Accepted    int64   `json:"accepted"`
	AcceptedPS  float64 `json:"accepted_per_second"`
	Outcomes    int64   `json:"outcomes"`
	OutcomesPS  float64 `json:"outcomes_per_second"`
	AckMS       times   `json:"ack_ms"`
	OutcomeMS   times   `json:"outcome_ms"`
	ServerCPU   float64 `json:"server_cpu_seconds"`
	IdleRSS     float64 `json:"server_idle_rss_mb"`
	ServerRSS   float64 `json:"server_rss_mb"`
}

type times struct {
	P50  float64 `json:"p50"`
	P99  float64 `json:"p99"`
	P999 float64 `json:"p99_9"`
	Max  float64 `json:"max"`
}

func (s *shell) bench() *cobra.Command {
	var l load
	var asJSON bool
	c := &cobra.Command{
		Use: "bench", Args: usage(cobra.NoArgs),
		Short: "Measure throughput and latency, from first byte sent to acknowledgement and to outcome",
		Long: `Starts a broker of its own on free ports and a fresh folder, sends it ADT
messages over MLLP connections at a fixed rate or flat out, and reads the
outcomes from Kafka. With --kafka-brokers and --redis-url the broker works on
those.`,
		Example: "  cpis bench --rate 1000\n  cpis bench --connections 32 --for 10s --json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			r, err := s.measure(cmd.Context(), l)
			if err != nil {
				return err
			}
			if asJSON {
				return s.json(r)
			}
			s.printReport(r)
			return nil
		},
	}
	c.Flags().IntVar(&l.rate, "rate", 0, "messages a second, open loop; 0: flat out")
	c.Flags().IntVar(&l.connections, "connections", 32, "MLLP connections")
	c.Flags().DurationVar(&l.warmUp, "warm-up", 2*time.Second, "how long to send first without counting")
	c.Flags().DurationVar(&l.duration, "for", 10*time.Second, "how long to send")
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

func (s *shell) printReport(r report) {
	w := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "Kafka %s, Redis %s, %d CPUs, %d connections, rate %s, %.1f s\n", r.Kafka, r.Redis, r.CPUs, r.Connections, rateWords(r.Rate), r.Seconds)
	fmt.Fprintf(w, "accepted\t%d\t%.0f/s\n", r.Accepted, r.AcceptedPS)
	fmt.Fprintf(w, "outcomes\t%d\t%.0f/s\n", r.Outcomes, r.OutcomesPS)
	fmt.Fprintln(w, "\tp50\tp99\tp99.9\tmax")
	for _, row := range []struct {
		name string
		t    times
	}{{"to acknowledgement, ms", r.AckMS}, {"to outcome, ms", r.OutcomeMS}} {
		fmt.Fprintf(w, "%s\t%.2f\t%.2f\t%.2f\t%.2f\n", row.name, row.t.P50, row.t.P99, row.t.P999, row.t.Max)
	}
	fmt.Fprintf(w, "server\t%.1f CPU s\t%.0f MB\tidle %.0f MB\n", r.ServerCPU, r.ServerRSS, r.IdleRSS)
	_ = w.Flush()
}

func rateWords(rate int) string {
	if rate == 0 {
		return "flat out"
	}
	return fmt.Sprintf("%d/s", rate)
}

// server is the broker under measurement, a process of its own.
type server struct {
	cmd      *exec.Cmd
	dir      string
	mllp     string
	web      string
	config   *Config
	embedded bool
}

func (s *shell) startServer(ctx context.Context) (*server, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	dir, err := os.MkdirTemp("", "cpis-bench-")
	if err != nil {
		return nil, fmt.Errorf("make folder: %w", err)
	}
	ports, err := freePorts(4)
	if err != nil {
		return nil, err
	}
	file := filepath.Join(dir, "bench.yaml")
	feed := "feeds:\n  - {name: bench, application: \"*\", facility: \"*\", ods: X26, setting: EMERGENCY_DEPARTMENT, unstated_status: verified}\nkeys: {create: true}\n"
	if err := os.WriteFile(file, []byte(feed), 0o600); err != nil {
		return nil, fmt.Errorf("write configuration: %w", err)
	}
	for key, value := range map[string]string{"data": dir, "mllp.listen": ports[0], "http.listen": ports[1], "kafka.listen": ports[2], "registry.listen": ports[3]} {
		s.flags[key] = value
	}
	s.file = file
	args := []string{"serve", "--config", file, "--data", dir, "--mllp-listen", ports[0], "--http-listen", ports[1], "--kafka-listen", ports[2], "--registry-listen", ports[3]}
	config, err := s.remote()
	if err != nil {
		return nil, err
	}
	b := &server{dir: dir, mllp: ports[0], web: ports[1], config: config, embedded: s.flags["kafka.brokers"] == nil}
	for flag, key := range map[string]string{"--kafka-brokers": "kafka.brokers", "--redis-url": "redis.url", "--registry-url": "registry.url"} {
		if v, ok := s.flags[key]; ok {
			args = append(args, flag, strings.Trim(strings.ReplaceAll(fmt.Sprint(v), " ", ","), "[]"))
		}
	}
	b.cmd = exec.Command(self, args...)
	b.cmd.Env = append(os.Environ(), "CPIS_LOG_LEVEL=warn")
	b.cmd.Stderr = s.err
	if err := b.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start broker: %w", err)
	}
	return b, b.awaitReady(ctx)
}

// freePorts finds addresses that a process started later can listen on. They
// lie below those that the system gives to outgoing connections, of which one
// could take a port between now and then.
func freePorts(n int) ([]string, error) {
	const lowest, count, tries = 15_000, 15_000, 1000
	var out []string
	for range tries {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", lowest+rand.IntN(count)))
		if err != nil {
			continue
		}
		defer func() { _ = l.Close() }()
		if out = append(out, l.Addr().String()); len(out) == n {
			return out, nil
		}
	}
	return nil, errors.New("no free port on loopback")
}

func (b *server) awaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, toolTime)
	defer cancel()
	for {
		res, err := http.Get("http://" + b.web + "/readyz")
		if err == nil {
			_ = res.Body.Close()
			if res.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return exit{exitUnreachable, errors.New("the broker did not become ready")}
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (b *server) stop() {
	_ = b.cmd.Process.Signal(syscall.SIGTERM)
	_ = b.cmd.Wait()
	_ = os.RemoveAll(b.dir)
}

// usage reads the server's CPU seconds and resident megabytes.
func (b *server) usage() (cpu, rss float64) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", b.cmd.Process.Pid))
	if err != nil {
		return 0, 0 // not Linux
	}
	f := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	const ticks, page = 100, 4096
	number := func(i int) float64 { n, _ := strconv.ParseFloat(f[i], 64); return n }
	return (number(11) + number(12)) / ticks, number(21) * page / (1 << 20)
}

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
	client, err := topics.Open(ctx, topics.Config{Brokers: b.config.Kafka.Brokers, ClientID: "cpis-bench"})
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
