package adt

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"cpis/connectors/hl7"
	"cpis/connectors/identity"
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
	// Certificate is a name of the sender's certificate: a URI or DNS name it
	// holds, or its common name. Where given, only a connection that proves it
	// may use the feed. Default, on a listener with mutual TLS: urn:ods:CODE, where
	// CODE is ods, or the trust whose site that is.
	Certificate string `yaml:"certificate"`
	// Listener is the name of the listener the sender must use. Default any.
	Listener string `yaml:"listener"`
	// Environment is what MSH-11 must say: P, T or D. Default any.
	Environment string `yaml:"environment"`

	// ODS is the organisation code of the care setting.
	ODS schemas.ODSCode `yaml:"ods"`
	// Setting is the kind of care setting, such as EMERGENCY_DEPARTMENT.
	Setting schemas.CareSetting `yaml:"setting"`

	// Zone of times that give none. Default Europe/London.
	Zone string `yaml:"zone"`
	// Charset of messages whose MSH-18 is empty, as MSH-18 would name it.
	// Default UTF-8, and Windows-1252 where the bytes are no UTF-8.
	Charset string `yaml:"charset"`
	// Markers are what CX.4 or CX.5 of an identifier says where it is an NHS
	// number. Default: NHS, NH, NHSNBR, NHSNMBR and the OID of the NHS number.
	Markers []string `yaml:"markers"`
	// UnstatedStatus is what an NHS number without a status counts as: verified,
	// where the sender traces every number before it sends, or unverified.
	// Default unverified.
	UnstatedStatus string `yaml:"unstated_status"`
	// Statuses translates the sender's own status codes into those of the
	// standard, 01 to 08: "1": "01".
	Statuses map[string]string `yaml:"statuses"`
	// Events overrides what a trigger event means: A04: SCHEDULED.
	Events map[string]schemas.EventClass `yaml:"events"`
	// Promote says when an update (A08) of a visit that never registered counts
	// as its registration: recent, where the visit began in the last 24 hours
	// or, if the message does not say when, the setting keeps nobody for long;
	// always; never. Default recent.
	Promote string `yaml:"promote"`

	// Notify says when the local authority is told of an attendance: on_registration,
	// on_view, when somebody opens the answer, or both. Default on_registration.
	// Scheduled care never tells.
	Notify string `yaml:"notify"`
	// UnopenedAfter is how long the answer may stay unopened before the authority
	// is told that it was not, 1m to 24h. Default never.
	UnopenedAfter time.Duration `yaml:"unopened_after"`
	// Responsible answers for the care setting, such as its safeguarding lead, and
	// is named in notices.
	Responsible Responsible `yaml:"responsible"`

	// Answer is how the sender wants to be answered.
	Answer AnswerPolicy `yaml:"answer"`
	// Reply is where answers go. Default: nowhere, staff use the board.
	Reply ReplyTo `yaml:"reply"`
}

// Responsible is the person who answers for a care setting.
type Responsible struct {
	Name string `yaml:"name"`
	Role string `yaml:"role"`
}

// AnswerPolicy is how a sender understands acknowledgements. Senders differ:
// to some AE means "never again" and AR "later", to others the reverse, and
// most send again only where no answer came.
type AnswerPolicy struct {
	// Mode is original, which answers AA, AE or AR whatever MSH-15 and MSH-16
	// say, or enhanced, which follows them: CA, CE or CR where MSH-15 asks, then
	// AA, AE or AR where MSH-16 asks. Default original, for most senders fill
	// these fields and still want AA.
	Mode string `yaml:"mode"`
	// OnPermanent is the answer to a message that will never be taken: AE, AR or
	// AA. It is in quarantine either way. Default AE, and AR where the message
	// could not be read.
	OnPermanent string `yaml:"on_permanent"`
	// OnTransient is what happens while the broker cannot store: close, which
	// makes most senders send again, or the answer AE or AR. Default close.
	OnTransient string `yaml:"on_transient"`
	// Batch is the answer to a batch: each, a batch of one answer for each
	// message, or one, a single answer, AA only if every message was. Default
	// each.
	Batch string `yaml:"batch"`
}

// ReplyTo is the way back to a care setting.
type ReplyTo struct {
	// Address of the setting's MLLP receiver, host:port.
	Address string `yaml:"address"`
	// TLS with the receiver; it must hold a certificate of one of the authorities
	// in the file Authorities. Default false: plain TCP, on loopback only.
	TLS         bool   `yaml:"tls"`
	Authorities string `yaml:"authorities"` // PEM file; default those of the system
	Certificate string `yaml:"certificate"` // PEM file, where the receiver wants to know who comes
	Key         string `yaml:"key"`
	// Release of MLLP the receiver speaks: 1 or 2. Default 1.
	Release int `yaml:"release"`
	// Mode is flag, which says only whether there is something to look at, or
	// full, with the plan and the telephone numbers. Default flag.
	Mode string `yaml:"mode"`
}

