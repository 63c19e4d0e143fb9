// Package socialcare is the door through which a local authority shares which
// children are on a plan or looked after, and which pregnant women have a plan
// for their unborn child. Every record gets a verdict: taken, or what is wrong
// with it and how to put it right.
//
// The rules are pure functions over rows, so that a file is judged alike
// wherever it comes in. What must not be shared, such as a category of abuse,
// an address or a narrative, has no column here: a file that brings one is
// refused at the door.
package socialcare

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"cpis/schemas"
)

// Limits of a file.
const (
	MaxFile  = 32 << 20 // bytes
	MaxRows  = 200_000
	maxLine  = 64 << 10 // bytes
	maxField = 256      // characters
)

// Columns are those of the CSV file, and the names of the JSON Lines objects.
func Columns() []string {
	return []string{"record_id", "nhs_number", "family_name", "given_names", "date_of_birth", "sex", "plan_type", "plan_start", "plan_end", "expected_delivery_date", "version", "postcode", "other_names"}
}

// optional are the columns a file may leave away. Both only help to recognise a
// child who is registered without an NHS number; neither is ever shown.
func optional() []string { return []string{"postcode", "other_names"} }

// Row is one record of a file as it was sent.
type Row struct {
	Line      int // of the file, counted from 1
	Fields    map[string]string
	Withdrawn bool   // JSON Lines only: the record was entered in error
	Raw       []byte // as received
	Unread    string // why the line could not be read at all, empty otherwise
}

// A row is about a person: it prints as its line number alone.
func (r Row) String() string               { return fmt.Sprintf("row %d", r.Line) }
func (r Row) GoString() string             { return r.String() }
func (r Row) Format(f fmt.State, _ rune)   { _, _ = io.WriteString(f, r.String()) }
func (r Row) MarshalJSON() ([]byte, error) { return json.Marshal(r.String()) }
func (r Row) LogValue() slog.Value         { return slog.StringValue(r.String()) }

// Verdict is what became of a row. It holds nobody's details.
type Verdict struct {
	Row      int          `json:"row"`
	RecordID string       `json:"record_id,omitempty"`
	Code     string       `json:"code"` // CPR01 to CPR07 of the national service
	Outcome  string       `json:"outcome"`
	Detail   schemas.Code `json:"detail,omitempty"`
	Field    string       `json:"field,omitempty"`
	Reason   string       `json:"reason,omitempty"`
	Fix      string       `json:"fix,omitempty"`
}

// Record codes of the national service.
const (
	codeFormat  = "CPR04" // NHS number format incorrect
	codeTaken   = "CPR06"
	codeRefused = "CPR07"
)

// Outcomes of a row.
const (
	outcomeNew        = "new"
	outcomeChanged    = "changed"
	outcomeUnchanged  = "unchanged"
	outcomeWithdrawn  = "withdrawn"
	outcomeSuperseded = "superseded"
	outcomeRefused    = "refused"
)

// item is a row on its way through the rules.
type item struct {
	row       Row
	indicator schemas.Indicator
	verdict   Verdict
	refused   bool
}

func refuse(it *item, detail schemas.Code, field, reason string) {
	e, _ := schemas.Explain(string(detail))
	it.refused = true
	code := codeRefused
	if detail == "CPIS-L010" {
		code = codeFormat
	}
	it.verdict = Verdict{Row: it.row.Line, RecordID: it.verdict.RecordID, Code: code, Outcome: outcomeRefused, Detail: detail, Field: field, Reason: reason, Fix: e.Fix}
}

// judge applies every rule that needs nothing but the row itself. today is the
// civil date in London.
func judge(row Row, authority schemas.AuthorityCode, today schemas.Date) item {
	it := item{row: row, verdict: Verdict{Row: row.Line, RecordID: recordID(row.Fields["record_id"])}}
	if row.Unread != "" {
		refuse(&it, "CPIS-L001", "", row.Unread)
		return it
	}
	for _, name := range Columns() {
		if len([]rune(row.Fields[name])) > maxField {
			refuse(&it, "CPIS-L002", name, "longer than "+strconv.Itoa(maxField)+" characters")
			return it
		}
	}
	if owner := row.Fields["authority"]; owner != "" && owner != string(authority) {
		refuse(&it, "CPIS-L003", "authority", "the record names another authority")
		return it
	}
	for _, name := range []string{"record_id", "nhs_number", "plan_type", "version"} {
		if row.Fields[name] == "" {
			refuse(&it, "CPIS-L002", name, "missing")
			return it
		}
	}
	if it.verdict.RecordID == "" {
		refuse(&it, "CPIS-L002", "record_id", "want up to 64 letters, digits and . _ - /, and no NHS number")
		return it
	}
	if !it.person(today) || row.Withdrawn {
		it.planType()
		it.version()
		it.indicator.Authority = authority
		return it
	}
	it.indicator.Authority = authority
	if it.planType() && it.version() {
		it.dates(today)
	}
	return it
}

