package main

import (
	"context"
	"encoding/hex"
	"strings"
	"time"

	"cpis/router"
	"cpis/router/topics"
	"cpis/schemas"
)

// needs counts, by key set and key, the records that only that key opens or finds.
type needs map[string]map[string]int64

// sealedBy is the id of the key that sealed something: it stands in front, behind a byte.
func sealedBy(sealed []byte) string {
	if len(sealed) < 5 {
		return ""
	}
	return hex.EncodeToString(sealed[1:5])
}

func (n needs) add(set, id string) {
	if id == "" {
		return
	}
	if n[set] == nil {
		n[set] = map[string]int64{}
	}
	n[set][id]++
}

// of says how much needs a key, and what that is.
func (n needs) of(k schemas.KeyInfo) (int64, string) {
	count := n[k.Set][k.ID]
	switch {
	case k.Set == schemas.KeysSubject:
		return count, "plans, marks of what was taken back, and merged numbers without a plan"
	case k.Set == schemas.KeysEvent:
		return -1, "every id there is"
	case k.Set == schemas.KeysIndex:
		return -1, "the index, if it was built before"
	case k.Set == schemas.KeysRegistration:
		return count, "registrations of the last day"
	case k.Set == schemas.KeysActor:
		return count, "audit records with a name"
	case k.Set == schemas.KeysQuarantine:
		return count, "messages that were not taken"
	case k.Set == schemas.KeysUpdate:
		return -1, "what authorities have encrypted with it and not sent yet"
	case strings.HasPrefix(k.Set, schemas.AuthorityKeys("")):
		return count, "plans that are shared; and its notices and answers, which go with the key"
	}
	return -1, "not known"
}

// needs reads what stands on the topics.
func (t *tools) needs(ctx context.Context) (needs, error) {
	out := needs{}
	plans, err := t.standing(ctx, schemas.TopicIndicator)
	if err != nil {
		return nil, err
	}
	for _, value := range plans {
		var i schemas.Indicator
		if err := t.codec.Decode(ctx, schemas.TopicIndicator, value, &i); err != nil {
			return nil, err
		}
		out.add(schemas.AuthorityKeys(i.Authority), sealedBy(i.SealedPerson))
		out.add(schemas.KeysSubject, madeBy(i.SubjectRef))
	}
	links, err := t.standing(ctx, schemas.TopicLink)
	if err != nil {
		return nil, err
	}
	for key := range links {
		survivor, retired, _ := strings.Cut(key, "/")
		out.add(schemas.KeysSubject, madeBy(schemas.SubjectRef(survivor)))
		out.add(schemas.KeysSubject, madeBy(schemas.SubjectRef(retired)))
	}
	read := func(topic schemas.Topic, each func(value []byte) error) {
		if err == nil {
			err = router.ReadSince(ctx, t.client, topic, time.Time{}, func(r topics.Record) error { return each(r.Value) })
		}
	}
	read(schemas.TopicRegistration, func(value []byte) error {
		var r schemas.Registration
		if t.codec.Decode(ctx, schemas.TopicRegistration, value, &r) == nil { // what cannot be read needs no key
			out.add(schemas.KeysRegistration, sealedBy(r.SealedPerson))
		}
		return nil
	})
	read(schemas.TopicAudit, func(value []byte) error {
		var a schemas.Audit
		if t.codec.Decode(ctx, schemas.TopicAudit, value, &a) == nil {
			out.add(schemas.KeysActor, sealedBy(a.SealedActor))
		}
		return nil
	})
	read(schemas.TopicDeadLetter, func(value []byte) error {
		var q schemas.Quarantine
		if t.codec.Decode(ctx, schemas.TopicDeadLetter, value, &q) == nil && q.Origin == router.OriginMLLP {
			out.add(schemas.KeysQuarantine, sealedBy(q.Sealed))
		}
		return nil
	})
	return out, err
}

func madeBy(ref schemas.SubjectRef) string {
	id, _, ok := strings.Cut(string(ref), "-")
	if !ok {
		return ""
	}
	return id
}