// Validate reports everything that is wrong with a profile.
func (p *Profile) Validate() error {
	var errs []error
	need := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	oneOf := func(key, value string, allowed ...string) {
		need(value == "" || slices.Contains(allowed, value), "%s: %q is none of %s", key, value, strings.Join(allowed, ", "))
	}
	need(p.Name != "" && strings.Trim(p.Name, "abcdefghijklmnopqrstuvwxyz0123456789-") == "", "name: want lower-case letters, digits and hyphens")
	need(p.Application != "" && p.Facility != "", "application and facility: say MSH-3 and MSH-4 of the sender, or *")
	need(p.ODS.Valid(), "ods: %q is no organisation code", p.ODS)
	need(slices.Contains(schemas.Settings(), p.Setting), "setting: %q is none of %v", p.Setting, schemas.Settings())
	oneOf("environment", p.Environment, "P", "T", "D")
	oneOf("unstated_status", p.UnstatedStatus, "verified", "unverified")
	oneOf("promote", p.Promote, "recent", "always", "never")
	oneOf("notify", p.Notify, "on_registration", "on_view", "both")
	need(p.UnopenedAfter == 0 || p.UnopenedAfter >= time.Minute && p.UnopenedAfter <= 24*time.Hour, "unopened_after: %s is not between 1m and 24h", p.UnopenedAfter)
	oneOf("answer.mode", p.Answer.Mode, "original", "enhanced")
	oneOf("answer.on_permanent", p.Answer.OnPermanent, "AE", "AR", "AA")
	oneOf("answer.on_transient", p.Answer.OnTransient, "close", "AE", "AR")
	oneOf("answer.batch", p.Answer.Batch, "each", "one")
	oneOf("reply.mode", p.Reply.Mode, "flag", "full")
	need(p.Reply.Release >= 0 && p.Reply.Release <= 2, "reply.release: %d is neither 1 nor 2", p.Reply.Release)
	need(hl7.KnownCharset(p.Charset), "charset: %q is not known", p.Charset)
	_, err := p.location()
	need(err == nil, "zone: %q is not known", p.Zone)
	for own, standard := range p.Statuses {
		need(len(standard) == 2 && standard >= "01" && standard <= "08", "statuses.%s: %q is none of 01 to 08", own, standard)
	}
	for event, class := range p.Events {
		need(slices.Contains([]schemas.EventClass{schemas.ClassRegistration, schemas.ClassScheduled, schemas.ClassIdentity, schemas.ClassRetraction, schemas.ClassNone}, class),
			"events.%s: %q is no event class", event, class)
	}
	return errors.Join(errs...)
}

// policy is when the local authority is told.
func (p *Profile) policy() schemas.NotifyPolicy {
	if p.Notify == "" {
		return schemas.NotifyOnRegistration
	}
	return schemas.NotifyPolicy(strings.ToUpper(p.Notify))
}

// Matches reports whether a message names this sender.
func (p *Profile) Matches(m *hl7.Message) bool {
	msh := m.Segment("MSH")
	return (p.Application == "*" || p.Application == msh.Field(3).Text()) &&
		(p.Facility == "*" || p.Facility == msh.Field(4).Text())
}

// Sender is what a connection proves about who sends.
type Sender struct {
	Listener string   // name of the listener
	Mutual   bool     // its peers prove who they are
	Names    []string // names of the verified certificate
}

// Admits reports whether a connection may use the feed. The name in a message
// is a claim; the certificate and the listener are the proof.
func (p *Profile) Admits(s Sender) bool {
	switch {
	case p.Listener != "" && p.Listener != s.Listener:
		return false
	case p.Certificate != "":
		return slices.Contains(s.Names, p.Certificate)
	case s.Mutual:
		return identity.Organisation(s.Names).Covers(p.ODS)
	}
	return true
}

// InEnvironment is nil where the message is of the feed's environment, else an
// *hl7.Error.
func (p *Profile) InEnvironment(m *hl7.Message) error {
	if p.Environment == "" || m.Segment("MSH").Field(11).Text() == p.Environment {
		return nil
	}
	return &hl7.Error{Code: "CPIS-H016", Location: "MSH-11", Reason: "the feed takes messages of environment " + p.Environment + " only"}
}

// london reads the zone files once: nearly every sender lives there.
var london = sync.OnceValues(func() (*time.Location, error) { return time.LoadLocation("Europe/London") })

// Place is whose time the sender lives by.
func (p *Profile) Place() *time.Location {
	place, err := p.location()
	if err != nil {
		return time.UTC // refused by Validate
	}
	return place
}

func (p *Profile) location() (*time.Location, error) {
	if p.Zone == "" || p.Zone == "Europe/London" {
		return london()
	}
	return time.LoadLocation(p.Zone)
}
