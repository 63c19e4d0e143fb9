package identity

import (
	"cmp"
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"cpis/schemas"
)

// Limits of a token.
const (
	skewAllowed   = 5 * time.Minute  // clocks of two organisations differ
	tokenIsFresh  = 10 * time.Minute // it is used at once
	proofIsFresh  = 12 * time.Hour   // a shift
	identityLevel = 2                // how sure it is who the person is (NHS CIS2: 0 to 3)
)

// errToken means that a token proves nothing to us.
var errToken = errors.New("the sign-in is not good for this")

// claims are those of an ID token beside what go-oidc reads.
type claims struct {
	AuthorizedParty string `json:"azp"`
	AuthTime        int64  `json:"auth_time"`
	assurance
}

// assurance is how sure it is who somebody is, and in which role they are here. CIS2 has
// it in the ID token, or in what it says of whoever is signed in.
type assurance struct {
	Level        level  `json:"authentication_assurance_level"`
	Identity     level  `json:"id_assurance_level"`
	SelectedRole string `json:"selected_roleid"`
}

// or fills what is missing in one place from the other.
func (a assurance) or(other assurance) assurance {
	return assurance{cmp.Or(a.Level, other.Level), cmp.Or(a.Identity, other.Identity), cmp.Or(a.SelectedRole, other.SelectedRole)}
}

// level is an assurance level, 0 to 3, written as text or as a number.
type level int

func (l *level) UnmarshalJSON(b []byte) error {
	n, err := strconv.Atoi(strings.Trim(string(b), `"`))
	if err != nil {
		return fmt.Errorf("assurance level: %w", err)
	}
	*l = level(n)
	return nil
}

// userInfo is what the provider says of somebody who is signed in (NHS CIS2, scopes
// nhsperson, nationalrbacaccess and selectedrole).
type userInfo struct {
	UserID string `json:"nhsid_useruid"`
	Name   string `json:"name"`
	assurance
	Roles []heldRole `json:"nhsid_nrbac_roles"`
}

// heldRole is a role that somebody holds in an organisation.
type heldRole struct {
	ID         string   `json:"person_roleid"`
	Org        string   `json:"org_code"`
	Name       string   `json:"role_name"`
	Code       string   `json:"role_code"` // S8001:G8005:R8000
	Activities []string `json:"activity_codes"`
}

// accept decides whether an answer of the provider proves who somebody is, and in which
// role. nonce is the one that was sent along.
func (s *SignIn) accept(ctx context.Context, provider *oidc.Provider, token *oauth2.Token, nonce string) (*Worker, error) {
	raw, _ := token.Extra("id_token").(string)
	if strings.Count(raw, ".") != 2 || strings.Contains(raw, "{") { // the compact form alone
		return nil, fmt.Errorf("%w: no token", errToken)
	}
	now := s.now()
	id, err := provider.Verifier(&oidc.Config{ClientID: s.config.ClientID, SupportedSigningAlgs: s.config.Algorithms, Now: s.now}).Verify(ctx, raw)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errToken, err)
	}
	var c claims
	if err := id.Claims(&c); err != nil {
		return nil, fmt.Errorf("%w: %w", errToken, err)
	}
	authTime := time.Unix(c.AuthTime, 0)
	switch {
	case id.Subject == "":
		err = errors.New("it names nobody")
	case nonce == "" || subtle.ConstantTimeCompare([]byte(id.Nonce), []byte(nonce)) != 1:
		err = errors.New("it does not answer this sign-in")
	case len(id.Audience) > 1 && c.AuthorizedParty == "", c.AuthorizedParty != "" && c.AuthorizedParty != s.config.ClientID:
		err = errors.New("it was made for somebody else")
	case id.IssuedAt.After(now.Add(skewAllowed)), id.IssuedAt.Before(now.Add(-tokenIsFresh)):
		err = errors.New("it was not made just now")
	case c.AuthTime == 0, authTime.After(now.Add(skewAllowed)), authTime.Before(now.Add(-proofIsFresh)):
		err = errors.New("the person has not proved who they are lately")
	case id.AccessTokenHash == "":
		err = errors.New("it does not vouch for the access token")
	default:
		err = id.VerifyAccessToken(token.AccessToken)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errToken, err)
	}
	return s.workerOf(ctx, provider, token, id.Subject, c.assurance, authTime)
}

