package socialcare

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"cpis/schemas"
)

// readCSV reads a file with a header line. A byte-order mark, any line ends,
// blank rows at the end and Latin-1 text are taken as they come. Its errors
// are *schemas.Refusal: the file as a whole cannot be used.
func readCSV(text []byte) ([]Row, error) {
	text = clean(text)
	r := csv.NewReader(bytes.NewReader(text))
	r.FieldsPerRecord = -1
	header, err := r.Read()
	if err != nil {
		return nil, &schemas.Refusal{Code: "CPIS-L020", Location: "line 1", Reason: "no header"}
	}
	for i := range header {
		header[i] = strings.ToLower(strings.TrimSpace(header[i]))
	}
	if err := checkHeader(header); err != nil {
		return nil, err
	}
	var rows []Row
	for {
		start := r.InputOffset()
		record, err := r.Read()
		if errors.Is(err, io.EOF) {
			return rows, nil
		}
		if len(rows) == MaxRows {
			return nil, tooMany()
		}
		row := Row{Raw: bytes.TrimRight(text[start:r.InputOffset()], "\r\n"), Fields: map[string]string{}}
		if err != nil {
			var bad *csv.ParseError
			if !errors.As(err, &bad) {
				return nil, &schemas.Refusal{Code: "CPIS-L020", Location: "file", Reason: "cannot be read"}
			}
			row.Line, row.Unread = bad.StartLine, "the quotes of the line do not match"
			rows = append(rows, row)
			continue
		}
		row.Line, _ = r.FieldPos(0)
		if !slices.ContainsFunc(record, func(f string) bool { return strings.TrimSpace(f) != "" }) {
			continue
		}
		if len(record) != len(header) {
			row.Unread = fmt.Sprintf("%d fields, the header has %d", len(record), len(header))
		}
		for i := range min(len(record), len(header)) {
			row.Fields[header[i]] = strings.TrimSpace(record[i])
		}
		rows = append(rows, row)
	}
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
		if !slices.Contains(header, name) {
			return &schemas.Refusal{Code: "CPIS-L020", Location: name, Reason: "the column is missing"}
		}
	}
	return nil
}

// clean drops a byte-order mark and reads text that is not UTF-8 as Latin-1.
func clean(text []byte) []byte {
	text = bytes.TrimPrefix(text, []byte("\xef\xbb\xbf"))
	if utf8.Valid(text) {
		return text
	}
	var out bytes.Buffer
	for _, b := range text {
		out.WriteRune(rune(b))
	}
	return out.Bytes()
}

// readJSONL reads one object a line.
func readJSONL(text []byte) ([]Row, error) {
	lines := bufio.NewScanner(bytes.NewReader(clean(text)))
	lines.Buffer(make([]byte, 0, 4096), maxLine)
	var rows []Row
	for n := 1; lines.Scan(); n++ {
		if len(bytes.TrimSpace(lines.Bytes())) == 0 {
			continue
		}
		if len(rows) == MaxRows {
			return nil, tooMany()
		}
		row := Row{Line: n, Raw: bytes.Clone(lines.Bytes()), Fields: map[string]string{}}
		if err := row.parse(); err != nil {
			return nil, err
		}
		rows = append(rows, row)
	}
	if err := lines.Err(); err != nil {
		return nil, &schemas.Refusal{Code: "CPIS-L020", Location: "file", Reason: fmt.Sprintf("a line is longer than %d bytes", maxLine)}
	}
	return rows, nil
}

// parse reads the object of a line. Only a field that must not be shared is an
// error; anything else that is wrong with a line is noted in it.
func (r *Row) parse() error {
	var object map[string]any
	d := json.NewDecoder(bytes.NewReader(r.Raw))
	d.UseNumber()
	if err := d.Decode(&object); err != nil || d.More() {
		r.Unread = "not one JSON object"
		return nil
	}
	for name, value := range object {
		if name != "authority" && name != "withdrawn" && !slices.Contains(Columns(), name) {
			return &schemas.Refusal{Code: "CPIS-L021", Location: fmt.Sprintf("line %d", r.Line), Reason: "a field that is not taken"}
		}
		withdrawn, isBool := value.(bool)
		switch v := value.(type) {
		case string:
			r.Fields[name] = strings.TrimSpace(v)
		case json.Number:
			r.Fields[name] = v.String()
		}
		switch {
		case name == "withdrawn" && isBool:
			r.Withdrawn = withdrawn
		case name == "withdrawn", isBool:
			r.Unread = "withdrawn is true or false; every other field is text or a number"
		}
	}
	return nil
}
