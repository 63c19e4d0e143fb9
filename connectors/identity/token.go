package identity

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
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
	AuthLevel       level  `json:"authentication_assurance_level"`
	IdentityLevel   level  `json:"id_assurance_level"`
	SelectedRole    string `json:"selected_roleid"`
}

// level is an assurance level: CIS2 writes it as text.
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
	UserID string     `json:"nhsid_useruid"`
	Name   string     `json:"name"`
	Roles  []heldRole `json:"nhsid_nrbac_roles"`
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
	case int(c.AuthLevel) < s.config.Assurance:
		err = fmt.Errorf("assurance level %d, and %d is asked for", c.AuthLevel, s.config.Assurance)
	case c.IdentityLevel < identityLevel:
		err = fmt.Errorf("identity level %d, and %d is asked for", c.IdentityLevel, identityLevel)
	case c.SelectedRole == "":
		err = errors.New("no role was selected")
	case id.AccessTokenHash == "":
		err = errors.New("it does not vouch for the access token")
	default:
		err = id.VerifyAccessToken(token.AccessToken)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errToken, err)
	}
	return s.workerOf(ctx, provider, token, id.Subject, c.SelectedRole, authTime)
}

// workerOf asks the provider who it is and which roles they hold.
func (s *SignIn) workerOf(ctx context.Context, provider *oidc.Provider, token *oauth2.Token, subject, selected string, authTime time.Time) (*Worker, error) {
	answer, err := provider.UserInfo(ctx, oauth2.StaticTokenSource(token))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errToken, err)
	}
	var u userInfo
	var claims json.RawMessage
	if err := errors.Join(answer.Claims(&claims), json.Unmarshal(claims, &u)); err != nil {
		return nil, fmt.Errorf("%w: %w", errToken, err)
	}
	if answer.Subject != subject || u.UserID != subject {
		return nil, fmt.Errorf("%w: it is about another person", errToken)
	}
	i := slices.IndexFunc(u.Roles, func(r heldRole) bool { return r.ID == selected })
	if i < 0 {
		return nil, fmt.Errorf("%w: the selected role is not held", errToken)
	}
	r := u.Roles[i]
	job := r.Code[strings.LastIndex(r.Code, ":")+1:]
	w := &Worker{ID: u.UserID, Name: strings.TrimSpace(u.Name), RoleID: r.ID, RoleCode: job, RoleName: r.Name, ODS: schemas.ODSCode(r.Org), Roles: rolesOf(r.Activities, job, s.config.Roles), SignedIn: authTime}
	switch {
	case !w.ODS.Valid() || !s.serves(w.ODS):
		return nil, fmt.Errorf("%w: the role is in an organisation that is not served here", errToken)
	case len(w.Roles) == 0:
		return nil, fmt.Errorf("%w: the role has no right to see child protection information (activity %s or %s)", errToken, activityView, activityViewSilent)
	case w.Name == "":
		return nil, fmt.Errorf("%w: it gives no name", errToken)
	}
	return w, nil
}
