package socialcare

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"cpis/schemas"
)

// Store is what this door needs of the broker. All methods are safe for
// concurrent use and nil means durable.
type Store interface {
	// Identify gives a person's pseudonym.
	Identify(n schemas.NHSNumber) schemas.SubjectRef
	// Held gives the version of each record that is held, by its key. An error
	// means that it cannot be told.
	Held(ctx context.Context, want []schemas.Indicator) (map[string]int64, error)
	// Authority finds an authority's contacts.
	Authority(code schemas.AuthorityCode) (schemas.Authority, bool)
	Publish(ctx context.Context, indicators []schemas.Indicator) error
	Withdraw(ctx context.Context, indicators []schemas.Indicator) error
	PublishAuthority(ctx context.Context, a schemas.Authority) error
	Quarantine(ctx context.Context, code schemas.AuthorityCode, rows []RefusedRow) error
}

// RefusedRow is a row for the quarantine.
type RefusedRow struct {
	Row      int
	Code     schemas.Code
	Location string
	Raw      []byte
}

// A refused row prints as where it stood alone.
func (r RefusedRow) String() string               { return fmt.Sprintf("row %d: %s", r.Row, r.Code) }
func (r RefusedRow) GoString() string             { return r.String() }
func (r RefusedRow) Format(f fmt.State, _ rune)   { _, _ = io.WriteString(f, r.String()) }
func (r RefusedRow) MarshalJSON() ([]byte, error) { return json.Marshal(r.String()) }

// Result is the answer to a file.
type Result struct {
	FileCode  string    `json:"file_code"` // CPF01 to CPF06 of the national service
	FileWords string    `json:"file_words"`
	UploadID  string    `json:"upload_id"`
	Received  int       `json:"received"`
	Accepted  int       `json:"accepted"`
	Unchanged int       `json:"unchanged"`
	Refused   int       `json:"refused"`
	Verdicts  []Verdict `json:"verdicts"`
}

// Config of the door.
type Config struct {
	// ID derives an id nobody else can from the parts.
	ID  func(parts ...string) string
	Now func() time.Time // default time.Now
}

// Service takes files.
type Service struct {
	config Config
	store  Store
	log    *slog.Logger
	place  *time.Location

	mu      sync.Mutex
	writing map[schemas.AuthorityCode]*sync.Mutex // one file of an authority at a time; guarded by mu
}

// New makes the door.
func New(c Config, store Store, log *slog.Logger) (*Service, error) {
	if c.Now == nil {
		c.Now = time.Now
	}
	place, err := time.LoadLocation("Europe/London")
	if err != nil {
		return nil, fmt.Errorf("open social care door: %w", err)
	}
	return &Service{config: c, store: store, log: log, place: place, writing: map[schemas.AuthorityCode]*sync.Mutex{}}, nil
}

// Formats of a file.
const (
	CSV   = "text/csv"
	JSONL = "application/x-ndjson"
)

// errLater means that nothing was written and the file may be sent again.
var errLater = errors.New("cannot be taken just now, send it again")

// Take reads a file, gives every row its verdict, and commits what is taken
// before it answers. A *schemas.Refusal means that the file as a whole cannot
// be used; another error that it must be sent again.
func (s *Service) Take(ctx context.Context, authority schemas.AuthorityCode, format string, body io.Reader) (Result, error) {
	defer s.exclusively(authority)()
	if _, ok := s.store.Authority(authority); !ok {
		return Result{}, &schemas.Refusal{Code: "CPIS-L022", Location: "authority", Reason: "its contacts are not loaded"}
	}
	text, err := io.ReadAll(io.LimitReader(body, MaxFile+1))
	if err != nil {
		return Result{}, fmt.Errorf("read file: %w", err)
	}
	if len(text) > MaxFile {
		return Result{}, &schemas.Refusal{Code: "CPIS-L020", Location: "file", Reason: fmt.Sprintf("larger than %d bytes", MaxFile)}
	}
	read := readCSV
	if format == JSONL {
		read = readJSONL
	}
	rows, err := read(text)
	if err != nil {
		return Result{}, err
	}
	now := s.config.Now()
	items := judgeAll(rows, authority, schemas.DateOf(now, s.place))
	upload := s.config.ID("upload", string(authority), string(text))
	if err := s.compare(ctx, items, upload, now); err != nil {
		return Result{}, err
	}
	if err := s.commit(ctx, authority, items); err != nil {
		return Result{}, err
	}
	result := summarise(items, upload)
	if result.Accepted+result.Unchanged > 0 { // a file of which nothing was good is no good load
		owner, _ := s.store.Authority(authority)
		owner.LastLoadAt = now
		if err := s.store.PublishAuthority(ctx, owner); err != nil {
			return Result{}, fmt.Errorf("%w: %w", errLater, err)
		}
	}
	s.log.Info("file taken", "authority", string(authority), "upload", upload, "received", result.Received, "accepted", result.Accepted, "refused", result.Refused)
	return result, nil
}

