package schemas

import (
	"fmt"
	"log/slog"
	"slices"
	"time"
)

// Registration is one ADT message that a care setting sent and was told is
// taken (cpis.registration.v1, kept 24 hours).
type Registration struct {
	EventID        string       `avro:"event_id"` // keyed hash of sender, control id and payload
	Feed           string       `avro:"feed"`     // name of the sender's profile
	ODS            ODSCode      `avro:"ods"`
	Setting        CareSetting  `avro:"setting"`
	ControlID      string       `avro:"control_id"` // MSH-10 as sent
	Event          string       `avro:"event"`      // A04, A01, …
	Class          EventClass   `avro:"class"`
	AcceptedAt     time.Time    `avro:"accepted_at"`
	OccurredAt     time.Time    `avro:"occurred_at"`     // zero where the message gives no usable time
	OccurredSource string       `avro:"occurred_source"` // the field the time was read from: PV1-44, EVN-6, EVN-2, MSH-7
	SubjectRef     SubjectRef   `avro:"subject_ref"`
	NumberStatus   NumberStatus `avro:"number_status"`
	VisitRef       string       `avro:"visit_ref"`   // keyed hash of sender and visit number, empty where none
	RetiredRef     SubjectRef   `avro:"retired_ref"` // the number a merge retires, empty otherwise
	SealedPerson   []byte       `avro:"person"`
	SealedRetired  []byte       `avro:"retired"`

	Part              int64     `avro:"part"`               // 0 for the message itself; a merge has further records
	Link              LinkKind  `avro:"link"`               // of identity events, empty otherwise
	PriorVisitRef     string    `avro:"prior_visit_ref"`    // the visit that a move or merge retires
	Repeat            bool      `avro:"repeat"`             // the visit has asked this before
	Marks             []string  `avro:"marks"`              // codes of what was odd and harmed nobody
	Deleted           []string  `avro:"deleted"`            // fields sent as "", which says that there is no value
	OccurredAsSent    string    `avro:"occurred_as_sent"`   // OccurredAt as the sender wrote it
	OccurredPrecision string    `avro:"occurred_precision"` // YEAR to SECOND
	OccurredZone      string    `avro:"occurred_zone"`      // STATED, MESSAGE or PROFILE
	OccurredOther     time.Time `avro:"occurred_other"`     // second reading in the hour that comes twice
	SealedEvidence    []byte    `avro:"evidence"`

	Notify        NotifyPolicy `avro:"notify"`
	UnopenedAfter int64        `avro:"unopened_after"` // seconds; 0 never

	Person           Person    `avro:"-"` // opened from SealedPerson
	Retired          Person    `avro:"-"` // opened from SealedRetired
	Evidence         Evidence  `avro:"-"` // opened from SealedEvidence
	Sender           string    `avro:"-"` // MSH-3 and MSH-4 as sent
	VisitNumber      string    `avro:"-"` // PV1-19; becomes VisitRef and goes no further
	PriorVisitNumber string    `avro:"-"` // MRG-5; becomes PriorVisitRef
	VisitBegan       time.Time `avro:"-"` // PV1-44, zero where not given or of no matter
	// Promotable is an update that counts as a registration if this visit has
	// not asked its question yet.
	Promotable bool `avro:"-"`
}

// Mark notes something odd that harmed nobody, once.
func (r *Registration) Mark(code Code) {
	if code != "" && !slices.Contains(r.Marks, string(code)) {
		r.Marks = append(r.Marks, string(code))
	}
}

// Evidence is what a registration says beside who the person is. It travels
// only sealed, and redacts itself as a Person does.
type Evidence struct {
	OperatorID     string // who registered the person; empty where the sender does not say
	OperatorName   string
	OperatorSource string // the field both were read from
	Mother         Person // number, local id and name; nobody is linked by name
	MotherSource   string
	BirthOrder     string   // PID-25 where the birth was multiple
	Pregnancy      []string // fields that say so
	Newborn        []string // fields that say so
	Aliases        []string // FAMILY^GIVEN
	Identifiers    []string // other numbers, number@authority

	ResponsibleName string // who answers for the care setting, from its profile
	ResponsibleRole string
	Restricted      bool // PD1-12: where the person is must not be known
	// Location is where in the care setting the person is, PV1-3.1 to PV1-3.3: point of
	// care, room and bed. It is shown on the board of the setting and nowhere else.
	Location string
}

// IsZero reports whether the message said none of it.
func (e Evidence) IsZero() bool {
	return !e.Restricted && e.Location == "" && e.OperatorSource == "" && e.MotherSource == "" && e.BirthOrder == "" && e.ResponsibleName == "" &&
		len(e.Pregnancy)+len(e.Newborn)+len(e.Aliases)+len(e.Identifiers) == 0
}

