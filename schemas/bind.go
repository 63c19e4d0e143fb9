package schemas

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/linkedin/goavro/v2"
)

// ErrInvalid marks a value that can never be read or written: retrying does
// not help, the record goes to the dead letters.
var ErrInvalid = errors.New("invalid record")

var (
	timeType  = reflect.TypeFor[time.Time]()
	bytesType = reflect.TypeFor[[]byte]()
)

// binding maps the Avro fields of a record schema, in order, to the fields of a
// Go type.
type binding struct {
	goType  reflect.Type
	indexes []int
}

// bind pairs a schema with a Go type, both ways complete: a field on one side
// alone is a mistake in this package.
func (n *node) bind(t reflect.Type) (*binding, error) {
	if b := n.bound.Load(); b != nil && b.goType == t {
		return b, nil
	}
	tags := map[string]int{}
	for i := range t.NumField() {
		if tag := t.Field(i).Tag.Get("avro"); tag != "" && tag != "-" {
			tags[tag] = i
		}
	}
	b := &binding{goType: t}
	for _, f := range n.fields {
		i, ok := tags[f.name]
		if !ok {
			return nil, fmt.Errorf("bind %s: schema field %s has no Go field", t, f.name)
		}
		b.indexes = append(b.indexes, i)
	}
	if len(tags) != len(n.fields) {
		return nil, fmt.Errorf("bind %s: %d Go fields for %d schema fields", t, len(tags), len(n.fields))
	}
	n.bound.Store(b)
	return b, nil
}

// sheet is the map goavro writes one record from, used again and again: most
// of the cost of a record is making such maps. It is wiped after use, for it
// holds what the record says.
type sheet struct {
	values map[string]any   // by field
	unions []map[string]any // by index of the field: the one-entry map of a union that has a value
}

func newSheet(n *node) *sheet {
	return &sheet{make(map[string]any, len(n.fields)), make([]map[string]any, len(n.fields))}
}

