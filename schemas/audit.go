package schemas

import "time"

// AuditKind says what an audit record is about.
type AuditKind string

const (
	AuditDecision  AuditKind = "DECISION"  // one answer given to one registration
	AuditView      AuditKind = "VIEW"      // the details of an answer were opened
	AuditRefusal   AuditKind = "REFUSAL"   // a message, a record or a caller was refused
	AuditChange    AuditKind = "CHANGE"    // a plan, contacts or a file of an authority changed
	AuditExport    AuditKind = "EXPORT"    // records left the broker
	AuditOperation AuditKind = "OPERATION" // an operator did something
	AuditAccess    AuditKind = "ACCESS"    // somebody signed in or out, or broke the glass
	AuditFinding   AuditKind = "FINDING"   // somebody looked in a way that wants looking at
)

// AuditStream says who may read an audit record.
type AuditStream string

const (
	StreamHistory    AuditStream = "HISTORY"    // shown to those who may see who has looked
	StreamGovernance AuditStream = "GOVERNANCE" // for information governance alone
)

// Action is what was done, of what is no decision and no view.
type Action string

// Actions, by what they are about.
const (
	ActionMessageRefused Action = "message.refused" // an HL7 message of a care setting
	ActionRecordRefused  Action = "record.refused"  // records of an authority, by code
	ActionRequestRefused Action = "request.refused" // a caller who had no right

	ActionPlanShared     Action = "plan.shared"    // new, or other than before
	ActionPlanEnded      Action = "plan.ended"     // it has an end date now
	ActionPlanWithdrawn  Action = "plan.withdrawn" // taken back: it was an error
	ActionPlanRemoved    Action = "plan.removed"   // shown no longer, and removed
	ActionPlansRenewed   Action = "plans.renewed"  // written anew with newer keys, as they were
	ActionContacts       Action = "contacts.set"   // contacts of an authority, set or confirmed
	ActionFileTaken      Action = "file.taken"     // a file, or a full snapshot, of an authority
	ActionFileWaiting    Action = "file.waiting"   // it waits for a second person
	ActionFileCancelled  Action = "file.cancelled" // it was not taken
	ActionFileUndone     Action = "file.undone"    // what it did was undone
	ActionFileBegun      Action = "file.begun"     // a full snapshot has begun
	ActionSignedIn       Action = "signed.in"
	ActionSignedOut      Action = "signed.out"
	ActionSignInRefused  Action = "sign-in.refused"
	ActionGlassBroken    Action = "glass.broken"    // details of somebody not registered there, in an emergency
	ActionHistoryRead    Action = "history.read"    // somebody read who has looked
	ActionHistoryChecked Action = "history.checked" // and said what they make of it
	ActionHistoryTaken   Action = "history.taken"   // and took it away as a file
	ActionPlansRead      Action = "plans.read"      // plans were read that no answer shows
	ActionReviewed       Action = "reviewed"        // somebody says what became of a finding, or of broken glass
	ActionFeedback       Action = "feedback"        // somebody told an authority that something is not right
	ActionLookedInVain   Action = "looked.in.vain"  // for somebody of whom there is nothing to show to this person
	ActionOddLooks       Action = "odd.looks"       // somebody looked in a way that a rule is about
	ActionLetterReplayed Action = "dead-letter.replayed"
	ActionLetterDropped  Action = "dead-letter.discarded"
	ActionIndexRebuilt   Action = "index.rebuilt" // by hand
	ActionKeyAdded       Action = "key.added"
	ActionKeyPromoted    Action = "key.promoted"
	ActionKeyRetired     Action = "key.retired"
	ActionKeysDestroyed  Action = "keys.destroyed"
	ActionTopicsApplied  Action = "topics.applied" // topics, or who may use them, were set
	ActionAuditCopied    Action = "audit.copied"
	ActionAuditExported  Action = "audit.exported"
)

// Audit is the record that something was decided, seen, refused, changed, taken out
// or operated (cpis.audit.v1). A decision's audit record holds all that its outcome
// says, so that a decision made before a crash is told, never made again.
type Audit struct {
	AuditID       string        `avro:"audit_id"`
	Kind          AuditKind     `avro:"kind"`
	At            time.Time     `avro:"at"`
	EventID       string        `avro:"event_id"`
	OutcomeID     string        `avro:"outcome_id"`
	Corrects      string        `avro:"corrects"`
	Feed          string        `avro:"feed"`
	ODS           ODSCode       `avro:"ods"`
	Setting       CareSetting   `avro:"setting"`
	ControlID     string        `avro:"control_id"`
	Event         string        `avro:"event"`
	State         State         `avro:"state"`
	Reason        Reason        `avro:"reason"`
	Silent        bool          `avro:"silent"`
	AcceptedAt    time.Time     `avro:"accepted_at"`
	SubjectRef    SubjectRef    `avro:"subject_ref"`
	Authorities   []string      `avro:"authorities"` // those whose plans were shown or changed
	Freshness     Freshness     `avro:"freshness"`
	SealedDetails []byte        `avro:"details"`
	Origin        InputPosition `avro:"origin"`
	Repeat        bool          `avro:"repeat"`
	Role          string        `avro:"role"`  // job role code of whoever looked or acted
	SealedActor   []byte        `avro:"actor"` // who looked or acted
	Stream        AuditStream   `avro:"stream"`
	Action        Action        `avro:"action"`
	Organisation  string        `avro:"organisation"` // who acted: a code, or "operations"
	Code          Code          `avro:"code"`         // of a refusal or a finding
	Count         int64         `avro:"count"`
}

// Shown reports whether the record is part of the history that is shown. Records
// that are older than the streams are, unless they are silent.
func (a *Audit) Shown() bool {
	return a.Stream == StreamHistory || a.Stream != StreamGovernance && !a.Silent
}

// Checkpoint is a signed head of the audit log (cpis.checkpoint.v1).
type Checkpoint struct {
	LogID    string    `avro:"log_id"`
	Size     int64     `avro:"size"`
	RootHash []byte    `avro:"root_hash"`
	Note     string    `avro:"note"`
	At       time.Time `avro:"at"`
}