func (e Evidence) String() string               { return redacted }
func (e Evidence) GoString() string             { return redacted }
func (e Evidence) Format(f fmt.State, _ rune)   { _, _ = f.Write([]byte(redacted)) }
func (e Evidence) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }
func (e Evidence) LogValue() slog.Value         { return slog.StringValue(redacted) }

// Receipt is the promise that a message is safe.
type Receipt struct {
	EventID   string
	At        time.Time // when it was first taken, to the millisecond
	Duplicate bool      // it was taken before; nothing was committed now
}

// Indicator is one plan that a local authority shares about one person
// (cpis.indicator.v1, compacted: the newest record per key is the truth).
type Indicator struct {
	Authority    AuthorityCode `avro:"authority"`
	SubjectRef   SubjectRef    `avro:"subject_ref"`
	PlanType     PlanType      `avro:"plan_type"`
	Version      int64         `avro:"version"` // the LA's own version of the record; a lower one never replaces a higher
	PlanStart    Date          `avro:"plan_start"`
	PlanEnd      Date          `avro:"plan_end"`
	ExpectedDate Date          `avro:"expected_delivery_date"`
	ReceivedAt   time.Time     `avro:"received_at"`
	UploadID     string        `avro:"upload_id"`
	SealedPerson []byte        `avro:"person"`
	Person       Person        `avro:"-"`
	// Withdrawn says that the authority took the record back. Nothing is shared
	// and nobody is named; the version stays, so that an older record which
	// comes late cannot bring it back.
	Withdrawn bool   `avro:"withdrawn"`
	Reason    string `avro:"reason"` // why it ended or was taken back
}

// Key is the topic key of the record: authority / subject / plan type.
func (i Indicator) Key() []byte { return IndicatorKey(i.Authority, i.SubjectRef, i.PlanType) }

// IndicatorKey is the key of one authority's plan of one type on one subject.
func IndicatorKey(a AuthorityCode, s SubjectRef, p PlanType) []byte {
	return []byte(string(a) + "/" + string(s) + "/" + string(p))
}

// Authority is a local authority's contacts and the health of its feed
// (cpis.authority.v1, compacted).
type Authority struct {
	Code           AuthorityCode `avro:"code"`
	Name           string        `avro:"name"`
	OfficePhone    string        `avro:"office_phone"`
	EmergencyPhone string        `avro:"emergency_phone"` // the emergency duty team
	OfficeHours    string        `avro:"office_hours"`    // "Mon-Fri 09:00-17:00"
	UpdatedAt      time.Time     `avro:"updated_at"`
	LastLoadAt     time.Time     `avro:"last_load_at"` // when the feed last brought records, zero where never
	Version        int64         `avro:"version"`
	ClosedDays     []string      `avro:"closed_days"`  // civil dates, beside weekends and bank holidays
	ConfirmedOn    Date          `avro:"confirmed_on"` // when the authority last said that the contacts are right
	Sequence       int64         `avro:"sequence"`     // highest sequence number of a file
	// Of the newest file: records, those whose person is beyond doubt, and those
	// that were refused and wait for correction.
	Received int64 `avro:"received"`
	Matched  int64 `avro:"matched"`
	Refused  int64 `avro:"refused"`
}

// Link says that two NHS numbers are one person's (cpis.link.v1, compacted): a
// care setting merged them, and a plan stands under one of them. It stands until
// the authority has taken that plan back, and so falls with an identity that
// must not be found again.
type Link struct {
	Survivor SubjectRef `avro:"survivor"`
	Retired  SubjectRef `avro:"retired"`
	Feed     string     `avro:"feed"`
	ODS      ODSCode    `avro:"ods"`
	EventID  string     `avro:"event_id"`
	At       time.Time  `avro:"at"`
}

// Key is the topic key of the record.
func (l Link) Key() []byte { return []byte(string(l.Survivor) + "/" + string(l.Retired)) }

// Pattern is how often somebody was seen in a time, and the rule by which it is
// told. It is a fact, and no score.
type Pattern struct {
	Visits   int64  `avro:"visits"`
	Settings int64  `avro:"settings"` // distinct
	Days     int64  `avro:"days"`
	Rule     string `avro:"rule"`
}

// Words writes the pattern as staff read it, empty where there is none.
func (p Pattern) Words() string {
	if p.Visits == 0 {
		return ""
	}
	return fmt.Sprintf("Seen %d times at %d care settings in %d days (%s).", p.Visits, p.Settings, p.Days, p.Rule)
}

