package identity

import (
	"fmt"
	"slices"
	"strings"
)

// Role is what a person may be to the broker. It follows from the activity codes of the
// role somebody selected when they signed in, or from its job role code.
type Role string

const (
	Unscheduled      Role = "UNSCHEDULED_CARE"  // activity B0107: sees indicators, and the authority is told
	Scheduled        Role = "SCHEDULED_CARE"    // activity B0170: sees them silently
	SafeguardingLead Role = "SAFEGUARDING_LEAD" // of a care organisation
	PrivacyOfficer   Role = "PRIVACY_OFFICER"   // of a care organisation: who looked, and nobody's plan
	Analyst          Role = "ANALYST"           // pseudonyms
	Operator         Role = "OPERATOR"          // runs the broker, and sees nobody
	Engineer         Role = "ENGINEER"          // connects a care organisation's systems
	SocialWorker     Role = "SOCIAL_WORKER"     // of a local authority: who saw its children
	PlanKeeper       Role = "PLAN_KEEPER"       // of a local authority: sends its plans, keeps its contacts
)

// Activity codes of the national role-based access control.
const (
	activityView       = "B0107" // View CP-IS Flag
	activityViewSilent = "B0170" // View CP-IS Flag (without sending an ASN)
)

// Roles lists every role.
func Roles() []Role {
	return []Role{Unscheduled, Scheduled, SafeguardingLead, PrivacyOfficer, Analyst, Operator, Engineer, SocialWorker, PlanKeeper}
}

// ofAuthority reports whether a role is one of a local authority's people. A person is of
// a care organisation or of an authority, in one role of it at a time.
func (r Role) ofAuthority() bool { return r == SocialWorker || r == PlanKeeper }

// Action is what a person wants to do.
type Action string

const (
	ListAnswers Action = "LIST"        // the states of answers, without details
	OpenDetails Action = "OPEN"        // who, which plan, whom to ring: a recorded view
	SeeHistory  Action = "HISTORY"     // who has looked
	SeeHidden   Action = "SEE_HIDDEN"  // what is withheld of a restricted person, and what POSSIBLE rests on
	BreakGlass  Action = "BREAK_GLASS" // open what one has no need to know of, in an emergency
	Review      Action = "REVIEW"      // odd views and broken glass
	Export      Action = "EXPORT"      // audit records without names
	Operate     Action = "OPERATE"     // connections, queues and dead letters
	Connect     Action = "CONNECT"     // explain messages, and see how ready a feed is
	ReadNotices Action = "NOTICES"     // what an authority is told, and answering it
	SendPlans   Action = "SEND"        // an authority's files and contacts
)

// Actions lists every action.
func Actions() []Action {
	return []Action{ListAnswers, OpenDetails, SeeHistory, SeeHidden, BreakGlass, Review, Export, Operate, Connect, ReadNotices, SendPlans}
}

// RecordState is how a record stands to the person's organisation.
type RecordState string

const (
	Recent    RecordState = "RECENT"    // the person was registered here in the last 24 hours
	Older     RecordState = "OLDER"     // registered here, longer ago
	Elsewhere RecordState = "ELSEWHERE" // not registered here
	Glass     RecordState = "GLASS"     // not, and the glass is broken
	Own       RecordState = "OWN"       // a plan of the person's own authority stands
)

// RecordStates lists every state.
func RecordStates() []RecordState { return []RecordState{Recent, Older, Elsewhere, Glass, Own} }

// Verdict is what the table says.
type Verdict string

const (
	Denied     Verdict = "no"
	GlassFirst Verdict = "break glass" // not before the glass is broken
	Silently   Verdict = "silently"    // allowed, on record for information governance alone
	Allowed    Verdict = "yes"
)

// grant is one line of the table: in which states a role may do something.
type grant struct {
	role   Role
	action Action
	as     Verdict
	states []RecordState
}

// grants is the one table of what people may do. What is not in it is denied.
func grants() []grant {
	every, here, own := RecordStates(), []RecordState{Recent, Older}, []RecordState{Own}
	return []grant{
		{Unscheduled, ListAnswers, Allowed, here},
		{Unscheduled, OpenDetails, Allowed, []RecordState{Recent, Glass}},
		{Unscheduled, OpenDetails, GlassFirst, []RecordState{Older, Elsewhere}},
		{Unscheduled, SeeHistory, Allowed, []RecordState{Recent, Glass}},
		{Unscheduled, BreakGlass, Allowed, []RecordState{Older, Elsewhere}},
		{Scheduled, ListAnswers, Allowed, here},
		{Scheduled, OpenDetails, Silently, []RecordState{Recent}},
		{SafeguardingLead, ListAnswers, Allowed, here},
		{SafeguardingLead, OpenDetails, Allowed, []RecordState{Recent, Older, Glass}},
		{SafeguardingLead, OpenDetails, GlassFirst, []RecordState{Elsewhere}},
		{SafeguardingLead, SeeHistory, Allowed, []RecordState{Recent, Older, Glass}},
		{SafeguardingLead, SeeHidden, Allowed, []RecordState{Recent, Older, Glass}},
		{SafeguardingLead, BreakGlass, Allowed, []RecordState{Elsewhere}},
		{SafeguardingLead, Review, Allowed, here},
		{PrivacyOfficer, Review, Allowed, here},
		{Analyst, Export, Allowed, every},
		{Operator, Operate, Allowed, every},
		{Operator, Connect, Allowed, every},
		{Engineer, Connect, Allowed, here},
		{SocialWorker, SeeHistory, Allowed, own},
		{SocialWorker, ReadNotices, Allowed, own},
		{PlanKeeper, ReadNotices, Allowed, own},
		{PlanKeeper, SendPlans, Allowed, own},
	}
}

// May says what the best of some roles lets somebody do.
func May(roles []Role, a Action, s RecordState) Verdict {
	best := Denied
	order := []Verdict{Denied, GlassFirst, Silently, Allowed}
	for _, g := range grants() {
		if g.action == a && slices.Contains(roles, g.role) && slices.Contains(g.states, s) && slices.Index(order, g.as) > slices.Index(order, best) {
			best = g.as
		}
	}
	return best
}

// Can says whether some roles let somebody do something in any state.
func Can(roles []Role, a Action) bool {
	return slices.ContainsFunc(RecordStates(), func(s RecordState) bool { return May(roles, a, s) != Denied })
}

// PeopleTable writes the table as SECURITY.md has it.
func PeopleTable() string {
	var b strings.Builder
	b.WriteString("| role | action | registered here today | registered here before | elsewhere | glass broken | own authority's |\n|---|---|---|---|---|---|---|\n")
	for _, r := range Roles() {
		for _, a := range Actions() {
			cells, any := "", false
			for _, s := range RecordStates() {
				v := May([]Role{r}, a, s)
				any = any || v != Denied
				cells += " " + string(v) + " |"
			}
			if any {
				fmt.Fprintf(&b, "| %s | %s |%s\n", r, a, cells)
			}
		}
	}
	return b.String()
}
