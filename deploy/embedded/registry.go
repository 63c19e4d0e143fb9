package embedded

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"sync"
	"time"
)

const (
	// maxSchemas bounds the memory and the file of the registry. This system has some ten schemas.
	maxSchemas = 10_000
	// registryTimeout bounds one request to the registry.
	registryTimeout = 10 * time.Second
)

var (
	errNoSubject    = errors.New("subject not found")
	errNoVersion    = errors.New("version not found")
	errNoSchema     = errors.New("schema not found")
	errBadSchema    = errors.New("invalid Avro schema")
	errIncompatible = errors.New("schema is incompatible with an earlier schema")
	errRegistryFull = errors.New("registry holds as many schemas as it may")
)

// subjectVersion is one version of one subject as the REST interface shows it. Versions and ids count from 1.
type subjectVersion struct {
	Subject string `json:"subject"`
	Version int    `json:"version"`
	ID      int    `json:"id"`
	Schema  string `json:"schema"`
}

// registryState is all the registry knows, and the form of registry.json. Nothing is ever removed from it.
type registryState struct {
	// Schemas holds each different schema once; the id of a schema is its place, counted from 1.
	Schemas []string `json:"schemas"`
	// Subjects holds the schema ids of each subject, oldest version first.
	Subjects map[string][]int `json:"subjects"`
}

// registry gives every schema a number that never changes, and refuses a schema that could not read what was written
// before. It is safe for concurrent use.
type registry struct {
	path       string // "" keeps nothing
	compatible func(old []string, newSchema string) error

	mu    sync.RWMutex
	state registryState
}

// openRegistry reads the registry's file, if there is one.
func openRegistry(path string, compatible func([]string, string) error) (*registry, error) {
	r := &registry{path: path, compatible: compatible, state: registryState{Subjects: map[string][]int{}}}
	if path == "" {
		return r, nil
	}
	if err := readJSON(path, &r.state); err != nil {
		return nil, err
	}
	for subject, ids := range r.state.Subjects {
		for _, id := range ids {
			if id < 1 || id > len(r.state.Schemas) {
				return nil, fmt.Errorf("read registry.json: subject %s names schema %d of %d", subject, id, len(r.state.Schemas))
			}
		}
	}
	return r, nil
}

// register makes schema the newest version of subject, unless the subject has it already, and answers its id. When
// it returns nil the id is on disk.
func (r *registry) register(subject, schema string) (int, error) {
	schema, err := compactSchema(schema)
	if err != nil {
		return 0, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if v, err := r.find(subject, schema); err == nil {
		return v.ID, nil
	}
	if err := r.check(subject, schema); err != nil {
		return 0, err
	}
	next := r.state
	id := next.id(schema)
	if id == 0 {
		if len(next.Schemas) >= maxSchemas {
			return 0, errRegistryFull
		}
		next.Schemas = append(next.Schemas[:len(next.Schemas):len(next.Schemas)], schema)
		id = len(next.Schemas)
	}
	next.Subjects = make(map[string][]int, len(r.state.Subjects)+1)
	for s, ids := range r.state.Subjects {
		next.Subjects[s] = ids
	}
	ids := next.Subjects[subject]
	next.Subjects[subject] = append(ids[:len(ids):len(ids)], id)
	if r.path != "" {
		if err := writeJSON(r.path, next); err != nil {
			return 0, fmt.Errorf("keep schema: %w", err)
		}
	}
	r.state = next
	return id, nil
}

// id is the number of a schema, or 0.
func (s registryState) id(schema string) int {
	for i, known := range s.Schemas {
		if known == schema {
			return i + 1
		}
	}
	return 0
}

// check asks whether readers of schema can read all versions of subject. The caller holds mu.
func (r *registry) check(subject, schema string) error {
	if r.compatible == nil {
		return nil
	}
	var old []string
	for _, id := range r.state.Subjects[subject] {
		old = append(old, r.state.Schemas[id-1])
	}
	if err := r.compatible(old, schema); err != nil {
		return fmt.Errorf("%w: %w", errIncompatible, err)
	}
	return nil
}

// find is the version of subject that has this compacted schema. The caller holds mu.
func (r *registry) find(subject, schema string) (subjectVersion, error) {
	ids, ok := r.state.Subjects[subject]
	if !ok {
		return subjectVersion{}, errNoSubject
	}
	for i, id := range ids {
		if r.state.Schemas[id-1] == schema {
			return subjectVersion{subject, i + 1, id, schema}, nil
		}
	}
	return subjectVersion{}, errNoSchema
}

// version is one version of subject; 0 is the latest.
func (r *registry) version(subject string, version int) (subjectVersion, error) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	ids, ok := r.state.Subjects[subject]
	if !ok {
		return subjectVersion{}, errNoSubject
	}
	if version == 0 {
		version = len(ids)
	}
	if version < 1 || version > len(ids) {
		return subjectVersion{}, errNoVersion
	}
	id := ids[version-1]
	return subjectVersion{subject, version, id, r.state.Schemas[id-1]}, nil
}

// compactSchema takes the white space out, so that the same schema in another layout has the same id. An Avro schema
// is a JSON object, a JSON array (a union) or a JSON string (a name).
func compactSchema(schema string) (string, error) {
	var out bytes.Buffer
	if err := json.Compact(&out, []byte(schema)); err != nil {
		return "", fmt.Errorf("%w: not JSON", errBadSchema)
	}
	if first := out.Bytes()[0]; first != '{' && first != '[' && first != '"' {
		return "", fmt.Errorf("%w: not an object, a union or a name", errBadSchema)
	}
	return out.String(), nil
}

// startRegistry brings up the registry's REST interface.
func (s *System) startRegistry(cfg Config) error {
	path := ""
	if cfg.Dir != "" {
		path = filepath.Join(cfg.Dir, "registry.json")
	}
	r, err := openRegistry(path, cfg.Compatible)
	if err != nil {
		return err
	}
	ln, err := net.Listen("tcp", cfg.RegistryListen)
	if err != nil {
		return err
	}
	server := &http.Server{
		Handler:           r.routes(),
		ReadHeaderTimeout: registryTimeout,
		ReadTimeout:       registryTimeout,
		WriteTimeout:      registryTimeout,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(cfg.Log.Handler(), slog.LevelWarn),
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(ln) }()
	s.onStop("schema registry", func() error {
		ctx, cancel := context.WithTimeout(context.Background(), stopWithin/2)
		defer cancel()
		err := server.Shutdown(ctx)
		if err != nil { // a client that does not let go
			err = errors.Join(err, server.Close())
		}
		if serving := <-served; !errors.Is(serving, http.ErrServerClosed) {
			err = errors.Join(err, serving)
		}
		return err
	})
	s.RegistryURL = "http://" + ln.Addr().String()
	return nil
}
