package main

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"cpis/connectors/console"
	"cpis/connectors/feed"
	"cpis/connectors/identity"
	"cpis/connectors/mllp"
	"cpis/router"
	"cpis/router/topics"
	"cpis/schemas"
)

// open lists the dead letters nobody has dealt with, the newest first.
func (e *engine) open() []router.Filed {
	list := slices.DeleteFunc(e.letters.All(), func(l router.Filed) bool { return l.Closed != "" })
	slices.Reverse(list)
	return list
}

// groups are the open dead letters by code.
func (e *engine) groups() []console.LetterGroup {
	at := map[schemas.Code]*console.LetterGroup{}
	for _, l := range e.open() {
		g := at[l.Code]
		if g == nil {
			g = &console.LetterGroup{Code: l.Code, Origin: origin(l), Last: l.Time}
			at[l.Code] = g
		}
		g.Count, g.First = g.Count+1, l.Time
	}
	out := make([]console.LetterGroup, 0, len(at))
	for _, code := range slices.Sorted(maps.Keys(at)) {
		out = append(out, *at[code])
	}
	return out
}

// origin says where a letter comes from.
func origin(l router.Filed) string {
	switch l.Door {
	case router.OriginMLLP:
		return "a care setting"
	case router.OriginSocialCare:
		return "a local authority"
	}
	return l.Origin
}

// group lists the open dead letters of a code.
func (e *engine) group(code schemas.Code, limit int) []console.Letter {
	var out []console.Letter
	for _, l := range e.open() {
		if l.Code != code || len(out) == limit {
			continue
		}
		why := e.notReplayable(l)
		out = append(out, console.Letter{ID: l.ID, At: l.Time, Origin: origin(l), Feed: l.Feed, Control: l.Control, Location: l.Location, Bytes: l.Bytes, Replayable: why == "", NotReplayable: why})
	}
	return out
}

// notReplayable says why a letter cannot be replayed, empty where it can.
func (e *engine) notReplayable(l router.Filed) string {
	back := schemas.Topic(l.Origin)
	if l.Origin == router.QuarantineOrigin {
		back = schemas.TopicRegistration
	}
	switch {
	case l.Until != 0:
		return "expired before it was read: ask the senders to send again"
	case l.Door == router.OriginSocialCare:
		return "the authority corrects it and sends it again"
	case !topics.Writable(e.config.Roles, back): // this process has no right to, on purpose
		return "use cpis dlq replay: this process does not write where it came from"
	}
	return ""
}

// named finds open letters by their ids.
func (e *engine) named(ids []int64) ([]router.Filed, error) {
	var out []router.Filed
	for _, l := range e.open() {
		if slices.Contains(ids, l.ID) {
			out = append(out, l)
		}
	}
	if len(out) != len(ids) {
		return nil, &schemas.Refusal{Code: "CPIS-D002", Location: "id", Reason: "one of them is closed, or is none"}
	}
	return out, nil
}

// tally counts what passes and what fails, by code.
type tally struct {
	pass, fail int
	reasons    map[schemas.Code]int64
}

func (t *tally) add(refused *schemas.Refusal) {
	if refused == nil {
		t.pass++
		return
	}
	if t.fail++; t.reasons == nil {
		t.reasons = map[schemas.Code]int64{}
	}
	t.reasons[refused.Code]++
}

func (t tally) trial() console.Trial {
	out := console.Trial{Pass: t.pass, Fail: t.fail}
	for _, code := range slices.Sorted(maps.Keys(t.reasons)) {
		out.Reasons = append(out.Reasons, schemas.Count{Name: string(code), Count: t.reasons[code]})
	}
	return out
}

// try says what replaying letters would do.
func (e *engine) try(ctx context.Context, ids []int64) (console.Trial, error) {
	list, err := e.named(ids)
	var t tally
	for _, l := range list {
		if err != nil {
			break
		}
		var refused *schemas.Refusal
		if refused, err = e.would(ctx, l); err == nil {
			t.add(refused)
		}
	}
	return t.trial(), err
}

// would says why a letter would be refused again, nil where it would pass.
func (e *engine) would(ctx context.Context, l router.Filed) (*schemas.Refusal, error) {
	if why := e.notReplayable(l); why != "" {
		return &schemas.Refusal{Code: l.Code, Location: l.Location, Reason: why}, nil
	}
	if l.Origin != router.QuarantineOrigin { // a record goes back as it is: whether its cause is mended shows then
		return nil, nil
	}
	loaded, err := e.letters.Load(ctx, l.Letter)
	if err != nil {
		return nil, err
	}
	_, raw, err := e.dead.Quarantined(ctx, loaded)
	if err != nil {
		return nil, err
	}
	trial, err := feed.Try(e.config.Feeds, mllp.Frame{Message: raw}, time.Now())
	if err != nil {
		return nil, err
	}
	for _, m := range trial.Messages {
		if m.Refusal != nil {
			return m.Refusal, nil
		}
	}
	return nil, nil
}

