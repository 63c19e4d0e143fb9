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
		{"CPIS-H012", "The message is XML", "This listener takes HL7 version 2 with vertical bars (ER7). XML is not read at all, so that nothing in it can do harm.",
			"Have the sender's engine encode as ER7.", refused},
		{"CPIS-H013", "The message is in a double-byte encoding", "In UTF-16 a frame mark can stand inside a letter, so frames cannot be told apart.",
			"Have the sender encode as UTF-8 and say UNICODE UTF-8 in MSH-18.", refused},
		{"CPIS-H014", "No feed is configured for this sender", "The care setting comes from the sender's profile and is never guessed; MSH-3 and MSH-4 match none.",
			"Add a feed with this application and facility to the configuration, then `cpis dlq replay` the message.", refused},
		{"CPIS-H015", "The sender is not who the message says", "The feed that MSH-3 and MSH-4 name is bound to a certificate or a listener, and this connection has another.",
			"Check which system sends here; if it is right, correct certificate or listener in the feed's profile, then `cpis dlq replay`.", refused},
		{"CPIS-H016", "The message is of another environment", "MSH-11 says production, training or debugging, and the feed's profile says another: a training message must not tell an authority of a real child, nor the other way round.",
			"Point the sender at the right listener, or correct environment in the feed's profile.", refused},
		{"CPIS-H017", "The batch cannot be read", "Between FHS or BHS and the trailers there must be one to 500 messages and nothing else.",
			"Send the messages one by one, or correct the batch.", refused},
		{"CPIS-H020", "The broker cannot store the message just now", "A message counts as taken only once it is committed, and that was not certain in time.",
			"Nothing: send it again. If it was committed after all, the copy is recognised.", "Answered as the feed's profile says (on_transient); not in quarantine."},
	}
}

// hl7Marks are what was odd about a message that was taken all the same.
func hl7Marks() []Entry {
	const taken = "Taken, answered yes, and marked with this code."
	return []Entry{
		{"CPIS-H101", "The frame did not end as a frame does", "The bytes FS CR end a frame; some senders leave the CR out or write LF. The message itself was whole.", "Have the sender end frames with FS CR.", taken},
		{"CPIS-H102", "Bytes stood outside of frames", "Something other than line ends came between two frames; it was skipped.", "Look at what stands between sender and broker.", taken},
		{"CPIS-H103", "The character set is not the one declared", "The bytes speak against MSH-18, or nothing is declared and they are no UTF-8, so they were read as what they are.",
			"Have the sender say in MSH-18 what it sends, or say it in the feed's profile (charset).", taken},
		{"CPIS-H104", "The character set declared is not one of the standard's, or not known here", "Letters beyond ASCII may have been read wrongly.", "Have the sender use a name of HL7 table 0211, best UNICODE UTF-8.", taken},
		{"CPIS-H105", "A control id was used again for another message", "MSH-10 should be new in each message. This one came before with other content, so both were taken.",
			"Have the sender count control ids without starting anew; until then an answer may be paired with the wrong message on its side.", taken},
		{"CPIS-H106", "The message has no control id", "Without MSH-10 the sender cannot pair the answer with its message.", "Have the sender fill MSH-10.", taken},
		{"CPIS-H107", "An update was treated as a registration", "This visit was not registered here before, or not for this person with this number, so that a check was due.",
			"Nothing, if registrations do get lost now and then. If it is many, find out why the sender's A01 and A04 do not arrive.", taken},
		{"CPIS-H108", "A merge names nobody who is retired", "MRG is missing or empty, so the event says nothing about a second record.", "Have the sender fill MRG-1.", taken},
		{"CPIS-H109", "A merge names the same record twice", "Surviving and retired record are the same, so nothing follows from it.", "Find out what the sender means by it.", taken},
		{"CPIS-H110", "The time of the event cannot be read", "None of PV1-44, EVN-6, EVN-2 and MSH-7 is a time.", "Have the sender fill EVN-2.", taken},
		{"CPIS-H111", "The time of the event has two readings", "It lies in the hour that the clocks pass twice when summer time ends, and names no zone. Both are kept.", "Have the sender write the zone: +0100 or +0000.", taken},
		{"CPIS-H112", "A time is not written as the standard has it", "It was understood all the same.", "Have the sender write YYYYMMDDHHMMSS+ZZZZ.", taken},
		{"CPIS-H113", "The date of birth cannot be read", "It is incomplete or no date, so it cannot confirm that a number is this person's.", "Correct the record; PID-7 is YYYYMMDD.", taken},
		{"CPIS-H114", "EVN-1 names another event than MSH-9", "MSH-9 counts.", "Nothing, unless the sender means EVN-1.", taken},
		{"CPIS-H115", "The number is of another country", "A Scottish, Northern Irish or Irish number has the same shape as an English NHS number; authorities share plans under English ones.",
			"Trace the English NHS number, if the person has one.", taken},
		{"CPIS-H116", "The batch counts its messages wrongly", "BTS-1 says another number than there are. Every message was answered.", "Correct the sender; until then look whether its batches arrive whole.", taken},
		{"CPIS-H117", "A segment name is in small letters", "It was read as if in capitals.", "Nothing.", taken},
	}
}
