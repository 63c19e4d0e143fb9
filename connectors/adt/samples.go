package adt

import (
	"slices"
	"strings"
)

// Sample is a message to try the broker with. The people are invented; the
// numbers are of the 999 range, which is never issued.
type Sample struct {
	Name    string
	About   string
	Message string // of Samples: MSH-7 and MSH-10 are filled in by whoever sends it; of CodeSamples: bytes of the wire
}

const (
	sampleED   = "MSH|^~\\&|PRACTICE|RXX01|CPIS|CPIS|||ADT^A04^ADT_A01||T|2.4\rEVN|A04\r"
	sampleLast = "PV1|1|E|AE||||||||||||||||V1001^^^VISITID\r"
)

// Samples lists the messages, in name order.
func Samples() []Sample {
	pid := func(rest string) string { return "PID|1||" + rest + "\r" }
	list := []Sample{
		{"child-on-plan", "registers a child who is on a plan in the demo", sampleED + pid("9990000018^^^NHS^NH~H1001^^^RXX^MR||Example^Ada||20190807|F|||^^^^ZZ99 9ZZ|||||||||||||||||||||NSTS01") + sampleLast},
		{"no-plan", "registers a child of whom no authority has shared anything", sampleED + pid("9990000026^^^NHS^NH~H1002^^^RXX^MR||Sample^Ben||20170102|M|||^^^^ZZ99 9ZY|||||||||||||||||||||NSTS01") + sampleLast},
		{"not-traced", "an NHS number that nobody has verified", sampleED + pid("9990000018^^^NHS^NH||Example^Ada||20190807|F||||||||||||||||||||||||NSTS02") + sampleLast},
		{"no-number", "a child without an NHS number", sampleED + pid("H1003^^^RXX^MR||Unknown^Child||20210304|U") + sampleLast},
		{"wrong-check-digit", "a mistyped NHS number", sampleED + pid("9990000019^^^NHS^NH||Example^Ada||20190807|F") + sampleLast},
		{"no-person", "a registration that names nobody: refused", sampleED + sampleLast},
	}
	slices.SortFunc(list, func(a, b Sample) int { return strings.Compare(a.Name, b.Name) })
	return list
}
