package identity

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"
	"golang.org/x/oauth2"

	"cpis/schemas"
)

// front is a broker's door with its practice provider.
type front struct {
	*httptest.Server
	signIn   *SignIn
	practice *Practice
	told     []schemas.Action
	now      time.Time
	broken   bool // nothing can be put on record
}

func newFront(t *testing.T) *front {
	t.Helper()
	d := &front{now: time.Now()}
	clock := func() time.Time { return d.now }
	var err error
	if d.practice, err = NewPractice(clock); err != nil {
		t.Fatal(err)
	}
	d.signIn = NewSignIn(SignInConfig{Practice: true}, func(o schemas.ODSCode) bool { return o == "RXX" || o == "RXX01" || o == "RXX06" }, clock, slog.New(slog.DiscardHandler))
	d.signIn.Told = func(_ context.Context, what schemas.Action, _ *Worker) error {
		d.told = append(d.told, what)
		if d.broken {
			return errors.New("the audit log is away")
		}
		return nil
	}
	mux := NewMux(nil, slog.New(slog.DiscardHandler))
	mux.People = d.signIn
	for _, routes := range []map[string]http.HandlerFunc{d.signIn.Routes(), d.practice.Routes()} {
		for route, h := range routes {
			mux.HandleFunc(route, h)
		}
	}
	mux.HandleFunc("GET /v1/me", func(w http.ResponseWriter, r *http.Request) {
		worker := From(r.Context()).Worker
		_, _ = fmt.Fprintf(w, "%s %s %s %v", worker.ID, worker.Name, worker.ODS, worker.Roles)
	})
	if err := mux.Err(); err != nil {
		t.Fatal(err)
	}
	d.Server = httptest.NewServer(mux)
	t.Cleanup(d.Close)
	return d
}

func browser(t *testing.T) *http.Client {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &http.Client{Jar: jar}
}

func fetch(t *testing.T, c *http.Client, req *http.Request) (int, string) {
	t.Helper()
	res, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	var b strings.Builder
	buffer := make([]byte, 64<<10)
	for {
		n, err := res.Body.Read(buffer)
		b.Write(buffer[:n])
		if err != nil {
			break
		}
	}
	return res.StatusCode, b.String()
}

