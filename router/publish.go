package router

import (
	"context"
	"strings"
	"time"

	"cpis/router/topics"
	"cpis/schemas"
)

// Appender appends records durably: nil means that every one is committed, in
// the order given per partition. After an error the caller must assume that
// any of them may have been appended. Safe for concurrent use; it retries by
// itself for as long as ctx lives.
type Appender interface {
	Produce(ctx context.Context, records ...topics.Record) error
}

// Publisher encodes records and gives them their headers.
type Publisher struct {
	Codec *schemas.Codec
	Log   Appender
	Now   func() time.Time
}

// record builds the Kafka record of a value: CloudEvents headers in binary
// mode, and a trace that is the registration's event id, so that one message
// can be followed over every topic.
func (p *Publisher) record(t schemas.Topic, key, id, trace string, value any) (topics.Record, error) {
	body, err := p.Codec.Encode(t, value)
	if err != nil {
		return topics.Record{}, err
	}
	now := p.Now()
	r := topics.Record{Topic: t, Key: []byte(key), Value: body, Time: now, Headers: []topics.Header{
		{Key: "ce_specversion", Value: []byte("1.0")},
		{Key: "ce_id", Value: []byte(id)},
		{Key: "ce_source", Value: []byte("/cpis/broker")},
		{Key: "ce_type", Value: []byte(t)},
		{Key: "ce_time", Value: []byte(now.UTC().Format(time.RFC3339Nano))},
		{Key: "content-type", Value: []byte("application/avro")},
	}}
	if parent := traceparent(trace, id); parent != "" {
		r.Headers = append(r.Headers, topics.Header{Key: "traceparent", Value: []byte(parent)})
	}
	return r, nil
}

// traceparent is a W3C trace context made of a 128-bit event id and the first
// half of the record's own id.
func traceparent(trace, id string) string {
	if len(trace) != 32 || len(id) < 16 || strings.Trim(trace+id[:16], "0123456789abcdef") != "" {
		return ""
	}
	return "00-" + trace + "-" + id[:16] + "-01"
}

// settingKey is the topic key of a care setting's answers.
func settingKey(ods schemas.ODSCode, setting schemas.CareSetting) string {
	return string(ods) + "/" + string(setting)
}

// State builds the record of a compacted topic, whose key is the thing it
// describes.
func (p *Publisher) State(t schemas.Topic, key []byte, id string, value any) (topics.Record, error) {
	return p.record(t, string(key), id, "", value)
}
