package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"cpis/connectors/socialcare"
	"cpis/schemas"
)

func (s *shell) la() *cobra.Command {
	root := &cobra.Command{Use: "la", Short: "Send a local authority's plans and contacts"}
	var authority, server string
	var asJSON, contacts bool
	up := &cobra.Command{
		Use: "upload FILE", Args: usage(cobra.ExactArgs(1)),
		Short:   "Send a CSV or JSON Lines file of plans, or the authority's contacts, and print a verdict per record",
		Example: "  cpis la upload contacts.json --contacts --authority E09000019\n  cpis la upload plans.csv --authority E09000019 --server http://127.0.0.1:8080",
		RunE: func(cmd *cobra.Command, args []string) error {
			code := schemas.AuthorityCode(authority)
			if !code.Valid() {
				return exit{exitUsage, errors.New("say whose records these are with --authority CODE (3 to 9 letters and digits)")}
			}
			if server == "" {
				config, err := s.load()
				if err != nil {
					return err
				}
				server = "http://" + config.HTTP.Listen
			}
			text, err := os.ReadFile(args[0])
			if err != nil {
				return fmt.Errorf("read file: %w", err)
			}
			if contacts {
				if err := socialcare.PutContacts(cmd.Context(), server, code, bytes.NewReader(text)); err != nil {
					return err
				}
				fmt.Fprintf(s.out, "contacts of %s are in\n", code)
				return nil
			}
			kind := "text/csv"
			if ext := strings.ToLower(filepath.Ext(args[0])); ext == ".jsonl" || ext == ".ndjson" {
				kind = "application/x-ndjson"
			}
			result, err := socialcare.Upload(cmd.Context(), server, code, kind, bytes.NewReader(text))
			if err != nil {
				return err
			}
			if asJSON {
				err = s.json(result)
			} else {
				err = result.Table(s.out)
			}
			if err == nil && result.Refused > 0 {
				return exit{exitRefused, fmt.Errorf("%d of %d records were refused", result.Refused, result.Received)}
			}
			return err
		},
	}
	up.Flags().StringVar(&authority, "authority", "", "code of the local authority")
	up.Flags().StringVar(&server, "server", "", "address of the broker; default http:// and http.listen")
	up.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	up.Flags().BoolVar(&contacts, "contacts", false, "the file holds the authority's contacts")
	root.AddCommand(up)
	return root
}
