package schemas

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func newTestCodec(t testing.TB) (*Codec, *MemoryRegistry) {
	t.Helper()
	r := &MemoryRegistry{}
	c, err := NewCodec(context.Background(), r)
	if err != nil {
		t.Fatal(err)
	}
	return c, r
}

// fill sets every field that travels to a value of its own, so that a field
// which is lost or swapped shows.
func fill(v reflect.Value, n *node, seed *int) {
	*seed++
	switch {
	case n.kind == "union":
		fill(v, n.options[1], seed)
	case n.kind == "record":
		b, err := n.bind(v.Type())
		if err != nil {
			panic(err)
		}
		for i, f := range n.fields {
			fill(v.Field(b.indexes[i]), f.node, seed)
		}
	case n.kind == "array":
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range 2 {
			fill(v.Index(i), n.items, seed)
		}
	case n.kind == "enum":
		v.SetString(n.symbols[1+*seed%(len(n.symbols)-1)])
	case n.kind == "string":
		v.SetString(fmt.Sprintf("text %d é", *seed))
	case n.kind == "bytes":
		v.SetBytes([]byte{byte(*seed), 0, 1})
	case n.kind == "boolean":
		v.SetBool(true)
	case n.logical == "timestamp-millis":
		v.Set(reflect.ValueOf(time.UnixMilli(1_700_000_000_000 + int64(*seed)).UTC()))
	default:
		v.SetInt(int64(*seed))
	}
}

func TestEveryTopicRoundTripsEveryField(t *testing.T) {
	c, _ := newTestCodec(t)
	for _, topic := range Topics() {
		record := NewRecord(topic)
		t.Run(string(topic), func(t *testing.T) {
			seed := 0
			fill(reflect.ValueOf(record).Elem(), c.own[topic].node, &seed)
			value, err := c.Encode(topic, record)
			if err != nil {
				t.Fatal(err)
			}
			if value[0] != 0 {
				t.Errorf("first byte is %d", value[0])
			}
			got := reflect.New(reflect.TypeOf(record).Elem())
			if err := c.Decode(context.Background(), topic, value, got.Interface()); err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got.Interface(), record) {
				t.Errorf("round trip changed the record:\n%s", cmp.Diff(fmt.Sprintf("%#v", record), fmt.Sprintf("%#v", got.Interface())))
			}
		})
	}
}

func TestUnsetEnumIsRefused(t *testing.T) {
	c, _ := newTestCodec(t)
	_, err := c.Encode(TopicOutcome, &Outcome{OutcomeID: "x", Setting: SettingMaternity, Reason: ReasonPlanCurrent})
	if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), "state") {
		t.Errorf("an outcome without a state: %v", err)
	}
	_, err = c.Encode(TopicOutcome, &Outcome{State: "UNKNOWN"})
	if !errors.Is(err, ErrInvalid) {
		t.Errorf("an unknown state: %v", err)
	}
}

func TestDecodeRefuses(t *testing.T) {
	c, r := newTestCodec(t)
	good, err := c.Encode(TopicAuthority, &Authority{Code: "E06A", Name: "n", UpdatedAt: time.UnixMilli(1), EmergencyPhone: "0"})
	if err != nil {
		t.Fatal(err)
	}
	bomb, err := r.Register(context.Background(), "x", `{"type":"record","name":"Authority","namespace":"cpis.v1","fields":[{"name":"a","type":{"type":"array","items":"long"}}]}`)
	if err != nil {
		t.Fatal(err)
	}
	recursive, _ := r.Register(context.Background(), "y", `{"type":"record","name":"R","fields":[{"name":"r","type":["null","R"]}]}`)
	cases := map[string][]byte{
		"empty":             {},
		"no magic byte":     append([]byte{1}, good[1:]...),
		"unknown schema id": append([]byte{0, 0, 0, 9, 9}, good[5:]...),
		"trailing bytes":    append(append([]byte{}, good...), 0),
		"cut short":         good[:len(good)-1],
		"too large":         append(append([]byte{}, good...), make([]byte, MaxValueBytes)...),
		"block count bomb":  append([]byte{0, 0, 0, 0, byte(bomb)}, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01),
		"recursive schema":  {0, 0, 0, 0, byte(recursive), 0},
		"another record":    append([]byte{0, 0, 0, 0, byte(bomb)}, 0),
		"length past end":   append(append([]byte{}, good[:5]...), 0xfe, 0xff, 0xff, 0x0f),
	}
	for name, value := range cases {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			err := c.Decode(context.Background(), TopicAuthority, value, &Authority{})
			runtime.ReadMemStats(&after)
			if !errors.Is(err, ErrInvalid) {
				t.Errorf("got %v, want an invalid record", err)
			}
			if used := after.TotalAlloc - before.TotalAlloc; used > 16<<20 {
				t.Errorf("decoding %d bytes allocated %d", len(value), used)
			}
		})
	}
}

