package schemas

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
)

// The details of an answer travel in parts, so that each authority's can be destroyed
// with its keys:
//
//	0x00 │ parts uvarint │ for each: owner text │ sealed bytes
//
// A text or bytes is its length as uvarint and itself. The first part says who it is
// about; it is sealed with the keys of every authority concerned, one after the other in
// the order of their codes, so that it goes with any of them. Each further part is one
// plan, sealed with the keys of its owner.
const detailsForm = 0x00

// maxParts bounds the parts: more plans than anybody has.
const maxParts = 256

// SealDetails seals the details of one outcome; its audit record carries the
// same bytes.
func (k *Keyring) SealDetails(outcomeID string, d Details) ([]byte, error) {
	if len(d.Plans) == 0 || len(d.Plans) >= maxParts {
		return nil, fmt.Errorf("seal details: %w: %d plans", ErrInvalid, len(d.Plans))
	}
	owners := ownersOf(d.Plans)
	who, err := k.seal(AuthorityKeys(owners[0]), TopicOutcome, detailsSchema, partOf(outcomeID, 0), detailsFields{Person: openedPerson(d.Person), Pattern: d.Pattern, Restricted: d.Restricted})
	for i := 1; err == nil && i < len(owners); i++ {
		who, err = k.encrypt(AuthorityKeys(owners[i]), who, associated(TopicOutcome, rawSchema, partOf(outcomeID, -i)))
	}
	if err != nil {
		return nil, fmt.Errorf("seal details: %w", err)
	}
	out := binary.AppendUvarint([]byte{detailsForm}, uint64(len(d.Plans)+1))
	out = appendPart(out, "", who)
	for i, p := range d.Plans {
		part, err := k.seal(AuthorityKeys(p.Authority), TopicOutcome, detailsSchema, partOf(outcomeID, i+1), detailsFields{Plans: []Plan{p}})
		if err != nil {
			return nil, err
		}
		out = appendPart(out, string(p.Authority), part)
	}
	return out, nil
}

// OpenDetails opens what SealDetails sealed. Plans whose authority's keys were destroyed
// are left out, and so is who it is about; where none is left it is ErrDestroyed.
func (k *Keyring) OpenDetails(outcomeID string, sealed []byte) (Details, error) {
	owners, parts, err := readParts(sealed)
	if err != nil {
		return Details{}, fmt.Errorf("open details: %w", err)
	}
	var d Details
	var all []AuthorityCode
	for i := 1; i < len(parts); i++ {
		all = append(all, owners[i])
		var f detailsFields
		err := k.open(AuthorityKeys(owners[i]), TopicOutcome, detailsSchema, partOf(outcomeID, i), parts[i], &f)
		switch {
		case errors.Is(err, ErrDestroyed):
		case err != nil:
			return Details{}, err
		case len(f.Plans) != 1 || f.Plans[0].Authority != owners[i]:
			return Details{}, fmt.Errorf("open details: %w: a part is not its owner's plan", ErrInvalid)
		default:
			d.Plans = append(d.Plans, f.Plans[0])
		}
	}
	if len(d.Plans) == 0 {
		return Details{}, fmt.Errorf("open details: %w", ErrDestroyed)
	}
	slices.Sort(all)
	all = slices.Compact(all)
	who := parts[0]
	for i := len(all) - 1; err == nil && i > 0; i-- {
		who, err = k.unseal(AuthorityKeys(all[i]), TopicOutcome, rawSchema, partOf(outcomeID, -i), who)
	}
	var f detailsFields
	if err == nil {
		err = k.open(AuthorityKeys(all[0]), TopicOutcome, detailsSchema, partOf(outcomeID, 0), who, &f)
	}
	if errors.Is(err, ErrDestroyed) {
		d.Restricted = true // whether it is nobody can tell any more
		return d, nil
	}
	if err != nil {
		return Details{}, err
	}
	d.Pattern, d.Restricted = f.Pattern, f.Restricted
	d.Person, err = f.Person.person()
	return d, err
}

// Withheld is what stands in place of an authority's number where its name is withheld.
const Withheld = "your safeguarding lead"

// Shown are the plans as they are shown: of somebody restricted without a word of whose
// they are, but to those who may see what is withheld.
func (d Details) Shown(hidden bool) []Plan {
	if !d.Restricted || hidden {
		return d.Plans
	}
	var out []Plan
	for _, p := range d.Plans {
		out = append(out, Plan{PlanType: p.PlanType, PlanStart: p.PlanStart, PlanEnd: p.PlanEnd, ExpectedDate: p.ExpectedDate, ShownUntil: p.ShownUntil, RingNow: Withheld})
	}
	return out
}

func ownersOf(plans []Plan) []AuthorityCode {
	var out []AuthorityCode
	for _, p := range plans {
		out = append(out, p.Authority)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// partOf names a part: 0 who it is about, from 1 a plan, below 0 a further seal of who
// it is about.
func partOf(outcomeID string, part int) string { return fmt.Sprintf("%s/%d", outcomeID, part) }

func appendPart(b []byte, owner string, sealed []byte) []byte {
	b = append(binary.AppendUvarint(b, uint64(len(owner))), owner...)
	return append(binary.AppendUvarint(b, uint64(len(sealed))), sealed...)
}

var errParts = fmt.Errorf("%w: sealed details do not have their form", ErrSealed)

func readParts(b []byte) (owners []AuthorityCode, parts [][]byte, err error) {
	if len(b) == 0 || b[0] != detailsForm {
		return nil, nil, errParts
	}
	b = b[1:]
	number := func() (n uint64) {
		n, size := binary.Uvarint(b)
		if size <= 0 {
			err = errParts
			return 0
		}
		b = b[size:]
		return n
	}
	bytes := func() []byte {
		n := number()
		if n > uint64(len(b)) {
			err = errParts
			return nil
		}
		out := b[:n]
		b = b[n:]
		return out
	}
	for n := number(); err == nil && uint64(len(parts)) < n && n <= maxParts; {
		owners, parts = append(owners, AuthorityCode(bytes())), append(parts, bytes())
	}
	if err != nil || len(parts) < 2 || len(b) > 0 {
		return nil, nil, errParts
	}
	return owners, parts, nil
}