func get(t *testing.T, c *http.Client, address string) (int, string) {
	t.Helper()
	req, err := http.NewRequest(http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	return fetch(t, c, req)
}

// choose signs in as one of the cast, as a browser does.
func (d *front) choose(t *testing.T, c *http.Client, id string) (int, string) {
	t.Helper()
	status, page := get(t, c, d.URL+"/signin")
	if status != http.StatusOK || !strings.Contains(page, "invented") {
		t.Fatalf("%d\n%s", status, page)
	}
	form := url.Values{"card": {id}}
	for _, m := range regexp.MustCompile(`name="(\w+)" value="([^"]*)"`).FindAllStringSubmatch(page, -1) {
		if m[1] != "card" {
			form.Set(m[1], strings.ReplaceAll(m[2], "&#43;", "+"))
		}
	}
	req, err := http.NewRequest(http.MethodPost, d.URL+"/practice/authorize", strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return fetch(t, c, req)
}

func TestSigningInAndOut(t *testing.T) {
	d := newFront(t)
	c := browser(t)
	if status, text := get(t, c, d.URL+"/v1/me"); status != http.StatusUnauthorized || !strings.Contains(text, "CPIS-W005") {
		t.Errorf("nobody is signed in: %d %s", status, text)
	}
	if status, text := d.choose(t, c, "555000000001"); status != http.StatusOK || !strings.Contains(text, "Signed in") {
		t.Fatalf("%d %s", status, text)
	}
	me := func(c *http.Client) string { _, text := get(t, c, d.URL+"/v1/me"); return text }
	if me(c) != "555000000001 C. Nurse RXX01 [UNSCHEDULED_CARE]" {
		t.Error(me(c))
	}
	d.now = d.now.Add(idleTime - time.Second)
	me(c)
	d.now = d.now.Add(idleTime - time.Second)
	if !strings.Contains(me(c), "C. Nurse") {
		t.Error("signed out while the page is used")
	}
	again := browser(t) // the same person elsewhere: the open screen ends
	d.choose(t, again, "555000000001")
	if !strings.Contains(me(c), "CPIS-W005") || !strings.Contains(me(again), "C. Nurse") {
		t.Error("somebody is signed in twice")
	}
	d.now = d.now.Add(idleTime + time.Second)
	if !strings.Contains(me(again), "CPIS-W005") {
		t.Error("an idle page stays signed in")
	}
	d.choose(t, again, "555000000004")
	if got := me(again); !strings.Contains(got, "SAFEGUARDING_LEAD") {
		t.Error(got)
	}
	for range 50 { // used all day, and over at the end of the shift
		d.now = d.now.Add(idleTime - time.Minute)
		me(again)
	}
	if !strings.Contains(me(again), "CPIS-W005") {
		t.Error("signed in for longer than a shift")
	}
	for id, why := range map[string]string{"555000000008": "no right", "555000000009": "assurance level 2"} {
		if status, text := d.choose(t, browser(t), id); status != http.StatusForbidden || !strings.Contains(text, "CPIS-W004") || !strings.Contains(text, why) {
			t.Errorf("%s: %d %s", id, status, text)
		}
	}
	out := browser(t)
	d.choose(t, out, "555000000002")
	for _, origin := range []string{"https://elsewhere.example", ""} {
		req, _ := http.NewRequest(http.MethodPost, d.URL+"/signout", nil)
		if origin != "" {
			req.Header.Set("Origin", origin)
			req.Header.Set("Sec-Fetch-Site", "cross-site")
		}
		fetch(t, out, req)
		if signedIn := strings.Contains(me(out), "D. Midwife"); signedIn != (origin != "") {
			t.Errorf("origin %q: signed in %v", origin, signedIn)
		}
	}
	d.broken = true
	if status, _ := d.choose(t, browser(t), "555000000001"); status != http.StatusServiceUnavailable {
		t.Errorf("signed in without a record: %d", status)
	}
	if !slices.Contains(d.told, schemas.ActionSignedIn) || !slices.Contains(d.told, schemas.ActionSignedOut) || !slices.Contains(d.told, schemas.ActionSignInRefused) {
		t.Errorf("on record: %v", d.told)
	}
}

// TestAnAnswerBelongsToItsSignIn: what comes back must have been asked for, by this very
// browser, once.
func TestAnAnswerBelongsToItsSignIn(t *testing.T) {
	d := newFront(t)
	c := browser(t)
	c.CheckRedirect = func(req *http.Request, _ []*http.Request) error {
		if strings.Contains(req.URL.Path, "callback") {
			return http.ErrUseLastResponse
		}
		return nil
	}
	begin := func() string {
		status, page := get(t, c, d.URL+"/signin")
		form := url.Values{"card": {"555000000001"}}
		for _, m := range regexp.MustCompile(`name="(\w+)" value="([^"]*)"`).FindAllStringSubmatch(page, -1) {
			if m[1] != "card" {
				form.Set(m[1], m[2])
			}
		}
		req, _ := http.NewRequest(http.MethodPost, d.URL+"/practice/authorize", strings.NewReader(form.Encode()))
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		res, err := c.Do(req)
		if err != nil || status != http.StatusOK {
			t.Fatal(status, err)
		}
		_ = res.Body.Close()
		return res.Header.Get("Location")
	}
	for name, change := range map[string]func(back string) (*http.Client, string){
		"another browser": func(back string) (*http.Client, string) { return browser(t), back },
		"another state":   func(back string) (*http.Client, string) { return c, back + "x" },
		"no code": func(back string) (*http.Client, string) {
			return c, regexp.MustCompile(`code=[^&]*`).ReplaceAllString(back, "code=")
		},
		"a code of nobody": func(back string) (*http.Client, string) {
			return c, regexp.MustCompile(`code=[^&]*`).ReplaceAllString(back, "code=abc")
		},
		"too late": func(back string) (*http.Client, string) { d.now = d.now.Add(startTime + time.Second); return c, back },
	} {
		client, address := change(begin())
		if status, text := get(t, client, address); status != http.StatusForbidden || !strings.Contains(text, "CPIS-W004") {
			t.Errorf("%s: %d %s", name, status, text)
		}
	}
	// A start is good for one answer, though the provider gives out another code for it.
	start := func() *http.Cookie {
		u, _ := url.Parse(d.URL)
		for _, cookie := range c.Jar.Cookies(u) {
			if cookie.Name == startCookie {
				return cookie
			}
		}
		return nil
	}
	first := begin()
	held := start()
	d.practice.mu.Lock()
	for code, given := range d.practice.codes {
		d.practice.codes[code+"2"] = given
	}
	d.practice.mu.Unlock()
	if status, _ := get(t, c, first); status != http.StatusOK {
		t.Error(status)
	}
	req, _ := http.NewRequest(http.MethodGet, regexp.MustCompile(`(code=[^&]*)`).ReplaceAllString(first, "${1}2"), nil)
	req.AddCookie(held)
	if status, _ := fetch(t, browser(t), req); status != http.StatusForbidden {
		t.Errorf("a start is good twice: %d", status)
	}
	back := begin()
	if status, _ := get(t, c, back); status != http.StatusOK {
		t.Error(status)
	}
	if status, _ := get(t, c, back); status != http.StatusForbidden {
		t.Errorf("an answer is good twice: %d", status)
	}
}

// forged makes one bad answer of a good one.
type forged struct {
	claims  func(map[string]any)
	info    func(map[string]any)
	sign    func(claims map[string]any) string
	access  string
	nonce   string
	noToken bool
}

// TestHostileTokens offers sixty tokens that prove nothing, beside one that does.
func TestHostileTokens(t *testing.T) {
	now := time.Now()
	practice, err := NewPractice(func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	other, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	info := map[string]any{}
	mux := http.NewServeMux()
	for route, h := range practice.Routes() {
		if !strings.Contains(route, "userinfo") {
			mux.HandleFunc(route, h)
		}
	}
	mux.HandleFunc("GET /practice/userinfo", func(w http.ResponseWriter, _ *http.Request) { answer(w, info) })
	server := httptest.NewServer(mux)
	defer server.Close()
	issuer := server.URL + practicePath
	provider, err := oidc.NewProvider(t.Context(), issuer)
	if err != nil {
		t.Fatal(err)
	}
	s := NewSignIn(SignInConfig{Practice: true}, func(o schemas.ODSCode) bool { return o == "RXX01" }, func() time.Time { return now }, slog.New(slog.DiscardHandler))
	person := practiceCast()[0]
	jws := func(alg jose.SignatureAlgorithm, key any, claims map[string]any, options *jose.SignerOptions) string {
		signer, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, options)
		if err != nil {
			t.Fatal(err)
		}
		text, _ := json.Marshal(claims)
		signed, err := signer.Sign(text)
		if err != nil {
			t.Fatal(err)
		}
		compact, _ := signed.CompactSerialize()
		return compact
	}
	part := func(v any) string { text, _ := json.Marshal(v); return base64.RawURLEncoding.EncodeToString(text) }
	set := func(name string, value any) forged {
		return forged{claims: func(c map[string]any) { c[name] = value }}
	}
	without := func(name string) forged {
		return forged{claims: func(c map[string]any) { delete(c, name) }}
	}
	role := func(change func(r map[string]any)) forged {
		return forged{info: func(i map[string]any) { change(i["nhsid_nrbac_roles"].([]map[string]any)[0]) }}
	}
	good := func(claims map[string]any) string { raw, _ := practice.idToken(claims); return raw }
	bad := map[string]forged{
		"no token": {noToken: true},
		"alg none": {sign: func(c map[string]any) string { return part(map[string]string{"alg": "none"}) + "." + part(c) + "." }},
		"alg None": {sign: func(c map[string]any) string { return part(map[string]string{"alg": "None"}) + "." + part(c) + "." }},
		"alg NONE with signature": {sign: func(c map[string]any) string {
			return part(map[string]string{"alg": "NONE"}) + "." + part(c) + "." + strings.Split(good(c), ".")[2]
		}},
		"signed with the public key": {sign: func(c map[string]any) string {
			body := part(map[string]string{"alg": "HS256", "kid": "practice"}) + "." + part(c)
			mac := hmac.New(sha256.New, practice.key.N.Bytes())
			mac.Write([]byte(body))
			return body + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
		}},
		"signed with the client's name": {sign: func(c map[string]any) string {
			return jws(jose.HS256, []byte(practiceClient+strings.Repeat("0", 32)), c, nil)
		}},
		"another key": {sign: func(c map[string]any) string { return jws(jose.RS256, other, c, nil) }},
		"another key under our key's id": {sign: func(c map[string]any) string {
			return jws(jose.RS256, jose.JSONWebKey{Key: other, KeyID: "practice"}, c, nil)
		}},
		"another key that it brings": {sign: func(c map[string]any) string { return jws(jose.RS256, other, c, &jose.SignerOptions{EmbedJWK: true}) }},
		"another key it points to": {sign: func(c map[string]any) string {
			return jws(jose.RS256, other, c, (&jose.SignerOptions{}).WithHeader("jku", server.URL+"/evil"))
		}},
		"RS512":         {sign: func(c map[string]any) string { return jws(jose.RS512, practice.key, c, nil) }},
		"PS256":         {sign: func(c map[string]any) string { return jws(jose.PS256, practice.key, c, nil) }},
		"ES256":         {sign: func(c map[string]any) string { return jws(jose.ES256, curve, c, nil) }},
		"no signature":  {sign: func(c map[string]any) string { return good(c)[:strings.LastIndex(good(c), ".")+1] }},
		"two parts":     {sign: func(c map[string]any) string { return good(c)[:strings.LastIndex(good(c), ".")] }},
		"a flipped bit": {sign: func(c map[string]any) string { raw := []byte(good(c)); raw[len(raw)-10] ^= 1; return string(raw) }},
		"other contents": {sign: func(c map[string]any) string {
			p := strings.Split(good(c), ".")
			c["sub"] = "555000000004"
			return p[0] + "." + part(c) + "." + p[2]
		}},
		"no JSON": {sign: func(map[string]any) string { return "a.b.c" }},
		"empty":   {sign: func(map[string]any) string { return "" }},
		"several signatures": {sign: func(c map[string]any) string {
			p := strings.Split(good(c), ".")
			return `{"payload":"` + p[1] + `","signatures":[{"protected":"` + p[0] + `","signature":"` + p[2] + `"}]}`
		}},

		"another issuer": set("iss", "https://evil.example"), "issuer with a slash": set("iss", issuer+"/"), "issuer in capitals": set("iss", strings.ToUpper(issuer)), "no issuer": without("iss"), "issuers": set("iss", []string{issuer}),
		"another audience": set("aud", "somebody"), "no audience": without("aud"), "empty audience": set("aud", []string{}), "audience in part": set("aud", practiceClient+"-2"), "two audiences": set("aud", []string{practiceClient, "somebody"}),
		"two audiences for another": {claims: func(c map[string]any) { c["aud"], c["azp"] = []string{practiceClient, "somebody"}, "somebody" }}, "made for another": set("azp", "somebody"),
		"expired": set("exp", now.Add(-time.Second).Unix()), "no expiry": without("exp"), "expiry in words": set("exp", "never"), "not yet": set("nbf", now.Add(time.Hour).Unix()),
		"made tomorrow": set("iat", now.Add(24*time.Hour).Unix()), "made yesterday": set("iat", now.Add(-24*time.Hour).Unix()), "made at no time": without("iat"),
		"proved yesterday": set("auth_time", now.Add(-24*time.Hour).Unix()), "proved never": without("auth_time"), "to be proved": set("auth_time", now.Add(time.Hour).Unix()),
		"another nonce": set("nonce", "other"), "no nonce": without("nonce"), "a nonce that begins alike": set("nonce", "the-nonc"), "nobody asked": {nonce: "-"}, "nonces": set("nonce", []string{"the-nonce"}),
		"no subject": without("sub"), "empty subject": set("sub", ""),
		"level 2": set("authentication_assurance_level", "2"), "level 1 as a number": set("authentication_assurance_level", 1), "no level": without("authentication_assurance_level"), "level in words": set("authentication_assurance_level", "high"), "level minus 3": set("authentication_assurance_level", "-3"),
		"identity level 1": set("id_assurance_level", "1"), "no identity level": without("id_assurance_level"),
		"no access hash": without("at_hash"), "another access hash": set("at_hash", "AAAA"), "another access token": {access: "other"},
		"no role selected": without("selected_roleid"), "a role not held": set("selected_roleid", "555000000004-1"), "a role in another trust": set("selected_roleid", "555000000001-2"),
		"userinfo of another":           {info: func(i map[string]any) { i["sub"] = "555000000004" }},
		"user id of another":            {info: func(i map[string]any) { i["nhsid_useruid"] = "555000000004" }},
		"another role selected there":   {info: func(i map[string]any) { i["selected_roleid"] = "555000000001-2" }},
		"a level of the other place":    {claims: func(c map[string]any) { delete(c, "authentication_assurance_level") }, info: func(i map[string]any) { i["authentication_assurance_level"] = 2 }},
		"no roles":                      {info: func(i map[string]any) { delete(i, "nhsid_nrbac_roles") }},
		"no name":                       {info: func(i map[string]any) { i["name"] = " " }},
		"activities of another kind":    role(func(r map[string]any) { r["activity_codes"] = []string{"B0108", "B01070"} }),
		"no activities":                 role(func(r map[string]any) { delete(r, "activity_codes") }),
		"no organisation":               role(func(r map[string]any) { delete(r, "org_code") }),
		"an organisation in lower case": role(func(r map[string]any) { r["org_code"] = "rxx01" }),
	}
	offer := func(h forged) (*Worker, error) {
		access, nonce := "the-access-token", "the-nonce"
		claims := practice.claims(issuer, person, nonce, access)
		maps.Copy(info, personOf(person))
		for _, twice := range []string{"authentication_assurance_level", "id_assurance_level", "selected_roleid"} {
			delete(info, twice) // the token has them; what is missing there is to be missed
		}
		if h.claims != nil {
			h.claims(claims)
		}
		if h.info != nil {
			h.info(info)
		}
		if h.access != "" {
			access = h.access
		}
		if h.nonce != "" {
			nonce = ""
		}
		raw := ""
		if h.sign != nil {
			raw = h.sign(claims)
		} else {
			raw = good(claims)
		}
		token := &oauth2.Token{AccessToken: access}
		if !h.noToken {
			token = token.WithExtra(map[string]any{"id_token": raw})
		}
		w, err := s.accept(t.Context(), provider, token, nonce)
		clear(info)
		return w, err
	}
	if w, err := offer(forged{}); err != nil || w.ID != person.ID || !w.Has(Unscheduled) {
		t.Fatalf("the good one: %v %v", w, err)
	}
	moved := forged{claims: func(c map[string]any) {
		delete(c, "authentication_assurance_level")
		delete(c, "id_assurance_level")
		delete(c, "selected_roleid")
	}, info: func(i map[string]any) {
		i["authentication_assurance_level"], i["id_assurance_level"], i["selected_roleid"] = 3, "3", "555000000001-1"
	}}
	if w, err := offer(moved); err != nil || w.ID != person.ID {
		t.Errorf("assurance and role in the other place: %v %v", w, err)
	}
	if len(bad) < 60 {
		t.Errorf("%d tokens", len(bad))
	}
	for name, h := range bad {
		if w, err := offer(h); !errors.Is(err, errToken) || w != nil {
			t.Errorf("%s: %v %v", name, w, err)
		}
	}
}

// TestEveryCellOfThePeoplesTable compares the table with what is written here by hand.
func TestEveryCellOfThePeoplesTable(t *testing.T) {
	const none, own = "no no no no no", "no no no no yes"
	want := map[Role]map[Action]string{ // recent, older, elsewhere, glass, own authority's; what is missing is no
		Unscheduled:      {ListAnswers: "yes yes no no", OpenDetails: "yes glass glass yes", SeeHistory: "yes no no yes", BreakGlass: "no yes yes no"},
		Scheduled:        {ListAnswers: "yes yes no no", OpenDetails: "silently no no no"},
		SafeguardingLead: {ListAnswers: "yes yes no no", OpenDetails: "yes yes glass yes", SeeHistory: "yes yes no yes", SeeHidden: "yes yes no yes", BreakGlass: "no no yes no", Review: "yes yes no no"},
		PrivacyOfficer:   {Review: "yes yes no no"},
		Analyst:          {Export: "yes yes yes yes yes"},
		Operator:         {Operate: "yes yes yes yes yes", Connect: "yes yes yes yes yes"},
		Engineer:         {Connect: "yes yes no no no"},
		SocialWorker:     {SeeHistory: own, ReadNotices: own},
		PlanKeeper:       {ReadNotices: own, SendPlans: own},
	}
	for _, r := range Roles() {
		for _, a := range Actions() {
			cells := append(strings.Fields(want[r][a]), strings.Fields(none)...)
			for i, s := range RecordStates() {
				if got := strings.TrimPrefix(string(May([]Role{r}, a, s)), "break "); got != cells[i] {
					t.Errorf("%s %s %s: %s, want %s", r, a, s, got, cells[i])
				}
			}
		}
	}
	if May(nil, OpenDetails, Recent) != Denied || May([]Role{"NURSE"}, OpenDetails, Recent) != Denied || May([]Role{Scheduled, Unscheduled}, OpenDetails, Recent) != Allowed {
		t.Error("no role, an unknown one, or two")
	}
	if text, err := os.ReadFile(filepath.Join("..", "..", "SECURITY.md")); err != nil || !strings.Contains(string(text), PeopleTable()) {
		t.Errorf("SECURITY.md does not have the table as it is; it should be\n%s", PeopleTable())
	}
}

// TestATokenOfThePersonInFrontOfIt is what an application sends along; it counts for the
// people of its own organisation, and for as long as the provider says.
func TestATokenOfThePersonInFrontOfIt(t *testing.T) {
	d := newFront(t)
	d.signIn.Authority = func(o schemas.ODSCode) (schemas.AuthorityCode, bool) {
		return schemas.AuthorityCode(o), o == "E06A"
	}
	of := func(id string) card {
		return practiceCast()[slices.IndexFunc(practiceCast(), func(c card) bool { return c.ID == id })]
	}
	for token, id := range map[string]string{"nurse": "555000000001", "porter": "555000000008", "weak": "555000000009", "social": "555000000011"} {
		d.practice.tokens[token] = of(id)
	}
	for token, change := range map[string]struct{ id, org string }{"elsewhere": {"555000000001", "RZZ"}, "a nurse there": {"555000000001", "E06A"}, "social work here": {"555000000011", "RXX01"}} {
		moved := of(change.id)
		moved.Org = change.org
		d.practice.tokens[token] = moved
	}
	ask := func(header string, from Caller) (*Worker, error) {
		r := httptest.NewRequest(http.MethodGet, d.URL+"/cpis/FHIR/R4/CareTeam", nil)
		r.Header.Set("Authorization", header)
		return d.signIn.Bearer(with(r, from))
	}
	local := Caller{Kind: Local}
	if w, err := ask("Bearer nurse", local); err != nil || w.ID != "555000000001" || !w.Has(Unscheduled) || !w.SignedIn.IsZero() {
		t.Errorf("%v %v", w, err)
	}
	if w, err := ask("Bearer nurse", Caller{Kind: Provider, Code: "RXX"}); err != nil || w == nil {
		t.Errorf("an application of the nurse's trust: %v", err)
	}
	if w, err := ask("Bearer social", local); err != nil || w.Authority != "E06A" || !slices.Equal(w.Roles, []Role{SocialWorker}) {
		t.Errorf("somebody of an authority: %v %v", w, err)
	}
	for name, try := range map[string]struct {
		header string
		from   Caller
	}{
		"no token": {"", local}, "an empty token": {"Bearer ", local}, "another scheme": {"Basic nurse", local}, "an unknown token": {"Bearer other", local},
		"without a right": {"Bearer porter", local}, "not proved well enough": {"Bearer weak", local}, "of an organisation that is not served": {"Bearer elsewhere", local},
		"a nurse's right at an authority": {"Bearer a nurse there", local}, "a social worker's job at a hospital": {"Bearer social work here", local},
		"another trust's application": {"Bearer nurse", Caller{Kind: Provider, Code: "RYY"}}, "an application of one site, and the person of another": {"Bearer nurse", Caller{Kind: Provider, Code: "RXX02"}},
	} {
		if w, err := ask(try.header, try.from); err == nil || w != nil {
			t.Errorf("%s: %v", name, w)
		}
	}
}
