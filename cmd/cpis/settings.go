package main

import (
	"fmt"

	"github.com/spf13/cobra"
	yamlnode "go.yaml.in/yaml/v3"
)

func (s *shell) config() *cobra.Command {
	root := &cobra.Command{Use: "config", Short: "Check or show the configuration"}
	check := &cobra.Command{
		Use: "check [FILE]", Short: "Check a configuration exactly as serve would", Args: usage(cobra.MaximumNArgs(1)),
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 1 {
				s.file = args[0]
			}
			c, err := s.load()
			if err != nil {
				return err
			}
			fmt.Fprintf(s.out, "%s: fine, %d feeds\n", orText(s.file, "no file, defaults and environment"), len(c.Feeds))
			return nil
		},
	}
	show := &cobra.Command{
		Use: "show", Short: "Show every setting as it would apply", Args: usage(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			c, err := s.load()
			if err != nil {
				return err
			}
			enc := yamlnode.NewEncoder(s.out)
			enc.SetIndent(2)
			return enc.Encode(c)
		},
	}
	root.AddCommand(check, show)
	return root
}
