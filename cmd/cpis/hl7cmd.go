package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"cpis/connectors/adt"
	"cpis/connectors/hl7"
	"cpis/connectors/identity"
	"cpis/connectors/mllp"
)

// maxInput bounds a file of messages given on the command line.
const maxInput = 256 << 20

func (s *shell) hl7() *cobra.Command {
	root := &cobra.Command{Use: "hl7", Short: "Send HL7 v2 messages, or see what the broker reads in them"}
	root.AddCommand(s.hl7Send(), s.hl7Explain(), s.hl7Check(), &cobra.Command{
		Use: "samples", Short: "List the sample messages", Args: usage(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			for _, m := range append(adt.Samples(), adt.CodeSamples()...) {
				fmt.Fprintf(s.out, "sample:%-18s %s\n", m.Name, m.About)
			}
			return nil
		},
	})
	return root
}

func (s *shell) hl7Send() *cobra.Command {
	var files identity.TLSConfig
	var client mllp.ClientConfig
	var to, logFile string
	var wait time.Duration
	c := &cobra.Command{
		Use: "send FILE|-|sample:NAME", Args: usage(cobra.ExactArgs(1)),
		Short: "Send messages over MLLP and print the answers",
		Long: `Sends the messages of a file, one after the other, each after the answer to the
one before. The file holds MLLP frames, or messages one after the other. Where
no answer comes, the message is sent again on a new connection for as long as
--retry says. --log writes the control id of every message that was answered
AA, for "cpis ledger --acked".`,
		Example: "  cpis hl7 send sample:child-on-plan\n  cpis hl7 send feed.hl7 --log acked.txt",
		RunE: func(cmd *cobra.Command, args []string) error {
			messages, err := s.messages(args[0])
			if err != nil {
				return err
			}
			if to == "" {
				config, err := s.load()
				if err != nil {
					return err
				}
				to = config.MLLP.Listen
			}
			log := io.Discard
			if logFile != "" {
				f, err := os.OpenFile(logFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
				if err != nil {
					return fmt.Errorf("open log: %w", err)
				}
				defer func() { _ = f.Close() }()
				log = f
			}
			if files.Set() {
				host, _, err := net.SplitHostPort(to)
				if err != nil {
					return exit{exitUsage, fmt.Errorf("--to: %w", err)}
				}
				if client.TLS, err = identity.ClientTLS(files, host); err != nil {
					return exit{exitUsage, err}
				}
			}
			return s.send(cmd.Context(), &sender{to: to, config: client, retry: wait}, messages, log)
		},
	}
	c.Flags().StringVar(&to, "to", "", "receiver, host:port; default mllp.listen")
	c.Flags().StringVar(&logFile, "log", "", "append the control ids answered AA to this file")
	c.Flags().StringVar(&files.Authorities, "authorities", "", "send over TLS to a receiver with a certificate of these authorities (PEM file)")
	c.Flags().StringVar(&files.Certificate, "certificate", "", "certificate to show it (PEM file)")
	c.Flags().StringVar(&files.Key, "key", "", "key of the certificate (PEM file)")
	c.Flags().IntVar(&client.Release, "release", 1, "release of MLLP: 1 or 2")
	c.Flags().DurationVar(&wait, "retry", 0, "how long to send again where no answer comes")
	return c
}

// messages reads a file of frames or plain messages, standard input, or a
// sample.
func (s *shell) messages(name string) ([]mllp.Frame, error) {
	if sample, ok := strings.CutPrefix(name, "sample:"); ok {
		for _, m := range adt.Samples() {
			if m.Name == sample {
				return []mllp.Frame{{Message: stamp(m.Message, time.Now())}}, nil
			}
		}
		for _, m := range adt.CodeSamples() {
			if strings.EqualFold(m.Name, sample) {
				return splitMessages([]byte(m.Message)), nil
			}
		}
		return nil, exit{exitUsage, fmt.Errorf("no sample %q; `cpis hl7 samples` lists them", sample)}
	}
	in := s.in
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, fmt.Errorf("read messages: %w", err)
		}
		defer func() { _ = f.Close() }()
		in = f
	}
	text, err := io.ReadAll(io.LimitReader(in, maxInput))
	if err != nil {
		return nil, fmt.Errorf("read messages: %w", err)
	}
	return splitMessages(text), nil
}

