package console

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"cpis/connectors/identity"
	"cpis/connectors/notice"
	"cpis/connectors/socialcare"
	"cpis/schemas"
)

// Authority is what the pages of a local authority's people stand on: the very rules and
// doors that its systems meet.
type Authority struct {
	Care *socialcare.Service
	Door *notice.Door
	// Superseded counts the authority's plans under numbers that are used no longer.
	Superseded func(schemas.AuthorityCode) int
	// Notices lists the authority's notices, the newest first, at most limit of them,
	// each with what became of it.
	Notices func(ctx context.Context, code schemas.AuthorityCode, limit int) ([]Notice, error)
}

// Notice is a notice, as an authority's people see it.
type Notice struct {
	notice.Event
	Handle  string // of the answer it is about, empty where it is about none
	Visit   bool   // the care setting wants to know what becomes of it
	Answer  schemas.Answer
	Said    time.Time
	CallBy  time.Time
	Answers []schemas.Answer // what may be said to it
}

// own is the authority of whoever asks, where their role may do something for it.
func (c *Console) own(w http.ResponseWriter, r *http.Request, a identity.Action) (*identity.Worker, bool) {
	worker := identity.From(r.Context()).Worker
	if worker.Authority == "" || identity.May(worker.Roles, a, identity.Own) != identity.Allowed {
		c.notYours(w, r)
		return nil, false
	}
	return worker, true
}

type authorityPage struct {
	Name     string
	Code     schemas.AuthorityCode
	Health   socialcare.Health
	Contacts socialcare.Reached
	NoneYet  bool // its contacts are not there yet
	Sends    bool
	Unsaid   int // notices of visits that nobody has answered
	Latest   []Notice
}

// MatchRate is the share of records whose person is beyond doubt, in percent.
func (a authorityPage) MatchRate() float64 {
	if a.Health.MatchRate == nil {
		return 0
	}
	return *a.Health.MatchRate
}

// authorityHome is where an authority's people begin.
func (c *Console) authorityHome(w http.ResponseWriter, r *http.Request) {
	worker, ok := c.own(w, r, identity.ReadNotices)
	if !ok {
		return
	}
	b := authorityPage{Code: worker.Authority, Name: string(worker.Authority), Sends: identity.May(worker.Roles, identity.SendPlans, identity.Own) == identity.Allowed}
	var err error
	if b.Health, err = c.authority.Care.Health(worker.Authority, c.authority.Superseded(worker.Authority)); err == nil {
		b.Contacts, err = c.authority.Care.Reach(worker.Authority)
	}
	var refusal *schemas.Refusal
	if b.NoneYet = errors.As(err, &refusal) && refusal.Code == "CPIS-L022"; err != nil && !b.NoneYet {
		c.refused(w, r, err)
		return
	}
	b.Name = b.Contacts.Name
	if b.Latest, err = c.authority.Notices(r.Context(), worker.Authority, noticesShown); err != nil {
		c.refused(w, r, err)
		return
	}
	for _, n := range b.Latest {
		if n.Visit && n.Answer == "" {
			b.Unsaid++
		}
	}
	b.Latest = b.Latest[:min(len(b.Latest), 5)]
	c.show(w, r, http.StatusOK, "authority", page{Title: "Your authority", Active: "/authority", Body: b})
}

type contactsPage struct {
	Held    socialcare.Reached
	NoneYet bool
	Problem string
	Said    string
}

// contacts shows how to reach the authority, and takes another way or a confirmation.
func (c *Console) contacts(w http.ResponseWriter, r *http.Request) {
	c.showContacts(w, r, http.StatusOK, contactsPage{})
}

func (c *Console) showContacts(w http.ResponseWriter, r *http.Request, status int, b contactsPage) {
	worker, ok := c.own(w, r, identity.SendPlans)
	if !ok {
		return
	}
	held, err := c.authority.Care.Reach(worker.Authority)
	if b.NoneYet = err != nil; b.Problem == "" {
		b.Held = held
	}
	c.show(w, r, status, "contacts", page{Title: "Contacts", Active: "/authority/contacts", Body: b})
}

func (c *Console) setContacts(w http.ResponseWriter, r *http.Request) {
	worker, ok := c.own(w, r, identity.SendPlans)
	if !ok {
		return
	}
	b := contactsPage{Said: "Kept. The numbers count as confirmed today."}
	var err error
	if r.PostFormValue("confirm") != "" {
		b.Said = "Confirmed."
		_, err = c.authority.Care.ConfirmContacts(r.Context(), worker.Authority)
	} else {
		form := func(name string) string { return strings.TrimSpace(r.PostFormValue(name)) }
		b.Held.Contacts = socialcare.Contacts{Name: form("name"), OfficePhone: form("office_phone"), OfficeHours: form("office_hours"), EmergencyPhone: form("emergency_phone"), ClosedDays: strings.Fields(form("closed_days"))}
		_, err = c.authority.Care.PutContacts(r.Context(), worker.Authority, b.Held.Contacts)
	}
	var refusal *schemas.Refusal
	if errors.As(err, &refusal) {
		b.Said, b.Problem = "", sentence(refusal.Location)+": "+refusal.Reason+"."
		c.showContacts(w, r, http.StatusBadRequest, b)
		return
	}
	if err != nil {
		c.refused(w, r, err)
		return
	}
	c.showContacts(w, r, http.StatusOK, b)
}

// noticesShown is how many notices a page shows.
const noticesShown = 50

type noticesPage struct {
	List []Notice
	Said string
}

// notices shows what the authority was told.
func (c *Console) notices(w http.ResponseWriter, r *http.Request) { c.showNotices(w, r, "") }

func (c *Console) showNotices(w http.ResponseWriter, r *http.Request, said string) {
	worker, ok := c.own(w, r, identity.ReadNotices)
	if !ok {
		return
	}
	list, err := c.authority.Notices(r.Context(), worker.Authority, noticesShown)
	if err != nil {
		c.refused(w, r, err)
		return
	}
	c.show(w, r, http.StatusOK, "notices", page{Title: "Notices", Active: "/authority/notices", Wide: true, Body: noticesPage{list, said}})
}

// answerNotice takes what somebody says to a notice.
func (c *Console) answerNotice(w http.ResponseWriter, r *http.Request) {
	worker, ok := c.own(w, r, identity.ReadNotices)
	if !ok {
		return
	}
	a := notice.Answered{Answer: schemas.Answer(r.PostFormValue("answer"))}
	if in := r.PostFormValue("within"); in != "" && a.Answer == schemas.AnswerWillCall {
		if d, err := time.ParseDuration(in); err == nil {
			by := c.now().Add(d)
			a.CallBy = &by
		}
	}
	if err := c.authority.Door.Answer(r.Context(), worker.Authority, r.PostFormValue("notice"), a); err != nil {
		c.refused(w, r, err)
		return
	}
	c.showNotices(w, r, "The care setting is told: "+strings.ToLower(sentence(string(a.Answer)))+".")
}
