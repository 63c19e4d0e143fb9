package adt

import (
	"fmt"
	"strings"
	"time"

	"cpis/connectors/hl7"
	"cpis/schemas"
)

// Coding system of the observation codes of a reply, and the codes.
const (
	replySystem    = "CPIS"
	obxState       = "STATE"     // one of the six answers
	obxReason      = "REASON"    // why
	obxWords       = "WORDS"     // what to read out
	obxHandle      = "HANDLE"    // id to quote, and to open the details with
	obxPlan        = "PLAN"      // kind of plan; sub-id counts the plans
	obxSince       = "SINCE"     // civil date the plan began
	obxEnded       = "ENDED"     // civil date it ended
	obxAuthority   = "AUTHORITY" // code and name of the local authority
	obxRingNow     = "RINGNOW"   // the number to ring at the time of the answer
	obxOfficePhone = "OFFICE"
	obxEmergency   = "EMERGENCY"
	obxLastLoad    = "LASTLOAD" // when the authority's feed last brought records
	obxNotice      = "NOTICE"   // what the authority says to the notice, or UNDELIVERED
	obxCallBy      = "CALLBY"   // until when its duty worker will call
	obxPattern     = "PATTERN"  // how often the person was seen, and the rule by which that is told
)

// unconfirmed is the reason a setting is told whenever the identity is not
// good enough, whatever the cause: a difference between "too little to check"
// and "fits a protected child" would itself disclose.
const unconfirmed = "IDENTITY_NOT_CONFIRMED"

// told is the state and the reason as a setting may know them.
func told(o schemas.Outcome) (schemas.State, string) {
	switch {
	case o.State == schemas.StatePossible:
		return schemas.StateNotChecked, unconfirmed
	case o.State == schemas.StateNotChecked && o.Reason != schemas.ReasonOtherCountry && o.Reason != schemas.ReasonNotEnrolled:
		return schemas.StateNotChecked, unconfirmed
	}
	return o.State, string(o.Reason)
}

// Reply writes an outcome as ORU^R01. MSH-10 is the outcome id, so that a copy
// is the same message; OBR-2 is the control id of the message answered. Mode
// flag says whether there is something to look at, and nothing of what; mode
// full adds the plans and telephone numbers. Where nothing matched, the broker
// holds no identity, and PID is empty.
func Reply(o schemas.Outcome, p Profile) []byte {
	w := &writer{}
	w.line("MSH", "^~\\&", "CPIS", "", address(p.Application), address(p.Facility), o.DecidedAt.Format("20060102150405-0700"), "", "ORU^R01^ORU_R01", o.OutcomeID, "P", "2.4", "", "", "AL", "NE", "", "UNICODE UTF-8")
	full := p.Reply.Mode == "full" && o.State.Matched()
	if who := o.Details.Person; full {
		w.line("PID", "1", "", who.Number.Reveal()+"^^^NHS^NH", "", hl7.Escape(who.FamilyName)+"^"+hl7.Escape(who.GivenNames), "", strings.ReplaceAll(string(who.DateOfBirth), "-", ""))
	} else {
		w.line("PID", "1")
	}
	w.line("OBR", "1", hl7.Escape(o.ControlID), o.OutcomeID, "CPISCHECK^Child protection information check^"+replySystem, "", "", o.DecidedAt.Format("20060102150405-0700"))
	state, reason := told(o)
	w.observe(obxState, "", string(state)+"^^"+replySystem)
	w.observe(obxReason, "", reason+"^^"+replySystem)
	w.observe(obxWords, "", hl7.Escape(o.Words()))
	w.observe(obxHandle, "", o.OutcomeID)
	if o.Corrects != "" {
		w.observe("CORRECTS", "", o.Corrects)
	}
	if full {
		for i, plan := range o.Details.Shown(false) {
			w.plan(fmt.Sprint(i+1), plan)
		}
		w.observe(obxPattern, "", hl7.Escape(o.Details.Pattern.Words()))
	}
	return []byte(w.text.String())
}