// exclusively waits for the authority's turn: two files at once could both
// find an older version held, and write over each other.
func (s *Service) exclusively(authority schemas.AuthorityCode) (done func()) {
	s.mu.Lock()
	turn := s.writing[authority]
	if turn == nil {
		turn = &sync.Mutex{}
		s.writing[authority] = turn
	}
	s.mu.Unlock()
	turn.Lock()
	return turn.Unlock
}

// compare says of every good row what it changes.
func (s *Service) compare(ctx context.Context, items []item, upload string, now time.Time) error {
	var want []schemas.Indicator
	for i := range items {
		if items[i].refused {
			continue
		}
		in := &items[i].indicator
		in.SubjectRef, in.UploadID, in.ReceivedAt = s.store.Identify(in.Person.Number), upload, now
		want = append(want, *in)
	}
	if len(want) == 0 {
		return nil
	}
	held, err := s.store.Held(ctx, want)
	if err != nil {
		return fmt.Errorf("%w: %w", errLater, err)
	}
	for i := range items {
		it := &items[i]
		if it.refused {
			continue
		}
		version, known := held[string(it.indicator.Key())]
		it.verdict = Verdict{Row: it.row.Line, RecordID: it.row.Fields["record_id"], Code: codeTaken, Outcome: outcomeNew}
		switch {
		case known && it.indicator.Version < version:
			e, _ := schemas.Explain("CPIS-L023")
			it.verdict.Outcome, it.verdict.Detail, it.verdict.Field, it.verdict.Fix = outcomeSuperseded, e.Code, "version", e.Fix
		case it.row.Withdrawn && known:
			it.verdict.Outcome = outcomeWithdrawn
		case it.row.Withdrawn, known && it.indicator.Version == version:
			it.verdict.Outcome = outcomeUnchanged
		case known:
			it.verdict.Outcome = outcomeChanged
		}
	}
	return nil
}

// commit writes what is taken, then the quarantine.
func (s *Service) commit(ctx context.Context, authority schemas.AuthorityCode, items []item) error {
	var publish, withdraw []schemas.Indicator
	var refused []RefusedRow
	for _, it := range items {
		switch {
		case it.refused:
			refused = append(refused, RefusedRow{it.row.Line, it.verdict.Detail, it.verdict.Field, it.row.Raw})
		case it.verdict.Outcome == outcomeWithdrawn:
			withdraw = append(withdraw, it.indicator)
		case it.verdict.Outcome != outcomeUnchanged && it.verdict.Outcome != outcomeSuperseded:
			publish = append(publish, it.indicator)
		}
	}
	var err error
	if len(publish) > 0 {
		err = s.store.Publish(ctx, publish)
	}
	if err == nil && len(withdraw) > 0 {
		err = s.store.Withdraw(ctx, withdraw)
	}
	if err == nil && len(refused) > 0 {
		err = s.store.Quarantine(ctx, authority, refused)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", errLater, err)
	}
	return nil
}

func summarise(items []item, upload string) Result {
	r := Result{UploadID: upload, Received: len(items), Verdicts: make([]Verdict, len(items))}
	for i, it := range items {
		r.Verdicts[i] = it.verdict
		switch {
		case it.refused:
			r.Refused++
		case it.verdict.Outcome == outcomeUnchanged, it.verdict.Outcome == outcomeSuperseded:
			r.Unchanged++
		default:
			r.Accepted++
		}
	}
	switch {
	case r.Refused == 0:
		r.FileCode, r.FileWords = "CPF02", "successful: all records uploaded"
	case r.Refused < r.Received:
		r.FileCode, r.FileWords = "CPF03", "partial: valid records uploaded, others refused"
	default:
		r.FileCode, r.FileWords = "CPF04", "unsuccessful: no record uploaded"
	}
	return r
}
