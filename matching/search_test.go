package matching

import (
	"context"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"cpis/matching/weigh"
	"cpis/schemas"
)

// cpp shares a child protection plan about somebody.
func (w *world) cpp(p schemas.Person) {
	w.share(schemas.Indicator{Authority: "E06A", PlanType: schemas.PlanChildProtection, PlanStart: "2026-01-01", Version: 1, Person: p})
}

// TestSomebodyWithoutANumber is looked for by what is known of them, and never
// told more than that the number must be traced.
func TestSomebodyWithoutANumber(t *testing.T) {
	w := newWorld(t)
	zoe := schemas.Person{Number: number(t, "9990000018"), FamilyName: "Quillfeather", GivenNames: "Zoë Marigold", DateOfBirth: "2019-08-07", Sex: "F", Postcode: "ZZ1 1AA", OtherNames: "Featherquill^Zola"}
	jo := schemas.Person{Number: number(t, "9990000042"), FamilyName: "Smith", GivenNames: "Olivia", DateOfBirth: "2018-05-16", Sex: "F"}
	ended := schemas.Person{Number: number(t, "9990000050"), FamilyName: "Underhill", GivenNames: "Peregrin", DateOfBirth: "2015-01-02", Sex: "M", Postcode: "ZZ2 2BB"}
	w.cpp(zoe)
	w.cpp(jo)
	w.share(schemas.Indicator{Authority: "E06A", PlanType: schemas.PlanLookedAfter, PlanStart: "2020-01-01", PlanEnd: "2024-01-01", Version: 1, Person: ended})
	w.settle(schemas.Registration{Person: zoe})
	without := func(change func(*schemas.Person)) schemas.Registration {
		p := zoe
		p.Number, p.OtherNames = schemas.NHSNumber{}, ""
		change(&p)
		return schemas.Registration{Person: p, NumberStatus: schemas.NumberAbsent}
	}
	of := func(p schemas.Person) schemas.Registration {
		p.Number = schemas.NHSNumber{}
		return schemas.Registration{Person: p, NumberStatus: schemas.NumberAbsent}
	}
	possible, absent := [2]string{"POSSIBLE", "DETAILS_MAY_AGREE"}, [2]string{"NOT_CHECKED", "NUMBER_ABSENT"}
	for name, c := range map[string]struct {
		r    schemas.Registration
		want [2]string
	}{
		"the same":                      {without(func(*schemas.Person) {}), [2]string{"POSSIBLE", "DETAILS_AGREE"}},
		"as another name has it":        {without(func(p *schemas.Person) { p.FamilyName, p.GivenNames = "Featherquill", "Zola" }), [2]string{"POSSIBLE", "DETAILS_AGREE"}},
		"day and month swapped":         {without(func(p *schemas.Person) { p.DateOfBirth = "2019-07-08" }), [2]string{"POSSIBLE", "DETAILS_AGREE"}},
		"names swapped":                 {without(func(p *schemas.Person) { p.GivenNames, p.FamilyName = p.FamilyName, p.GivenNames }), possible},
		"moved":                         {without(func(p *schemas.Person) { p.Postcode = "AA9 9AA" }), [2]string{"POSSIBLE", "DETAILS_AGREE"}},
		"only the family and the place": {without(func(p *schemas.Person) { p.GivenNames, p.DateOfBirth = "", "" }), possible},
		"a brother":                     {without(func(p *schemas.Person) { p.GivenNames, p.DateOfBirth, p.Sex = "Orlando", "2016-02-01", "M" }), absent},
		"somebody else":                 {without(func(p *schemas.Person) { p.GivenNames, p.FamilyName, p.Postcode = "Bertha", "Wimbleton", "AA9 9AA" }), absent},
		"a name alone":                  {of(schemas.Person{GivenNames: "Olivia", FamilyName: "Smith"}), [2]string{"NOT_CHECKED", "TOO_LITTLE"}},
		"nothing":                       {schemas.Registration{NumberStatus: schemas.NumberAbsent}, [2]string{"NOT_CHECKED", "TOO_LITTLE"}},
		"a common name, same birthday":  {of(jo), possible},
		"a plan no more shown":          {of(ended), absent},
		"wrong check digit":             {schemas.Registration{Person: without(func(*schemas.Person) {}).Person, NumberStatus: schemas.NumberInvalid}, [2]string{"POSSIBLE", "DETAILS_AGREE"}},
	} {
		d := w.decide(c.r)
		if got := [2]string{string(d.State), string(d.Reason)}; got != c.want || len(d.Plans) > 0 || d.Subject != "" {
			_, steps := w.matcher.Explain(context.Background(), c.r)
			t.Errorf("%s: %v, want %v\n%v", name, got, c.want, steps)
		}
	}
	w.matcher.config.ByDetails = true
	if d := w.decide(without(func(*schemas.Person) {})); d.State != schemas.StateIndicator || len(d.Plans) != 1 || d.Subject != w.keys.SubjectRef(zoe.Number) {
		t.Errorf("switched on: %+v", d)
	}
	if d := w.decide(of(jo)); d.State != schemas.StatePossible {
		t.Errorf("switched on, a common name: %+v", d)
	}
}

