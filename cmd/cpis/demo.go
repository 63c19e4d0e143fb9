package main
import "github.com/spf13/cobra"
func (s *shell) demo() *cobra.Command { return &cobra.Command{Use:"demo"} }
func (s *shell) bench() *cobra.Command { return &cobra.Command{Use:"bench"} }
