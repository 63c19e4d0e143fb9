package socialcare

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"slices"
	"strings"
	"unicode/utf8"

	"cpis/schemas"
)

// Limits of a file.
const (
	MaxFile  = 32 << 20 // bytes
	MaxRows  = 50_000   // thirty times what an authority has
	maxLine  = 64 << 10 // bytes
	maxField = 256      // characters
)

// Formats of a file.
const (
	CSV   = "text/csv"
	JSONL = "application/x-ndjson"
)

// FormatOf guesses a format from the first character of a file.
func FormatOf(text []byte) string {
	if bytes.HasPrefix(bytes.TrimSpace(bytes.TrimPrefix(text, mark)), []byte("{")) {
		return JSONL
	}
	return CSV
}

// Row is one record of a file as it was sent.
type Row struct {
	Line      int // of the file, counted from 1
	Fields    map[string]string
	Withdrawn bool   // the record was entered in error
	Raw       []byte // as received
	Unread    string // why the line could not be read at all, empty otherwise
}

// A row is about a person: it prints as its line number alone.
func (r Row) String() string               { return fmt.Sprintf("row %d", r.Line) }
func (r Row) GoString() string             { return r.String() }
func (r Row) Format(f fmt.State, _ rune)   { _, _ = io.WriteString(f, r.String()) }
func (r Row) MarshalJSON() ([]byte, error) { return json.Marshal(r.String()) }
func (r Row) LogValue() slog.Value         { return slog.StringValue(r.String()) }

// file is what was read of a file.
type file struct {
	rows  []Row
	notes notes
}

// read reads a file. Its errors are *schemas.Refusal: the file as a whole cannot
// be used.
func read(format string, text []byte) (file, error) {
	f := file{notes: notes{}}
	if bytes.HasPrefix(text, mark) {
		f.notes.add("CPIS-L101", 1)
	}
	if format == JSONL {
		return f, f.readJSONL(text)
	}
	return f, f.readCSV(text)
}

// mark is the byte-order mark that spreadsheets put in front.
var mark = []byte("\xef\xbb\xbf")

// readCSV reads a file with a header line, line by line: no column needs a line
// break, and a quote that is never closed must not swallow the rows after it. A
// byte-order mark, any line ends, blank rows, semicolons or tabs between fields
// and Latin-1 lines are taken as they come, and told.
func (f *file) readCSV(text []byte) error {
	var header []string
	comma := ','
	unended := 0 // the last line of a file, where it has no end: it may be a part of what it was
	if !bytes.HasSuffix(text, []byte("\n")) {
		unended = bytes.Count(text, []byte("\n")) + 1
	}
	for n, line := range lines(text) {
		line = f.decode(n, line)
		if len(bytes.Trim(line, " \t,;\"\u00a0")) == 0 {
			if header != nil && len(line) > 0 {
				f.notes.add("CPIS-L103", n)
			}
			continue
		}
		if header == nil {
			if comma = commaOf(line); comma != ',' {
				f.notes.add("CPIS-L106", n)
			}
			record, err := fieldsOf(line, comma)
			if err != nil {
				return &schemas.Refusal{Code: "CPIS-L020", Location: fmt.Sprintf("line %d", n), Reason: "no header"}
			}
			for _, name := range record {
				header = append(header, strings.ToLower(name))
			}
			if err := checkHeader(header); err != nil {
				return err
			}
			continue
		}
		if len(f.rows) == MaxRows {
			return tooMany()
		}
		row := Row{Line: n, Raw: line, Fields: map[string]string{}}
		record, err := fieldsOf(line, comma)
		switch {
		case len(line) > maxLine:
			row.Raw, row.Unread = line[:maxLine], fmt.Sprintf("longer than %d bytes", maxLine)
		case err != nil:
			row.Unread = "the quotes of the line do not match"
		case len(record) > len(header):
			row.Unread = fmt.Sprintf("%d fields, the header has %d", len(record), len(header))
		case len(record) < len(header) && n == unended:
			row.Unread = "the file is cut off here"
		default:
			for i, value := range record {
				row.Fields[header[i]] = value
			}
			if len(record) < len(header) { // Excel leaves off separators at the end of a row
				f.notes.add("CPIS-L111", n)
			}
			row.Withdrawn, row.Unread = yes(row.Fields["withdrawn"])
		}
		f.rows = append(f.rows, row)
	}
	if header == nil {
		return &schemas.Refusal{Code: "CPIS-L020", Location: "line 1", Reason: "no header"}
	}
	return nil
}

