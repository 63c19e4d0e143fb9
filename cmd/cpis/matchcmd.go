package main

import (
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"cpis/matching"
	"cpis/matching/evaluate"
	"cpis/matching/weigh"
)

func (s *shell) match() *cobra.Command {
	root := &cobra.Command{Use: "match", Short: "Measure and explain how people are recognised"}
	root.AddCommand(s.matchExplain(), s.matchEvaluate(), s.matchPopulation(), s.matchCalibrate())
	return root
}

// nameTables are the flags for tables of names, of commands that weigh names.
type nameTables struct{ given, family string }

func (n *nameTables) flags(c *cobra.Command) {
	c.Flags().StringVar(&n.given, "given-table", "", "how common given names are: CSV with sex, name, birth_years_from, births (.gz too); none: the built-in table")
	c.Flags().StringVar(&n.family, "family-table", "", "how common family names are: CSV with surname, frequency (.gz too); none: the built-in table")
}

func (n *nameTables) open() (*weigh.Names, error) {
	switch {
	case n.given == "" && n.family == "":
		return weigh.Builtin(), nil
	case n.given == "" || n.family == "":
		return nil, exit{exitUsage, errors.New("give both tables of names or neither")}
	}
	names := weigh.NewNames(0)
	for file, read := range map[string]func(io.Reader) error{n.given: names.ReadGiven, n.family: names.ReadFamily} {
		f, err := openTable(file)
		if err != nil {
			return nil, err
		}
		err = errors.Join(read(f), f.Close())
		if err != nil {
			return nil, fmt.Errorf("%s: %w", filepath.Base(file), err)
		}
	}
	return names, nil
}

// open reads what the matcher weighs with.
func (c MatchingConfig) open() (matching.Config, error) {
	names, err := (&nameTables{c.GivenTable, c.FamilyTable}).open()
	if err != nil {
		return matching.Config{}, err
	}
	model, err := openModel(c.Weights)
	return matching.Config{ByDetails: c.ByDetails, Model: &model, Names: names}, err
}

// openModel reads weights from a file; with none, those that come with the
// broker.
func openModel(file string) (weigh.Model, error) {
	if file == "" {
		return weigh.Default(), nil
	}
	f, err := os.Open(file)
	if err != nil {
		return weigh.Model{}, err
	}
	m, err := weigh.ReadModel(f)
	if err = errors.Join(err, f.Close()); err != nil {
		return m, fmt.Errorf("%s: %w", filepath.Base(file), err)
	}
	return m, nil
}

// openTable opens a file, unpacked where its name ends in .gz.
func openTable(name string) (io.ReadCloser, error) {
	f, err := os.Open(name)
	if err != nil || !strings.HasSuffix(name, ".gz") {
		return f, err
	}
	z, err := gzip.NewReader(f)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return struct {
		io.Reader
		io.Closer
	}{z, f}, nil
}

func (s *shell) matchEvaluate() *cobra.Command {
	var c evaluate.Columns
	var names nameTables
	var index, identity, weights string
	var threshold float64
	var asJSON bool
	cmd := &cobra.Command{
		Use: "evaluate FILE…", Args: usage(cobra.MinimumNArgs(1)),
		Short: "Measure recognition on labelled tables: who is found, who is taken for another",
		Long: `With --index, every row of the files is a registration, and the question is
which person of the index it is, if any: the broker's own rules and weights, as
they stand. A row with an NHS number is asked by that number, if --number names
the column; without it, by description alone.

Without --index, the rows of each file are brought together in pairs. How often
values occur and fields agree is then learnt from the file, without its labels.

The labels are only used to count. Columns are named by flags; leave away those
the file does not have.`,
		Example: `  cpis match population --children 200000 --protected 5000 people
  cpis match evaluate --index people/index.csv people/registrations.csv
  cpis match evaluate --id rec_id --identity '^rec-[0-9]+' --given given_name --family surname --born date_of_birth --also suburb,state febrl3.csv`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if identity != "" {
				var err error
				if c.Identity, err = regexp.Compile(identity); err != nil {
					return exit{exitUsage, fmt.Errorf("--identity: %w", err)}
				}
			}
			if threshold <= 0 || threshold >= 1 {
				return exit{exitUsage, errors.New("--threshold lies between 0 and 1")}
			}
			if index == "" {
				return s.evaluatePairs(c, args, threshold, asJSON)
			}
			table, err := names.open()
			if err != nil {
				return err
			}
			model, err := openModel(weights)
			if err != nil {
				return err
			}
			return s.evaluateOpen(c, index, args, weigh.NewScale(model, table), asJSON)
		},
	}
	f := cmd.Flags()
	f.StringVar(&index, "index", "", "table of the protected people; several rows of one person are several descriptions")
	f.StringVar(&c.ID, "id", "person", "column that says who a row is")
	f.StringVar(&identity, "identity", "", "the part of it that is the person, as a regular expression")
	f.StringVar(&c.Given, "given", "given_names", "column of given names")
	f.StringVar(&c.Family, "family", "family_name", "column of the family name")
	f.StringVar(&c.Born, "born", "date_of_birth", "column of the date of birth")
	f.StringVar(&c.Sex, "sex", "", "column of the sex (default sex where --index is given)")
	f.StringVar(&c.Postcode, "postcode", "", "column of the UK postcode (default postcode where --index is given)")
	f.StringVar(&c.Number, "number", "", "column of the NHS number")
	f.StringVar(&c.Others, "others", "", "column of further names, FAMILY^GIVEN, with ; between them")
	f.StringSliceVar(&c.By, "by", nil, "columns by whose values results are told apart")
	f.StringSliceVar(&c.Also, "also", nil, "further columns to compare (pairs only)")
	f.Float64Var(&threshold, "threshold", 0.5, "probability from which a pair counts (pairs only)")
	f.StringVar(&weights, "weights", "", "weights that calibrate wrote; none: those that come with the broker (with --index only)")
	f.BoolVar(&asJSON, "json", false, "print JSON")
	names.flags(cmd)
	return cmd
}

