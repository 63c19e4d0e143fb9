package identity

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"cpis/connectors"
	"cpis/schemas"
)

// SignInConfig says how people prove who they are: NHS CIS2 Authentication, or another
// OpenID provider that speaks of people as it does.
type SignInConfig struct {
	// Issuer of the provider, https://…. Default none: nobody can sign in.
	Issuer string `yaml:"issuer"`
	// ClientID is what the provider knows the broker by, and SecretFile the file with
	// its secret.
	ClientID   string `yaml:"client_id"`
	SecretFile string `yaml:"secret_file"`
	// Public is the broker's address as browsers see it, https://…; the provider sends
	// people back to it.
	Public string `yaml:"public"`
	// Listen is a further address, for people's browsers, which have no certificate of
	// an organisation. Default none: people come to http.listen. TLS is its
	// certificate; an address other than loopback needs one.
	Listen string    `yaml:"listen"`
	TLS    TLSConfig `yaml:"tls"`
	// Assurance is how strongly people must have proved who they are, 1 to 3.
	// Default 3: a smartcard or a security key.
	Assurance int `yaml:"assurance"`
	// Algorithms that tokens may be signed with. Default RS256.
	Algorithms []string `yaml:"algorithms"`
	// Roles are job role codes (R0260) of roles that no activity code makes:
	// SAFEGUARDING_LEAD, PRIVACY_OFFICER, ANALYST, OPERATOR, ENGINEER, and for people of
	// local authorities SOCIAL_WORKER and PLAN_KEEPER.
	Roles map[Role][]string `yaml:"roles"`
	// Practice lets people be whoever they choose, of an invented cast. Only with the
	// embedded services and on a loopback address. Default false; the demo has it.
	Practice bool `yaml:"practice"`
}

// On reports whether anybody can sign in.
func (c SignInConfig) On() bool { return c.Issuer != "" || c.Practice }

// Check finds what cannot be used.
func (c SignInConfig) Check() error {
	if !c.On() {
		return nil
	}
	var errs []error
	if c.Practice && c.Issuer != "" {
		errs = append(errs, errors.New("practice and a real issuer exclude each other"))
	}
	if !c.Practice {
		for name, address := range map[string]string{"issuer": c.Issuer, "public": c.Public} {
			if u, err := url.Parse(address); err != nil || u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" {
				errs = append(errs, fmt.Errorf("%s: want an address at https://", name))
			}
		}
		if c.ClientID == "" || c.SecretFile == "" {
			errs = append(errs, errors.New("client_id and secret_file are needed"))
		}
	}
	if c.Listen != "" && !OnLoopback(c.Listen) && (c.TLS.Certificate == "" || c.TLS.Key == "") {
		errs = append(errs, errors.New("listen: people's passwords and plans do not cross a network in clear: give tls a certificate and a key"))
	}
	if c.TLS.Mutual() {
		errs = append(errs, errors.New("tls: browsers have no certificates; who calls with one comes to http.listen"))
	}
	if c.Assurance < 0 || c.Assurance > 3 {
		errs = append(errs, errors.New("assurance: 1 to 3"))
	}
	for _, a := range c.Algorithms {
		if !strings.HasPrefix(a, "RS") && !strings.HasPrefix(a, "PS") && !strings.HasPrefix(a, "ES") {
			errs = append(errs, fmt.Errorf("algorithms: %q is none that a key pair signs with", a))
		}
	}
	for role := range c.Roles {
		switch role {
		case SafeguardingLead, PrivacyOfficer, Analyst, Operator, Engineer, SocialWorker, PlanKeeper:
		default:
			errs = append(errs, fmt.Errorf("roles: %q is none that a job role makes", role))
		}
	}
	return errors.Join(errs...)
}

// How long somebody stays signed in.
const (
	idleTime    = 15 * time.Minute
	sessionTime = 10 * time.Hour // a shift
	startTime   = 10 * time.Minute
	maxSessions = 10_000
	maxStarts   = 1000
)

