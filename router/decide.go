package router

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"cpis/router/topics"
	"cpis/schemas"
)

// Decider answers registrations, in order, one decision each. It never fails:
// what it cannot tell is a decision with the state CHECK_FAILED. It may take as
// long as its own limits allow, and is called from several goroutines.
//
// An answer rests on indicators. Watched are names for those that one rests on,
// or would rest on; Touched are the names of an indicator record, whose value is
// nil where it is taken back. Where they share one, the record is news to the
// answer.
type Decider interface {
	Decide(ctx context.Context, regs []schemas.Registration) []schemas.Decision
	Watched(reg schemas.Registration) []string
	Touched(key, value []byte) []string
}

// Linker holds which NHS numbers are one person's. Held reports whether a plan
// stands under one; an error means that it cannot be told now. Put and Remove
// take in what is committed to cpis.link.v1, before other processes read it.
type Linker interface {
	Held(ctx context.Context, ref schemas.SubjectRef) (bool, error)
	Put(link schemas.Link)
	Remove(key string)
}

var (
	// errUndecided keeps a registration waiting: its setting has been told
	// CHECK_FAILED, and it is asked again until there is an answer.
	errUndecided = errors.New("no answer yet")
	// errReadBack means that nobody knows which records of a commit stand on
	// their topics: deciding again could tell a setting other than what is on
	// record, so the topics are read back first.
	errReadBack = errors.New("result of a commit is not known")
)

// Decide is the stage from registrations to answers. For one that names a plan
// it commits the audit record first, then the notices, then the outcome: nothing
// is told that is not on record. For one that names nobody, audit record and
// outcome are committed together. The offset comes last.
//
// A crash between these steps must neither lose an answer nor give two. So
// before a partition is worked on, and after a commit whose result is not
// known, the tails of the output topics are read back: an answer that stands
// on one of them is told as it was decided, and only what is missing is written.
type Decide struct {
	*Publisher
	Keys    *schemas.Keyring
	Decider Decider
	Linker  Linker
	Client  *topics.Client
	Logger  *slog.Logger
	Place   *time.Location // by whose civil days plans begin and end
	Pattern PatternRule    // zero: nothing is told
	// AuditPatience is how long an answer waits for its audit record before its
	// setting is told CHECK_FAILED. Default 5 s.
	AuditPatience time.Duration
	history       history
	seen          sightings
	// sick says that audit records could not be committed lately. Until one is, no
	// answer at all goes out with its audit record, but after it.
	sick atomic.Bool
}

// Open reads back what was decided for a partition.
func (d *Decide) Open(ctx context.Context, a *topics.Assignment) (Work, error) {
	told, err := d.readBack(ctx, a)
	if err != nil {
		return Work{}, err
	}
	l := &decideLane{d: d, partition: a.Partition, told: told, episodes: newEpisodes(), successors: map[string]successor{}, unrecorded: map[string]*unrecorded{}}
	if err := l.recall(ctx, a); err != nil {
		return Work{}, err
	}
	return Work{Handle: l.handle, Follow: l.follow, Close: l.commits.Wait}, nil
}

// decideLane decides one partition. A Stage calls it from one goroutine at a
// time.
type decideLane struct {
	d         *Decide
	partition int
	told      *told
	episodes  *episodes
	// successors are who somebody turned out to be: by the reference of the
	// record that was merged into another, or by a visit that was moved.
	successors map[string]successor
	unrecorded map[string]*unrecorded // by event id
	late       *recording             // of audit records that a crash left out
	commits    sync.WaitGroup         // under way
}

// answer is one registration on its way through a batch.
type answer struct {
	at      int // index in the batch
	reg     schemas.Registration
	origin  schemas.InputPosition
	outcome schemas.Outcome
	stored  bool             // its audit record is committed
	whole   bool             // and its outcome with it
	before  lastAnswer       // what was told, where it is answered again; empty the first time
	notices []schemas.Notice // those that go with it
}

