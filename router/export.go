package router

import (
	"context"
	"encoding/csv"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"cpis/router/topics"
	"cpis/schemas"
)

// Exporter reads the audit topic as rows for analysts, without anybody's name.
type Exporter struct {
	Client *topics.Client
	Codec  *schemas.Codec
	Keys   *schemas.Keyring
	Place  *time.Location // by whose clock days and hours are
}

// rowsAtOnce is how many rows are handed on together.
const rowsAtOnce = 1000

// Read hands on the rows of records that happened from a moment up to, not including,
// another, in the order of the log of each partition.
func (x *Exporter) Read(ctx context.Context, from, until time.Time, each func([]schemas.AuditRow) error) error {
	var rows []schemas.AuditRow
	// A record is written when it happened or soon after: one that a care setting tells
	// late carries its own time.
	err := ReadSince(ctx, x.Client, schemas.TopicAudit, from, func(r topics.Record) error {
		var a schemas.Audit
		if err := x.Codec.Decode(ctx, schemas.TopicAudit, r.Value, &a); err != nil {
			return err
		}
		if a.At.Before(from) || !a.At.Before(until) {
			return nil
		}
		if rows = append(rows, x.row(a)); len(rows) < rowsAtOnce {
			return nil
		}
		err := each(rows)
		rows = rows[:0]
		return err
	})
	if err != nil || len(rows) == 0 {
		return err
	}
	return each(rows)
}

func (x *Exporter) row(a schemas.Audit) schemas.AuditRow {
	at := a.At.In(x.Place)
	known := func(s string) string {
		if s == "UNKNOWN" {
			return ""
		}
		return s
	}
	row := schemas.AuditRow{AuditID: a.AuditID, At: a.At, Day: schemas.Date(at.Format(time.DateOnly)), Hour: int64(at.Hour()), Kind: string(a.Kind), Stream: known(string(a.Stream)), Action: string(a.Action),
		Organisation: a.Organisation, Setting: known(string(a.Setting)), Event: a.Event, State: known(string(a.State)), Reason: known(string(a.Reason)), Code: string(a.Code), Silent: a.Silent, Repeat: a.Repeat,
		Corrects: a.Corrects, Decision: a.OutcomeID, Registration: a.EventID, Role: a.Role, Authorities: strings.Join(a.Authorities, ";"), LateAuthorities: strings.Join(a.Freshness.LateAuthorities, ";"), Count: max(a.Count, 1)}
	if row.Organisation == "" {
		row.Organisation = string(a.ODS)
	}
	if a.Kind == schemas.AuditDecision {
		row.AnswerMS = a.At.Sub(a.AcceptedAt).Milliseconds()
	} else if a.Kind != schemas.AuditView {
		row.Registration = "" // there it is the id of something else
	}
	if a.SubjectRef != "" {
		row.Subject = x.Keys.ID("export subject", string(a.SubjectRef))
	}
	if len(a.SealedActor) > 0 {
		if who, err := x.Keys.OpenAccess(schemas.TopicAudit, "", a.AuditID, a.SealedActor); err == nil {
			row.Worker = x.Keys.ID("export worker", who.WorkerID)
		}
	}
	return row
}

// NewAuditCSV writes rows as CSV with a header. Cells that a spreadsheet would take for a
// formula begin with an apostrophe.
func NewAuditCSV(w io.Writer) (func([]schemas.AuditRow) error, error) {
	columns, err := schemas.AuditColumns()
	if err != nil {
		return nil, err
	}
	out := csv.NewWriter(w)
	var header []string
	for _, c := range columns {
		header = append(header, c.Name)
	}
	if err := out.Write(header); err != nil {
		return nil, fmt.Errorf("write export: %w", err)
	}
	return func(rows []schemas.AuditRow) error {
		for _, r := range rows {
			cells := []string{r.AuditID, r.At.UTC().Format("2006-01-02T15:04:05.000Z"), string(r.Day), strconv.FormatInt(r.Hour, 10), r.Kind, r.Stream, r.Action, r.Organisation, r.Setting, r.Event, r.State, r.Reason, r.Code,
				strconv.FormatBool(r.Silent), strconv.FormatBool(r.Repeat), r.Corrects, r.Decision, r.Registration, r.Subject, r.Worker, r.Role, r.Authorities, r.LateAuthorities, strconv.FormatInt(r.AnswerMS, 10), strconv.FormatInt(r.Count, 10)}
			for i := range cells {
				cells[i] = schemas.SafeCell(cells[i])
			}
			if err := out.Write(cells); err != nil {
				return fmt.Errorf("write export: %w", err)
			}
		}
		out.Flush()
		return out.Error()
	}, nil
}

// Small finds the small numbers of an export: published, they could tell of somebody.
type Small struct {
	rows  int
	cells map[[3]string]map[string]bool // organisation, setting, state: registrations
}

// smallest is the smallest number that may be published.
const smallest = 5

// Add takes rows in.
func (s *Small) Add(rows []schemas.AuditRow) {
	if s.cells == nil {
		s.cells = map[[3]string]map[string]bool{}
	}
	s.rows += len(rows)
	for _, r := range rows {
		if r.Kind != string(schemas.AuditDecision) || r.Repeat {
			continue
		}
		key := [3]string{r.Organisation, r.Setting, r.State}
		if s.cells[key] == nil {
			s.cells[key] = map[string]bool{}
		}
		s.cells[key][r.Registration] = true
	}
}

// Notes says what was exported, and what of it must not be published as it is.
func (s *Small) Notes(from, until time.Time) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Notes to the export\n\nAudit records from %s up to, not including, %s: %d rows. Pseudonyms lead to nobody, and so do counts only if they are not small: do not publish a count from 1 to %d.\n\n", from.Format(time.RFC3339), until.Format(time.RFC3339), s.rows, smallest-1)
	var keys [][3]string
	for key, set := range s.cells {
		if len(set) < smallest {
			keys = append(keys, key)
		}
	}
	slices.SortFunc(keys, func(a, b [3]string) int {
		return strings.Compare(strings.Join(a[:], "\x00"), strings.Join(b[:], "\x00"))
	})
	if len(keys) == 0 {
		b.WriteString("No organisation, care setting and answer has so few registrations.\n")
		return b.String()
	}
	b.WriteString("| organisation | care setting | answer | registrations |\n|---|---|---|---|\n")
	for _, k := range keys {
		fmt.Fprintf(&b, "| %s | %s | %s | 1 to %d |\n", k[0], k[1], k[2], smallest-1)
	}
	return b.String()
}
