package socialcare

import (
	"slices"
	"time"

	"cpis/schemas"
)

// MatchLine is the share of records, in percent, whose person should be beyond
// doubt before an authority's feed is relied on.
const MatchLine = 95

// Health is how an authority's feed is.
type Health struct {
	Authority         schemas.AuthorityCode `json:"authority"`
	Received          int64                 `json:"received" doc:"Records of the newest file, or the newest streamed ones."`
	Refused           int64                 `json:"refused" doc:"Those that were refused and wait for correction."`
	MatchRate         *float64              `json:"match_rate,omitempty" doc:"Share of them, in percent, whose person is beyond doubt; absent where nothing came yet."`
	MatchLine         int                   `json:"match_line"`
	BelowLine         bool                  `json:"below_line"`
	LastGoodLoad      *time.Time            `json:"last_good_load,omitempty"`
	NextDue           *time.Time            `json:"next_due,omitempty"`
	Quiet             bool                  `json:"quiet" doc:"The next file is overdue."`
	Sequence          int64                 `json:"sequence,omitempty" doc:"Highest sequence number of a file."`
	Waiting           int                   `json:"waiting" doc:"Files that wait for a second person."`
	SupersededNumbers int                   `json:"superseded_numbers" doc:"Plans under an NHS number that a care setting has merged into another."`
	ContactsVersion   int64                 `json:"contacts_version"`
	ConfirmedOn       schemas.Date          `json:"contacts_confirmed_on,omitempty"`
	Unconfirmed       bool                  `json:"contacts_unconfirmed"`
	ToDo              []string              `json:"to_do" doc:"What wants doing, in words."`
}

// Health says how an authority's feed is. superseded is how many of its plans
// stand under a number that is used no longer.
func (s *Service) Health(code schemas.AuthorityCode, superseded int) (Health, error) {
	a, ok := s.store.Authority(code)
	if !ok {
		return Health{}, &schemas.Refusal{Code: "CPIS-L022", Location: "authority", Reason: "its contacts are not loaded"}
	}
	now := s.config.Now()
	h := Health{Authority: code, Received: a.Received, Refused: a.Refused, MatchLine: MatchLine, Sequence: a.Sequence, SupersededNumbers: superseded,
		ContactsVersion: a.Version, ConfirmedOn: a.ConfirmedOn, Unconfirmed: s.book.Unconfirmed(a, now), ToDo: []string{}}
	if a.Received > 0 {
		rate := float64(a.Matched) * 100 / float64(a.Received)
		h.MatchRate, h.BelowLine = &rate, rate < MatchLine
	}
	due := a.UpdatedAt.Add(s.DueEvery(code))
	if !a.LastLoadAt.IsZero() {
		h.LastGoodLoad = &a.LastLoadAt
		due = a.LastLoadAt.Add(s.DueEvery(code))
	}
	h.NextDue, h.Quiet = &due, now.After(due)
	for _, u := range s.store.Uploads(code) {
		if u.State == schemas.UploadWaiting {
			h.Waiting++
		}
	}
	for _, item := range []struct {
		is   bool
		todo string
	}{
		{h.Quiet, "Send a file: the feed is overdue, and answers say so."},
		{h.Waiting > 0, "Have a second person look at the files that wait (cpis la uploads)."},
		{h.Refused > 0, "Correct the refused records and send them again."},
		{h.BelowLine, "Trace the NHS numbers: fewer than 95 in 100 records have a person beyond doubt."},
		{superseded > 0, "Trace the new numbers of plans whose NHS number was superseded."},
		{h.Unconfirmed, "Ring your own contact numbers and confirm that they are right (cpis la contacts --confirm)."},
	} {
		if item.is {
			h.ToDo = append(h.ToDo, item.todo)
		}
	}
	return h, nil
}

// DueEvery is how often an authority's file is due.
func (s *Service) DueEvery(code schemas.AuthorityCode) time.Duration {
	if every := s.config.Sites[code].DueEvery; every > 0 {
		return every
	}
	return s.config.DueEvery
}

// Uploads lists an authority's files, the newest first.
func (s *Service) Uploads(code schemas.AuthorityCode) []schemas.Upload {
	all := slices.Clone(s.store.Uploads(code))
	slices.SortFunc(all, func(a, b schemas.Upload) int { return b.At.Compare(a.At) })
	return all
}

// SentBy reports whether somebody sent a file, as far as they said who they were.
func (s *Service) SentBy(code schemas.AuthorityCode, u schemas.Upload, name string) bool {
	return name != "" && u.By == s.person(code, name)
}
