package router

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
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
	text, err := os.ReadFile(filepath.Join("..", "connectors", "hl7", "testdata", "kilobyte.hl7"))
	if err != nil {
		b.Fatal(err)
	}
	messages := make([][]byte, 1000)
	for i := range messages {
		messages[i] = []byte(strings.NewReplacer("\n", "\r", "Q100000001", fmt.Sprintf("Q%09d", i)).Replace(string(text)))
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
