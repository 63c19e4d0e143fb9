package index

import (
	"context"
	"errors"
	"testing"

	"pgregory.net/rapid"
)

// TestDescriptionsFollowTheirRecords: whatever comes, changes and goes, what is
// found under a block is what the records that stand describe.
func TestDescriptionsFollowTheirRecords(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		e := newEnv(t)
		stop, _ := e.follow()
		held := map[string]string{}
		for range rapid.IntRange(1, 12).Draw(rt, "changes") {
			k := key(rapid.SampledFrom([]string{"anna", "ben", "cem"}).Draw(rt, "who"), rapid.SampledFrom([]string{"CPP", "LAC"}).Draw(rt, "plan"))
			value := rapid.SampledFrom([]string{"", "p", "pq", "qr", "r"}).Draw(rt, "value")
			held[k] = value
			e.log.append(k, value)
			if rapid.Bool().Draw(rt, "look") {
				e.current()
			}
		}
		if rapid.Bool().Draw(rt, "build anew") {
			if err := e.reader.Forget(context.Background()); err != nil {
				rt.Fatal(err)
			}
		}
		e.current()
		s, err := e.reader.Lookup(context.Background(), Query{Blocks: []Block{{'p'}, {'q'}, {'r'}, {'s'}}})
		if err != nil {
			rt.Fatal(err)
		}
		for _, letter := range "pqrs" {
			want := map[string]bool{}
			for k, value := range held {
				for _, c := range value {
					if c == letter {
						want[string(letter)+k] = true
					}
				}
			}
			got, err := s.Described(Block{byte(letter)})
			if err != nil || len(got) != len(want) {
				rt.Fatalf("%c: %d of %d, %v", letter, len(got), len(want), err)
			}
			for _, v := range got {
				if !want[string(v)] {
					rt.Fatalf("%c: %s", letter, v)
				}
			}
		}
		v, err := e.reader.Verify(context.Background(), e.log, spell)
		if err != nil || !v.Agrees() {
			rt.Fatalf("%+v %v", v, err)
		}
		stop()
	})
}

// TestVerifyFindsDrift puts authentic buckets of an earlier moment back, which
// no seal gives away.
func TestVerifyFindsDrift(t *testing.T) {
	for name, s := range map[string]shelf{"indicators": indicators, "descriptions": descriptions} {
		t.Run(name, func(t *testing.T) {
			ctx := context.Background()
			e := newEnv(t)
			e.log.append(key("anna", "CPP"), "p")
			stop, _ := e.follow()
			m := e.current().Marker
			old := map[string]string{}
			for n := range m.Buckets {
				k := bucket{s, n}.key(m.Generation)
				old[k] = e.redis.Get(ctx, k).Val()
			}
			e.log.append(key("anna", "CPP"), "q")
			e.log.append(key("ben", "LAC"), "p")
			e.current()
			stop()
			v, err := e.reader.Verify(ctx, e.log, spell)
			if err != nil || !v.Agrees() {
				t.Fatalf("%+v %v", v, err)
			}
			for k, value := range old {
				e.redis.Set(ctx, k, value, 0)
			}
			v, err = e.reader.Verify(ctx, e.log, spell)
			if err != nil || v.Agrees() {
				t.Fatalf("drift is not found: %+v %v", v, err)
			}
			a := v.Authorities[len(v.Authorities)-1]
			if s == indicators && (a.Missing != 1 || a.Differing != 1 || a.TopicDigest == a.IndexDigest) {
				t.Errorf("%+v", a)
			}
			e.redis.Del(ctx, bucket{s, 3}.key(m.Generation))
			if _, err := e.reader.Verify(ctx, e.log, spell); !errors.Is(err, ErrCorrupt) {
				t.Errorf("a bucket is missing: %v", err)
			}
		})
	}
}
