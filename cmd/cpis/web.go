package main

import (
	"net/http"
	"time"

	"cpis/connectors"
	"cpis/connectors/socialcare"
	"cpis/schemas"
)

// openWeb builds the HTTP side: health and metrics in every process, the
// authorities' door in the web role.
func (s *system) openWeb() error {
	mux := http.NewServeMux()
	s.health(mux)
	if s.config.has(roleWeb) {
		if err := s.openCare(mux); err != nil {
			return err
		}
	}
	return s.listenWeb(mux)
}

// openCare opens the authorities' door.
func (s *system) openCare(mux *http.ServeMux) error {
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
	for _, a := range s.config.Authorities {
		if a.Drop == "" {
			continue
		}
		drop, err := s.care.WatchDrop(a.Code, a.Drop)
		if err != nil {
			return err
		}
		s.add("drop "+string(a.Code), drop.Run)
	}
	api := connectors.NewAPI(mux, buildVersion().Version)
	s.care.Register(api, s.superseded)
	return nil
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
