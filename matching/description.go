package matching

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"strings"

	"cpis/matching/compare"
	"cpis/matching/index"
	"cpis/matching/weigh"
	"cpis/schemas"
)

// Pseudonyms turns what people are known by into pseudonyms. Safe for
// concurrent use.
type Pseudonyms interface {
	SubjectRef(schemas.NHSNumber) schemas.SubjectRef
	Block(text string) [16]byte
	// FormerRefs and FormerBlocks are those of earlier keys: what was written with
	// them is still to be found.
	FormerRefs(schemas.NHSNumber) []schemas.SubjectRef
	FormerBlocks(text string) [][16]byte
}

// Describer gives the descriptions of an indicator: under each block, whom it
// is about and when its plan is shown.
type Describer struct {
	Keys Pseudonyms
	Open func(value []byte) (schemas.Indicator, error)
}

// Describe is an index.Describe.
func (d Describer) Describe(_, value []byte) ([]index.Description, error) {
	i, err := d.Open(value)
	if err != nil || i.Withdrawn { // taken back: nobody is described
		return nil, err
	}
	records := described(i.Person, otherNames(i.Person))
	plain, err := appendDescription(nil, i, records)
	if err != nil {
		return nil, err
	}
	var out []index.Description
	for _, b := range weigh.Blocks(records) {
		out = append(out, index.Description{Block: d.Keys.Block(b), Value: plain})
	}
	return out, nil
}

// Touched are the names under which registrations watch for a change of an
// indicator: its subject, and the blocks of whom it is about. A record that
// takes a plan back names its subject alone.
func (d Describer) Touched(key, value []byte) []string {
	parts := strings.Split(string(key), "/")
	if len(parts) != 3 {
		return nil // the index complains of it
	}
	out := []string{parts[1]}
	if value == nil {
		return out
	}
	described, err := d.Describe(key, value)
	if err != nil {
		return out
	}
	for _, b := range described {
		out = append(out, hex.EncodeToString(b.Block[:]))
	}
	return out
}

// otherNames are the further names of a person.
func otherNames(p schemas.Person) []string {
	if p.OtherNames == "" {
		return nil
	}
	return strings.Split(p.OtherNames, ";")
}

// description is what the index holds about a protected person for those who
// are registered without a number.
type description struct {
	subject schemas.SubjectRef
	plan    schemas.Indicator // its type and dates
	records []weigh.Record
}

const descriptionVersion = 1

var errDescription = errors.New("a description does not have its form")

// appendDescription writes, in few bytes since there are several of each person:
//
//	byte     version 1
//	20 bytes subject: key id and pseudonym
//	byte     plan type: 0 CPP, 1 LAC, 2 UNBORN
//	4 × 4    plan start, plan end, expected date and date of birth, each as the
//	         number YYYYMMDD, big endian, 0 where there is none
//	byte     sex, M or F, else 0
//	text     postcode
//	byte     number of names, then for each: text given, text family, folded,
//	         with a space between words
//
// A text is a byte with its length, and the text.
func appendDescription(b []byte, i schemas.Indicator, records []weigh.Record) ([]byte, error) {
	id, ref, ok := strings.Cut(string(i.SubjectRef), "-")
	subject, err := hex.DecodeString(id + ref)
	if !ok || err != nil || len(subject) != 20 {
		return nil, errDescription
	}
	b = append(append(b, descriptionVersion), subject...)
	switch i.PlanType {
	case schemas.PlanChildProtection:
		b = append(b, 0)
	case schemas.PlanLookedAfter:
		b = append(b, 1)
	case schemas.PlanUnborn:
		b = append(b, 2)
	default:
		return nil, errDescription
	}
	first := records[0]
	for _, d := range []schemas.Date{i.PlanStart, i.PlanEnd, i.ExpectedDate, schemas.Date(first.Born)} {
		b = binary.BigEndian.AppendUint32(b, packed(d))
	}
	b = append(b, first.Sex)
	b = appendText(b, first.Postcode)
	b = append(b, byte(len(records)))
	for _, r := range records {
		b = appendText(b, strings.Join(r.Given.Words, " "))
		b = appendText(b, strings.Join(r.Family.Words, " "))
	}
	return b, nil
}

func appendText(b []byte, s string) []byte {
	s = s[:min(len(s), 255)]
	return append(append(b, byte(len(s))), s...)
}

// packed is a date as the number YYYYMMDD, 0 for none.
func packed(d schemas.Date) uint32 {
	if len(d) != len("2006-01-02") {
		return 0
	}
	n := uint32(0)
	for i := range len(d) {
		if c := d[i]; c >= '0' && c <= '9' {
			n = n*10 + uint32(c-'0')
		}
	}
	return n
}

func unpacked(n uint32) schemas.Date {
	if n == 0 {
		return ""
	}
	var d [10]byte
	for i := 9; i >= 0; i-- {
		if i == 4 || i == 7 {
			d[i] = '-'
			continue
		}
		d[i] = byte('0' + n%10)
		n /= 10
	}
	return schemas.Date(d[:])
}

// readDescription reads what appendDescription wrote.
func readDescription(b []byte) (description, error) {
	const fixed = 1 + 20 + 1 + 16 + 1
	if len(b) < fixed+2 || b[0] != descriptionVersion {
		return description{}, errDescription
	}
	d := description{subject: schemas.SubjectRef(hex.EncodeToString(b[1:5]) + "-" + hex.EncodeToString(b[5:21]))}
	d.plan.PlanType = [...]schemas.PlanType{schemas.PlanChildProtection, schemas.PlanLookedAfter, schemas.PlanUnborn}[min(b[21], 2)]
	date := func(i int) schemas.Date { return unpacked(binary.BigEndian.Uint32(b[22+4*i:])) }
	d.plan.PlanStart, d.plan.PlanEnd, d.plan.ExpectedDate = date(0), date(1), date(2)
	common := weigh.Record{Born: string(date(3)), Sex: b[38]}
	rest := b[fixed:]
	text := func() string {
		if len(rest) == 0 || len(rest) < int(rest[0])+1 {
			rest = nil
			return ""
		}
		s := string(rest[1 : rest[0]+1])
		rest = rest[rest[0]+1:]
		return s
	}
	common.Postcode = text()
	if len(rest) == 0 {
		return description{}, errDescription
	}
	n := int(rest[0])
	rest = rest[1:]
	for range n {
		r := common
		r.Given, r.Family = compare.NewName(words(text())), compare.NewName(words(text()))
		d.records = append(d.records, r)
	}
	if rest == nil || len(rest) > 0 || n == 0 {
		return description{}, errDescription
	}
	return d, nil
}

func words(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(s, " ")
}
