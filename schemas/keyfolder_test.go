package schemas

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestKeysChangeWhileTheyAreUsed adds, promotes and retires keys while others seal and
// open with keyrings of their own, as several processes do. Nothing fails to open but
// what only a retired key sealed.
func TestKeysChangeWhileTheyAreUsed(t *testing.T) {
	dir := t.TempDir()
	first, err := OpenKeyring(dir, true)
	if err != nil {
		t.Fatal(err)
	}
	folder := KeyFolder{dir}
	n, _ := invent(3)
	p := Person{Number: n, FamilyName: "Example"}
	old, err := first.SealPerson(TopicIndicator, "E06A", "key", p)
	if err != nil {
		t.Fatal(err)
	}
	ref := first.SubjectRef(n)
	synctest.Test(t, func(t *testing.T) {
		first, err := OpenKeyring(dir, false)
		if err != nil {
			t.Fatal(err)
		}
		second, err := OpenKeyring(dir, false)
		if err != nil {
			t.Fatal(err)
		}
		stop := make(chan struct{})
		var wait sync.WaitGroup
		for worker, pair := range [][2]*Keyring{{first, second}, {second, first}} {
			wait.Go(func() {
				for i := 0; ; i++ {
					select {
					case <-stop:
						return
					case <-time.After(500 * time.Millisecond):
					}
					for owner, topic := range map[AuthorityCode]Topic{"E06A": TopicIndicator, "": TopicRegistration} {
						id := fmt.Sprint(worker, i)
						sealed, err := pair[0].SealPerson(topic, owner, id, p)
						if err != nil {
							t.Error(err)
							return
						}
						if got, err := pair[1].OpenPerson(topic, owner, id, sealed); err != nil || got != p {
							t.Errorf("worker %d, %d: %v", worker, i, err)
						}
					}
				}
			})
		}
		was := map[string]string{}
		for _, set := range []string{KeysSubject, KeysRegistration, "la/E06A"} {
			keys, err := folder.Keys(set)
			if err != nil || len(keys) != 1 || !keys[0].Primary {
				t.Fatalf("%s: %+v %v", set, keys, err)
			}
			was[set] = keys[0].ID
			id, err := folder.Add(set)
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(2 * rereadEvery)
			if set == KeysSubject && first.SubjectRef(n) != ref {
				t.Error("a key that was only added is used")
			}
			if err := folder.Promote(set, id); err != nil {
				t.Fatal(err)
			}
			time.Sleep(2 * rereadEvery)
		}
		if now := second.SubjectRef(n); now == ref || first.SubjectRef(n) != now || len(first.FormerRefs(n)) != 1 || first.FormerRefs(n)[0] != ref || first.Current(ref) || !first.Current(now) {
			t.Errorf("pseudonyms: %s, then %s", ref, now)
		}
		if len(second.FormerBlocks("born")) != 1 || second.FormerBlocks("born")[0] == second.Block("born") {
			t.Error("blocks of the former key are not to be found")
		}
		if got, err := second.OpenPerson(TopicIndicator, "E06A", "key", old); err != nil || got != p || !second.Stale("E06A", old) {
			t.Errorf("what the older key sealed: %v", err)
		}
		for set, id := range was {
			if err := folder.Retire(set, id); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(2 * rereadEvery)
		if _, err := second.OpenPerson(TopicIndicator, "E06A", "key", old); !errors.Is(err, ErrSealed) {
			t.Errorf("what a retired key sealed still opens: %v", err)
		}
		close(stop)
		wait.Wait()
		if err := folder.Destroy("la/E06A"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * rereadEvery)
		if _, err := second.SealPerson(TopicIndicator, "E06A", "key", p); !errors.Is(err, ErrDestroyed) || second.Enrolled("E06A") {
			t.Errorf("a process that runs goes on with keys that were destroyed: %v", err)
		}
	})
	if files, _ := filepath.Glob(filepath.Join(dir, "*.old")); len(files) > 0 {
		t.Errorf("older keys are left in %v", files)
	}
}

// TestDestroyedKeysOpenNothing destroys one of two authorities' keys: what is only its
// own is gone, what is the other's stays, and nobody is named by what both sealed.
func TestDestroyedKeysOpenNothing(t *testing.T) {
	dir := t.TempDir()
	k, err := OpenKeyring(dir, true)
	if err != nil {
		t.Fatal(err)
	}
	n, _ := invent(4)
	p := Person{Number: n, FamilyName: "Example"}
	plan := func(a AuthorityCode) Plan {
		return Plan{Authority: a, PlanType: PlanLookedAfter, PlanStart: "2026-01-02"}
	}
	both, err := k.SealDetails("o1", Details{Person: p, Plans: []Plan{plan("E06B"), plan("E06A")}})
	if err != nil {
		t.Fatal(err)
	}
	alone, err := k.SealDetails("o2", Details{Person: p, Plans: []Plan{plan("E06A")}})
	if err != nil {
		t.Fatal(err)
	}
	if d, err := k.OpenDetails("o1", both); err != nil || d.Person != p || len(d.Plans) != 2 || d.Plans[0].Authority != "E06B" {
		t.Fatalf("%+v %v", d, err)
	}
	folder := KeyFolder{dir}
	for set, want := range map[string]error{"la/E06A": nil, "la/E06C": ErrKeySet, KeysSubject: ErrKeySet, "nonsense": ErrKeySet, "la/../subject": ErrKeySet} {
		if err := folder.Destroy(set); !errors.Is(err, want) {
			t.Errorf("%s: %v", set, err)
		}
	}
	if k, err = OpenKeyring(dir, false); err != nil {
		t.Fatal(err)
	}
	if d, err := k.OpenDetails("o1", both); err != nil || d.Person != (Person{}) || len(d.Plans) != 1 || d.Plans[0].Authority != "E06B" {
		t.Errorf("%+v %v", d, err)
	}
	if _, err := k.OpenDetails("o2", alone); !errors.Is(err, ErrDestroyed) || !errors.Is(err, ErrInvalid) {
		t.Error(err)
	}
	if _, err := k.SealPerson(TopicIndicator, "E06A", "key", p); !errors.Is(err, ErrDestroyed) {
		t.Errorf("sealed without keys: %v", err)
	}
	for _, name := range []string{KeysEvent} {
		if _, err := folder.Add(name); !errors.Is(err, ErrKeySet) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestADamagedKeyFileLeavesTheKeysAsTheyWere(t *testing.T) {
	dir := t.TempDir()
	k, err := OpenKeyring(dir, true)
	if err != nil {
		t.Fatal(err)
	}
	id := k.ID("x")
	synctest.Test(t, func(t *testing.T) {
		k, err := OpenKeyring(dir, false)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{KeysEvent, KeysRegistration} {
			if err := os.WriteFile(keySetFile(dir, name), []byte("{"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Remove(keySetFile(dir, KeysSubject)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * rereadEvery)
		n, _ := invent(1)
		if k.ID("x") != id || k.SubjectRef(n) == "" {
			t.Error("the ids changed")
		}
		if _, err := k.SealPerson(TopicRegistration, "", "e", Person{Number: n}); err != nil {
			t.Error(err)
		}
	})
}

func FuzzDetailsParts(f *testing.F) {
	f.Add(appendPart(appendPart([]byte{detailsForm, 2}, "", []byte("who")), "E06A", []byte("plan")))
	f.Add([]byte{detailsForm, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f})
	f.Fuzz(func(t *testing.T, b []byte) {
		owners, parts, err := readParts(b)
		if err != nil {
			return
		}
		again := append([]byte{detailsForm}, 0)
		again = again[:1]
		n := len(parts)
		for n >= 0x80 {
			again = append(again, byte(n)|0x80)
			n >>= 7
		}
		again = append(again, byte(n))
		for i := range parts {
			again = appendPart(again, string(owners[i]), parts[i])
		}
		if string(again) != string(b) && len(again) >= len(b) { // a number may be written in more bytes than it needs
			t.Errorf("%x is read as %x", b, again)
		}
	})
}
