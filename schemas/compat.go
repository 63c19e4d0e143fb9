package schemas

import (
	"fmt"
	"io/fs"
	"path"
	"slices"
)

// Compatible reports whether values written with an old schema can be read
// with a new one (BACKWARD, by the resolution rules of the Avro
// specification). The returned error says what stands in the way.
func Compatible(older, newer string) error {
	w, err := parse(older)
	if err != nil {
		return err
	}
	r, err := parse(newer)
	if err != nil {
		return err
	}
	return readable(w, r, r.name)
}

// Released lists the texts of all released versions of a schema, oldest first.
// A released file is never edited; a change adds the next number.
func Released(name string) ([]string, error) {
	var out []string
	for v := 1; ; v++ {
		text, err := fs.ReadFile(files, path.Join("released", name, fmt.Sprintf("%d.avsc", v)))
		if err != nil {
			if v == 1 {
				return nil, fmt.Errorf("read released schema of %s: %w", name, err)
			}
			return out, nil
		}
		out = append(out, string(text))
	}
}

func readable(w, r *node, at string) error {
	switch {
	case r.kind == "union":
		if w.kind == "union" {
			return readable(w.options[1], r.options[1], at)
		}
		return readable(w, r.options[1], at)
	case w.kind == "union":
		return fmt.Errorf("%s: was optional, is required", at)
	case w.kind != r.kind: // Avro would promote some; this codec does not
		return fmt.Errorf("%s: was %s, is %s", at, w.kind, r.kind)
	case w.logical != r.logical:
		return fmt.Errorf("%s: logical type was %q, is %q", at, w.logical, r.logical)
	}
	switch r.kind {
	case "record":
		return readableFields(w, r, at)
	case "array":
		return readable(w.items, r.items, at+"[]")
	case "enum":
		for _, s := range w.symbols {
			if !slices.Contains(r.symbols, s) {
				return fmt.Errorf("%s: symbol %s is gone", at, s)
			}
		}
	}
	return nil
}

func readableFields(w, r *node, at string) error {
	if w.name != r.name {
		return fmt.Errorf("%s: record was %s, is %s", at, w.name, r.name)
	}
	for _, f := range r.fields {
		i := slices.IndexFunc(w.fields, func(o field) bool { return o.name == f.name })
		if i < 0 {
			if !f.hasDefault {
				return fmt.Errorf("%s.%s: new without a default", at, f.name)
			}
			continue
		}
		if err := readable(w.fields[i].node, f.node, at+"."+f.name); err != nil {
			return err
		}
	}
	return nil
}
