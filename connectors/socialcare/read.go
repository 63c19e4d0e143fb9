package socialcare

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"unicode/utf8"

	"cpis/schemas"
)

// readCSV reads a file with a header line, line by line: no column needs a line
// break, and a quote that is never closed must not swallow the rows after it. A
// byte-order mark, any line ends, blank rows and Latin-1 lines are taken as they
// come. Its errors are *schemas.Refusal: the file as a whole cannot be used.
func readCSV(text []byte) ([]Row, error) {
	var header []string
	var rows []Row
	for n, line := range lines(text) {
		line = decode(line)
		if len(bytes.Trim(line, " \t,;\"")) == 0 {
			continue
		}
		record, err := fieldsOf(line)
		if header == nil {
			if err != nil {
				return nil, &schemas.Refusal{Code: "CPIS-L020", Location: fmt.Sprintf("line %d", n), Reason: "no header"}
			}
			for _, name := range record {
				header = append(header, strings.ToLower(name))
			}
			if err := checkHeader(header); err != nil {
				return nil, err
			}
			continue
		}
		if len(rows) == MaxRows {
			return nil, tooMany()
		}
		row := Row{Line: n, Raw: line, Fields: map[string]string{}}
		switch {
		case len(line) > maxLine:
			row.Raw, row.Unread = line[:maxLine], fmt.Sprintf("longer than %d bytes", maxLine)
		case err != nil:
			row.Unread = "the quotes of the line do not match"
		case len(record) != len(header):
			row.Unread = fmt.Sprintf("%d fields, the header has %d", len(record), len(header))
		default:
			for i, name := range header {
				row.Fields[name] = record[i]
			}
		}
		rows = append(rows, row)
	}
	if header == nil {
		return nil, &schemas.Refusal{Code: "CPIS-L020", Location: "line 1", Reason: "no header"}
	}
	return rows, nil
}

// lines numbers the lines of a file from 1.
func lines(text []byte) iter.Seq2[int, []byte] {
	return func(yield func(int, []byte) bool) {
		text = bytes.TrimPrefix(text, []byte("\xef\xbb\xbf"))
		for n := 1; len(text) > 0; n++ {
			line, rest, _ := bytes.Cut(text, []byte("\n"))
			if !yield(n, bytes.TrimSuffix(line, []byte("\r"))) {
				return
			}
			text = rest
		}
	}
}

func fieldsOf(line []byte) ([]string, error) {
	r := csv.NewReader(bytes.NewReader(line))
	record, err := r.Read()
	for i := range record {
		record[i] = strings.TrimSpace(record[i])
	}
	return record, err
}

func tooMany() error {
	return &schemas.Refusal{Code: "CPIS-L020", Location: "file", Reason: fmt.Sprintf("more than %d rows", MaxRows)}
}

func checkHeader(header []string) error {
	for i, name := range header {
		if !slices.Contains(Columns(), name) {
			return &schemas.Refusal{Code: "CPIS-L021", Location: fmt.Sprintf("column %d", i+1), Reason: "a column that is not taken"}
		}
		if slices.Index(header, name) != i {
			return &schemas.Refusal{Code: "CPIS-L020", Location: name, Reason: "the column stands twice"}
		}
	}
	for _, name := range Columns() {
		if !slices.Contains(header, name) && !slices.Contains(optional(), name) {
			return &schemas.Refusal{Code: "CPIS-L020", Location: name, Reason: "the column is missing"}
		}
	}
	return nil
}

// decode reads a line that is not UTF-8 as Latin-1. It decides line by line, so
// that one odd line does not spoil the names on the others.
func decode(line []byte) []byte {
	if utf8.Valid(line) {
		return line
	}
	var out bytes.Buffer
	for _, b := range line {
		out.WriteRune(rune(b))
	}
	return out.Bytes()
}

// readJSONL reads one object a line.
func readJSONL(text []byte) ([]Row, error) {
	var rows []Row
	for n, line := range lines(text) {
		line = decode(line)
		if len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		if len(rows) == MaxRows {
			return nil, tooMany()
		}
		row := Row{Line: n, Raw: line, Fields: map[string]string{}}
		if len(line) > maxLine {
			row.Raw, row.Unread = line[:maxLine], fmt.Sprintf("longer than %d bytes", maxLine)
		} else if err := row.parse(); err != nil {
			return nil, err
		}
		rows = append(rows, row)
	}
	if len(rows) == 0 {
		return nil, &schemas.Refusal{Code: "CPIS-L020", Location: "file", Reason: "it holds no record"}
	}
	return rows, nil
}

// parse reads the object of a line. Only a field that must not be shared is an
// error; anything else that is wrong with a line is noted in it.
func (r *Row) parse() error {
	var object map[string]any
	d := json.NewDecoder(bytes.NewReader(r.Raw))
	d.UseNumber()
	err := d.Decode(&object)
	if _, after := d.Token(); err != nil || !errors.Is(after, io.EOF) {
		r.Unread = "not one JSON object"
		return nil
	}
	for name, value := range object {
		if name != "authority" && name != "withdrawn" && !slices.Contains(Columns(), name) {
			return &schemas.Refusal{Code: "CPIS-L021", Location: fmt.Sprintf("line %d", r.Line), Reason: "a field that is not taken"}
		}
		switch v := value.(type) {
		case nil:
		case string:
			r.Fields[name] = strings.TrimSpace(v)
		case json.Number:
			r.Fields[name] = v.String()
		case bool:
			if name != "withdrawn" {
				r.Unread = wrongKind
			}
			r.Withdrawn = v
			continue
		default:
			r.Unread = wrongKind
		}
		if name == "withdrawn" {
			r.Unread = wrongKind
		}
	}
	return nil
}

const wrongKind = "withdrawn is true or false; every other field is text or a number"
