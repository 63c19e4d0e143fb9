// Package population makes up the children of England, so that matching can be
// measured at full size on people who do not exist: families that share names
// and an address, twins, names of one origin together, and a few of them
// protected by a local authority. Each child is described more than once, by
// the authority, by the national demographics and by a care setting, and each
// description has its own errors, at the rates that were measured in NHS and
// social care records.
package population

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sort"
	"strings"
	"time"

	"cpis/matching/compare"
	"cpis/matching/weigh"
)

// Config of a population. The same configuration makes the same people.
type Config struct {
	Children  int // about as many are made
	Protected int // about as many are protected
	Seed      uint64
	Names     *weigh.Names
	On        time.Time // the day on which all are under 18
}

// Child is one made-up child.
type Child struct {
	Household, Place int // place in the household, from 0
	Origin           Origin
	Given, Family    string // all given names, by spaces
	OtherFamily      string // the other parent's, empty where the same
	Born             string
	Sex              byte
	Postcode         string
	Number           string // 9000000000 to 9999999999: never issued to anybody
	OldNumber        string // a number that was merged into Number, empty for most
	Protected        bool
	Twin             int // place of the twin, -1 where there is none
}

// ID names the child in files.
func (c Child) ID() string { return fmt.Sprintf("%d-%d", c.Household, c.Place) }

// Population makes households one by one.
type Population struct {
	config     Config
	households int
	units      int // postcodes
	chosen     float64
	origins    []choice
	given      map[string][]choice // sex, band and origin
	family     map[Origin][]choice
}

// choice is a name with the share of all up to it.
type choice struct {
	name string
	upTo float64
}

const (
	perHousehold  = 1.8
	multiples     = 0.015 // of maternities are twins
	sameSex       = 2.0 / 3
	sameLetter    = 0.15 // of twins have names with one first letter
	secondParent  = 0.35 // of households have two family names
	otherParents  = 0.15 // of the children there have the second
	doubleNames   = 0.03 // of families
	secondGiven   = 0.55 // of children have a second given name
	siblingShared = 0.62 // of the children of a household, where one is protected
	perPostcode   = 5.5  // households with children in a postcode
	superseded    = 0.003
)

// New prepares a population.
func New(c Config) *Population {
	p := &Population{config: c, households: int(float64(c.Children)/perHousehold/(1+multiples)) + 1, given: map[string][]choice{}, family: map[Origin][]choice{}}
	p.units = max(int(float64(p.households)/perPostcode), 1)
	p.chosen = float64(c.Protected) / float64(c.Children) / siblingShared
	rest := 1.0
	givenOf, familyOf := origins{}, origins{}
	for o, names := range namedOrigins() {
		for _, n := range strings.Fields(names.given) {
			givenOf[n] = o
		}
		for _, n := range strings.Fields(names.family) {
			familyOf[n] = o
		}
		rest -= names.share
	}
	for _, s := range withUnlisted(c.Names.FamilyShares(), familyOf, unlistedFamily) {
		p.family[familyOf.of(s.Name)] = add(p.family[familyOf.of(s.Name)], s)
	}
	for band := range c.Names.Bands() {
		for _, sex := range []string{"F", "M"} {
			for _, s := range withUnlisted(c.Names.GivenShares(sex, band), givenOf, unlistedGiven) {
				key := givenKey(sex[0], band, givenOf.of(s.Name))
				p.given[key] = add(p.given[key], s)
			}
		}
	}
	for _, o := range Origins() {
		if names, ok := namedOrigins()[o]; ok {
			p.origins = add(p.origins, weigh.Share{Name: string(o), Share: names.share})
		}
	}
	p.origins = add(p.origins, weigh.Share{Name: string(Other), Share: rest})
	return p
}

// origins gives the origin of a name.
type origins map[string]Origin

func (o origins) of(name string) Origin {
	if origin, ok := o[name]; ok {
		return origin
	}
	return Other
}

// withUnlisted adds the names of an origin that a table does not have.
func withUnlisted(listed []weigh.Share, named origins, share float64) []weigh.Share {
	have := map[string]bool{}
	for _, s := range listed {
		have[s.Name] = true
	}
	var missing []string
	for name := range named {
		if !have[name] {
			missing = append(missing, name)
		}
	}
	slices.Sort(missing)
	for _, name := range missing {
		listed = append(listed, weigh.Share{Name: name, Share: share})
	}
	return listed
}

func givenKey(sex byte, band int, o Origin) string { return fmt.Sprintf("%c %d %s", sex, band, o) }

func add(list []choice, s weigh.Share) []choice {
	before := 0.0
	if len(list) > 0 {
		before = list[len(list)-1].upTo
	}
	return append(list, choice{s.Name, before + s.Share})
}

func pick(list []choice, r *rand.Rand) string {
	if len(list) == 0 {
		return ""
	}
	at := r.Float64() * list[len(list)-1].upTo
	return list[sort.Search(len(list)-1, func(i int) bool { return list[i].upTo > at })].name
}

// Households is how many there are.
func (p *Population) Households() int { return p.households }

// stream is a source of chance of its own for each use of each household. The
// seeds are hashed: neighbours with related seeds would have related children.
func (p *Population) stream(household int, use uint64) *rand.Rand {
	return rand.New(rand.NewPCG(mix(p.config.Seed^mix(uint64(household))), mix(uint64(household)+mix(use+p.config.Seed))))
}

