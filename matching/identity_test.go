package matching

import (
	"testing"

	"cpis/matching/weigh"
	"cpis/schemas"
)

func record(p schemas.Person) weigh.Record { return described(p, nil)[0] }

// TestWhoseNumberItIs is the decision table of a verified number, row by row:
// whose it may be, and whose it is not.
func TestWhoseNumberItIs(t *testing.T) {
	held := schemas.Person{FamilyName: "Example", GivenNames: "Ada Mary", DateOfBirth: "2019-08-07", Sex: "F", Postcode: "ZZ1 1AA"}
	at := func(postcode string, p schemas.Person) schemas.Person { p.Postcode = postcode; return p }
	person := func(given, family, born, sex string) schemas.Person {
		return schemas.Person{GivenNames: given, FamilyName: family, DateOfBirth: schemas.Date(born), Sex: sex}
	}
	for name, c := range map[string]struct {
		sent     schemas.Person
		conflict bool
	}{
		"the same":                              {held, false},
		"only the number":                       {schemas.Person{}, false},
		"in capitals, no second name":           {person("ADA", "EXAMPLE", "2019-08-07", "F"), false},
		"by the second name":                    {person("Mary", "Example", "2019-08-07", "F"), false},
		"an initial":                            {person("A", "Example", "2019-08-07", "F"), false},
		"a name mistyped":                       {person("Aad Mary", "Example", "2019-08-07", "F"), false},
		"both names mistyped":                   {person("Aad Mary", "Exampel", "2019-08-07", "F"), true},
		"both mistyped, of the same place":      {at("ZZ1 1AA", person("Aad Mary", "Exampel", "2019-08-07", "F")), false},
		"a name mistyped, of another place":     {at("AA1 1AA", person("Ada Mary", "Exampel", "2019-08-07", "F")), true},
		"the other parent's name, moved":        {at("AA1 1AA", person("Ada", "Sample", "2019-08-07", "F")), false},
		"the other parent's family name":        {person("Ada", "Sample", "2019-08-07", "F"), false},
		"no given name yet":                     {person("Baby", "Example", "2019-08-07", "F"), false},
		"no names":                              {person("", "", "2019-08-07", "F"), false},
		"no date of birth":                      {person("Ada", "Example", "", "F"), false},
		"sex wrong, name right":                 {person("Ada Mary", "Example", "2019-08-07", "M"), false},
		"day and month swapped":                 {person("Ada", "Example", "2019-07-08", "F"), false},
		"a digit of the date wrong":             {person("Ada", "Example", "2019-08-01", "F"), false},
		"the twin":                              {person("Ava Rose", "Example", "2019-08-07", "F"), true},
		"the twin brother":                      {person("Jack", "Example", "2019-08-07", "M"), true},
		"the twin with the second name":         {person("Eva Mary", "Example", "2019-08-07", "F"), true},
		"a sister":                              {person("Eve", "Example", "2017-03-30", "F"), true},
		"a sister born on the same day of year": {person("Eve", "Example", "2017-08-07", "F"), true},
		"a namesake of another age":             {person("Ada Mary", "Example", "2012-01-20", "F"), true},
		"a stranger of the same birthday":       {person("Zoe", "Other", "2019-08-07", "F"), true},
		"no given name, another family":         {person("Baby", "Other", "2019-08-07", "F"), true},
		"no date, another family":               {person("Ada", "Other", "", "F"), true},
		"a slip in the date, another name":      {person("Eve", "Example", "2019-07-08", "F"), true},
		"a slip in the date, no name":           {person("", "Example", "2019-07-08", "F"), true},
		"a slip in the date, another family":    {person("Ada", "Other", "2019-07-08", "F"), true},
	} {
		if got := conflict(record(held), record(c.sent)); got != c.conflict {
			t.Errorf("%s: conflict %v (%+v)", name, got, agree(record(held), record(c.sent)))
		}
	}
	boy := schemas.Person{FamilyName: "Example", GivenNames: "Daniel", DateOfBirth: "2019-08-07", Sex: "M"}
	if !conflict(record(boy), record(person("Danielle", "Example", "2019-08-07", "F"))) {
		t.Error("twins with like names and other sexes are one")
	}
}

// TestOtherNamesCount: a child is registered under one name and known to the
// authority by another, which the hospital knows too.
func TestOtherNamesCount(t *testing.T) {
	held := schemas.Person{FamilyName: "Former", GivenNames: "Ada", DateOfBirth: "2019-07-08"}
	r := schemas.Registration{Person: schemas.Person{FamilyName: "Example", GivenNames: "Ada", DateOfBirth: "2019-08-07"}}
	if !Disagree(described(held, nil), described(r.Person, r.Evidence.Aliases)) {
		t.Error("another family name and date agree")
	}
	r.Evidence.Aliases = []string{"Sample^Ada", "Former^"}
	if Disagree(described(held, nil), described(r.Person, r.Evidence.Aliases)) {
		t.Error("the former name does not count")
	}
}
