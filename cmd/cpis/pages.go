package main

import (
	"context"
	"net/http"
	"slices"
	"time"

	"cpis/connectors/adt"
	"cpis/connectors/console"
	"cpis/connectors/fhir"
	"cpis/connectors/identity"
	"cpis/connectors/notice"
	"cpis/router"
	"cpis/router/topics"
	"cpis/schemas"
	"cpis/schemas/contact"
)

// openPages opens the door for people: signing in, what each may see, and the pages.
func (s *system) openPages(mux *identity.Mux, door *notice.Door) error {
	book, err := contact.NewBook()
	if err != nil {
		return err
	}
	s.watchLookers(book)
	c := s.config.SignIn
	if !c.On() {
		return nil
	}
	live := console.NewLive()
	s.follow(book, live)
	s.people = identity.NewSignIn(c, s.serves, time.Now, s.log)
	s.people.Told, s.people.Authority = s.signedIn, s.authorityOf
	who := clerk{s, book}
	desk := console.NewDesk(who, time.Now, s.log)
	pages, err := console.New(console.Config{Desk: desk, Boards: who, Around: who, Live: live, Place: book.Place(), Now: time.Now, Log: s.log, Demo: c.Practice, People: s.people,
		Authority: console.Authority{Care: s.care, Door: door, Superseded: s.superseded, Notices: who.noticesOf}, Engine: newEngine(s).console()})
	if err != nil {
		return err
	}
	mux.People, mux.Unsigned, s.people.Refuse = s.people, pages.Unsigned, pages.Refuse
	routes := []map[string]http.HandlerFunc{s.people.Routes(), desk.Routes(), pages.Routes(), fhir.New(desk, s.people.Bearer, s.log).Routes()}
	if c.Practice {
		practice, err := identity.NewPractice(time.Now)
		if err != nil {
			return err
		}
		routes = append(routes, practice.Routes())
	}
	for _, list := range routes {
		for route, handle := range list {
			mux.HandleFunc(route, handle)
		}
	}
	s.add("live pages", func(ctx context.Context) error {
		<-ctx.Done()
		live.Close()
		return nil
	})
	return nil
}

// follow keeps what pages show in memory, for as long as it is of use.
func (s *system) follow(book *contact.Book, live *console.Live) {
	s.brought = &router.FeedWatch{Now: time.Now, Place: book.Place(), Newborn: s.newborn}
	s.arrivals = &router.Arrivals{Codec: s.codec, Now: time.Now, Logger: s.log, Changed: live.Changed, Seen: s.brought.Take}
	s.views.Each = s.arrivals.Answered
	s.trail = &router.Trail{Codec: s.codec, Client: s.client, Now: time.Now, Logger: s.log}
	s.informed = &router.Informed{Codec: s.codec, Now: time.Now, Logger: s.log, Changed: live.Changed}
	s.letters = &router.LetterBook{DeadLetters: s.dead, Logger: s.log}
	s.add("arrivals", s.trying("arrivals", func(ctx context.Context) error { return s.arrivals.Follow(ctx, s.client) }))
	s.add("trail", s.trying("trail", s.trail.Follow))
	s.add("dead letters", s.trying("dead letters", s.letters.Follow))
	for _, t := range []schemas.Topic{schemas.TopicNotice, schemas.TopicDelivery} {
		s.add("told "+string(t), s.trying(string(t), func(ctx context.Context) error { return s.informed.Follow(ctx, s.client, t) }))
	}
}

// newborn reports whether a registration is of a newborn, who has no verified number yet.
func (s *system) newborn(r schemas.Registration) bool {
	if len(r.SealedEvidence) == 0 || r.NumberStatus == schemas.NumberVerified {
		return false
	}
	e, err := s.keys.OpenEvidence(r.EventID, r.SealedEvidence)
	return err == nil && len(e.Newborn) > 0
}

// authorityOf is the local authority whose people sign in under an organisation code: as
// configured, or one that is known under that very code.
func (s *system) authorityOf(ods schemas.ODSCode) (schemas.AuthorityCode, bool) {
	for _, a := range s.config.Authorities {
		if a.People == ods {
			return a.Code, true
		}
	}
	if s.serves(ods) {
		return "", false
	}
	code := schemas.AuthorityCode(ods)
	if _, known := s.contacts.Get(code); known {
		return code, true
	}
	return code, slices.ContainsFunc(s.config.Authorities, func(a AuthorityConfig) bool { return a.Code == code && a.People == "" })
}

// Feeds lists the care settings that send.
func (c clerk) Feeds() []console.Feed {
	var out []console.Feed
	for _, f := range c.config.Feeds {
		out = append(out, console.Feed{Name: f.Name, ODS: f.ODS, Setting: f.Setting})
	}
	return out
}

// Board lists the visits of a feed. A person is opened for the moment of showing alone.
func (c clerk) Board(feed string, page, size int) (list []console.Arrival, all int, ready bool) {
	held, all := c.arrivals.Board(feed, page*size, size)
	for _, a := range held {
		out := console.Arrival{Key: a.EventID, Since: a.Since, Verified: a.Verified}
		var err error
		if out.Person, err = c.keys.OpenPerson(schemas.TopicRegistration, "", a.EventID, a.Person); err != nil {
			c.log.Error("a registration does not open", "code", "CPIS-K002", "partition", a.Partition, "offset", a.Offset, "error", err)
		}
		if len(a.Evidence) > 0 {
			if e, err := c.keys.OpenEvidence(a.EventID, a.Evidence); err == nil {
				out.Place = e.Location
			}
		}
		if o := a.Answer; o != nil {
			out.Answer = &schemas.Outcome{OutcomeID: o.OutcomeID, ODS: a.ODS, Setting: o.Setting, State: o.State, Reason: o.Reason, DecidedAt: o.DecidedAt, Freshness: schemas.Freshness{AsOf: o.AsOf}}
			out.Opened, _ = c.trail.Opened(o.OutcomeID)
		}
		list = append(list, out)
	}
	return list, all, c.arrivals.Caught()
}