// mix is the finaliser of splitmix64.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// Uses of chance.
const (
	useTruth = iota
	useAuthority
	useDemographics
	useSetting
	useNumber
)

// Household makes the children of one.
func (p *Population) Household(h int) []Child {
	r := p.stream(h, useTruth)
	origin := Origin(pick(p.origins, r))
	family := pick(p.family[origin], r)
	second := ""
	if r.Float64() < secondParent {
		second = pick(p.family[origin], r)
	}
	label := origin
	if r.Float64() < doubleNames {
		family, label = family+"-"+pick(p.family[origin], r), Hyphenated
	}
	postcode := unit(r.IntN(p.units))
	chosen := r.Float64() < p.chosen
	var out []Child
	for range size(r) {
		first := Child{Household: h, Origin: label, Family: family, OtherFamily: second, Born: p.birthday(r, out), Sex: "FM"[r.IntN(2)], Postcode: postcode, Twin: -1}
		if second != "" && r.Float64() < otherParents {
			first.Family, first.OtherFamily = second, family
		}
		first.Given = p.name(first.Sex, first.Born, origin, "", r)
		out = append(out, first)
		if r.Float64() >= multiples {
			continue
		}
		twin := first
		if r.Float64() >= sameSex {
			twin.Sex = "FM"[r.IntN(2)]
		}
		like := ""
		if r.Float64() < sameLetter {
			like = first.Given
		}
		for range 20 {
			twin.Given = p.name(twin.Sex, twin.Born, origin, like, r)
			if firstWord(twin.Given) != firstWord(first.Given) {
				break
			}
		}
		out[len(out)-1].Twin, twin.Twin = len(out), len(out)-1
		out = append(out, twin)
	}
	own := numbers(h)
	for i := range out {
		c := &out[i]
		c.Place = i
		c.Number = own[i]
		c.Protected = chosen && r.Float64() < siblingShared
		if r.Float64() < superseded {
			c.OldNumber = own[len(own)-1-i]
		}
	}
	return out
}

func size(r *rand.Rand) int {
	switch x := r.Float64(); {
	case x < 0.45:
		return 1
	case x < 0.82:
		return 2
	case x < 0.95:
		return 3
	}
	return 4
}

// birthday is a day in the last 18 years, no closer to a sibling's than can be.
func (p *Population) birthday(r *rand.Rand, born []Child) string {
	for {
		day := p.config.On.AddDate(0, 0, -r.IntN(6570)).Format(time.DateOnly)
		near := false
		for _, c := range born {
			a, _ := time.Parse(time.DateOnly, c.Born)
			b, _ := time.Parse(time.DateOnly, day)
			near = near || math.Abs(a.Sub(b).Hours()) < 24*290
		}
		if !near {
			return day
		}
	}
}

// name draws given names; like is a name whose first letter they share.
func (p *Population) name(sex byte, born string, o Origin, like string, r *rand.Rand) string {
	band := 0
	for i, year := range p.config.Names.Bands() {
		if born[:4] >= fmt.Sprint(year) {
			band = i
		}
	}
	list := p.given[givenKey(sex, band, o)]
	if len(list) == 0 {
		list = p.given[givenKey(sex, band, Other)]
	}
	first := pick(list, r)
	for range 50 {
		if like == "" || first[0] == like[0] {
			break
		}
		first = pick(list, r)
	}
	if r.Float64() < secondGiven {
		first += " " + pick(list, r)
	}
	return first
}

// unit is the text of a made-up postcode: some 540 to an outward code, some 59
// to a sector.
func unit(n int) string {
	const letters = "ABDEFGHJLNPQRSTUWXYZ"
	out, in := n/540, n%540
	sector, at := in/60+1, in%60
	return fmt.Sprintf("%c%c%d %d%c%c", 'A'+out/9/26%26, 'A'+out/9%26, out%9+1, sector, letters[at/20], letters[at%20])
}

// perHouseholdNumbers is how many stems of the range a household has for itself,
// so that no two children have one number. With MaxHouseholds all are used.
const (
	perHouseholdNumbers = 14
	stems               = 100_000_000
	// MaxHouseholds is how many households there can be: some twelve million children.
	MaxHouseholds = stems / perHouseholdNumbers
)

// numbers are the numbers of a household, of the range that is issued to nobody:
// those of its stems that have a check digit, nearly all.
func numbers(household int) []string {
	var out []string
	for i := range perHouseholdNumbers {
		// A multiplier without a factor in common with the range spreads the stems.
		stem := 900_000_000 + (uint64(household)*perHouseholdNumbers+uint64(i))*61_803_399%stems
		digits, sum := fmt.Sprint(stem), 0
		for i := range 9 {
			sum += int(digits[i]-'0') * (10 - i)
		}
		if check := (11 - sum%11) % 11; check < 10 {
			out = append(out, digits+fmt.Sprint(check))
		}
	}
	return out
}

func firstWord(s string) string { w, _, _ := strings.Cut(s, " "); return w }

// Nearest is the protected child of a birthday whose names are most like a
// child's: whose record a hurried clerk takes for theirs. False where none has
// both names alike.
func Nearest(c Child, sameDay []Child) (Child, bool) {
	best, found := 0.0, Child{}
	for _, o := range sameDay {
		given, family := compare.JaroWinkler(firstWord(o.Given), firstWord(c.Given)), compare.JaroWinkler(o.Family, c.Family)
		if o.ID() != c.ID() && min(given, family) > 0.75 && given+family > best {
			best, found = given+family, o
		}
	}
	return found, best > 0
}
