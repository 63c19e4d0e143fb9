package schemas

import (
	"errors"
	"fmt"
	"reflect"
)

// ErrSealed means that sealed bytes do not open: they were changed, moved to
// another record, or sealed with a key this process does not hold. It wraps
// ErrInvalid.
var ErrSealed = fmt.Errorf("sealed part does not open: %w", ErrInvalid)

// Schemas of what travels sealed inside a record.
const (
	personSchema   = "person"
	detailsSchema  = "details"
	evidenceSchema = "evidence"
	accessSchema   = "access"
)

// sealedSchema is a schema of sealed bytes with all its released versions. The
// version travels as the first sealed byte, so opening needs no registry.
type sealedSchema struct {
	versions []*compiled // index is the version less one
}

func sealedSchemas() (map[string]*sealedSchema, error) {
	out := map[string]*sealedSchema{}
	for _, name := range []string{personSchema, detailsSchema, evidenceSchema, accessSchema} {
		texts, err := Released(name)
		if err != nil {
			return nil, err
		}
		s := &sealedSchema{}
		for _, text := range texts {
			c, err := compile(text)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			s.versions = append(s.versions, c)
		}
		out[name] = s
	}
	return out, nil
}

func (s *sealedSchema) newest() *compiled { return s.versions[len(s.versions)-1] }

// associated binds sealed bytes to the record they belong to, so that they
// open nowhere else.
func associated(t Topic, schema, id string) []byte {
	return fmt.Appendf(nil, "%s\x00%s\x00%s", t, schema, id)
}

func (k *Keyring) seal(t Topic, schema, id string, value any) ([]byte, error) {
	s := k.inner[schema]
	plain, err := s.newest().append([]byte{byte(len(s.versions))}, value)
	if err != nil {
		return nil, fmt.Errorf("seal %s: %w", schema, err)
	}
	sealed, err := k.person.Encrypt(plain, associated(t, schema, id))
	if err != nil {
		return nil, fmt.Errorf("seal %s: %w", schema, err)
	}
	return sealed, nil
}

func (k *Keyring) open(t Topic, schema, id string, sealed []byte, value any) error {
	plain, err := k.person.Decrypt(sealed, associated(t, schema, id))
	if err != nil {
		return fmt.Errorf("open %s: %w", schema, ErrSealed)
	}
	s := k.inner[schema]
	if len(plain) == 0 || plain[0] == 0 || int(plain[0]) > len(s.versions) {
		return fmt.Errorf("open %s: %w: unknown version", schema, ErrInvalid)
	}
	if err := s.versions[plain[0]-1].read(plain[1:], s.newest().node, value); err != nil {
		return fmt.Errorf("open %s: %w", schema, err)
	}
	return nil
}

// SealPerson seals who a record of a topic is about; id is the record's event
// id, or its key where the topic is compacted.
func (k *Keyring) SealPerson(t Topic, id string, p Person) ([]byte, error) {
	return k.seal(t, personSchema, id, openedPerson(p))
}

// OpenPerson opens what SealPerson sealed for the same topic and id.
func (k *Keyring) OpenPerson(t Topic, id string, sealed []byte) (Person, error) {
	var f personFields
	if err := k.open(t, personSchema, id, sealed, &f); err != nil {
		return Person{}, err
	}
	return f.person()
}

// SealDetails seals the details of one outcome; its audit record carries the
// same bytes.
func (k *Keyring) SealDetails(outcomeID string, d Details) ([]byte, error) {
	return k.seal(TopicOutcome, detailsSchema, outcomeID, detailsFields{openedPerson(d.Person), d.Plans, d.Pattern})
}

// OpenDetails opens what SealDetails sealed.
func (k *Keyring) OpenDetails(outcomeID string, sealed []byte) (Details, error) {
	var f detailsFields
	if err := k.open(TopicOutcome, detailsSchema, outcomeID, sealed, &f); err != nil {
		return Details{}, err
	}
	p, err := f.Person.person()
	return Details{p, f.Plans, f.Pattern}, err
}

// SealEvidence seals what a registration says beside who the person is; id is
// its event id.
func (k *Keyring) SealEvidence(id string, e Evidence) ([]byte, error) {
	m := e.Mother
	return k.seal(TopicRegistration, evidenceSchema, id, evidenceFields{e.OperatorID, e.OperatorName, e.OperatorSource,
		m.Number.Reveal(), m.LocalID, m.FamilyName, e.MotherSource, e.BirthOrder, e.Pregnancy, e.Newborn, e.Aliases, e.Identifiers, e.ResponsibleName, e.ResponsibleRole})
}

