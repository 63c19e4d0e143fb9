package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"cpis/matching/evaluate"
	"cpis/matching/population"
	"cpis/matching/weigh"
)

func (s *shell) matchCalibrate() *cobra.Command {
	var names nameTables
	c := evaluate.Columns{ID: "person", Given: "given_names", Family: "family_name", Born: "date_of_birth", Sex: "sex", Postcode: "postcode"}
	var index string
	cmd := &cobra.Command{
		Use: "calibrate FILE", Args: usage(cobra.ExactArgs(1)),
		Short: "Estimate, without labels, how often the details of one person agree, and write the weights",
		Long: `Compares the registrations of a file with the protected people of --index and
estimates how often names, dates, postcodes and sex of one person agree there.
The weights go to standard output, for matching.weights and for evaluate --weights;
what siblings and twins show cannot be learnt so, and stays. New weights need a new
operating curve: run evaluate with them before a site uses them.`,
		Example: "  cpis match calibrate --index people/index.csv people/registrations.csv > weights.json",
		RunE: func(_ *cobra.Command, args []string) error {
			table, err := names.open()
			if err != nil {
				return err
			}
			x := evaluate.NewIndex()
			if err := eachRow(index, c, x.Add); err != nil {
				return err
			}
			f, err := openTable(args[0])
			if err != nil {
				return err
			}
			rows, err := evaluate.OpenTable(f, c)
			if err != nil {
				return errors.Join(err, f.Close())
			}
			learnt, err := evaluate.Calibrate(x, weigh.NewScale(weigh.Default(), table), rows)
			if err = errors.Join(err, f.Close()); err != nil {
				return err
			}
			fmt.Fprintf(s.err, "%d registrations, %d pairs compared, about %.0f of them of one person\n", learnt.Queries, learnt.Pairs, learnt.Expected)
			return s.json(learnt.Model)
		},
	}
	cmd.Flags().StringVar(&index, "index", "", "table of the protected people")
	_ = cmd.MarkFlagRequired("index") // the flag stands above
	cmd.Flags().StringVar(&c.ID, "id", c.ID, "column that says who a row is; it is not compared")
	cmd.Flags().StringVar(&c.Given, "given", c.Given, "column of given names")
	cmd.Flags().StringVar(&c.Family, "family", c.Family, "column of the family name")
	cmd.Flags().StringVar(&c.Born, "born", c.Born, "column of the date of birth")
	cmd.Flags().StringVar(&c.Sex, "sex", c.Sex, "column of the sex")
	cmd.Flags().StringVar(&c.Postcode, "postcode", c.Postcode, "column of the UK postcode")
	names.flags(cmd)
	return cmd
}

func (s *shell) matchPopulation() *cobra.Command {
	var names nameTables
	var c population.Config
	cmd := &cobra.Command{
		Use: "population FOLDER", Args: usage(cobra.ExactArgs(1)),
		Short: "Make up the children of England, to measure recognition on",
		Long: `Writes index.csv, the protected children as their local authority and as the
national demographics describe them, and registrations.csv, every child once as a
care setting registers them; given_names.csv and family_names.csv say how common
their names are. Families share names and an address, there are twins, and every
description has errors of its own. The columns person, number_is, origin
and kin are the truth. The same seed makes the same people; nobody of them exists.`,
		Example: "  cpis match population --children 12000000 --protected 300000 people",
		RunE: func(cmd *cobra.Command, args []string) error {
			if c.Children < 1 || c.Protected < 0 || c.Protected > c.Children/2 {
				return exit{exitUsage, errors.New("want at least one child, and at most half of them protected")}
			}
			var err error
			if c.Names, err = names.open(); err != nil {
				return err
			}
			if most := population.MaxHouseholds * 18 / 10; c.Children > most {
				return exit{exitUsage, fmt.Errorf("at most %d children: there are no more numbers that are issued to nobody", most)}
			}
			c.On = time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)
			return s.writePopulation(cmd.Context(), population.New(c), args[0])
		},
	}
	cmd.Flags().IntVar(&c.Children, "children", 200_000, "how many children there are, about")
	cmd.Flags().IntVar(&c.Protected, "protected", 3_000, "how many of them are protected, about")
	cmd.Flags().Uint64Var(&c.Seed, "seed", 1, "which population")
	names.flags(cmd)
	return cmd
}

func (s *shell) writePopulation(ctx context.Context, p *population.Population, folder string) error {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	var files []*os.File
	for _, name := range []string{"index.csv", "registrations.csv", "given_names.csv", "family_names.csv"} {
		f, err := os.Create(filepath.Join(folder, name))
		if err != nil {
			return err
		}
		defer func() { _ = f.Close() }() // a second close, where all went well
		files = append(files, f)
	}
	made, err := p.Write(ctx, population.Files{Index: files[0], Registrations: files[1], Given: files[2], Family: files[3]})
	for _, f := range files {
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(s.err, "%d registrations, and %d descriptions of %d protected children\n", made.Registrations, made.Descriptions, made.Protected)
	return nil
}
