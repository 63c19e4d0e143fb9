package adt

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"cpis/connectors/hl7"
	"cpis/schemas"
)

// Profile describes one sender: who it is, which care setting it speaks for,
// and its habits.
type Profile struct {
	// Name of the feed, in lower case; it appears in counters and the ledger.
	Name string `yaml:"name"`
	// Application and Facility are MSH-3.1 and MSH-4.1 of the sender; "*" is any.
	Application string `yaml:"application"`
	Facility    string `yaml:"facility"`
	// ODS is the organisation code of the care setting.
	ODS schemas.ODSCode `yaml:"ods"`
	// Setting is the kind of care setting, such as EMERGENCY_DEPARTMENT.
	Setting schemas.CareSetting `yaml:"setting"`
	// Zone of times that give none. Default Europe/London.
	Zone string `yaml:"zone"`
	// Markers are what CX.4 or CX.5 of an identifier says where it is an NHS
	// number. Default: NHS, NH, NHSNBR, NHSNMBR and the OID of the NHS number.
	Markers []string `yaml:"markers"`
	// UnstatedStatus is what an NHS number without a status counts as: verified,
	// where the sender traces every number before it sends, or unverified.
	// Default unverified.
	UnstatedStatus string `yaml:"unstated_status"`
	// Events overrides what a trigger event means: A04: SCHEDULED.
	Events map[string]schemas.EventClass `yaml:"events"`
	// Reply is where answers go. Default: nowhere, staff use the board.
	Reply ReplyTo `yaml:"reply"`
}

// ReplyTo is the way back to a care setting.
type ReplyTo struct {
	// Address of the setting's MLLP receiver, host:port.
	Address string `yaml:"address"`
	// Mode is flag, which says only whether there is something to look at, or
	// full, with the plan and the telephone numbers. Default flag.
	Mode string `yaml:"mode"`
}

const nhsNumberOID = "2.16.840.1.113883.2.1.4.1"

// Validate reports everything that is wrong with a profile.
func (p Profile) Validate() error {
	var errs []error
	need := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	need(p.Name != "" && strings.Trim(p.Name, "abcdefghijklmnopqrstuvwxyz0123456789-") == "", "name: want lower-case letters, digits and hyphens")
	need(p.Application != "" && p.Facility != "", "application and facility: say MSH-3 and MSH-4 of the sender, or *")
	need(p.ODS.Valid(), "ods: %q is no organisation code", p.ODS)
	need(slices.Contains(schemas.Settings(), p.Setting), "setting: %q is none of %v", p.Setting, schemas.Settings())
	need(slices.Contains([]string{"", "verified", "unverified"}, p.UnstatedStatus), "unstated_status: %q is neither verified nor unverified", p.UnstatedStatus)
	need(slices.Contains([]string{"", "flag", "full"}, p.Reply.Mode), "reply.mode: %q is neither flag nor full", p.Reply.Mode)
	_, err := p.location()
	need(err == nil, "zone: %q is not known", p.Zone)
	for event, class := range p.Events {
		need(slices.Contains([]schemas.EventClass{schemas.ClassRegistration, schemas.ClassScheduled, schemas.ClassIdentity, schemas.ClassRetraction, schemas.ClassNone}, class),
			"events.%s: %q is no event class", event, class)
	}
	return errors.Join(errs...)
}

// Matches reports whether a message comes from this sender.
func (p Profile) Matches(m *hl7.Message) bool {
	return (p.Application == "*" || p.Application == m.Value("MSH-3")) && (p.Facility == "*" || p.Facility == m.Value("MSH-4"))
}

// london reads the zone files once: nearly every sender lives there.
var london = sync.OnceValues(func() (*time.Location, error) { return time.LoadLocation("Europe/London") })

func (p Profile) location() (*time.Location, error) {
	if p.Zone == "" || p.Zone == "Europe/London" {
		return london()
	}
	return time.LoadLocation(p.Zone)
}

// class is what an event of this sender means.
func (p Profile) class(event string) schemas.EventClass {
	if c, ok := p.Events[event]; ok {
		return c
	}
	if c, ok := events()[event]; ok {
		return c
	}
	return schemas.ClassNone
}

func (p Profile) marked(r hl7.Repetition) bool {
	markers := p.Markers
	if len(markers) == 0 {
		markers = []string{"NHS", "NH", "NHSNBR", "NHSNMBR", nhsNumberOID}
	}
	kind, _, _ := strings.Cut(r.Component(5), "{") // NH{status:01}
	return slices.Contains(markers, kind) || slices.Contains(markers, r.Subcomponent(4, 1)) || slices.Contains(markers, r.Subcomponent(4, 2))
}
