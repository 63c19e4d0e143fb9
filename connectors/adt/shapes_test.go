package adt

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"cpis/connectors/hl7"
	"cpis/schemas"
)

// TestShapes reads messages in the shapes that real systems of the NHS send,
// with invented people. What must be read of each was written down by hand.
func TestShapes(t *testing.T) {
	for name, want := range map[string]string{
		"national-a04": `A04 REGISTRATION 9990000018 VERIFIED Sample,Daphne 1965-04-03 F "" 1000001@RXX01 visit 2139 at PV1-44
			operator 111111111 Emily Example; pregnant [PV1-10 PV1-15 PV1-18 PV2-3]`,
		"national-a28":      `A28 IDENTITY 9990000026 UNVERIFIED Sample,Tim "" M "" 1000002@RXX01 at EVN-2 CPIS-H113`,
		"chemotherapy-a31":  `A31 IDENTITY 9990000034 UNVERIFIED EXAMPLE,INVENTED 2000-01-01 M ZZ99 9ZZ 1000003@252 at EVN-2 CPIS-H112`,
		"regional-pims-a40": `A40 IDENTITY 9990000042 VERIFIED EXAMPLE,INVENTED 2000-01-01 M ZZ99 9ZY 1000004@ at EVN-2 MERGE retires 1000005@ operator R5 ;`,
		"laboratory-a04":    `A04 REGISTRATION 9990000050 VERIFIED Testperson,Spine 2019-08-07 F ZZ99 9ZX 1000006@RXX at MSH-7 others [MR@]`,
		"account-number-a01": `A01 REGISTRATION 9990000069 UNVERIFIED EXAMPLE,INVENTED 2018-02-03 F ZZ99 9ZW 1000007@MRN visit account F1000007 at EVN-2
			aliases [OTHER^INVENTED] CPIS-H114`,
		"simulator-a34": `A34 IDENTITY 9990000077 UNVERIFIED Example,Invented 2020-02-03 F "" 1000008@SIMULATOR MRN at MSH-7 MERGE retires 1000009@SIMULATOR MRN`,
		"newborn-a01": `A01 REGISTRATION "" ABSENT LONDON,Baby 2026-06-10 U "" 1000010@RXX visit V10 at EVN-2
			mother 9990000085 by PID-21; born 2; newborn [PID-32 PV1-4 PID-7]; pregnant [PV1-3]`,
		"scottish-a04": `A04 REGISTRATION "" OTHER_COUNTRY EXAMPLE,INVENTED 2020-02-03 M ZZ99 9ZZ 9990000093@CHI visit V12 at MSH-7
			others [1000012@RXX] CPIS-H115`,
	} {
		t.Run(name, func(t *testing.T) {
			raw, err := os.ReadFile(filepath.Join("testdata", "shapes", name+".hl7"))
			if err != nil {
				t.Fatal(err)
			}
			m, err := hl7.Parse(raw)
			if err != nil {
				t.Fatal(err)
			}
			r, err := one(m, ed)
			if err != nil {
				t.Fatal(err)
			}
			if got, want := describe(r), strings.Join(strings.Fields(want), " "); got != want {
				t.Errorf("read  %s\nwant  %s", got, want)
			}
		})
	}
}

// describe writes down all that was read.
func describe(r schemas.Registration) string {
	or := func(s string) string {
		if s == "" {
			return `""`
		}
		return s
	}
	p, e := r.Person, r.Evidence
	out := fmt.Sprintf("%s %s %s %s %s,%s %s %s %s %s", r.Event, r.Class, or(p.Number.Reveal()), r.NumberStatus, p.FamilyName, p.GivenNames, or(string(p.DateOfBirth)), p.Sex, or(p.Postcode), or(p.LocalID))
	add := func(yes bool, format string, args ...any) {
		if yes {
			out += fmt.Sprintf(format, args...)
		}
	}
	add(r.VisitNumber != "", " visit %s", r.VisitNumber)
	out += " at " + r.OccurredSource
	add(r.Link != "", " %s retires %s", r.Link, r.Retired.Number.Reveal()+r.Retired.LocalID)
	add(e.OperatorSource != "", " operator %s %s;", e.OperatorID, e.OperatorName)
	add(e.MotherSource != "", " mother %s by %s;", e.Mother.Number.Reveal(), e.MotherSource)
	add(e.BirthOrder != "", " born %s;", e.BirthOrder)
	add(len(e.Newborn) > 0, " newborn %v;", e.Newborn)
	add(len(e.Pregnancy) > 0, " pregnant %v", e.Pregnancy)
	add(len(e.Aliases) > 0, " aliases %v", e.Aliases)
	add(len(e.Identifiers) > 0, " others %v", e.Identifiers)
	add(len(r.Marks) > 0, " %s", strings.Join(r.Marks, " "))
	return strings.Join(strings.Fields(out), " ")
}
