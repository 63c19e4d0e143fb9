package population

import (
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"cpis/matching/compare"
)

// Description is a child as one source has it.
type Description struct {
	Given, Family, Born, Sex, Postcode string
}

// errorRates of one source. The shares are those of studies of NHS and social
// care records (forename and surname errors of the CRATE validation, postcodes
// of HES against PDS), for children.
type errorRates struct{ moved float64 }

// Authority describes a child as social care does: more have moved.
func (p *Population) Authority(c Child) Description {
	return p.describe(c, useAuthority, errorRates{moved: 0.22})
}

// Demographics describes a child as the national demographics do.
func (p *Population) Demographics(c Child) Description {
	return p.describe(c, useDemographics, errorRates{moved: 0.10})
}

// Setting describes a child as a care setting registers them.
func (p *Population) Setting(c Child) Description {
	return p.describe(c, useSetting, errorRates{moved: 0.10})
}

func (p *Population) describe(c Child, use uint64, rates errorRates) Description {
	r := p.stream(c.Household, use<<8|uint64(c.Place))
	d := Description{Given: c.Given, Family: c.Family, Born: c.Born, Sex: string(c.Sex), Postcode: c.Postcode}
	p.givenErrors(&d, c, r)
	p.familyErrors(&d, c, r)
	if chance(r, 0.004) {
		d.Given, d.Family = d.Family, d.Given
	}
	d.Born = birthErrors(d.Born, r)
	switch x := r.Float64(); {
	case x < 0.0033:
		d.Sex = map[string]string{"F": "M", "M": "F"}[d.Sex]
	case x < 0.0103:
		d.Sex = "U"
	}
	switch x := r.Float64(); {
	case x < rates.moved:
		d.Postcode = unit(r.IntN(p.units))
	case x < rates.moved+0.01:
		d.Postcode = typo(d.Postcode, "0123456789ABDEFGHJLNPQRSTUWXYZ", r)
	case x < rates.moved+0.05:
		d.Postcode = ""
	}
	return d
}

func chance(r *rand.Rand, share float64) bool { return r.Float64() < share }

func (p *Population) givenErrors(d *Description, c Child, r *rand.Rand) {
	first, rest, _ := strings.Cut(c.Given, " ")
	if chance(r, 0.4) { // second names are often left out
		rest = ""
	}
	switch x := r.Float64(); {
	case x < 0.009:
		first = typo(first, alphabet, r)
	case x < 0.012:
		first = typo(typo(first, alphabet, r), alphabet, r)
	case x < 0.018:
		first = firstWord(p.name(c.Sex, c.Born, c.origin(), "", r))
	case x < 0.063:
		first = otherForm(first, r)
	case x < 0.068:
		first, rest = []string{"", "baby", "not known"}[r.IntN(3)], ""
	case x < 0.072:
		first, rest = first[:1], ""
	}
	d.Given = strings.TrimSpace(first + " " + rest)
}

// origin is where given names come from; a double family name says nothing.
func (c Child) origin() Origin {
	if c.Origin == Hyphenated {
		return Other
	}
	return c.Origin
}

func (p *Population) familyErrors(d *Description, c Child, r *rand.Rand) {
	switch x := r.Float64(); {
	case x < 0.006:
		d.Family = typo(d.Family, alphabet, r)
	case x < 0.009:
		d.Family = typo(typo(d.Family, alphabet, r), alphabet, r)
	case x < 0.034:
		if c.OtherFamily != "" {
			d.Family = c.OtherFamily
		}
	case x < 0.046:
		if a, b, double := strings.Cut(d.Family, "-"); double {
			d.Family = []string{a, b, a + " " + b, b + "-" + a}[r.IntN(4)]
		} else if c.OtherFamily != "" {
			d.Family += "-" + c.OtherFamily
		}
	case x < 0.050:
		d.Family = pick(p.family[Other], r)
	}
}

func birthErrors(born string, r *rand.Rand) string {
	t, err := time.Parse(time.DateOnly, born)
	if err != nil {
		return born
	}
	switch x := r.Float64(); {
	case x < 0.0015:
		if s := compare.Swapped(born); s != "" {
			return s
		}
	case x < 0.004:
		b := []byte(born)
		at := []int{2, 3, 6, 8, 9}[r.IntN(5)]
		b[at] = byte('0' + r.IntN(10))
		if _, err := time.Parse(time.DateOnly, string(b)); err == nil {
			return string(b)
		}
	case x < 0.005:
		return t.AddDate(2*r.IntN(2)-1, 0, 0).Format(time.DateOnly)
	case x < 0.0055:
		return t.AddDate(0, 2*r.IntN(2)-1, 0).Format(time.DateOnly)
	case x < 0.006:
		return ""
	}
	return born
}

const alphabet = "abcdefghijklmnopqrstuvwxyz"

// typo is one slip of the keyboard: a letter changed, left out, put in, or
// swapped with the next.
func typo(s, letters string, r *rand.Rand) string {
	if len(s) < 2 {
		return s
	}
	b := []byte(s)
	at := r.IntN(len(b) - 1)
	letter := letters[r.IntN(len(letters))]
	switch r.IntN(4) {
	case 0:
		b[at+1] = letter
	case 1:
		b = slices.Delete(b, at+1, at+2)
	case 2:
		b = slices.Insert(b, at+1, letter)
	case 3:
		b[at], b[at+1] = b[at+1], b[at]
	}
	return string(b)
}

// otherForm is another form of a name, the same where none is known.
func otherForm(name string, r *rand.Rand) string {
	forms := others()[name]
	if len(forms) == 0 {
		return name
	}
	return forms[r.IntN(len(forms))]
}

var others = sync.OnceValue(func() map[string][]string {
	out := map[string][]string{}
	for _, group := range compare.Forms() {
		for _, name := range group {
			for _, other := range group {
				if other != name {
					out[name] = append(out[name], other)
				}
			}
		}
	}
	return out
})
