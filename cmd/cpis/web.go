package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"cpis/connectors"
	"cpis/connectors/identity"
	"cpis/connectors/notice"
	"cpis/connectors/socialcare"
	"cpis/router"
	"cpis/schemas"
)

// openWeb builds the HTTP side: health and metrics in every process, the
// authorities' door in the web role.
func (s *system) openWeb() error {
	mux := identity.NewMux(s.config.HTTP.Subjects, s.log)
	s.mux = mux
	turned := &turnedAway{counts: map[turned]int64{}}
	mux.Refused = turned.add
	s.add("refused callers", func(ctx context.Context) error { return turned.tell(ctx, s.recorder, s.log) })
	s.health(mux)
	if s.config.has(roleWeb) {
		if err := s.openCare(mux); err != nil {
			return err
		}
	}
	if s.notary != nil {
		for route, handle := range s.notary.Routes() {
			mux.HandleFunc(route, handle)
		}
	}
	if err := mux.Err(); err != nil {
		return err
	}
	if c := s.config.SignIn; c.On() && c.Listen != "" && s.config.has(roleWeb) {
		if _, err := s.listenWeb("signin", c.Listen, c.TLS, mux); err != nil {
			return err
		}
	}
	var err error
	s.webAddr, err = s.listenWeb("http", s.config.HTTP.Listen, s.config.HTTP.TLS, mux)
	return err
}

// openCare opens the doors of authorities, and of care settings that tell what was
// opened.
func (s *system) openCare(mux *identity.Mux) error {
	s.plans, s.uploads = newShelf(schemas.TopicIndicator), newUploads()
	s.add("plans", s.plans.follow(s))
	s.add("uploads", s.followState(schemas.TopicUpload, s.filed, s.upload))
	config := socialcare.Config{ID: s.keys.ID, DueEvery: s.config.Matching.LateAfter, Sites: map[schemas.AuthorityCode]socialcare.Site{}, Now: time.Now}
	for _, a := range s.config.Authorities {
		config.Sites[a.Code] = a.Feed
	}
	if file := s.config.Demographics; file != "" {
		config.Demographics = socialcare.DemographicsFile(file)
	}
	var err error
	if s.care, err = socialcare.New(config, carer{s}, s.log); err != nil {
		return err
	}
	s.add("purge", s.purge)
	s.add("renewal", s.renew)
	api := connectors.NewAPI(mux, buildVersion().Version)
	s.care.Register(api, s.superseded)
	s.views = router.NewViews(s.publish, s.keys)
	s.fetched = &router.Fetched{Deliveries: &router.Deliveries{Publisher: s.publish, Keys: s.keys}, Client: s.client}
	door := notice.NewDoor(messenger{s}, s.log)
	door.Register(api)
	for _, a := range s.config.Authorities {
		if a.Drop == "" {
			continue
		}
		drop, err := s.care.WatchDrop(a.Code, a.Drop, func(ctx context.Context, id string, text []byte) error { return door.AnswerText(ctx, a.Code, id, text) })
		if err != nil {
			return err
		}
		s.add("drop "+string(a.Code), drop.Run)
	}
	if err := s.openPages(mux, door); err != nil {
		return err
	}
	s.add("answers", s.trying("answers", func(ctx context.Context) error { return s.views.Follow(ctx, s.client) }))
	return s.openUpdates(mux)
}

// superseded counts the plans of an authority that stand under a number which a
// care setting has merged into another.
func (s *system) superseded(code schemas.AuthorityCode) int {
	n := 0
	for _, l := range s.links.All() {
		n += s.plans.under(code, l.Retired)
	}
	return n
}

const groupUpdates = "cpis-updates"

// maxUpdate is how many records an update may hold, so that their verdicts fit in a
// record.
const maxUpdate = 1000

