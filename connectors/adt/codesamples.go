package adt

import (
	"strings"

	"cpis/connectors/hl7"
)

// CodeSamples are messages that each bring about one code of the catalogue, as
// a sender would put them on the wire: to try with `cpis hl7 explain`, to send,
// to compare with one's own. Some codes need more than a message: H015 a feed
// that is bound to a certificate (MSH-4 is BOUND), H016 one with an environment
// (MSH-4 is LIVE), H020 a broker that cannot store.
func CodeSamples() []Sample {
	const person = "PID|1||9990000018^^^NHS^NH~H1001^^^RXX^MR||Example^Ada||20190807|F" + "||||||||||||||||||||||||NSTS01\r"
	build := func(code, facility, kind, more string) string {
		event, _, _ := strings.Cut(strings.TrimPrefix(kind, "ADT^"), "^")
		return "MSH|^~\\&|PRACTICE|" + facility + "|CPIS|CPIS|20261124101500+0000||" + kind + "|S-" + code + "|T|2.4\rEVN|" + event + "|20261124101500+0000\r" + more
	}
	visit := func(id string) string { return "PV1|1|E|AE||||||||||||||||" + id + "\r" }
	a04 := func(code, more string) string { return build(code, "RXX01", "ADT^A04", more) }
	frame := func(messages ...string) string {
		var out strings.Builder
		for _, m := range messages {
			out.WriteString("\x0b" + m + "\x1c\r")
		}
		return out.String()
	}
	swap := func(message, old, new string) string { return strings.Replace(message, old, new, 1) }
	whole := func(code string) string { return a04(code, person+visit("V-"+code)) }
	list := []Sample{
		{"CPIS-H001", "bytes that are no message", frame("GET / HTTP/1.1")},
		{"CPIS-H002", "separators that cannot be read", frame("MSH|abcd|PRACTICE|RXX01\rPID|1\r")},
		{"CPIS-H003", "a message beyond the limit", frame(a04("H003", person+"OBX|1|ED|DOC||"+strings.Repeat("x", hl7.MaxMessage)+"\r"))},
		{"CPIS-H004", "a frame cut short by the next", "\x0b" + whole("H004")[:80] + frame(whole("H004"))},
		{"CPIS-H005", "too many segments", frame(a04("H005", person+strings.Repeat("NTE|1\r", hl7.MaxSegments)))},
		{"CPIS-H006", "a field beyond the limit", frame(a04("H006", person+"NTE|1||"+strings.Repeat("x", hl7.MaxField+1)+"\r"))},
		{"CPIS-H007", "a message of another kind", frame(build("H007", "RXX01", "ORU^R01", person))},
		{"CPIS-H008", "a line end in a field", frame(a04("H008", "PID|1||H1001^^^RXX^MR||Exam\rple^Ada\r"))},
		{"CPIS-H009", "two messages in one frame", frame(whole("H009") + whole("H009"))},
		{"CPIS-H010", "a registration of nobody", frame(a04("H010", visit("V1")))},
		{"CPIS-H011", "a registration of two persons", frame(a04("H011", person+"PID|2||H1002^^^RXX^MR\r"))},
		{"CPIS-H012", "XML", frame("<ADT_A04><MSH/></ADT_A04>")},
		{"CPIS-H013", "UTF-16", frame("M\x00S\x00H\x00|\x00^\x00~\x00\\\x00&\x00")},
		{"CPIS-H014", "a sender that no feed is configured for", frame(build("H014", "NOBODY", "ADT^A04", person))},
		{"CPIS-H015", "a sender without its certificate", frame(build("H015", "BOUND", "ADT^A04", person))},
		{"CPIS-H016", "a training message on a live feed", frame(build("H016", "LIVE", "ADT^A04", person))},
		{"CPIS-H017", "a batch without a message", frame("BHS|^~\\&|PRACTICE|RXX01\rBTS|0\r")},
		{"CPIS-H020", "any message, while the broker cannot store", frame(whole("H020"))},

		{"CPIS-H101", "a frame that ends with FS LF", "\x0b" + whole("H101") + "\x1c\n"},
		{"CPIS-H102", "bytes outside of a frame", "hello" + frame(whole("H102"))},
		{"CPIS-H103", "a Latin-1 name, declared as UTF-8", frame(swap(swap(whole("H103"), "Ada", "Zo\xeb"), "|T|2.4", "|T|2.4||||||UNICODE UTF-8"))},
		{"CPIS-H104", "a character set that is not known", frame(swap(swap(whole("H104"), "Ada", "Zo\xeb"), "|T|2.4", "|T|2.4||||||KLINGON"))},
		{"CPIS-H105", "a control id used twice", frame(whole("H105"), swap(whole("H105"), "Ada", "Eve"))},
		{"CPIS-H106", "no control id", frame(swap(whole("H106"), "|S-H106|", "||"))},
		{"CPIS-H107", "an update of a visit that never registered", frame(build("H107", "RXX01", "ADT^A08", person+visit("V-H107")))},
		{"CPIS-H108", "a merge that names nobody who is retired", frame(build("H108", "RXX01", "ADT^A40", person))},
		{"CPIS-H109", "a merge of a record with itself", frame(build("H109", "RXX01", "ADT^A40", person+"MRG|9990000018^^^NHS^NH~H1001^^^RXX^MR\r"))},
		{"CPIS-H110", "no time at all", frame(swap(swap(whole("H110"), "CPIS|20261124101500+0000", "CPIS|"), "EVN|A04|20261124101500+0000", "EVN|A04"))},
		{"CPIS-H111", "half past one on the night the clocks go back", frame(swap(swap(whole("H111"), "CPIS|20261124101500+0000", "CPIS|"), "EVN|A04|20261124101500+0000", "EVN|A04|20261025013000"))},
		{"CPIS-H112", "a time with dashes and colons", frame(swap(whole("H112"), "EVN|A04|20261124101500+0000", "EVN|A04|2026-11-24 10:15:00"))},
		{"CPIS-H113", "a date of birth in month 13", frame(swap(whole("H113"), "20190807", "20191307"))},
		{"CPIS-H114", "EVN-1 and MSH-9 disagree", frame(swap(whole("H114"), "EVN|A04", "EVN|A01"))},
		{"CPIS-H115", "a Scottish number", frame(swap(whole("H115"), "9990000018^^^NHS^NH", "9990000018^^^CHI^CHI"))},
		{"CPIS-H116", "a batch that counts itself wrongly", frame("BHS|^~\\&|PRACTICE|RXX01\r" + whole("H116") + "BTS|9\r")},
		{"CPIS-H117", "segment names in small letters", frame(swap(whole("H117"), "PID|", "pid|"))},

		{"CPIS-M001", "a child without an NHS number", frame(a04("M001", "PID|1||H1003^^^RXX^MR||Quillfeather^Zebedee||20140203|M|||1 High Street^^Aford^^ZZ1 1ZZ\r"))},
		{"CPIS-M002", "a mistyped NHS number", frame(a04("M002", "PID|1||9990000019^^^NHS^NH||Example^Ada||20190807|F\r"))},
		{"CPIS-M003", "an NHS number that nobody has traced", frame(swap(whole("M003"), "NSTS01", "NSTS02"))},
		{"CPIS-M004", "a trace that found several persons", frame(swap(whole("M004"), "NSTS01", "NSTS04"))},
		{"CPIS-M008", "a child of whom next to nothing is known", frame(a04("M008", "PID|1||H1004^^^RXX^MR||Unknown^Child||20210304|U\r"))},
		{"CPIS-M006", "a number of another country", frame(swap(whole("M006"), "9990000018^^^NHS^NH", "9990000018^^^CHI^CHI"))},
	}
	return list
}
