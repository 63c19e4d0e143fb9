// Package notice tells local authorities what concerns the people they protect:
// that one was seen, that nobody opened the answer, that a plan or the feed wants
// looking at. It takes their answers back.
//
// A notice goes as a CloudEvent, by webhook, into a drop folder, or is fetched. It
// holds what the national service's notices hold, and nothing more: whose record it
// is in the authority's own id, which organisation and kind of care setting, when,
// and the worker who looked or who answers for the setting. No name, no NHS number,
// no reason for the visit, no diagnosis.
package notice

import (
	"encoding/json"
	"time"

	"cpis/schemas"
)

// Event is a notice as an authority gets it: a CloudEvent 1.0 in its structured
// JSON form. ID is the same for every copy.
type Event struct {
	SpecVersion     string    `json:"specversion"`
	ID              string    `json:"id" doc:"The same for every copy; name it in the answer."`
	Source          string    `json:"source"`
	Type            string    `json:"type" doc:"What it is about, such as cpis.attendance.v1."`
	Time            time.Time `json:"time" doc:"When the notice was made."`
	DataContentType string    `json:"datacontenttype"`
	Data            Data      `json:"data"`
}

// Data is what a notice says.
type Data struct {
	Authority    schemas.AuthorityCode `json:"authority"`
	Records      []Record              `json:"records,omitempty" doc:"The authority's own records; absent where a notice is about none, or they cannot be told."`
	Organisation schemas.ODSCode       `json:"organisation,omitempty" doc:"NHS organisation code of the care setting."`
	CareSetting  schemas.CareSetting   `json:"care_setting,omitempty"`
	At           *time.Time            `json:"at,omitempty" doc:"When the person was registered, the answer opened, or the feed last heard of."`
	Worker       *Worker               `json:"worker,omitempty" doc:"Who looked, or who answers for the care setting."`
	Others       []string              `json:"other_authorities,omitempty"`
	Since        schemas.Date          `json:"since,omitempty" doc:"Civil date from which it has been so."`
	Pattern      *Pattern              `json:"pattern,omitempty"`
	UploadID     string                `json:"upload_id,omitempty"`
	Codes        []string              `json:"codes,omitempty" doc:"What was the matter; cpis explain has the words."`
	Words        string                `json:"words" doc:"What to do, for a person."`
}

// Record is a record of the authority.
type Record struct {
	RecordID string           `json:"record_id"`
	PlanType schemas.PlanType `json:"plan_type"`
	UploadID string           `json:"upload_id,omitempty" doc:"Upload that brought it."`
}

// Worker is a person of the care setting.
type Worker struct {
	ID   string `json:"id,omitempty"`
	Name string `json:"name,omitempty"`
	Role string `json:"role,omitempty"`
}

// Pattern is how often a person was seen: a fact, and no score.
type Pattern struct {
	Visits       int64  `json:"visits"`
	CareSettings int64  `json:"care_settings"`
	Days         int64  `json:"days"`
	Rule         string `json:"rule"`
}

// kinds are the event type of each kind of notice, and what it asks for. The first
// six are the alerts that case systems know apart.
func kinds() map[schemas.NoticeKind]struct{ name, words string } {
	return map[schemas.NoticeKind]struct{ name, words string }{
		schemas.NoticeAttendance:    {"attendance", "A person with your plan was registered. Make a case note; answer this notice."},
		schemas.NoticeSuperseded:    {"number.inactive", "The NHS number of this record was merged into another. Trace the new number and send the record under it."},
		schemas.NoticeFailure:       {"failure", "The broker could not do what it should. Its operator knows the codes."},
		schemas.NoticeUploadFailed:  {"upload.failed", "A file could not be used as a whole: nothing of it is in. Correct it and send it again."},
		schemas.NoticeUploadRefused: {"upload.refused", "Records of a file were refused. Correct them and send them again."},
		emptyAttendance:             {"attendance.empty", "A person with your plan was registered, and which record it is could not be told. Ask the organisation named, or the broker's operator."},

		schemas.NoticeViewed:    {"attendance.viewed", "The answer about this person was opened by the worker named. Make a case note; answer this notice."},
		schemas.NoticeUnopened:  {"attendance.unopened", "A person with your plan was registered, and nobody has opened the answer. Ring the care setting."},
		schemas.NoticeGlass:     {"glass.broken", "Somebody looked at this plan in an emergency, at an organisation where the person is not registered. Ring it, and ask why."},
		schemas.NoticePattern:   {"attendance.pattern", "The person was seen often. It is a fact, and no score."},
		schemas.NoticeOverdue:   {"unborn.overdue", "The expected date of this unborn plan has passed, and you share no plan for the child. Share it, or end this one."},
		schemas.NoticeOverlap:   {"plan.overlap", "Another authority has a current plan for this person too. Agree whose it is."},
		schemas.NoticeGap:       {"plan.gap", "Between your plan and another authority's there were days without one. Look whether the person moved unseen."},
		schemas.NoticeStale:     {"plan.stale", "This open plan has not been sent for long. Send it again, or end it."},
		schemas.NoticeFeedback:  {"feedback", "Somebody who opened an answer says that what the codes name is not right. Look at it; ring the organisation if it is not clear."},
		schemas.NoticeFeedQuiet: {"feed.quiet", "Nothing has come from you for longer than it should. Answers say so. Send a file."},
		schemas.NoticeFeedBack:  {"feed.back", "Your feed has come back."},
	}
}

// emptyAttendance is an attendance of which nobody can tell whose record it is: the
// sealed part does not open. It is told all the same.
const emptyAttendance schemas.NoticeKind = "ATTENDANCE_EMPTY"

// Render writes a notice as an event. Access must have been opened.
func Render(n schemas.Notice) Event {
	kind := n.Kind
	if kind == schemas.NoticeAttendance && len(n.Access.Records) == 0 {
		kind = emptyAttendance
	}
	of := kinds()[kind]
	e := Event{SpecVersion: "1.0", ID: n.NoticeID, Source: "/cpis/broker", Type: "cpis." + of.name + ".v1", Time: n.CreatedAt.UTC(), DataContentType: "application/json",
		Data: Data{Authority: n.Authority, Organisation: n.ODS, CareSetting: n.Setting, Others: n.Others, Since: n.Since, UploadID: n.UploadID, Codes: n.Codes, Words: of.words}}
	for _, r := range n.Access.Records {
		e.Data.Records = append(e.Data.Records, Record{r.RecordID, r.PlanType, r.UploadID})
	}
	if !n.OccurredAt.IsZero() {
		at := n.OccurredAt.UTC()
		e.Data.At = &at
	}
	if a := n.Access; a.WorkerID != "" || a.WorkerName != "" || a.WorkerRole != "" {
		e.Data.Worker = &Worker{a.WorkerID, a.WorkerName, a.WorkerRole}
	}
	if p := n.Pattern; p.Visits > 0 {
		e.Data.Pattern = &Pattern{p.Visits, p.Settings, p.Days, p.Rule}
	}
	return e
}

func (e Event) encode() ([]byte, error) { return json.Marshal(e) }