func (l *decideLane) handle(ctx context.Context, tasks []Task) []error {
	errs := make([]error, len(tasks))
	if l.late == nil {
		l.late = l.record(ctx, l.told.late)
	}
	var open, fresh []*answer
	for i, t := range tasks {
		a, err := l.read(ctx, t)
		if err != nil {
			errs[i] = err
			continue
		}
		if a.reg.Link != "" && !t.Again {
			touched, err := l.relinked(ctx, a, t.Key)
			if errs[i] = err; err == nil {
				for _, again := range touched {
					again.at = i
				}
				open, fresh = append(open, touched...), append(fresh, touched...)
			}
			continue
		}
		before, told := l.episodes.last(t.Offset)
		switch {
		case !a.reg.Class.Checked():
			continue
		case !t.Again && l.told.answered.has(a.reg.EventID):
			if errs[i] = errUndecided; l.late.ended(l.d.patience()) { // its audit record may be late
				errs[i] = l.late.err
			}
			continue
		case t.Again && !told: // its first answer is still to come, and will know
			continue
		case t.Again:
			a.before = before
		}
		a.at = i
		found, err := l.recorded(a)
		if err != nil {
			errs[i] = err
			continue
		}
		switch decided := l.told.unpublished[a.reg.EventID]; {
		case found:
		case decided != nil && decided.OutcomeID != a.before.outcome:
			a.outcome, a.stored = *decided, true
			if decided.State != schemas.StateCheckFailed && decided.Corrects == "" && l.told.failed.has(a.reg.EventID) {
				a.outcome.Corrects = l.d.provisionalID(a.reg.EventID) // told while its audit record was on its way
			}
		case t.Behind:
			l.compose(a, schemas.Decision{State: schemas.StateCheckFailed, Reason: schemas.ReasonEarlierUnanswered})
		default:
			fresh = append(fresh, a)
		}
		open = append(open, a)
	}
	l.decide(ctx, fresh)
	l.publish(ctx, slices.DeleteFunc(open, l.unchanged), errs)
	return errs
}

func (l *decideLane) read(ctx context.Context, t Task) (*answer, error) {
	a := &answer{origin: schemas.InputPosition{Partition: int64(t.Partition), Offset: t.Offset}}
	if err := l.d.Codec.Decode(ctx, schemas.TopicRegistration, t.Value, &a.reg); err != nil {
		return nil, err
	}
	var err error
	if a.reg.Person, err = l.d.Keys.OpenPerson(schemas.TopicRegistration, "", a.reg.EventID, a.reg.SealedPerson); err != nil {
		return a, err
	}
	if len(a.reg.SealedEvidence) > 0 {
		a.reg.Evidence, err = l.d.Keys.OpenEvidence(a.reg.EventID, a.reg.SealedEvidence)
	}
	if a.reg.Class.Checked() {
		l.succeed(a)
	}
	return a, err
}

func (l *decideLane) decide(ctx context.Context, fresh []*answer) {
	if len(fresh) == 0 {
		return
	}
	regs := make([]schemas.Registration, len(fresh))
	for i, a := range fresh {
		regs[i] = a.reg
		l.episodes.begin(l.names(a), a.origin.Offset, a.reg.AcceptedAt)
	}
	for i, decision := range l.d.Decider.Decide(ctx, regs) {
		l.compose(fresh[i], decision)
	}
}

// compose turns a decision into an outcome. A CHECK_FAILED is provisional: it
// has an id of its own, and the answer that follows names it.
func (l *decideLane) compose(a *answer, d schemas.Decision) {
	r := a.reg
	a.outcome = schemas.Outcome{EventID: r.EventID, Feed: r.Feed, ODS: r.ODS, Setting: r.Setting, ControlID: r.ControlID, Event: r.Event,
		State: d.State, Reason: d.Reason, Silent: r.Class == schemas.ClassScheduled || !r.Setting.Unscheduled(),
		Repeat: r.Repeat, AcceptedAt: r.AcceptedAt, DecidedAt: l.d.Now().UTC().Truncate(time.Millisecond), Freshness: d.Freshness, Origin: a.origin}
	if d.State.Matched() {
		a.outcome.SubjectRef = d.Subject
		a.outcome.Details = schemas.Details{Person: r.Person, Plans: d.Plans, Restricted: r.Evidence.Restricted}
	}
	a.outcome.OutcomeID = l.d.Keys.ID("outcome", r.EventID)
	switch {
	case d.State == schemas.StateCheckFailed:
		a.outcome.OutcomeID = l.d.provisionalID(r.EventID)
	case a.before.outcome != "": // the same change after a crash makes the same id
		a.outcome.Corrects = a.before.outcome
		a.outcome.OutcomeID = l.d.Keys.ID("outcome", r.EventID, a.before.outcome, l.d.answerHash(&a.outcome))
	case l.told.failed.has(r.EventID):
		a.outcome.Corrects = l.d.provisionalID(r.EventID)
	}
}

// unchanged reports that an answer given again says what was told already, so
// that nothing has to be told.
func (l *decideLane) unchanged(a *answer) bool {
	last := l.d.lastAnswer(&a.outcome)
	if a.before.outcome == "" || a.stored || a.outcome.State == schemas.StateCheckFailed || last.hash != a.before.hash {
		return false
	}
	last.outcome = a.before.outcome
	l.note(a, last)
	return true
}

// names are what a registration is found by: what its answer rests on, and its
// own reference, of a number or of the sender's.
func (l *decideLane) names(a *answer) []string {
	return append(l.d.Decider.Watched(a.reg), string(a.reg.SubjectRef))
}

