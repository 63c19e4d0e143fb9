package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"cpis/router"
	"cpis/router/topics"
	"cpis/schemas"
)

// keyNames are the key sets that TestKeysChangeUnderLoad changes.
func keyNames() []string {
	return []string{schemas.KeysSubject, "la/E06A", schemas.KeysRegistration, schemas.KeysActor, schemas.KeysIndex}
}

// keysOf gives, by set, the key that seals and the others, as `cpis keys list` tells.
func (h *oneHospital) keysOf() (sealing map[string]string, others map[string][]keyUse) {
	h.t.Helper()
	code, text := h.cli("", "keys", "list", "--json")
	var list []keyUse
	if code != exitFine || json.Unmarshal([]byte(text), &list) != nil {
		h.t.Fatalf("keys list: exit %d\n%s", code, text)
	}
	sealing, others = map[string]string{}, map[string][]keyUse{}
	for _, k := range list {
		if k.Primary {
			sealing[k.Set] = k.ID
		} else {
			others[k.Set] = append(others[k.Set], k)
		}
	}
	return sealing, others
}

// TestKeysChangeUnderLoad changes the keys of pseudonyms, of an authority and of what
// waits for a day while a child on a plan is registered again and again: every
// registration is answered with the plan.
func TestKeysChangeUnderLoad(t *testing.T) {
	h := newHospital(t, t.TempDir(), "", "")
	h.upload(samples("contacts.json"), "--contacts")
	h.upload(samples("plans.csv"))
	do := func(code int, args ...string) string {
		t.Helper()
		got, text := h.cli("", append([]string{"keys"}, args...)...)
		if got != code {
			t.Fatalf("keys %v: exit %d\n%s", args, got, text)
		}
		return text
	}
	// The hospital has merged another number of the child's into that of the plan.
	const last = "||||||||||||||||||||||||NSTS01\r"
	h.send(message("2", "A40", "PID|1||9990000018^^^NHS^NH~H1001^^^RXX^MR||Example^Ada||20190807|F"+last+"MRG|9990000085^^^NHS^NH~H1009^^^RXX^MR\r"))
	eventually(t, 20*time.Second, "the link", func() bool {
		_, text := h.cli("", "tail", "link", "--from", "beginning", "--until", "end")
		return strings.Contains(text, "cpis.link") || strings.Contains(text, "survivor")
	})
	numbers := []string{"9990000018", "9990000085"}
	var sent atomic.Int64
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			case <-time.After(50 * time.Millisecond):
			}
			n := sent.Load()
			answer, err := h.conn.Send(t.Context(), []byte(message(fmt.Sprint("K", n), "A04", "PID|1||"+numbers[n%2]+"^^^NHS^NH||Example^Ada||20190807|F"+last+fmt.Sprintf("PV1|1|E|AE||||||||||||||||V%d\r", n))))
			if err != nil || !bytes.Contains(answer, []byte("MSA|AA|K")) {
				t.Errorf("%q %v", answer, err)
				return
			}
			sent.Add(1)
		}
	}()
	before, _ := h.keysOf()
	added := map[string]string{}
	for _, set := range keyNames() {
		do(exitFine, "add", set, "--dry-run")
		id, _, _ := strings.Cut(do(exitFine, "add", set), "\n")
		added[set] = id
	}
	for set, id := range added {
		do(exitFine, "promote", set, id, "--dry-run")
		do(exitFine, "promote", set, id)
	}
	if text := do(exitRefused, "retire", "la/E06A", before["la/E06A"]); !strings.Contains(text, "CPIS-K008") {
		t.Errorf("retired while it is needed: %s", text)
	}
	do(exitUsage, "retire", "la/E06A", added["la/E06A"])
	eventually(t, 40*time.Second, "the plans to be written anew", func() bool {
		_, others := h.keysOf()
		if len(others["la/E06A"]) == 0 {
			return false
		}
		return others["la/E06A"][0].Needed == 0 && others[schemas.KeysSubject][0].Needed == 1
	})
	do(exitFine, "retire", "la/E06A", before["la/E06A"], "--dry-run")
	do(exitFine, "retire", "la/E06A", before["la/E06A"])
	// Of the link it is not known whose the number without a plan is.
	do(exitRefused, "retire", schemas.KeysSubject, before[schemas.KeysSubject])
	more := sent.Load() + 120 // longer than it takes until everybody knows
	eventually(t, 40*time.Second, "registrations without the older keys", func() bool { return sent.Load() > more })
	close(stop)
	<-stopped
	h.upload(samples("plans.csv")) // the same file is compared with what stands under newer names
	answered := func() (flagged, other int) {
		code, text := h.cli("", "tail", "outcome", "--from", "beginning", "--until", "end", "--json")
		if code != exitFine {
			t.Fatalf("tail: exit %d", code)
		}
		for _, line := range strings.Split(text, "\n") {
			switch {
			case strings.Contains(line, `"state":"INDICATOR"`):
				flagged++
			case line != "":
				other++
				t.Log(line)
			}
		}
		return flagged, other
	}
	eventually(t, 20*time.Second, "all answers", func() bool { flagged, _ := answered(); return flagged >= int(sent.Load()) })
	if flagged, other := answered(); other > 0 || flagged != int(sent.Load()) || flagged < 100 {
		t.Errorf("%d registrations, %d answered with the plan, %d otherwise", sent.Load(), flagged, other)
	}
	code, text := h.cli("", "tail", "indicator", "--from", "beginning", "--until", "end", "--json")
	if code != exitFine || strings.Count(text, `"key":"E06A/`+added[schemas.KeysSubject]) < 3 {
		t.Errorf("plans under newer names: exit %d\n%s", code, text)
	}
	if code, text := h.cli("", "ledger"); code != exitFine {
		t.Errorf("ledger: exit %d\n%s", code, text)
	}
}

