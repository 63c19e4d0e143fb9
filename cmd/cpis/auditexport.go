package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/parquet-go/parquet-go"
	"github.com/spf13/cobra"

	"cpis/router"
	"cpis/schemas"
	"cpis/schemas/contact"
)

func (s *shell) auditExport() *cobra.Command {
	var from, to, format, file string
	c := &cobra.Command{
		Use: "export", Short: "Write audit records of some days as rows without names, for analysts", Args: usage(cobra.NoArgs),
		Long: `Writes what was decided, seen, refused and changed as a table: CSV, Parquet or Avro.
It names nobody: people and workers are pseudonyms made for exports, the same in every
export. Beside the file stands FILE.notes.md, which says what must not be published
since it is about few. "cpis audit columns" describes every column; ANALYSTS.md has
recipes. That you export is on record.`,
		Example: "  cpis audit export --from 2026-11-01 --to 2026-11-30 --format parquet --out november.parquet",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return s.export(cmd.Context(), from, to, format, file)
		},
	}
	c.Flags().StringVar(&from, "from", "", "first day, YYYY-MM-DD, by the calendar in London")
	c.Flags().StringVar(&to, "to", "", "last day; default the first")
	c.Flags().StringVar(&format, "format", "csv", "csv, parquet or avro")
	c.Flags().StringVar(&file, "out", "", "file to write; it must not be there yet")
	return c
}

func (s *shell) auditColumns() *cobra.Command {
	return &cobra.Command{
		Use: "columns", Short: "Describe the columns of an export", Args: usage(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			text, err := dictionary()
			fmt.Fprint(s.out, text)
			return err
		},
	}
}

// dictionary is the data dictionary, as ANALYSTS.md has it.
func dictionary() (string, error) {
	columns, err := schemas.AuditColumns()
	if err != nil {
		return "", err
	}
	text := "| column | type | meaning |\n|---|---|---|\n"
	for _, c := range columns {
		text += fmt.Sprintf("| `%s` | %s | %s |\n", c.Name, c.Type, c.Doc)
	}
	return text, nil
}

func (s *shell) export(ctx context.Context, from, to, format, file string) error {
	book, err := contact.NewBook()
	if err != nil {
		return err
	}
	if to == "" {
		to = from
	}
	first, err1 := time.ParseInLocation(time.DateOnly, from, book.Place())
	last, err2 := time.ParseInLocation(time.DateOnly, to, book.Place())
	if err := errors.Join(err1, err2); err != nil || last.Before(first) || file == "" {
		return exit{exitUsage, errors.New("say which days with --from and --to YYYY-MM-DD, and where to with --out FILE")}
	}
	writers := map[string]func(io.Writer) (func([]schemas.AuditRow) error, func() error, error){"csv": csvRows, "avro": avroRows, "parquet": parquetRows}
	if writers[format] == nil {
		return exit{exitUsage, fmt.Errorf("--format %q is none of csv, parquet and avro", format)}
	}
	t, done, err := s.connect(ctx)
	if err != nil {
		return err
	}
	defer done()
	if err := t.did(ctx, schemas.ActionAuditExported, from+" "+to+" "+format, 1); err != nil {
		return err
	}
	out, err := os.OpenFile(file, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("write export: %w", err)
	}
	write, finish, err := writers[format](out)
	if err != nil {
		return errors.Join(err, out.Close())
	}
	until := last.AddDate(0, 0, 1)
	var small router.Small
	x := &router.Exporter{Client: t.client, Codec: t.codec, Keys: t.keys, Place: book.Place()}
	rows := 0
	err = x.Read(ctx, first, until, func(part []schemas.AuditRow) error {
		small.Add(part)
		rows += len(part)
		return write(part)
	})
	if err = errors.Join(err, finish(), out.Sync(), out.Close()); err != nil {
		return err
	}
	if err := os.WriteFile(file+".notes.md", []byte(small.Notes(first, until)), 0o600); err != nil {
		return fmt.Errorf("write notes: %w", err)
	}
	fmt.Fprintf(s.out, "%d rows in %s; read %s.notes.md before you publish anything\n", rows, file, file)
	return nil
}

func nothing() error { return nil }

func csvRows(w io.Writer) (func([]schemas.AuditRow) error, func() error, error) {
	write, err := router.NewAuditCSV(w)
	return write, nothing, err
}

func avroRows(w io.Writer) (func([]schemas.AuditRow) error, func() error, error) {
	write, err := schemas.NewAuditOCF(w)
	return write, nothing, err
}

func parquetRows(w io.Writer) (func([]schemas.AuditRow) error, func() error, error) {
	file := parquet.NewGenericWriter[schemas.AuditRow](w, parquet.Compression(&parquet.Zstd))
	return func(rows []schemas.AuditRow) error {
		if _, err := file.Write(rows); err != nil {
			return fmt.Errorf("write export: %w", err)
		}
		return nil
	}, file.Close, nil
}
