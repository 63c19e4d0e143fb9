package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"cpis/connectors/adt"
	"cpis/connectors/hl7"
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
			return s.send(cmd.Context(), to, messages, log, wait)
		},
	}
	c.Flags().StringVar(&to, "to", "", "receiver, host:port; default mllp.listen")
	c.Flags().StringVar(&logFile, "log", "", "append the control ids answered AA to this file")
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

func (s *shell) send(ctx context.Context, to string, messages []mllp.Frame, log io.Writer, retry time.Duration) error {
	counts := map[string]int{}
	var conn *mllp.Client
	defer func() {
		if conn != nil {
			_ = conn.Close()
		}
	}()
	for i, m := range messages {
		answer, err := deliver(ctx, &conn, to, m.Message, retry)
		if err != nil {
			return exit{exitUnreachable, fmt.Errorf("message %d of %d: %w", i+1, len(messages), err)}
		}
		a, err := hl7.Parse(answer)
		if err != nil {
			return exit{exitFailed, fmt.Errorf("message %d: the answer is no HL7: %w", i+1, err)}
		}
		counts[a.Value("MSA-1")]++
		if a.Value("MSA-1") == "AA" {
			fmt.Fprintln(log, a.Value("MSA-2"))
		}
		if len(messages) == 1 {
			fmt.Fprintf(s.out, "%s  control id %s\n%s\n", a.Value("MSA-1"), a.Value("MSA-2"), strings.ReplaceAll(strings.TrimSpace(string(answer)), "\r", "\n"))
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

// deliver sends one message until it is answered or retry has passed.
func deliver(ctx context.Context, conn **mllp.Client, to string, m []byte, retry time.Duration) ([]byte, error) {
	until := time.Now().Add(retry)
	for {
		answer, err := exchange(ctx, conn, to, m)
		if err == nil || !time.Now().Before(until) || ctx.Err() != nil {
			return answer, err
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
		}
	}
}

func exchange(ctx context.Context, conn **mllp.Client, to string, m []byte) ([]byte, error) {
	if *conn == nil {
		c, err := mllp.Dial(ctx, to, mllp.ClientConfig{})
		if err != nil {
			return nil, err
		}
		*conn = c
	}
	answer, err := (*conn).Send(ctx, m)
	if err != nil {
		*conn = nil
	}
	return answer, err
}
