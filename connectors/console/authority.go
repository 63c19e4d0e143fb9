package console

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"slices"
	"strings"
	"sync"
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

// drafts are files that were checked and not sent yet. They are in memory alone, for a
// short time, and only whoever checked one sends it.
type drafts struct {
	now  func() time.Time
	mu   sync.Mutex
	list map[string]draft // by id; guarded by mu
}

type draft struct {
	worker, format string
	full           bool
	text           []byte
	at             time.Time
}

// Limits of drafts.
const (
	draftTime = 30 * time.Minute
	maxDrafts = 8 // each is no larger than a file may be
)

func (d *drafts) put(f draft) string {
	id := identity.Random()
	f.at = d.now()
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.list == nil {
		d.list = map[string]draft{}
	}
	for len(d.list) >= maxDrafts {
		oldest := ""
		for id, f := range d.list {
			if oldest == "" || f.at.Before(d.list[oldest].at) {
				oldest = id
			}
		}
		delete(d.list, oldest)
	}
	d.list[id] = f
	return id
}

// get gives a draft to whoever made it.
func (d *drafts) get(id string, w *identity.Worker) (draft, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for old, f := range d.list {
		if d.now().Sub(f.at) > draftTime {
			delete(d.list, old)
		}
	}
	f, ok := d.list[id]
	return f, ok && f.worker == w.ID
}

type plansPage struct {
	Columns []socialcare.Column
	Uploads []schemas.Upload
	Problem string
	Bytes   int
}

// plans is where files are sent, with what became of earlier ones.
func (c *Console) plans(w http.ResponseWriter, r *http.Request) { c.showPlans(w, r, http.StatusOK, "") }

func (c *Console) showPlans(w http.ResponseWriter, r *http.Request, status int, problem string) {
	worker, ok := c.own(w, r, identity.SendPlans)
	if !ok {
		return
	}
	uploads := c.authority.Care.Uploads(worker.Authority)
	b := plansPage{Columns: socialcare.Table(), Uploads: uploads[:min(len(uploads), 20)], Problem: problem, Bytes: socialcare.MaxFile >> 20}
	c.show(w, r, status, "plans", page{Title: "Plans", Active: "/authority/plans", Wide: true, Body: b})
}

// resultPage is what became of a file, or would.
type resultPage struct {
	Result  socialcare.Result
	Printed string // what the checker on the command line prints
	Draft   string
	Full    bool
	Sample  []sampleRows
	Waits   bool
	Problem *schemas.Refusal
}

// sampleRows are some rows of one outcome.
type sampleRows struct {
	Outcome string
	All     int
	Rows    []socialcare.Verdict
}

// shownRows is how many rows of an outcome are shown; the rest is in the file.
const shownRows = 20

// resultOf puts a result together for a page: what wants doing first.
func resultOf(result socialcare.Result) resultPage {
	var text bytes.Buffer
	_ = result.Table(&text)
	b := resultPage{Result: result, Printed: text.String(), Waits: result.State == schemas.UploadWaiting}
	for _, outcome := range []string{"refused", "waiting", "ended", "withdrawn", "new", "changed", "superseded", "unchanged", "fine"} {
		s := sampleRows{Outcome: outcome}
		for _, v := range result.Verdicts {
			if v.Outcome == outcome {
				if s.All++; s.All <= shownRows {
					s.Rows = append(s.Rows, v)
				}
			}
		}
		if s.All > 0 {
			b.Sample = append(b.Sample, s)
		}
	}
	return b
}

// checkPlans says what a file would do. Nothing is written.
func (c *Console) checkPlans(w http.ResponseWriter, r *http.Request) {
	worker, ok := c.own(w, r, identity.SendPlans)
	if !ok {
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, socialcare.MaxFile+maxForm)
	// All of it stays in memory: a form's larger files would otherwise go to a disk.
	err := r.ParseMultipartForm(socialcare.MaxFile + 2*maxForm)
	var file multipart.File
	if err == nil {
		file, _, err = r.FormFile("file")
	}
	if err != nil {
		c.showPlans(w, r, http.StatusBadRequest, fmt.Sprintf("Choose a CSV or JSON Lines file of at most %d MB.", socialcare.MaxFile>>20))
		return
	}
	defer func() { _ = file.Close() }()
	text, err := io.ReadAll(io.LimitReader(file, socialcare.MaxFile+1))
	if err != nil || len(text) > socialcare.MaxFile {
		c.showPlans(w, r, http.StatusBadRequest, fmt.Sprintf("The file is larger than %d MB.", socialcare.MaxFile>>20))
		return
	}
	f := draft{worker: worker.ID, format: socialcare.FormatOf(text), full: r.FormValue("full") != "", text: text}
	result, err := c.authority.Care.Take(r.Context(), f.request(worker, true))
	var refusal *schemas.Refusal
	if errors.As(err, &refusal) {
		c.show(w, r, http.StatusBadRequest, "result", page{Title: "The file cannot be used", Active: "/authority/plans", Wide: true, Body: resultPage{Problem: refusal}})
		return
	}
	if err != nil {
		c.refused(w, r, err)
		return
	}
	b := resultOf(result)
	b.Full, b.Draft = f.full, c.drafts.put(f)
	c.show(w, r, http.StatusOK, "result", page{Title: "What the file would do", Active: "/authority/plans", Wide: true, Body: b})
}