// Receipt writes what a local authority says to the notice of a registration, or
// that it could not be told, as ORU^R01. MSH-10 is the id of the record, so that a
// copy is the same message; OBR-2 is the control id of the registration, and HANDLE
// the answer it belongs to. Mode full adds who it is and the number to ring.
func Receipt(d schemas.Delivery, a schemas.Authority, ring string, p Profile) []byte {
	w := &writer{}
	at := d.At.Format("20060102150405-0700")
	w.line("MSH", "^~\\&", "CPIS", "", address(p.Application), address(p.Facility), at, "", "ORU^R01^ORU_R01", d.DeliveryID, "P", "2.4", "", "", "AL", "NE", "", "UNICODE UTF-8")
	w.line("PID", "1")
	w.line("OBR", "1", hl7.Escape(d.ControlID), d.DeliveryID, "CPISNOTICE^Notice to the local authority^"+replySystem, "", "", at)
	what := string(d.State)
	if d.Answer != "" {
		what = string(d.Answer)
	}
	w.observe(obxNotice, "", what+"^^"+replySystem)
	if !d.CallBy.IsZero() {
		w.observe(obxCallBy, "", d.CallBy.In(p.Place()).Format("20060102150405-0700"))
	}
	w.observe(obxWords, "", hl7.Escape(ReceiptWords(d, p)))
	w.observe(obxHandle, "", d.OutcomeID)
	if p.Reply.Mode == "full" && d.Restricted {
		w.observe(obxRingNow, "", schemas.Withheld)
	} else if p.Reply.Mode == "full" {
		w.observe(obxAuthority, "", string(a.Code)+"^"+hl7.Escape(a.Name)+"^"+replySystem)
		w.observe(obxRingNow, "", hl7.Escape(ring))
	}
	return []byte(w.text.String())
}

// ReceiptWords is what a person reads of it.
func ReceiptWords(d schemas.Delivery, p Profile) string {
	at := func(t time.Time) string { return t.In(p.Place()).Format("15:04 on 2 January") }
	switch {
	case d.State == schemas.Undelivered:
		return "The local authority could not be told of this attendance. Ring it."
	case d.Answer == schemas.AnswerWillCall && !d.CallBy.IsZero():
		return "Received by the local authority at " + at(d.At) + ". The duty worker will call by " + at(d.CallBy) + "."
	case d.Answer == schemas.AnswerWillCall:
		return "Received by the local authority at " + at(d.At) + ". The duty worker will call."
	case d.Answer == schemas.AnswerCallUs:
		return "Received by the local authority at " + at(d.At) + ". Please ring it."
	case d.Answer == schemas.AnswerNotOurs:
		return "The local authority says that it does not protect this person any more. Ring it if you are concerned."
	}
	return "Received by the local authority at " + at(d.At) + "."
}

// address is a profile's name for a sender as a receiver's name; a profile
// that takes anybody names nobody.
func address(name string) string {
	if name == "*" {
		return ""
	}
	return hl7.Escape(name)
}

type writer struct {
	text strings.Builder
	obx  int
}

func (w *writer) line(fields ...string) {
	w.text.WriteString(strings.TrimRight(strings.Join(fields, "|"), "|"))
	w.text.WriteByte('\r')
}

func (w *writer) observe(code, sub, value string) {
	if value == "" {
		return
	}
	w.obx++
	kind := "ST"
	if strings.HasSuffix(value, "^"+replySystem) {
		kind = "CE"
	}
	w.line("OBX", fmt.Sprint(w.obx), kind, code+"^^"+replySystem, sub, value, "", "", "", "", "", "F")
}

func (w *writer) plan(sub string, p schemas.Plan) {
	w.observe(obxPlan, sub, string(p.PlanType)+"^"+p.PlanType.Words()+"^"+replySystem)
	w.observe(obxSince, sub, string(p.PlanStart))
	w.observe(obxEnded, sub, string(p.PlanEnd))
	if p.Authority != "" {
		w.observe(obxAuthority, sub, string(p.Authority)+"^"+hl7.Escape(p.AuthorityName)+"^"+replySystem)
	}
	w.observe(obxRingNow, sub, hl7.Escape(p.RingNow))
	w.observe(obxOfficePhone, sub, hl7.Escape(p.OfficePhone))
	w.observe(obxEmergency, sub, hl7.Escape(p.EmergencyPhone))
	if !p.LastLoadAt.IsZero() {
		w.observe(obxLastLoad, sub, p.LastLoadAt.Format("20060102150405-0700"))
	}
}
