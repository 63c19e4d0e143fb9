package adt

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"cpis/connectors/hl7"
)

// kilobyte is an A04 as an emergency department sends it.
func kilobyte(b *testing.B) []byte {
	b.Helper()
	text, err := os.ReadFile(filepath.Join("..", "hl7", "testdata", "kilobyte.hl7"))
	if err != nil {
		b.Fatal(err)
	}
	return bytes.ReplaceAll(text, []byte("\n"), []byte("\r"))
}

func BenchmarkParseAndExtract(b *testing.B) {
	raw, profile := kilobyte(b), ed
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
	m, err := hl7.Parse(kilobyte(b))
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
