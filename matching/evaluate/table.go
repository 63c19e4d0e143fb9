package evaluate

import (
	"bufio"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"

	"cpis/matching/weigh"
)

// Columns names the columns of a table. Empty: the table has none.
type Columns struct {
	ID                                         string // rows of one person have the same
	Given, Family, Born, Sex, Postcode, Number string
	Others                                     string         // further names, FAMILY^GIVEN, with ; between them
	By                                         []string       // columns by whose values results are told apart
	Also                                       []string       // further columns to compare, for pairs
	Identity                                   *regexp.Regexp // the part of the ID that is the person; nil: all of it
}

// Row is one row of a table.
type Row struct {
	ID     string
	Person weigh.Person
	Number string
	By     []string
	Also   []string
}

// Table reads rows one by one.
type Table struct {
	rows    *csv.Reader
	columns Columns
	at      map[string]int
	line    int
}

// OpenTable reads the header of a CSV file. A column that is named and not
// there is an error; spaces around names do not count.
func OpenTable(r io.Reader, c Columns) (*Table, error) {
	rows := csv.NewReader(bufio.NewReaderSize(r, 1<<20))
	rows.TrimLeadingSpace, rows.ReuseRecord = true, true
	header, err := rows.Read()
	if err != nil {
		return nil, fmt.Errorf("read header: %w", err)
	}
	t := &Table{rows: rows, columns: c, at: map[string]int{}}
	for i, name := range header {
		t.at[strings.TrimPrefix(strings.TrimSpace(name), "\ufeff")] = i
	}
	if c.ID == "" {
		return nil, errors.New("no column says who a row is")
	}
	for _, name := range append([]string{c.ID, c.Given, c.Family, c.Born, c.Sex, c.Postcode, c.Number, c.Others}, append(c.By, c.Also...)...) {
		if _, ok := t.at[name]; name != "" && !ok {
			return nil, fmt.Errorf("there is no column %q", name)
		}
	}
	return t, nil
}

// Next reads a row; io.EOF at the end.
func (t *Table) Next() (Row, error) {
	record, err := t.rows.Read()
	if err != nil {
		if errors.Is(err, io.EOF) {
			return Row{}, io.EOF
		}
		return Row{}, fmt.Errorf("read table: %w", err)
	}
	t.line++
	field := func(name string) string {
		if name == "" {
			return ""
		}
		return strings.Clone(strings.TrimSpace(record[t.at[name]]))
	}
	c := t.columns
	r := Row{ID: field(c.ID), Number: field(c.Number),
		Person: weigh.Person{GivenNames: field(c.Given), FamilyName: field(c.Family), Born: birthDate(field(c.Born)), Sex: sex(field(c.Sex)), Postcode: field(c.Postcode)}}
	if c.Identity != nil {
		r.ID = c.Identity.FindString(r.ID)
	}
	if r.ID == "" {
		return r, fmt.Errorf("row %d says not who it is", t.line)
	}
	if others := field(c.Others); others != "" {
		r.Person.Others = strings.Split(others, ";")
	}
	for _, name := range c.By {
		r.By = append(r.By, field(name))
	}
	for _, name := range c.Also {
		r.Also = append(r.Also, strings.ToLower(field(name)))
	}
	return r, nil
}

// birthDate reads YYYY-MM-DD, YYYYMMDD or DD/MM/YYYY. What is no date at all is
// none; a date that cannot be, such as 31 February, stays to be compared.
func birthDate(s string) string {
	switch {
	case len(s) == 8 && digits(s):
		return s[:4] + "-" + s[4:6] + "-" + s[6:]
	case len(s) == 10 && s[2] == '/' && s[5] == '/':
		return s[6:] + "-" + s[3:5] + "-" + s[:2]
	case len(s) == 10 && s[4] == '-' && s[7] == '-':
		return s
	}
	return ""
}

func digits(s string) bool { return strings.Trim(s, "0123456789") == "" }

func sex(s string) string {
	switch strings.ToUpper(s) {
	case "M", "MALE", "BOY", "1":
		return "M"
	case "F", "FEMALE", "GIRL", "2":
		return "F"
	}
	return "U"
}
