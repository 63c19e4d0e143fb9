package router

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"cpis/router/topics"
	"cpis/schemas"
)

// Headers of a dead letter. Key and value of the record are as they were, so
// that a replay is a copy, byte for byte.
const (
	headerCode      = "dlq_code"
	headerOrigin    = "dlq_origin_topic"
	headerPartition = "dlq_origin_partition"
	headerOffset    = "dlq_origin_offset"
	headerUntil     = "dlq_origin_until" // only for records that expired unread
	headerKey       = "dlq_origin_key"   // the original key; the record's own key is the origin
	headerTime      = "dlq_time"
	headerAttempts  = "dlq_attempts"
	headerClosed    = "dlq_closes" // on the record that closes a dead letter: its offset
	headerAction    = "dlq_action" // replayed or discarded
	headerReason    = "dlq_reason" // why a person discarded it
	headerParts     = "dlq_parts"  // on the first part of long quarantined bytes: how many there are
	headerPart      = "dlq_part"   // on the further parts of long quarantined bytes: which one, from 1
)

// QuarantineOrigin is the origin of bytes that never were a record.
const QuarantineOrigin = "intake"

// DeadLetters keeps what could not be processed.
type DeadLetters struct {
	*Publisher
	Keys   *schemas.Keyring
	Client *topics.Client
}

// Put keeps a record that can never be processed, with the code that says why.
// nil means that it is durable.
func (d *DeadLetters) Put(ctx context.Context, r topics.Record, code schemas.Code, _ error, attempts int) error {
	headers := append([]topics.Header{}, r.Headers...)
	headers = append(headers,
		topics.Header{Key: headerCode, Value: []byte(code)},
		topics.Header{Key: headerOrigin, Value: []byte(r.Topic)},
		topics.Header{Key: headerPartition, Value: strconv.AppendInt(nil, int64(r.Partition), 10)},
		topics.Header{Key: headerOffset, Value: strconv.AppendInt(nil, r.Offset, 10)},
		topics.Header{Key: headerKey, Value: r.Key},
		topics.Header{Key: headerTime, Value: []byte(d.Now().UTC().Format(time.RFC3339Nano))},
		topics.Header{Key: headerAttempts, Value: strconv.AppendInt(nil, int64(attempts), 10)},
	)
	letter := topics.Record{Topic: schemas.TopicDeadLetter, Key: []byte(r.Topic), Value: r.Value, Headers: headers, Time: d.Now()}
	if err := d.Log.Produce(ctx, letter); err != nil {
		return fmt.Errorf("keep dead letter: %w", err)
	}
	return nil
}

// PutGap notes that the records from..until-1 of a partition expired before
// anyone processed them.
func (d *DeadLetters) PutGap(ctx context.Context, t schemas.Topic, partition int, from, until int64) error {
	letter := topics.Record{Topic: schemas.TopicDeadLetter, Key: []byte(t), Value: []byte{}, Time: d.Now(), Headers: []topics.Header{
		{Key: headerCode, Value: []byte("CPIS-K003")},
		{Key: headerOrigin, Value: []byte(t)},
		{Key: headerPartition, Value: strconv.AppendInt(nil, int64(partition), 10)},
		{Key: headerOffset, Value: strconv.AppendInt(nil, from, 10)},
		{Key: headerUntil, Value: strconv.AppendInt(nil, until, 10)},
		{Key: headerTime, Value: []byte(d.Now().UTC().Format(time.RFC3339Nano))},
	}}
	if err := d.Log.Produce(ctx, letter); err != nil {
		return fmt.Errorf("note expired records: %w", err)
	}
	return nil
}

// Quarantine keeps bytes as they were received, sealed, with the reason they
// could not be taken. It fills in the id and the time. nil means durable; only
// then may the sender be told no.
func (d *DeadLetters) Quarantine(ctx context.Context, items ...Refused) error {
	records := make([]topics.Record, 0, len(items))
	for _, it := range items {
		q := schemas.Quarantine{Origin: it.Origin, Feed: it.Feed, ControlID: it.ControlID, Code: string(it.Refusal.Code), Location: it.Refusal.Location, ReceivedAt: d.Now()}
		q.QuarantineID = d.Keys.ID("quarantine", it.Origin, it.Feed, string(it.Raw))
		for part, rest := 0, it.Raw; part == 0 || len(rest) > 0; part++ {
			n := min(len(rest), quarantinePart)
			r, err := d.quarantine(q, part, rest[:n])
			if err != nil {
				return err
			}
			if part == 0 && len(rest) > n {
				parts := (len(it.Raw) + quarantinePart - 1) / quarantinePart
				r.Headers = append(r.Headers, topics.Header{Key: headerParts, Value: strconv.AppendInt(nil, int64(parts), 10)})
			}
			records, rest = append(records, r), rest[n:]
		}
	}
	told, err := d.refusals(items)
	if err != nil {
		return err
	}
	if err := d.Log.Produce(ctx, append(records, told...)...); err != nil {
		return fmt.Errorf("keep quarantined bytes: %w", err)
	}
	return nil
}

