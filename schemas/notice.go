package schemas

import (
	"fmt"
	"log/slog"
	"strings"
	"time"
)

// NotifyPolicy says when a local authority is told of an attendance.
type NotifyPolicy string

const (
	NotifyOnRegistration NotifyPolicy = "ON_REGISTRATION" // at once
	NotifyOnView         NotifyPolicy = "ON_VIEW"         // when the answer is opened
	NotifyBoth           NotifyPolicy = "BOTH"            // at once, and when the answer is opened
)

// NoticeKind is what a notice is about.
type NoticeKind string

const (
	NoticeAttendance    NoticeKind = "ATTENDANCE"        // a protected person was registered
	NoticeViewed        NoticeKind = "VIEWED"            // the answer to that was opened
	NoticeUnopened      NoticeKind = "UNOPENED"          // it was not, for so long
	NoticeGlass         NoticeKind = "GLASS_BROKEN"      // somebody looked who has not registered the person, in an emergency
	NoticeSuperseded    NoticeKind = "NUMBER_SUPERSEDED" // a care setting merged the number of a plan into another
	NoticeOverdue       NoticeKind = "UNBORN_OVERDUE"    // an unborn plan is past its date and no child has a plan instead
	NoticeOverlap       NoticeKind = "OVERLAP"           // another authority has a current plan too
	NoticeGap           NoticeKind = "GAP"               // between the plans of two authorities there were days without
	NoticeStale         NoticeKind = "PLAN_STALE"        // an open plan has not been heard of for long
	NoticePattern       NoticeKind = "PATTERN"           // the person was seen often
	NoticeFeedQuiet     NoticeKind = "FEED_QUIET"        // the authority has sent nothing for longer than it should
	NoticeFeedBack      NoticeKind = "FEED_BACK"         // and has sent something again
	NoticeUploadRefused NoticeKind = "UPLOAD_REFUSED"    // records of a file were refused
	NoticeUploadFailed  NoticeKind = "UPLOAD_FAILED"     // a file could not be used as a whole
	NoticeFeedback      NoticeKind = "FEEDBACK"          // somebody at a care setting says that something is not right
	NoticeFailure       NoticeKind = "FAILURE"           // the broker could not do what it should
)

// NoticeKinds lists every kind.
func NoticeKinds() []NoticeKind {
	return []NoticeKind{NoticeAttendance, NoticeViewed, NoticeUnopened, NoticeGlass, NoticeSuperseded, NoticeOverdue, NoticeOverlap, NoticeGap, NoticeStale, NoticePattern,
		NoticeFeedQuiet, NoticeFeedBack, NoticeUploadRefused, NoticeUploadFailed, NoticeFeedback, NoticeFailure}
}

// Visit says whether a notice tells of a visit, so that the care setting wants to know
// what became of it.
func (k NoticeKind) Visit() bool {
	return k == NoticeAttendance || k == NoticeViewed || k == NoticeUnopened
}

// Notice tells a local authority that a person it protects was seen, or that
// something about its plans or its feed wants looking at (cpis.notice.v1).
type Notice struct {
	NoticeID     string        `avro:"notice_id"`
	Authority    AuthorityCode `avro:"authority"`
	OutcomeID    string        `avro:"outcome_id"`
	ODS          ODSCode       `avro:"ods"`
	Setting      CareSetting   `avro:"setting"`
	OccurredAt   time.Time     `avro:"occurred_at"`
	CreatedAt    time.Time     `avro:"created_at"`
	PlanTypes    []string      `avro:"plan_types"`
	SubjectRef   SubjectRef    `avro:"subject_ref"`
	SealedPerson []byte        `avro:"person"` // as the care setting registered them; never told
	Person       Person        `avro:"-"`
	Origin       InputPosition `avro:"origin"`
	Kind         NoticeKind    `avro:"kind"`
	Others       []string      `avro:"others"` // other authorities concerned
	Since        Date          `avro:"since"`
	Pattern      Pattern       `avro:"pattern"`
	Traced       bool          `avro:"traced"` // the person was registered under this very number, and it was verified
	Notify       NotifyPolicy  `avro:"notify"`
	// UnopenedAfter is how many seconds the answer may stay unopened; 0 for ever.
	UnopenedAfter int64    `avro:"unopened_after"`
	Feed          string   `avro:"feed"`
	ControlID     string   `avro:"control_id"`
	SealedAccess  []byte   `avro:"access"`
	Access        Access   `avro:"-"`
	UploadID      string   `avro:"upload_id"` // of a notice about a file
	Codes         []string `avro:"codes"`     // what was the matter with it
	Restricted    bool     `avro:"restricted"`
}

