// Package socialcare is the door through which a local authority shares which
// children are on a plan or looked after, and which pregnant women have a plan
// for their unborn child. Every record gets a verdict: taken, or what is wrong
// with it and how to put it right.
//
// The rules are pure functions over rows, so that a file is judged alike
// wherever it comes in: over HTTP, as a stream, from a drop folder or from
// Kafka. What must not be shared, such as a category of abuse, an address or a
// narrative, has no column here: a file that brings one is refused at the door.
package socialcare

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"

	"cpis/schemas"
)

// item is a row on its way through the rules.
type item struct {
	row       Row
	indicator schemas.Indicator
	verdict   Verdict
	refused   bool
	before    *schemas.Indicator // what is held, nil for nothing
	write     bool               // what the row says goes to the topic
}

func refuse(it *item, detail schemas.Code, field, reason string) {
	e, _ := schemas.Explain(string(detail))
	it.refused = true
	it.verdict = Verdict{Row: it.row.Line, RecordID: it.verdict.RecordID, Code: recordCode(detail), Outcome: outcomeRefused, Detail: detail, Field: field, Reason: reason, Fix: e.Fix}
}

// judge applies every rule that needs nothing but the row itself. today is the
// civil date in London.
func judge(row Row, authority schemas.AuthorityCode, today schemas.Date, odd notes) item {
	it := item{row: row, verdict: Verdict{Row: row.Line, RecordID: recordID(row.Fields["record_id"]), Code: codeTaken, Outcome: outcomeFine}}
	if row.Unread != "" {
		refuse(&it, "CPIS-L001", "", row.Unread)
		return it
	}
	for _, name := range Columns() {
		value := tidy(row, name, odd)
		switch {
		case len(value) > maxField && len([]rune(value)) > maxField:
			refuse(&it, "CPIS-L002", name, "longer than "+strconv.Itoa(maxField)+" characters")
			return it
		case strings.HasPrefix(value, "#") && slices.Contains(spreadsheetErrors(), strings.ToUpper(value)):
			refuse(&it, "CPIS-L002", name, "a spreadsheet's error")
			return it
		}
	}
	if owner := row.Fields["authority"]; owner != "" && authority != "" && owner != string(authority) {
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
	it.indicator.Authority = authority
	if !it.person(today, odd) || !it.planType() || !it.version() {
		return it
	}
	if it.reason(); !row.Withdrawn && !it.refused {
		it.dates(today, odd)
	}
	return it
}

// tidy takes off what spreadsheets put around a value to keep it from being
// taken for something else.
func tidy(row Row, name string, odd notes) string {
	value := row.Fields[name]
	inner, ok := strings.CutPrefix(value, "'")
	if formula, is := strings.CutPrefix(value, `="`); is {
		inner, ok = strings.CutSuffix(formula, `"`)
	}
	if bare := strings.Trim(inner, " \t\u00a0\u200b\ufeff"); ok || bare != inner {
		odd.add("CPIS-L105", row.Line)
		row.Fields[name], value = bare, bare
	}
	return value
}

func spreadsheetErrors() []string {
	return []string{"#N/A", "#REF!", "#VALUE!", "#NAME?", "#DIV/0!", "#NULL!", "#NUM!", "#SPILL!"}
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
func (it *item) person(today schemas.Date, odd notes) bool {
	f := it.row.Fields
	number, err := schemas.ParseNHSNumber(f["nhs_number"])
	if err != nil {
		reason := err.Error()
		if strings.Contains(strings.ToUpper(f["nhs_number"]), "E+") {
			reason = "a spreadsheet has shortened it; format the column as text"
		}
		refuse(it, "CPIS-L010", "nhs_number", reason)
		return false
	}
	it.indicator.Person = schemas.Person{Number: number, FamilyName: f["family_name"], GivenNames: f["given_names"], Sex: sex(f["sex"]), LocalID: f["record_id"],
		Postcode: f["postcode"], OtherNames: f["other_names"]}
	if it.row.Withdrawn { // nobody is named
		it.indicator.Person = schemas.Person{Number: number}
		return true
	}
	if f["family_name"] == "" {
		refuse(it, "CPIS-L002", "family_name", "missing")
		return false
	}
	born, wrong := it.date("date_of_birth", odd)
	if born == "" {
		refuse(it, "CPIS-L011", "date_of_birth", cmp.Or(wrong, "missing"))
		return false
	}
	if born > today {
		refuse(it, "CPIS-L011", "date_of_birth", "lies in the future")
		return false
	}
	it.indicator.Person.DateOfBirth = born
	return true
}

// sex takes the words that systems write, too.
func sex(text string) string {
	switch s := strings.ToUpper(text); s {
	case "FEMALE":
		return "F"
	case "MALE":
		return "M"
	default:
		return s
	}
}

func (it *item) planType() bool {
	switch p := schemas.PlanType(strings.ToUpper(it.row.Fields["plan_type"])); p {
	case schemas.PlanChildProtection, schemas.PlanLookedAfter, schemas.PlanUnborn:
		it.indicator.PlanType = p
		return true
	}
	refuse(it, "CPIS-L012", "plan_type", "none of CPP, LAC, UNBORN")
	return false
}

func (it *item) version() bool {
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
func (it *item) dates(today schemas.Date, odd notes) {
	i := &it.indicator
	for _, d := range []struct {
		name string
		to   *schemas.Date
	}{{"plan_start", &i.PlanStart}, {"plan_end", &i.PlanEnd}, {"expected_delivery_date", &i.ExpectedDate}} {
		var wrong string
		if *d.to, wrong = it.date(d.name, odd); wrong != "" {
			refuse(it, "CPIS-L014", d.name, wrong)
			return
		}
	}
	if i.PlanEnd != "" && i.Reason == "" {
		i.Reason = reasonEnded
	}
	switch {
	case i.PlanEnd == "" && i.Reason != "":
		refuse(it, "CPIS-L026", "reason", "the plan has no end and is not withdrawn")
	case i.PlanStart == "":
		refuse(it, "CPIS-L014", "plan_start", "missing")
	case i.PlanEnd != "" && i.PlanEnd < i.PlanStart:
		refuse(it, "CPIS-L015", "plan_end", "lies before plan_start")
	case i.PlanEnd != "" && i.PlanEnd.AddDays(schemas.EndedDays) < today:
		refuse(it, "CPIS-L016", "plan_end", "more than 365 days ago")
	case i.PlanType == schemas.PlanUnborn && i.ExpectedDate == "":
		refuse(it, "CPIS-L017", "expected_delivery_date", "missing")
	case i.PlanType != schemas.PlanUnborn && i.ExpectedDate != "":
		refuse(it, "CPIS-L017", "expected_delivery_date", "only an unborn plan has one")
	case i.PlanType != schemas.PlanUnborn && i.Person.DateOfBirth.AddYears(schemas.AdultYears) <= today:
		refuse(it, "CPIS-L018", "date_of_birth", "18 or older")
	}
}

// reason reads why a plan ends or a record is taken back.
func (it *item) reason() {
	allowed := endReasons()
	if it.row.Withdrawn {
		allowed = withdrawReasons()
	}
	it.indicator.Reason, it.indicator.Withdrawn = strings.ToUpper(it.row.Fields["reason"]), it.row.Withdrawn
	switch r := it.indicator.Reason; {
	case r == "" && it.row.Withdrawn:
		refuse(it, "CPIS-L026", "reason", "missing: why is the record taken back?")
	case r != "" && !slices.Contains(allowed, r):
		refuse(it, "CPIS-L026", "reason", "none of "+strings.Join(allowed, ", "))
	}
}

// date reads a field written YYYY-MM-DD, or DD/MM/YYYY as spreadsheets make of
// it, with or without midnight after it. Nothing is no date and fine; wrong says
// what else is the matter.
func (it *item) date(name string, odd notes) (d schemas.Date, wrong string) {
	text := it.row.Fields[name]
	if text == "" {
		return "", ""
	}
	day, clock, timed := strings.Cut(strings.Replace(text, "T", " ", 1), " ")
	if timed && strings.Trim(clock, "0:.Z") != "" {
		return "", "not a date: it has a time"
	}
	if t, err := time.Parse("02/01/2006", day); err == nil {
		odd.add("CPIS-L104", it.row.Line)
		return schemas.Date(t.Format(time.DateOnly)), ""
	}
	if _, err := strconv.Atoi(text); err == nil && len(text) == 5 {
		return "", "a spreadsheet's number for a day; format the column as YYYY-MM-DD"
	}
	if _, err := time.Parse("02/01/06", day); err == nil {
		return "", "a year has four digits"
	}
	d, err := schemas.ParseDate(day)
	if err != nil {
		return "", "not a date"
	}
	return d, ""
}

// judgeAll applies the rules to a file. Of two rows about the same person and
// plan the one with the higher version counts, the later one at equal versions.
// One record id with two numbers leaves none of them: nobody can tell whose it is.
func judgeAll(rows []Row, authority schemas.AuthorityCode, today schemas.Date, odd notes) []item {
	items := make([]item, len(rows))
	newest := map[string]int{}
	named := map[string][]int{} // by record id and plan type
	for i, row := range rows {
		items[i] = judge(row, authority, today, odd)
		if items[i].refused {
			continue
		}
		record := recordKey(items[i].verdict.RecordID, items[i].indicator.PlanType)
		named[record] = append(named[record], i)
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
	born := map[schemas.Date]int{}
	for _, it := range items {
		born[it.indicator.Person.DateOfBirth]++
	}
	for date, n := range born {
		if date != "" && n > 20 && n*20 > len(items) { // siblings and chance do not make a twentieth
			odd.add("CPIS-L112", 0)
		}
	}
	for _, of := range named {
		first := items[of[0]].indicator.Person.Number
		if slices.ContainsFunc(of, func(i int) bool {
			return items[i].indicator.Person.Number != first && !items[i].refused && !items[i].row.Withdrawn
		}) {
			for _, i := range of {
				refuse(&items[i], "CPIS-L028", "record_id", "rows with this record id have different NHS numbers")
			}
		}
	}
	return items
}

// recordKey names a record as its authority knows it.
func recordKey(recordID string, p schemas.PlanType) string { return recordID + "/" + string(p) }