// refusals are what the audit log has of refused inputs: one record for each sender and
// code.
func (d *DeadLetters) refusals(items []Refused) ([]topics.Record, error) {
	var deeds []Deed
	at := map[string]int{}
	for _, it := range items {
		key := it.Origin + "\x00" + it.Feed + "\x00" + string(it.Refusal.Code)
		i, ok := at[key]
		if !ok {
			deed := Deed{Kind: schemas.AuditRefusal, Action: schemas.ActionMessageRefused, Feed: it.Feed, Code: it.Refusal.Code, About: d.Keys.ID("quarantine", it.Origin, it.Feed, string(it.Raw))}
			if it.Origin == OriginSocialCare {
				deed.Action, deed.Feed, deed.Organisation = schemas.ActionRecordRefused, "", it.Feed
			}
			i, at[key] = len(deeds), len(deeds)
			deeds = append(deeds, deed)
		}
		deeds[i].Count++
	}
	return (&Recorder{d.Publisher, d.Keys}).Records(deeds...)
}

// quarantinePart is how many bytes of an input one record keeps: a value has a
// limit (schemas.MaxValueBytes) that the largest inputs exceed.
const quarantinePart = schemas.MaxValueBytes / 2

// quarantine renders one part of an input.
func (d *DeadLetters) quarantine(q schemas.Quarantine, part int, raw []byte) (r topics.Record, err error) {
	if q.Sealed, err = d.Keys.SealRaw(ownerOf(q), partID(q.QuarantineID, part), raw); err != nil {
		return r, fmt.Errorf("seal quarantined bytes: %w", err)
	}
	if r, err = d.record(schemas.TopicDeadLetter, QuarantineOrigin, q.QuarantineID, "", q); err != nil {
		return r, err
	}
	r.Headers = append(r.Headers,
		topics.Header{Key: headerCode, Value: []byte(q.Code)},
		topics.Header{Key: headerOrigin, Value: []byte(QuarantineOrigin)},
		topics.Header{Key: headerTime, Value: []byte(q.ReceivedAt.UTC().Format(time.RFC3339Nano))})
	if part > 0 {
		r.Headers = append(r.Headers, topics.Header{Key: headerPart, Value: strconv.AppendInt(nil, int64(part), 10)})
	}
	return r, nil
}

// ownerOf is the authority that quarantined bytes came from, if one sent them.
func ownerOf(q schemas.Quarantine) schemas.AuthorityCode {
	if q.Origin == OriginSocialCare {
		return schemas.AuthorityCode(q.Feed)
	}
	return ""
}

// partID binds the sealed bytes of a part to its place.
func partID(id string, part int) string {
	if part == 0 {
		return id
	}
	return id + "/" + strconv.Itoa(part)
}

// Refused is an input that was not taken.
type Refused struct {
	Origin    string // "mllp" or "socialcare"
	Feed      string // profile name or authority code
	ControlID string
	Refusal   schemas.Refusal
	Raw       []byte
}

// Letter is a dead letter as an operator sees it.
type Letter struct {
	ID        int64        `json:"id"` // its offset in cpis.deadletter.v1
	Code      schemas.Code `json:"code"`
	Origin    string       `json:"origin"`
	Partition int          `json:"partition"`
	Offset    int64        `json:"offset"`
	Until     int64        `json:"until,omitempty"`
	Attempts  int          `json:"attempts"`
	Time      time.Time    `json:"time"`
	Bytes     int          `json:"bytes"`
	Closed    string       `json:"closed,omitempty"` // replayed or discarded, empty while open
	Reason    string       `json:"reason,omitempty"`

	record topics.Record
	parts  []topics.Record // the further ones, in order
}

// letters gathers dead letters from their topic, in its order.
type letters struct {
	list []Letter
	at   map[int64]int    // by offset
	byID map[string][]int // by id of the input
}

func newLetters() *letters { return &letters{at: map[int64]int{}, byID: map[string][]int{}} }

// take takes in a record, and gives the letter it is, or is part of; nil where it only
// closes one.
func (l *letters) take(r topics.Record) *Letter {
	h := headersOf(r)
	if h[headerAction] != "" {
		if i, ok := l.at[h.int(headerClosed)]; ok {
			l.list[i].Closed, l.list[i].Reason = h[headerAction], h[headerReason]
		}
		return nil
	}
	if part := int(h.int(headerPart)); part > 0 {
		// Copies of an input have the same id: a part belongs to the first
		// that still wants it.
		for _, i := range l.byID[h["ce_id"]] {
			if held := &l.list[i]; len(held.parts) == part-1 {
				held.parts, held.Bytes = append(held.parts, r), held.Bytes+len(r.Value)
				return held
			}
		}
		return nil
	}
	l.at[r.Offset] = len(l.list)
	l.byID[h["ce_id"]] = append(l.byID[h["ce_id"]], len(l.list))
	when, _ := time.Parse(time.RFC3339Nano, h[headerTime])
	l.list = append(l.list, Letter{ID: r.Offset, Code: schemas.Code(h[headerCode]), Origin: h[headerOrigin], Partition: int(h.int(headerPartition)),
		Offset: h.int(headerOffset), Until: h.int(headerUntil), Attempts: int(h.int(headerAttempts)), Time: when, Bytes: len(r.Value), record: r})
	return &l.list[len(l.list)-1]
}