// yes reads the column that takes a record back.
func yes(text string) (withdrawn bool, unread string) {
	switch strings.ToLower(text) {
	case "", "no", "false", "n", "0":
		return false, ""
	case "yes", "true", "y", "1":
		return true, ""
	}
	return false, "withdrawn is yes, or nothing"
}

// commaOf is what stands between the fields of a header.
func commaOf(header []byte) rune {
	best, most := ',', bytes.Count(header, []byte(","))
	for _, c := range []rune{';', '\t'} {
		if n := bytes.Count(header, []byte(string(c))); n > most {
			best, most = c, n
		}
	}
	return best
}

// lines numbers the lines of a file from 1.
func lines(text []byte) iter.Seq2[int, []byte] {
	return func(yield func(int, []byte) bool) {
		text = bytes.TrimPrefix(text, mark)
		for n := 1; len(text) > 0; n++ {
			line, rest, _ := bytes.Cut(text, []byte("\n"))
			if !yield(n, bytes.TrimSuffix(line, []byte("\r"))) {
				return
			}
			text = rest
		}
	}
}

func fieldsOf(line []byte, comma rune) ([]string, error) {
	r := csv.NewReader(bytes.NewReader(line))
	r.Comma = comma
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
			return &schemas.Refusal{Code: "CPIS-L021", Location: fmt.Sprintf("column %d", i+1), Reason: unwanted(name)}
		}
		if slices.Index(header, name) != i {
			return &schemas.Refusal{Code: "CPIS-L020", Location: name, Reason: "the column stands twice"}
		}
	}
	for _, c := range Table() {
		if !c.Absent && !slices.Contains(header, c.Name) {
			return &schemas.Refusal{Code: "CPIS-L020", Location: c.Name, Reason: "the column is missing"}
		}
	}
	return nil
}

// decode reads a line that is not UTF-8 as Latin-1. It decides line by line, so
// that one odd line does not spoil the names on the others.
func (f *file) decode(n int, line []byte) []byte {
	if utf8.Valid(line) {
		return line
	}
	f.notes.add("CPIS-L102", n)
	return latin1(line)
}

func latin1(line []byte) []byte {
	var out bytes.Buffer
	for _, b := range line {
		out.WriteRune(rune(b))
	}
	return out.Bytes()
}

// readJSONL reads one object a line.
func (f *file) readJSONL(text []byte) error {
	for n, line := range lines(text) {
		line = f.decode(n, line)
		if len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		if len(f.rows) == MaxRows {
			return tooMany()
		}
		row := Row{Line: n, Raw: line, Fields: map[string]string{}}
		if len(line) > maxLine {
			row.Raw, row.Unread = line[:maxLine], fmt.Sprintf("longer than %d bytes", maxLine)
		} else if err := row.parse(); err != nil {
			return err
		}
		f.rows = append(f.rows, row)
	}
	if len(f.rows) == 0 {
		return &schemas.Refusal{Code: "CPIS-L020", Location: "file", Reason: "it holds no record"}
	}
	return nil
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
		if name != "authority" && !slices.Contains(Columns(), name) {
			return &schemas.Refusal{Code: "CPIS-L021", Location: fmt.Sprintf("line %d", r.Line), Reason: unwanted(name)}
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
