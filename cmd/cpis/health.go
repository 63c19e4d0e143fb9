package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"cpis/connectors/identity"
	"cpis/schemas"
)

// Limits of the HTTP side.
const (
	headerTime = 5 * time.Second
	headerSize = 16 << 10
	readyTime  = 2 * time.Second
)

// dependency is one thing that has to work before this process is of use.
type dependency struct {
	name  string
	check func(ctx context.Context) error
}

// dependencies are those of the roles that run here.
func (s *system) dependencies() []dependency {
	out := []dependency{{"kafka", s.client.Ping}}
	if s.embedded != nil {
		out = append(out, dependency{"data folder", func(context.Context) error { return s.embedded.Health() }})
	}
	if s.reader != nil {
		out = append(out, dependency{"index", func(ctx context.Context) error {
			status, err := s.reader.Status(ctx)
			if err == nil && !status.Complete {
				err = fmt.Errorf("rebuilding: %d records taken in", status.Position)
			}
			return err
		}}, dependency{"contacts", func(context.Context) error {
			select {
			case <-s.known.c:
				return nil
			default:
				return errors.New("not read yet")
			}
		}})
	}
	return out
}

// health adds the pages that tell whether the process works.
func (s *system) health(mux *identity.Mux) {
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", s.readyz)
	mux.HandleFunc("GET /version", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, http.StatusOK, buildVersion()) })
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), metrics{s})
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
}

// readyz answers 200 when every dependency works, 503 otherwise, with a line
// for each.
func (s *system) readyz(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), readyTime)
	defer cancel()
	status, answer := http.StatusOK, map[string]string{}
	for _, d := range s.dependencies() {
		answer[d.name] = "ok"
		if err := d.check(ctx); err != nil {
			status, answer[d.name] = http.StatusServiceUnavailable, err.Error()
		}
	}
	writeJSON(w, status, answer)
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

// listenWeb opens an address for HTTP, and gives it back.
func (s *system) listenWeb(name, address string, files identity.TLSConfig, handler http.Handler) (string, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return "", fmt.Errorf("listen for %s: %w", name, err)
	}
	at := l.Addr().String()
	if files.Set() {
		secure, err := identity.ServerTLS(files, s.log)
		if err != nil {
			return "", errors.Join(&schemas.Refusal{Code: "CPIS-C002", Location: name + ".tls", Reason: err.Error()}, l.Close())
		}
		l = tls.NewListener(l, secure)
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: headerTime, MaxHeaderBytes: headerSize}
	s.add(name, func(ctx context.Context) error {
		stop := context.AfterFunc(ctx, func() {
			_ = within(stopTime/2, server.Shutdown)
			_ = server.Close()
		})
		defer stop()
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
	return at, nil
}

// metrics renders the plain counters of the parts that run here. Labels come
// from closed lists; no value of a message is ever one.
type metrics struct{ *system }

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("cpis_"+name, help, labels, nil)
}

// Describe implements prometheus.Collector: which metrics there are depends on
// the roles, so the collector is unchecked.
func (metrics) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (m metrics) Collect(out chan<- prometheus.Metric) {
	counter := func(name, help string, v int64, labels ...string) {
		out <- prometheus.MustNewConstMetric(describe(name, help, names(labels)...), prometheus.CounterValue, float64(v), values(labels)...)
	}
	gauge := func(name, help string, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(describe(name, help, names(labels)...), prometheus.GaugeValue, v, values(labels)...)
	}
	p := m.producer.Stats()
	counter("produced_records_total", "Records committed to Kafka.", p.Records)
	counter("produced_batches_total", "Record batches committed to Kafka.", p.Batches)
	counter("produce_retries_total", "Produce requests sent again.", p.Retries)
	gauge("produce_buffered_bytes", "Bytes waiting to be committed.", float64(p.BufferedBytes))
	if m.feeds != nil {
		f := m.feeds.Stats()
		counter("messages_total", "HL7 messages by what their sender was told.", f.Accepted, "answer", "accepted")
		counter("messages_total", "HL7 messages by what their sender was told.", f.Refused, "answer", "refused")
		counter("messages_total", "HL7 messages by what their sender was told.", f.Unanswered, "answer", "none")
		counter("message_copies_total", "HL7 messages answered again, having been taken before.", f.Copies)
		for code, n := range f.Marks {
			counter("message_marks_total", "Records of HL7 messages that were odd, by code.", n, "code", string(code))
		}
	}
	if m.care != nil {
		for code, n := range m.care.Refusals() {
			counter("authority_refusals_total", "Records, and files as a whole, refused to local authorities, by code; CPIS-L021 is what must not be shared.", n, "code", string(code))
		}
	}
	for listener, file := range m.ownCertificates() {
		gauge("certificate_days_left", "Days for which a listener's certificate is still good; -1 where it cannot be read.", daysLeft(file), "listener", listener)
	}
	if m.mux != nil {
		counter("http_denied_total", "Requests of callers who had no right.", m.mux.Denied())
	}
	for _, door := range m.doors {
		d, at := door.Stats(), []string{"listener", door.Name()}
		gauge("mllp_connections", "Open connections of senders.", float64(d.Connections), at...)
		counter("mllp_turned_total", "Connections closed at once, the listener being full.", d.Turned, at...)
		counter("mllp_replaced_total", "Quiet connections closed in favour of a new one of the same host.", d.Replaced, at...)
		counter("mllp_probes_total", "Connections without a byte.", d.Probes, at...)
		counter("mllp_strangers_total", "Connections of another protocol, or without proof of who calls.", d.Strangers, at...)
		counter("mllp_faults_total", "Frames that were torn or too large.", d.Faults, at...)
		counter("mllp_junk_bytes_total", "Bytes outside of frames.", d.Junk, at...)
	}
	for name, stage := range m.stages() {
		st := stage.Stats()
		counter("stage_finished_total", "Records a stage has finished.", st.Finished, "stage", name)
		counter("stage_retries_total", "Times a record of a stage had to wait.", st.Retried, "stage", name)
		counter("stage_dead_letters_total", "Records a stage has set aside.", st.Dead, "stage", name)
		gauge("stage_pending_records", "Records a stage has read and not finished.", float64(st.Pending), "stage", name)
	}
	if m.notary != nil {
		for _, l := range m.notary.States() {
			at := []string{"log", strconv.Itoa(l.Log)}
			broken := 0.0
			if l.Broken != "" {
				broken = 1
			}
			gauge("audit_signed_entries", "Entries of the audit log that are signed.", float64(l.Size), at...)
			gauge("audit_witnessed_entries", "Entries of the audit log under a head that a witness signed.", float64(l.Cosigned), at...)
			gauge("audit_broken", "1 where the audit log is not what was signed; it must be 0.", broken, at...)
		}
	}
	if m.reader != nil {
		ctx, cancel := context.WithTimeout(context.Background(), readyTime)
		defer cancel()
		complete, position := 0.0, -1.0
		if status, err := m.reader.Status(ctx); err == nil {
			position = float64(status.Position)
			if status.Complete {
				complete = 1
			}
		}
		gauge("index_complete", "1 while the index is whole.", complete)
		gauge("index_position", "Next offset of the indicator topic for the index; -1 where it cannot be read.", position)
	}
}

func names(labels []string) []string {
	var out []string
	for i := 0; i < len(labels); i += 2 {
		out = append(out, labels[i])
	}
	return out
}

func values(labels []string) []string {
	var out []string
	for i := 1; i < len(labels); i += 2 {
		out = append(out, labels[i])
	}
	return out
}
