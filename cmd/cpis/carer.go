package main

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"time"

	"cpis/connectors/socialcare"
	"cpis/router"
	"cpis/router/topics"
	"cpis/schemas"
)

// carer is what the local authorities' door sees of the broker.
type carer struct{ *system }

// Identify gives a person's pseudonym.
func (c carer) Identify(n schemas.NHSNumber) schemas.SubjectRef { return c.keys.SubjectRef(n) }

// Former gives the pseudonyms a person had before the keys changed.
func (c carer) Former(n schemas.NHSNumber) []schemas.SubjectRef { return c.keys.FormerRefs(n) }

// Stale reports that a record is sealed with a key that is not the newest.
func (c carer) Stale(i schemas.Indicator) bool { return c.keys.Stale(i.Authority, i.SealedPerson) }

// Authority gives an authority's contacts.
func (c carer) Authority(code schemas.AuthorityCode) (schemas.Authority, bool) {
	return c.contacts.Get(code)
}

// Held gives all records of an authority by their key. An error means that it
// cannot be told, so nothing may be written.
func (c carer) Held(ctx context.Context, code schemas.AuthorityCode) (map[string]schemas.Indicator, error) {
	for _, g := range []*gate{c.known, c.filed} { // contacts, and what became of earlier files
		select {
		case <-g.c:
		default:
			return nil, errors.New("look up what is held: not read yet")
		}
	}
	if !c.keys.Enrolled(code) {
		return nil, &schemas.Refusal{Code: "CPIS-L046", Location: "authority", Reason: "there are no keys for it here"}
	}
	values, err := c.plans.of(ctx, c.system, code)
	if err != nil {
		return nil, err
	}
	open := opener{c.codec, c.keys}
	keys := make([]string, 0, len(values))
	for key := range values {
		keys = append(keys, key)
	}
	out := make([]schemas.Indicator, len(keys))
	workers := runtime.GOMAXPROCS(0)
	errs := make([]error, workers)
	var wait sync.WaitGroup
	for w := range workers {
		wait.Go(func() { // opening people is work for all cores
			for at := w; at < len(keys) && errs[w] == nil; at += workers {
				out[at], errs[w] = open.indicator(values[keys[at]])
			}
		})
	}
	wait.Wait()
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("look up what is held: %w", err)
	}
	held := make(map[string]schemas.Indicator, len(keys))
	for i, key := range keys {
		held[key] = out[i]
	}
	return held, nil
}

// Uploads lists what became of an authority's files.
func (c carer) Uploads(code schemas.AuthorityCode) []schemas.Upload { return c.uploads.of(code) }

// publishChunk bounds what of one file waits in the producer at a time.
const publishChunk = 5000

// Commit writes what a file does, step by step. What has to be there if
// something fails comes first.
func (c carer) Commit(ctx context.Context, changes socialcare.Changes) error {
	for _, p := range changes.Parcels {
		if err := c.keepParcel(ctx, changes.Authority, p); err != nil {
			return err
		}
	}
	if err := c.record(ctx, changes); err != nil { // nothing changes that is not on record
		return err
	}
	for part := range slices.Chunk(changes.Put, publishChunk) {
		if err := c.put(ctx, part); err != nil {
			return err
		}
	}
	if err := c.relink(ctx, changes.Moved); err != nil {
		return err
	}
	var records []topics.Record
	for _, i := range changes.Drop {
		records = append(records, topics.Record{Topic: schemas.TopicIndicator, Key: i.Key(), Time: c.publish.Now()})
	}
	if err := c.producer.Produce(ctx, records...); err != nil {
		return err
	}
	if err := c.quarantine(ctx, changes.Authority, changes.Refused); err != nil {
		return err
	}
	if err := c.note(ctx, changes); err != nil {
		return err
	}
	if len(changes.Notices) > 0 {
		if _, err := c.notices.Send(ctx, changes.Notices); err != nil {
			return err
		}
	}
	return nil
}

