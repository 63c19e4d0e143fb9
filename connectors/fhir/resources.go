package fhir

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"time"

	"cpis/connectors/console"
	"cpis/schemas"
)

// Systems of identifiers and codes, as the published guide and UK Core have them.
const (
	systemNHSNumber = "https://fhir.nhs.uk/Id/nhs-number"
	systemODS       = "https://fhir.nhs.uk/Id/ods-organization-code"
	systemSNOMED    = "http://snomed.info/sct"
	systemJobRole   = "https://fhir.hl7.org.uk/CodeSystem/UKCore-SDSJobRoleName"
	systemError     = "https://fhir.nhs.uk/R4/CodeSystem/Spine-ErrorOrWarningCode"
	systemEventType = "http://terminology.hl7.org/CodeSystem/audit-event-type"
	systemRoleClass = "http://terminology.hl7.org/CodeSystem/v3-RoleClass"
)

// The elements of FHIR R4 that are written, and no other.
type (
	bundle struct {
		ResourceType string  `json:"resourceType"`
		Type         string  `json:"type"`
		Total        int     `json:"total"`
		Link         []link  `json:"link"`
		Entry        []entry `json:"entry,omitempty"`
	}
	link struct {
		Relation string `json:"relation"`
		URL      string `json:"url"`
	}
	entry struct {
		FullURL  string `json:"fullUrl"`
		Resource any    `json:"resource"`
		Search   search `json:"search"`
	}
	search struct {
		Mode string `json:"mode"`
	}
	coding struct {
		System  string `json:"system"`
		Code    string `json:"code"`
		Display string `json:"display,omitempty"`
	}
	concept struct {
		Coding []coding `json:"coding"`
	}
	identifier struct {
		System string `json:"system"`
		Value  string `json:"value"`
	}
	reference struct {
		Reference  string      `json:"reference,omitempty"`
		Type       string      `json:"type,omitempty"`
		Identifier *identifier `json:"identifier,omitempty"`
		Display    string      `json:"display,omitempty"`
	}
	period struct {
		Start schemas.Date `json:"start,omitempty"`
		End   schemas.Date `json:"end,omitempty"`
	}
	telecom struct {
		System string `json:"system"`
		Value  string `json:"value"`
		Use    string `json:"use"`
	}
	careTeam struct {
		ResourceType string    `json:"resourceType"`
		ID           string    `json:"id"`
		Status       string    `json:"status"`
		Category     []concept `json:"category"`
		Name         string    `json:"name,omitempty"`
		Subject      reference `json:"subject"`
		Period       period    `json:"period"`
		Telecom      []telecom `json:"telecom,omitempty"`
	}
	auditEvent struct {
		ResourceType string        `json:"resourceType"`
		ID           string        `json:"id"`
		Type         coding        `json:"type"`
		Action       string        `json:"action"`
		Recorded     string        `json:"recorded"`
		Agent        []agent       `json:"agent"`
		Source       auditSource   `json:"source"`
		Entity       []auditEntity `json:"entity"`
	}
	agent struct {
		Who       reference `json:"who"`
		Requestor bool      `json:"requestor"`
	}
	auditSource struct {
		Observer reference `json:"observer"`
	}
	auditEntity struct {
		What reference `json:"what"`
		Type coding    `json:"type"`
	}
	practitionerRole struct {
		ResourceType string    `json:"resourceType"`
		ID           string    `json:"id"`
		Practitioner reference `json:"practitioner"`
		Organization reference `json:"organization"`
		Code         []concept `json:"code,omitempty"`
	}
	operationOutcome struct {
		ResourceType string  `json:"resourceType"`
		Issue        []issue `json:"issue"`
	}
	issue struct {
		Severity    string  `json:"severity"`
		Code        string  `json:"code"`
		Details     concept `json:"details"`
		Diagnostics string  `json:"diagnostics,omitempty"`
	}
)

// planCode is a type of plan in SNOMED CT (ValueSet England-ChildProtectionPlan).
func planCode(t schemas.PlanType) coding {
	code := "818901000000100"
	switch t {
	case schemas.PlanChildProtection:
		code = "342191000000101"
	case schemas.PlanLookedAfter:
		code = "764841000000100"
	}
	return coding{systemSNOMED, code, t.Words()}
}

// careTeamOf writes a plan as the guide maps it: the emergency duty team's number has use
// mobile, the office's work. An authority that is not to be named has neither name nor
// number.
func careTeamOf(p console.Plan, n schemas.NHSNumber) careTeam {
	c := careTeam{ResourceType: "CareTeam", ID: idOf(string(p.Authority), string(p.Type), string(p.Since), n.Reveal()), Status: "active", Category: []concept{{[]coding{planCode(p.Type)}}}, Name: p.AuthorityName,
		Subject: reference{Type: "Patient", Identifier: &identifier{systemNHSNumber, n.Reveal()}}, Period: period{p.Since, p.Ended}}
	if p.Ended != "" {
		c.Status = "inactive"
	}
	if p.EmergencyPhone != "" {
		c.Telecom = append(c.Telecom, telecom{"phone", p.EmergencyPhone, "mobile"})
	}
	if p.OfficePhone != "" {
		c.Telecom = append(c.Telecom, telecom{"phone", p.OfficePhone, "work"})
	}
	return c
}

// roleOf writes who looked.
func roleOf(e console.Event) practitionerRole {
	code, name, _ := strings.Cut(e.Role, " ")
	r := practitionerRole{ResourceType: "PractitionerRole", ID: idOf("role", e.ID), Practitioner: reference{Display: e.Name},
		Organization: reference{Identifier: &identifier{systemODS, e.Organisation}, Display: e.Organisation}}
	if code != "" {
		r.Code = []concept{{[]coding{{systemJobRole, code, name}}}}
	}
	return r
}

// auditEventOf writes that somebody looked, as accesses are shown to those who may know.
func auditEventOf(e console.Event, role practitionerRole) auditEvent {
	who := reference{Reference: "PractitionerRole/" + role.ID}
	return auditEvent{ResourceType: "AuditEvent", ID: idOf("event", e.ID), Type: coding{systemEventType, "rest", "RESTful Operation"}, Action: "R", Recorded: e.At.UTC().Format(time.RFC3339),
		Agent: []agent{{who, true}}, Source: auditSource{reference{Display: "CP-IS broker"}}, Entity: []auditEntity{{who, coding{systemRoleClass, "ASSIGNED", "assigned entity"}}}}
}

// idOf makes an id that says nothing of what it is made of. It is good for one answer: the
// resources are not kept under it.
func idOf(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(sum[:16])
}
