package socialcare

import (
	"bytes"
	"cmp"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"unicode/utf8"

	"cpis/schemas"
)

// Verdict is what became of a row. It holds nobody's details.
type Verdict struct {
	Row      int          `json:"row" doc:"Line of the file, counted from 1."`
	RecordID string       `json:"record_id,omitempty" doc:"The authority's own id."`
	Code     string       `json:"code" doc:"CPR01 to CPR07 of the national service."`
	Outcome  string       `json:"outcome" doc:"new, changed, ended, withdrawn, unchanged, superseded, refused; waiting for a second person; fine where only the rules were applied."`
	Detail   schemas.Code `json:"detail,omitempty" doc:"Stable code of what is wrong."`
	Field    string       `json:"field,omitempty"`
	Reason   string       `json:"reason,omitempty"`
	Fix      string       `json:"fix,omitempty" doc:"What to do."`
}

// Record codes of the national service (CP-IS DMS, CP-ISUploadRecordResponse).
const (
	codeNoMatch     = "CPR01" // no match found for the NHS number
	codeSensitive   = "CPR02" // matched, and must not carry CP-IS information
	codeNotVerified = "CPR03" // name and date of birth do not agree with it
	codeFormat      = "CPR04" // NHS number format incorrect
	codeOldNumber   = "CPR05" // superseded: a new number is required
	codeTaken       = "CPR06"
	codeRefused     = "CPR07" // qualified by a detail code and a field
)

// recordCode is the national code of a detail code.
func recordCode(detail schemas.Code) string {
	switch detail {
	case "CPIS-L040":
		return codeNoMatch
	case "CPIS-L041":
		return codeSensitive
	case "CPIS-L042":
		return codeNotVerified
	case "CPIS-L010":
		return codeFormat
	case "CPIS-L043":
		return codeOldNumber
	}
	return codeRefused
}

// doubtful says whether a detail code means that the person is not beyond doubt.
func doubtful(detail schemas.Code) bool { return detail != "" && recordCode(detail) != codeRefused }

// Outcomes of a row.
const (
	outcomeNew        = "new"
	outcomeChanged    = "changed"
	outcomeEnded      = "ended"
	outcomeWithdrawn  = "withdrawn"
	outcomeUnchanged  = "unchanged"
	outcomeSuperseded = "superseded"
	outcomeRefused    = "refused"
	outcomeWaiting    = "waiting" // for a second person: nothing of it is in
	outcomeFine       = "fine"    // by the rules; not compared with what is held
)

// File codes of the national service (CP-IS DMS, CP-ISUploadFileResponse).
const (
	fileCorrupt     = "CPF01"
	fileTaken       = "CPF02"
	filePartly      = "CPF03"
	fileRefused     = "CPF04"
	fileResubmit    = "CPF05"
	fileUnsupported = "CPF06"
)

// Note is something odd about a file that harmed nothing.
type Note struct {
	Code  schemas.Code `json:"code"`
	Count int          `json:"count" doc:"How often."`
	Lines []int        `json:"lines,omitempty" doc:"The first lines it was seen on."`
	Words string       `json:"words"`
}

// notes gathers what was odd, by code.
type notes map[schemas.Code]*Note

func (n notes) add(code schemas.Code, line int) {
	note := n[code]
	if note == nil {
		note = &Note{Code: code}
		n[code] = note
	}
	note.Count++
	if len(note.Lines) < 5 && line > 0 {
		note.Lines = append(note.Lines, line)
	}
}

func (n notes) list() []Note {
	out := []Note{}
	for _, code := range slices.Sorted(maps.Keys(n)) {
		note := *n[code]
		e, _ := schemas.Explain(string(code))
		note.Words = e.Title + ". " + e.Fix
		out = append(out, note)
	}
	return out
}

// Result is the answer to a file.
type Result struct {
	FileCode   string              `json:"file_code,omitempty" doc:"CPF01 to CPF06 of the national service; absent while the file waits."`
	FileWords  string              `json:"file_words"`
	State      schemas.UploadState `json:"state,omitempty" doc:"TAKEN, or WAITING for a second person; absent for a check."`
	UploadID   string              `json:"upload_id,omitempty"`
	Sequence   int64               `json:"sequence,omitempty"`
	Check      bool                `json:"check" doc:"Nothing was written: this is what an upload would do."`
	Received   int                 `json:"received"`
	Accepted   int                 `json:"accepted"`
	New        int                 `json:"new"`
	Changed    int                 `json:"changed"`
	Ended      int                 `json:"ended"`
	Withdrawn  int                 `json:"withdrawn"`
	Unchanged  int                 `json:"unchanged"`
	Superseded int                 `json:"superseded"`
	Refused    int                 `json:"refused"`
	Fine       int                 `json:"fine,omitempty" doc:"Records that the rules find good, where nobody asked what is held."`
	Absent     int                 `json:"absent" doc:"Plans that end because a full snapshot does not hold them."`
	Live       int                 `json:"live" doc:"Current plans of the authority before this file; 0 where it did not have to be counted."`
	Hidden     int                 `json:"hidden" doc:"Current plans that this file ends or takes back."`
	Notes      []Note              `json:"notes" doc:"What was odd and harmed nothing."`
	Verdicts   []Verdict           `json:"verdicts"`
}

