package schemas

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"reflect"
	"strings"
	"sync"

	"github.com/linkedin/goavro/v2"
	"github.com/twmb/franz-go/pkg/sr"
)

//go:embed topics released
var files embed.FS

// Registry keeps schemas by subject and id. Both calls may be retried.
// Register is idempotent: the same schema under the same subject has the same
// id. Schema returns an error wrapping ErrUnknownSchema when the id is not
// known; any other error means that the registry could not answer.
type Registry interface {
	Register(ctx context.Context, subject, schema string) (int, error)
	Schema(ctx context.Context, id int) (string, error)
}

// ErrUnknownSchema means that no schema has this id. It wraps ErrInvalid: a
// value that names it can never be read.
var ErrUnknownSchema = fmt.Errorf("unknown schema id: %w", ErrInvalid)

// compiled is a schema ready to read and write.
type compiled struct {
	node   *node
	avro   *goavro.Codec
	sheets sync.Pool // of *sheet
}

func compile(text string) (*compiled, error) {
	n, err := parse(text)
	if err != nil {
		return nil, err
	}
	limitGoavro()
	c, err := goavro.NewCodec(text)
	if err != nil {
		return nil, fmt.Errorf("compile schema: %w", err)
	}
	return &compiled{node: n, avro: c}, nil
}

// Topics lists the topics that have a schema, in name order.
func Topics() []Topic {
	entries, _ := fs.ReadDir(files, "topics")
	var out []Topic
	for _, e := range entries {
		if name := strings.TrimSuffix(e.Name(), ".avsc"); strings.HasPrefix(name, "cpis.") {
			out = append(out, Topic(name))
		}
	}
	return out
}

// Schema is the text of the schema this build writes to a topic.
func Schema(t Topic) (string, error) {
	text, err := files.ReadFile(path.Join("topics", string(t)+".avsc"))
	if err != nil {
		return "", fmt.Errorf("read schema of %s: %w", t, err)
	}
	return string(text), nil
}

// Codec carries records of the topics to bytes and back: byte 0, the schema id
// in four bytes, then Avro. It writes with this build's schemas and reads with
// the writer's, fetched once by id. Safe for concurrent use.
type Codec struct {
	registry Registry
	own      map[Topic]ownSchema // fixed after NewCodec

	mu   sync.Mutex
	byID map[int]*compiled // guarded by mu
}

type ownSchema struct {
	*compiled
	id int
}

// NewCodec registers every schema of this build. It fails where the registry
// cannot be reached or finds a schema incompatible.
func NewCodec(ctx context.Context, registry Registry) (*Codec, error) {
	c := &Codec{registry: registry, own: map[Topic]ownSchema{}, byID: map[int]*compiled{}}
	for _, t := range Topics() {
		text, err := Schema(t)
		if err != nil {
			return nil, err
		}
		s, err := compile(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", t, err)
		}
		id, err := registry.Register(ctx, t.Subject(), text)
		if err != nil {
			return nil, fmt.Errorf("register %s: %w", t.Subject(), err)
		}
		c.own[t], c.byID[id] = ownSchema{s, id}, s
	}
	return c, nil
}

// Encode writes a record for a topic. A record that does not fit the schema is
// an error wrapping ErrInvalid.
func (c *Codec) Encode(t Topic, record any) ([]byte, error) {
	s, ok := c.own[t]
	if !ok {
		return nil, fmt.Errorf("encode: no schema for %s", t)
	}
	header, err := (&sr.ConfluentHeader{}).AppendEncode(make([]byte, 0, 512), s.id, nil)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", t, err)
	}
	out, err := s.append(header, record)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", t, err)
	}
	if len(out) > MaxValueBytes {
		return nil, fmt.Errorf("encode %s: %w: %d bytes, at most %d", t, ErrInvalid, len(out), MaxValueBytes)
	}
	return out, nil
}

// Decode reads a value of a topic into a record. Errors that wrap ErrInvalid
// are final; others mean that the registry could not be asked.
func (c *Codec) Decode(ctx context.Context, t Topic, value []byte, record any) error {
	if len(value) > MaxValueBytes {
		return fmt.Errorf("decode %s: %w: %d bytes, at most %d", t, ErrInvalid, len(value), MaxValueBytes)
	}
	id, body, err := (&sr.ConfluentHeader{}).DecodeID(value)
	if err != nil {
		return fmt.Errorf("decode %s: %w: no schema id", t, ErrInvalid)
	}
	writer, err := c.schema(ctx, id)
	if err != nil {
		return fmt.Errorf("decode %s: schema %d: %w", t, id, err)
	}
	if err := writer.read(body, c.own[t].node, record); err != nil {
		return fmt.Errorf("decode %s: %w", t, err)
	}
	return nil
}

func (c *Codec) schema(ctx context.Context, id int) (*compiled, error) {
	c.mu.Lock()
	s := c.byID[id]
	c.mu.Unlock()
	if s != nil {
		return s, nil
	}
	text, err := c.registry.Schema(ctx, id)
	if err != nil {
		return nil, err
	}
	s, err = compile(text)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	c.mu.Lock()
	c.byID[id] = s
	c.mu.Unlock()
	return s, nil
}

func (s *compiled) append(buf []byte, record any) ([]byte, error) {
	sheet, ok := s.sheets.Get().(*sheet)
	if !ok {
		sheet = newSheet(s.node)
	}
	defer func() {
		sheet.wipe()
		s.sheets.Put(sheet)
	}()
	if err := sheet.fill(reflect.Indirect(reflect.ValueOf(record)), s.node); err != nil {
		return nil, err
	}
	out, err := s.avro.BinaryFromNative(buf, sheet.values)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return out, nil
}

// read decodes a body that s wrote into a record of our own schema.
func (s *compiled) read(body []byte, own *node, record any) error {
	native, rest, err := s.avro.NativeFromBinary(body)
	if err != nil {
		return fmt.Errorf("%w: value does not follow its schema", ErrInvalid) // goavro's text may quote the value
	}
	if len(rest) > 0 {
		return fmt.Errorf("%w: %d bytes after the value", ErrInvalid, len(rest))
	}
	if own == nil {
		return errors.New("no schema of our own for this topic")
	}
	return fromNative(native, s.node, own, reflect.ValueOf(record).Elem())
}