// TestASecondDescriptionHelps: the authority has a child under another family
// name and at another place; once a hospital has registered them under their
// number, they are recognised without it.
func TestASecondDescriptionHelps(t *testing.T) {
	w := newWorld(t)
	zoe := schemas.Person{Number: number(t, "9990000018"), FamilyName: "Quillfeather", GivenNames: "Zoë", DateOfBirth: "2019-08-07", Sex: "F", Postcode: "ZZ1 1AA"}
	w.cpp(zoe)
	w.settle(schemas.Registration{Person: zoe})
	here := zoe
	here.Number, here.FamilyName, here.Postcode = schemas.NHSNumber{}, "Wimbleton", "AA9 9AA"
	r := schemas.Registration{Person: here, NumberStatus: schemas.NumberAbsent}
	if d := w.decide(r); d.Reason == schemas.ReasonDetailsAgree {
		t.Fatalf("before: %+v", d)
	}
	w.matcher.Rendered.Put(w.keys.SubjectRef(zoe.Number), here, w.matcher.Now())
	if d := w.decide(r); d.State != schemas.StatePossible || d.Reason != schemas.ReasonDetailsAgree {
		t.Errorf("after: %+v", d)
	}
	old := NewRenderings(time.Hour)
	for i := range 5 {
		here.Postcode = fmt.Sprintf("AA9 %dAA", i)
		old.Put("s", here, w.now.Add(time.Duration(i)*time.Minute))
	}
	if got := old.Of("s", w.now.Add(5*time.Minute)); len(got) != mostRenderings || got[0].Postcode != "AA94AA" {
		t.Errorf("%v", got)
	}
	if got := old.Of("s", w.now.Add(2*time.Hour)); len(got) != 0 {
		t.Errorf("kept for too long: %v", got)
	}
}

// TestAVerifiedNumberNobodyHolds is "none", unless somebody held under another
// number agrees beyond doubt: then the authority may hold an old number.
func TestAVerifiedNumberNobodyHolds(t *testing.T) {
	w := newWorld(t)
	zoe := schemas.Person{Number: number(t, "9990000018"), FamilyName: "Quillfeather", GivenNames: "Zoë", DateOfBirth: "2019-08-07", Sex: "F", Postcode: "ZZ1 1AA"}
	w.cpp(zoe)
	w.settle(schemas.Registration{Person: zoe})
	same := zoe
	same.Number = number(t, "9990000026")
	if d := w.decide(schemas.Registration{Person: same}); d.State != schemas.StateNotChecked || d.Reason != schemas.ReasonIdentityConflict {
		t.Errorf("the same child under another number: %+v", d)
	}
	twin := same
	twin.GivenNames = "Chloë"
	if d := w.decide(schemas.Registration{Person: twin}); d.State != schemas.StateNoneShared {
		t.Errorf("a twin with her own number: %+v", d)
	}
	w.matcher.Links.Put(schemas.Link{Survivor: w.keys.SubjectRef(same.Number), Retired: w.keys.SubjectRef(zoe.Number)})
	if d := w.decide(schemas.Registration{Person: same}); d.State != schemas.StateIndicator || d.Subject != w.keys.SubjectRef(zoe.Number) {
		t.Errorf("merged: %+v", d)
	}
	if d := w.decide(schemas.Registration{Person: twin}); d.State != schemas.StateNotChecked || d.Reason != schemas.ReasonIdentityConflict {
		t.Errorf("merged by mistake: %+v", d)
	}
	w.matcher.Links.Remove(string(schemas.Link{Survivor: w.keys.SubjectRef(same.Number), Retired: w.keys.SubjectRef(zoe.Number)}.Key()))
	if d := w.decide(schemas.Registration{Person: twin}); d.State != schemas.StateNoneShared {
		t.Errorf("taken back: %+v", d)
	}
}

