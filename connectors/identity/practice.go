package identity

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// A practice provider stands in for NHS CIS2: whoever asks may be any of an invented
// cast. It speaks OpenID Connect, so that signing in for practice is signing in.
const (
	practicePath   = "/practice"
	practiceClient = "cpis-practice"
	practiceLife   = 10 * time.Minute
	maxPractice    = 1000
)

// card is one role that somebody may try.
type card struct {
	ID, Name, Role, Org, What string
	Activities                []string
	Level                     int
}

// practiceCast is invented.
func practiceCast() []card {
	return []card{
		{"555000000001", "C. Nurse", "R8001", "RXX01", "Emergency nurse, emergency department", []string{activityView}, 3},
		{"555000000002", "D. Midwife", "R0670", "RXX06", "Midwife, maternity", []string{activityView}, 3},
		{"555000000003", "E. Visitor", "R8002", "RXX01", "School nurse, scheduled care: sees silently", []string{activityViewSilent}, 3},
		{"555000000004", "B. Lead", "R9001", "RXX", "Safeguarding lead of the trust", []string{activityView}, 3},
		{"555000000005", "P. Officer", "R9002", "RXX", "Privacy officer of the trust", nil, 3},
		{"555000000006", "A. Analyst", "R9003", "RXX01", "Analyst: pseudonyms", nil, 3},
		{"555000000007", "O. Operator", "R9004", "RXX01", "Operator of the broker: sees nobody", nil, 3},
		{"555000000010", "H. Engineer", "R9005", "RXX", "Integration engineer of the trust", nil, 3},
		{"555000000011", "S. Social", "R9006", "E06A", "Social worker of Aford Council", nil, 3},
		{"555000000012", "I. Data", "R9007", "E06A", "Keeps the plans of Aford Council", nil, 3},
		{"555000000013", "J. Data", "R9007", "E06A", "Keeps the plans of Aford Council too: the second person", nil, 3},
		{"555000000008", "F. Porter", "R8003", "RXX01", "Porter: has no right, and is refused", nil, 3},
		{"555000000009", "G. Nurse", "R8001", "RXX01", "Emergency nurse without smartcard: refused", []string{activityView}, 2},
	}
}

func practiceRoles() map[Role][]string {
	return map[Role][]string{SafeguardingLead: {"R9001"}, PrivacyOfficer: {"R9002"}, Analyst: {"R9003"}, Operator: {"R9004"}, Engineer: {"R9005"}, SocialWorker: {"R9006"}, PlanKeeper: {"R9007"}}
}

// Practice is the practice provider. Safe for concurrent use.
type Practice struct {
	key    *rsa.PrivateKey
	signer jose.Signer
	now    func() time.Time

	mu     sync.Mutex
	codes  map[string]practiceCode // guarded by mu
	tokens map[string]card         // guarded by mu
}

type practiceCode struct {
	card                       card
	nonce, challenge, redirect string
	at                         time.Time
}

// NewPractice makes one, with a key of its own.
func NewPractice(now func() time.Time) (*Practice, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, fmt.Errorf("make practice key: %w", err)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: jose.JSONWebKey{Key: key, KeyID: "practice"}}, nil)
	if err != nil {
		return nil, fmt.Errorf("make practice key: %w", err)
	}
	return &Practice{key: key, signer: signer, now: now, codes: map[string]practiceCode{}, tokens: map[string]card{}}, nil
}

// Routes are those of the provider.
func (p *Practice) Routes() map[string]http.HandlerFunc {
	return map[string]http.HandlerFunc{
		"GET /practice/.well-known/openid-configuration": p.discovery,
		"GET /practice/keys":                             p.keys,
		"GET /practice/authorize":                        p.choose,
		"POST /practice/authorize":                       p.chosen,
		"POST /practice/token":                           p.token,
		"GET /practice/userinfo":                         p.userinfo,
	}
}

func issuerOf(r *http.Request) string { return "http://" + r.Host + practicePath }

func (p *Practice) discovery(w http.ResponseWriter, r *http.Request) {
	i := issuerOf(r)
	answer(w, map[string]any{"issuer": i, "authorization_endpoint": i + "/authorize", "token_endpoint": i + "/token", "userinfo_endpoint": i + "/userinfo", "jwks_uri": i + "/keys",
		"response_types_supported": []string{"code"}, "subject_types_supported": []string{"public"}, "id_token_signing_alg_values_supported": []string{"RS256"}, "code_challenge_methods_supported": []string{"S256"}})
}

func (p *Practice) keys(w http.ResponseWriter, _ *http.Request) {
	answer(w, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: &p.key.PublicKey, KeyID: "practice", Algorithm: string(jose.RS256), Use: "sig"}}})
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_ = json.NewEncoder(w).Encode(v)
}

// cards is the page where somebody chooses who they are.
func cards() *template.Template {
	return template.Must(template.New("cards").Parse(`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>Practice sign-in</title>
<link rel="icon" href="/assets/icon.svg" type="image/svg+xml"><link rel="stylesheet" href="/assets/nhsuk-frontend-10.6.1.css"><link rel="stylesheet" href="/assets/console.css"></head>
<body><div class="nhsuk-width-container"><main class="nhsuk-main-wrapper" id="maincontent">
<h1 class="nhsuk-heading-l">Who are you?</h1>
<p><strong>Practice. Everybody here is invented; this is not NHS CIS2.</strong></p>
<form method="post" action="/practice/authorize">
{{range $name, $value := .Fields}}<input type="hidden" name="{{$name}}" value="{{$value}}">
{{end}}<ul class="nhsuk-list">
{{range .Cast}}<li><button class="nhsuk-button nhsuk-button--secondary nhsuk-button--small" name="card" value="{{.ID}}">{{.Name}}, {{.Org}}</button> {{.What}}</li>
{{end}}</ul></form></main></div></body></html>`))
}

