package main

import (
	"context"
	"fmt"
	"slices"

	"cpis/connectors/socialcare"
	"cpis/matching/index"
	"cpis/router"
	"cpis/router/topics"
	"cpis/schemas"
)

// carer is what the local authorities' door sees of the broker.
type carer struct{ *system }

// Identify gives a person's pseudonym.
func (c carer) Identify(n schemas.NHSNumber) schemas.SubjectRef { return c.keys.SubjectRef(n) }

// Authority gives an authority's contacts.
func (c carer) Authority(code schemas.AuthorityCode) (schemas.Authority, bool) {
	return c.contacts.Get(code)
}

// Held reports the version of each record that is held already. An error means
// that it cannot be told, so nothing may be written.
func (c carer) Held(ctx context.Context, want []schemas.Indicator) (map[string]int64, error) {
	refs := make([]schemas.SubjectRef, len(want))
	for i, w := range want {
		refs[i] = w.SubjectRef
	}
	snapshot, err := c.reader.Lookup(ctx, index.Query{Subjects: refs})
	if err != nil {
		return nil, fmt.Errorf("look up what is held: %w", err)
	}
	need, err := c.horizon(ctx)
	if err != nil {
		return nil, fmt.Errorf("look up what is held: %w", err)
	}
	if snapshot.Marker.Position < need {
		return nil, fmt.Errorf("look up what is held: the index is behind")
	}
	held := map[string]int64{}
	for _, ref := range refs {
		entries, err := snapshot.Entries(ref)
		if err != nil {
			return nil, fmt.Errorf("look up what is held: %w", err)
		}
		for _, e := range entries {
			i, err := opener{c.codec, c.keys}.indicator(e.Value)
			if err != nil {
				return nil, fmt.Errorf("look up what is held: %w", err)
			}
			held[string(e.Key)] = i.Version
		}
	}
	return held, nil
}

// publishChunk bounds what of one file waits in the producer at a time.
const publishChunk = 5000

// Publish commits indicators: nil means that every one is on its topic.
func (c carer) Publish(ctx context.Context, indicators []schemas.Indicator) error {
	for part := range slices.Chunk(indicators, publishChunk) {
		if err := c.publishPart(ctx, part); err != nil {
			return err
		}
	}
	return nil
}

func (c carer) publishPart(ctx context.Context, indicators []schemas.Indicator) error {
	records := make([]topics.Record, 0, len(indicators))
	for _, i := range indicators {
		var err error
		if i.SealedPerson, err = c.keys.SealPerson(schemas.TopicIndicator, string(i.Key()), i.Person); err != nil {
			return err
		}
		r, err := c.publish.State(schemas.TopicIndicator, i.Key(), c.keys.ID("indicator", string(i.Key()), fmt.Sprint(i.Version)), i)
		if err != nil {
			return err
		}
		records = append(records, r)
	}
	return c.producer.Produce(ctx, records...)
}

// Withdraw commits tombstones: the records were entered in error.
func (c carer) Withdraw(ctx context.Context, indicators []schemas.Indicator) error {
	records := make([]topics.Record, 0, len(indicators))
	for _, i := range indicators {
		records = append(records, topics.Record{Topic: schemas.TopicIndicator, Key: i.Key(), Time: c.publish.Now()})
	}
	return c.producer.Produce(ctx, records...)
}

// PublishAuthority commits an authority's contacts.
func (c carer) PublishAuthority(ctx context.Context, a schemas.Authority) error {
	r, err := c.publish.State(schemas.TopicAuthority, []byte(a.Code), c.keys.ID("authority", string(a.Code), a.UpdatedAt.String(), a.LastLoadAt.String()), a)
	if err != nil {
		return err
	}
	if err := c.producer.Produce(ctx, r); err != nil {
		return err
	}
	c.contacts.Put(a) // whoever sent it may rely on it at once
	return nil
}

// Quarantine keeps refused rows, sealed.
func (c carer) Quarantine(ctx context.Context, code schemas.AuthorityCode, rows []socialcare.RefusedRow) error {
	items := make([]router.Refused, len(rows))
	for i, r := range rows {
		items[i] = router.Refused{Origin: router.OriginSocialCare, Feed: string(code), Raw: r.Raw,
			Refusal: schemas.Refusal{Code: r.Code, Location: fmt.Sprintf("row %d %s", r.Row, r.Location)}}
	}
	return c.dead.Quarantine(ctx, items...)
}