// openUpdates adds the stage for what authorities stream on Kafka, and hands out
// the key they encrypt with.
func (s *system) openUpdates(mux *identity.Mux) error {
	verifiers := map[schemas.AuthorityCode]*schemas.UpdateVerifier{}
	for i, a := range s.config.Authorities {
		if a.StreamKey == "" {
			continue
		}
		var err error
		if verifiers[a.Code], err = a.verifier(); err != nil {
			return &schemas.Refusal{Code: "CPIS-C002", Location: fmt.Sprintf("authorities[%d].stream_key", i), Reason: err.Error()}
		}
	}
	if key, err := s.keys.UpdateKey(); err == nil {
		mux.HandleFunc("GET /v1/keys/updates", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write(key)
		})
	} else if len(verifiers) > 0 {
		return &schemas.Refusal{Code: "CPIS-C002", Location: "keys.dir", Reason: err.Error()}
	}
	updates := &router.Updates{Publisher: s.publish, Keys: s.keys, Verifiers: verifiers, Take: s.takeUpdate, Logger: s.log}
	s.updates = &router.Stage{Topic: schemas.TopicUpdate, Group: groupUpdates, Open: updates.Open, Workers: 8, Client: s.client, Dead: s.dead, Log: s.log, Now: time.Now}
	s.add("updates", s.updates.Run)
	return nil
}

// takeUpdate judges the records of an update by the rules that hold for any file.
func (s *system) takeUpdate(ctx context.Context, code schemas.AuthorityCode, records []byte) (schemas.UpdateVerdict, error) {
	if bytes.Count(records, []byte("\n")) > maxUpdate {
		return schemas.UpdateVerdict{Code: "CPIS-L020", FileCode: "CPF01", Verdicts: []schemas.RecordVerdict{}}, nil
	}
	result, err := s.care.Take(ctx, socialcare.Request{Authority: code, Format: socialcare.JSONL, Body: bytes.NewReader(records), Stream: true, By: "stream"})
	var refusal *schemas.Refusal
	if errors.As(err, &refusal) {
		return schemas.UpdateVerdict{Code: refusal.Code, FileCode: "CPF01", Verdicts: []schemas.RecordVerdict{}}, nil
	}
	v := schemas.UpdateVerdict{FileCode: result.FileCode, UploadID: result.UploadID}
	if result.State == schemas.UploadWaiting {
		v.Code = "CPIS-L031"
	}
	for _, r := range result.Verdicts {
		v.Verdicts = append(v.Verdicts, schemas.RecordVerdict{Row: int64(r.Row), Code: r.Code, Outcome: r.Outcome, Detail: r.Detail, Field: r.Field, Reason: r.Reason})
	}
	return v, err
}

// How often it is looked whether a new day has begun, and whether keys have changed.
const (
	purgeEvery = time.Hour
	renewEvery = 5 * time.Second
)

// purge removes once a day, for each authority, what is shown no more.
func (s *system) purge(ctx context.Context) error {
	return s.eachAuthority(ctx, purgeEvery, func(schemas.AuthorityCode) string { return time.Now().UTC().Format(time.DateOnly) }, func(code schemas.AuthorityCode) error {
		_, err := s.care.Purge(ctx, code)
		if err != nil && ctx.Err() == nil {
			s.log.Error("records of which nothing is shown any more could not be removed", "code", "CPIS-L045", "authority", string(code), "error", err)
		}
		return err
	})
}

// renew has authorities' records written anew when their keys, or those of pseudonyms,
// have changed.
func (s *system) renew(ctx context.Context) error {
	return s.eachAuthority(ctx, renewEvery, s.keys.Sealing, func(code schemas.AuthorityCode) error {
		_, err := s.care.Renew(ctx, code)
		if err != nil && ctx.Err() == nil {
			s.log.Warn("records cannot be written anew with newer keys yet", "authority", string(code), "error", err)
		}
		return err
	})
}

// eachAuthority does something for every authority once for each state of it, looking from
// time to time whether that has changed; what fails is tried again at the next look. It
// returns when ctx ends.
func (s *system) eachAuthority(ctx context.Context, every time.Duration, state func(schemas.AuthorityCode) string, do func(schemas.AuthorityCode) error) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	done := map[schemas.AuthorityCode]string{}
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
		for _, a := range s.contacts.All() {
			if now := state(a.Code); done[a.Code] != now && do(a.Code) == nil {
				done[a.Code] = now
			}
		}
	}
}
