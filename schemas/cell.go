package schemas

import "strings"

// formulaStarts are what makes a spreadsheet take a cell for a formula (OWASP ASVS), in
// full width too.
const formulaStarts = "=+-@\t\r\x00＝＋－＠"

// SafeCell is a cell that no spreadsheet takes for a formula.
func SafeCell(s string) string {
	if strings.IndexAny(s, formulaStarts) == 0 {
		return "'" + s
	}
	return s
}
