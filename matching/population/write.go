package population

import (
	"bufio"
	"cmp"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"maps"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// Columns of both files that Write makes.
func Columns() []string {
	return []string{"person", "source", "given_names", "family_name", "date_of_birth", "sex", "postcode", "nhs_number", "number_is", "origin", "kin"}
}

// Kin of a child to those protected.
const (
	kinProtected = "protected"
	kinTwin      = "twin of a protected child"
	kinSibling   = "sibling of a protected child"
	kinNone      = "none"
)

// Shares of registrations whose number is not the child's own, or is not there.
// There are more wrong ones than in any feed, so that there are enough to
// measure; results are told apart by number_is.
const (
	numberMissing = 0.015
	numberInvalid = 0.003 // fails the check digit
	numberSibling = 0.001 // of those who have one
	numberTwin    = 0.01  // of twins
	numberNear    = 0.02  // of those near to whom somebody protected was born
)

// Made is how many rows were written.
type Made struct {
	Registrations, Protected, Descriptions int
}

// Files are what Write fills.
type Files struct {
	Index         io.Writer // every protected child as the authority and as the national demographics describe them
	Registrations io.Writer // every child once, as a care setting describes them
	Given, Family io.Writer // how common the names are, as a registrar would count them
}

// Write makes the population. Columns person, number_is, origin and kin are the
// truth, not for the matcher.
func (p *Population) Write(ctx context.Context, to Files) (Made, error) {
	var made Made
	names := newCensus()
	protectedOn := map[string][]Child{} // by date of birth, for records picked wrongly
	out := newRows(to.Index)
	for h := range p.households {
		if h%10_000 == 0 && ctx.Err() != nil {
			return made, ctx.Err()
		}
		for _, c := range p.Household(h) {
			names.count(c)
			if !c.Protected {
				continue
			}
			made.Protected++
			protectedOn[c.Born] = append(protectedOn[c.Born], c)
			number := c.Number
			if c.OldNumber != "" { // the authority does not know of the merge
				number = c.OldNumber
			}
			out.write(c, "authority", p.Authority(c), number, "own", kinProtected)
			out.write(c, "demographics", p.Demographics(c), number, "own", kinProtected)
			made.Descriptions += 2
		}
	}
	if err := out.close(); err != nil {
		return made, err
	}
	if err := names.write(to.Given, to.Family); err != nil {
		return made, err
	}
	n, err := p.register(ctx, to.Registrations, protectedOn)
	made.Registrations = n
	return made, err
}

// register writes the registrations, made side by side and written in order.
func (p *Population) register(ctx context.Context, to io.Writer, protectedOn map[string][]Child) (int, error) {
	const perPart = 5000
	type part struct {
		text  []byte
		count int
		err   error
	}
	workers := runtime.GOMAXPROCS(0)
	parts := make([]chan part, workers)
	var wait sync.WaitGroup
	ctx, stop := context.WithCancel(ctx)
	defer wait.Wait()
	defer stop()
	for i := range workers {
		parts[i] = make(chan part, 2)
		wait.Go(func() {
			defer close(parts[i])
			for from := i * perPart; from < p.households; from += workers * perPart {
				made := part{}
				made.text, made.count, made.err = p.part(from, min(from+perPart, p.households), protectedOn)
				select {
				case parts[i] <- made:
				case <-ctx.Done():
					return
				}
			}
		})
	}
	w := bufio.NewWriterSize(to, 1<<20)
	if err := newRows(w).close(); err != nil {
		return 0, err
	}
	total := 0
	for i := 0; ; i = (i + 1) % workers {
		made, ok := <-parts[i]
		if !ok {
			break
		}
		if made.err != nil {
			return total, made.err
		}
		total += made.count
		if _, err := w.Write(made.text); err != nil {
			return total, fmt.Errorf("write registrations: %w", err)
		}
	}
	if ctx.Err() != nil {
		return total, ctx.Err()
	}
	return total, w.Flush()
}

func (p *Population) part(from, to int, protectedOn map[string][]Child) ([]byte, int, error) {
	var text buffer
	out := &rows{csv: csv.NewWriter(&text)}
	n := 0
	for h := from; h < to; h++ {
		children := p.Household(h)
		for _, c := range children {
			number, is := p.number(c, children, protectedOn)
			out.write(c, "setting", p.Setting(c), number, is, kin(c, children))
			n++
		}
	}
	err := out.close()
	return text, n, err
}

type buffer []byte

func (b *buffer) Write(p []byte) (int, error) { *b = append(*b, p...); return len(p), nil }

// number is the NHS number a registration comes with, and whose it is.
func (p *Population) number(c Child, siblings []Child, protectedOn map[string][]Child) (number, is string) {
	r := p.stream(c.Household, useNumber<<8|uint64(c.Place))
	if c.OldNumber != "" && c.Protected {
		is = "merged"
	} else {
		is = "own"
	}
	if c.Twin >= 0 && chance(r, numberTwin) {
		return siblings[c.Twin].Number, "twin's"
	}
	if len(siblings) > 1 && chance(r, numberSibling) {
		if other := siblings[(c.Place+1)%len(siblings)]; other.Twin != c.Place {
			return other.Number, "sibling's"
		}
	}
	if chance(r, numberNear) {
		if near, ok := Nearest(c, protectedOn[c.Born]); ok {
			return near.Number, "namesake's"
		}
	}
	switch x := r.Float64(); {
	case x < numberMissing:
		return "", "missing"
	case x < numberMissing+numberInvalid:
		last := c.Number[9]
		return c.Number[:9] + string('0'+(last-'0'+1)%10), "fails the check digit"
	}
	return c.Number, is
}

func kin(c Child, siblings []Child) string {
	if c.Protected {
		return kinProtected
	}
	if c.Twin >= 0 && siblings[c.Twin].Protected {
		return kinTwin
	}
	for _, s := range siblings {
		if s.Protected {
			return kinSibling
		}
	}
	return kinNone
}

// rows writes one file.
type rows struct {
	csv  *csv.Writer
	line []string
}

func newRows(w io.Writer) *rows {
	r := &rows{csv: csv.NewWriter(w)}
	_ = r.csv.Write(Columns()) // an error stays, and close reports it
	return r
}

func (r *rows) write(c Child, source string, d Description, number, is, kin string) {
	r.line = append(r.line[:0], c.ID(), source, d.Given, d.Family, d.Born, d.Sex, d.Postcode, number, is, string(c.Origin), kin)
	_ = r.csv.Write(r.line)
}

func (r *rows) close() error {
	r.csv.Flush()
	if err := r.csv.Error(); err != nil {
		return fmt.Errorf("write population: %w", err)
	}
	return nil
}

// census counts names.
type census struct {
	given  map[givenName]int
	family map[string]int
}

type givenName struct {
	sex  byte
	name string
	from int // first of four birth years
}

func newCensus() *census { return &census{given: map[givenName]int{}, family: map[string]int{}} }

func (n *census) count(c Child) {
	year, _ := strconv.Atoi(c.Born[:4]) // our own dates
	n.given[givenName{c.Sex, firstWord(c.Given), year - year%4}]++
	n.family[c.Family]++
}

func (n *census) write(given, family io.Writer) error {
	out := csv.NewWriter(given)
	_ = out.Write([]string{"sex", "name", "birth_years_from", "births"})
	for _, k := range slices.SortedFunc(maps.Keys(n.given), func(a, b givenName) int {
		return cmp.Or(cmp.Compare(a.from, b.from), cmp.Compare(a.sex, b.sex), strings.Compare(a.name, b.name))
	}) {
		_ = out.Write([]string{string(k.sex), k.name, strconv.Itoa(k.from), strconv.Itoa(n.given[k])})
	}
	out.Flush()
	names := csv.NewWriter(family)
	_ = names.Write([]string{"surname", "frequency"})
	for _, k := range slices.Sorted(maps.Keys(n.family)) {
		_ = names.Write([]string{k, strconv.Itoa(n.family[k])})
	}
	names.Flush()
	if err := errors.Join(out.Error(), names.Error()); err != nil {
		return fmt.Errorf("write tables of names: %w", err)
	}
	return nil
}
