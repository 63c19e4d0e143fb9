package adt

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"cpis/connectors/hl7"
	"cpis/schemas"
)

// Finding is one field of a message and what the broker makes of it. What is
// about a person appears as its shape only.
type Finding struct {
	At      string `json:"at"`      // PID-3
	Name    string `json:"name"`    // the standard's name for it
	Value   string `json:"value"`   // masked where it is about a person
	Use     string `json:"use"`     // what it is read for, empty where it is not read
	Verdict string `json:"verdict"` // used, odd, refused or not used
	Code    string `json:"code,omitempty"`
	Reason  string `json:"reason,omitempty"`
}

// Verdicts of a finding.
const (
	VerdictUsed    = "used"
	VerdictOdd     = "odd"
	VerdictRefused = "refused"
	VerdictUnused  = "not used"
)

// Explain shows every field that was sent, in order. records are what was read
// of it, cause why it was refused; either may be absent.
func Explain(m *hl7.Message, records []schemas.Registration, cause error) []Finding {
	var list []Finding
	for _, s := range m.Segments() {
		before := len(list)
		for n := 1; n <= s.Fields(); n++ {
			f := s.Field(n)
			if f.Raw() == "" {
				continue
			}
			at := s.Name() + "-" + strconv.Itoa(n)
			found := Finding{At: at, Name: fieldName(s.Name(), n), Value: mask(m, s.Name(), n, f), Use: uses()[at], Verdict: VerdictUnused}
			if found.Use != "" {
				found.Verdict = VerdictUsed
			}
			list = append(list, found)
		}
		if len(list) == before { // say that it is there
			list = append(list, Finding{At: s.Name(), Value: "(empty)", Verdict: VerdictUnused})
		}
	}
	for i := range records {
		for _, code := range records[i].Marks {
			list = note(list, markPlace(schemas.Code(code), &records[i]), VerdictOdd, code, "")
		}
	}
	var e *hl7.Error
	if errors.As(cause, &e) {
		list = note(list, e.Location, VerdictRefused, e.Code, e.Reason)
	}
	return list
}

// note puts a verdict where it belongs; if nothing was sent there, as a line of
// its own.
func note(list []Finding, at, verdict, code, reason string) []Finding {
	entry, _ := schemas.Explain(code)
	if reason == "" {
		reason = entry.Title
	}
	i := slices.IndexFunc(list, func(f Finding) bool { return f.At == at })
	if i < 0 {
		segment, field, _ := strings.Cut(at, "-")
		n, _ := strconv.Atoi(field)
		name := ""
		if n > 0 {
			name = fieldName(segment, n)
		}
		return append(list, Finding{At: at, Name: name, Value: "(not sent)", Use: uses()[at], Verdict: verdict, Code: code, Reason: reason})
	}
	list[i].Verdict, list[i].Code, list[i].Reason = verdict, code, reason
	return list
}

// markPlace is the field that a mark is about.
func markPlace(code schemas.Code, r *schemas.Registration) string {
	switch code {
	case "CPIS-H103", "CPIS-H104":
		return "MSH-18"
	case "CPIS-H105", "CPIS-H106":
		return "MSH-10"
	case "CPIS-H107":
		return "PV1-19"
	case "CPIS-H108", "CPIS-H109":
		return "MRG-1"
	case "CPIS-H110":
		return "EVN-2"
	case "CPIS-H111", "CPIS-H112":
		return r.OccurredSource
	case "CPIS-H113":
		return "PID-7"
	case "CPIS-H114":
		return "EVN-1"
	case "CPIS-H115":
		return "PID-3"
	}
	return "MSH"
}

// mask shows a field as its shape: the separators, and what kind of thing it
// is, but nothing of who the person is.
func mask(m *hl7.Message, segment string, n int, f hl7.Field) string {
	if inClear(segment, n) || f.Null() {
		return f.Raw()
	}
	at := segment + "-" + strconv.Itoa(n)
	var reps []string
	for _, r := range f.Repetitions() {
		var parts []string
		for c, text := range strings.Split(r.Raw(), string(m.Separators.Component)) {
			if !shown(at, c+1) {
				text = shape(text)
			}
			parts = append(parts, text)
		}
		reps = append(reps, strings.Join(parts, string(m.Separators.Component)))
	}
	return strings.Join(reps, string(m.Separators.Repetition))
}

func shape(text string) string {
	if text == "" || text == hl7.Null {
		return text
	}
	switch _, err := schemas.ParseNHSNumber(text); {
	case err == nil:
		return "[10 digits, check digit right]"
	case errors.Is(err, schemas.ErrCheckDigit):
		return "[10 digits, check digit wrong]"
	case strings.Trim(text, "0123456789") == "":
		return fmt.Sprintf("[%d digits]", len(text))
	}
	return fmt.Sprintf("[%d characters]", len([]rune(text)))
}