// Held says that the notice is on record and goes to nobody: the care setting
// tells the authority when the answer is opened.
func (n Notice) Held() bool { return n.Kind == NoticeAttendance && n.Notify == NotifyOnView }

// Access is whose record it was, in the authority's own ids, and who looked or is
// responsible for the care setting. It travels only sealed, and redacts itself.
type Access struct {
	Records    []PlanRecord `avro:"records"`
	WorkerID   string       `avro:"worker_id"`
	WorkerName string       `avro:"worker_name"`
	WorkerRole string       `avro:"worker_role"`
}

// PlanRecord is a record of an authority, as the authority knows it.
type PlanRecord struct {
	PlanType PlanType `avro:"plan_type"`
	RecordID string   `avro:"record_id"`
	UploadID string   `avro:"upload_id"`
}

// RoleCode is the code that a role begins with, such as R0260 of "R0260 General Medical
// Practitioner".
func (a Access) RoleCode() string {
	code, _, _ := strings.Cut(a.WorkerRole, " ")
	return code
}

func (a Access) String() string               { return redacted }
func (a Access) GoString() string             { return redacted }
func (a Access) Format(f fmt.State, _ rune)   { _, _ = f.Write([]byte(redacted)) }
func (a Access) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }
func (a Access) LogValue() slog.Value         { return slog.StringValue(redacted) }

// DeliveryState is what became of a notice.
type DeliveryState string

const (
	Delivered    DeliveryState = "DELIVERED"    // the authority's receiver took it
	Undelivered  DeliveryState = "UNDELIVERED"  // it was tried for as long as it may be
	Acknowledged DeliveryState = "ACKNOWLEDGED" // a person at the authority answered
)

// Answer is what an authority says to a notice. The list is closed: free text
// would bring what must not be shared.
type Answer string

const (
	AnswerReceived Answer = "RECEIVED"  // somebody has seen it
	AnswerWillCall Answer = "WILL_CALL" // the duty worker will call
	AnswerCallUs   Answer = "CALL_US"   // the care setting should call
	AnswerNotOurs  Answer = "NOT_OURS"  // the authority does not protect this person any more
)

// Answers lists every answer.
func Answers() []Answer {
	return []Answer{AnswerReceived, AnswerWillCall, AnswerCallUs, AnswerNotOurs}
}

// Feedback is what somebody who opened an answer says is not right. The list is closed, as
// that of answers is.
type Feedback string

const (
	FeedbackNumber     Feedback = "NUMBER_WRONG"     // the telephone number is not the authority's
	FeedbackUnanswered Feedback = "NOBODY_ANSWERED"  // it rang, and nobody came
	FeedbackPerson     Feedback = "NOT_THIS_PERSON"  // the record seems to be about somebody else
	FeedbackEnded      Feedback = "PLAN_SEEMS_ENDED" // the plan does not seem to stand any more
)

// Feedbacks lists every one.
func Feedbacks() []Feedback {
	return []Feedback{FeedbackNumber, FeedbackUnanswered, FeedbackPerson, FeedbackEnded}
}

// Delivery is what became of a notice (cpis.delivery.v1).
type Delivery struct {
	DeliveryID string        `avro:"delivery_id"`
	NoticeID   string        `avro:"notice_id"`
	Authority  AuthorityCode `avro:"authority"`
	Kind       NoticeKind    `avro:"kind"`
	State      DeliveryState `avro:"state"`
	Way        string        `avro:"way"`
	At         time.Time     `avro:"at"`
	Answer     Answer        `avro:"answer"`
	CallBy     time.Time     `avro:"call_by"`
	Feed       string        `avro:"feed"`
	ODS        ODSCode       `avro:"ods"`
	Setting    CareSetting   `avro:"setting"`
	ControlID  string        `avro:"control_id"`
	OutcomeID  string        `avro:"outcome_id"`
	Restricted bool          `avro:"restricted"`
}