// OpenEvidence opens what SealEvidence sealed.
func (k *Keyring) OpenEvidence(id string, sealed []byte) (Evidence, error) {
	var f evidenceFields
	if err := k.open(TopicRegistration, evidenceSchema, id, sealed, &f); err != nil {
		return Evidence{}, err
	}
	mother, err := personFields{Number: f.MotherNumber, FamilyName: f.MotherName, LocalID: f.MotherLocalID}.person()
	return Evidence{f.OperatorID, f.OperatorName, f.OperatorSource, mother, f.MotherSource, f.BirthOrder,
		f.Pregnancy, f.Newborn, f.Aliases, f.Identifiers, f.ResponsibleName, f.ResponsibleRole}, err
}

// SealAccess seals the access of a record of a topic; id is the record's.
func (k *Keyring) SealAccess(t Topic, id string, a Access) ([]byte, error) {
	return k.seal(t, accessSchema, id, a)
}

// OpenAccess opens what SealAccess sealed.
func (k *Keyring) OpenAccess(t Topic, id string, sealed []byte) (Access, error) {
	var a Access
	err := k.open(t, accessSchema, id, sealed, &a)
	return a, err
}

// SealParcel seals a part of a parcel; id names upload, kind and part.
func (k *Keyring) SealParcel(id string, raw []byte) ([]byte, error) {
	return k.person.Encrypt(raw, associated(TopicParcel, "raw", id))
}

// OpenParcel opens what SealParcel sealed.
func (k *Keyring) OpenParcel(id string, sealed []byte) ([]byte, error) {
	raw, err := k.person.Decrypt(sealed, associated(TopicParcel, "raw", id))
	if err != nil {
		return nil, fmt.Errorf("open parcel: %w", ErrSealed)
	}
	return raw, nil
}

// SealRaw seals bytes as received for the quarantine.
func (k *Keyring) SealRaw(id string, raw []byte) ([]byte, error) {
	return k.person.Encrypt(raw, associated(TopicDeadLetter, "raw", id))
}

// OpenRaw opens what SealRaw sealed.
func (k *Keyring) OpenRaw(id string, sealed []byte) ([]byte, error) {
	raw, err := k.person.Decrypt(sealed, associated(TopicDeadLetter, "raw", id))
	if err != nil {
		return nil, fmt.Errorf("open quarantined bytes: %w", ErrSealed)
	}
	return raw, nil
}

// personFields is a Person as it is written just before sealing: the one type
// whose number is plain text, and it never leaves this file.
type personFields struct {
	Number      string `avro:"nhs_number"`
	FamilyName  string `avro:"family_name"`
	GivenNames  string `avro:"given_names"`
	DateOfBirth Date   `avro:"date_of_birth"`
	Sex         string `avro:"sex"`
	Postcode    string `avro:"postcode"`
	LocalID     string `avro:"local_id"`
	OtherNames  string `avro:"other_names"`
}

// evidenceFields is an Evidence as it is written just before sealing.
type evidenceFields struct {
	OperatorID     string   `avro:"operator_id"`
	OperatorName   string   `avro:"operator_name"`
	OperatorSource string   `avro:"operator_source"`
	MotherNumber   string   `avro:"mother_number"`
	MotherLocalID  string   `avro:"mother_local_id"`
	MotherName     string   `avro:"mother_name"`
	MotherSource   string   `avro:"mother_source"`
	BirthOrder     string   `avro:"birth_order"`
	Pregnancy      []string `avro:"pregnancy"`
	Newborn        []string `avro:"newborn"`
	Aliases        []string `avro:"aliases"`
	Identifiers    []string `avro:"identifiers"`

	ResponsibleName string `avro:"responsible_name"`
	ResponsibleRole string `avro:"responsible_role"`
}

type detailsFields struct {
	Person  personFields `avro:"person"`
	Plans   []Plan       `avro:"plans"`
	Pattern Pattern      `avro:"pattern"`
}

func openedPerson(p Person) personFields {
	return personFields{p.Number.Reveal(), p.FamilyName, p.GivenNames, p.DateOfBirth, p.Sex, p.Postcode, p.LocalID, p.OtherNames}
}

func (f personFields) person() (Person, error) {
	p := Person{FamilyName: f.FamilyName, GivenNames: f.GivenNames, DateOfBirth: f.DateOfBirth, Sex: f.Sex, Postcode: f.Postcode, LocalID: f.LocalID, OtherNames: f.OtherNames}
	if f.Number == "" {
		return p, nil
	}
	n, err := ParseNHSNumber(f.Number)
	if err != nil {
		return Person{}, fmt.Errorf("open person: %w", errors.Join(ErrInvalid, err))
	}
	p.Number = n
	return p, nil
}

// sealedTypes pairs each sealed schema with the Go type that is written to it.
func sealedTypes() map[string]reflect.Type {
	return map[string]reflect.Type{personSchema: reflect.TypeFor[personFields](), detailsSchema: reflect.TypeFor[detailsFields](),
		evidenceSchema: reflect.TypeFor[evidenceFields](), accessSchema: reflect.TypeFor[Access]()}
}