// Bearer is whom an access token is of that an application sends along for the person in
// front of it. The provider is asked, every time: so it is good for no longer than there.
func (s *SignIn) Bearer(r *http.Request) (*Worker, error) {
	text, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok || text == "" {
		return nil, fmt.Errorf("%w: no token", errToken)
	}
	ctx := oidc.ClientContext(r.Context(), s.http)
	provider, err := s.find(ctx, s.base(r))
	if err != nil {
		return nil, err
	}
	w, err := s.workerOf(ctx, provider, &oauth2.Token{AccessToken: text, TokenType: "Bearer"}, "", assurance{}, time.Time{})
	if err != nil {
		return nil, err
	}
	// An organisation's application speaks for its own people.
	if c := From(r.Context()); c.Kind == Provider && !w.ODS.Under(c.Code) {
		return nil, fmt.Errorf("%w: the person is of another organisation than the application", errToken)
	}
	return w, nil
}

// workerOf asks the provider who it is and which roles they hold. subject is who it must
// be, empty where that is the question.
func (s *SignIn) workerOf(ctx context.Context, provider *oidc.Provider, token *oauth2.Token, subject string, proof assurance, authTime time.Time) (*Worker, error) {
	answer, err := provider.UserInfo(ctx, oauth2.StaticTokenSource(token))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errToken, err)
	}
	var u userInfo
	var claims json.RawMessage
	if err := errors.Join(answer.Claims(&claims), json.Unmarshal(claims, &u)); err != nil {
		return nil, fmt.Errorf("%w: %w", errToken, err)
	}
	if subject != "" && answer.Subject != subject || u.UserID == "" || u.UserID != answer.Subject {
		return nil, fmt.Errorf("%w: it is about another person", errToken)
	}
	proof = proof.or(u.assurance)
	i := slices.IndexFunc(u.Roles, func(r heldRole) bool { return r.ID == proof.SelectedRole })
	switch {
	case int(proof.Level) < s.config.Assurance:
		return nil, fmt.Errorf("%w: assurance level %d, and %d is asked for", errToken, proof.Level, s.config.Assurance)
	case proof.Identity < identityLevel:
		return nil, fmt.Errorf("%w: identity level %d, and %d is asked for", errToken, proof.Identity, identityLevel)
	case proof.SelectedRole == "":
		return nil, fmt.Errorf("%w: no role was selected", errToken)
	case u.SelectedRole != "" && u.SelectedRole != proof.SelectedRole:
		return nil, fmt.Errorf("%w: two roles are selected", errToken)
	case i < 0:
		return nil, fmt.Errorf("%w: the selected role is not held", errToken)
	}
	r := u.Roles[i]
	job := r.Code[strings.LastIndex(r.Code, ":")+1:]
	w := &Worker{ID: u.UserID, Name: strings.TrimSpace(u.Name), RoleID: r.ID, RoleCode: job, RoleName: r.Name, ODS: schemas.ODSCode(r.Org), SignedIn: authTime}
	if s.Authority != nil {
		if code, ok := s.Authority(w.ODS); ok {
			w.Authority = code
		}
	}
	w.Roles = rolesOf(r.Activities, job, s.config.Roles, w.Authority != "")
	switch {
	case !w.ODS.Valid() || w.Authority == "" && !s.serves(w.ODS):
		return nil, fmt.Errorf("%w: the role is in an organisation that is not served here", errToken)
	case len(w.Roles) == 0:
		return nil, fmt.Errorf("%w: the role has no right to see child protection information (activity %s or %s)", errToken, activityView, activityViewSilent)
	case w.Name == "":
		return nil, fmt.Errorf("%w: it gives no name", errToken)
	}
	return w, nil
}
