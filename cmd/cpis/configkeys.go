package main

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	yamlnode "go.yaml.in/yaml/v3"

	"cpis/schemas"
)

// environment turns CPIS_MLLP_LISTEN=… into mllp.listen. A CPIS_ variable that
// names nothing is an error, for it is a typing mistake.
func environment(env []string) (map[string]any, error) {
	known := keys(reflect.TypeFor[Config](), "")
	out := map[string]any{}
	for _, pair := range env {
		name, value, _ := strings.Cut(pair, "=")
		if !strings.HasPrefix(name, "CPIS_") || slices.Contains(testVariables(), name) || strings.HasPrefix(name, "CPIS_TESTBED_") {
			continue
		}
		variable := func(key string) string { return "CPIS_" + strings.ToUpper(strings.ReplaceAll(key, ".", "_")) }
		i := slices.IndexFunc(known, func(key string) bool { return variable(key) == name })
		if i < 0 {
			var names []string
			for _, key := range known {
				names = append(names, variable(key))
			}
			return nil, &schemas.Refusal{Code: "CPIS-C001", Location: name, Reason: "no such setting; nearest is " + nearest(name, names)}
		}
		switch known[i] {
		case "roles", "kafka.brokers", "audit.witnesses":
			out[known[i]] = splitList(value)
		default:
			out[known[i]] = value
		}
	}
	return out, nil
}

func splitList(s string) []string {
	return slices.DeleteFunc(strings.FieldsFunc(s, func(r rune) bool { return r == ',' || r == ' ' }), func(s string) bool { return s == "" })
}

// keys lists the dotted names of a configuration struct.
func keys(t reflect.Type, prefix string) []string {
	var out []string
	for i := range t.NumField() {
		f := t.Field(i)
		name := prefix + f.Tag.Get("yaml")
		if f.Type.Kind() == reflect.Struct {
			out = append(out, keys(f.Type, name+".")...)
		} else {
			out = append(out, name)
		}
	}
	return out
}

// unknownKeys refuses keys of a file that nothing reads, with their line and
// the nearest key there is.
func unknownKeys(file string, text []byte) error {
	var doc yamlnode.Node
	if err := yamlnode.Unmarshal(text, &doc); err != nil {
		return &schemas.Refusal{Code: "CPIS-C002", Location: file, Reason: err.Error()}
	}
	if len(doc.Content) == 0 {
		return nil
	}
	return errors.Join(unknownIn(file, doc.Content[0], reflect.TypeFor[Config]())...)
}

func unknownIn(file string, n *yamlnode.Node, t reflect.Type) []error {
	if t.Kind() == reflect.Slice && n.Kind == yamlnode.SequenceNode {
		var errs []error
		for _, item := range n.Content {
			errs = append(errs, unknownIn(file, item, t.Elem())...)
		}
		return errs
	}
	if t.Kind() != reflect.Struct || n.Kind != yamlnode.MappingNode {
		return nil
	}
	fields := map[string]reflect.Type{}
	var names []string
	for i := range t.NumField() {
		if tag := t.Field(i).Tag.Get("yaml"); tag != "" {
			fields[tag] = t.Field(i).Type
			names = append(names, tag)
		}
	}
	var errs []error
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		if field, ok := fields[key.Value]; ok {
			errs = append(errs, unknownIn(file, n.Content[i+1], field)...)
			continue
		}
		errs = append(errs, &schemas.Refusal{Code: "CPIS-C001", Location: fmt.Sprintf("%s:%d", file, key.Line),
			Reason: fmt.Sprintf("no key %q here; nearest is %q", key.Value, nearest(key.Value, names))})
	}
	return errs
}

// nearest is the name with the smallest edit distance.
func nearest(name string, names []string) string {
	best, distance := "", 1<<30
	for _, n := range names {
		if d := editDistance(name, n); d < distance {
			best, distance = n, d
		}
	}
	return best
}

func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}
