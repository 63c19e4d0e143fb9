package router

import (
	"bytes"
	"context"
	"encoding/csv"
	"strings"
	"testing"
	"time"

	"github.com/linkedin/goavro/v2"

	"cpis/schemas"
)

func TestAnExportNamesNobody(t *testing.T) {
	b := newBench(t, 1)
	for i := range 30 {
		b.accept(registration(i))
	}
	b.decide(&decider{}, b.producer, b.outcomes(30))
	r := &Recorder{b.publish, b.keys}
	for _, worker := range []string{"555", "555", "556"} {
		if err := r.Note(context.Background(), Deed{Kind: schemas.AuditAccess, Action: schemas.ActionLookedInVain, Organisation: "RXX01", By: schemas.Access{WorkerID: worker, WorkerName: "C. Nurse"}}); err != nil {
			t.Fatal(err)
		}
	}
	x := &Exporter{Client: b.client, Codec: b.publish.Codec, Keys: b.keys, Place: time.UTC}
	var text, file bytes.Buffer
	asCSV, err := NewAuditCSV(&text)
	if err != nil {
		t.Fatal(err)
	}
	asAvro, err := schemas.NewAuditOCF(&file)
	if err != nil {
		t.Fatal(err)
	}
	var small Small
	var rows []schemas.AuditRow
	from := time.Now().Add(-time.Hour)
	err = x.Read(context.Background(), from, time.Now().Add(time.Hour), func(part []schemas.AuditRow) error {
		rows = append(rows, part...)
		small.Add(part)
		if err := asAvro(part); err != nil {
			return err
		}
		return asCSV(part)
	})
	if err != nil || len(rows) != 33 {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	workers, subjects := map[string]int{}, 0
	for _, row := range rows {
		if row.Subject != "" {
			subjects++
			if row.State != "INDICATOR" || strings.Contains(row.Subject, "-") {
				t.Errorf("%+v", row)
			}
		}
		workers[row.Worker]++
	}
	if subjects != 1 || len(workers) != 3 { // two people, and nobody
		t.Errorf("%d subjects, workers %v", subjects, workers)
	}
	refs := read[schemas.Audit](b, schemas.TopicAudit)
	for _, a := range refs {
		if a.SubjectRef != "" && strings.Contains(text.String(), string(a.SubjectRef)) {
			t.Error("the pseudonym of the topics stands in the export")
		}
	}
	for _, secret := range []string{number(0).Reveal(), "Example", "C. Nurse", "555"} {
		if strings.Contains(text.String(), ","+secret) {
			t.Errorf("the export names %s", secret)
		}
	}
	lines, err := csv.NewReader(&text).ReadAll()
	if err != nil || len(lines) != 34 || lines[0][0] != "audit_id" || len(lines[0]) != len(lines[1]) {
		t.Errorf("%d lines, %v", len(lines), err)
	}
	ocf, err := goavro.NewOCFReader(&file)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for ocf.Scan() {
		if _, err := ocf.Read(); err != nil {
			t.Fatal(err)
		}
		n++
	}
	if n != 33 {
		t.Errorf("%d rows of Avro", n)
	}
	if notes := small.Notes(from, time.Now()); !strings.Contains(notes, "| RXX01 | EMERGENCY_DEPARTMENT | INDICATOR | 1 to 4 |") || strings.Contains(notes, "NONE_SHARED") {
		t.Error(notes)
	}
	if err := x.Read(context.Background(), from.Add(-24*time.Hour), from, func([]schemas.AuditRow) error { t.Error("rows of another day"); return nil }); err != nil {
		t.Error(err)
	}
}
