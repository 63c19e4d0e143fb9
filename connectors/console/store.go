package console

import (
	"context"
	"time"

	"cpis/connectors/identity"
	"cpis/schemas"
)

// Store is what the desk needs of the broker. All methods are safe for concurrent use; of
// those that put something on record nil means durable, and after an error nothing is
// shown.
type Store interface {
	Answers
	Presence
	Sharing
	Views
	Deeds
	Findings
}

// Answers are the answers of the last days that show a plan.
type Answers interface {
	// Find gives one, its details sealed; ErrNoAnswer where there is none.
	Find(outcomeID string) (schemas.Outcome, error)
	// Of lists those about somebody, the newest first.
	Of(n schemas.NHSNumber) ([]schemas.Outcome, error)
	// Details opens what one shows.
	Details(o schemas.Outcome) (schemas.Details, error)
}

// Presence is who was registered where in the last day.
type Presence interface {
	// Registered reports whether somebody was where covers says yes; where it cannot be
	// told it is taken to be so.
	Registered(n schemas.NHSNumber, covers func(schemas.ODSCode) bool) bool
	// Here reports whether it is certain.
	Here(n schemas.NHSNumber, covers func(schemas.ODSCode) bool) bool
	// Restricted reports whether a registration says that where the person is must not be
	// known.
	Restricted(n schemas.NHSNumber) bool
}

// Sharing is what is known of somebody, whoever registered them.
type Sharing interface {
	// Plans are those that are shared now.
	Plans(ctx context.Context, n schemas.NHSNumber) ([]schemas.Plan, error)
	// History lists what is on record and is shown, in a time, the newest first, at most
	// limit of it; more says that there is older.
	History(ctx context.Context, n schemas.NHSNumber, from, until time.Time, limit int) (list []Event, more bool, err error)
}

// Views put on record that plans are seen, before they are.
type Views interface {
	// Viewed is that an answer is opened.
	Viewed(ctx context.Context, o schemas.Outcome, w *identity.Worker, silent, glass bool) error
	// Read is that plans are read which no answer shows; the authorities are told, unless
	// it is silent.
	Read(ctx context.Context, w *identity.Worker, n schemas.NHSNumber, plans []schemas.Plan, silent bool) error
	// Broken is that somebody broke the glass; the authorities whose plans it shows are
	// told.
	Broken(ctx context.Context, w *identity.Worker, n schemas.NHSNumber, plans []schemas.Plan, why GlassReason) error
}

// Deeds put on record what somebody does, or says.
type Deeds interface {
	// Tried is what showed nothing.
	Tried(ctx context.Context, w *identity.Worker, action schemas.Action, code schemas.Code) error
	// Did is what somebody does with what is known of a person; code is of a closed list,
	// and silent keeps it out of the history that is shown.
	Did(ctx context.Context, w *identity.Worker, n schemas.NHSNumber, action schemas.Action, code string, silent bool) error
	// Tell tells the authorities of an answer, or one of them, that something is not right.
	Tell(ctx context.Context, w *identity.Worker, o schemas.Outcome, about schemas.AuthorityCode, what schemas.Feedback) error
}

// Findings are what wants looking at of an organisation: broken glass and odd looks.
type Findings interface {
	Reviews(ctx context.Context, covers func(schemas.ODSCode) bool) ([]ReviewItem, error)
	// Reviewed puts on record what somebody says of an item.
	Reviewed(ctx context.Context, w *identity.Worker, item, verdict string) error
}
