// Package matching decides what to tell the staff who have just registered
// someone: that a local authority has shared a plan, that none has, or that
// the broker cannot tell and what to do. It never guesses, and whatever is in
// doubt is "cannot tell".
package matching

import (
	"context"
	"errors"
	"time"

	"cpis/matching/index"
	"cpis/matching/weigh"
	"cpis/schemas"
	"cpis/schemas/contact"
)

// Config of the matcher.
type Config struct {
	// BehindWait is how long a decision waits for the index to become as new as
	// it must be. Default 250 ms.
	BehindWait time.Duration
	// LookupTime bounds one look into the index. Default 200 ms.
	LookupTime time.Duration
	// ByDetails lets INDICATOR be said without an NHS number, where the details
	// of a registration leave no doubt. Default off: then it is POSSIBLE.
	ByDetails bool
	// Model is what agreement on a detail is worth. Default weigh.Default().
	Model *weigh.Model
	// Names says how common names are. Default weigh.Builtin().
	Names *weigh.Names
}

// Index is where indicators are looked up. Lookup is one reading of one moment;
// its errors are those of package index. It is called again and again while the
// index is behind, and never retries by itself.
type Index interface {
	Lookup(ctx context.Context, q index.Query) (index.Snapshot, error)
}

// Sources are what a matcher answers from.
type Sources struct {
	Index     Index
	Describer // reads the entries of the index, with their persons
	Contacts  *Directory
	Links     *Links
	Rendered  *Renderings
	// Horizon is the next offset of the indicator topic: asked after the
	// registrations were read, it lies beyond every indicator that an authority
	// was told is taken before they were accepted.
	Horizon func(context.Context) (int64, error)
	Now     func() time.Time
}

// Matcher decides. Safe for concurrent use.
type Matcher struct {
	config Config
	scale  *weigh.Scale
	place  *time.Location
	book   *contact.Book
	Sources
}

// New makes a matcher.
func New(c Config, s Sources) (*Matcher, error) {
	if c.BehindWait == 0 {
		c.BehindWait = 250 * time.Millisecond
	}
	if c.LookupTime == 0 {
		c.LookupTime = 200 * time.Millisecond
	}
	if c.Model == nil {
		m := weigh.Default()
		c.Model = &m
	}
	if c.Names == nil {
		c.Names = weigh.Builtin()
	}
	book, err := contact.NewBook()
	if err != nil {
		return nil, err
	}
	return &Matcher{c, weigh.NewScale(*c.Model, c.Names), book.Place(), book, s}, nil
}

// Place is where days are civil days.
func (m *Matcher) Place() *time.Location { return m.place }

// behindPause is between two looks at an index that is behind.
const behindPause = 2 * time.Millisecond

// Decide answers registrations, one decision each, in order. Whatever goes
// wrong is a decision too: CHECK_FAILED, with the reason.
func (m *Matcher) Decide(ctx context.Context, regs []schemas.Registration) []schemas.Decision {
	now := m.Now()
	out := make([]schemas.Decision, len(regs))
	asked := make([]inquiry, len(regs))
	var q index.Query
	for i, r := range regs {
		asked[i] = m.inquire(r, now)
		q.Subjects = append(q.Subjects, asked[i].subjects()...)
		q.Blocks = append(q.Blocks, asked[i].blocks...)
	}
	snapshot, failed := m.look(ctx, q)
	fresh := schemas.Freshness{Generation: snapshot.Marker.Generation, Position: snapshot.Marker.Position, AsOf: snapshot.Marker.AsOf.UTC().Truncate(time.Millisecond), LateAuthorities: m.Contacts.Late(now)}
	for i := range regs {
		if failed != "" {
			out[i] = schemas.Decision{State: schemas.StateCheckFailed, Reason: failed}
		} else {
			out[i] = m.one(ctx, &asked[i], snapshot)
		}
		out[i].Freshness = fresh
	}
	return out
}

// look reads the index once it is as new as it must be. The reason is empty
// when the snapshot can be trusted.
func (m *Matcher) look(ctx context.Context, q index.Query) (index.Snapshot, schemas.Reason) {
	limited, cancel := context.WithTimeout(ctx, m.config.BehindWait+m.config.LookupTime)
	defer cancel()
	type answer struct {
		position int64
		err      error
	}
	asked := make(chan answer, 1)
	go func() {
		n, err := m.Horizon(limited)
		asked <- answer{n, err}
	}()
	snapshot, err := m.lookup(limited, q)
	horizon := <-asked
	if horizon.err != nil {
		return snapshot, schemas.ReasonIndexUnreachable
	}
	for until := m.Now().Add(m.config.BehindWait); err == nil && snapshot.Marker.Position < horizon.position; {
		if !m.Now().Before(until) || limited.Err() != nil {
			return snapshot, schemas.ReasonIndexBehind
		}
		select {
		case <-time.After(behindPause):
		case <-limited.Done():
		}
		snapshot, err = m.lookup(limited, q)
	}
	return snapshot, reasonOf(err)
}

func (m *Matcher) lookup(ctx context.Context, q index.Query) (index.Snapshot, error) {
	ctx, cancel := context.WithTimeout(ctx, m.config.LookupTime)
	defer cancel()
	return m.Index.Lookup(ctx, q)
}

func reasonOf(err error) schemas.Reason {
	switch {
	case err == nil:
		return ""
	case errors.Is(err, index.ErrIncomplete):
		return schemas.ReasonIndexIncomplete
	case errors.Is(err, index.ErrWentBack):
		return schemas.ReasonIndexBehind
	case errors.Is(err, index.ErrCorrupt):
		return schemas.ReasonIndexCorrupt
	}
	return schemas.ReasonIndexUnreachable
}

func (m *Matcher) plan(i schemas.Indicator, until schemas.Date, now time.Time) schemas.Plan {
	return PlanOf(i, until, now, m.Contacts, m.book)
}

// PlanOf is an indicator as it is shown, with whom to ring at a moment.
func PlanOf(i schemas.Indicator, until schemas.Date, now time.Time, contacts *Directory, book *contact.Book) schemas.Plan {
	p := schemas.Plan{Authority: i.Authority, AuthorityName: string(i.Authority), PlanType: i.PlanType, PlanStart: i.PlanStart, PlanEnd: i.PlanEnd,
		ExpectedDate: i.ExpectedDate, ShownUntil: until, RecordID: i.Person.LocalID, UploadID: i.UploadID}
	if a, ok := contacts.Get(i.Authority); ok {
		p.AuthorityName, p.OfficePhone, p.EmergencyPhone, p.RingNow = a.Name, a.OfficePhone, a.EmergencyPhone, book.Number(a, now)
		p.LastLoadAt, p.ContactsVersion = a.LastLoadAt, a.Version
	}
	return p
}