// record puts on record what is about to change.
func (c carer) record(ctx context.Context, changes socialcare.Changes) error {
	var deeds []router.Deed
	add := func(action schemas.Action, about string, d router.Deed) {
		d.Kind, d.Action, d.About, d.Organisation, d.Authorities = schemas.AuditChange, action, about, string(changes.Authority), []schemas.AuthorityCode{changes.Authority}
		deeds = append(deeds, d)
	}
	if changes.Renewal {
		add(schemas.ActionPlansRenewed, "", router.Deed{Count: int64(len(changes.Put))})
		return c.recorder.Note(ctx, deeds...)
	}
	for _, i := range changes.Put {
		action := schemas.ActionPlanShared
		switch {
		case i.Withdrawn:
			action = schemas.ActionPlanWithdrawn
		case i.PlanEnd != "":
			action = schemas.ActionPlanEnded
		}
		add(action, fmt.Sprintf("%s@%d %s", i.PlanType, i.Version, i.UploadID), router.Deed{Subject: i.SubjectRef})
	}
	for _, i := range changes.Drop {
		add(schemas.ActionPlanRemoved, fmt.Sprintf("%s@%d", i.PlanType, i.Version), router.Deed{Subject: i.SubjectRef})
	}
	if a := changes.Contacts; a != nil && changes.Upload == nil { // with a file, it is the time of the load alone
		add(schemas.ActionContacts, a.UpdatedAt.UTC().Format(time.RFC3339Nano)+" "+string(a.ConfirmedOn), router.Deed{})
	}
	if u := changes.Upload; u != nil {
		var n int64
		for _, count := range u.Counts {
			n += count.Count
		}
		add(fileActions()[u.State], u.UploadID, router.Deed{Count: n, By: schemas.Access{WorkerID: cmp.Or(u.DecidedBy, u.By)}})
	}
	for part := range slices.Chunk(deeds, publishChunk) {
		if err := c.recorder.Note(ctx, part...); err != nil {
			return err
		}
	}
	return nil
}

// fileActions name what became of a file.
func fileActions() map[schemas.UploadState]schemas.Action {
	return map[schemas.UploadState]schemas.Action{schemas.UploadTaken: schemas.ActionFileTaken, schemas.UploadWaiting: schemas.ActionFileWaiting,
		schemas.UploadCancelled: schemas.ActionFileCancelled, schemas.UploadUndone: schemas.ActionFileUndone, schemas.UploadOpen: schemas.ActionFileBegun}
}

// put publishes indicators.
func (c carer) put(ctx context.Context, indicators []schemas.Indicator) error {
	records := make([]topics.Record, 0, len(indicators))
	for _, i := range indicators {
		var err error
		if i.SealedPerson == nil && !i.Withdrawn { // one that is put back, or ended as it stood, stays sealed
			if i.SealedPerson, err = c.keys.SealPerson(schemas.TopicIndicator, i.Authority, string(i.Key()), i.Person); err != nil {
				return err
			}
		}
		r, err := c.publish.State(schemas.TopicIndicator, i.Key(), c.keys.ID("indicator", string(i.Key()), fmt.Sprint(i.Version), i.UploadID), i)
		if err != nil {
			return err
		}
		records = append(records, r)
	}
	return c.producer.Produce(ctx, records...)
}

// relink has the links of people who are known by another pseudonym follow.
func (c carer) relink(ctx context.Context, moved []socialcare.Moved) error {
	if len(moved) == 0 {
		return nil
	}
	select {
	case <-c.linked.c:
	default:
		return errors.New("renew links: not read yet")
	}
	to := map[schemas.SubjectRef]schemas.SubjectRef{}
	for _, m := range moved {
		to[m.From] = m.To
	}
	var put, drop []topics.Record
	for _, l := range c.links.All() {
		now := l
		now.Survivor, now.Retired = cmp.Or(to[l.Survivor], l.Survivor), cmp.Or(to[l.Retired], l.Retired)
		if now == l {
			continue
		}
		r, err := c.publish.State(schemas.TopicLink, now.Key(), c.keys.ID("link", string(now.Key())), now)
		if err != nil {
			return err
		}
		put = append(put, r)
		drop = append(drop, topics.Record{Topic: schemas.TopicLink, Key: l.Key(), Time: c.publish.Now()})
	}
	if err := c.producer.Produce(ctx, put...); err != nil {
		return err
	}
	return c.producer.Produce(ctx, drop...)
}

