package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"strings"

	"github.com/lmittmann/tint"
	"github.com/spf13/cobra"

	"cpis/schemas"
)

// Exit codes, the same for every command.
const (
	exitFine        = 0
	exitFailed      = 1
	exitUsage       = 2
	exitRefused     = 3 // the data was refused
	exitUnreachable = 4
	exitForbidden   = 5
)

// exit carries the code a command ends with.
type exit struct {
	code int
	err  error
}

func (e exit) Error() string { return e.err.Error() }
func (e exit) Unwrap() error { return e.err }

// shell is what a command works with: the streams it was given, never the
// process's own, so that tests run the same program.
type shell struct {
	in       io.Reader
	out, err io.Writer
	env      []string
	file     string         // --config
	flags    map[string]any // settings given as flags
}

// run is the whole program but for the process around it. It returns the exit
// code.
func run(ctx context.Context, args []string, in io.Reader, out, errOut io.Writer, env []string) int {
	s := &shell{in: in, out: out, err: errOut, env: env, flags: map[string]any{}}
	root := s.command()
	root.SetArgs(args)
	root.SetIn(in)
	root.SetOut(out)
	root.SetErr(errOut)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitFine
	}
	s.complain(err)
	return exitCode(err)
}

func exitCode(err error) int {
	var e exit
	var refusal *schemas.Refusal
	var network net.Error
	var file *fs.PathError
	switch {
	case errors.As(err, &e):
		return e.code
	case strings.HasPrefix(err.Error(), "unknown command"):
		return exitUsage
	case errors.As(err, &refusal) && strings.HasPrefix(string(refusal.Code), "CPIS-C"):
		return exitUsage
	case errors.As(err, &refusal) && refusal.Code == "CPIS-W002":
		return exitForbidden
	case errors.As(err, &refusal):
		return exitRefused
	case errors.As(err, &file): // its cause looks like a network's
		return exitUsage
	case errors.As(err, &network), errors.Is(err, context.DeadlineExceeded):
		return exitUnreachable
	}
	return exitFailed
}

// complain writes an error in the one shape all refusals have.
func (s *shell) complain(err error) {
	var list interface{ Unwrap() []error }
	if errors.As(err, &list) {
		for _, e := range list.Unwrap() {
			s.complain(e)
		}
		return
	}
	var r *schemas.Refusal
	if !errors.As(err, &r) {
		fmt.Fprintf(s.err, "cpis: %v\n", err)
		return
	}
	e, _ := schemas.Explain(string(r.Code))
	fmt.Fprintf(s.err, "%s  %s\n  where    %s\n  seen     %s\n  why      %s\n  fix      %s\n  more     cpis explain %s\n",
		r.Code, e.Title, r.Location, r.Reason, e.Why, e.Fix, r.Code)
}

// command is the table of commands.
func (s *shell) command() *cobra.Command {
	root := &cobra.Command{
		Use:           "cpis",
		Short:         "Child protection information sharing: registrations in, answers out, nothing lost",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.PersistentFlags().StringVar(&s.file, "config", lookup(s.env, "CPIS_CONFIG"), "configuration file (YAML)")
	for _, f := range []struct{ name, key, help string }{
		{"data", "data", "folder for embedded services and development keys"},
		{"kafka-brokers", "kafka.brokers", "brokers of a Kafka cluster; none: embedded"},
		{"redis-url", "redis.url", "Redis server; none: embedded"},
		{"registry-url", "registry.url", "schema registry; none: embedded"},
	} {
		root.PersistentFlags().Var(setting{s.flags, f.key}, f.name, f.help)
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return exit{exitUsage, err} })
	for _, c := range []*cobra.Command{
		s.demo(), s.serve(), s.doctor(), s.topics(), s.tail(), s.ledger(), s.dlq(), s.hl7(), s.feeds(), s.la(), s.certs(), s.audit(), s.keys(), s.index(), s.match(),
		s.config(), s.explain(), s.bench(), s.version(),
	} {
		root.AddCommand(c)
	}
	return root
}

// setting is a flag that lands in the configuration under a key.
type setting struct {
	into map[string]any
	key  string
}

func (f setting) String() string { return "" }
func (f setting) Type() string   { return "value" }
func (f setting) Set(v string) error {
	if f.key == "kafka.brokers" || f.key == "roles" {
		f.into[f.key] = splitList(v)
		return nil
	}
	f.into[f.key] = v
	return nil
}

func lookup(env []string, name string) string {
	for _, pair := range env {
		if value, ok := strings.CutPrefix(pair, name+"="); ok {
			return value
		}
	}
	return ""
}

func (s *shell) load() (*Config, error) { return loadConfig(s.file, s.env, s.flags) }

// logger writes to standard error: colours on a terminal, JSON elsewhere.
func (s *shell) logger(c LogConfig) *slog.Logger {
	var level slog.Level
	_ = level.UnmarshalText([]byte(c.Level)) // checked with the configuration
	f, terminal := s.err.(*os.File)
	if terminal {
		info, err := f.Stat()
		terminal = err == nil && info.Mode()&os.ModeCharDevice != 0
	}
	switch {
	case c.Format == "json" || c.Format == "auto" && !terminal:
		return slog.New(slog.NewJSONHandler(s.err, &slog.HandlerOptions{Level: level}))
	default:
		return slog.New(tint.NewTextHandler(s.err, &tint.Options{Level: level, NoColor: !terminal || lookup(s.env, "NO_COLOR") != ""}))
	}
}

// usage wraps a positional argument check so that it exits as wrong usage.
func usage(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := check(cmd, args); err != nil {
			return exit{exitUsage, err}
		}
		return nil
	}
}