// asked reads what a client asks for.
func asked(q url.Values, base string) (map[string]string, error) {
	out := map[string]string{}
	for _, name := range []string{"state", "nonce", "code_challenge", "redirect_uri"} {
		if out[name] = q.Get(name); out[name] == "" || len(out[name]) > 512 {
			return nil, fmt.Errorf("%s is missing or too long", name)
		}
	}
	if q.Get("client_id") != practiceClient && q.Get("client_id") != "" || q.Get("code_challenge_method") != "" && q.Get("code_challenge_method") != "S256" {
		return nil, errors.New("another client, or another challenge")
	}
	if out["redirect_uri"] != base+"/signin/callback" {
		return nil, errors.New("people are sent back to this broker alone")
	}
	return out, nil
}

func (p *Practice) choose(w http.ResponseWriter, r *http.Request) {
	fields, err := asked(r.URL.Query(), "http://"+r.Host)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	_ = cards().Execute(w, map[string]any{"Fields": fields, "Cast": practiceCast()})
}

func (p *Practice) chosen(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 16<<10)
	if err := r.ParseForm(); err != nil {
		http.Error(w, "the form cannot be read", http.StatusBadRequest)
		return
	}
	fields, err := asked(r.PostForm, "http://"+r.Host)
	i := slices.IndexFunc(practiceCast(), func(c card) bool { return c.ID == r.PostForm.Get("card") })
	if err != nil || i < 0 {
		http.Error(w, "choose one of the cards", http.StatusBadRequest)
		return
	}
	code := Random()
	p.mu.Lock()
	if len(p.codes) >= maxPractice {
		clear(p.codes)
	}
	p.codes[code] = practiceCode{practiceCast()[i], fields["nonce"], fields["code_challenge"], fields["redirect_uri"], p.now()}
	p.mu.Unlock()
	http.Redirect(w, r, fields["redirect_uri"]+"?"+url.Values{"code": {code}, "state": {fields["state"]}}.Encode(), http.StatusSeeOther)
}

func (p *Practice) token(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 16<<10)
	if err := r.ParseForm(); err != nil {
		http.Error(w, "the form cannot be read", http.StatusBadRequest)
		return
	}
	p.mu.Lock()
	c, ok := p.codes[r.PostForm.Get("code")]
	delete(p.codes, r.PostForm.Get("code"))
	p.mu.Unlock()
	challenge := sha256.Sum256([]byte(r.PostForm.Get("code_verifier")))
	if !ok || p.now().Sub(c.at) > time.Minute || base64.RawURLEncoding.EncodeToString(challenge[:]) != c.challenge || r.PostForm.Get("redirect_uri") != c.redirect {
		w.WriteHeader(http.StatusBadRequest)
		answer(w, map[string]string{"error": "invalid_grant"})
		return
	}
	access := Random()
	raw, err := p.idToken(p.claims(issuerOf(r), c.card, c.nonce, access))
	if err != nil {
		http.Error(w, "the token cannot be made", http.StatusInternalServerError)
		return
	}
	p.mu.Lock()
	if len(p.tokens) >= maxPractice {
		clear(p.tokens)
	}
	p.tokens[access] = c.card
	p.mu.Unlock()
	answer(w, map[string]any{"access_token": access, "token_type": "Bearer", "expires_in": int(practiceLife.Seconds()), "id_token": raw})
}

// claims are those of an ID token as CIS2 writes them.
func (p *Practice) claims(issuer string, c card, nonce, access string) map[string]any {
	sum := sha256.Sum256([]byte(access))
	now := p.now()
	return map[string]any{"iss": issuer, "sub": c.ID, "aud": practiceClient, "exp": now.Add(practiceLife).Unix(), "iat": now.Unix(), "auth_time": now.Unix(), "nonce": nonce,
		"at_hash": base64.RawURLEncoding.EncodeToString(sum[:sha256.Size/2]), "acr": contextClass(c.Level), "authentication_assurance_level": fmt.Sprint(c.Level), "id_assurance_level": "3",
		"selected_roleid": c.ID + "-1"}
}

func (p *Practice) idToken(claims map[string]any) (string, error) {
	text, err := json.Marshal(claims)
	if err != nil {
		return "", err
	}
	signed, err := p.signer.Sign(text)
	if err != nil {
		return "", err
	}
	return signed.CompactSerialize()
}

func (p *Practice) userinfo(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	c, ok := p.tokens[strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")]
	p.mu.Unlock()
	if !ok {
		http.Error(w, "unknown token", http.StatusUnauthorized)
		return
	}
	answer(w, personOf(c))
}

func personOf(c card) map[string]any {
	return map[string]any{"sub": c.ID, "nhsid_useruid": c.ID, "name": c.Name, "authentication_assurance_level": fmt.Sprint(c.Level), "id_assurance_level": "3", "selected_roleid": c.ID + "-1", "nhsid_nrbac_roles": []map[string]any{
		{"person_orgid": c.ID + "-o", "person_roleid": c.ID + "-1", "org_code": c.Org, "role_name": c.What, "role_code": "S8000:G8000:" + c.Role, "activity_codes": c.Activities},
		{"person_orgid": c.ID + "-o", "person_roleid": c.ID + "-2", "org_code": "RYY99", "role_name": "another role", "role_code": "S8000:G8000:R8000", "activity_codes": []string{activityView}}}}
}

// OnLoopback reports whether an address is one of this machine.
func OnLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	ip := net.ParseIP(host)
	return err == nil && (host == "localhost" || ip != nil && ip.IsLoopback())
}