func (s *shell) evaluatePairs(c evaluate.Columns, files []string, threshold float64, asJSON bool) error {
	for _, name := range files {
		f, err := openTable(name)
		if err != nil {
			return err
		}
		report, err := pairsOf(f, c, threshold)
		if err = errors.Join(err, f.Close()); err != nil {
			return fmt.Errorf("%s: %w", filepath.Base(name), err)
		}
		if asJSON {
			err = s.json(report)
		} else {
			err = s.printPairs(filepath.Base(name), report)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func pairsOf(r io.Reader, c evaluate.Columns, threshold float64) (evaluate.PairsReport, error) {
	t, err := evaluate.OpenTable(r, c)
	if err != nil {
		return evaluate.PairsReport{}, err
	}
	return evaluate.Pairs(t, threshold)
}

func (s *shell) printPairs(name string, r evaluate.PairsReport) error {
	fmt.Fprintf(s.out, "%s: %d rows, %d pairs of one person, %d of them share enough to be looked at\n\n", name, r.Rows, r.Pairs, r.Reachable)
	w := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "log2 odds\ttrue\tfalse\tmissed\tprecision\trecall\tF1\t")
	for _, p := range r.Curve {
		fmt.Fprintf(w, "%.1f\t%d\t%d\t%d\t%.5f\t%.5f\t%.5f\t\n", p.Bits, p.True, p.False, p.Missed, p.Precision, p.Recall, p.F1)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(s.out, "\nat probability %.3g, fixed before the run: precision %.5f  recall %.5f  F1 %.5f  (%d true, %d false, %d missed)\n",
		r.Threshold, r.At.Precision, r.At.Recall, r.At.F1, r.At.True, r.At.False, r.At.Missed)
	fmt.Fprintf(s.out, "best F1, known only from the labels: %.5f at %.1f; recall at zero false: %.5f\n", r.Best.F1, r.Best.Bits, r.ZeroFalse)
	fmt.Fprintf(s.out, "false pairs per pair looked at: below %.3g at 95 %%\n", r.Bound95)
	return nil
}

func (s *shell) evaluateOpen(c evaluate.Columns, index string, files []string, scale *weigh.Scale, asJSON bool) error {
	if c.Sex == "" {
		c.Sex = "sex"
	}
	if c.Postcode == "" {
		c.Postcode = "postcode"
	}
	x := evaluate.NewIndex()
	held := c
	held.By = nil
	if err := eachRow(index, held, x.Add); err != nil {
		return err
	}
	for _, name := range files {
		f, err := openTable(name)
		if err != nil {
			return err
		}
		report, err := openOf(f, c, x, scale)
		if err = errors.Join(err, f.Close()); err != nil {
			return fmt.Errorf("%s: %w", filepath.Base(name), err)
		}
		if asJSON {
			err = s.json(report)
		} else {
			err = s.printOpen(filepath.Base(name), report)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func openOf(r io.Reader, c evaluate.Columns, x *evaluate.Index, scale *weigh.Scale) (evaluate.Report, error) {
	t, err := evaluate.OpenTable(r, c)
	if err != nil {
		return evaluate.Report{}, err
	}
	return evaluate.Open(x, scale, t)
}

func eachRow(name string, c evaluate.Columns, each func(evaluate.Row)) error {
	f, err := openTable(name)
	if err != nil {
		return err
	}
	t, err := evaluate.OpenTable(f, c)
	for err == nil {
		var r evaluate.Row
		if r, err = t.Next(); err == nil {
			each(r)
		}
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("%s: %w", filepath.Base(name), err)
	}
	return nil
}

func (s *shell) printOpen(name string, r evaluate.Report) error {
	t := r.Total
	fmt.Fprintf(s.out, "%s: %d registrations, %d of them of the %d protected people; model %s\n\n", name, t.Protected+t.Others, t.Protected, r.Index, r.Model)
	w := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', tabwriter.AlignRight)
	head := "recognised\tpossible\tnumber in doubt\ttoo little\tmissed\tother taken\tother possible\tother in doubt\twrong person\t"
	row := func(label string, t evaluate.Tally) {
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t\n", label, t.Confirmed, t.Possible, t.Conflict, t.TooLittle, t.Missed, t.False, t.FalseSeen, t.FalseCross, t.Wrong)
	}
	fmt.Fprintln(w, "\t"+head)
	row("all", t)
	for _, column := range sortedNames(r.Strata) {
		for _, value := range sortedNames(r.Strata[column]) {
			row(column+" "+value, r.Strata[column][value])
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(s.out, "\nrecognised %.4f of the protected, recognised or in doubt %.4f; others taken for one of them: below %.3g per registration at 95 %%\n\n", t.Recall(), t.Seen(), r.Bound)
	fmt.Fprintln(w, "log2 odds\tfound\tfalse\trecall\tfalse per registration\tbelow, at 95 %\t")
	for _, p := range r.Curve {
		fmt.Fprintf(w, "%.0f\t%d\t%d\t%.4f\t%.3g\t%.3g\t\n", p.Bits, p.Found, p.False, p.Recall, p.Rate, p.Bound95)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(w, "\nlog2 odds\tright\twrong\tstated odds\tobserved\t")
	for _, b := range r.Bins {
		fmt.Fprintf(w, "%d\t%d\t%d\t%.3g\t%.3g\t\n", b.Bits, b.Right, b.Wrong, b.Stated, b.Odds())
	}
	return w.Flush()
}

func sortedNames[V any](m map[string]V) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}
