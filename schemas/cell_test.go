package schemas

import (
	"strings"
	"testing"
)

func TestSpreadsheetsTakeNothingForAFormula(t *testing.T) {
	for in, want := range map[string]string{"=1+1": "'=1+1", "@x": "'@x", "＝1": "'＝1", "-1": "'-1", "C. Nurse": "C. Nurse", "": ""} {
		if got := SafeCell(in); got != want {
			t.Errorf("%q: %q", in, got)
		}
	}
}

func FuzzSafeCell(f *testing.F) {
	for _, s := range []string{"=1+1", "+44", "-1", "@SUM(A1)", "\t=1", "\r=1", "\x00", "＝1", "＠x", "'=1", "plain", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := SafeCell(s)
		if got != s && got != "'"+s {
			t.Errorf("%q became %q", s, got)
		}
		for _, start := range []string{"=", "+", "-", "@", "\t", "\r", "\x00", "＝", "＋", "－", "＠"} {
			if strings.HasPrefix(got, start) {
				t.Errorf("%q begins a formula", got)
			}
		}
	})
}
