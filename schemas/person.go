package schemas

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"
)

// NHSNumber is a ten-digit NHS number whose check digit is right. The zero
// value means none. It prints as a mark, never as its digits: Reveal is the
// only way to them.
type NHSNumber struct{ digits string }

// Country says who issues numbers of this range.
type Country string

// Ranges are those of the NHS number standard; 9 is kept for tests.
const (
	England         Country = "ENGLAND"
	Scotland        Country = "SCOTLAND"
	NorthernIreland Country = "NORTHERN_IRELAND"
	Ireland         Country = "IRELAND"
	Unissued        Country = "UNISSUED"
	TestRange       Country = "TEST"
)

var (
	// ErrNotNHSNumber means that the text is not ten digits.
	ErrNotNHSNumber = errors.New("not a ten-digit number")
	// ErrCheckDigit means that the modulus 11 check digit is wrong.
	ErrCheckDigit = errors.New("wrong check digit")
)

// ParseNHSNumber reads ten digits, with spaces or hyphens between them, and
// checks the modulus 11 check digit: weights 10 to 2 over the first nine,
// 11 less the remainder, 11 counting as 0 and 10 as no number at all.
func ParseNHSNumber(text string) (NHSNumber, error) {
	var d [10]byte
	n := 0
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c >= '0' && c <= '9':
			if n == 10 {
				return NHSNumber{}, ErrNotNHSNumber
			}
			d[n] = c
			n++
		case c == ' ' || c == '-':
		default:
			return NHSNumber{}, ErrNotNHSNumber
		}
	}
	if n != 10 {
		return NHSNumber{}, ErrNotNHSNumber
	}
	sum := 0
	for i := range 9 {
		sum += int(d[i]-'0') * (10 - i)
	}
	if check := (11 - sum%11) % 11; check == 10 || check != int(d[9]-'0') {
		return NHSNumber{}, ErrCheckDigit
	}
	return NHSNumber{string(d[:])}, nil
}

// Reveal gives the ten digits. Call it only to seal, to hash with a key or to
// write a message to someone who may read it.
func (n NHSNumber) Reveal() string { return n.digits }

// IsZero reports whether there is no number.
func (n NHSNumber) IsZero() bool { return n.digits == "" }

// Country says which country's range the number lies in.
func (n NHSNumber) Country() Country {
	switch d := n.digits; {
	case d == "" || d >= "5" && d < "6":
		return Unissued
	case d >= "0100000000" && d < "3113000000":
		return Scotland
	case d >= "32" && d < "4":
		return NorthernIreland
	case d >= "4" && d < "5", d >= "6" && d < "8":
		return England
	case d >= "8" && d < "86":
		return Ireland
	case d >= "9":
		return TestRange
	}
	return Unissued
}

const redacted = "[redacted]"

func (n NHSNumber) String() string               { return redacted }
func (n NHSNumber) GoString() string             { return redacted }
func (n NHSNumber) Format(f fmt.State, _ rune)   { _, _ = f.Write([]byte(redacted)) }
func (n NHSNumber) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }
func (n NHSNumber) LogValue() slog.Value         { return slog.StringValue(redacted) }

// Person is who a registration or an indicator is about. It is held in memory
// for as long as it takes to match, travels only sealed, and redacts itself.
type Person struct {
	Number      NHSNumber
	FamilyName  string
	GivenNames  string // as sent, given names separated by spaces
	DateOfBirth Date   // never shifted by a time zone
	Sex         string // M, F, O or U; no match rests on it alone
	Postcode    string
	OtherNames  string // further names the person is or was known by, FAMILY^GIVEN, with ; between them
	LocalID     string // the sender's own number: hospital number or LA record id
}

func (p Person) String() string               { return redacted }
func (p Person) GoString() string             { return redacted }
func (p Person) Format(f fmt.State, _ rune)   { _, _ = f.Write([]byte(redacted)) }
func (p Person) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }
func (p Person) LogValue() slog.Value         { return slog.StringValue(redacted) }

// IsZero reports whether nothing at all is known.
func (p Person) IsZero() bool { return p == Person{} }

// Date is a civil date, "2026-01-09", or empty where none is known. Dates
// compare as text. A date of birth keeps no zone, so it cannot shift by one.
type Date string

// ParseDate reads a civil date written 2026-01-09.
func ParseDate(text string) (Date, error) {
	if _, err := time.Parse(time.DateOnly, text); err != nil {
		return "", fmt.Errorf("read date: want YYYY-MM-DD")
	}
	return Date(text), nil
}

// DateOf is the civil date of an instant in a place.
func DateOf(t time.Time, place *time.Location) Date { return Date(t.In(place).Format(time.DateOnly)) }

// AddDays moves a date by whole civil days; an empty date stays empty.
func (d Date) AddDays(n int) Date { return d.add(0, n) }

// AddYears moves a date by years; 29 February becomes 1 March.
func (d Date) AddYears(n int) Date { return d.add(n, 0) }

func (d Date) add(years, days int) Date {
	t, err := time.Parse(time.DateOnly, string(d))
	if err != nil {
		return ""
	}
	return Date(t.AddDate(years, 0, days).Format(time.DateOnly))
}

// Words writes the date as staff read it: 9 January 2026.
func (d Date) Words() string {
	t, err := time.Parse(time.DateOnly, string(d))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(t.Format("2 January 2006"))
}
