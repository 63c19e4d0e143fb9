package schemas

import (
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/linkedin/goavro/v2"
)

// MaxValueBytes is the largest value that is decoded. goavro trusts the
// lengths inside a value, so the cap comes before it looks.
const MaxValueBytes = 256 << 10

// maxBlockItems bounds what a block count inside a value may claim: without
// it six bytes can ask for gigabytes.
const maxBlockItems = 10_000

var limitGoavro = sync.OnceFunc(func() {
	goavro.MaxBlockCount = maxBlockItems
	goavro.MaxBlockSize = MaxValueBytes
})

// node is one Avro type, with names resolved.
type node struct {
	kind    string // record, enum, array, union, or the primitive's name
	name    string // full name of records and enums
	logical string
	doc     string
	fields  []field
	symbols []string
	items   *node
	options []*node // branches of a union

	bound atomic.Pointer[binding] // the Go type this record was last bound to
}

type field struct {
	name       string
	doc        string
	node       *node
	hasDefault bool
	fallback   any
}

// parse reads an Avro schema. It refuses what the broker never writes and an
// attacker could use: recursion (a long value overflows the stack), maps,
// fixed, and arrays of items that take no bytes.
func parse(text string) (*node, error) {
	var raw any
	if err := json.Unmarshal([]byte(text), &raw); err != nil {
		return nil, fmt.Errorf("parse schema: %w", err)
	}
	p := parser{done: map[string]*node{}, open: map[string]bool{}}
	return p.node(raw, "")
}

type parser struct {
	done map[string]*node
	open map[string]bool // names being defined; a use of one is recursion
}

func (p *parser) node(raw any, space string) (*node, error) {
	switch t := raw.(type) {
	case string:
		return p.named(t, space)
	case []any:
		u := &node{kind: "union"}
		for _, b := range t {
			n, err := p.node(b, space)
			if err != nil {
				return nil, err
			}
			u.options = append(u.options, n)
		}
		if len(u.options) != 2 || u.options[0].kind != "null" {
			return nil, fmt.Errorf("parse schema: a union must be null and one other type")
		}
		return u, nil
	case map[string]any:
		return p.complex(t, space)
	}
	return nil, fmt.Errorf("parse schema: unexpected %T", raw)
}

func (p *parser) named(name, space string) (*node, error) {
	switch name {
	case "null", "boolean", "int", "long", "float", "double", "bytes", "string":
		return &node{kind: name}, nil
	}
	full := fullName(name, space)
	if p.open[full] {
		return nil, fmt.Errorf("parse schema: %s contains itself", full)
	}
	if n := p.done[full]; n != nil {
		return n, nil
	}
	return nil, fmt.Errorf("parse schema: unknown type %s", full)
}

func (p *parser) complex(t map[string]any, space string) (*node, error) {
	kind, ok := t["type"].(string)
	if !ok {
		return p.node(t["type"], space)
	}
	text := func(key string) string { s, _ := t[key].(string); return s }
	switch kind {
	case "array":
		items, err := p.node(t["items"], space)
		if err != nil {
			return nil, err
		}
		if items.kind == "null" || items.kind == "record" && len(items.fields) == 0 {
			return nil, fmt.Errorf("parse schema: array items take no bytes")
		}
		return &node{kind: kind, items: items}, nil
	case "enum", "record":
		if s := text("namespace"); s != "" {
			space = s
		}
		n := &node{kind: kind, name: fullName(text("name"), space), doc: text("doc")}
		p.open[n.name] = true
		if err := p.members(n, t, space); err != nil {
			return nil, fmt.Errorf("%s: %w", n.name, err)
		}
		delete(p.open, n.name)
		p.done[n.name] = n
		return n, nil
	case "map", "fixed":
		return nil, fmt.Errorf("parse schema: %s is not used here", kind)
	}
	n, err := p.named(kind, space)
	if err != nil {
		return nil, err
	}
	n.logical = text("logicalType")
	return n, nil
}

func (p *parser) members(n *node, t map[string]any, space string) error {
	list := func(key string) []any { l, _ := t[key].([]any); return l }
	for _, s := range list("symbols") {
		symbol, _ := s.(string)
		n.symbols = append(n.symbols, symbol)
	}
	for _, raw := range list("fields") {
		m, _ := raw.(map[string]any)
		name, _ := m["name"].(string)
		doc, _ := m["doc"].(string)
		child, err := p.node(m["type"], space)
		if err != nil {
			return fmt.Errorf("field %s: %w", name, err)
		}
		f := field{name: name, doc: doc, node: child}
		f.fallback, f.hasDefault = m["default"], hasKey(m, "default")
		n.fields = append(n.fields, f)
	}
	return nil
}

func hasKey(m map[string]any, key string) bool { _, ok := m[key]; return ok }

func fullName(name, space string) string {
	if space == "" || slices.Contains([]byte(name), '.') {
		return name
	}
	return space + "." + name
}

// unionName is goavro's name for the branch of a union.
func (n *node) unionName() string {
	switch {
	case n.name != "":
		return n.name
	case n.logical != "":
		return n.kind + "." + n.logical
	}
	return n.kind
}
