package console

import (
	"fmt"
	"net/http"
	"slices"
	"time"

	"cpis/connectors/identity"
	"cpis/schemas"
)

// Told is what an authority was told about an answer, and what it said.
type Told struct {
	Authority string // its name
	What      schemas.NoticeKind
	At        time.Time
	Taken     bool // its system took the notice, or somebody fetched it
	Failed    bool // it could not be told
	Answer    schemas.Answer
	AnswerAt  time.Time
	CallBy    time.Time
}

// answerPage is an answer, opened.
type answerPage struct {
	Shown
	Tag       Tag
	Words     string
	Who       schemas.Person
	Contacts  []contactCard
	Told      []Told
	Lately    string // the history in a sentence, empty for who may not know
	LatelyOut bool   // it could not be read
	History   bool
	Feedbacks []schemas.Feedback
	Done      string // what was just done
}

// Registered is when the person was registered, AsOf the state of the plans that the answer
// rests on.
func (a answerPage) Registered() time.Time { return a.outcome.AcceptedAt }
func (a answerPage) AsOf() time.Time       { return a.outcome.Freshness.AsOf }

// contactCard is one authority, and whom to ring now.
type contactCard struct {
	schemas.AuthorityCode
	Name      string
	Plans     []Plan
	First     phone
	Second    phone
	Confirmed schemas.Date // when the authority last said that the numbers are right
}

// phone is a number, and whose.
type phone struct{ Number, Whose string }

// cards puts plans together by authority, the number for this hour first.
func cards(plans []Plan) []contactCard {
	var out []contactCard
	for _, p := range plans {
		i := slices.IndexFunc(out, func(c contactCard) bool { return c.AuthorityCode == p.Authority })
		if i < 0 {
			c := contactCard{AuthorityCode: p.Authority, Name: p.AuthorityName, First: phone{p.RingNow, ""}}
			switch {
			case p.RingNow == schemas.Withheld: // no number
				c.First.Number = ""
			case p.RingNow == p.OfficePhone && p.OfficePhone != "":
				c.First.Whose, c.Second = "office", phone{p.EmergencyPhone, "emergency duty team, out of hours"}
			case p.EmergencyPhone != "":
				c.First.Whose, c.Second = "emergency duty team", phone{p.OfficePhone, "office, in hours"}
			}
			if c.Second.Number == c.First.Number {
				c.Second = phone{}
			}
			out, i = append(out, c), len(out)
		}
		out[i].Plans = append(out[i].Plans, p)
	}
	return out
}

// Words says of a plan what it is, and since when.
func (p Plan) Words() string {
	text := p.Type.Words()
	switch {
	case p.Ended != "":
		text += ", ended " + p.Ended.Words()
	case p.Since != "":
		text += ", started " + p.Since.Words()
	}
	return text + "."
}

// More says what rule the plan is shown by, where that is not plain.
func (p Plan) More() string {
	switch {
	case p.Type == schemas.PlanUnborn && p.Expected != "":
		return "Baby expected " + p.Expected.Words() + ". Shown until 28 days after that day."
	case p.Ended != "" && p.ShownUntil != "":
		return "Started " + p.Since.Words() + ". Shown for 365 days, until " + p.ShownUntil.Words() + "."
	case p.Ended != "":
		return "Started " + p.Since.Words() + "."
	}
	return ""
}

// answer opens an answer. That is the recorded view.
func (c *Console) answer(w http.ResponseWriter, r *http.Request) {
	worker := identity.From(r.Context()).Worker
	shown, err := c.desk.Open(r.Context(), worker, r.PostFormValue("handle"))
	if err != nil {
		c.refused(w, r, err)
		return
	}
	c.showAnswer(w, r, shown, "")
}

func (c *Console) showAnswer(w http.ResponseWriter, r *http.Request, shown Shown, done string) {
	a := answerPage{Shown: shown, Tag: tagOf(&shown.outcome, true), Words: shown.outcome.Words(), Who: shown.who, Contacts: cards(shown.Plans), Told: c.told.Told(shown.Handle), Feedbacks: schemas.Feedbacks(), Done: done}
	if shown.Withheld { // who was told would name the authority
		for i := range a.Told {
			a.Told[i].Authority = "The local authority"
		}
	}
	for i := range a.Contacts {
		a.Contacts[i].Confirmed = c.told.Confirmed(a.Contacts[i].AuthorityCode)
	}
	var err error
	if a.Lately, a.History, err = c.desk.Lately(r.Context(), identity.From(r.Context()).Worker, shown); err != nil {
		c.log.Warn("a history cannot be read", "code", "CPIS-W009", "error", err)
		a.LatelyOut = true
	}
	c.show(w, r, http.StatusOK, "answer", page{Title: "Answer", Active: "/board", Wide: true, Body: a})
}

// feedback tells an authority that something of an answer is not right.
func (c *Console) feedback(w http.ResponseWriter, r *http.Request) {
	worker := identity.From(r.Context()).Worker
	what, about := schemas.Feedback(r.PostFormValue("what")), schemas.AuthorityCode(r.PostFormValue("authority"))
	if !slices.Contains(schemas.Feedbacks(), what) {
		c.refused(w, r, &schemas.Refusal{Code: "CPIS-W001", Location: "what", Reason: "none of the list"})
		return
	}
	// Whoever says something about an answer looks at it: that is a view like any other,
	// and needs the same right.
	shown, err := c.desk.Open(r.Context(), worker, r.PostFormValue("handle"))
	if err == nil {
		err = c.desk.store.Tell(r.Context(), worker, shown.outcome, about, what)
	}
	if err != nil {
		c.refused(w, r, err)
		return
	}
	c.showAnswer(w, r, shown, fmt.Sprintf("The authority is told: %s. Ring the other number meanwhile.", sentence(string(what))))
}

// glassPage asks for the reason of an emergency, or shows what there is.
type glassPage struct {
	Reasons  []GlassReason
	Number   string
	Problem  string
	Shown    bool
	Contacts []contactCard
	Until    time.Time
	Again    bool // whoever asks has to prove anew who they are
}

// breakGlassPage lets somebody look, in an emergency, whom they have not registered.
func (c *Console) breakGlassPage(w http.ResponseWriter, r *http.Request) {
	worker := identity.From(r.Context()).Worker
	if !identity.Can(worker.Roles, identity.BreakGlass) {
		c.notYours(w, r)
		return
	}
	g := glassPage{Reasons: GlassReasons(), Again: c.now().Sub(worker.SignedIn) > proofTime}
	status := http.StatusOK
	if r.Method == http.MethodPost {
		g.Number = r.PostFormValue("nhs_number")
		n, err := schemas.ParseNHSNumber(g.Number)
		why := GlassReason(r.PostFormValue("reason"))
		switch {
		case err != nil:
			g.Problem, status = "Enter an NHS number of ten digits.", http.StatusBadRequest
		case !slices.Contains(GlassReasons(), why):
			g.Problem, status = "Choose why you need to look.", http.StatusBadRequest
		default:
			plans, until, err := c.desk.Break(r.Context(), worker, n, why)
			if err != nil {
				c.refused(w, r, err)
				return
			}
			g.Shown, g.Until, g.Contacts = true, until, cards(plans)
		}
	}
	c.show(w, r, status, "glass", page{Title: "Look in an emergency", Active: "/board", Body: g})
}
