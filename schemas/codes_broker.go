package schemas

func configCodes() []Entry {
	return []Entry{
		{"CPIS-C001", "A configuration key is not known", "A key that nothing reads is usually a typing mistake, and the setting it was meant for would stay at its default.",
			"Correct the key as suggested, or remove it; `cpis config show` lists every key.", "Nothing was started."},
		{"CPIS-C002", "A configuration value cannot be used", "The value has the wrong shape or contradicts another.",
			"Correct the value; the message names the file, the line and what is allowed.", "Nothing was started."},
		{"CPIS-C003", "Something would cross a network in clear, or a listener be open to it without anyone proving who they are", "Registrations and plans are about children: what crosses a network is encrypted, and who calls proves who they are.",
			"For HL7: give the listener tls with certificate, key and authorities, and the feed's reply tls. For everything else, listen on a loopback address and put the caller, or a tunnel that authenticates, on the same machine.", "Nothing was started."},
	}
}

func webCodes() []Entry {
	return []Entry{
		{"CPIS-W001", "The request cannot be read", "A parameter or a field of the body is not one of the interface, or not of its kind.",
			"Correct what is named; /openapi.json describes every request.", "Nothing was done."},
		{"CPIS-W002", "The caller has no right to this", "What an organisation may do follows from the name in its certificate: an authority sees and changes what is its own.",
			"Call with the certificate of the organisation concerned (`cpis certs show FILE` says whose one is).", "Nothing was read and nothing was done."},
		{"CPIS-W004", "You could not be signed in", "Whoever sees child protection information proves who they are, with a smartcard or a security key, in a role that has the right (activity B0107 or B0170) at an organisation that is served here.",
			"Sign in again and choose the role you work in. If it goes on, ask your registration authority about the role, or the broker's operators.", "Nothing was shown."},
		{"CPIS-W005", "Nobody is signed in", "You have not signed in, or have not used the page for 15 minutes.",
			"Sign in.", "Nothing was shown."},
		{"CPIS-W006", "You may not see this", "Details are for those who care for the person now: a setting sees those it registered in the last 24 hours, in a role that has the right.",
			"Register the person first. In an emergency, break the glass with a reason: the authority and your privacy officer are told at once.", "Nothing was shown; that you asked is on record."},
		{"CPIS-W007", "It cannot be put on record just now, so it is not shown", "Whoever looks at a plan is on record before the plan is shown; the audit log does not take records at this moment.",
			"Use your local fallback, as if the broker were not there, and try again.", "Nothing was shown."},
		{"CPIS-W008", "Prove once more who you are", "Whoever breaks the glass proved within the last five minutes who they are, so that an open screen is not enough.",
			"Sign in again (/signin?again=1), then ask once more.", "Nothing was shown."},
		{"CPIS-W009", "It cannot be told just now", "What is asked for cannot be read at this moment; that is no answer.",
			"Use your local fallback, and try again.", "Nothing was shown."},
		{"CPIS-W003", "A certificate ends soon", "After that day nobody who is careful connects to this listener.",
			"Put a new certificate and key in place of the files; they are read again by themselves.", "Everything goes on until then."},
	}
}

func auditCodes() []Entry {
	return []Entry{
		{"CPIS-A001", "The audit log is not what was signed", "The audit topic was cut, or holds other records than those whose hashes were signed before: somebody rewrote it, or it was put back from an older copy.",
			"Keep everything as it is. Compare copies with `cpis audit verify`, beginning with those of authorities and trusts; treat it as tampering until you know better.", "No head of this part of the log is signed any more. Registrations are answered and recorded as ever."},
		{"CPIS-A002", "Entries of the audit log have expired before they were taken in", "The audit topic keeps its records for a limited time, and the folder of hashes, or the copy, is older than that.",
			"Put back the folder of hashes from another process with the role audit, or from a backup. For a copy: continue an older one, or give --server, so that hashes stand in for what is gone.", "Nothing was changed."},
		{"CPIS-A003", "A copy of the audit log is not what was signed", "At least one entry was changed, dropped, moved, repeated or cut off, in the copy or before it was made.",
			"Take a new copy and verify that: if it is fine, the old copy is damaged. If it is not, tell the information governance leads of every organisation concerned, and keep both.", "Nothing was changed; the first bad entry is named."},
		{"CPIS-A004", "The audit log is not the one that was witnessed", "The broker shows a history that does not continue the one it showed before, both signed with its key.",
			"Keep the folder of the witness: it holds both heads, which is proof. Tell the broker's operators, their information governance lead, and the other witnesses.", "The new head was not signed."},
	}
}

