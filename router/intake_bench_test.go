package router

import (
	"context"
	"fmt"
	"testing"
	"time"

	"cpis/connectors/adt"
	"cpis/connectors/hl7"
	"cpis/router/topics"
	"cpis/schemas"
)

// nowhere takes records and keeps none.
type nowhere struct{}

func (nowhere) Produce(context.Context, ...topics.Record) error { return nil }

const kilobyte = "MSH|^~\\&|PAS|RXX|CPIS|HUB|20261124101500+0000||ADT^A04^ADT_A01|%s|P|2.4|||AL|NE|GBR|UNICODE UTF-8|EN\r" +
	"EVN|A04|20261124101500|||U1^Clerk^Reception^^^^^^RXX|20261124101200\r" +
	"PID|1|H1001|9990000018^^^NHS^NH~H1001^^^RXX^MR~77001^^^RXX01^PI||Example^Ada^Mary^^Miss^^L~Sample^Ada^^^^^A||20190807000000|F|||1 Invented Road^Madeup Lane^Nowhere^^ZZ99 9ZZ^GBR^H||" +
	"^PRN^PH^^^^01632 960000~^PRN^CP^^^^07700 900000||EN|S|C22||||||A|||||||||NSTS01\r" +
	"PD1|||Invented Surgery^^Y99999|G9999999^Example^Doctor^^^Dr\r" +
	"NK1|1|Example^Beth^^^Mrs|MTH^Mother^0131|1 Invented Road^Madeup Lane^Nowhere^^ZZ99 9ZZ|01632 960001||NOK\r" +
	"PV1|1|E|AE^WAITING^^RXX01|21|||C1234567^Example^Consultant^^^Dr|||180||||1|||||V2026112400001^^^VISITID|||||||||||||||||||||||||20261124101200\r" +
	"PV2|||^Fell from a swing\rAL1|1|DA|NKDA^No known drug allergies\r" +
	"DG1|1||R10.4^Pain in the abdomen^I10|||A\rOBX|1|ST|ARRIVAL^Mode of arrival^LOCAL||Walked in with a parent||||||F\r"

// BenchmarkIntake is the way of a one-kilobyte A04 from its bytes to its
// record: parsed, read, sealed, and written as Avro.
func BenchmarkIntake(b *testing.B) {
	codec, err := schemas.NewCodec(context.Background(), &schemas.MemoryRegistry{})
	if err != nil {
		b.Fatal(err)
	}
	keys, err := schemas.OpenKeyring(b.TempDir(), true)
	if err != nil {
		b.Fatal(err)
	}
	in := &Intake{Publisher: &Publisher{Codec: codec, Log: nowhere{}, Now: time.Now}, Keys: keys, Receipts: NewReceipts(time.Now)}
	profile := &adt.Profile{Name: "ed", Application: "PAS", Facility: "RXX", ODS: "RXX01", Setting: schemas.SettingEmergencyDepartment}
	messages := make([][]byte, 1000)
	for i := range messages {
		messages[i] = fmt.Appendf(nil, kilobyte, fmt.Sprintf("Q%09d", i))
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		raw := messages[i%len(messages)]
		if i%len(messages) == 0 {
			in.Receipts = NewReceipts(time.Now) // or they would be recognised
		}
		m, err := hl7.Parse(raw)
		if err != nil {
			b.Fatal(err)
		}
		records, err := adt.Registrations(m, profile)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := in.Accept(context.Background(), records, raw); err != nil {
			b.Fatal(err)
		}
	}
}