func TestKeysForACluster(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	for _, want := range []string{"made 9: ", "made 0: "} { // what is there stays
		var out bytes.Buffer
		if code := run(t.Context(), []string{"keys", "init", dir, "E06A", "E06B", "--log-name", "hub.example.org"}, strings.NewReader(""), &out, &out, nil); code != exitFine || !strings.HasPrefix(out.String(), want) || !strings.Contains(out.String(), "hub.example.org+") {
			t.Errorf("exit %d %s", code, out.String())
		}
	}
	k, err := schemas.OpenKeyring(dir, false)
	if err != nil {
		t.Fatal(err)
	}
	for code, fine := range map[schemas.AuthorityCode]bool{"E06A": true, "E06C": false} {
		if _, err := k.SealAccess(schemas.TopicNotice, code, "n", schemas.Access{}); (err == nil) != fine || k.Enrolled(code) != fine {
			t.Errorf("%s: %v, enrolled %v", code, err, k.Enrolled(code))
		}
	}
	var out bytes.Buffer
	if code := run(t.Context(), []string{"keys", "init", dir, "../x"}, strings.NewReader(""), &out, &out, nil); code != exitUsage {
		t.Errorf("a name that leads elsewhere: exit %d", code)
	}
}

// TestADestroyedAuthorityIsNowhere destroys an authority's keys and then searches every
// file of the broker, and every record of every topic, for the child.
func TestADestroyedAuthorityIsNowhere(t *testing.T) {
	h := newHospital(t, t.TempDir(), "", "")
	h.upload(samples("contacts.json"), "--contacts")
	h.upload(samples("plans.csv"))
	h.register()
	eventually(t, 20*time.Second, "the answer", h.answered("STATE^^CPIS||INDICATOR^^CPIS"))
	if code, text := h.cli("", "keys", "destroy", "la/E06A", "--dry-run"); code != exitFine || !strings.Contains(text, "would take out") {
		t.Fatalf("dry run: exit %d\n%s", code, text)
	}
	if code, _ := h.cli("", "keys", "destroy", "la/E06A"); code != exitUsage {
		t.Errorf("destroyed without being asked twice: exit %d", code)
	}
	copied := filepath.Join(t.TempDir(), "keys") // somebody has a backup of all other keys
	if err := os.CopyFS(copied, os.DirFS(filepath.Join(h.dir, "keys"))); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(copied, "la", "E06A.json")); err != nil {
		t.Fatal(err)
	}
	if code, text := h.cli("", "keys", "destroy", "la/E06A", "--confirm", "E06A"); code != exitFine {
		t.Fatalf("destroy: exit %d\n%s", code, text)
	}
	number, err := schemas.ParseNHSNumber("9990000018")
	if err != nil {
		t.Fatal(err)
	}
	err = filepath.WalkDir(h.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasPrefix(d.Name(), "site.") {
			return err
		}
		text, err := os.ReadFile(path)
		for _, canary := range []string{number.Reveal(), "Example", "EXAMPLE", "Specimen", "2019-08-07", "20190807", "ZZ99"} {
			if bytes.Contains(text, []byte(canary)) {
				t.Errorf("%s holds %s", path, canary)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	keys, err := schemas.OpenKeyring(copied, false)
	if err != nil {
		t.Fatal(err)
	}
	looked := h.sealedParts(t, keys)
	if looked < 6 { // plans, an outcome, its audit record, notices
		t.Errorf("only %d sealed parts of the authority were looked at", looked)
	}
	eventually(t, 20*time.Second, "the index to follow", func() bool {
		code, text := h.cli("", "tail", "indicator", "--from", "beginning", "--until", "end", "--json")
		return code == exitFine && strings.Contains(text, `"tombstone":true`)
	})
}

// sealedParts tries to open whatever an authority's keys sealed, of every topic, with
// all other keys, and gives how many parts it tried.
func (h *oneHospital) sealedParts(t *testing.T, keys *schemas.Keyring) int {
	t.Helper()
	ctx, looked := t.Context(), 0
	s := &shell{out: io.Discard, err: io.Discard, env: h.env, flags: map[string]any{}}
	tools, done, err := s.connect(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer done()
	shut := func(what string, sealed []byte, err error) {
		if len(sealed) == 0 {
			return
		}
		if looked++; !errors.Is(err, schemas.ErrDestroyed) {
			t.Errorf("%s: %v", what, err)
		}
	}
	for _, spec := range topics.Table() {
		err := router.ReadSince(ctx, tools.client, spec.Topic, time.Time{}, func(r topics.Record) error {
			if r.Value == nil {
				return nil
			}
			v := schemas.NewRecord(spec.Topic)
			if err := tools.codec.Decode(ctx, spec.Topic, r.Value, v); err != nil {
				return err
			}
			switch v := v.(type) {
			case *schemas.Indicator:
				_, err := keys.OpenPerson(spec.Topic, v.Authority, string(v.Key()), v.SealedPerson)
				shut("a plan", v.SealedPerson, err)
			case *schemas.Outcome:
				_, err := keys.OpenDetails(v.OutcomeID, v.SealedDetails)
				shut("an outcome", v.SealedDetails, err)
			case *schemas.Audit:
				_, err := keys.OpenDetails(v.OutcomeID, v.SealedDetails)
				shut("an audit record", v.SealedDetails, err)
			case *schemas.Notice:
				_, err := keys.OpenPerson(spec.Topic, v.Authority, v.NoticeID, v.SealedPerson)
				shut("who a notice is about", v.SealedPerson, err)
				_, err = keys.OpenAccess(spec.Topic, v.Authority, v.NoticeID, v.SealedAccess)
				shut("the record of a notice", v.SealedAccess, err)
			}
			return nil
		})
		if err != nil {
			t.Errorf("%s: %v", spec.Topic, err)
		}
	}
	return looked
}
