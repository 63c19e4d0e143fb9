package socialcare

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"cpis/schemas"
)

// Traced is what the demographics know under an NHS number.
type Traced struct {
	Status string // one of the statuses below
	Person schemas.Person
}

// Statuses of a traced number.
const (
	TracedFound      = "FOUND"
	TracedSensitive  = "SENSITIVE"
	TracedSuperseded = "SUPERSEDED"
)

// Demographics says who NHS numbers are; a number that is not in the answer is
// nobody's. An error means that it cannot be told now: the file is to be sent
// again (CPF05). Safe for concurrent use.
type Demographics interface {
	Trace(ctx context.Context, numbers []schemas.NHSNumber) (map[schemas.NHSNumber]Traced, error)
}

// trace holds the rows against the demographics, where there are any.
func (s *Service) trace(ctx context.Context, j *job) error {
	if s.config.Demographics == nil {
		return nil
	}
	var numbers []schemas.NHSNumber
	for _, it := range j.items {
		if !it.refused && !it.row.Withdrawn { // what is taken back needs no proof
			numbers = append(numbers, it.indicator.Person.Number)
		}
	}
	known, err := s.config.Demographics.Trace(ctx, numbers)
	if err != nil {
		return fmt.Errorf("trace numbers: %w", err)
	}
	for i := range j.items {
		it := &j.items[i]
		if it.refused || it.row.Withdrawn {
			continue
		}
		t, ok := known[it.indicator.Person.Number]
		field, reason := "nhs_number", ""
		var code schemas.Code
		switch {
		case !ok:
			code = "CPIS-L040"
		case t.Status == TracedSensitive:
			code = "CPIS-L041"
		case t.Status == TracedSuperseded:
			code = "CPIS-L043"
		default:
			if field, reason = differs(it.indicator.Person, t.Person); field != "" {
				code = "CPIS-L042"
			}
		}
		if code != "" {
			refuse(it, code, field, reason)
		}
	}
	return nil
}

// differs compares a record with the demographics by the ladder that case
// systems use: the date of birth and the family name are the same, and of the
// given names all, or the first, or the first with any. It gives the field that
// is not.
func differs(sent, known schemas.Person) (field, reason string) {
	given, traced := words(sent.GivenNames), words(known.GivenNames)
	switch {
	case sent.DateOfBirth != known.DateOfBirth:
		return "date_of_birth", "another is known"
	case !slices.Equal(words(sent.FamilyName), words(known.FamilyName)):
		return "family_name", "another is known"
	case len(given) == 0 || len(traced) == 0, slices.Contains(traced, given[0]):
		return "", ""
	}
	return "given_names", "the first is none of those known"
}

// words are the words of a name in small letters, without hyphens, apostrophes
// and dots.
func words(name string) []string {
	name = strings.NewReplacer("'", "", "’", "", ".", "", "-", " ").Replace(strings.ToLower(name))
	return strings.Fields(name)
}

// DemographicsFile reads demographics from a file, such as the answer to a batch
// trace: CSV with the columns nhs_number, family_name, given_names,
// date_of_birth and status (FOUND, SENSITIVE or SUPERSEDED). It is read anew for
// every file of an authority, so that a new answer counts at once.
type DemographicsFile string

// Trace implements Demographics.
func (name DemographicsFile) Trace(_ context.Context, numbers []schemas.NHSNumber) (map[schemas.NHSNumber]Traced, error) {
	f, err := os.Open(string(name))
	if err != nil {
		return nil, fmt.Errorf("read demographics: %w", err)
	}
	defer func() { _ = f.Close() }()
	wanted := map[schemas.NHSNumber]bool{}
	for _, n := range numbers {
		wanted[n] = true
	}
	r := csv.NewReader(f)
	header, err := r.Read()
	if err != nil {
		return nil, fmt.Errorf("read demographics: no header")
	}
	at := map[string]int{}
	for i, column := range header {
		at[strings.ToLower(strings.TrimSpace(column))] = i
	}
	for _, column := range []string{"nhs_number", "family_name", "given_names", "date_of_birth", "status"} {
		if _, ok := at[column]; !ok {
			return nil, fmt.Errorf("read demographics: no column %s", column)
		}
	}
	out := map[schemas.NHSNumber]Traced{}
	for {
		row, err := r.Read()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			line, _ := r.FieldPos(0)
			return nil, fmt.Errorf("read demographics: line %d cannot be read", line)
		}
		n, err := schemas.ParseNHSNumber(row[at["nhs_number"]])
		if err != nil || !wanted[n] {
			continue
		}
		status := strings.ToUpper(row[at["status"]])
		if !slices.Contains([]string{TracedFound, TracedSensitive, TracedSuperseded}, status) {
			line, _ := r.FieldPos(0)
			return nil, fmt.Errorf("read demographics: line %d has a status that is not known", line)
		}
		out[n] = Traced{status, schemas.Person{Number: n, FamilyName: row[at["family_name"]], GivenNames: row[at["given_names"]], DateOfBirth: schemas.Date(row[at["date_of_birth"]])}}
	}
}
