package socialcare

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"cpis/schemas"
	"cpis/schemas/contact"
)

// Store is what this door needs of the broker. All methods are safe for
// concurrent use.
type Store interface {
	// Identify gives a person's pseudonym.
	Identify(n schemas.NHSNumber) schemas.SubjectRef
	// Former gives the pseudonyms a person had before the keys changed.
	Former(n schemas.NHSNumber) []schemas.SubjectRef
	// Stale reports that a record is sealed with a key that is not the newest.
	Stale(i schemas.Indicator) bool
	// Held gives all records of an authority, those that it took back too, by
	// their key: at least as new as every Commit that has returned. An error means
	// that it cannot be told.
	Held(ctx context.Context, code schemas.AuthorityCode) (map[string]schemas.Indicator, error)
	// Authority finds an authority's contacts.
	Authority(code schemas.AuthorityCode) (schemas.Authority, bool)
	// Uploads lists what became of an authority's files, in no order.
	Uploads(code schemas.AuthorityCode) []schemas.Upload
	// Parcel gives back what was kept with an upload, all of it in the order it
	// was kept; nothing where it is kept no longer.
	Parcel(ctx context.Context, u schemas.Upload, kind string) ([]byte, error)
	// Commit writes, in the order of the fields of Changes. nil means that all of
	// it is durable; after an error any part of it may be.
	Commit(ctx context.Context, c Changes) error
}

// Changes are what one file does.
type Changes struct {
	Authority schemas.AuthorityCode
	Parcels   []Parcel            // kept for some days
	Put       []schemas.Indicator // a SealedPerson that is there stays as it is
	Moved     []Moved             // links of these people follow, before anything is dropped
	Drop      []schemas.Indicator // nothing stands under their keys any more
	Refused   []RefusedRow        // to the quarantine
	Contacts  *schemas.Authority
	Upload    *schemas.Upload
	Notices   []schemas.Notice // to the authority
	// Renewal says that what is put was there, and only its keys are newer.
	Renewal bool
}

// Parcel is kept with an upload for some days, sealed.
type Parcel struct {
	UploadID, Kind string
	Data           []byte
}

// Kinds of parcels.
const (
	parcelFile   = "FILE"   // the file itself, while it waits
	parcelBefore = "BEFORE" // what stood before the file, so that it can be undone
	parcelHeld   = "HELD"   // which records a full snapshot holds
)

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

// Site is what is set for one authority.
type Site struct {
	// MassChange is the share of an authority's current plans, in percent, that
	// its files may end or take back in an hour; more waits for a second person. Default 20.
	// Fewer than five never wait. 100 turns it off.
	MassChange int `yaml:"mass_change"`
	// DueEvery is how often a file is due. Default matching.late_after.
	DueEvery time.Duration `yaml:"due_every"`
}

// massFrom is the number of plans that may always be ended at once.
const massFrom = 5

const defaultMassChange = 20

// Config of the door.
type Config struct {
	// ID derives an id nobody else can from the parts.
	ID    func(parts ...string) string
	Sites map[schemas.AuthorityCode]Site
	// DueEvery is how often a file is due where a site does not say. Default 36h.
	DueEvery time.Duration
	// Demographics says who an NHS number is. Default nil: the authority is
	// believed.
	Demographics Demographics
	Now          func() time.Time // default time.Now
}

// Service takes files.
type Service struct {
	config Config
	store  Store
	log    *slog.Logger
	book   *contact.Book

	counters sync.Map // of schemas.Code to *atomic.Int64: refusals

	mu      sync.Mutex
	hidden  map[schemas.AuthorityCode][]hid       // what files took from view lately; guarded by mu
	writing map[schemas.AuthorityCode]*sync.Mutex // one file of an authority at a time; guarded by mu
}

// New makes the door.
func New(c Config, store Store, log *slog.Logger) (*Service, error) {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.DueEvery == 0 {
		c.DueEvery = 36 * time.Hour
	}
	book, err := contact.NewBook()
	if err != nil {
		return nil, fmt.Errorf("open social care door: %w", err)
	}
	return &Service{config: c, store: store, log: log, book: book, writing: map[schemas.AuthorityCode]*sync.Mutex{}, hidden: map[schemas.AuthorityCode][]hid{}}, nil
}

// errLater means that it is not sure whether anything was written, and that the
// file may be sent again.
var errLater = errors.New("cannot be taken just now, send it again")

