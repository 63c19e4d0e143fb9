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
	"strconv"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
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
