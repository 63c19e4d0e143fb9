// Package index answers, from Redis, which plans are shared about a person, and
// knows when it cannot tell. It is the only code that speaks to Redis.
//
// Redis is a cache that can lose anything at any moment: by a restart, an
// eviction, a flush, a restored backup. A value that is missing must therefore
// never mean that there is no plan. So absence is proven by presence: every
// person falls into one of a fixed number of buckets, every bucket exists in
// Redis even when it is empty, and each is sealed with its own name. "No plan"
// is what a bucket that is there and authentic says; a bucket that is missing,
// altered or of another build is an error.
//
//	cpis:marker         sealed: which build of the index counts, whether it is
//	                    whole, how far along the indicator topic it is
//	cpis:b:GEN:N        sealed: the indicators of bucket N in build GEN
//	cpis:d:GEN:N        sealed: descriptions of people, by what is looked for when
//	                    somebody has no number: keyed hashes of a date of birth, a
//	                    postcode, a pair of names
//
// A Reader asks for the marker and the buckets in one MGET, which Redis answers
// from one moment. A Writer follows the indicator topic, alone; it changes
// buckets and marker in one transaction that fails if anyone else has touched
// the marker. Whatever it did not expect to find makes it build a new index.
package index

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"
)

var (
	// ErrUnreachable means that Redis did not answer in time.
	ErrUnreachable = errors.New("the index cannot be reached")
	// ErrIncomplete means that the index is not there or is being built.
	ErrIncomplete = errors.New("the index is not whole")
	// ErrWentBack means that the index is older than this process has seen it.
	ErrWentBack = errors.New("the index went back in time")
	// ErrCorrupt means that a part of the index is missing or not authentic.
	ErrCorrupt = errors.New("a part of the index is missing or altered")
	// ErrSuperseded means that another writer has taken over.
	ErrSuperseded = errors.New("another writer has taken over the index")
)

// Config says how to reach Redis.
type Config struct {
	URL         string        // redis://host:port/db or rediss://
	DialTimeout time.Duration // default 500 ms
	ReadTimeout time.Duration // of one read of the index; default 200 ms
	PoolSize    int           // connections; default 16
}

// Sealer seals values so that any change to them, or to where they stand, is
// noticed. Safe for concurrent use.
type Sealer interface {
	SealIndex(aad, plain []byte) ([]byte, error)
	OpenIndex(aad, sealed []byte) ([]byte, error)
}

const markerKey = "cpis:marker"

// shelf is one of the two sets of buckets.
type shelf string

const (
	indicators   shelf = "cpis:b:"
	descriptions shelf = "cpis:d:"
)

// bucket names one bucket of a build.
type bucket struct {
	shelf shelf
	n     int
}

func (b bucket) key(generation string) string {
	return string(b.shelf) + generation + ":" + strconv.Itoa(b.n)
}

// Block is what a description is looked for under: a keyed hash of a date of
// birth, a postcode or a pair of names.
type Block [16]byte

// Description is a person as an indicator describes them, under one block. The
// index does not read values.
type Description struct {
	Block Block
	Value []byte
}

// Describe gives the descriptions that an indicator record stands for, from its
// key and value as they stand on the topic. It gives the same for the same
// record, always: what it gave is taken back by asking it again. An error means
// a record that cannot be read; it is held, and not described.
type Describe func(key, value []byte) ([]Description, error)

// Marker says what the index is worth.
type Marker struct {
	Version    int       `json:"version"`    // of the form of the index
	Generation string    `json:"generation"` // id of this build
	Epoch      int64     `json:"epoch"`      // counts the writers of this build
	Complete   bool      `json:"complete"`
	Buckets    int       `json:"buckets"`
	Position   int64     `json:"position"` // next offset of cpis.indicator.v1
	Entries    int64     `json:"entries"`
	AsOf       time.Time `json:"as_of"` // when the writer last proved the index whole
}

// form is the version of all that is described in this package. An index of
// another is built anew.
const form = 2

func (m Marker) seal(s Sealer) ([]byte, error) {
	text, err := json.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("write marker: %w", err)
	}
	return s.SealIndex([]byte(markerKey), text)
}

func openMarker(s Sealer, sealed string) (Marker, error) {
	var m Marker
	text, err := s.OpenIndex([]byte(markerKey), []byte(sealed))
	if err != nil {
		return m, fmt.Errorf("%w: marker", ErrCorrupt)
	}
	if err := json.Unmarshal(text, &m); err != nil || m.Version != form || m.Buckets < 1 || m.Buckets > maxBuckets {
		return m, fmt.Errorf("%w: marker", ErrCorrupt)
	}
	return m, nil
}

// open prepares a client. Contexts are obeyed on the socket, a write is never
// repeated by the library, and nothing is said to the server about us.
func (c Config) open() (*redis.Client, error) {
	o, err := redis.ParseURL(c.URL)
	if err != nil {
		return nil, fmt.Errorf("open redis: %w", err)
	}
	pick := func(d, other time.Duration) time.Duration {
		if d == 0 {
			return other
		}
		return d
	}
	o.DialTimeout, o.ReadTimeout = pick(c.DialTimeout, 500*time.Millisecond), pick(c.ReadTimeout, 200*time.Millisecond)
	o.WriteTimeout, o.PoolTimeout = o.ReadTimeout, o.ReadTimeout
	o.ContextTimeoutEnabled, o.MaxRetries, o.DialerRetries = true, -1, 1
	o.DisableIdentity = true
	o.PoolSize = c.PoolSize
	if o.PoolSize == 0 {
		o.PoolSize = 16
	}
	o.MaxActiveConns = o.PoolSize
	return redis.NewClient(o), nil
}