// count sums up the verdicts.
func (r *Result) count(verdicts []Verdict) {
	r.Verdicts, r.Received = verdicts, len(verdicts)
	for _, v := range verdicts {
		switch v.Outcome {
		case outcomeFine:
			r.Fine++
		case outcomeNew:
			r.New++
		case outcomeChanged:
			r.Changed++
		case outcomeEnded:
			r.Ended++
		case outcomeWithdrawn:
			r.Withdrawn++
		case outcomeUnchanged:
			r.Unchanged++
		case outcomeSuperseded:
			r.Superseded++
		case outcomeRefused:
			r.Refused++
		}
	}
	r.Accepted = r.New + r.Changed + r.Ended + r.Withdrawn
	r.FileCode = fileTaken
	switch {
	case r.Refused > 0 && r.Refused == r.Received:
		r.FileCode = fileRefused
	case r.Refused > 0:
		r.FileCode = filePartly
	}
	r.FileWords = fileWords(r.FileCode)
}

func fileWords(code string) string {
	switch code {
	case fileCorrupt:
		return "corrupt or badly formed: nothing was taken"
	case fileTaken:
		return "successful: all records uploaded"
	case filePartly:
		return "partial: valid records uploaded, others refused"
	case fileRefused:
		return "unsuccessful: no record uploaded"
	case fileResubmit:
		return "a part of the service is unavailable: send the file again"
	}
	return "this version of the client is not supported any more"
}

// Table writes the result for people: the sums, what was odd, and a line for
// each row, or, of a long file, for each with something to do.
func (r Result) Table(w io.Writer) error {
	would := ""
	if r.Check && r.FileCode != "" {
		would = "would be "
	}
	fmt.Fprintf(w, "%s%s  %s\n", would, cmp.Or(r.FileCode, "WAITS"), r.FileWords)
	if r.Fine > 0 {
		fmt.Fprintf(w, "%d received: %d fine by the rules, %d refused; what is new or changed only the broker knows\n", r.Received, r.Fine, r.Refused)
	} else {
		fmt.Fprintf(w, "%d received: %d new, %d changed, %d ended, %d withdrawn, %d unchanged, %d superseded, %d refused\n", r.Received, r.New, r.Changed, r.Ended, r.Withdrawn, r.Unchanged, r.Superseded, r.Refused)
	}
	if r.Absent > 0 {
		fmt.Fprintf(w, "%d plans end because the snapshot does not hold them\n", r.Absent)
	}
	if r.Check {
		fmt.Fprintln(w, "Checked only: nothing was written.")
	} else {
		fmt.Fprintf(w, "upload %s\n", r.UploadID)
	}
	for _, n := range r.Notes {
		where := ""
		if len(n.Lines) > 0 {
			where = fmt.Sprintf("%d times, first on line %d: ", n.Count, n.Lines[0])
		}
		fmt.Fprintf(w, "%s  %s%s\n", n.Code, where, n.Words)
	}
	list := r.Verdicts
	if len(list) > tableRows { // then only those with something to do
		list = slices.DeleteFunc(slices.Clone(list), func(v Verdict) bool { return v.Detail == "" })
	}
	more := max(0, len(list)-tableMost)
	list = list[:len(list)-more]
	if len(list) == 0 {
		return nil
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "ROW\tRECORD\tCODE\tOUTCOME\tDETAIL\tWHERE\tWHAT TO DO")
	for _, v := range list {
		fmt.Fprintf(t, "%d\t%s\t%s\t%s\t%s\t%s\t%s\n", v.Row, v.RecordID, v.Code, v.Outcome, v.Detail, v.where(), v.Fix)
	}
	if more > 0 {
		fmt.Fprintf(t, "and %d more\n", more)
	}
	return t.Flush()
}

// How many rows are shown to people: all of a short file, else those with something
// to do, but for a flood of them.
const (
	tableRows = 20
	tableMost = 100
)

func (v Verdict) where() string {
	if v.Reason == "" {
		return v.Field
	}
	return v.Field + ": " + v.Reason
}

// todo is the second of the columns that Annotate adds.
func (v Verdict) todo() string {
	if v.Detail == "" {
		return ""
	}
	return strings.TrimPrefix(v.where(), ": ") + ". " + v.Fix
}

// Annotate writes a file back as it was sent, each row with two more columns:
// code, and what_to_do, which is empty where there is nothing to do. Lines that
// held no record stay as they are; text that was Latin-1 becomes UTF-8.
func Annotate(w io.Writer, format string, text []byte, verdicts []Verdict) error {
	by := make(map[int]Verdict, len(verdicts))
	for _, v := range verdicts {
		by[v.Row] = v
	}
	comma, headed := ',', false
	var out bytes.Buffer
	if bytes.HasPrefix(text, mark) {
		out.Write(mark)
	}
	for n, line := range lines(text) {
		if !utf8.Valid(line) {
			line = latin1(line)
		}
		v, judged := by[n]
		out.Write(line)
		switch {
		case format == JSONL && judged:
			more, err := json.Marshal(map[string]any{"code": v.Code, "what_to_do": v.todo()})
			if err != nil {
				return err
			}
			if end := bytes.TrimRight(line, " \t"); bytes.HasSuffix(end, []byte("}")) && len(end) > 2 {
				out.Truncate(out.Len() - (len(line) - len(end)) - 1)
				out.WriteByte(',')
				out.Write(more[1:])
			}
		case format != JSONL && (judged || !headed && len(bytes.Trim(line, " \t,;\"\u00a0")) > 0):
			add := []string{v.Code, v.todo()}
			if !headed && !judged {
				headed, comma = true, commaOf(line)
				add = []string{"code", "what_to_do"}
			}
			out.WriteRune(comma)
			c := csv.NewWriter(&out)
			c.Comma = comma
			if err := c.Write(add); err != nil {
				return err
			}
			c.Flush()
			out.Truncate(out.Len() - 1) // the writer's own line end
		}
		out.WriteByte('\n')
	}
	_, err := w.Write(out.Bytes())
	return err
}
