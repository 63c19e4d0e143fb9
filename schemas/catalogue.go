package schemas

import (
	"fmt"
	"slices"
	"strings"
	"sync"
)

// Code is the stable name of one refusal or warning, "CPIS-H012". The letter
// names the area: A audit log, B who looks, C configuration, D dead letters and ledger, H HL7 intake,
// K Kafka and schemas, L local authority feeds, M matching and index, W
// requests over HTTP.
type Code string

// Entry explains a code: one text serves the acknowledgement, the LA's
// verdict, the dead letter, the log, the documentation and `cpis explain`.
type Entry struct {
	Code  Code
	Title string // one line, as the person who caused it would say it
	Why   string // what the broker saw and why that matters
	Fix   string // what to do now
	Fate  string // what became of the input
}

// Catalogue lists every code in order.
func Catalogue() []Entry {
	all := slices.Concat(auditCodes(), lookerCodes(), configCodes(), recordCodes(), hl7Codes(), hl7Marks(), socialCareCodes(), matchingCodes(), webCodes())
	slices.SortFunc(all, func(a, b Entry) int { return strings.Compare(string(a.Code), string(b.Code)) })
	return all
}

// Explain finds a code, with or without the CPIS- prefix, in any letter case.
func Explain(code string) (Entry, bool) {
	want := strings.ToUpper(strings.TrimSpace(code))
	if !strings.HasPrefix(want, "CPIS-") {
		want = "CPIS-" + want
	}
	e, ok := byCode()[Code(want)]
	return e, ok
}

// byCode makes the catalogue once: a file with many refusals asks for each.
var byCode = sync.OnceValue(func() map[Code]Entry {
	out := map[Code]Entry{}
	for _, e := range Catalogue() {
		out[e.Code] = e
	}
	return out
})

// Refusal is an input that cannot be taken: which rule, where in the input,
// and what was seen, in words that hold nobody's details.
type Refusal struct {
	Code     Code
	Location string // a field position or a column name
	Reason   string
}

func (r *Refusal) Error() string {
	if r.Location == "" {
		return fmt.Sprintf("%s: %s", r.Code, r.Reason)
	}
	return fmt.Sprintf("%s at %s: %s", r.Code, r.Location, r.Reason)
}
