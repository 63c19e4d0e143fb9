package feed

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"time"

	"cpis/connectors/adt"
	"cpis/connectors/hl7"
	"cpis/connectors/mllp"
	"cpis/schemas"
)

// Tally counts how often something was seen, by what it was.
type Tally map[string]int

// Report is what a day of a sender's messages shows: whether its feed is ready,
// and what to ask its integration team. Nothing in it names a person.
type Report struct {
	Frames   int `json:"frames"` // files hold frames or messages one after the other
	Messages int `json:"messages"`
	Taken    int `json:"taken"`
	Refused  int `json:"refused"`

	Feeds        Tally `json:"feeds"`        // by name; the refused by code
	Senders      Tally `json:"senders"`      // MSH-3 and MSH-4
	Versions     Tally `json:"versions"`     // MSH-12
	Environments Tally `json:"environments"` // MSH-11
	AnswerModes  Tally `json:"answer_modes"` // MSH-15 and MSH-16
	Charsets     Tally `json:"charsets"`     // declared and read as
	Events       Tally `json:"events"`       // trigger event and what it means
	Segments     Tally `json:"segments"`     // how many messages have each
	Numbers      Tally `json:"nhs_numbers"`  // standing of the NHS number, in events about a person
	Identifiers  Tally `json:"identifiers"`  // authority and type of the identifiers in PID-2, 3, 4 and 19
	Statuses     Tally `json:"statuses"`     // PID-32 as sent
	Times        Tally `json:"times"`        // field, precision and source of the zone
	Classes      Tally `json:"classes"`      // PV1-2
	Complete     Tally `json:"complete"`     // events about a person that have a usable …
	Marks        Tally `json:"marks"`        // codes
	Refusals     Tally `json:"refusals"`     // codes
	Copies       int   `json:"copies"`       // byte for byte
	ReusedIDs    int   `json:"reused_ids"`   // control id of an earlier, other message
	NoAnswer     int   `json:"no_answer"`    // acknowledgements, and senders who want none

	// Advice says what to look at before the feed goes live, most important
	// first; empty where nothing.
	Advice []string `json:"advice"`

	people   int // records about a person
	visits   int // of those, registrations and bookings
	numbered int // of those, with a visit number
	seen     map[[32]byte]bool
	controls map[string]bool
}

// NewReport prepares an empty report.
func NewReport() *Report {
	r := &Report{seen: map[[32]byte]bool{}, controls: map[string]bool{}, Advice: []string{}}
	for _, t := range []*Tally{&r.Feeds, &r.Senders, &r.Versions, &r.Environments, &r.AnswerModes, &r.Charsets, &r.Events, &r.Segments,
		&r.Numbers, &r.Identifiers, &r.Statuses, &r.Times, &r.Classes, &r.Complete, &r.Marks, &r.Refusals} {
		*t = Tally{}
	}
	return r
}

// Add runs one frame through the intake, changing nothing, and counts what it
// shows.
func (r *Report) Add(profiles []adt.Profile, frame mllp.Frame, now time.Time) error {
	trial, err := Try(profiles, frame, now)
	if err != nil {
		return err
	}
	r.Frames++
	if len(trial.Answers) == 0 {
		r.NoAnswer++
	}
	for _, m := range trial.Messages {
		r.message(m)
	}
	return nil
}

func (r *Report) message(t TrialMessage) {
	r.Messages++
	sum := sha256.Sum256(t.Raw)
	copied := r.seen[sum]
	r.seen[sum] = true
	if copied {
		r.Copies++
	}
	if t.Refusal != nil {
		r.Refused++
		r.Refusals[string(t.Refusal.Code)]++
		r.Feeds["refused "+string(t.Refusal.Code)]++
	} else {
		r.Taken++
		r.Feeds[t.Feed]++
	}
	m, err := hl7.Parse(t.Raw)
	if err != nil {
		if m, err = hl7.ParseHeader(t.Raw); err != nil {
			return
		}
	}
	r.header(m, copied)
	for i := range t.Records {
		r.record(m, &t.Records[i])
	}
}

func (r *Report) header(m *hl7.Message, copied bool) {
	or := func(text, empty string) string {
		if text == "" {
			return empty
		}
		return text
	}
	sender := or(m.Value("MSH-3"), "(none)") + " " + or(m.Value("MSH-4"), "(none)")
	r.Senders[sender]++
	r.Versions[or(m.Value("MSH-12"), "(none)")]++
	r.Environments[or(m.Value("MSH-11"), "(none)")]++
	r.AnswerModes[or(m.Value("MSH-15"), "-")+" "+or(m.Value("MSH-16"), "-")]++
	r.Charsets[or(m.Charset.Declared, "(none)")+" read as "+m.Charset.Used]++
	seen := map[string]bool{}
	for _, s := range m.Segments() {
		if !seen[s.Name()] {
			seen[s.Name()] = true
			r.Segments[s.Name()]++
		}
	}
	if id := sender + " " + m.Segment("MSH").Field(10).Raw(); m.Value("MSH-10") != "" && !copied {
		if r.controls[id] {
			r.ReusedIDs++
		}
		r.controls[id] = true
	}
}

