package main

import (
	"errors"
	"fmt"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"

	"cpis/connectors/adt"
	"cpis/schemas"
)

func (s *shell) serve() *cobra.Command {
	c := &cobra.Command{
		Use:   "serve",
		Short: "Run the broker, all of it or some roles",
		Long: `Runs the broker until it is told to stop. With no configuration everything runs
here, on loopback addresses, and keeps its state in the folder cpis-data.

With --kafka-brokers, --registry-url and --redis-url it works on those services
instead; start several processes with the same roles and they share the work.`,
		Example: "  cpis serve\n  cpis serve --config deploy/config/site.yaml --roles intake,matcher",
		Args:    usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			config, err := s.load()
			if err != nil {
				return err
			}
			log := s.logger(config.Log)
			sys, err := wire(cmd.Context(), config, log)
			if err != nil {
				if cmd.Context().Err() != nil {
					return nil // told to stop while waiting for a service
				}
				return err
			}
			defer func() { err = errors.Join(err, sys.Close()) }()
			log.Info("ready to serve", "roles", strings.Join(config.Roles, ","), "mllp", sys.doorAddrs(), "http", sys.webAddr, "kafka", strings.Join(config.Kafka.Brokers, ","))
			return sys.Run(cmd.Context())
		},
	}
	c.Flags().Var(setting{s.flags, "roles"}, "roles", "parts to run: "+strings.Join(allRoles(), ", "))
	c.Flags().Var(setting{s.flags, "mllp.listen"}, "mllp-listen", "address for HL7 v2 senders")
	c.Flags().Var(setting{s.flags, "http.listen"}, "http-listen", "address for authorities, health and metrics; off for none")
	c.Flags().Var(setting{s.flags, "kafka.listen"}, "kafka-listen", "address of the embedded Kafka")
	c.Flags().Var(setting{s.flags, "registry.listen"}, "registry-listen", "address of the embedded schema registry")
	return c
}

func (s *system) doorAddr() string {
	if len(s.doors) == 0 {
		return ""
	}
	return s.doors[0].Addr().String()
}

// doorAddrs are the addresses of all listeners, by name.
func (s *system) doorAddrs() string {
	var out []string
	for _, d := range s.doors {
		out = append(out, d.Name()+" "+d.Addr().String())
	}
	return strings.Join(out, ", ")
}

// version is what a build says of itself.
type version struct {
	Version  string `json:"version"`
	Revision string `json:"revision,omitempty"`
	Go       string `json:"go"`
}

func buildVersion() version {
	v := version{Version: "0.1.0"}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	v.Go = info.GoVersion
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			v.Revision = s.Value
		}
	}
	return v
}

func (s *shell) version() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{Use: "version", Short: "Print the version", Args: usage(cobra.NoArgs), RunE: func(*cobra.Command, []string) error {
		v := buildVersion()
		if asJSON {
			return s.json(v)
		}
		fmt.Fprintf(s.out, "cpis %s %s %s\n", v.Version, v.Revision, v.Go)
		return nil
	}}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

func (s *shell) explain() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use: "explain [CODE]", Short: "Say what a code means and what to do", Args: usage(cobra.MaximumNArgs(1)),
		Example: "  cpis explain CPIS-H012\n  cpis explain",
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				for _, e := range schemas.Catalogue() {
					fmt.Fprintf(s.out, "%s  %s\n", e.Code, e.Title)
				}
				return nil
			}
			e, ok := schemas.Explain(args[0])
			if !ok {
				return exit{exitUsage, fmt.Errorf("no code %q; `cpis explain` lists them all", args[0])}
			}
			if asJSON {
				return s.json(e)
			}
			fmt.Fprintf(s.out, "%s  %s\n  why    %s\n  fix    %s\n  fate   %s\n", e.Code, e.Title, e.Why, e.Fix, e.Fate)
			for _, m := range adt.CodeSamples() {
				if m.Name == string(e.Code) {
					fmt.Fprintf(s.out, "  sample %s: cpis hl7 explain sample:%s\n", m.About, m.Name)
				}
			}
			return nil
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}