// Request is a file on its way in.
type Request struct {
	Authority schemas.AuthorityCode
	Format    string
	Body      io.Reader
	Sequence  int64  // number of the file, 0 for none
	Records   int    // how many records it should hold, 0 where that is not said
	Full      bool   // it holds all there is: what it does not hold ends
	Snapshot  string // part of the full snapshot with this id
	By        string // who sends it
	Check     bool   // say what it would do, and write nothing
	Stream    bool   // some records, not a file: nothing is said about the file
	approved  string // the second person, by keyed id
}

// Take reads a file, gives every row its verdict, and commits what is taken
// before it answers. A *schemas.Refusal means that the file as a whole cannot
// be used; another error that it must be sent again.
func (s *Service) Take(ctx context.Context, r Request) (Result, error) {
	defer s.exclusively(r.Authority)()
	text, err := io.ReadAll(io.LimitReader(r.Body, MaxFile+1))
	if err != nil {
		return Result{}, fmt.Errorf("read file: %w", err)
	}
	result, err := s.take(ctx, r, text)
	var refusal *schemas.Refusal
	if errors.As(err, &refusal) {
		s.counted(refusal.Code, 1)
		if owner, ok := s.store.Authority(r.Authority); ok && !r.Check && !r.Stream {
			now := s.config.Now()
			notice := schemas.Notice{Kind: schemas.NoticeUploadFailed, Authority: owner.Code, UploadID: s.uploadID(r.Authority, text), Codes: []string{fileCorrupt, string(refusal.Code)},
				OccurredAt: now, CreatedAt: now}
			if e := s.store.Commit(ctx, Changes{Authority: owner.Code, Notices: []schemas.Notice{notice}}); e != nil {
				s.log.Warn("an authority could not be told of a file that failed", "authority", string(owner.Code), "error", e)
			}
		}
	}
	return result, err
}

// job is one file while it is worked on.
type job struct {
	Request
	text   []byte
	now    time.Time
	today  schemas.Date
	owner  schemas.Authority
	upload schemas.Upload
	again  bool // this very file was taken before
	file   file
	items  []item
	held   map[string]schemas.Indicator
	put    []schemas.Indicator // all that is to be written
	result Result
}

func (s *Service) take(ctx context.Context, r Request, text []byte) (Result, error) {
	if len(text) > MaxFile {
		return Result{}, &schemas.Refusal{Code: "CPIS-L020", Location: "file", Reason: fmt.Sprintf("larger than %d bytes", MaxFile)}
	}
	j := &job{Request: r, text: text, now: s.config.Now().UTC().Truncate(time.Millisecond)}
	j.today = schemas.DateOf(j.now, s.book.Place())
	var ok bool
	if j.owner, ok = s.store.Authority(r.Authority); !ok {
		return Result{}, &schemas.Refusal{Code: "CPIS-L022", Location: "authority", Reason: "its contacts are not loaded"}
	}
	var err error
	if j.file, err = read(r.Format, text); err != nil {
		return Result{}, err
	}
	if r.Records > 0 && r.Records != len(j.file.rows) {
		return Result{}, &schemas.Refusal{Code: "CPIS-L020", Location: "records", Reason: fmt.Sprintf("%d were announced and %d are there", r.Records, len(j.file.rows))}
	}
	if waits, err := s.known(j); waits || err != nil {
		return j.result, err
	}
	j.items = judgeAll(j.file.rows, r.Authority, j.today, j.file.notes)
	if err := s.trace(ctx, j); err != nil {
		return Result{}, fmt.Errorf("%w: %w", errLater, err)
	}
	if j.held, err = s.store.Held(ctx, r.Authority); err != nil {
		return Result{}, fmt.Errorf("%w: %w", errLater, err)
	}
	if err := s.renewed(ctx, j); err != nil {
		return Result{}, fmt.Errorf("%w: %w", errLater, err)
	}
	s.compare(j)
	if r.Full {
		mentioned := mention{}
		mentioned.add(j.items)
		if err := s.endAbsent(j, mentioned, j.now); err != nil {
			return Result{}, err
		}
	}
	s.summarise(j)
	if s.waits(j) {
		return s.hold(ctx, j)
	}
	if r.Check {
		j.result.State, j.result.Check, j.result.UploadID = "", true, ""
		return j.result, nil
	}
	return s.commit(ctx, j)
}

func (s *Service) uploadID(code schemas.AuthorityCode, text []byte) string {
	return s.config.ID("upload", string(code), string(text))
}

// person is who acts, by a keyed id: enough to tell two people apart.
func (s *Service) person(code schemas.AuthorityCode, name string) string {
	if name == "" {
		return ""
	}
	return s.config.ID("person", string(code), name)
}