// TestANewbornComesUnderTheMothersPlan until the authority has the child's own.
func TestANewbornComesUnderTheMothersPlan(t *testing.T) {
	w := newWorld(t)
	mother := schemas.Person{Number: number(t, "9990000018"), FamilyName: "Example", GivenNames: "Mia", DateOfBirth: "1998-08-07", Sex: "F"}
	w.share(schemas.Indicator{Authority: "E06A", PlanType: schemas.PlanUnborn, PlanStart: "2026-06-01", ExpectedDate: "2026-11-20", Version: 1, Person: mother})
	w.share(schemas.Indicator{Authority: "E06A", PlanType: schemas.PlanLookedAfter, PlanStart: "2012-06-01", PlanEnd: "2016-08-01", Version: 1, Person: mother})
	w.settle(schemas.Registration{Person: mother})
	baby := schemas.Registration{NumberStatus: schemas.NumberAbsent, Person: schemas.Person{FamilyName: "Example", GivenNames: "Baby", DateOfBirth: "2026-11-22"},
		Evidence: schemas.Evidence{Mother: schemas.Person{Number: mother.Number}}}
	if d := w.decide(baby); d.State != schemas.StateIndicator || d.Reason != schemas.ReasonPlanOfMother || len(d.Plans) != 1 || d.Plans[0].PlanType != schemas.PlanUnborn {
		t.Errorf("the baby: %+v", d)
	}
	numbered := baby
	numbered.Person.Number, numbered.NumberStatus = number(t, "9990000026"), schemas.NumberVerified
	if d := w.decide(numbered); d.State != schemas.StateIndicator || d.Reason != schemas.ReasonPlanOfMother {
		t.Errorf("with a number of its own: %+v", d)
	}
	old := numbered
	old.Person.DateOfBirth = "2026-10-10"
	if d := w.decide(old); d.State != schemas.StateNoneShared {
		t.Errorf("a child of 45 days: %+v", d)
	}
	other := baby
	other.Evidence.Mother.FamilyName, other.Evidence.Mother.GivenNames = "Wimbleton", "Bertha"
	if d := w.decide(other); d.State != schemas.StatePossible {
		t.Errorf("a mother of another name: %+v", d)
	}
	if d := w.decide(schemas.Registration{NumberStatus: schemas.NumberAbsent, Person: baby.Person}); d.State.Matched() {
		t.Errorf("by the baby's own details: %+v", d)
	}
}

// TestNobodyIsNamedByTheSteps: an explanation speaks of fields and levels.
func TestNobodyIsNamedByTheSteps(t *testing.T) {
	w := newWorld(t)
	zoe := schemas.Person{Number: number(t, "9990000018"), FamilyName: "Quillfeather", GivenNames: "Zoë", DateOfBirth: "2019-08-07", Sex: "F", Postcode: "ZZ1 1AA"}
	w.cpp(zoe)
	w.settle(schemas.Registration{Person: zoe})
	unknown := zoe
	unknown.Number = schemas.NHSNumber{}
	for _, r := range []schemas.Registration{{Person: zoe, NumberStatus: schemas.NumberVerified}, {Person: zoe, NumberStatus: schemas.NumberUnverified}, {Person: unknown, NumberStatus: schemas.NumberAbsent}} {
		d, steps := w.matcher.Explain(context.Background(), r)
		text := fmt.Sprint(steps)
		if len(steps) < 4 || !strings.Contains(text, string(d.State)) {
			t.Errorf("%s: %s", r.NumberStatus, text)
		}
		for _, secret := range []string{"Quill", "quill", "Zo", "zoe", "2019", "ZZ1", zoe.Number.Reveal(), string(w.keys.SubjectRef(zoe.Number))} {
			if strings.Contains(text, secret) {
				t.Errorf("the steps name %s: %s", secret, text)
			}
		}
	}
}

