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
	rawSchema      = "raw" // bytes as received, which have none
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

func (k *Keyring) seal(keys string, t Topic, schema, id string, value any) ([]byte, error) {
	s := k.inner[schema]
	plain, err := s.newest().append([]byte{byte(len(s.versions))}, value)
	if err != nil {
		return nil, fmt.Errorf("seal %s: %w", schema, err)
	}
	sealed, err := k.encrypt(keys, plain, associated(t, schema, id))
	if err != nil {
		return nil, fmt.Errorf("seal %s: %w", schema, err)
	}
	return sealed, nil
}

func (k *Keyring) open(keys string, t Topic, schema, id string, sealed []byte, value any) error {
	plain, err := k.unseal(keys, t, schema, id, sealed)
	if err != nil {
		return err
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

func (k *Keyring) unseal(keys string, t Topic, schema, id string, sealed []byte) ([]byte, error) {
	plain, err := k.decrypt(keys, sealed, associated(t, schema, id))
	switch {
	case errors.Is(err, ErrDestroyed):
		return nil, fmt.Errorf("open %s: %w", schema, err)
	case err != nil:
		return nil, fmt.Errorf("open %s: %w", schema, ErrSealed)
	}
	return plain, nil
}

// ownedBy names the keys of what an authority owns; of what none does, those of what it
// is.
func ownedBy(owner AuthorityCode, otherwise string) string {
	if owner == "" {
		return otherwise
	}
	return AuthorityKeys(owner)
}

// SealPerson seals who a record of a topic is about; id is the record's event
// id, or its key where the topic is compacted. owner is the authority whose keys seal
// it: empty for a registration, which is nobody's.
func (k *Keyring) SealPerson(t Topic, owner AuthorityCode, id string, p Person) ([]byte, error) {
	return k.seal(ownedBy(owner, KeysRegistration), t, personSchema, id, openedPerson(p))
}

// OpenPerson opens what SealPerson sealed for the same topic, owner and id.
func (k *Keyring) OpenPerson(t Topic, owner AuthorityCode, id string, sealed []byte) (Person, error) {
	var f personFields
	if err := k.open(ownedBy(owner, KeysRegistration), t, personSchema, id, sealed, &f); err != nil {
		return Person{}, err
	}
	return f.person()
}

// SealEvidence seals what a registration says beside who the person is; id is
// its event id.
func (k *Keyring) SealEvidence(id string, e Evidence) ([]byte, error) {
	m := e.Mother
	return k.seal(KeysRegistration, TopicRegistration, evidenceSchema, id, evidenceFields{e.OperatorID, e.OperatorName, e.OperatorSource,
		m.Number.Reveal(), m.LocalID, m.FamilyName, e.MotherSource, e.BirthOrder, e.Pregnancy, e.Newborn, e.Aliases, e.Identifiers, e.ResponsibleName, e.ResponsibleRole, e.Restricted, e.Location})
}

// OpenEvidence opens what SealEvidence sealed.
func (k *Keyring) OpenEvidence(id string, sealed []byte) (Evidence, error) {
	var f evidenceFields
	if err := k.open(KeysRegistration, TopicRegistration, evidenceSchema, id, sealed, &f); err != nil {
		return Evidence{}, err
	}
	mother, err := personFields{Number: f.MotherNumber, FamilyName: f.MotherName, LocalID: f.MotherLocalID}.person()
	return Evidence{f.OperatorID, f.OperatorName, f.OperatorSource, mother, f.MotherSource, f.BirthOrder,
		f.Pregnancy, f.Newborn, f.Aliases, f.Identifiers, f.ResponsibleName, f.ResponsibleRole, f.Restricted, f.Location}, err
}

// SealAccess seals the access of a record of a topic; id is the record's. owner is the
// authority whose keys seal it, empty for who looked or acted.
func (k *Keyring) SealAccess(t Topic, owner AuthorityCode, id string, a Access) ([]byte, error) {
	return k.seal(ownedBy(owner, KeysActor), t, accessSchema, id, a)
}

// OpenAccess opens what SealAccess sealed.
func (k *Keyring) OpenAccess(t Topic, owner AuthorityCode, id string, sealed []byte) (Access, error) {
	var a Access
	err := k.open(ownedBy(owner, KeysActor), t, accessSchema, id, sealed, &a)
	return a, err
}

// SealParcel seals a part of an authority's parcel; id names upload, kind and part.
func (k *Keyring) SealParcel(owner AuthorityCode, id string, raw []byte) ([]byte, error) {
	return k.encrypt(AuthorityKeys(owner), raw, associated(TopicParcel, rawSchema, id))
}

// OpenParcel opens what SealParcel sealed.
func (k *Keyring) OpenParcel(owner AuthorityCode, id string, sealed []byte) ([]byte, error) {
	return k.unseal(AuthorityKeys(owner), TopicParcel, rawSchema, id, sealed)
}

// SealRaw seals bytes as received for the quarantine; owner is the authority that sent
// them, if one did.
func (k *Keyring) SealRaw(owner AuthorityCode, id string, raw []byte) ([]byte, error) {
	return k.encrypt(ownedBy(owner, KeysQuarantine), raw, associated(TopicDeadLetter, rawSchema, id))
}

// OpenRaw opens what SealRaw sealed.
func (k *Keyring) OpenRaw(owner AuthorityCode, id string, sealed []byte) ([]byte, error) {
	return k.unseal(ownedBy(owner, KeysQuarantine), TopicDeadLetter, rawSchema, id, sealed)
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
	Restricted      bool   `avro:"restricted"`
	Location        string `avro:"location"`
}

type detailsFields struct {
	Person  personFields `avro:"person"`
	Plans   []Plan       `avro:"plans"`
	Pattern Pattern      `avro:"pattern"`

	Restricted bool `avro:"restricted"`
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