// upload finds an upload of an authority.
func (s *Service) upload(code schemas.AuthorityCode, id string) (schemas.Upload, bool) {
	for _, u := range s.store.Uploads(code) {
		if u.UploadID == id {
			return u, true
		}
	}
	return schemas.Upload{}, false
}

// known looks whether a file or its number has come before. waits says that the
// file waits for a second person already.
func (s *Service) known(j *job) (waits bool, err error) {
	id := s.uploadID(j.Authority, j.text)
	j.upload = schemas.Upload{Authority: j.Authority, UploadID: id, State: schemas.UploadTaken, Format: j.Format, Sequence: j.Sequence, At: j.now,
		By: s.person(j.Authority, j.By), Snapshot: j.Snapshot}
	for _, u := range s.store.Uploads(j.Authority) {
		switch {
		case u.UploadID == id && j.approved != "":
			j.upload.At, j.upload.By = u.At, u.By
		case u.UploadID == id:
			switch {
			case u.State == schemas.UploadWaiting && j.Check: // what it would do is still the question
				continue
			case u.State == schemas.UploadWaiting:
				j.result = Result{State: schemas.UploadWaiting, UploadID: id, Sequence: u.Sequence, FileWords: waitingWords, Notes: []Note{}, Verdicts: []Verdict{}}
				return true, nil
			case u.State == schemas.UploadCancelled || u.State == schemas.UploadUndone:
				return false, &schemas.Refusal{Code: "CPIS-L030", Location: "file", Reason: "this very file was " + map[schemas.UploadState]string{schemas.UploadCancelled: "cancelled", schemas.UploadUndone: "undone"}[u.State]}
			}
			j.again = true
			j.file.notes.add("CPIS-L107", 0)
			j.upload.At, j.upload.By = u.At, u.By
		case u.UploadID != id && j.Sequence > 0 && u.Sequence == j.Sequence && u.State != schemas.UploadCancelled:
			return false, &schemas.Refusal{Code: "CPIS-L029", Location: "sequence", Reason: "another file came under this number"}
		}
	}
	if j.approved != "" {
		j.upload.DecidedAt, j.upload.DecidedBy = j.now, j.approved
	}
	if j.Snapshot != "" {
		if open, ok := s.upload(j.Authority, j.Snapshot); !ok || open.State != schemas.UploadOpen {
			return false, &schemas.Refusal{Code: "CPIS-L032", Location: "snapshot", Reason: "no snapshot is open under this id"}
		}
	}
	if last := j.owner.Sequence; j.Sequence > 0 && last > 0 && j.approved == "" {
		switch {
		case j.Sequence < last:
			j.file.notes.add("CPIS-L109", 0)
		case j.Sequence > last+1:
			j.file.notes.add("CPIS-L108", 0)
		}
	}
	return false, nil
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

// counted counts a refusal.
func (s *Service) counted(code schemas.Code, n int64) {
	c, _ := s.counters.LoadOrStore(code, &atomic.Int64{})
	c.(*atomic.Int64).Add(n)
}

// Refusals counts what was refused since the start of the process, by code: rows,
// and files as a whole.
func (s *Service) Refusals() map[schemas.Code]int64 {
	out := map[schemas.Code]int64{}
	s.counters.Range(func(code, n any) bool {
		out[code.(schemas.Code)] = n.(*atomic.Int64).Load()
		return true
	})
	return out
}

// Examine applies the rules to a file without a broker: what is good is fine, and
// whether it is new nobody can tell.
func Examine(r Request, now time.Time) (Result, error) {
	text, err := io.ReadAll(io.LimitReader(r.Body, MaxFile+1))
	if err != nil {
		return Result{}, fmt.Errorf("read file: %w", err)
	}
	if len(text) > MaxFile {
		return Result{}, &schemas.Refusal{Code: "CPIS-L020", Location: "file", Reason: fmt.Sprintf("larger than %d bytes", MaxFile)}
	}
	book, err := contact.NewBook()
	if err != nil {
		return Result{}, err
	}
	f, err := read(r.Format, text)
	if err != nil {
		return Result{}, err
	}
	var verdicts []Verdict
	for _, it := range judgeAll(f.rows, r.Authority, schemas.DateOf(now, book.Place()), f.notes) {
		verdicts = append(verdicts, it.verdict)
	}
	out := Result{Check: true}
	out.count(verdicts)
	out.Notes = f.notes.list()
	return out, nil
}
