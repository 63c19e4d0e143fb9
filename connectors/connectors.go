// Package connectors is the promise between the broker and everything that
// touches it: how a hospital's message or an authority's file comes in, and
// how an answer reaches the people who wait for it.
//
// # Acknowledgement
//
// There is one rule, and it is the way back up the call: a function that takes
// an item returns nil, and nil means that the item is durable. Only then may
// the sender be told "taken". There is no second way to acknowledge.
//
//   - nil: durable; answer yes.
//   - an error that wraps ErrRefused: never will be; answer no, the input is in
//     quarantine.
//   - any other error: not known. Answer nothing, now or later, so that the
//     sender sends again; ids derived from the content make the second copy
//     harmless.
//
// A new connector is a folder here, one line in the wiring of cmd/cpis and one
// block of configuration.
package connectors

import (
	"context"
	"errors"

	"cpis/schemas"
)

// ErrRefused marks an item that will never be taken, however often it is sent.
// What cannot be read is schemas.ErrInvalid instead; both end in the dead
// letters, and nothing else does.
var ErrRefused = errors.New("refused")

// Source brings items in. Run blocks until ctx ends, finishes what it has in
// hand within its own drain time, and returns nil. It hands each item to the
// function it was built with and answers the sender by what that returns.
type Source interface {
	Run(ctx context.Context) error
}

// Destination takes outcomes out. Deliver returns nil once the receiver has
// durably taken the outcome. It may be called again for an outcome that was
// already taken: the receiver tells copies by the outcome id. Calls for one
// care setting come one at a time, in order; calls for several may overlap.
// The caller retries.
type Destination interface {
	Deliver(ctx context.Context, o schemas.Outcome) error
}