// note keeps a registration open with its newest answer.
func (l *decideLane) note(a *answer, last lastAnswer) {
	l.episodes.answered(l.names(a), a.origin.Offset, a.reg.AcceptedAt, last)
}

func (d *Decide) provisionalID(event string) string {
	return d.Keys.ID("outcome", event, "check failed")
}

// publish commits what the answers are made of, and writes into errs who has to
// come again.
func (l *decideLane) publish(ctx context.Context, open []*answer, errs []error) {
	var first, notices, last []topics.Record
	var telling []*answer
	sick := l.d.sick.Load()
	seen := map[string]bool{} // a plan and a merge may ask for one answer in one batch
	for _, a := range open {
		if a.outcome.State == schemas.StateCheckFailed {
			errs[a.at] = errUndecided
			if l.told.failed.has(a.reg.EventID) || a.before.outcome != "" {
				continue // told already, or an answer stands until there is another
			}
		}
		if seen[a.outcome.OutcomeID] {
			continue
		}
		seen[a.outcome.OutcomeID] = true
		audit, told, outcome, err := l.records(a)
		if err != nil {
			errs[a.at] = err
			continue
		}
		telling = append(telling, a)
		if a.whole {
			continue
		}
		if !a.stored {
			first = append(first, audit)
		}
		if a.outcome.State.Matched() || sick {
			notices, last = append(notices, told...), append(last, outcome)
		} else {
			first = append(first, outcome)
		}
	}
	audited := l.record(ctx, first)
	if !audited.ended(l.d.patience()) {
		l.wait(ctx, audited, telling, sick, errs)
		return
	}
	err := audited.err
	for _, step := range [][]topics.Record{unique(notices), last} {
		if err == nil {
			err = l.d.commit(ctx, step)
		}
	}
	if err != nil {
		for _, a := range telling {
			errs[a.at] = err
		}
		return
	}
	for _, a := range telling {
		l.told.published(&a.outcome)
		if a.outcome.State != schemas.StateCheckFailed {
			l.note(a, l.d.lastAnswer(&a.outcome))
		}
	}
	for _, a := range telling {
		for _, n := range a.notices {
			l.told.notices.add(n.NoticeID)
			l.d.seen.add(n)
		}
	}
}

func (d *Decide) commit(ctx context.Context, records []topics.Record) error {
	if len(records) == 0 {
		return nil
	}
	if err := d.Log.Produce(ctx, records...); err != nil {
		return fmt.Errorf("%w: commit to %s: %w", errReadBack, records[0].Topic, err)
	}
	return nil
}

// records renders an answer: its audit record, the notices that were not sent
// for this visit, and the outcome.
func (l *decideLane) records(a *answer) (audit topics.Record, notices []topics.Record, outcome topics.Record, err error) {
	o := &a.outcome
	if a.stored && o.State.Matched() {
		if o.Details, err = l.d.Keys.OpenDetails(o.OutcomeID, o.SealedDetails); err != nil {
			return audit, nil, outcome, err
		}
	}
	a.notices = l.notices(a)
	if !a.stored && o.State.Matched() {
		o.Details.Pattern = l.d.seen.pattern(l.d.Pattern, o.SubjectRef, authoritiesOf(o), a.notices, o.DecidedAt)
		if o.SealedDetails, err = l.d.Keys.SealDetails(o.OutcomeID, o.Details); err != nil {
			return audit, nil, outcome, err
		}
	}
	a.notices = append(a.notices, l.d.patternNotices(o.Details.Pattern, a.notices)...)
	if audit, err = l.d.audit(o); err != nil {
		return audit, nil, outcome, err
	}
	for _, n := range a.notices {
		if l.told.notices.has(n.NoticeID) {
			continue
		}
		r, err := (&Notices{Publisher: l.d.Publisher, Keys: l.d.Keys}).seal(n, o.EventID)
		if err != nil {
			return audit, nil, outcome, err
		}
		notices = append(notices, r)
	}
	outcome, err = l.d.record(schemas.TopicOutcome, settingKey(o.ODS, o.Setting), o.OutcomeID, o.EventID, *o)
	if o.State != schemas.StateCheckFailed {
		outcome.Headers = append(outcome.Headers, l.d.answerHeaders(o)...)
	}
	return audit, notices, outcome, err
}

// authoritiesOf are those whose plans are shown, each once.
func authoritiesOf(o *schemas.Outcome) []schemas.AuthorityCode {
	var out []schemas.AuthorityCode
	for _, p := range o.Details.Plans {
		if !slices.Contains(out, p.Authority) {
			out = append(out, p.Authority)
		}
	}
	return out
}