// SignIn signs people in and knows who is. Safe for concurrent use.
type SignIn struct {
	config SignInConfig
	serves func(schemas.ODSCode) bool
	now    func() time.Time
	log    *slog.Logger
	// Told is told of every sign-in and sign-out, and of whoever was refused. An error
	// refuses the sign-in: nothing happens that is not on record.
	Told func(ctx context.Context, what schemas.Action, w *Worker) error
	// Authority, if set, says which local authority the people of an organisation work for.
	Authority func(schemas.ODSCode) (schemas.AuthorityCode, bool)
	// Refuse, if set, tells a browser why somebody could not be signed in.
	Refuse func(w http.ResponseWriter, r *http.Request, status int, why *schemas.Refusal)
	http   *http.Client

	mu       sync.Mutex
	provider *oidc.Provider      // once it was found; guarded by mu
	issuer   string              // its address; guarded by mu
	starts   map[string]start    // by cookie; guarded by mu
	sessions map[string]*session // by cookie; guarded by mu
}

// start is a sign-in under way.
type start struct {
	state, nonce, verifier string
	at                     time.Time
}

type session struct {
	worker    Worker
	born, use time.Time
}

// NewSignIn makes one. serves says which organisations' people may sign in.
func NewSignIn(c SignInConfig, serves func(schemas.ODSCode) bool, now func() time.Time, log *slog.Logger) *SignIn {
	if c.Assurance == 0 {
		c.Assurance = 3
	}
	if len(c.Algorithms) == 0 {
		c.Algorithms = []string{oidc.RS256}
	}
	if c.Practice {
		c.ClientID, c.Roles = practiceClient, practiceRoles()
	}
	return &SignIn{config: c, serves: serves, now: now, log: log, Told: func(context.Context, schemas.Action, *Worker) error { return nil }, http: &http.Client{Timeout: 10 * time.Second},
		starts: map[string]start{}, sessions: map[string]*session{}}
}

// Routes are those of signing in and out.
func (s *SignIn) Routes() map[string]http.HandlerFunc {
	return map[string]http.HandlerFunc{"GET /signin": s.begin, "GET /signin/callback": s.end, "POST /signout": s.out}
}