type brokenRegistry struct{ MemoryRegistry }

func (*brokenRegistry) Schema(context.Context, int) (string, error) {
	return "", errors.New("connection refused")
}

func TestRegistryTroubleIsNotThePoisonOfARecord(t *testing.T) {
	c, err := NewCodec(context.Background(), &brokenRegistry{})
	if err != nil {
		t.Fatal(err)
	}
	err = c.Decode(context.Background(), TopicOutcome, []byte{0, 0, 0, 9, 9, 0}, &Outcome{})
	if err == nil || errors.Is(err, ErrInvalid) {
		t.Errorf("got %v, want an error worth retrying", err)
	}
}

func TestReadsWithTheWritersSchema(t *testing.T) {
	c, r := newTestCodec(t)
	older := `{"type":"record","name":"Checkpoint","namespace":"cpis.v1","fields":[
		{"name":"gone","type":"string"},{"name":"size","type":"long"},{"name":"log_id","type":"string"},
		{"name":"root_hash","type":"bytes"},{"name":"note","type":"string"},{"name":"at","type":{"type":"long","logicalType":"timestamp-millis"}}]}`
	id, _ := r.Register(context.Background(), "old", older)
	s, err := compile(older)
	if err != nil {
		t.Fatal(err)
	}
	body, err := s.avro.BinaryFromNative([]byte{0, 0, 0, 0, byte(id)}, map[string]any{
		"gone": "x", "size": int64(7), "log_id": "l", "root_hash": []byte{1}, "note": "n", "at": time.UnixMilli(5)})
	if err != nil {
		t.Fatal(err)
	}
	var got Checkpoint
	if err := c.Decode(context.Background(), TopicCheckpoint, body, &got); err != nil {
		t.Fatal(err)
	}
	if got.Size != 7 || got.LogID != "l" {
		t.Errorf("got %+v", got)
	}
}

// TestReleasedSchemasStayReadable is the compatibility gate, offline: today's
// schema reads every version ever released, and the newest release is today's.
func TestReleasedSchemasStayReadable(t *testing.T) {
	entries, err := fs.ReadDir(files, "topics")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		name := strings.TrimSuffix(e.Name(), ".avsc")
		t.Run(name, func(t *testing.T) {
			today, err := Schema(Topic(name))
			if err != nil {
				t.Fatal(err)
			}
			released, err := Released(name)
			if err != nil {
				t.Fatal(err)
			}
			for i, old := range released {
				if err := Compatible(old, today); err != nil {
					t.Errorf("version %d: %v", i+1, err)
				}
			}
			if released[len(released)-1] != today {
				t.Errorf("the newest released version differs from today's schema: add released/%s/%d.avsc", name, len(released)+1)
			}
		})
	}
}

// TestReleasedValuesAreStillRead writes a value with every version ever
// released, and reads it with today's code: what was added since takes its
// default.
func TestReleasedValuesAreStillRead(t *testing.T) {
	c, r := newTestCodec(t)
	for _, topic := range Topics() {
		into := NewRecord(topic)
		released, err := Released(string(topic))
		if err != nil {
			t.Fatal(err)
		}
		for i, text := range released {
			s, err := compile(text)
			if err != nil {
				t.Fatal(err)
			}
			id, err := r.Register(context.Background(), topic.Subject(), text)
			if err != nil {
				t.Fatal(err)
			}
			value, err := s.avro.BinaryFromNative([]byte{0, 0, 0, 0, byte(id)}, example(s.node))
			if err != nil {
				t.Fatal(err)
			}
			if err := c.Decode(context.Background(), topic, value, into); err != nil {
				t.Errorf("%s version %d: %v", topic, i+1, err)
			}
		}
	}
}

// example is some value of a schema.
func example(n *node) any {
	switch n.kind {
	case "record":
		out := map[string]any{}
		for _, f := range n.fields {
			out[f.name] = example(f.node)
		}
		return out
	case "enum":
		return n.symbols[len(n.symbols)-1]
	case "long":
		if n.logical != "" {
			return time.UnixMilli(7)
		}
		return int64(7)
	case "boolean":
		return true
	case "bytes":
		return []byte{7}
	case "array":
		return []any{example(n.items)}
	case "string":
		return "x"
	}
	return nil // a union
}

