package schemas

func hl7Codes() []Entry {
	const refused = "Answered no, kept in quarantine; the next message flows."
	return []Entry{
		{"CPIS-H001", "The bytes are no HL7 version 2 message", "A message begins with an MSH segment; these do not.",
			"Check that the sender is meant for this port, and sends ER7 (vertical bars), not XML or HTTP.", refused},
		{"CPIS-H002", "The separators cannot be read", "MSH-1 and MSH-2 declare the separators; these are missing, letters, or not distinct.",
			"Send MSH|^~\\& or another set of distinct marks.", refused},
		{"CPIS-H003", "The message is too large", "A message larger than the limit is most often a document put into an ADT feed.",
			"Take embedded documents out of the feed.", refused},
		{"CPIS-H004", "The frame was torn", "A new frame began, or an end mark stood, inside this one. Its bytes may belong to two messages, so it is not used.",
			"Look for a sender or a device in between that cuts connections; the sender's own resend mends it.", "Kept in quarantine. A frame that was cut short is not answered, since its sender has moved on."},
		{"CPIS-H005", "The message has too many segments", "An ADT message has a few dozen at most.", "Find out what the sender repeats.", refused},
		{"CPIS-H006", "A field is too long", "A field beyond the limit is most often a document or a fault of the sender.", "Shorten the field named.", refused},
		{"CPIS-H007", "The message is not an ADT event", "MSH-9 must be ADT with a trigger event.", "Send only ADT to this feed.", refused},
		{"CPIS-H008", "A line of the message is no segment", "Most often a field holds a line end, so that everything behind it in its segment is lost; the person could be mistaken.",
			"Have the sender write line ends inside fields as \\.br\\.", refused},
		{"CPIS-H009", "Two messages stand in one frame", "One answer cannot speak for two messages: the second would be lost.", "Send one message in each frame.", refused},
		{"CPIS-H010", "The message names no person", "A registration without a PID segment cannot be checked.", "Send the PID segment.", refused},
		{"CPIS-H011", "The message names several persons", "A registration is about one person; taking the first of several could check the wrong child.", "Send one message per person.", refused},
		{"CPIS-H014", "No feed is configured for this sender", "The care setting comes from the sender's profile and is never guessed; MSH-3 and MSH-4 match none.",
			"Add a feed with this application and facility to the configuration, then `cpis dlq replay` the message.", refused},
	}
}
