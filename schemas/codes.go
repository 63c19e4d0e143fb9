package schemas

import "strings"

// CareSetting is the kind of place a person registers at. It comes from the
// sender's profile, never from the message.
type CareSetting string

// The seven settings CP-IS began with, NHS 111, and the scheduled settings
// added later.
const (
	SettingEmergencyDepartment  CareSetting = "EMERGENCY_DEPARTMENT"
	SettingWalkInCentre         CareSetting = "WALK_IN_CENTRE"
	SettingMinorInjuryUnit      CareSetting = "MINOR_INJURY_UNIT"
	SettingGPOutOfHours         CareSetting = "GP_OUT_OF_HOURS"
	SettingAmbulance            CareSetting = "AMBULANCE"
	SettingMaternity            CareSetting = "MATERNITY"
	SettingPaediatricWard       CareSetting = "PAEDIATRIC_WARD"
	SettingNHS111               CareSetting = "NHS_111"
	SettingGeneralPractice      CareSetting = "GENERAL_PRACTICE"
	SettingCAMHS                CareSetting = "CAMHS"
	SettingSARC                 CareSetting = "SARC"
	SettingTermination          CareSetting = "TERMINATION_OF_PREGNANCY"
	SettingSchoolNursing        CareSetting = "SCHOOL_NURSING"
	SettingHealthVisiting       CareSetting = "HEALTH_VISITING"
	SettingCommunityPaediatrics CareSetting = "COMMUNITY_PAEDIATRICS"
	SettingDentistry            CareSetting = "DENTISTRY"
)

// Settings lists every care setting, unscheduled ones first.
func Settings() []CareSetting {
	return []CareSetting{SettingEmergencyDepartment, SettingWalkInCentre, SettingMinorInjuryUnit, SettingGPOutOfHours,
		SettingAmbulance, SettingMaternity, SettingPaediatricWard, SettingNHS111, SettingGeneralPractice, SettingCAMHS,
		SettingSARC, SettingTermination, SettingSchoolNursing, SettingHealthVisiting, SettingCommunityPaediatrics, SettingDentistry}
}

// Unscheduled says whether attending this setting is unscheduled care: the
// local authority is told, and the access joins the history. An unknown
// setting counts as unscheduled, the safe direction.
func (s CareSetting) Unscheduled() bool {
	switch s {
	case SettingGeneralPractice, SettingCAMHS, SettingSARC, SettingTermination, SettingSchoolNursing,
		SettingHealthVisiting, SettingCommunityPaediatrics, SettingDentistry:
		return false
	}
	return true
}

// EventClass is what an ADT event means for the check (reference: HL7 v2 ADT
// usage in England; the table is connectors/adt).
type EventClass string

const (
	ClassRegistration EventClass = "REGISTRATION" // a person registers or is admitted: check, answer, notify
	ClassScheduled    EventClass = "SCHEDULED"    // planned presence: check and answer silently
	ClassIdentity     EventClass = "IDENTITY"     // who the person is has changed: no attendance
	ClassRetraction   EventClass = "RETRACTION"   // an earlier event did not happen
	ClassNone         EventClass = "NONE"         // nothing to check
)

// Checked says whether an event of this class gets an answer.
func (c EventClass) Checked() bool { return c == ClassRegistration || c == ClassScheduled }

// LinkKind is what an identity event says about two person records.
type LinkKind string

const (
	LinkMerge   LinkKind = "MERGE"   // two records are one person; the retired one is not used any more
	LinkMove    LinkKind = "MOVE"    // a visit or account was another person's and is this one's
	LinkAccount LinkKind = "ACCOUNT" // two visits or accounts of one person are one
	LinkChange  LinkKind = "CHANGE"  // the person's number or visit number was another
	LinkLink    LinkKind = "LINK"    // two records belong together; neither is retired
	LinkUnlink  LinkKind = "UNLINK"  // they do not, after all
)

// NumberStatus is how far the NHS number of a registration can be trusted
// (HL7 table 0445 as NSTS01 to NSTS08).
type NumberStatus string

const (
	NumberVerified     NumberStatus = "VERIFIED"      // traced and verified; the only status an indicator may rest on
	NumberUnverified   NumberStatus = "UNVERIFIED"    // present, not traced
	NumberAbsent       NumberStatus = "ABSENT"        // none given
	NumberInvalid      NumberStatus = "INVALID"       // fails its check digit or shape
	NumberConflict     NumberStatus = "CONFLICT"      // trace found no or several persons, or a conflict
	NumberOtherCountry NumberStatus = "OTHER_COUNTRY" // Scottish, Northern Irish or Irish number
)