func TestCompatibilityGateBites(t *testing.T) {
	record := func(fields string) string {
		return `{"type":"record","name":"R","namespace":"n","fields":[` + fields + `]}`
	}
	base := record(`{"name":"a","type":"string"},{"name":"e","type":{"type":"enum","name":"E","symbols":["X","Y"]}}`)
	for name, c := range map[string]struct {
		newer string
		ok    bool
	}{
		"same":                 {base, true},
		"field with default":   {record(`{"name":"a","type":"string"},{"name":"e","type":{"type":"enum","name":"E","symbols":["X","Y"]}},{"name":"b","type":["null","long"],"default":null}`), true},
		"field gone":           {record(`{"name":"a","type":"string"}`), true},
		"became optional":      {record(`{"name":"a","type":["null","string"]}`), true},
		"symbol added":         {record(`{"name":"a","type":"string"},{"name":"e","type":{"type":"enum","name":"E","symbols":["X","Y","Z"]}}`), true},
		"field without one":    {record(`{"name":"a","type":"string"},{"name":"b","type":"long"}`), false},
		"type changed":         {record(`{"name":"a","type":"long"}`), false},
		"symbol gone":          {record(`{"name":"e","type":{"type":"enum","name":"E","symbols":["X"]}}`), false},
		"record renamed":       {strings.Replace(base, `"R"`, `"Q"`, 1), false},
		"logical type changed": {record(`{"name":"a","type":{"type":"string","logicalType":"uuid"}}`), false},
	} {
		t.Run(name, func(t *testing.T) {
			if err := Compatible(base, c.newer); (err == nil) != c.ok {
				t.Errorf("got %v", err)
			}
		})
	}
	optional := record(`{"name":"a","type":["null","string"]}`)
	if Compatible(optional, record(`{"name":"a","type":"string"}`)) == nil {
		t.Error("an optional field became required unnoticed")
	}
}

func TestEverySchemaAndFieldHasADoc(t *testing.T) {
	entries, _ := fs.ReadDir(files, "topics")
	var walk func(t *testing.T, n *node, at string)
	walk = func(t *testing.T, n *node, at string) {
		if n.name != "" && n.doc == "" {
			t.Errorf("%s: no doc", n.name)
		}
		for _, f := range n.fields {
			if f.doc == "" {
				t.Errorf("%s.%s: no doc", at, f.name)
			}
			walk(t, f.node, at+"."+f.name)
		}
		for _, b := range n.options {
			walk(t, b, at)
		}
		if n.items != nil {
			walk(t, n.items, at)
		}
	}
	for _, e := range entries {
		text, _ := Schema(Topic(strings.TrimSuffix(e.Name(), ".avsc")))
		n, err := parse(text)
		if err != nil {
			t.Fatal(err)
		}
		walk(t, n, e.Name())
	}
}

func FuzzDecode(f *testing.F) {
	c, _ := newTestCodec(f)
	seed := 0
	for _, topic := range Topics() {
		record := NewRecord(topic)
		fill(reflect.ValueOf(record).Elem(), c.own[topic].node, &seed)
		value, err := c.Encode(topic, record)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(value)
	}
	raw, _ := hex.DecodeString("0000000001")
	f.Add(raw)
	f.Fuzz(func(t *testing.T, value []byte) {
		for _, topic := range Topics() {
			record := reflect.New(reflect.TypeOf(NewRecord(topic)).Elem()).Interface()
			if c.Decode(context.Background(), topic, value, record) != nil {
				continue
			}
			if _, err := c.Encode(topic, record); err != nil && !errors.Is(err, ErrInvalid) {
				t.Errorf("%s: decoded but cannot be written: %v", topic, err)
			}
		}
	})
}

func BenchmarkCodec(b *testing.B) {
	c, _ := newTestCodec(b)
	record := &Registration{}
	seed := 0
	fill(reflect.ValueOf(record).Elem(), c.own[TopicRegistration].node, &seed)
	value, err := c.Encode(TopicRegistration, record)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("encode", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := c.Encode(TopicRegistration, record); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("decode", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if err := c.Decode(context.Background(), TopicRegistration, value, &Registration{}); err != nil {
				b.Fatal(err)
			}
		}
	})
}