// Unopened lists when the indicators of a feed were answered that nobody has opened, those
// before a moment.
func (c clerk) Unopened(feed string, before time.Time) []time.Time {
	var out []time.Time
	for _, a := range c.arrivals.Flagged(feed) {
		if _, opened := c.trail.Opened(a.Answer.OutcomeID); !opened && a.Answer.DecidedAt.Before(before) {
			out = append(out, a.Answer.DecidedAt)
		}
	}
	slices.SortFunc(out, func(a, b time.Time) int { return b.Compare(a) })
	return out
}

// Freshness is how new what the answers rest on is.
func (c clerk) Freshness() console.Freshness {
	f := console.Freshness{Whole: c.engine.lastFlow().Index.Whole}
	for _, s := range c.supply() {
		f.Authorities++
		if s.Late {
			f.Late = append(f.Late, s.Name)
		} else {
			f.Lately++
		}
	}
	return f
}

// supply is how fresh the plans of each authority are.
func (s *system) supply() []console.Supply {
	var out []console.Supply
	late := s.contacts.Late(time.Now())
	for _, a := range s.contacts.All() {
		out = append(out, console.Supply{Name: a.Name, Code: a.Code, Last: a.LastLoadAt, Late: slices.Contains(late, string(a.Code))})
	}
	return out
}

// Told lists what authorities were told about an answer.
func (c clerk) Told(outcomeID string) []console.Told {
	var out []console.Told
	for _, t := range c.informed.Of(outcomeID) {
		told := console.Told{Authority: string(t.Authority), What: t.Kind, At: t.At, Taken: t.State == schemas.Delivered || t.State == schemas.Acknowledged, Failed: t.State == schemas.Undelivered, Answer: t.Answer, AnswerAt: t.AnswerAt, CallBy: t.CallBy}
		if a, ok := c.contacts.Get(t.Authority); ok {
			told.Authority = a.Name
		}
		out = append(out, told)
	}
	return out
}

// Confirmed is when an authority last said that its numbers are right.
func (c clerk) Confirmed(code schemas.AuthorityCode) schemas.Date {
	a, _ := c.contacts.Get(code)
	return a.ConfirmedOn
}

// noticeChunk is how many records of the notice topic are read at a time, from its end on
// backwards.
const noticeChunk = 500

// noticesOf lists an authority's notices, the newest first. They stand in one partition,
// among those of others.
func (c clerk) noticesOf(ctx context.Context, code schemas.AuthorityCode, limit int) ([]console.Notice, error) {
	n, err := c.client.Partitions(ctx, schemas.TopicNotice)
	if err != nil {
		return nil, err
	}
	p := topics.PartitionFor([]byte(code), n)
	starts, err := c.client.Starts(ctx, schemas.TopicNotice)
	if err != nil {
		return nil, err
	}
	ends, err := c.client.Ends(ctx, schemas.TopicNotice)
	if err != nil {
		return nil, err
	}
	var out []console.Notice
	for until := ends[p]; until > starts[p] && len(out) < limit; {
		from := max(until-noticeChunk, starts[p])
		var some []console.Notice
		err := c.client.ReadFrom(ctx, schemas.TopicNotice, p, from, until, func(batch []topics.Record) error {
			for _, r := range batch {
				if string(r.Key) != string(code) {
					continue
				}
				n, shown, err := c.notice(ctx, r)
				if err != nil {
					return err
				}
				if shown {
					some = append(some, n)
				}
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
		slices.Reverse(some)
		out = append(out, some...)
		until = from
	}
	return out[:min(len(out), limit)], nil
}

// notice reads a notice as an authority's people see it; shown is false for one that goes
// to nobody.
func (c clerk) notice(ctx context.Context, r topics.Record) (out console.Notice, shown bool, err error) {
	var n schemas.Notice
	if err := c.codec.Decode(ctx, schemas.TopicNotice, r.Value, &n); err != nil {
		return out, false, err
	}
	if n.Held() {
		return out, false, nil
	}
	if len(n.SealedAccess) > 0 {
		if n.Access, err = c.keys.OpenAccess(schemas.TopicNotice, n.Authority, n.NoticeID, n.SealedAccess); err != nil {
			return out, false, err
		}
	}
	out = console.Notice{Event: notice.Render(n), Visit: n.Kind.Visit(), Answers: schemas.Answers()}
	if n.SubjectRef.Valid() && n.OutcomeID != "" {
		if _, err := c.views.Find(n.OutcomeID); err == nil {
			out.Handle = n.OutcomeID
		}
	}
	if t, ok := c.informed.Find(n.NoticeID); ok {
		out.Answer, out.Said, out.CallBy = t.Answer, t.AnswerAt, t.CallBy
	}
	return out, true, nil
}

// profileOf finds a feed's profile.
func (s *system) profileOf(feed string) (adt.Profile, bool) {
	i := slices.IndexFunc(s.config.Feeds, func(p adt.Profile) bool { return p.Name == feed })
	if i < 0 {
		return adt.Profile{}, false
	}
	return s.config.Feeds[i], true
}
