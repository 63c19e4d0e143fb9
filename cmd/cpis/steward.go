package main

import (
	"context"
	"fmt"
	"time"

	"cpis/matching"
	"cpis/router"
	"cpis/router/topics"
	"cpis/schemas"
)

// steward looks over the plans once a day, tells the authorities what no message
// tells, and clears away links whose plans are gone. One process of the index's
// group does, beside keeping the index.
type steward struct {
	*system
	matcher *matching.Matcher
}

// stewardPause is between two looks at whether a new day has begun.
const stewardPause = time.Minute

func (s *steward) run(ctx context.Context) {
	var done schemas.Date
	linked := 0 // links there were then: a merge is told soon, not tomorrow
	for {
		select { // first of all: a system that has just begun has other things to do
		case <-time.After(stewardPause):
		case <-ctx.Done():
			return
		}
		today := schemas.DateOf(time.Now(), s.matcher.Place())
		n := len(s.links.All())
		if today == done && n <= linked {
			continue
		}
		if err := s.look(ctx, today); err == nil {
			done, linked = today, n
		} else if ctx.Err() == nil {
			s.log.Warn("the plans could not be looked over, trying again", "error", err)
		}
	}
}

func (s *steward) look(ctx context.Context, today schemas.Date) error {
	plans, err := s.plans(ctx)
	if err != nil {
		return err
	}
	n, err := s.notices.Send(ctx, matching.Watch(plans, s.links.All(), time.Now().UTC().Truncate(time.Millisecond), today, s.config.Matching.StaleAfter))
	if err != nil {
		return err
	}
	if n > 0 {
		s.log.Info("authorities were told about their plans", "notices", n)
	}
	return s.clearLinks(ctx, plans)
}

// plans are all that stand: what was taken back is none.
func (s *steward) plans(ctx context.Context) ([]schemas.Indicator, error) {
	held := map[string][]byte{}
	err := router.ReadSince(ctx, s.client, schemas.TopicIndicator, time.Unix(0, 0), func(r topics.Record) error {
		if r.Value == nil {
			delete(held, string(r.Key))
		} else {
			held[string(r.Key)] = r.Value
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read plans: %w", err)
	}
	open := opener{s.codec, s.keys}
	out := make([]schemas.Indicator, 0, len(held))
	for _, value := range held {
		i, err := open.indicator(value)
		if err != nil || i.Withdrawn { // the index complains of what it cannot read
			continue
		}
		out = append(out, i)
	}
	return out, nil
}

// clearLinks takes back the links of numbers under which no plan stands any
// more: nothing may tell then that the two were one person's.
func (s *steward) clearLinks(ctx context.Context, plans []schemas.Indicator) error {
	held := map[schemas.SubjectRef]bool{}
	for _, i := range plans {
		held[i.SubjectRef] = true
	}
	for _, l := range s.links.All() {
		if held[l.Survivor] || held[l.Retired] {
			continue
		}
		if err := s.publish.Log.Produce(ctx, topics.Record{Topic: schemas.TopicLink, Key: l.Key(), Time: time.Now()}); err != nil {
			return fmt.Errorf("take back link: %w", err)
		}
	}
	return nil
}
