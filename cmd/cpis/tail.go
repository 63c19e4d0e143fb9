package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"cpis/router/topics"
	"cpis/schemas"
)

// shown is a record as `tail` prints it. Sealed parts appear as their length:
// whoever may open them uses the console, where that is recorded.
type shown struct {
	Topic     schemas.Topic  `json:"topic"`
	Partition int            `json:"partition"`
	Offset    int64          `json:"offset"`
	Time      time.Time      `json:"time"`
	Key       string         `json:"key"`
	Value     map[string]any `json:"value,omitempty"`
	Tombstone bool           `json:"tombstone,omitempty"`
	Error     string         `json:"error,omitempty"`
}

func (s *shell) tail() *cobra.Command {
	var from, until string
	var asJSON bool
	c := &cobra.Command{
		Use: "tail TOPIC", Args: usage(cobra.ExactArgs(1)),
		Short:   "Print the records of a topic, decoded, persons masked",
		Example: "  cpis tail cpis.outcome.v1\n  cpis tail outcome --json --from beginning --until end",
		RunE: func(cmd *cobra.Command, args []string) error {
			topic, err := topicNamed(args[0])
			if err != nil {
				return err
			}
			if !slices.Contains([]string{"beginning", "end"}, from) || !slices.Contains([]string{"never", "end"}, until) {
				return exit{exitUsage, errors.New("--from is beginning or end; --until is end or never")}
			}
			t, done, err := s.connect(cmd.Context())
			if err != nil {
				return err
			}
			defer done()
			return s.follow(cmd.Context(), t, topic, from == "beginning", until == "end", asJSON)
		},
	}
	c.Flags().StringVar(&from, "from", "end", "where to begin: beginning or end")
	c.Flags().StringVar(&until, "until", "never", "where to stop: end or never")
	c.Flags().BoolVar(&asJSON, "json", false, "print one JSON object per record")
	return c
}

// topicNamed finds a topic by its name or by its middle word.
func topicNamed(name string) (schemas.Topic, error) {
	var names []string
	for _, spec := range topics.Table() {
		if string(spec.Topic) == name || strings.Split(string(spec.Topic), ".")[1] == name {
			return spec.Topic, nil
		}
		names = append(names, string(spec.Topic))
	}
	return "", exit{exitUsage, fmt.Errorf("no topic %q; nearest is %s", name, nearest(name, names))}
}

func (s *shell) follow(ctx context.Context, t *tools, topic schemas.Topic, beginning, stop bool, asJSON bool) error {
	ends, err := t.client.Ends(ctx, topic)
	if err != nil {
		return err
	}
	next := slices.Clone(ends)
	if beginning {
		if next, err = t.client.Starts(ctx, topic); err != nil {
			return err
		}
	}
	for {
		idle := true
		for p := range next {
			if stop && next[p] >= ends[p] {
				continue
			}
			idle = false
			b, err := t.client.Fetch(ctx, topic, p, next[p], followWait/5, followBytes)
			if ctx.Err() != nil {
				return nil
			}
			if err != nil {
				return err
			}
			next[p] = b.Next
			for _, r := range b.Records {
				s.printRecord(t.show(ctx, r), asJSON)
			}
		}
		if stop && idle {
			return nil
		}
	}
}

func (s *shell) printRecord(r shown, asJSON bool) {
	if asJSON {
		_ = json.NewEncoder(s.out).Encode(r)
		return
	}
	text, _ := json.Marshal(r.Value)
	if r.Tombstone {
		text = []byte("(taken back)")
	}
	fmt.Fprintf(s.out, "%s  %d/%d  %s  %s %s\n", r.Time.UTC().Format(time.RFC3339), r.Partition, r.Offset, r.Key, text, r.Error)
}

// show decodes a record for people. One that cannot be decoded is shown with
// the reason, and the ones after it still come.
func (t *tools) show(ctx context.Context, r topics.Record) shown {
	out := shown{Topic: r.Topic, Partition: r.Partition, Offset: r.Offset, Time: r.Time, Key: string(r.Key), Tombstone: r.Value == nil}
	if r.Value == nil {
		return out
	}
	record := schemas.NewRecord(r.Topic)
	if err := t.codec.Decode(ctx, r.Topic, r.Value, record); err != nil {
		out.Error = err.Error()
		return out
	}
	out.Value = fields(reflect.ValueOf(record).Elem())
	return out
}

// fields are the fields of a record by their schema names, sealed ones as
// their length and absent ones left out.
func fields(v reflect.Value) map[string]any {
	out := map[string]any{}
	for i := range v.NumField() {
		name := v.Type().Field(i).Tag.Get("avro")
		f := v.Field(i)
		if name == "" || name == "-" || f.IsZero() && f.Kind() != reflect.Bool {
			continue
		}
		switch x := f.Interface().(type) {
		case time.Time:
			out[name] = x
		case []byte:
			out[name] = fmt.Sprintf("[sealed, %d bytes]", len(x))
		default:
			if f.Kind() == reflect.Struct {
				out[name] = fields(f)
			} else {
				out[name] = x
			}
		}
	}
	return out
}
