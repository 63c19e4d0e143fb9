package schemas

func socialCareCodes() []Entry {
	const row = "The row is refused and kept in quarantine; the other rows are taken."
	const file = "Nothing of the file is taken."
	return []Entry{
		{"CPIS-L001", "A line cannot be read", "Its quotes, fields or braces do not match, so that values could land in the wrong columns.", "Export the file again, or correct the line.", row},
		{"CPIS-L002", "A value is missing or too long", "The record cannot be matched or shown without it.", "Fill in the field named, and send the record again.", row},
		{"CPIS-L003", "The record belongs to another authority", "Only the authority that shares a record may change it.", "Send it under that authority's own code.", row},
		{"CPIS-L010", "The NHS number is not one", "An NHS number has ten digits, the last of which checks the others.", "Trace the NHS number and correct it.", row},
		{"CPIS-L011", "The date of birth cannot be used", "It checks that the number is this person's.", "Give it as YYYY-MM-DD.", row},
		{"CPIS-L012", "The kind of plan is not known", "CP-IS shares three kinds: CPP, LAC and UNBORN.", "Use one of the three.", row},
		{"CPIS-L013", "The version is not a number", "It tells a later record from an earlier one, whatever order they arrive in.", "Give a whole number that rises with every change of the record.", row},
		{"CPIS-L014", "A plan date cannot be used", "Without its start nobody can say when the plan applies.", "Give dates as YYYY-MM-DD; plan_start is needed.", row},
		{"CPIS-L015", "The plan ends before it begins", "One of the two dates is wrong.", "Correct plan_start or plan_end.", row},
		{"CPIS-L016", "The plan ended too long ago", "An ended plan is shown for 365 days, so this one would never be.", "Leave it out; or correct plan_end.", row},
		{"CPIS-L017", "The expected date of delivery does not fit the plan", "An unborn plan needs it, for it is shown until 28 days after; other plans have none.", "Give it for UNBORN, and only there.", row},
		{"CPIS-L018", "The person is 18 or older", "Child plans end with the 18th birthday; only an unborn plan is about an adult, the mother.", "Leave the record out, or correct the date of birth.", row},
		{"CPIS-L019", "Two rows are about the same plan", "Only one of them can be the truth; the one with the higher version counts.", "Send each record once.", row},
		{"CPIS-L020", "The file cannot be read", "Its header, size or form is not that of the template.", "Start from the template (GET /v1/authorities/CODE/template.csv).", file},
		{"CPIS-L021", "The file brings something that must not be shared", "A column or field that is not in the template may hold an address, a category of abuse or a narrative. None of that may enter.", "Remove the column or field.", file},
		{"CPIS-L022", "The authority is not known here", "A flag without a telephone number helps nobody, so contacts come first.", "Send the authority's contacts: `cpis la upload contacts.json --contacts --authority CODE`.", file},
		{"CPIS-L023", "A later version is held", "This record is older than the one that is shared now.", "Nothing, if the file came late. Otherwise give the record a higher version.", row},
		{"CPIS-L024", "The contacts cannot be used", "Name and emergency number are needed, for somebody will ring it at night.", "Complete the contacts.", "The contacts held stay as they are."},
		{"CPIS-L025", "The file could not be taken just now", "A part of the broker could not be reached, so that it is not sure that all of it is safe.", "Send the same file again: records that are in already count as unchanged.", "Records may be in; sending again is safe."},
	}
}