// List reads the dead letters, oldest first, closed ones too.
func (d *DeadLetters) List(ctx context.Context) ([]Letter, error) {
	starts, err := d.Client.Starts(ctx, schemas.TopicDeadLetter)
	if err != nil {
		return nil, fmt.Errorf("read dead letters: %w", err)
	}
	ends, err := d.Client.Ends(ctx, schemas.TopicDeadLetter)
	if err != nil {
		return nil, fmt.Errorf("read dead letters: %w", err)
	}
	found := newLetters()
	err = d.Client.ReadFrom(ctx, schemas.TopicDeadLetter, 0, starts[0], ends[0], func(batch []topics.Record) error {
		for _, r := range batch {
			found.take(r)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read dead letters: %w", err)
	}
	return found.list, nil
}

type headers map[string]string

func headersOf(r topics.Record) headers {
	h := headers{}
	for _, x := range r.Headers {
		h[x.Key] = string(x.Value)
	}
	return h
}

func (h headers) int(key string) int64 {
	n, err := strconv.ParseInt(h[key], 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// Original is the record as it stood on its topic, for a replay: the same key,
// the same value, its own headers, and where it comes from.
func (l Letter) Original() (topics.Record, error) {
	if l.Origin == QuarantineOrigin || l.Until != 0 {
		return topics.Record{}, fmt.Errorf("dead letter %d holds no record of a topic", l.ID)
	}
	r := topics.Record{Topic: schemas.Topic(l.Origin), Value: l.record.Value, Time: l.record.Time}
	for _, h := range l.record.Headers {
		if h.Key == headerKey {
			r.Key = h.Value
		}
		if !strings.HasPrefix(h.Key, "dlq_") {
			r.Headers = append(r.Headers, h)
		}
	}
	r.Headers = append(r.Headers, topics.Header{Key: "cpis_replays", Value: strconv.AppendInt(nil, l.ID, 10)})
	return r, nil
}

// Quarantined opens the bytes of an input that was refused at the door.
func (d *DeadLetters) Quarantined(ctx context.Context, l Letter) (schemas.Quarantine, []byte, error) {
	var q schemas.Quarantine
	if l.Origin != QuarantineOrigin {
		return q, nil, fmt.Errorf("dead letter %d is a record of %s", l.ID, l.Origin)
	}
	if err := d.Codec.Decode(ctx, schemas.TopicDeadLetter, l.record.Value, &q); err != nil {
		return q, nil, err
	}
	if want := headersOf(l.record).int(headerParts); want > 0 && want != int64(len(l.parts)+1) {
		// Its sender was not answered, and sent it again.
		return q, nil, fmt.Errorf("dead letter %d holds %d of %d parts of an input", l.ID, len(l.parts)+1, want)
	}
	raw, err := d.Keys.OpenRaw(ownerOf(q), q.QuarantineID, q.Sealed)
	for i, r := range l.parts {
		var more schemas.Quarantine
		if err == nil {
			err = d.Codec.Decode(ctx, schemas.TopicDeadLetter, r.Value, &more)
		}
		if err == nil {
			var part []byte
			part, err = d.Keys.OpenRaw(ownerOf(q), partID(q.QuarantineID, i+1), more.Sealed)
			raw = append(raw, part...)
		}
	}
	return q, raw, err
}

// Close marks a letter replayed or discarded, so that it is not replayed twice.
func (d *DeadLetters) Close(ctx context.Context, l Letter, action, reason string) error {
	if l.Closed != "" {
		return &schemas.Refusal{Code: "CPIS-D002", Location: strconv.FormatInt(l.ID, 10), Reason: "already " + l.Closed}
	}
	r := topics.Record{Topic: schemas.TopicDeadLetter, Key: l.record.Key, Value: []byte{}, Time: d.Now(), Headers: []topics.Header{
		{Key: headerClosed, Value: strconv.AppendInt(nil, l.ID, 10)},
		{Key: headerAction, Value: []byte(action)},
		{Key: headerReason, Value: []byte(reason)},
		{Key: headerTime, Value: []byte(d.Now().UTC().Format(time.RFC3339Nano))},
	}}
	if err := d.Log.Produce(ctx, r); err != nil {
		return fmt.Errorf("close dead letter: %w", err)
	}
	return nil
}
