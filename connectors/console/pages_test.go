package console

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"cpis/connectors/feed"
	"cpis/connectors/identity"
	"cpis/schemas"
)

// ward is a care setting with arrivals of every kind.
type ward struct{ arrivals []Arrival }

func (ward) Feeds() []Feed {
	return []Feed{{"ward", "RXX01", schemas.SettingPaediatricWard}, {"elsewhere", "RYY01", schemas.SettingMaternity}}
}

func (w ward) Board(name string, page, size int) ([]Arrival, int, bool) {
	if name != "ward" {
		panic("a board of another organisation was asked for")
	}
	from := min(page*size, len(w.arrivals))
	return w.arrivals[from:min(from+size, len(w.arrivals))], len(w.arrivals), true
}

func (w ward) Unopened(_ string, before time.Time) (out []time.Time) {
	for _, a := range w.arrivals {
		if a.Answer != nil && a.Answer.State == schemas.StateIndicator && a.Opened.IsZero() && a.Answer.DecidedAt.Before(before) {
			out = append(out, a.Answer.DecidedAt)
		}
	}
	return out
}

func (ward) Freshness() Freshness {
	return Freshness{Authorities: 2, Lately: 1, Late: []string{"Beeshire County"}, Whole: true}
}

func (ward) Told(string) []Told {
	return []Told{{Authority: "Aford Council", What: schemas.NoticeAttendance}}
}

func (ward) Confirmed(schemas.AuthorityCode) schemas.Date { return "" }

// front is the pages behind a real sign-in, at a clock of the test's own.
type front struct {
	*httptest.Server
	t    *testing.T
	desk *counter
	ward *ward
	live *Live

	mu  sync.Mutex
	now time.Time // guarded by mu
}

func (f *front) clock() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.now
}

func newFront(t *testing.T) *front {
	t.Helper()
	desk, c, _ := newDesk(t)
	f := &front{t: t, desk: c, ward: &ward{}, live: NewLive(), now: time.Now()}
	desk.now = f.clock
	for id, o := range c.answers {
		if id != "old" {
			o.AcceptedAt, o.DecidedAt = f.now, f.now
		}
		c.answers[id] = o
	}
	log := slog.New(slog.DiscardHandler)
	people := identity.NewSignIn(identity.SignInConfig{Practice: true}, func(o schemas.ODSCode) bool { return o.Under("RXX") }, f.clock, log)
	practice, err := identity.NewPractice(f.clock)
	if err != nil {
		t.Fatal(err)
	}
	engine := Engine{Feeds: func() []Connection { return nil }, Flow: func() Flow { return Flow{} }, Letters: func() []LetterGroup { return nil }, Ledger: func() Ledger { return Ledger{} },
		Explain: func(string) ([]feed.Explanation, error) { return nil, nil }, Ready: func(string) []Check { return []Check{{What: "A registration (A04)"}} }}
	pages, err := New(Config{Desk: desk, Boards: f.ward, Around: f.ward, Engine: engine, Live: f.live, Place: time.UTC, Now: f.clock, Log: log, Demo: true, People: people})
	if err != nil {
		t.Fatal(err)
	}
	mux := identity.NewMux(nil, log)
	mux.People, mux.Unsigned = people, pages.Unsigned
	for _, routes := range []map[string]http.HandlerFunc{people.Routes(), practice.Routes(), desk.Routes(), pages.Routes()} {
		for route, handle := range routes {
			mux.HandleFunc(route, handle)
		}
	}
	if err := mux.Err(); err != nil {
		t.Fatal(err)
	}
	f.Server = httptest.NewServer(mux)
	t.Cleanup(f.Close)
	t.Cleanup(f.live.Close)
	return f
}

// signIn is a browser of somebody of the practice cast.
func (f *front) signIn(id string) *http.Client {
	f.t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		f.t.Fatal(err)
	}
	c := &http.Client{Jar: jar}
	_, page := f.get(c, "/signin")
	form := url.Values{"card": {id}}
	for _, m := range regexp.MustCompile(`type="hidden" name="(\w+)" value="([^"]*)"`).FindAllStringSubmatch(page, -1) {
		form.Set(m[1], m[2])
	}
	if status, text := f.post(c, "/practice/authorize", form); status != http.StatusOK {
		f.t.Fatalf("%d %s", status, text)
	}
	return c
}