// PlanType is the kind of protection a local authority shares.
type PlanType string

const (
	PlanChildProtection PlanType = "CPP"    // SNOMED CT 342191000000101, child protection plan
	PlanLookedAfter     PlanType = "LAC"    // SNOMED CT 764841000000100, looked after child
	PlanUnborn          PlanType = "UNBORN" // SNOMED CT 818901000000100, held on the mother
)

// Words is what the national value set calls the plan (England-ChildProtectionPlan).
func (t PlanType) Words() string {
	switch t {
	case PlanChildProtection:
		return "Subject to child protection plan"
	case PlanLookedAfter:
		return "Looked after child"
	}
	return "Unborn child subject to child protection plan"
}

// State is one of the six answers a care setting can get.
type State string

const (
	StateIndicator      State = "INDICATOR"       // a verified number with a current plan
	StateIndicatorEnded State = "INDICATOR_ENDED" // ended, and still shown
	StatePossible       State = "POSSIBLE"        // demographics fit, no verified number
	StateNoneShared     State = "NONE_SHARED"     // the index is whole and as new as it must be, and holds nothing
	StateNotChecked     State = "NOT_CHECKED"     // no usable identity or no right to ask
	StateCheckFailed    State = "CHECK_FAILED"    // the index could not be trusted just now
)

// Matched says whether the answer names a plan, so that it carries sealed
// details and a pseudonym. Every other answer carries neither.
func (s State) Matched() bool { return s == StateIndicator || s == StateIndicatorEnded }

// Reason says why a state was given.
type Reason string

const (
	ReasonPlanCurrent       Reason = "PLAN_CURRENT"
	ReasonPlanEnded         Reason = "PLAN_ENDED"
	ReasonPlanOfMother      Reason = "PLAN_OF_MOTHER"    // an unborn plan, found under the mother's number
	ReasonDetailsAgree      Reason = "DETAILS_AGREE"     // number not traced, or none, and the details leave no doubt
	ReasonDetailsMayAgree   Reason = "DETAILS_MAY_AGREE" // somebody protected fits; POSSIBLE
	ReasonTooLittle         Reason = "TOO_LITTLE"        // no number, and not enough else to look for
	ReasonNothingShared     Reason = "NOTHING_SHARED"
	ReasonNumberAbsent      Reason = "NUMBER_ABSENT"
	ReasonNumberInvalid     Reason = "NUMBER_INVALID"
	ReasonNumberUnverified  Reason = "NUMBER_UNVERIFIED"
	ReasonNumberConflict    Reason = "NUMBER_CONFLICT"
	ReasonIdentityConflict  Reason = "IDENTITY_CONFLICT"
	ReasonOtherCountry      Reason = "OTHER_COUNTRY"
	ReasonNotEnrolled       Reason = "NOT_ENROLLED"
	ReasonIndexUnreachable  Reason = "INDEX_UNREACHABLE"
	ReasonIndexIncomplete   Reason = "INDEX_INCOMPLETE"
	ReasonIndexBehind       Reason = "INDEX_BEHIND"
	ReasonIndexCorrupt      Reason = "INDEX_CORRUPT"
	ReasonEarlierUnanswered Reason = "EARLIER_UNANSWERED"
	ReasonAuditUnreachable  Reason = "AUDIT_UNREACHABLE" // nothing is told that is not on record
)

// ODSCode is the NHS organisation code of a provider or site (3 to 9 letters
// and digits).
type ODSCode string

// AuthorityCode is the code a local authority is known by (3 to 9 letters and
// digits; ODS codes of authorities have three or four).
type AuthorityCode string

// Valid reports whether the code has the shape of an organisation code.
func (c AuthorityCode) Valid() bool { return organisationShape(string(c)) }

// Valid reports whether the code has the shape of an organisation code.
func (c ODSCode) Valid() bool { return organisationShape(string(c)) }

// Under reports whether this is the organisation with a code, or a site of it: a
// trust has three characters, with which the codes of its sites begin.
func (c ODSCode) Under(code string) bool {
	return c != "" && (string(c) == code || len(code) == 3 && strings.HasPrefix(string(c), code))
}

func organisationShape(s string) bool {
	if len(s) < 3 || len(s) > 9 {
		return false
	}
	for _, r := range s {
		if (r < 'A' || r > 'Z') && (r < '0' || r > '9') {
			return false
		}
	}
	return true
}