// splitMessages finds the messages of a text: frames where there are frame
// marks, the whole where it is a batch that fits into a frame, else whatever
// begins with MSH at the start of a line.
func splitMessages(text []byte) []mllp.Frame {
	if bytes.IndexByte(text, 0x0b) >= 0 {
		return mllp.Split(text, hl7.MaxMessage)
	}
	if _, ok, err := hl7.SplitBatch(text); ok && err == nil {
		return []mllp.Frame{{Message: text}}
	}
	var out []mllp.Frame
	text = bytes.ReplaceAll(bytes.ReplaceAll(text, []byte("\r\n"), []byte("\r")), []byte("\n"), []byte("\r"))
	for i, part := range bytes.Split(text, []byte("\rMSH")) {
		if i > 0 {
			part = append([]byte("MSH"), part...)
		}
		if part = outsideBatch(part); len(bytes.TrimSpace(part)) > 0 {
			out = append(out, mllp.Frame{Message: part})
		}
	}
	return out
}

// outsideBatch drops the lines of a batch that belong to no message.
func outsideBatch(part []byte) []byte {
	var lines [][]byte
	for _, line := range bytes.SplitAfter(part, []byte("\r")) {
		switch name := string(line[:min(3, len(line))]); name {
		case "FHS", "BHS", "BTS", "FTS":
		default:
			lines = append(lines, line)
		}
	}
	return bytes.Join(lines, nil)
}

// stamp fills in MSH-7 and MSH-10 of a sample.
func stamp(message string, now time.Time) []byte {
	head, rest, _ := strings.Cut(message, "\r")
	f := strings.Split(head, "|")
	f[6], f[9] = now.Format("20060102150405-0700"), fmt.Sprintf("S%d", now.UnixNano())
	return []byte(strings.Join(f, "|") + "\r" + rest)
}

func (s *shell) send(ctx context.Context, to *sender, messages []mllp.Frame, log io.Writer) error {
	counts := map[string]int{}
	defer to.close()
	for i, m := range messages {
		answer, err := to.deliver(ctx, m.Message)
		if err != nil {
			return exit{exitUnreachable, fmt.Errorf("message %d of %d: %w", i+1, len(messages), err)}
		}
		codes, err := verdicts(answer)
		if err != nil {
			return exit{exitFailed, fmt.Errorf("message %d: the answer is no HL7: %w", i+1, err)}
		}
		for _, v := range codes {
			counts[v.code]++
			if v.code == "AA" {
				fmt.Fprintln(log, v.control)
			}
			if len(messages) == 1 {
				fmt.Fprintf(s.out, "%s  control id %s\n", v.code, v.control)
			}
		}
		if len(messages) == 1 {
			fmt.Fprintln(s.out, strings.ReplaceAll(strings.TrimSpace(string(answer)), "\r", "\n"))
		}
	}
	if len(messages) != 1 {
		fmt.Fprintf(s.out, "%d messages: %d AA, %d AE, %d AR\n", len(messages), counts["AA"], counts["AE"], counts["AR"])
	}
	if counts["AE"]+counts["AR"] > 0 {
		return exit{exitRefused, errors.New("some messages were refused; `cpis dlq ls` says why")}
	}
	return nil
}

// sentVerdict is what a sender was told of one message.
type sentVerdict struct{ code, control string }

// verdicts reads an acknowledgement, or each of a batch of them.
func verdicts(answer []byte) ([]sentVerdict, error) {
	parts := [][]byte{answer}
	if b, ok, err := hl7.SplitBatch(answer); err != nil {
		return nil, err
	} else if ok {
		parts = b.Messages
	}
	var out []sentVerdict
	for _, p := range parts {
		a, err := hl7.Parse(p)
		if err != nil {
			return nil, err
		}
		out = append(out, sentVerdict{a.Value("MSA-1"), a.Value("MSA-2")})
	}
	return out, nil
}

// sender sends messages to one receiver, over a connection that it opens
// anew after trouble.
type sender struct {
	to     string
	config mllp.ClientConfig
	retry  time.Duration // how long to send again where no answer comes
	conn   *mllp.Client
}

// deliver sends one message until it is answered or retry has passed.
func (s *sender) deliver(ctx context.Context, m []byte) ([]byte, error) {
	until := time.Now().Add(s.retry)
	for {
		answer, err := s.exchange(ctx, m)
		if err == nil || !time.Now().Before(until) || ctx.Err() != nil {
			return answer, err
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
		}
	}
}

func (s *sender) exchange(ctx context.Context, m []byte) ([]byte, error) {
	if s.conn == nil {
		c, err := mllp.Dial(ctx, s.to, s.config)
		if err != nil {
			return nil, err
		}
		s.conn = c
	}
	answer, err := s.conn.Send(ctx, m)
	if err != nil {
		s.conn = nil // Send has closed it
	}
	return answer, err
}

func (s *sender) close() {
	if s.conn != nil {
		_ = s.conn.Close()
	}
}
