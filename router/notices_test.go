package router

import (
	"context"
	"testing"
	"time"

	"cpis/schemas"
)

// TestNoticesOfNoVisit are sent once, whoever asks again; what goes on is sent
// again the next month.
func TestNoticesOfNoVisit(t *testing.T) {
	b := newBench(t, 3)
	now := time.Date(2026, 11, 20, 9, 0, 0, 0, time.UTC)
	publish := *b.publish
	publish.Now = func() time.Time { return now }
	n := &Notices{Publisher: &publish, Keys: b.keys, Client: b.client}
	about := func(kind schemas.NoticeKind, others ...string) schemas.Notice {
		return schemas.Notice{Kind: kind, Authority: "E06A", SubjectRef: "s", PlanTypes: []string{"CPP"}, Since: "2026-01-02", Others: others, OccurredAt: now, CreatedAt: now, Person: schemas.Person{Number: number(1)}}
	}
	list := []schemas.Notice{about(schemas.NoticeOverdue), about(schemas.NoticeGap, "E06B"), about(schemas.NoticeGap, "E06C"), about(schemas.NoticeGap, "E06C"), about(schemas.NoticeSuperseded)}
	for i, want := range []int{4, 0, 1} {
		if i == 2 {
			now = now.AddDate(0, 0, 15)
		}
		sent, err := n.Send(context.Background(), list)
		if err != nil {
			t.Fatal(err)
		}
		if sent != want {
			t.Errorf("run %d: %d sent, want %d", i, sent, want)
		}
	}
	for _, notice := range read[schemas.Notice](b, schemas.TopicNotice) {
		p, err := b.keys.OpenPerson(schemas.TopicNotice, notice.Authority, notice.NoticeID, notice.SealedPerson)
		if err != nil || p.Number != number(1) || notice.Kind == "" || notice.Since != "2026-01-02" {
			t.Errorf("%+v %v", notice, err)
		}
	}
}
