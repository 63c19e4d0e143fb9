// Package adt knows what a hospital's ADT messages mean in England: which of
// them say that a person has registered and must be checked, where the NHS
// number stands and how far it can be trusted, what a merge says about two
// records, and how the answer is written as a message of its own.
package adt

import (
	"maps"
	"sync"

	"cpis/schemas"
)

// Meaning is what a trigger event says.
type Meaning struct {
	Class schemas.EventClass
	Link  schemas.LinkKind // what it says about two records, empty where nothing
	// Visit is set for an update that is about a visit: it counts as a
	// registration where the visit has not asked yet.
	Visit bool
	About string
}

// events says what each trigger event means, unless a profile says otherwise.
// An event that is not here asks nothing and is acknowledged. Meanings are those
// of HL7 2.4 chapter 3 as English systems use them.
var events = sync.OnceValue(func() map[string]Meaning {
	const registration, scheduled, identity, retraction, none = schemas.ClassRegistration, schemas.ClassScheduled, schemas.ClassIdentity, schemas.ClassRetraction, schemas.ClassNone
	return map[string]Meaning{
		"A01": {Class: registration, About: "admitted"},
		"A04": {Class: registration, About: "registered"},
		"A06": {Class: registration, About: "outpatient becomes inpatient: an admission from the emergency department"},
		"A05": {Class: scheduled, About: "pre-admitted"},
		"A14": {Class: scheduled, About: "admission pending"},

		// Who the person is has changed. None of these is an attendance.
		"A08": {Class: identity, Visit: true, About: "details updated"},
		"A28": {Class: identity, About: "person added"},
		"A31": {Class: identity, About: "person updated"},
		"A18": {Class: identity, Link: schemas.LinkMerge, About: "patient records merged"},
		"A30": {Class: identity, Link: schemas.LinkMerge, About: "person records merged"},
		"A34": {Class: identity, Link: schemas.LinkMerge, About: "patient records merged, by patient id"},
		"A36": {Class: identity, Link: schemas.LinkMerge, About: "patient records and accounts merged"},
		"A39": {Class: identity, Link: schemas.LinkMerge, About: "person records merged, by patient id"},
		"A40": {Class: identity, Link: schemas.LinkMerge, About: "patient records merged, by identifier list"},
		"A35": {Class: identity, Link: schemas.LinkAccount, About: "accounts merged"},
		"A41": {Class: identity, Link: schemas.LinkAccount, About: "accounts merged"},
		"A42": {Class: identity, Link: schemas.LinkAccount, About: "visits merged"},
		"A43": {Class: identity, Link: schemas.LinkMove, About: "an identifier moved to another person"},
		"A44": {Class: identity, Link: schemas.LinkMove, Visit: true, About: "an account moved to another person"},
		"A45": {Class: identity, Link: schemas.LinkMove, Visit: true, About: "a visit moved to another person"},
		"A46": {Class: identity, Link: schemas.LinkChange, About: "patient id changed"},
		"A47": {Class: identity, Link: schemas.LinkChange, About: "identifier list changed"},
		"A48": {Class: identity, Link: schemas.LinkChange, About: "alternate patient id changed"},
		"A49": {Class: identity, Link: schemas.LinkChange, About: "account number changed"},
		"A50": {Class: identity, Link: schemas.LinkChange, About: "visit number changed"},
		"A51": {Class: identity, Link: schemas.LinkChange, About: "alternate visit id changed"},
		"A24": {Class: identity, Link: schemas.LinkLink, About: "two records linked"},
		"A37": {Class: identity, Link: schemas.LinkUnlink, About: "two records unlinked"},

		// An earlier event did not happen. A notice cannot be unsent.
		"A11": {Class: retraction, About: "admission or visit cancelled"},
		"A23": {Class: retraction, About: "visit deleted"},
		"A25": {Class: retraction, About: "pending discharge cancelled"},
		"A26": {Class: retraction, About: "pending transfer cancelled"},
		"A27": {Class: retraction, About: "pending admission cancelled"},
		"A29": {Class: retraction, About: "person deleted"},
		"A38": {Class: retraction, About: "pre-admission cancelled"},

		// Listed so that nobody wonders: they ask nothing. A17 swaps the beds of
		// two persons, and neither of them registers by it.
		"A02": {Class: none, About: "transferred"},
		"A03": {Class: none, About: "discharged"},
		"A07": {Class: none, About: "inpatient becomes outpatient"},
		"A09": {Class: none, About: "departing, tracking only"},
		"A10": {Class: none, About: "arriving, tracking only; a registration where an ambulance feed's profile says so"},
		"A12": {Class: none, About: "transfer cancelled"},
		"A13": {Class: none, About: "discharge cancelled: the visit goes on"},
		"A17": {Class: none, About: "two patients swap beds"},
	}
})

// Meanings lists what each trigger event means to this sender: the table, and
// over it the profile's own.
func (p *Profile) Meanings() map[string]Meaning {
	all := maps.Clone(events())
	for event := range p.Events {
		all[event] = p.meaning(event)
	}
	return all
}

func (p *Profile) meaning(event string) Meaning {
	m, ok := events()[event]
	if !ok {
		m = Meaning{Class: schemas.ClassNone, About: "not known here"}
	}
	if class, ok := p.Events[event]; ok {
		m.Class = class
		m.About += "; as the profile says"
	}
	return m
}