// fill writes a record of the schema into the sheet.
func (s *sheet) fill(v reflect.Value, n *node) error {
	b, err := n.bind(v.Type())
	if err != nil {
		return err
	}
	for i, f := range n.fields {
		field := v.Field(b.indexes[i])
		value, err := any(nil), error(nil)
		switch {
		case f.node.kind == "union":
			value, err = s.union(i, field, f.node)
		case f.mayLack(field):
			value = f.fallback
		default:
			value, err = toNative(field, f.node)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
		s.values[f.name] = value
	}
	return nil
}

// mayLack reports an enum without a value whose field has a default: that is how a
// schema says that there may be none.
func (f *field) mayLack(v reflect.Value) bool {
	return f.node.kind == "enum" && f.hasDefault && v.Len() == 0
}

func (s *sheet) union(i int, v reflect.Value, n *node) (any, error) {
	if absent(v) {
		return nil, nil
	}
	inner, err := toNative(v, n.options[1])
	if err != nil {
		return nil, err
	}
	if s.unions[i] == nil {
		s.unions[i] = make(map[string]any, 1)
	}
	s.unions[i][n.options[1].unionName()] = inner
	return s.unions[i], nil
}

func (s *sheet) wipe() {
	clear(s.values)
	for _, u := range s.unions {
		clear(u)
	}
}

// absent reports a Go value that a union writes as null.
func absent(v reflect.Value) bool {
	return v.IsZero() || v.Kind() == reflect.Slice && v.Len() == 0
}

// toNative turns a Go value into what goavro writes.
func toNative(v reflect.Value, n *node) (any, error) {
	switch n.kind {
	case "record":
		out := make(map[string]any, len(n.fields))
		b, err := n.bind(v.Type())
		if err != nil {
			return nil, err
		}
		for i, f := range n.fields {
			if out[f.name], err = toNative(v.Field(b.indexes[i]), f.node); err != nil {
				return nil, fmt.Errorf("%s: %w", f.name, err)
			}
		}
		return out, nil
	case "union":
		if absent(v) {
			return nil, nil
		}
		inner, err := toNative(v, n.options[1])
		return goavro.Union(n.options[1].unionName(), inner), err
	case "array":
		out := make([]any, v.Len())
		for i := range out {
			var err error
			if out[i], err = toNative(v.Index(i), n.items); err != nil {
				return nil, err
			}
		}
		return out, nil
	}
	return scalar(v, n)
}

func scalar(v reflect.Value, n *node) (any, error) {
	switch {
	case n.kind == "string" && v.Kind() == reflect.String:
		if !utf8.ValidString(v.String()) {
			return nil, fmt.Errorf("%w: text is not UTF-8", ErrInvalid)
		}
		return v.String(), nil
	case n.kind == "enum" && v.Kind() == reflect.String:
		if !slices.Contains(n.symbols, v.String()) || v.String() == "UNKNOWN" {
			return nil, fmt.Errorf("%w: %q is no value of %s", ErrInvalid, v.String(), n.name)
		}
		return v.String(), nil
	case n.kind == "long" && n.logical == "timestamp-millis" && v.Type() == timeType:
		return v.Interface().(time.Time).UTC(), nil
	case n.kind == "long" && n.logical == "" && v.Kind() == reflect.Int64:
		return v.Int(), nil
	case n.kind == "boolean" && v.Kind() == reflect.Bool:
		return v.Bool(), nil
	case n.kind == "bytes" && v.Type() == bytesType:
		if v.IsNil() {
			return []byte{}, nil
		}
		return v.Bytes(), nil
	}
	return nil, fmt.Errorf("bind: %s does not fit Avro %s", v.Type(), n.kind)
}

// fromNative fills a Go value from what goavro read with the writer's schema.
// Fields the Go type does not know are skipped; fields the writer did not know
// take the default of our own schema, and without one the value is invalid.
func fromNative(native any, writer, own *node, v reflect.Value) error {
	switch own.kind {
	case "record":
		return fromRecord(native, writer, own, v)
	case "union":
		if native == nil {
			v.SetZero()
			return nil
		}
		if branch, ok := native.(map[string]any); ok && writer.kind == "union" && len(branch) == 1 {
			for _, inner := range branch {
				return fromNative(inner, writer.options[1], own.options[1], v)
			}
		}
		return fromNative(native, writer, own.options[1], v)
	case "array":
		items, ok := native.([]any)
		if !ok || writer.kind != "array" {
			return fmt.Errorf("%w: want an array", ErrInvalid)
		}
		v.Set(reflect.MakeSlice(v.Type(), len(items), len(items)))
		for i, item := range items {
			if err := fromNative(item, writer.items, own.items, v.Index(i)); err != nil {
				return err
			}
		}
		return nil
	}
	return setScalar(native, v)
}

func fromRecord(native any, writer, own *node, v reflect.Value) error {
	values, ok := native.(map[string]any)
	if !ok || writer.kind != "record" {
		return fmt.Errorf("%w: want a record", ErrInvalid)
	}
	b, err := own.bind(v.Type())
	if err != nil {
		return err
	}
	for i, f := range own.fields {
		at := slices.IndexFunc(writer.fields, func(w field) bool { return w.name == f.name })
		target := v.Field(b.indexes[i])
		switch {
		case at >= 0:
			err = fromNative(values[f.name], writer.fields[at].node, f.node, target)
		case !f.hasDefault:
			err = fmt.Errorf("%w: missing", ErrInvalid)
		default:
			err = setDefault(f.fallback, target)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
	}
	return nil
}

// setDefault sets what a schema's JSON says a missing field is.
func setDefault(fallback any, v reflect.Value) error {
	switch x := fallback.(type) {
	case nil:
		v.SetZero()
		return nil
	case []any:
		if len(x) == 0 {
			v.SetZero()
			return nil
		}
	case float64: // JSON knows no other numbers
		return setScalar(int64(x), v)
	}
	return setScalar(fallback, v)
}

func setScalar(native any, v reflect.Value) error {
	switch x := native.(type) {
	case string:
		if v.Kind() == reflect.String && utf8.ValidString(x) {
			v.SetString(x)
			return nil
		}
	case time.Time:
		if v.Type() == timeType {
			v.Set(reflect.ValueOf(x.UTC()))
			return nil
		}
	case int64:
		if v.Kind() == reflect.Int64 {
			v.SetInt(x)
			return nil
		}
	case bool:
		if v.Kind() == reflect.Bool {
			v.SetBool(x)
			return nil
		}
	case []byte:
		if v.Type() == bytesType {
			v.SetBytes(x)
			return nil
		}
	}
	return fmt.Errorf("%w: %T does not fit %s", ErrInvalid, native, v.Type())
}
