package socialcare

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"cpis/schemas"
)

// refreshAfter is how old what is held may be before the same record is written
// again, so that it shows that the authority still sends it.
const refreshAfter = 30 * 24 * time.Hour

// compare says of every good row what it changes. The record's own version
// decides, not the order in which files come:
//
//	lower than held                  superseded: nothing is written
//	the same, and the same content   unchanged
//	the same, and other content      refused: nobody can tell which is newer
//	higher                           new, changed, ended or withdrawn
//
// What was taken back keeps its version, so that an older row cannot bring it back.
// What ended only because a full snapshot did not hold it comes back with any.
func (s *Service) compare(j *job) {
	under := map[string]string{} // keys of records that stand, by record id
	for key, i := range j.held {
		if !i.Withdrawn && i.Person.LocalID != "" {
			under[recordKey(i.Person.LocalID, i.PlanType)] = key
		}
	}
	for at := range j.items {
		it := &j.items[at]
		i := &it.indicator
		if it.refused {
			if it.verdict.Detail == "CPIS-L041" { // nothing about a sensitive record may be shared, and nothing that was
				i.SubjectRef = s.store.Identify(i.Person.Number)
				if held, ok := j.held[string(i.Key())]; ok && !held.Withdrawn {
					j.put = append(j.put, s.takenBack(j, held, reasonSensitive))
				}
			}
			continue
		}
		i.SubjectRef, i.UploadID, i.ReceivedAt = s.store.Identify(i.Person.Number), j.upload.UploadID, j.now
		if before, ok := s.heldOf(j, *i); ok {
			it.before = &before
		}
		it.outcome(j.now)
		if !it.write {
			continue
		}
		if it.row.Withdrawn { // the marker names nobody
			i.Person = schemas.Person{}
		}
		j.put = append(j.put, s.own(j, *i))
		if other := under[recordKey(it.verdict.RecordID, i.PlanType)]; other != "" && other != string(i.Key()) && !it.row.Withdrawn && j.held[other].Version <= i.Version {
			j.put = append(j.put, s.takenBack(j, j.held[other], reasonCorrected))
			j.file.notes.add("CPIS-L110", it.row.Line)
		}
	}
}

// own gives a record that names nobody an upload id of its own: that of a child
// who was adopted must not lead to another record of the same file.
func (s *Service) own(j *job, i schemas.Indicator) schemas.Indicator {
	if i.Withdrawn {
		i.UploadID = s.markerID(j.upload.UploadID, i)
	}
	return i
}

func (s *Service) markerID(upload string, i schemas.Indicator) string {
	return s.config.ID("withdrawal", upload, string(i.Key()))
}

// takenBack is what is left of a record that is taken back.
func (s *Service) takenBack(j *job, i schemas.Indicator, reason string) schemas.Indicator {
	return s.own(j, schemas.Indicator{Authority: i.Authority, SubjectRef: i.SubjectRef, PlanType: i.PlanType, Version: i.Version, ReceivedAt: j.now, UploadID: j.upload.UploadID,
		Withdrawn: true, Reason: reason})
}

// outcome decides what becomes of a row that the rules find good.
func (it *item) outcome(now time.Time) {
	it.verdict = Verdict{Row: it.row.Line, RecordID: it.verdict.RecordID, Code: codeTaken, Outcome: outcomeNew}
	before := it.before
	if before == nil {
		if it.write = true; it.row.Withdrawn { // what it takes back may come late
			it.verdict.Outcome = outcomeWithdrawn
		}
		return
	}
	same := sameRecord(*before, it.indicator)
	switch v := it.indicator.Version; {
	case v < before.Version:
		e, _ := schemas.Explain("CPIS-L023")
		it.verdict.Outcome, it.verdict.Detail, it.verdict.Field, it.verdict.Fix = outcomeSuperseded, e.Code, "version", e.Fix
		return
	case same:
		it.verdict.Outcome = outcomeUnchanged
		it.write = v > before.Version || !before.Withdrawn && now.Sub(before.ReceivedAt) > refreshAfter
		return
	case v == before.Version && before.Reason != reasonSnapshot && !it.row.Withdrawn:
		refuse(it, "CPIS-L027", "version", "another record is held with this version")
		return
	}
	it.write = true
	switch {
	case it.row.Withdrawn:
		it.verdict.Outcome = outcomeWithdrawn
	case before.Withdrawn:
	case it.indicator.PlanEnd != "" && before.PlanEnd == "":
		it.verdict.Outcome = outcomeEnded
	default:
		it.verdict.Outcome = outcomeChanged
	}
}

// sameRecord reports whether two states of a record say the same.
func sameRecord(a, b schemas.Indicator) bool {
	if a.Withdrawn || b.Withdrawn {
		return a.Withdrawn && b.Withdrawn
	}
	return a.PlanStart == b.PlanStart && a.PlanEnd == b.PlanEnd && a.ExpectedDate == b.ExpectedDate && a.Reason == b.Reason && a.Person == b.Person
}

// live reports whether a plan is shown as current on a day.
func live(i schemas.Indicator, today schemas.Date) bool {
	visible, ended, _ := i.Shown(i.Person.DateOfBirth, today)
	return visible && !ended
}

// hides reports whether a change takes a current plan from view, now or on a day
// to come.
func hides(before, after schemas.Indicator, today schemas.Date) bool {
	return live(before, today) && (!live(after, today) || after.PlanEnd != "" && before.PlanEnd == "")
}

// summarise counts what a file does.
func (s *Service) summarise(j *job) {
	verdicts := make([]Verdict, len(j.items))
	for i, it := range j.items {
		verdicts[i] = it.verdict
	}
	r := &j.result
	r.count(verdicts)
	r.State, r.UploadID, r.Sequence, r.Notes = j.upload.State, j.upload.UploadID, j.Sequence, j.file.notes.list()
	for _, after := range j.put {
		before, ok := j.held[string(after.Key())]
		if !ok {
			continue
		}
		if hides(before, after, j.today) {
			r.Hidden++
		}
		if after.Reason == reasonSnapshot {
			r.Absent++
		}
	}
	if r.Hidden > 0 {
		for _, i := range j.held {
			if live(i, j.today) {
				r.Live++
			}
		}
	}
}

// details are the codes of refused rows, counted.
func (j *job) details() []schemas.Count {
	by := map[schemas.Code]int64{}
	for _, it := range j.items {
		if it.refused {
			by[it.verdict.Detail]++
		}
	}
	out := []schemas.Count{}
	for _, code := range slices.Sorted(maps.Keys(by)) {
		out = append(out, schemas.Count{Name: string(code), Count: by[code]})
	}
	return out
}

func namesOf(counts []schemas.Count) []string {
	var out []string
	for _, c := range counts {
		out = append(out, c.Name)
	}
	return out
}

// recorded is the upload as it is put on record.
func (j *job) recorded() schemas.Upload {
	u, r := j.upload, j.result
	u.FileCode, u.Details = r.FileCode, j.details()
	for name, n := range map[string]int{outcomeNew: r.New, outcomeChanged: r.Changed, outcomeEnded: r.Ended, outcomeWithdrawn: r.Withdrawn, outcomeUnchanged: r.Unchanged,
		outcomeSuperseded: r.Superseded, outcomeRefused: r.Refused, "absent": r.Absent} {
		if n > 0 {
			u.Counts = append(u.Counts, schemas.Count{Name: name, Count: int64(n)})
		}
	}
	slices.SortFunc(u.Counts, func(a, b schemas.Count) int { return cmp.Compare(a.Name, b.Name) })
	return u
}