// note commits contacts and the record of the file.
func (c carer) note(ctx context.Context, changes socialcare.Changes) error {
	var records []topics.Record
	if a := changes.Contacts; a != nil {
		r, err := c.publish.State(schemas.TopicAuthority, []byte(a.Code), c.keys.ID("authority", string(a.Code), a.UpdatedAt.String(), a.LastLoadAt.String(), string(a.ConfirmedOn)), *a)
		if err != nil {
			return err
		}
		records = append(records, r)
	}
	if u := changes.Upload; u != nil {
		r, err := c.publish.State(schemas.TopicUpload, u.Key(), c.keys.ID("upload record", u.UploadID, string(u.State)), *u)
		if err != nil {
			return err
		}
		records = append(records, r)
	}
	if err := c.producer.Produce(ctx, records...); err != nil {
		return err
	}
	if changes.Contacts != nil { // whoever sent it may rely on it at once
		c.contacts.Put(*changes.Contacts)
	}
	if changes.Upload != nil {
		c.uploads.put(*changes.Upload)
	}
	return nil
}

// quarantine keeps refused rows, sealed.
func (c carer) quarantine(ctx context.Context, code schemas.AuthorityCode, rows []socialcare.RefusedRow) error {
	if len(rows) == 0 {
		return nil
	}
	items := make([]router.Refused, len(rows))
	for i, r := range rows {
		items[i] = router.Refused{Origin: router.OriginSocialCare, Feed: string(code), Raw: r.Raw,
			Refusal: schemas.Refusal{Code: r.Code, Location: fmt.Sprintf("row %d %s", r.Row, r.Location)}}
	}
	return c.dead.Quarantine(ctx, items...)
}

// parcelPart is how many bytes of a parcel one record keeps.
const parcelPart = schemas.MaxValueBytes / 2

// keepParcel keeps a parcel, packed and sealed, in as many records as it needs.
func (c carer) keepParcel(ctx context.Context, code schemas.AuthorityCode, p socialcare.Parcel) error {
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, err := z.Write(p.Data)
	if err = errors.Join(err, z.Close()); err != nil {
		return fmt.Errorf("pack parcel: %w", err)
	}
	var records []topics.Record
	for part := int64(0); packed.Len() > 0; part++ {
		v := schemas.Parcel{Authority: code, UploadID: p.UploadID, Kind: p.Kind, Part: part}
		if v.Sealed, err = c.keys.SealParcel(code, parcelID(v), packed.Next(parcelPart)); err != nil {
			return fmt.Errorf("seal parcel: %w", err)
		}
		r, err := c.publish.State(schemas.TopicParcel, []byte(code), c.keys.ID("parcel", parcelID(v)), v)
		if err != nil {
			return err
		}
		records = append(records, r)
	}
	return c.producer.Produce(ctx, records...)
}

func parcelID(p schemas.Parcel) string {
	return p.UploadID + "/" + p.Kind + "/" + strconv.FormatInt(p.Part, 10)
}

// Parcel gives back what was kept with an upload. Several parcels of one kind
// follow each other; one whose last parts were never written, since the process
// died, is left out: its file was never told to be taken.
func (c carer) Parcel(ctx context.Context, u schemas.Upload, kind string) ([]byte, error) {
	var packed [][]byte
	err := router.ReadSince(ctx, c.client, schemas.TopicParcel, u.At.Add(-parcelSlack), func(r topics.Record) error {
		var p schemas.Parcel
		if err := c.codec.Decode(ctx, schemas.TopicParcel, r.Value, &p); err != nil {
			return err
		}
		if p.Authority != u.Authority || p.UploadID != u.UploadID || p.Kind != kind {
			return nil
		}
		plain, err := c.keys.OpenParcel(p.Authority, parcelID(p), p.Sealed)
		switch {
		case err != nil:
			return err
		case p.Part == 0:
			packed = append(packed, plain)
		case len(packed) > 0:
			packed[len(packed)-1] = append(packed[len(packed)-1], plain...)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read parcel: %w", err)
	}
	var out []byte
	for _, p := range packed {
		z, err := gzip.NewReader(bytes.NewReader(p))
		if err != nil {
			continue
		}
		text, err := io.ReadAll(io.LimitReader(z, parcelBytes))
		if err == nil {
			out = append(out, text...)
		}
	}
	return out, nil
}

const (
	parcelSlack = time.Hour // clocks of several processes differ
	parcelBytes = 256 << 20 // what a parcel may hold
)
