package console

import (
	"bytes"
	"compress/gzip"
	"embed"
	"fmt"
	"html/template"
	"io/fs"
	"log/slog"
	"net/http"
	"path"
	"strings"
	"time"

	"cpis/connectors"
	"cpis/connectors/identity"
	"cpis/schemas"
)

// nhsuk-frontend 10.6.1 of NHS England (MIT licence), without the font, which is
// licensed, and without the logo, which is not ours to use.
//
//go:embed assets
var assetFiles embed.FS

//go:embed pages
var pageFiles embed.FS

// printer renders pages. Its templates are parsed once.
type printer struct {
	pages  map[string]*template.Template
	assets map[string]asset
	place  *time.Location
	now    func() time.Time
	log    *slog.Logger
	demo   bool // everybody is invented, and every page says so
}

// asset is a style sheet or script, as it is and packed.
type asset struct {
	kind        string
	text, small []byte
}

func newPrinter(place *time.Location, now func() time.Time, log *slog.Logger, demo bool) (*printer, error) {
	p := &printer{pages: map[string]*template.Template{}, assets: map[string]asset{}, place: place, now: now, log: log, demo: demo}
	shared, err := template.New("").Funcs(p.functions()).ParseFS(pageFiles, "pages/layout.html", "pages/parts.html")
	if err != nil {
		return nil, fmt.Errorf("read pages: %w", err)
	}
	names, err := fs.Glob(pageFiles, "pages/*.html")
	if err != nil {
		return nil, fmt.Errorf("read pages: %w", err)
	}
	for _, name := range names {
		own, err := shared.Clone()
		if err == nil {
			own, err = own.ParseFS(pageFiles, name)
		}
		if err != nil {
			return nil, fmt.Errorf("read pages: %w", err)
		}
		p.pages[strings.TrimSuffix(path.Base(name), ".html")] = own
	}
	files, err := fs.Glob(assetFiles, "assets/*")
	if err != nil {
		return nil, fmt.Errorf("read assets: %w", err)
	}
	for _, name := range files {
		text, err := fs.ReadFile(assetFiles, name)
		if err != nil {
			return nil, fmt.Errorf("read assets: %w", err)
		}
		media, known := mediaTypes[path.Ext(name)]
		if !known {
			return nil, fmt.Errorf("read assets: %s: no media type is known", name)
		}
		p.assets[path.Base(name)] = asset{media, text, packed(text)}
	}
	return p, nil
}

// mediaTypes are those of the assets. Those a machine has in its own tables may differ.
var mediaTypes = map[string]string{".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}

func packed(text []byte) []byte {
	var out bytes.Buffer
	w, _ := gzip.NewWriterLevel(&out, gzip.BestCompression) // the level is one there is
	_, _ = w.Write(text)
	_ = w.Close()
	return out.Bytes()
}

// functions are what templates call: how things are written.
func (p *printer) functions() template.FuncMap {
	c := func() clock { return clock{p.now(), p.place} }
	return template.FuncMap{
		"when": func(t time.Time) string { return c().when(t) }, "ago": func(t time.Time) string { return c().ago(t) }, "hour": func(t time.Time) string { return c().hour(t) },
		"at":  func(t *time.Time) time.Time { return *t },
		"iso": func(t time.Time) string { return t.UTC().Format(time.RFC3339) }, "age": func(d schemas.Date) string { return c().age(d) }, "day": schemas.Date.Words,
		"number": threeThreeFour, "surname": surname, "dial": dial, "setting": settingName, "plan": schemas.PlanType.Words, "notice": noticeName, "sentence": func(v any) string { return sentence(fmt.Sprint(v)) },
		"count":   func(n any, what string) string { return counted(n, what) },
		"explain": func(code any) schemas.Entry { e, _ := schemas.Explain(fmt.Sprint(code)); return e },
	}
}

// page is what every page has.
type page struct {
	Title  string
	Active string // the entry of the menu that the page belongs to
	Worker *identity.Worker
	Menu   []entry
	Demo   bool
	// Live is where a browser with scripts hears of changes; one without asks again after
	// Refresh seconds. Without Live it is scripts that ask, for as long as somebody is there:
	// a page that asks by itself would keep them signed in.
	Live    string
	Refresh int // 0 never
	Wide    bool
	Printed string // who printed it, on paper alone
	Body    any
}

// entry is an entry of the menu.
type entry struct{ Name, Path string }

// menu is what somebody may go to.
func menu(w *identity.Worker) []entry {
	if w == nil {
		return nil
	}
	var out []entry
	for _, e := range []struct {
		entry
		action identity.Action
	}{
		{entry{"Board", "/board"}, identity.ListAnswers},
		{entry{"Who has looked", "/history"}, identity.SeeHistory},
		{entry{"Reviews", "/reviews"}, identity.Review},
		{entry{"Your authority", "/authority"}, identity.ReadNotices},
		{entry{"Notices", "/authority/notices"}, identity.ReadNotices},
		{entry{"Plans", "/authority/plans"}, identity.SendPlans},
		{entry{"Contacts", "/authority/contacts"}, identity.SendPlans},
		{entry{"Operations", "/operations"}, identity.Operate},
		{entry{"Connect", "/connect"}, identity.Connect},
	} {
		if identity.Can(w.Roles, e.action) {
			out = append(out, e.entry)
		}
	}
	return out
}

// show renders a page for whoever asks.
func (p *printer) show(w http.ResponseWriter, r *http.Request, status int, name string, pg page) {
	pg.Worker = identity.From(r.Context()).Worker
	pg.Menu, pg.Demo = menu(pg.Worker), p.demo
	if pg.Worker != nil {
		pg.Printed = fmt.Sprintf("Printed by %s, %s, at %s.", pg.Worker.Name, pg.Worker.ODS, clock{p.now(), p.place}.when(p.now()))
	}
	p.write(w, r, status, name, "layout", pg)
}

// write renders one template of a page, packed where the browser unpacks. Nothing is
// sent of a page that cannot be rendered whole.
func (p *printer) write(w http.ResponseWriter, r *http.Request, status int, name, part string, data any) {
	var text bytes.Buffer
	if err := p.pages[name].ExecuteTemplate(&text, part, data); err != nil {
		p.log.Error("a page cannot be rendered", "page", name, "error", err)
		http.Error(w, "This page cannot be shown. Use your local fallback.", http.StatusInternalServerError)
		return
	}
	out := text.Bytes()
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Vary", "Accept-Encoding")
	if unpacks(r) {
		w.Header().Set("Content-Encoding", "gzip")
		out = packed(out)
	}
	w.WriteHeader(status)
	_, _ = w.Write(out)
}

func unpacks(r *http.Request) bool { return strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") }

// asset serves a style sheet or script. Its name changes with its content but for our
// own, so that a browser asks anew after an hour.
func (p *printer) asset(w http.ResponseWriter, r *http.Request) {
	a, ok := p.assets[r.PathValue("file")]
	if !ok {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", a.kind)
	w.Header().Set("Cache-Control", "public, max-age=3600")
	w.Header().Set("Vary", "Accept-Encoding")
	out := a.text
	if unpacks(r) {
		w.Header().Set("Content-Encoding", "gzip")
		out = a.small
	}
	_, _ = w.Write(out)
}

// refuse tells a browser why not, and what to do.
func (p *printer) refuse(w http.ResponseWriter, r *http.Request, status int, why *schemas.Refusal) {
	p.show(w, r, status, "refused", page{Title: "This cannot be done", Body: connectors.NewProblem(status, why)})
}