// find looks the provider up, once it answers.
func (s *SignIn) find(ctx context.Context, base string) (*oidc.Provider, error) {
	issuer := s.config.Issuer
	if s.config.Practice {
		issuer = base + practicePath
	}
	s.mu.Lock()
	found, of := s.provider, s.issuer
	s.mu.Unlock()
	if found != nil && of == issuer {
		return found, nil
	}
	p, err := oidc.NewProvider(oidc.ClientContext(context.WithoutCancel(ctx), s.http), issuer)
	if err != nil {
		return nil, fmt.Errorf("find the sign-in provider: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.provider, s.issuer = p, issuer
	return p, nil
}

func (s *SignIn) client(p *oidc.Provider, base string) (*oauth2.Config, error) {
	c := &oauth2.Config{ClientID: s.config.ClientID, Endpoint: p.Endpoint(), RedirectURL: base + "/signin/callback",
		Scopes: []string{oidc.ScopeOpenID, "profile", "nhsperson", "nationalrbacaccess", "associatedorgs", "selectedrole"}}
	if s.config.Practice {
		return c, nil
	}
	text, err := os.ReadFile(s.config.SecretFile)
	if err != nil {
		return nil, fmt.Errorf("read client secret: %w", err)
	}
	c.ClientSecret = strings.TrimSpace(string(text))
	return c, nil
}

// base is the broker's address as the browser sees it.
func (s *SignIn) base(r *http.Request) string {
	if s.config.Public != "" {
		return strings.TrimSuffix(s.config.Public, "/")
	}
	return "http://" + r.Host // practice, on loopback
}

// Random is a text that nobody guesses.
func Random() string { return rand.Text() + rand.Text() }

// contextClass is how CIS2 is asked for an assurance level.
func contextClass(level int) string {
	switch level {
	case 3:
		return "AAL3_ANY"
	case 2:
		return "AAL2_OR_AAL3_ANY"
	}
	return "AAL1_USERPASS"
}

// begin sends somebody to the provider. With again=1 they have to prove anew who they
// are, though they are signed in.
func (s *SignIn) begin(w http.ResponseWriter, r *http.Request) {
	base := s.base(r)
	p, err := s.find(r.Context(), base)
	var c *oauth2.Config
	if err == nil {
		c, err = s.client(p, base)
	}
	if err != nil {
		s.log.Error("nobody can sign in", "code", "CPIS-W004", "error", err)
		s.refuse(w, r, http.StatusServiceUnavailable, "CPIS-W004", "the sign-in provider does not answer")
		return
	}
	st := start{Random(), Random(), oauth2.GenerateVerifier(), s.now()}
	id := Random()
	s.mu.Lock()
	for key, old := range s.starts {
		if s.now().Sub(old.at) > startTime {
			delete(s.starts, key)
		}
	}
	full := len(s.starts) >= maxStarts
	if !full {
		s.starts[id] = st
	}
	s.mu.Unlock()
	if full {
		s.refuse(w, r, http.StatusServiceUnavailable, "CPIS-W004", "too many people sign in at this moment")
		return
	}
	s.cookie(w, startCookie, id, startTime, http.SameSiteLaxMode)
	options := []oauth2.AuthCodeOption{oidc.Nonce(st.nonce), oauth2.S256ChallengeOption(st.verifier), oauth2.SetAuthURLParam("acr_values", contextClass(s.config.Assurance))}
	if r.URL.Query().Get("again") != "" {
		options = append(options, oauth2.SetAuthURLParam("prompt", "login"), oauth2.SetAuthURLParam("max_age", "0"))
	}
	w.Header().Set("Cache-Control", "no-store")
	http.Redirect(w, r, c.AuthCodeURL(st.state, options...), http.StatusSeeOther)
}

// end takes somebody back from the provider. A start is good for one answer.
func (s *SignIn) end(w http.ResponseWriter, r *http.Request) {
	id := s.cookieOf(r, startCookie)
	s.mu.Lock()
	st, ok := s.starts[id]
	delete(s.starts, id)
	s.mu.Unlock()
	s.cookie(w, startCookie, "", -time.Second, http.SameSiteLaxMode)
	q := r.URL.Query()
	if !ok || s.now().Sub(st.at) > startTime || q.Get("state") != st.state || q.Get("code") == "" {
		s.refuse(w, r, http.StatusForbidden, "CPIS-W004", "the answer does not belong to a sign-in from here")
		return
	}
	worker, err := s.exchange(r, q.Get("code"), st)
	if err != nil {
		s.log.Warn("a sign-in was refused", "code", "CPIS-W004", "error", err)
		if e := s.Told(r.Context(), schemas.ActionSignInRefused, nil); e != nil {
			s.log.Error("a refused sign-in could not be put on record", "error", e)
		}
		s.refuse(w, r, http.StatusForbidden, "CPIS-W004", err.Error())
		return
	}
	if err := s.Told(r.Context(), schemas.ActionSignedIn, worker); err != nil {
		s.log.Error("a sign-in could not be put on record, and was refused", "code", "CPIS-W004", "error", err)
		s.refuse(w, r, http.StatusServiceUnavailable, "CPIS-W004", "it cannot be put on record just now")
		return
	}
	s.cookie(w, sessionCookie, s.open(*worker), sessionTime, http.SameSiteStrictMode)
	// Not a redirect: the browser would not send a strict cookie along after one that
	// began on another site.
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Refresh", "0; url=/")
	_, _ = w.Write([]byte(`<!doctype html><html lang="en"><title>Signed in</title><link rel="icon" href="/assets/icon.svg" type="image/svg+xml"><main><h1>Signed in</h1><p><a href="/">Go on</a></p></main></html>`))
}

func (s *SignIn) exchange(r *http.Request, code string, st start) (*Worker, error) {
	base := s.base(r)
	ctx := oidc.ClientContext(r.Context(), s.http)
	p, err := s.find(ctx, base)
	if err != nil {
		return nil, err
	}
	c, err := s.client(p, base)
	if err != nil {
		return nil, err
	}
	token, err := c.Exchange(ctx, code, oauth2.VerifierOption(st.verifier))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errToken, err)
	}
	return s.accept(ctx, p, token, st.nonce)
}

