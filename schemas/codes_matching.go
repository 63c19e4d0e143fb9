package schemas

// Code is the code that explains a reason, empty for reasons that need no
// explaining.
func (r Reason) Code() Code {
	switch r {
	case ReasonNumberAbsent:
		return "CPIS-M001"
	case ReasonNumberInvalid:
		return "CPIS-M002"
	case ReasonNumberUnverified:
		return "CPIS-M003"
	case ReasonNumberConflict:
		return "CPIS-M004"
	case ReasonIdentityConflict:
		return "CPIS-M005"
	case ReasonOtherCountry:
		return "CPIS-M006"
	case ReasonNotEnrolled:
		return "CPIS-M007"
	case ReasonTooLittle:
		return "CPIS-M008"
	case ReasonDetailsMayAgree, ReasonDetailsAgree:
		return "CPIS-M009"
	case ReasonIndexUnreachable, ReasonIndexIncomplete, ReasonIndexBehind, ReasonIndexCorrupt, ReasonEarlierUnanswered, ReasonAuditUnreachable:
		return "CPIS-M010"
	}
	return ""
}

func matchingCodes() []Entry {
	const answered = "Taken; the setting is told NOT_CHECKED. This is not \"no plan\"."
	return []Entry{
		{"CPIS-M001", "No NHS number was given", "The check rests on a verified NHS number; without one it cannot say that there is no plan.",
			"Trace the NHS number and register again.", answered},
		{"CPIS-M002", "The NHS number cannot be right", "Its check digit is wrong, or it lies in a range that is not issued.",
			"Look at the number again, trace it and register again.", answered},
		{"CPIS-M003", "The NHS number is not verified", "A number that nobody has traced may be another person's.",
			"Trace the NHS number and register again. If the sender traces every number, say so in its profile (unstated_status).", answered},
		{"CPIS-M004", "Tracing found no person, or several", "The sender's own trace did not settle whose number this is.",
			"Resolve the trace and register again.", answered},
		{"CPIS-M005", "The number and the person do not agree", "Name or date of birth are not those of the person the number belongs to; it may be a twin's, a sibling's or a mistyped number.",
			"Check name and date of birth with the family, trace the number and register again.", answered},
		{"CPIS-M006", "The number is of another country", "English authorities share plans under English NHS numbers.",
			"Use the child protection contacts of the country named on the record.", answered},
		{"CPIS-M007", "This care setting is not enrolled", "Nobody has agreed that this setting may ask.",
			"Ask the operators of the broker to enrol it.", answered},
		{"CPIS-M008", "Too little is known to look for the person", "There is no NHS number, and name, date of birth and postcode would not tell one child from another even if they all agreed.",
			"Ask for name, date of birth and postcode, trace the NHS number and register again.", answered},
		{"CPIS-M009", "The details may be those of somebody for whom a plan is shared", "Without a verified number nobody can be told apart for certain from a namesake, a brother, a sister or a twin.",
			"Trace the NHS number and register again. At the desk this reads as any other identity that is not confirmed; the safeguarding lead sees the difference.", answered},
		{"CPIS-M010", "The check could not be made just now", "The index of plans could not be read, is being built, or is older than it must be, and saying \"no plan\" would be a guess; or the answer could not be put on record, and without that nothing is told.",
			"Use your local fallback. The check is tried again by itself, and the answer follows.", "Taken; the setting is told CHECK_FAILED, then the answer as soon as there is one."},
	}
}