// lookerCodes are findings about who looks. None says that anybody did wrong.
func lookerCodes() []Entry {
	const fix, fate = "Ask the person, with their manager, what they looked for; the audit records name every look. Many have a good reason.", "Nobody was stopped; it is on the list of the privacy officer."
	return []Entry{
		{"CPIS-B001", "Somebody often looks for people whom their setting has not registered", "Whoever tries numbers looks in vain again and again.", fix, fate},
		{"CPIS-B002", "Somebody has opened the plans of very many children in a day", "Far more than the care of one's own patients needs.", fix, fate},
		{"CPIS-B003", "Somebody has opened the plan of a child of their own family name", "The name is uncommon: it may be a relative, and the plan may be about their own family.", fix, fate},
		{"CPIS-B004", "Somebody opens plans in many care settings in a day", "People work in one place at a time.", fix, fate},
		{"CPIS-B005", "Somebody in scheduled care opens plans at night", "Scheduled care keeps hours.", fix, fate},
		{"CPIS-B006", "Somebody breaks the glass again and again", "Emergencies among people who are not registered are rare.", fix, fate},
	}
}

func recordCodes() []Entry {
	return []Entry{
		{"CPIS-K001", "A record on a topic cannot be read", "Its schema id is not known to the registry, or its bytes do not follow the schema it names.",
			"Find who wrote it (`cpis dlq show`); once its schema is registered, `cpis dlq replay` puts it back.", "Kept byte for byte in the dead letters; the records after it go on."},
		{"CPIS-K002", "The sealed part of a record does not open", "The bytes were changed, belong to another record, or were sealed with a key this system does not hold.",
			"Check that every process has the same key sets; then `cpis dlq replay`. If the keys are right, treat it as tampering.", "Kept byte for byte in the dead letters; the records after it go on."},
		{"CPIS-K003", "Records expired before they were processed", "The topic keeps its records for a limited time and the broker was away for longer.",
			"Ask the senders of the time named in the dead letter to send again; find out why the broker was away.", "The records are gone; their range is noted in the dead letters."},
		{"CPIS-K004", "The receiver of an answer refused it", "The setting's own system answered that it will never take this message.",
			"Ask the setting's integration team; then `cpis dlq replay` sends it again.", "Kept byte for byte in the dead letters; later answers go on."},
		{"CPIS-K005", "An answer could not be delivered in time", "The setting's own system could not be reached, or did not take the message, for as long as the broker tries.",
			"Restore the connection; then `cpis dlq replay` sends it again. Until then tell the setting by telephone.", "Kept byte for byte in the dead letters."},
		{"CPIS-K006", "The index differs from the topic it is made from", "A part of Redis was put back to an earlier state, or altered by other means.",
			"Nothing: it is built anew by itself, and until it is whole answers are CHECK_FAILED. Find out who restores or writes to this Redis; cpis index verify tells the authorities concerned.", "The index is thrown away; registrations are taken as ever, and answered again once it is whole."},
		{"CPIS-K007", "A local authority could not be told", "Its receiver took a notice in none of the tries of 72 hours.",
			"Ring the authority. Find out what is the matter with its receiver (`cpis dlq ls`), then send the notice again with `cpis dlq replay`; the authority can also fetch it.", "The notice is in the dead letters; the care setting was told that the authority does not know."},
		{"CPIS-K008", "Records still need this key", "Taken out, nobody could open them, or find what stands under the pseudonyms it made.",
			"Wait: the process with the role web writes plans anew within seconds of a promotion, registrations expire within a day (`cpis keys list`). Or say --purge, if they are meant to become unreadable.", "Nothing was changed."},
		{"CPIS-D001", "The ledger does not balance", "A message that was taken has no answer, no audit record or no delivery yet.",
			"Look at the control ids named; `cpis dlq ls` shows what was set aside, and running the ledger again shows what was only late.", "Nothing was changed."},
		{"CPIS-D002", "A dead letter has already been replayed or discarded", "Replaying the same record twice would answer the same question twice.",
			"Nothing; `cpis dlq ls` shows what is still open.", "Nothing was changed."},
	}
}
