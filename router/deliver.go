package router

import (
	"context"
	"fmt"

	"cpis/connectors"
	"cpis/router/topics"
	"cpis/schemas"
)

// Deliver is the stage from outcomes to the care settings. A setting without a
// destination reads its answers from the board, so there is nothing to wait for.
type Deliver struct {
	Codec        *schemas.Codec
	Keys         *schemas.Keyring
	Destinations map[string]connectors.Destination // by feed
}

// Open implements Stage.Open: every partition is handled alike.
func (d *Deliver) Open(context.Context, *topics.Assignment) (Work, error) {
	return Work{Handle: func(ctx context.Context, tasks []Task) []error {
		errs := make([]error, len(tasks))
		for i, t := range tasks {
			errs[i] = d.deliver(ctx, t)
		}
		return errs
	}}, nil
}

func (d *Deliver) deliver(ctx context.Context, t Task) error {
	var o schemas.Outcome
	if err := d.Codec.Decode(ctx, schemas.TopicOutcome, t.Value, &o); err != nil {
		return err
	}
	to := d.Destinations[o.Feed]
	if to == nil {
		return nil
	}
	if o.State.Matched() {
		var err error
		if o.Details, err = d.Keys.OpenDetails(o.OutcomeID, o.SealedDetails); err != nil {
			return err
		}
	}
	if err := to.Deliver(ctx, o); err != nil {
		return fmt.Errorf("deliver outcome to %s: %w", o.Feed, err)
	}
	return nil
}