// replay puts letters back where they came from, each on record before it is done. One
// that was replayed meanwhile is left.
func (e *engine) replay(ctx context.Context, w *identity.Worker, ids []int64) (console.Trial, error) {
	e.replaying.Lock() // a second press of the button finds the letters closed
	defer e.replaying.Unlock()
	list, err := e.named(ids)
	if err != nil {
		return console.Trial{}, err
	}
	again, stop, err := retaker(ctx, e.publish, e.keys, e.client)
	if err != nil {
		return console.Trial{}, err
	}
	defer stop()
	var t tally
	for _, l := range list {
		refused, err := e.would(ctx, l)
		if err == nil && refused == nil {
			err = e.putBack(ctx, w, l, again)
		}
		var why *schemas.Refusal
		if errors.As(err, &why) {
			refused, err = why, nil
		}
		if err != nil {
			return t.trial(), err
		}
		t.add(refused)
	}
	return t.trial(), nil
}

// retaker takes messages in once more, knowing what was taken in the last day: a copy that
// came since is recognised. It follows until it is stopped.
func retaker(ctx context.Context, publisher *router.Publisher, keys *schemas.Keyring, client *topics.Client) (*router.Intake, func(), error) {
	in := &router.Intake{Publisher: publisher, Keys: keys, Receipts: router.NewReceipts(time.Now)}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- in.Receipts.Follow(ctx, client) }()
	stop := func() { cancel(); <-done }
	select {
	case <-in.Receipts.Ready():
		return in, stop, nil
	case err := <-done:
		cancel()
		return nil, func() {}, err
	}
}

// putBack puts one letter back.
func (e *engine) putBack(ctx context.Context, w *identity.Worker, l router.Filed, in *router.Intake) error {
	if _, err := e.named([]int64{l.ID}); err != nil { // it may have been closed meanwhile
		return err
	}
	loaded, err := e.letters.Load(ctx, l.Letter)
	if err != nil {
		return err
	}
	if err := e.did(ctx, w, schemas.ActionLetterReplayed, l.ID); err != nil {
		return err
	}
	if l.Origin == router.QuarantineOrigin {
		_, raw, err := e.dead.Quarantined(ctx, loaded)
		if err != nil {
			return err
		}
		refused, err := feed.Replay(ctx, e.config.Feeds, again{in}, raw)
		if err != nil || refused != nil {
			return errors.Join(err, asError(refused))
		}
	} else {
		r, err := loaded.Original()
		if err == nil {
			err = e.producer.Produce(ctx, r)
		}
		if err != nil {
			return err
		}
	}
	return e.shut(ctx, l, "replayed", "")
}

// asError is a refusal as an error, nil where there is none.
func asError(r *schemas.Refusal) error {
	if r == nil {
		return nil
	}
	return r
}

// shut closes a letter, and waits until it is seen to be closed, so that nobody finds it
// open who asks next.
func (e *engine) shut(ctx context.Context, l router.Filed, action, reason string) error {
	if err := e.dead.Close(ctx, l.Letter, action, reason); err != nil {
		return err
	}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		if _, err := e.named([]int64{l.ID}); err != nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// discard closes a letter for good.
func (e *engine) discard(ctx context.Context, w *identity.Worker, id int64, reason string) error {
	list, err := e.named([]int64{id})
	if err != nil {
		return err
	}
	if err := e.did(ctx, w, schemas.ActionLetterDropped, id); err != nil {
		return err
	}
	return e.shut(ctx, list[0], "discarded", reason)
}

// makeUp makes up the account of the last day.
func (e *engine) makeUp(ctx context.Context) {
	begin := time.Now()
	ctx, cancel := context.WithTimeout(ctx, ledgerTime)
	defer cancel()
	l := &router.Ledger{Client: e.client, Codec: e.codec, DeliverGroup: groupDelivery}
	lines, err := l.Read(ctx, begin.Add(-24*time.Hour), nil)
	out := console.Ledger{At: begin, Took: time.Since(begin), Balanced: err == nil}
	if err != nil {
		out.Problem = "The account could not be made up: " + err.Error()
	}
	by := map[string]*console.LedgerLine{}
	for _, line := range lines {
		sum := by[line.Feed]
		if sum == nil {
			sum = &console.LedgerLine{Feed: line.Feed}
			by[line.Feed] = sum
		}
		sum.Received, sum.Refused, sum.Acknowledged, sum.NoCheck = sum.Received+line.Received, sum.Refused+line.Refused, sum.Acknowledged+line.Acknowledged, sum.NoCheck+line.NoCheck
		sum.Decided, sum.Audited, sum.Delivered, sum.SetAside = sum.Decided+line.Decided, sum.Audited+line.Audited, sum.Delivered+line.Delivered, sum.SetAside+line.SetAside
		sum.Missing += len(line.Missing)
		out.Balanced = out.Balanced && line.Balanced()
		for _, m := range line.Missing {
			if len(out.Missing) < maxMissing {
				out.Missing = append(out.Missing, console.LedgerGap{ControlID: m.ControlID, EventID: m.EventID, What: m.What})
			}
		}
	}
	for _, feed := range slices.Sorted(maps.Keys(by)) {
		out.Lines = append(out.Lines, *by[feed])
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.account = out
}

const (
	ledgerTime = 5 * time.Minute
	maxMissing = 100 // messages named on the page
)