// TestFaultsNeverBecomeNone is ten thousand times: a protected person, with or
// without a number, and an index that is broken in some way.
func TestFaultsNeverBecomeNone(t *testing.T) {
	w := newWorld(t)
	zoe := schemas.Person{Number: number(t, "9990000018"), FamilyName: "Quillfeather", GivenNames: "Zoë", DateOfBirth: "2019-08-07", Sex: "F", Postcode: "ZZ1 1AA"}
	w.cpp(zoe)
	verified := schemas.Registration{Person: zoe, NumberStatus: schemas.NumberVerified}
	if d := w.settle(verified); d.State != schemas.StateIndicator {
		t.Fatalf("%+v", d)
	}
	unnamed := verified
	unnamed.Person.Number, unnamed.NumberStatus = schemas.NHSNumber{}, schemas.NumberAbsent
	r := rand.New(rand.NewPCG(5, 6))
	n := 10_000
	if testing.Short() {
		n = 1000
	}
	w.matcher.config.BehindWait = time.Millisecond
	keys := w.redis.Keys()
	slices.Sort(keys)
	held := map[string]string{}
	for _, k := range keys {
		held[k], _ = w.redis.Get(k)
	}
	w.stop() // the writer would mend it
	for range n {
		k := keys[r.IntN(len(keys))]
		switch r.IntN(6) {
		case 0:
			w.redis.Del(k)
		case 1:
			_ = w.redis.Set(k, held[keys[r.IntN(len(keys))]])
		case 2:
			b := []byte(held[k])
			b[r.IntN(len(b))] ^= byte(1 + r.IntN(255))
			_ = w.redis.Set(k, string(b))
		case 3:
			w.redis.SetError("LOADING")
		case 4:
			_ = w.redis.Set(k, held[k][:r.IntN(len(held[k]))])
		case 5:
			w.redis.FlushAll()
		}
		for _, reg := range []schemas.Registration{verified, unnamed} {
			if d := w.decide(reg); d.State == schemas.StateNoneShared || d.State == schemas.StateNotChecked {
				t.Fatalf("%s: %+v", reg.NumberStatus, d)
			}
		}
		w.redis.SetError("")
		for k, v := range held {
			if now, _ := w.redis.Get(k); now != v {
				_ = w.redis.Set(k, v)
			}
		}
		if d := w.decide(verified); d.State != schemas.StateIndicator {
			t.Fatalf("mended: %+v", d)
		}
	}
}

// TestADescriptionIsReadAsWritten, and nothing else is read.
func TestADescriptionIsReadAsWritten(t *testing.T) {
	w := newWorld(t)
	i := schemas.Indicator{SubjectRef: w.keys.SubjectRef(number(t, "9990000018")), PlanType: schemas.PlanUnborn, PlanStart: "2026-01-02", ExpectedDate: "2026-12-31"}
	records := weigh.Person{GivenNames: "Łucja Anna", FamilyName: "O'Neil-Żak", Born: "2009-02-03", Sex: "F", Postcode: "zz1 1aa", Others: []string{"Other^Lucy"}}.Records()
	b, err := appendDescription(nil, i, records)
	if err != nil {
		t.Fatal(err)
	}
	d, err := readDescription(b)
	if err != nil || d.subject != i.SubjectRef || d.plan.PlanType != i.PlanType || d.plan.PlanStart != i.PlanStart || d.plan.PlanEnd != "" || d.plan.ExpectedDate != i.ExpectedDate || len(d.records) != 2 {
		t.Fatalf("%+v %v", d, err)
	}
	for j, r := range d.records {
		if !reflect.DeepEqual(r, records[j]) {
			t.Errorf("record %d is not as written", j)
		}
	}
	for n := range b {
		if _, err := readDescription(b[:n]); err == nil {
			t.Errorf("%d of %d bytes are read", n, len(b))
		}
	}
	if _, err := readDescription(append(b, 0)); err == nil {
		t.Error("more is read than was written")
	}
}