// open begins a session. Somebody is signed in once: an older session of theirs ends.
func (s *SignIn) open(w Worker) string {
	id, now := Random(), s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, old := range s.sessions {
		if old.worker.ID == w.ID || old.over(now) || len(s.sessions) >= maxSessions {
			delete(s.sessions, key)
		}
	}
	s.sessions[id] = &session{w, now, now}
	return id
}

func (s *session) over(now time.Time) bool {
	return now.Sub(s.born) > sessionTime
}

// Worker is who sends a request, if they are signed in. Asking says that they are there.
func (s *SignIn) Worker(r *http.Request) (*Worker, bool) {
	w, resting := s.present(r, true)
	return w, w != nil && !resting
}

// Glance is who a screen belongs to that looks by itself, which says nothing of whether
// anybody is there. resting is somebody who has not been for long.
func (s *SignIn) Glance(r *http.Request) (w *Worker, resting bool) { return s.present(r, false) }

func (s *SignIn) present(r *http.Request, use bool) (w *Worker, resting bool) {
	id := s.cookieOf(r, sessionCookie)
	s.mu.Lock()
	defer s.mu.Unlock()
	held := s.sessions[id]
	now := s.now()
	if held == nil || held.over(now) {
		delete(s.sessions, id)
		return nil, false
	}
	if resting = now.Sub(held.use) > idleTime; use && !resting {
		held.use = now
	}
	worker := held.worker
	return &worker, resting
}

func (s *SignIn) out(w http.ResponseWriter, r *http.Request) {
	if worker, ok := s.Worker(r); ok {
		s.mu.Lock()
		delete(s.sessions, s.cookieOf(r, sessionCookie))
		s.mu.Unlock()
		if err := s.Told(r.Context(), schemas.ActionSignedOut, worker); err != nil {
			s.log.Warn("a sign-out could not be put on record", "error", err)
		}
	}
	s.cookie(w, sessionCookie, "", -time.Second, http.SameSiteStrictMode)
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

// Names of cookies. The prefix binds them to this very host, over TLS; plain HTTP is for
// loopback and practice.
const (
	startCookie   = "cpis-signin"
	sessionCookie = "cpis-session"
	hostPrefix    = "__Host-"
)

func (s *SignIn) cookieName(name string) string {
	if s.config.Practice {
		return name
	}
	return hostPrefix + name
}

func (s *SignIn) cookie(w http.ResponseWriter, name, value string, life time.Duration, same http.SameSite) {
	http.SetCookie(w, &http.Cookie{Name: s.cookieName(name), Value: value, Path: "/", MaxAge: int(life.Seconds()), HttpOnly: true, Secure: !s.config.Practice, SameSite: same})
}

func (s *SignIn) cookieOf(r *http.Request, name string) string {
	c, err := r.Cookie(s.cookieName(name))
	if err != nil {
		return ""
	}
	return c.Value
}

func (s *SignIn) refuse(w http.ResponseWriter, r *http.Request, status int, code schemas.Code, reason string) {
	why := &schemas.Refusal{Code: code, Location: "sign-in", Reason: reason}
	if s.Refuse != nil {
		s.Refuse(w, r, status, why)
		return
	}
	connectors.Refuse(w, status, why)
}