func (f *front) get(c *http.Client, path string) (int, string) {
	f.t.Helper()
	req, err := http.NewRequest(http.MethodGet, f.URL+path, nil)
	if err != nil {
		f.t.Fatal(err)
	}
	req.Header.Set("Accept", "text/html")
	return f.do(c, req)
}

func (f *front) post(c *http.Client, path string, form url.Values) (int, string) {
	f.t.Helper()
	req, err := http.NewRequest(http.MethodPost, f.URL+path, strings.NewReader(form.Encode()))
	if err != nil {
		f.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return f.do(c, req)
}

func (f *front) do(c *http.Client, req *http.Request) (int, string) {
	f.t.Helper()
	res, err := c.Do(req)
	if err != nil {
		f.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		f.t.Fatal(err)
	}
	return res.StatusCode, string(text)
}

func (f *front) arrives(family string, state schemas.State, reason schemas.Reason) {
	a := Arrival{Key: family, Since: f.clock(), Place: "Bay 4", Person: schemas.Person{FamilyName: family, GivenNames: "Kim", DateOfBirth: "2019-08-07"}, Verified: true}
	if state != "" {
		a.Answer = &schemas.Outcome{OutcomeID: "now", State: state, Reason: reason, DecidedAt: f.clock()}
	}
	f.ward.arrivals = append([]Arrival{a}, f.ward.arrivals...)
}

const (
	nurse    = "555000000001"
	lead     = "555000000004"
	operator = "555000000007"
)

// TestTheBoardSaysAllSixAnswersInWords looks at the board as a nurse, as a safeguarding
// lead, and as the families who pass by.
func TestTheBoardSaysAllSixAnswersInWords(t *testing.T) {
	f := newFront(t)
	f.arrives("Waits", "", "")
	f.arrives("Plan", schemas.StateIndicator, schemas.ReasonPlanCurrent)
	f.arrives("Past", schemas.StateIndicatorEnded, schemas.ReasonPlanEnded)
	f.arrives("Clear", schemas.StateNoneShared, schemas.ReasonNothingShared)
	f.arrives("Untraced", schemas.StateNotChecked, schemas.ReasonNumberAbsent)
	f.arrives("Maybe", schemas.StatePossible, schemas.ReasonDetailsMayAgree)
	f.arrives("Broken", schemas.StateCheckFailed, schemas.ReasonIndexBehind)
	rows := func(page string) map[string]string {
		out := map[string]string{}
		for _, row := range regexp.MustCompile(`(?s)<tr class="nhsuk-table__row[^>]*data-key="(\w+)".*?</tr>`).FindAllStringSubmatch(page, -1) {
			out[row[1]] = regexp.MustCompile(`\s+`).ReplaceAllString(regexp.MustCompile(`<[^>]*>`).ReplaceAllString(row[0], " "), " ")
		}
		return out
	}
	status, page := f.get(f.signIn(nurse), "/board")
	if status != http.StatusOK || !strings.Contains(page, "1 of 2 authorities sent data when it was due. Late: Beeshire County.") {
		t.Fatalf("%d %s", status, page)
	}
	seen := rows(page)
	for family, words := range map[string]string{"Waits": "Being checked", "Plan": "Indicator", "Past": "Ended in the last year", "Clear": "No plan shared", "Untraced": "Not checked", "Maybe": "Not checked", "Broken": "Check failed"} {
		if !strings.Contains(seen[family], words) || !strings.Contains(seen[family], strings.ToUpper(family)+", Kim (7 years)") {
			t.Errorf("%s: %q", family, seen[family])
		}
	}
	if u, m := strings.ReplaceAll(seen["Untraced"], "UNTRACED", ""), strings.ReplaceAll(seen["Maybe"], "MAYBE", ""); u != m {
		t.Errorf("a nurse can tell POSSIBLE from an identity that is not confirmed:\n%s\n%s", u, m)
	}
	if !strings.Contains(seen["Clear"], "This does not mean there is no concern.") || !strings.Contains(seen["Broken"], "trying again") {
		t.Errorf("%q %q", seen["Clear"], seen["Broken"])
	}
	if n := strings.Count(page, `name="handle"`); n != 2 {
		t.Errorf("%d answers can be opened", n)
	}
	_, page = f.get(f.signIn(lead), "/board?at=ward")
	if !strings.Contains(rows(page)["Maybe"], "Possible") {
		t.Errorf("a safeguarding lead: %q", rows(page)["Maybe"])
	}
	c := f.signIn(nurse)
	_, wall := f.get(c, "/board?wall=1")
	for _, secret := range []string{"MAYBE", "Kim", "7 years", "Indicator", "Ended", "handle"} {
		if strings.Contains(wall, secret) {
			t.Errorf("the wall shows %s", secret)
		}
	}
	if strings.Count(wall, "See the list") != 6 || strings.Count(wall, "Seen to") != 1 || !strings.Contains(wall, "Bay 4") {
		t.Errorf("the wall:\n%s", wall)
	}
	if status, page := f.get(f.signIn(operator), "/board"); status != http.StatusForbidden || strings.Contains(page, "Kim") {
		t.Errorf("an operator: %d", status)
	}
	if status, _ := f.get(c, "/board?at=elsewhere"); status != http.StatusForbidden {
		t.Errorf("a board of another organisation: %d", status)
	}
}

// TestPagesAreForTheirRoles asks for every page, and for everything that a page does, as
// those whose work it is not.
func TestPagesAreForTheirRoles(t *testing.T) {
	f := newFront(t)
	const visitor, privacy, analyst, engineer = "555000000003", "555000000005", "555000000006", "555000000010"
	everybody := []string{nurse, visitor, lead, privacy, analyst, operator, engineer}
	browsers := map[string]*http.Client{}
	for _, id := range everybody {
		browsers[id] = f.signIn(id)
	}
	authority := []string{} // nobody here is of one
	for route, allowed := range map[string][]string{
		"GET /board": {nurse, visitor, lead}, "GET /board/rows": {nurse, visitor, lead}, "GET /board/live": {nurse, visitor, lead}, "POST /answer": {nurse, visitor, lead}, "POST /answer/feedback": {nurse, visitor, lead},
		"GET /history": {nurse, lead}, "POST /history": {nurse, lead}, "POST /history/reviewed": {nurse, lead}, "GET /glass": {nurse, lead}, "POST /glass": {nurse, lead}, "GET /reviews": {lead, privacy}, "POST /reviews/done": {lead, privacy},
		"GET /authority": authority, "GET /authority/plans": authority, "POST /authority/plans/check": authority, "POST /authority/plans/send": authority, "POST /authority/plans/rows": authority, "GET /authority/files/1": authority,
		"POST /authority/files/1/approve": authority, "GET /authority/contacts": authority, "POST /authority/contacts": authority, "GET /authority/notices": authority, "POST /authority/notices/answer": authority,
		"GET /operations": {operator}, "GET /operations/letters": {operator}, "POST /operations/letters/replay": {operator}, "GET /operations/message": {operator}, "POST /operations/message": {operator}, "GET /operations/ledger": {operator},
		"GET /connect": {operator, engineer}, "POST /connect": {operator, engineer}, "GET /connect/ward": {operator, engineer},
	} {
		method, path, _ := strings.Cut(route, " ")
		for _, id := range everybody {
			if slices.Contains(allowed, id) {
				continue
			}
			status, page := 0, ""
			if method == http.MethodGet {
				status, page = f.get(browsers[id], path)
			} else {
				status, page = f.post(browsers[id], path, url.Values{"handle": {"now"}, "what": {"NUMBER_WRONG"}, "nhs_number": {childNumber}, "reason": {"LIFE_AT_RISK"}, "finding": {"KEEP_WATCHING"}, "verdict": {"GOOD_REASON"}, "item": {"1"}, "id": {"1"}})
			}
			if status != http.StatusForbidden || strings.Contains(page, "Aford") {
				t.Errorf("%s as %s: %d", route, id, status)
			}
		}
	}
	// An engineer's feeds are those of their trust.
	if status, _ := f.get(browsers[engineer], "/connect/ward"); status != http.StatusOK {
		t.Errorf("their own feed: %d", status)
	}
	if status, _ := f.get(browsers[engineer], "/connect/elsewhere"); status != http.StatusForbidden {
		t.Errorf("another trust's feed: %d", status)
	}
}

// TestNamesGoWithWhoeverWatchedThem leaves a board alone: after a quarter of an hour it
// names nobody, its live stream goes on, and no page of a person is open any more.
func TestNamesGoWithWhoeverWatchedThem(t *testing.T) {
	f := newFront(t)
	f.arrives("Plan", schemas.StateIndicator, schemas.ReasonPlanCurrent)
	c := f.signIn(nurse)
	later := func(d time.Duration) {
		f.mu.Lock()
		f.now = f.now.Add(d)
		f.mu.Unlock()
	}
	for range 20 { // a board that is only looked at keeps nobody signed in
		later(time.Minute)
		f.get(c, "/board/rows?at=ward")
	}
	for _, path := range []string{"/board", "/board/rows?at=ward"} {
		if status, page := f.get(c, path); status != http.StatusOK || strings.Contains(page, "PLAN, Kim") || !strings.Contains(page, "See the list") {
			t.Errorf("%s: %d %s", path, status, page)
		}
	}
	if status, text := f.post(c, "/answer", url.Values{"handle": {"now"}}); strings.Contains(text, "Aford") || status == http.StatusOK && !strings.Contains(text, "not signed in") {
		t.Errorf("an answer was opened: %d", status)
	}
	if _, page := f.get(c, "/history"); !strings.Contains(page, "You are not signed in") {
		t.Errorf("%s", page)
	}
	later(10 * time.Hour)
	if _, page := f.get(c, "/board"); strings.Contains(page, "See the list") {
		t.Error("the screen goes on after the shift")
	}
}

// TestOpeningIsTheRecordedView opens an answer, and does not where that cannot be put on
// record.
func TestOpeningIsTheRecordedView(t *testing.T) {
	f := newFront(t)
	c := f.signIn(nurse)
	f.desk.happened = nil
	status, page := f.post(c, "/answer", url.Values{"handle": {"now"}})
	if status != http.StatusOK || !strings.Contains(page, "Subject to child protection plan, started 3 March 2026.") || !strings.Contains(page, `href="tel:01632960001"`) {
		t.Errorf("%d %s", status, page)
	}
	if len(f.desk.happened) != 1 || f.desk.happened[0] != "viewed now" {
		t.Errorf("%q", f.desk.happened)
	}
	if status, page := f.post(c, "/answer/feedback", url.Values{"handle": {"now"}, "what": {"NUMBER_WRONG"}, "authority": {"E06A"}}); status != http.StatusOK || !strings.Contains(page, "Number wrong") || f.desk.happened[2] != "told E06A of now NUMBER_WRONG" {
		t.Errorf("%d %q", status, f.desk.happened)
	}
	if status, _ := f.post(c, "/answer/feedback", url.Values{"handle": {"now"}, "what": {"she is lying"}}); status != http.StatusBadRequest {
		t.Errorf("free text: %d", status)
	}
	f.desk.down = true
	if status, page := f.post(c, "/answer", url.Values{"handle": {"now"}}); status != http.StatusServiceUnavailable || strings.Contains(page, "Aford") || !strings.Contains(page, "CPIS-W007") {
		t.Errorf("while nothing can be put on record: %d %s", status, page)
	}
}

// TestWhoReadsAHistory asks for one as those who may, and those who may not.
func TestWhoReadsAHistory(t *testing.T) {
	desk, c, _ := newDesk(t)
	child, _ := schemas.ParseNHSNumber(childNumber)
	stranger, _ := schemas.ParseNHSNumber("9990000069")
	now := desk.now()
	for _, r := range []struct {
		name string
		who  *identity.Worker
		of   subject
		code schemas.Code
	}{
		{"a nurse, of a child registered today", worker(now, identity.Unscheduled), subject{number: child}, ""},
		{"by the answer", worker(now, identity.Unscheduled), subject{handle: "now"}, ""},
		{"a nurse, of an old answer of a child that is here again", worker(now, identity.Unscheduled), subject{handle: "old"}, "CPIS-W006"},
		{"a lead, of an old answer", worker(now, identity.SafeguardingLead), subject{handle: "old"}, ""},
		{"a nurse, of somebody else", worker(now, identity.Unscheduled), subject{number: stranger}, "CPIS-W006"},
		{"scheduled care", worker(now, identity.Scheduled), subject{number: child}, "CPIS-W006"},
		{"an unknown answer", worker(now, identity.Unscheduled), subject{handle: "none"}, "CPIS-W006"},
		{"a social worker of the authority", &identity.Worker{ID: "6", ODS: "E06A", Authority: "E06A", Roles: []identity.Role{identity.SocialWorker}}, subject{number: child}, ""},
		{"a social worker of another", &identity.Worker{ID: "6", ODS: "E06B", Authority: "E06B", Roles: []identity.Role{identity.SocialWorker}}, subject{number: child}, "CPIS-W006"},
		{"who sends the authority's plans", &identity.Worker{ID: "6", ODS: "E06A", Authority: "E06A", Roles: []identity.Role{identity.PlanKeeper}}, subject{number: child}, "CPIS-W006"},
	} {
		c.happened = nil
		_, err := desk.History(context.Background(), r.who, r.of, time.Time{}, now, lastSeen, time.UTC)
		if codeOf(err) != r.code {
			t.Errorf("%s: %v", r.name, err)
		}
		want := "history.read"
		if r.code != "" {
			want = "request.refused CPIS-W006"
		}
		if len(c.happened) != 1 || c.happened[0] != want {
			t.Errorf("%s: on record is %q", r.name, c.happened)
		}
	}
	c.down = true
	if _, err := desk.History(context.Background(), worker(now, identity.Unscheduled), subject{number: child}, time.Time{}, now, lastSeen, time.UTC); codeOf(err) != "CPIS-W007" {
		t.Errorf("while nothing can be put on record: %v", err)
	}
}

// TestWhoLooksDoesNotBetrayWhereSomebodyIs: of somebody restricted neither the answer, nor
// who was told, nor who has looked names the authority, but to those who see what is hidden.
func TestWhoLooksDoesNotBetrayWhereSomebodyIs(t *testing.T) {
	f := newFront(t)
	events := []Event{{Kind: schemas.AuditAccess, Action: schemas.ActionHistoryRead, At: f.clock(), Authority: true, Organisation: "E06A", Name: "S. Social", Role: "R9006 Social worker of Aford Council"},
		{Kind: schemas.AuditView, At: f.clock(), Organisation: "RXX01", Name: "C. Nurse"}}
	for id, names := range map[string]bool{nurse: false, lead: true} {
		c := f.signIn(id)
		f.desk.events = slices.Clone(events)
		status, answer := f.post(c, "/answer", url.Values{"handle": {"restricted"}})
		f.desk.events = slices.Clone(events)
		status2, history := f.post(c, "/history", url.Values{"handle": {"restricted"}})
		if status != http.StatusOK || status2 != http.StatusOK || !strings.Contains(history, "C. Nurse") {
			t.Fatalf("%d %d", status, status2)
		}
		if strings.Contains(answer, "Aford") != names || strings.Contains(history, "S. Social") != names || strings.Contains(history, "Aford") != names || strings.Contains(history, "E06A") != names {
			t.Errorf("as %s the authority is named: answer %v, history %v", id, strings.Contains(answer, "Aford"), strings.Contains(history, "Aford") || strings.Contains(history, "E06A"))
		}
		if !names && (!strings.Contains(answer, "The local authority was told") || !strings.Contains(history, "A local authority")) {
			t.Error("that somebody was told, and looked, is not said")
		}
		if !names && (strings.Contains(answer, "tel:") || !strings.Contains(answer, "Ask your safeguarding lead")) {
			t.Error("there is a number to ring, of nobody")
		}
	}
}

// TestBrokenGlassDoesNotBetrayItEither breaks it for somebody restricted.
func TestBrokenGlassDoesNotBetrayItEither(t *testing.T) {
	desk, _, _ := newDesk(t)
	restricted, _ := schemas.ParseNHSNumber("9990000042")
	child, _ := schemas.ParseNHSNumber(childNumber)
	for _, c := range []struct {
		role  identity.Role
		n     schemas.NHSNumber
		named bool
	}{{identity.Unscheduled, restricted, false}, {identity.SafeguardingLead, restricted, true}, {identity.Unscheduled, child, true}} {
		plans, _, err := desk.Break(context.Background(), worker(desk.now(), c.role), c.n, "LIFE_AT_RISK")
		if err != nil || len(plans) != 1 || (plans[0].AuthorityName == "Aford") != c.named || !c.named && plans[0].RingNow != schemas.Withheld {
			t.Errorf("%s: %+v %v", c.role, plans, err)
		}
	}
}

// TestReadingPlansByNumber is what the national shapes stand on.
func TestReadingPlansByNumber(t *testing.T) {
	desk, c, _ := newDesk(t)
	child, _ := schemas.ParseNHSNumber(childNumber)
	restricted, _ := schemas.ParseNHSNumber("9990000042")
	registered, _ := schemas.ParseNHSNumber("9990000026")
	stranger, _ := schemas.ParseNHSNumber("9990000069")
	now, ctx := desk.now(), context.Background()
	for _, r := range []struct {
		name   string
		who    *identity.Worker
		n      schemas.NHSNumber
		silent bool
		code   schemas.Code
		record string
		named  bool
	}{
		{"a nurse", worker(now, identity.Unscheduled), child, false, "", "viewed now", true},
		{"from scheduled care", worker(now, identity.Unscheduled), child, true, "", "viewed now silently", true},
		{"a role that reads silently", worker(now, identity.Scheduled), child, false, "", "viewed now silently", true},
		{"somebody restricted", worker(now, identity.Unscheduled), restricted, false, "", "viewed restricted", false},
		{"registered, and no answer shows a plan", worker(now, identity.Unscheduled), registered, false, "", "read 1 plans, silently false", true},
		{"not registered here", worker(now, identity.Unscheduled), stranger, false, "CPIS-W006", "request.refused CPIS-W006", false},
		{"an operator", worker(now, identity.Operator), child, false, "CPIS-W006", "request.refused CPIS-W006", false},
	} {
		c.happened = nil
		plans, err := desk.Read(ctx, r.who, r.n, r.silent)
		if codeOf(err) != r.code || len(c.happened) != 1 || c.happened[0] != r.record {
			t.Errorf("%s: %v, on record %q", r.name, err, c.happened)
		}
		if r.code == "" && (len(plans) != 1 || (plans[0].AuthorityName == "Aford") != r.named) {
			t.Errorf("%s: %+v", r.name, plans)
		}
	}
	c.plans, c.happened = nil, nil
	if plans, err := desk.Read(ctx, worker(now, identity.Unscheduled), child, false); err != nil || len(plans) != 0 || len(c.happened) != 0 {
		t.Errorf("nobody shares anything: %v %v, on record %q", plans, err, c.happened)
	}
	c.events = []Event{{Kind: schemas.AuditView, Name: "C. Nurse", At: now}, {Kind: schemas.AuditDecision, At: now}, {Kind: schemas.AuditView, Name: "D. Nurse", At: now}}
	if seen, err := desk.Looked(ctx, worker(now, identity.Unscheduled), child, true, 1); err != nil || len(seen) != 1 || seen[0].Name != "C. Nurse" || c.happened[0] != "history.read silently" {
		t.Errorf("%v %v %q", seen, err, c.happened)
	}
}
