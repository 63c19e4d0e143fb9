package adt

import (
	"testing"

	"cpis/connectors/hl7"
)

// kilobyte is an A04 as an emergency department sends it, about one kilobyte.
const kilobyte = "MSH|^~\\&|PAS|RXX|CPIS|HUB|20261124101500+0000||ADT^A04^ADT_A01|Q100000001|P|2.4|||AL|NE|GBR|UNICODE UTF-8|EN\r" +
	"EVN|A04|20261124101500|||U1^Clerk^Reception^^^^^^RXX|20261124101200\r" +
	"PID|1|H1001|9990000018^^^NHS^NH~H1001^^^RXX^MR~77001^^^RXX01^PI||Example^Ada^Mary^^Miss^^L~Sample^Ada^^^^^A||20190807000000|F|||1 Invented Road^Madeup Lane^Nowhere^^ZZ99 9ZZ^GBR^H||" +
	"^PRN^PH^^^^01632 960000~^PRN^CP^^^^07700 900000||EN|S|C22||||||A|||||||||NSTS01\r" +
	"PD1|||Invented Surgery^^Y99999|G9999999^Example^Doctor^^^Dr\r" +
	"NK1|1|Example^Beth^^^Mrs|MTH^Mother^0131|1 Invented Road^Madeup Lane^Nowhere^^ZZ99 9ZZ|01632 960001||NOK\r" +
	"PV1|1|E|AE^WAITING^^RXX01|21|||C1234567^Example^Consultant^^^Dr|||180||||1|||||V2026112400001^^^VISITID|||||||||||||||||||||||||20261124101200\r" +
	"PV2|||^Fell from a swing\rAL1|1|DA|NKDA^No known drug allergies\r" +
	"DG1|1||R10.4^Pain in the abdomen^I10|||A\rOBX|1|ST|ARRIVAL^Mode of arrival^LOCAL||Walked in with a parent||||||F\r"

func BenchmarkParseAndExtract(b *testing.B) {
	raw, profile := []byte(kilobyte), ed
	b.SetBytes(int64(len(raw)))
	b.ReportAllocs()
	for b.Loop() {
		m, err := hl7.Parse(raw)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := Registrations(m, &profile); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkExtract(b *testing.B) {
	profile := ed
	m, err := hl7.Parse([]byte(kilobyte))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Registrations(m, &profile); err != nil {
			b.Fatal(err)
		}
	}
}