// Plan is one indicator as an answer shows it.
type Plan struct {
	Authority      AuthorityCode `avro:"authority"`
	AuthorityName  string        `avro:"authority_name"`
	OfficePhone    string        `avro:"office_phone"`
	EmergencyPhone string        `avro:"emergency_phone"`
	RingNow        string        `avro:"ring_now"` // the number to ring at the time of the answer
	PlanType       PlanType      `avro:"plan_type"`
	PlanStart      Date          `avro:"plan_start"`
	PlanEnd        Date          `avro:"plan_end"`
	ExpectedDate   Date          `avro:"expected_delivery_date"`
	ShownUntil     Date          `avro:"shown_until"`
	RecordID       string        `avro:"record_id"`    // the LA's own record id, for its notice
	LastLoadAt     time.Time     `avro:"last_load_at"` // when the authority's feed last brought records
	// ContactsVersion is the version of the contacts shown, UploadID the upload
	// that brought the plan.
	ContactsVersion int64  `avro:"contacts_version"`
	UploadID        string `avro:"upload_id"`
}

// Details is what only those entitled may open: who, and which plans, newest
// first.
type Details struct {
	Person  Person
	Plans   []Plan
	Pattern Pattern // zero where there is nothing to tell
	// Restricted says that where the person is must not be known: the name of an
	// authority alone can betray it.
	Restricted bool
}

// Freshness says how new the index behind an answer was.
type Freshness struct {
	Generation      string    `avro:"index_generation"`
	Position        int64     `avro:"index_position"` // next offset of cpis.indicator.v1
	AsOf            time.Time `avro:"index_as_of"`
	LateAuthorities []string  `avro:"late_authorities"` // authorities whose feed is late
}

// Outcome is the answer a care setting gets to one registration
// (cpis.outcome.v1). SubjectRef and SealedDetails are empty unless the state
// is matched.
type Outcome struct {
	OutcomeID     string        `avro:"outcome_id"`
	EventID       string        `avro:"event_id"`
	Corrects      string        `avro:"corrects"` // the outcome this one replaces, empty otherwise
	Feed          string        `avro:"feed"`
	ODS           ODSCode       `avro:"ods"`
	Setting       CareSetting   `avro:"setting"`
	ControlID     string        `avro:"control_id"`
	Event         string        `avro:"event"`
	State         State         `avro:"state"`
	Reason        Reason        `avro:"reason"`
	Silent        bool          `avro:"silent"` // scheduled care: no notice to the LA
	AcceptedAt    time.Time     `avro:"accepted_at"`
	DecidedAt     time.Time     `avro:"decided_at"`
	SubjectRef    SubjectRef    `avro:"subject_ref"`
	Freshness     Freshness     `avro:"freshness"`
	SealedDetails []byte        `avro:"details"`
	Details       Details       `avro:"-"`
	Origin        InputPosition `avro:"origin"`
	Repeat        bool          `avro:"repeat"` // an earlier message of the visit asked the same: no further attendance
}

// Words is what a person at the desk reads of an answer: the same for POSSIBLE as for any
// identity that is not confirmed, for the difference would disclose.
func (o Outcome) Words() string {
	switch o.State {
	case StateIndicator:
		return "A local authority has shared a current plan for this person. Open the details for who to ring."
	case StateIndicatorEnded:
		return "A local authority shared a plan that has ended and is still shown. Open the details for who to ring."
	case StateNoneShared:
		return "No local authority has shared a plan for this NHS number. This does not mean there is no concern."
	case StateCheckFailed:
		return "We could not check just now and are trying again. Use your local fallback until the answer comes."
	}
	switch o.Reason {
	case ReasonOtherCountry:
		return "The NHS number is of another country. Use the child protection contacts of that country."
	case ReasonNotEnrolled:
		return "This care setting is not enrolled. Use your local fallback."
	}
	return "Identity not confirmed: trace the NHS number and register again."
}

// InputPosition is where on cpis.registration.v1 an answer's question stands.
type InputPosition struct {
	Partition int64 `avro:"partition"`
	Offset    int64 `avro:"offset"`
}

// Quarantine holds bytes that could not be taken and never were a Kafka
// record: an unreadable HL7 frame, a refused row (cpis.deadletter.v1, unless
// the origin is a topic, whose records are kept there byte for byte).
type Quarantine struct {
	QuarantineID string    `avro:"quarantine_id"`
	Origin       string    `avro:"origin"` // "mllp" or "socialcare"
	Feed         string    `avro:"feed"`   // profile name or authority code
	ControlID    string    `avro:"control_id"`
	Code         string    `avro:"code"`
	Location     string    `avro:"location"` // field position, never its content
	ReceivedAt   time.Time `avro:"received_at"`
	Sealed       []byte    `avro:"sealed"` // the bytes as received
}

// Decision is what matching found for one registration, before it becomes an
// outcome.
type Decision struct {
	State     State
	Reason    Reason
	Plans     []Plan // newest first, only for a matched state
	Freshness Freshness
	Subject   SubjectRef // whose plans they are, only for a matched state
}
