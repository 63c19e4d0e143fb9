package console

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"slices"
	"time"

	"cpis/connectors/identity"
	"cpis/connectors/socialcare"
	"cpis/schemas"
)

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
	b.Draft = c.drafts.put(f)
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
