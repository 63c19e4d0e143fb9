package schemas

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/sr"
)

// RegistryClient speaks the Confluent REST interface, which Karapace, Apicurio
// and Redpanda speak too.
type RegistryClient struct {
	client *sr.Client
}

// registryTimeout bounds one request.
const registryTimeout = 5 * time.Second

// Confluent error codes for a subject, version or schema that does not exist.
const codeSchemaNotFound = 40403

// NewRegistryClient prepares a client; nothing is asked yet.
func NewRegistryClient(url string) (*RegistryClient, error) {
	c, err := sr.NewClient(sr.URLs(url), sr.HTTPClient(&http.Client{Timeout: registryTimeout}), sr.UserAgent("cpis"))
	if err != nil {
		return nil, fmt.Errorf("open schema registry: %w", err)
	}
	return &RegistryClient{c}, nil
}

// Register implements Registry.
func (r *RegistryClient) Register(ctx context.Context, subject, schema string) (int, error) {
	s, err := r.client.CreateSchema(ctx, subject, sr.Schema{Schema: schema, Type: sr.TypeAvro})
	if err != nil {
		return 0, fmt.Errorf("register schema: %w", err)
	}
	return s.ID, nil
}

// Schema implements Registry.
func (r *RegistryClient) Schema(ctx context.Context, id int) (string, error) {
	s, err := r.client.SchemaByID(ctx, id)
	var answer *sr.ResponseError
	if errors.As(err, &answer) && (answer.ErrorCode == codeSchemaNotFound || answer.StatusCode == http.StatusNotFound) {
		return "", ErrUnknownSchema
	}
	if err != nil {
		return "", fmt.Errorf("fetch schema: %w", err)
	}
	return s.Schema, nil
}

// MemoryRegistry is a Registry in this process, for tests and tools that read
// only what they wrote.
type MemoryRegistry struct {
	mu      sync.Mutex
	schemas []string // id is the index plus one
}

// Register implements Registry.
func (m *MemoryRegistry) Register(_ context.Context, _, schema string) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i, s := range m.schemas {
		if s == schema {
			return i + 1, nil
		}
	}
	m.schemas = append(m.schemas, schema)
	return len(m.schemas), nil
}

// Schema implements Registry.
func (m *MemoryRegistry) Schema(_ context.Context, id int) (string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if id < 1 || id > len(m.schemas) {
		return "", ErrUnknownSchema
	}
	return m.schemas[id-1], nil
}
