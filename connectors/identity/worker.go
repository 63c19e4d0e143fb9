package identity

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"cpis/schemas"
)

// Worker is a person who signed in, in the role they selected.
type Worker struct {
	ID       string // national user id
	Name     string
	RoleID   string // of the selected role
	RoleCode string // its job role code, such as R0260
	RoleName string
	ODS      schemas.ODSCode
	// Authority is the local authority that somebody works for, empty for people of
	// care organisations.
	Authority schemas.AuthorityCode
	Roles     []Role
	SignedIn  time.Time // when they last proved who they are
}

// Has reports whether somebody has a role.
func (w *Worker) Has(r Role) bool { return w != nil && slices.Contains(w.Roles, r) }

// Covers reports whether an organisation code is that of somebody's organisation, or a
// site of it.
func (w *Worker) Covers(ods schemas.ODSCode) bool { return ods.Under(string(w.ODS)) }

// Access is who somebody is, as it goes on record.
func (w *Worker) Access() schemas.Access {
	return schemas.Access{WorkerID: w.ID, WorkerName: w.Name, WorkerRole: strings.TrimSpace(w.RoleCode + " " + w.RoleName)}
}

// A worker prints as organisation and roles alone.
func (w Worker) String() string               { return fmt.Sprintf("worker of %s as %v", w.ODS, w.Roles) }
func (w Worker) GoString() string             { return w.String() }
func (w Worker) Format(f fmt.State, _ rune)   { _, _ = io.WriteString(f, w.String()) }
func (w Worker) MarshalJSON() ([]byte, error) { return json.Marshal(w.String()) }

// rolesOf says what activity codes and a job role make somebody, of an authority or of a
// care organisation.
func rolesOf(activities []string, jobRole string, jobs map[Role][]string, authority bool) []Role {
	var out []Role
	for _, r := range Roles() {
		switch {
		case r.ofAuthority() != authority:
		case r == Unscheduled && slices.Contains(activities, activityView),
			r == Scheduled && slices.Contains(activities, activityViewSilent),
			jobRole != "" && slices.Contains(jobs[r], jobRole):
			out = append(out, r)
		}
	}
	return out
}