func (r *Report) record(m *hl7.Message, reg *schemas.Registration) {
	for _, code := range reg.Marks {
		r.Marks[code]++
	}
	if reg.Part > 0 {
		return
	}
	r.Events[fmt.Sprintf("%s %s", reg.Event, reg.Class)]++
	when := "(none)"
	if reg.OccurredSource != "" {
		when = reg.OccurredSource + " " + reg.OccurredPrecision + " " + reg.OccurredZone
	}
	r.Times[when]++
	if reg.Class == schemas.ClassNone {
		return
	}
	r.people++
	if reg.Class.Checked() {
		r.visits++
		if reg.VisitNumber != "" {
			r.numbered++
		}
	}
	r.Numbers[string(reg.NumberStatus)]++
	pid := m.Segment("PID")
	for _, n := range []int{2, 3, 4, 19} {
		for _, rep := range pid.Field(n).Repetitions() {
			if rep.Component(1) != "" {
				r.Identifiers[fmt.Sprintf("PID-%d ^^^%s^%s", n, rep.RawComponent(4), rep.RawComponent(5))]++
			}
		}
	}
	for _, rep := range pid.Field(32).Repetitions() {
		r.Statuses[rep.Component(1)]++
	}
	if pv1 := m.Segment("PV1"); pv1.Present() {
		r.Classes[pv1.Field(2).Text()]++
	}
	for what, has := range map[string]bool{
		"NHS number": !reg.Person.Number.IsZero(), "date of birth": reg.Person.DateOfBirth != "", "family name": reg.Person.FamilyName != "",
		"postcode": reg.Person.Postcode != "", "hospital number": reg.Person.LocalID != "", "visit number": reg.VisitNumber != "",
		"operator": reg.Evidence.OperatorSource != "", "mother": reg.Evidence.MotherSource != "",
	} {
		if has {
			r.Complete[what]++
		}
	}
}

// Close draws the conclusions.
func (r *Report) Close() {
	advise := func(yes bool, format string, args ...any) {
		if yes {
			r.Advice = append(r.Advice, fmt.Sprintf(format, args...))
		}
	}
	for _, code := range sorted(r.Refusals) {
		e, _ := schemas.Explain(code)
		advise(true, "%s: %d refused. %s. %s", code, r.Refusals[code], e.Title, e.Fix)
	}
	checks := 0
	for event, n := range r.Events {
		if strings.HasSuffix(event, string(schemas.ClassRegistration)) {
			checks += n
		}
	}
	advise(r.Taken > 0 && checks == 0, "No message registers anybody. Which event does this sender use? Say so in the profile (events).")
	share := func(n int) int { return n * 100 / max(r.people, 1) }
	with, verified := r.Complete["NHS number"], r.Numbers[string(schemas.NumberVerified)]
	advise(r.people > 0 && share(with) < 90, "Only %d %% of the persons have an NHS number. Everyone else is NOT_CHECKED. Look at identifiers: is the sender's marker missing in the profile (markers)?", share(with))
	advise(with > 0 && len(r.Statuses) == 0 && verified == 0, "No message says how far its number is traced, so nobody can be checked. If the sender traces every number, say so in the profile (unstated_status: verified).")
	advise(len(r.Statuses) > 0 && share(verified) < 90, "Only %d %% of the numbers count as verified. Look at statuses: does the sender use codes of its own (statuses in the profile)?", share(verified))
	advise(r.visits > 0 && r.numbered*100/max(r.visits, 1) < 90, "Only %d %% of the registrations name a visit. Without PV1-19, notices repeat, and an update cannot make up for a lost registration.", r.numbered*100/max(r.visits, 1))
	advise(r.people > 0 && share(r.Complete["date of birth"]) < 95, "Only %d %% have a usable date of birth, which confirms that a number is the person's.", share(r.Complete["date of birth"]))
	advise(r.ReusedIDs > 0, "%d control ids were used again for other messages. The broker tells them apart; the sender may pair an answer with the wrong one.", r.ReusedIDs)
	advise(r.Copies > 0, "%d messages are copies of earlier ones. They are answered as the first was, and not taken twice.", r.Copies)
	advise(len(r.Environments) > 1, "The messages are of several environments (MSH-11). Give each a listener or feed of its own, or set environment in the profile.")
	advise(len(r.Senders) > 1, "The messages come from %d senders (MSH-3, MSH-4).", len(r.Senders))
	for _, code := range sorted(r.Marks) {
		e, _ := schemas.Explain(code)
		advise(true, "%s: %d marked. %s. %s", code, r.Marks[code], e.Title, e.Fix)
	}
}

// Ready reports whether every message was taken and most of the persons can be
// checked.
func (r *Report) Ready() bool {
	return r.Refused == 0 && r.Taken > 0 && r.Numbers[string(schemas.NumberVerified)]*2 > r.people
}

func sorted(t Tally) []string {
	keys := make([]string, 0, len(t))
	for k := range t {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// Top lists a tally, most frequent first.
func (t Tally) Top() []string {
	keys := sorted(t)
	slices.SortStableFunc(keys, func(a, b string) int { return t[b] - t[a] })
	return keys
}
