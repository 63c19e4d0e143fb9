package socialcare

import (
	"fmt"
	"slices"
	"strings"
)

// Column is a column of the CSV file, and a name of the JSON Lines objects. The
// template, its notes and the check of a header are all made from the table.
type Column struct {
	Name    string
	Needed  string // when it has to be filled in
	Absent  bool   // the whole column may be left away
	Means   string
	Form    string
	Example string
}

// Table lists the columns in the order of the template.
func Table() []Column {
	return []Column{
		{"record_id", "always", false, "Your own id of this record. It comes back in verdicts and notices, and is what you will know the child by.", "up to 64 letters, digits and . _ - /; no name, no NHS number", "CP-1001"},
		{"nhs_number", "always", false, "NHS number of the child; for an unborn child, of the mother.", "10 digits, blanks allowed", "9990000018"},
		{"family_name", "unless withdrawn", false, "Family name as registered with the NHS.", "up to 256 characters", "Example"},
		{"given_names", "if known", false, "Given names, the first one first.", "up to 256 characters", "Ada Jane"},
		{"date_of_birth", "unless withdrawn", false, "Date of birth; of the mother for UNBORN.", "YYYY-MM-DD", "2019-08-07"},
		{"sex", "if known", false, "Sex as registered.", "F or M", "F"},
		{"plan_type", "always", false, "CPP child protection plan, LAC looked after child, UNBORN unborn child on a plan.", "CPP, LAC or UNBORN", "CPP"},
		{"plan_start", "unless withdrawn", false, "Day the plan begins or the child comes to be looked after.", "YYYY-MM-DD", "2026-03-03"},
		{"plan_end", "once it ends", false, "Last day of the plan. It is shown as ended for 365 days.", "YYYY-MM-DD", ""},
		{"expected_delivery_date", "for UNBORN", false, "Day the birth is expected. The plan is shown until 28 days after it.", "YYYY-MM-DD", ""},
		{"version", "always", false, "Tells a later state of the record from an earlier one, in whatever order they arrive.", "a whole number that rises with every change", "1"},
		{"postcode", "if known", true, "Helps to recognise a child who comes without a number. Sealed, never shown.", "a postcode", "ZZ1 1ZZ"},
		{"other_names", "if any", true, "Former and other names, for the same purpose. Sealed, never shown.", "FAMILY^GIVEN, several with semicolons", "FORMER^ADA"},
		{"withdrawn", "to take a record back", true, "The record should never have been shared: it is gone at once, with nothing to see.", "yes, or nothing (true or false in JSON)", ""},
		{"reason", "with withdrawn; with plan_end if known", true, "Why the plan ended or the record is taken back.",
			"with plan_end one of " + strings.Join(endReasons(), ", ") + "; with withdrawn one of " + strings.Join(withdrawReasons(), ", "), ""},
	}
}

// Columns are the names of the columns.
func Columns() []string {
	var out []string
	for _, c := range Table() {
		out = append(out, c.Name)
	}
	return out
}

// Template is the header line of a file, with a line end.
func Template() string { return strings.Join(Columns(), ",") + "\n" }

// ColumnNotes explains the columns, in Markdown.
func ColumnNotes() string {
	var b strings.Builder
	b.WriteString("| column | filled in | what it is | form | example |\n|---|---|---|---|---|\n")
	for _, c := range Table() {
		needed := c.Needed
		if c.Absent {
			needed += "; the column may be left away"
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", c.Name, needed, c.Means, c.Form, c.Example)
	}
	fmt.Fprintf(&b, "\nA file has a header line and at most %d rows and %d MB, as CSV in UTF-8, or as JSON Lines with the same names. No other column is taken: an address, a category of abuse or a narrative must not be shared.\n", MaxRows, MaxFile>>20)
	return b.String()
}

// Reasons why a plan ends, as an authority may give them.
func endReasons() []string {
	return []string{"PLAN_ENDED", "MOVED", "ADULT", "DIED", "LEFT_COUNTRY", "BORN", "ADOPTED"}
}

// Reasons why a record is taken back, as an authority may give them.
func withdrawReasons() []string { return []string{"ERROR", "WRONG_PERSON", "DUPLICATE", "ADOPTED"} }

// Reasons that the broker gives.
const (
	reasonEnded     = "PLAN_ENDED"       // an end without a reason
	reasonSnapshot  = "NOT_IN_SNAPSHOT"  // ended, since a full snapshot did not hold it
	reasonSensitive = "SENSITIVE"        // taken back, since the person's record must not carry it
	reasonCorrected = "NUMBER_CORRECTED" // taken back, since the record has another NHS number now
)

// forbidden are names of columns under which systems keep what must not be
// shared, so that the refusal can name what it found. Anything else that is not
// in the template is refused too.
func forbidden() []string {
	return []string{"address", "address_line", "category", "category_of_abuse", "abuse", "narrative", "notes", "comments", "social_worker", "worker", "telephone",
		"phone", "school", "ethnicity", "religion", "mother", "father", "siblings", "risk", "concern", "concerns"}
}

// unwanted describes a column or field that is not taken. A name that is not
// known is not repeated: a file without a header has a person's data there.
func unwanted(name string) string {
	if slices.Contains(forbidden(), strings.ReplaceAll(strings.ToLower(name), " ", "_")) {
		return "it is named " + strings.ToLower(name) + ", which must not be shared"
	}
	return "its name is not one of the template"
}
