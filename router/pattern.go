package router

import (
	"fmt"
	"strconv"
	"sync"
	"time"

	"cpis/schemas"
)

// PatternRule says when it is told how often somebody was seen: from so many
// distinct care settings, or so many visits, in so many days. It is told as a
// fact, with the rule, and no score is made of it.
type PatternRule struct {
	Days, Settings, Visits int
}

func (r PatternRule) String() string {
	return fmt.Sprintf("told from %d care settings or %d visits in %d days", r.Settings, r.Visits, r.Days)
}

// sightings are the visits of protected people that their authorities were told
// of: of each person and authority, for as long as the rule looks back. They are
// read back from the notices. Safe for concurrent use.
type sightings struct {
	mu sync.Mutex
	by map[sighted]map[string]sighting // guarded by mu; by notice id
}

type sighted struct {
	subject   schemas.SubjectRef
	authority schemas.AuthorityCode
}

type sighting struct {
	place string
	at    time.Time
}

// reset forgets everything.
func (s *sightings) reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.by = map[sighted]map[string]sighting{}
}

// add notes the visit of a notice, once.
func (s *sightings) add(n schemas.Notice) {
	if n.Kind != schemas.NoticeAttendance {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	who := sighted{n.SubjectRef, n.Authority}
	if s.by[who] == nil {
		s.by[who] = map[string]sighting{}
	}
	s.by[who][n.NoticeID] = sighting{settingKey(n.ODS, n.Setting), n.CreatedAt}
}

// pattern counts the visits of a person with those of notices that are still to
// be sent, and is zero where there are fewer than the rule asks for. Visits that
// are too old for the rule are forgotten.
func (s *sightings) pattern(rule PatternRule, subject schemas.SubjectRef, authorities []schemas.AuthorityCode, sending []schemas.Notice, now time.Time) schemas.Pattern {
	s.mu.Lock()
	defer s.mu.Unlock()
	var most schemas.Pattern
	for _, a := range authorities {
		who := sighted{subject, a}
		places, visits := map[string]bool{}, map[string]bool{}
		for id, seen := range s.by[who] {
			if now.Sub(seen.at) > time.Duration(rule.Days)*24*time.Hour {
				delete(s.by[who], id)
				continue
			}
			places[seen.place], visits[id] = true, true
		}
		for _, n := range sending {
			if n.Authority == a {
				places[settingKey(n.ODS, n.Setting)], visits[n.NoticeID] = true, true
			}
		}
		if int64(len(visits)) > most.Visits {
			most = schemas.Pattern{Visits: int64(len(visits)), Settings: int64(len(places)), Days: int64(rule.Days), Rule: rule.String()}
		}
	}
	if rule.Days == 0 || most.Settings < int64(rule.Settings) && most.Visits < int64(rule.Visits) {
		return schemas.Pattern{}
	}
	return most
}

// patternNotices tells each authority of a pattern: when it is reached, and anew
// when there is another care setting or as many visits again.
func (d *Decide) patternNotices(p schemas.Pattern, attendances []schemas.Notice) []schemas.Notice {
	if p.Visits == 0 {
		return nil
	}
	var out []schemas.Notice
	for _, n := range attendances {
		n.Kind, n.Pattern, n.UnopenedAfter = schemas.NoticePattern, p, 0
		n.NoticeID = d.Keys.ID("notice", "pattern", string(n.Authority), string(n.SubjectRef), strconv.FormatInt(p.Settings, 10), strconv.FormatInt(p.Visits/int64(max(d.Pattern.Visits, 1)), 10))
		out = append(out, n)
	}
	return out
}
