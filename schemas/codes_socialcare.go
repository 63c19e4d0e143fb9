package schemas

// Fates of what an authority sends. A row's refusal never stops the rows
// beside it.
const (
	fateFileRefused = "Nothing of the file was written; what was shared before still stands."
	fateRowRefused  = "This row was not written and is kept, sealed, in the dead letters; the other rows went on."
	fateRowTaken    = "The row was taken."
	fateRowSkipped  = "This row was not written; nothing is lost, since another row or record stands in its place."
)

func socialCareCodes() []Entry {
	return append(socialCareFileCodes(), socialCareRowCodes()...)
}

func socialCareFileCodes() []Entry {
	return []Entry{
		{"CPIS-L001", "The file cannot be read as a list of records", "It is empty, is not text, or does not begin with a line of column names, so no row can be trusted.",
			"Save the list as CSV (UTF-8, comma separated) from the template, or as JSON Lines with one object a line, and send it again.", fateFileRefused},
		{"CPIS-L002", "The file is too large", "A file over the limit is not read to its end, and a list cut short would look like a whole one.",
			"Split the list into smaller files and send them one after the other.", fateFileRefused},
		{"CPIS-L003", "The file has a column that may not enter", "Only what finds and explains a plan is shared. Categories of abuse, addresses, notes and anything else stay with the authority.",
			"Remove the column named, or rename it if it is one of the template's columns, and send the file again.", fateFileRefused},
		{"CPIS-L004", "The file lacks a column", "A missing column cannot be told from empty cells: without plan_end every plan would look open.",
			"Add the column named (cells may be empty where the template says so) and send the file again.", fateFileRefused},
		{"CPIS-L005", "The authority's telephone numbers are not known yet", "A flag without a number to ring helps nobody, so contacts come before records.",
			"Send the authority's contacts first, or as a line of the same JSON Lines file, then the file again.", fateFileRefused},
		{"CPIS-L006", "The kind of content is not one that can be read here", "Records come as text/csv or application/x-ndjson, contacts as application/json, none of them compressed.",
			"Send the file with its right content type.", fateFileRefused},
		{"CPIS-L007", "The records could not be stored just now", "Part of the system behind the door did not answer. Whether a row was written is not known.",
			"Send the same file again in a few minutes. Rows that were written are recognised and change nothing.", "Not known; sending again is safe."},
		{"CPIS-L008", "The record belongs to another local authority", "Only the authority that owns a record may change it.",
			"Send it under the authority that owns it, or correct the authority code.", fateRowRefused},
		{"CPIS-L009", "The contacts cannot be used", "Staff ring these numbers at night. A name and an emergency duty team number that can be dialled are the least they need.",
			"Correct the field named and send the contacts again.", "The contacts known before still stand."},
	}
}

func socialCareRowCodes() []Entry {
	return []Entry{
		{"CPIS-L010", "The row cannot be read", "Its quotes, its number of cells or its characters do not make a row of this file.",
			"Compare the row with the template: one line a record, the same number of cells as the first line, and quotes only in pairs.", fateRowRefused},
		{"CPIS-L011", "A line or a cell is too long", "No field of a record needs that much room; a longer one is a broken quote or text that may not enter.",
			"Shorten the cell named.", fateRowRefused},
		{"CPIS-L012", "The NHS number is missing or does not have ten digits", "The number is how the child is found at the desk.",
			"Write the ten digits as text. Spreadsheets shorten long numbers: format the column as text before filling it.", fateRowRefused},
		{"CPIS-L013", "The NHS number has a wrong check digit", "At least one digit is mistyped or two changed places; a wrong number would flag another child, or none.",
			"Trace the number again and correct it.", fateRowRefused},
		{"CPIS-L014", "The NHS number is not one issued in England", "It lies in a range of another country or in one never issued. Care settings in England may hold another number for this person.",
			"Trace the person and send the English NHS number if there is one, with a higher version.", fateRowTaken},
		{"CPIS-L015", "A name is missing", "The family name and the given names confirm that the number is this person's. For an unborn child they are the mother's.",
			"Fill in the name as the NHS knows it.", fateRowRefused},
		{"CPIS-L016", "A date cannot be read", "Dates are civil days written year first, 2026-01-09. Other ways can be read two ways.",
			"Write the date as YYYY-MM-DD. Spreadsheets change dates when they open a file: format the column as text.", fateRowRefused},
		{"CPIS-L017", "The date of birth is missing or cannot be right", "It confirms that the number is this person's, and ends a child's record on the 18th birthday.",
			"Correct the date of birth. For an unborn child it is the mother's.", fateRowRefused},
		{"CPIS-L018", "The person is 18 or over", "Child protection and looked after records are shown until the 18th birthday and not after.",
			"Remove the row from the list, or correct the date of birth.", fateRowRefused},
		{"CPIS-L019", "The plan type is not CPP, LAC or UNBORN", "No other kind of plan is shared.",
			"Write CPP for a child protection plan, LAC for a looked after child, UNBORN for a plan for an unborn child held on the mother.", fateRowRefused},
		{"CPIS-L020", "The start of the plan is missing", "Staff are shown since when the plan stands.",
			"Fill in plan_start as YYYY-MM-DD.", fateRowRefused},
		{"CPIS-L021", "The plan ends before it starts", "One of the two dates is wrong.",
			"Correct plan_start or plan_end.", fateRowRefused},
		{"CPIS-L022", "The plan ended more than 365 days ago", "An ended plan is shown for 365 days, so this one would never be shown.",
			"Leave the row out. If the record is still shared as open, take it back with a JSON Lines row that says \"withdrawn\": true.", fateRowRefused},
		{"CPIS-L023", "The expected delivery date is missing or cannot be right", "A plan for an unborn child is shown until 28 days after the day the birth is expected.",
			"Correct expected_delivery_date. Once the child is born, send the child's own plan.", fateRowRefused},
		{"CPIS-L024", "The version is not a whole number of 1 or more", "The version says which of two states of a record is the newer.",
			"Number each change of a record one higher than the last.", fateRowRefused},
		{"CPIS-L025", "Another row of the file is the newer state of the same plan", "The file holds the same NHS number and plan type more than once; the row with the highest version was kept.",
			"Nothing, if the row that was kept is right; otherwise send the right one with a higher version.", fateRowSkipped},
		{"CPIS-L026", "Two rows of the file contradict each other", "They have the same NHS number, plan type and version, and say different things. Which is true is not guessed.",
			"Send the right one, with a higher version than is held.", fateRowRefused},
		{"CPIS-L027", "A newer version of the record is already held", "A lower version never replaces a higher one, so that a late file cannot undo a change.",
			"If this row is the newer truth, send it with a higher version.", fateRowSkipped},
		{"CPIS-L028", "This version of the record is already held", "The same version is taken once, so that sending a file twice changes nothing.",
			"Nothing, if the record has not changed; otherwise send it with a higher version.", fateRowSkipped},
		{"CPIS-L029", "The sex is not one of M, F, O and U", "It was taken as not known. Nothing rests on it alone.",
			"Write M, F, O (other) or U (not known) next time.", fateRowTaken},
		{"CPIS-L030", "An unborn child's row does not seem to be about the mother", "The NHS number, name and date of birth of an UNBORN row are the mother's, and this date of birth is a young child's.",
			"Write the mother's details. Once the child is born, send the child's own plan as CPP or LAC.", fateRowRefused},
		{"CPIS-L031", "The expected delivery date was left out of a child's record", "Only a plan for an unborn child has one.",
			"Leave the cell empty, or correct the plan type.", fateRowTaken},
	}
}