func (f draft) request(w *identity.Worker, check bool) socialcare.Request {
	return socialcare.Request{Authority: w.Authority, Format: f.format, Body: bytes.NewReader(f.text), Full: f.full, By: w.ID, Check: check}
}

// draft is the checked file that a form is about, and who checked it.
func (c *Console) draft(w http.ResponseWriter, r *http.Request) (*identity.Worker, draft, bool) {
	worker, ok := c.own(w, r, identity.SendPlans)
	if !ok {
		return nil, draft{}, false
	}
	f, ok := c.drafts.get(r.PostFormValue("draft"), worker)
	if !ok {
		c.showPlans(w, r, http.StatusGone, "The file is not held any more, and nothing was done. Choose it again.")
	}
	return worker, f, ok
}

// sendPlans takes a file that was checked.
func (c *Console) sendPlans(w http.ResponseWriter, r *http.Request) {
	worker, f, ok := c.draft(w, r)
	if !ok {
		return
	}
	result, err := c.authority.Care.Take(r.Context(), f.request(worker, false))
	if err != nil {
		c.refused(w, r, err)
		return
	}
	b := resultOf(result)
	b.Draft = r.PostFormValue("draft") // its rows can still be fetched
	c.show(w, r, http.StatusOK, "result", page{Title: "What became of the file", Active: "/authority/plans", Wide: true, Body: b})
}

// planRows gives a file back, each row with its code and what to do.
func (c *Console) planRows(w http.ResponseWriter, r *http.Request) {
	worker, f, ok := c.draft(w, r)
	if !ok {
		return
	}
	result, err := c.authority.Care.Take(r.Context(), f.request(worker, true))
	if err != nil {
		c.refused(w, r, err)
		return
	}
	name := "checked" + map[bool]string{true: ".csv", false: ".jsonl"}[f.format == socialcare.CSV]
	w.Header().Set("Content-Type", f.format)
	w.Header().Set("Content-Disposition", `attachment; filename="`+name+`"`)
	_ = socialcare.Annotate(w, f.format, f.text, result.Verdicts)
}

// undoFor is for how long a file can be undone.
const undoFor = 7 * 24 * time.Hour

type filePage struct {
	Upload schemas.Upload
	Mine   bool // whoever looks has sent it, and so does not approve it
	Undo   bool
	Said   string
}

// file shows what became of one file, and what can be done about it.
func (c *Console) file(w http.ResponseWriter, r *http.Request) { c.showFile(w, r, "") }

func (c *Console) showFile(w http.ResponseWriter, r *http.Request, said string) {
	worker, ok := c.own(w, r, identity.SendPlans)
	if !ok {
		return
	}
	uploads := c.authority.Care.Uploads(worker.Authority)
	i := slices.IndexFunc(uploads, func(u schemas.Upload) bool { return u.UploadID == r.PathValue("id") })
	if i < 0 {
		c.refused(w, r, &schemas.Refusal{Code: "CPIS-L032", Location: "file", Reason: "none of your authority's has this id"})
		return
	}
	b := filePage{Upload: uploads[i], Mine: c.authority.Care.SentBy(worker.Authority, uploads[i], worker.ID), Undo: uploads[i].State == schemas.UploadTaken && c.now().Sub(uploads[i].At) < undoFor, Said: said}
	c.show(w, r, http.StatusOK, "file", page{Title: "A file", Active: "/authority/plans", Body: b})
}

// decideFile takes, drops or undoes a file.
func (c *Console) decideFile(w http.ResponseWriter, r *http.Request) {
	worker, ok := c.own(w, r, identity.SendPlans)
	if !ok {
		return
	}
	care, id, said := c.authority.Care, r.PathValue("id"), ""
	var err error
	switch r.PathValue("verb") {
	case "approve":
		var result socialcare.Result
		if result, err = care.Approve(r.Context(), worker.Authority, id, worker.ID); err == nil {
			said = fmt.Sprintf("The file is taken: %d records are in, %d were refused.", result.Accepted, result.Refused)
		}
	case "cancel":
		if err = care.Cancel(r.Context(), worker.Authority, id, worker.ID); err == nil {
			said = "The file is dropped. Nothing of it is in."
		}
	case "undo":
		var undone socialcare.Undone
		if undone, err = care.Undo(r.Context(), worker.Authority, id, worker.ID); err == nil {
			said = undone.Words()
		}
	default:
		err = &schemas.Refusal{Code: "CPIS-W001", Location: "verb", Reason: "none of approve, cancel, undo"}
	}
	if err != nil {
		c.refused(w, r, err)
		return
	}
	c.showFile(w, r, said)
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
