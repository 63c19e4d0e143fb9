package adt

import (
	"fmt"
	"time"

	"cpis/connectors/hl7"
	"cpis/schemas"
)

// Finding is one line of an explanation. Values of person fields appear as
// their shape only.
type Finding struct {
	Location string `json:"location"`
	Name     string `json:"name"`
	Value    string `json:"value"` // masked where it is about a person
	UsedFor  string `json:"used_for"`
}

// Explain says what the broker reads in a message, field by field.
func Explain(m *hl7.Message, p Profile) []Finding {
	r, err := Registration(m, p)
	masked := func(s string) string {
		if s == "" {
			return "(empty)"
		}
		return fmt.Sprintf("[%d characters]", len([]rune(s)))
	}
	number := "(none recognised)"
	if !r.Person.Number.IsZero() {
		number = "[10 digits, check digit right]"
	}
	out := []Finding{
		{"MSH-3, MSH-4", "sender", m.Value("MSH-3") + " " + m.Value("MSH-4"), "finds the feed: " + p.Name + ", " + string(p.Setting)},
		{"MSH-9", "message type", m.Value("MSH-9") + " " + m.Value("MSH-9.2"), "means " + string(r.Class)},
		{"MSH-10", "control id", m.Value("MSH-10"), "returned in the answer; part of the event id"},
		{"PID-3", "NHS number", number, "finds the plans; status " + string(r.NumberStatus)},
		{"PID-3", "hospital number", masked(r.Person.LocalID), "orders the events of a person without an NHS number"},
		{"PID-5", "name", masked(r.Person.FamilyName + r.Person.GivenNames), "checks that the number is this person's"},
		{"PID-7", "date of birth", masked(string(r.Person.DateOfBirth)), "checks that the number is this person's"},
		{"PID-11.5", "postcode", masked(r.Person.Postcode), "kept sealed for matching"},
		{"PV1-19", "visit number", masked(r.VisitNumber), "one notice per visit"},
		{r.OccurredSource, "time of the event", r.OccurredAt.Format(time.RFC3339), "when the person registered"},
	}
	if err != nil {
		if code, ok := Code(err); ok {
			e, _ := schemas.Explain(string(code))
			out = append(out, Finding{string(code), "refused", e.Title, e.Fix})
		}
	}
	return out
}