// recordID is the authority's own id where it is safe to show: a verdict goes
// to screens and logs, so it must hold neither a name nor an NHS number nor a
// sign that a terminal acts on.
func recordID(id string) string {
	if len(id) > 64 || strings.Trim(id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-/") != "" {
		return ""
	}
	if _, err := schemas.ParseNHSNumber(id); err == nil {
		return ""
	}
	return id
}

// person reads who the record is about; false where it cannot go on.
func (it *item) person(today schemas.Date) bool {
	f := it.row.Fields
	number, err := schemas.ParseNHSNumber(f["nhs_number"])
	if err != nil {
		refuse(it, "CPIS-L010", "nhs_number", err.Error())
		return false
	}
	it.indicator.Person = schemas.Person{Number: number, FamilyName: f["family_name"], GivenNames: f["given_names"], Sex: strings.ToUpper(f["sex"]), LocalID: f["record_id"],
		Postcode: f["postcode"], OtherNames: f["other_names"]}
	if it.row.Withdrawn {
		return true
	}
	if f["family_name"] == "" {
		refuse(it, "CPIS-L002", "family_name", "missing")
		return false
	}
	born, ok := date(f["date_of_birth"])
	if !ok || born == "" {
		refuse(it, "CPIS-L011", "date_of_birth", "missing or not a date")
		return false
	}
	if born > today {
		refuse(it, "CPIS-L011", "date_of_birth", "lies in the future")
		return false
	}
	it.indicator.Person.DateOfBirth = born
	return true
}

func (it *item) planType() bool {
	if it.refused {
		return false
	}
	switch p := schemas.PlanType(strings.ToUpper(it.row.Fields["plan_type"])); p {
	case schemas.PlanChildProtection, schemas.PlanLookedAfter, schemas.PlanUnborn:
		it.indicator.PlanType = p
		return true
	}
	refuse(it, "CPIS-L012", "plan_type", "none of CPP, LAC, UNBORN")
	return false
}

func (it *item) version() bool {
	if it.refused {
		return false
	}
	n, err := strconv.ParseInt(it.row.Fields["version"], 10, 64)
	if err != nil || n < 1 {
		refuse(it, "CPIS-L013", "version", "not a whole number above zero")
		return false
	}
	it.indicator.Version = n
	return true
}

// dates applies the rules of plan dates: CP-IS shows an ended plan for 365
// days, children up to their 18th birthday, and an unborn plan until 28 days
// after the expected date.
func (it *item) dates(today schemas.Date) {
	i := &it.indicator
	for name, to := range map[string]*schemas.Date{"plan_start": &i.PlanStart, "plan_end": &i.PlanEnd, "expected_delivery_date": &i.ExpectedDate} {
		d, ok := date(it.row.Fields[name])
		if !ok {
			refuse(it, "CPIS-L014", name, "not a date")
			return
		}
		*to = d
	}
	switch {
	case i.PlanStart == "":
		refuse(it, "CPIS-L014", "plan_start", "missing")
	case i.PlanEnd != "" && i.PlanEnd < i.PlanStart:
		refuse(it, "CPIS-L015", "plan_end", "lies before plan_start")
	case i.PlanEnd != "" && i.PlanEnd.AddDays(365) < today:
		refuse(it, "CPIS-L016", "plan_end", "more than 365 days ago")
	case i.PlanType == schemas.PlanUnborn && i.ExpectedDate == "":
		refuse(it, "CPIS-L017", "expected_delivery_date", "missing")
	case i.PlanType != schemas.PlanUnborn && i.ExpectedDate != "":
		refuse(it, "CPIS-L017", "expected_delivery_date", "only an unborn plan has one")
	case i.PlanType != schemas.PlanUnborn && i.Person.DateOfBirth.AddYears(18) <= today:
		refuse(it, "CPIS-L018", "date_of_birth", "18 or older")
	}
}

// date reads YYYY-MM-DD or the DD/MM/YYYY that spreadsheets make of it. An
// empty text is no date and fine.
func date(text string) (schemas.Date, bool) {
	if text == "" {
		return "", true
	}
	if t, err := time.Parse("02/01/2006", text); err == nil {
		return schemas.Date(t.Format(time.DateOnly)), true
	}
	d, err := schemas.ParseDate(text)
	return d, err == nil
}

// judgeAll applies the rules to a file. Of two rows about the same person and
// plan the one with the higher version counts, the later one at equal versions.
func judgeAll(rows []Row, authority schemas.AuthorityCode, today schemas.Date) []item {
	items := make([]item, len(rows))
	newest := map[string]int{}
	for i, row := range rows {
		items[i] = judge(row, authority, today)
		if items[i].refused {
			continue
		}
		key := items[i].indicator.Person.Number.Reveal() + "/" + string(items[i].indicator.PlanType)
		j, ok := newest[key]
		if !ok {
			newest[key] = i
			continue
		}
		loser := j
		if items[j].indicator.Version > items[i].indicator.Version {
			loser = i
		} else {
			newest[key] = i
		}
		refuse(&items[loser], "CPIS-L019", "nhs_number", "another row of the file is about the same person and plan, with a version at least as high")
	}
	return items
}
