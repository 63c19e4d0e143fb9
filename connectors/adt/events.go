// Package adt knows what a hospital's ADT messages mean in England: which of
// them say that a person has registered and must be checked, where the NHS
// number stands and how far it can be trusted, and how the answer is written
// as a message of its own.
package adt

import "cpis/schemas"

// events says what each trigger event means, unless a profile says otherwise.
// An event that is not here asks nothing and is acknowledged.
func events() map[string]schemas.EventClass {
	return map[string]schemas.EventClass{
		"A01": schemas.ClassRegistration, // admitted
		"A04": schemas.ClassRegistration, // registered
		"A06": schemas.ClassRegistration, // outpatient becomes inpatient: an admission from the emergency department
		"A05": schemas.ClassScheduled,    // pre-admitted
		"A14": schemas.ClassScheduled,    // admission pending

		// Who the person is has changed. None of these is an attendance.
		"A08": schemas.ClassIdentity, "A18": schemas.ClassIdentity, "A24": schemas.ClassIdentity, "A28": schemas.ClassIdentity,
		"A30": schemas.ClassIdentity, "A31": schemas.ClassIdentity, "A34": schemas.ClassIdentity, "A35": schemas.ClassIdentity,
		"A36": schemas.ClassIdentity, "A37": schemas.ClassIdentity, "A39": schemas.ClassIdentity, "A40": schemas.ClassIdentity,
		"A41": schemas.ClassIdentity, "A42": schemas.ClassIdentity, "A43": schemas.ClassIdentity, "A44": schemas.ClassIdentity,
		"A45": schemas.ClassIdentity, "A46": schemas.ClassIdentity, "A47": schemas.ClassIdentity, "A49": schemas.ClassIdentity,
		"A50": schemas.ClassIdentity, "A51": schemas.ClassIdentity,

		// An earlier event did not happen. A notice cannot be unsent.
		"A11": schemas.ClassRetraction, "A23": schemas.ClassRetraction, "A25": schemas.ClassRetraction, "A26": schemas.ClassRetraction,
		"A27": schemas.ClassRetraction, "A29": schemas.ClassRetraction, "A38": schemas.ClassRetraction,
	}
}

// merges are the events whose MRG segment names a number that is retired.
func merges(event string) bool {
	switch event {
	case "A18", "A30", "A34", "A35", "A36", "A39", "A40", "A41", "A46", "A47", "A49":
		return true
	}
	return false
}
