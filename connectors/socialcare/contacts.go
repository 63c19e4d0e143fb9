package socialcare

import (
	"context"
	"fmt"
	"strings"
	"time"

	"cpis/schemas"
	"cpis/schemas/contact"
)

// Contacts is how to reach an authority, as it is sent.
type Contacts struct {
	Authority      schemas.AuthorityCode `json:"authority,omitempty" doc:"The code, again; may be left away."`
	Name           string                `json:"name" doc:"Name staff know the authority by."`
	OfficePhone    string                `json:"office_phone,omitempty" doc:"Children's services in office hours."`
	OfficeHours    string                `json:"office_hours,omitempty" doc:"Such as Mon-Thu 09:00-17:00, Fri 09:00-16:30; London time. Bank holidays of England are closed."`
	EmergencyPhone string                `json:"emergency_phone" doc:"Emergency duty team, at any hour."`
	ClosedDays     []string              `json:"closed_days,omitempty" doc:"Further days on which the office is closed, YYYY-MM-DD."`
	Version        int64                 `json:"version,omitempty" doc:"The version these replace; 0 for whatever is held."`
}

// Reached is an authority's contacts as they are held.
type Reached struct {
	Contacts
	UpdatedAt   time.Time    `json:"updated_at"`
	ConfirmedOn schemas.Date `json:"confirmed_on,omitempty"`
	Unconfirmed bool         `json:"unconfirmed" doc:"It is long since the authority said that they are right."`
	RingNow     string       `json:"ring_now"`
	RingOffice  bool         `json:"ring_office" doc:"The number to ring now is the office's."`
	RingUntil   *time.Time   `json:"ring_until,omitempty" doc:"Until when that holds."`
}

// Reach gives an authority's contacts.
func (s *Service) Reach(code schemas.AuthorityCode) (Reached, error) {
	a, ok := s.store.Authority(code)
	if !ok {
		return Reached{}, &schemas.Refusal{Code: "CPIS-L022", Location: "authority", Reason: "its contacts are not loaded"}
	}
	now := s.config.Now()
	ring := s.book.Ring(a, now)
	r := Reached{Contacts{a.Code, a.Name, a.OfficePhone, a.OfficeHours, a.EmergencyPhone, a.ClosedDays, a.Version}, a.UpdatedAt, a.ConfirmedOn, s.book.Unconfirmed(a, now), ring.Number, ring.Office, nil}
	if !ring.Until.IsZero() {
		r.RingUntil = &ring.Until
	}
	return r, nil
}

// PutContacts replaces an authority's contacts. Giving them says that they are
// right.
func (s *Service) PutContacts(ctx context.Context, code schemas.AuthorityCode, c Contacts) (Reached, error) {
	defer s.exclusively(code)()
	held, _ := s.store.Authority(code)
	if where, reason := c.wrong(code, held.Version); where != "" {
		return Reached{}, &schemas.Refusal{Code: "CPIS-L024", Location: where, Reason: reason}
	}
	now := s.config.Now().UTC().Truncate(time.Millisecond)
	held.Code, held.Name, held.OfficePhone, held.OfficeHours, held.EmergencyPhone, held.ClosedDays = code, c.Name, c.OfficePhone, c.OfficeHours, c.EmergencyPhone, c.ClosedDays
	held.UpdatedAt, held.Version, held.ConfirmedOn = now, held.Version+1, schemas.DateOf(now, s.book.Place())
	return s.keep(ctx, held)
}

// ConfirmContacts notes that an authority says its contacts are right.
func (s *Service) ConfirmContacts(ctx context.Context, code schemas.AuthorityCode) (Reached, error) {
	defer s.exclusively(code)()
	held, ok := s.store.Authority(code)
	if !ok {
		return Reached{}, &schemas.Refusal{Code: "CPIS-L022", Location: "authority", Reason: "its contacts are not loaded"}
	}
	held.ConfirmedOn = schemas.DateOf(s.config.Now(), s.book.Place())
	return s.keep(ctx, held)
}

func (s *Service) keep(ctx context.Context, a schemas.Authority) (Reached, error) {
	if err := s.store.Commit(ctx, Changes{Authority: a.Code, Contacts: &a}); err != nil {
		return Reached{}, fmt.Errorf("%w: %w", errLater, err)
	}
	return s.Reach(a.Code)
}

// wrong names the field that cannot be used, and why.
func (c Contacts) wrong(code schemas.AuthorityCode, held int64) (where, reason string) {
	_, hours := contact.ParseHours(c.OfficeHours)
	switch {
	case c.Authority != "" && c.Authority != code:
		return "authority", "another authority's"
	case strings.TrimSpace(c.Name) == "":
		return "name", "missing"
	case !telephone(c.EmergencyPhone):
		return "emergency_phone", "missing, or not a telephone number"
	case c.OfficePhone != "" && !telephone(c.OfficePhone):
		return "office_phone", "not a telephone number"
	case c.OfficePhone != "" && hours != nil:
		return "office_hours", hours.Error()
	case c.Version != 0 && c.Version != held:
		return "version", fmt.Sprintf("version %d is held: somebody else has changed them", held)
	}
	for _, d := range c.ClosedDays {
		if _, err := schemas.ParseDate(d); err != nil {
			return "closed_days", "not a date"
		}
	}
	return "", ""
}

// telephone reports whether somebody could dial a text: at least three digits,
// such as 101, and nothing that is no part of a number or an extension.
func telephone(s string) bool {
	digits := 0
	for _, r := range s {
		if r >= '0' && r <= '9' {
			digits++
		}
	}
	return digits >= 3 && len(s) <= 40 && strings.Trim(strings.ToLower(s), "0123456789 +()-ext.") == ""
}
