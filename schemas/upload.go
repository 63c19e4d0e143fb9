package schemas

import "time"

// UploadState is how far a file has come.
type UploadState string

const (
	UploadTaken     UploadState = "TAKEN"
	UploadWaiting   UploadState = "WAITING" // for a second person
	UploadCancelled UploadState = "CANCELLED"
	UploadUndone    UploadState = "UNDONE"
	UploadOpen      UploadState = "OPEN" // a full snapshot that has begun
)

// Upload is what became of one file of a local authority (cpis.upload.v1,
// compacted). It names no record and nobody.
type Upload struct {
	Authority AuthorityCode `avro:"authority"`
	UploadID  string        `avro:"upload_id"` // the same for the same file
	State     UploadState   `avro:"state"`
	Format    string        `avro:"format"`
	Sequence  int64         `avro:"sequence"` // 0 where the file carries none
	At        time.Time     `avro:"at"`
	DecidedAt time.Time     `avro:"decided_at"`
	By        string        `avro:"by"` // keyed id
	DecidedBy string        `avro:"decided_by"`
	Snapshot  string        `avro:"snapshot"` // id of the full snapshot it is part of
	FileCode  string        `avro:"file_code"`
	Counts    []Count       `avro:"counts"`  // records by outcome
	Details   []Count       `avro:"details"` // refused records by code
}

// Count is how many of one kind.
type Count struct {
	Name  string `avro:"name" json:"name"`
	Count int64  `avro:"count" json:"count"`
}

// Key is the topic key of the record.
func (u Upload) Key() []byte { return []byte(string(u.Authority) + "/" + u.UploadID) }

// Parcel is a sealed part of what a file needs again within some days
// (cpis.parcel.v1): the file itself while it waits for a second person, what
// stood before it, what a full snapshot held.
type Parcel struct {
	Authority AuthorityCode `avro:"authority"`
	UploadID  string        `avro:"upload_id"`
	Kind      string        `avro:"kind"`
	Part      int64         `avro:"part"`
	Sealed    []byte        `avro:"sealed"`
}

// Update is what a local authority streams (cpis.update.v1): JSON Lines,
// encrypted for the broker and signed by the authority.
type Update struct {
	Authority AuthorityCode `avro:"authority"`
	UpdateID  string        `avro:"update_id"` // the authority's own
	Sealed    []byte        `avro:"sealed"`
	Signature []byte        `avro:"signature"`
}

// UpdateVerdict answers an Update (cpis.verdict.v1).
type UpdateVerdict struct {
	Authority AuthorityCode   `avro:"authority"`
	UpdateID  string          `avro:"update_id"`
	At        time.Time       `avro:"at"`
	FileCode  string          `avro:"file_code"`
	Code      Code            `avro:"code"` // why the whole was refused
	UploadID  string          `avro:"upload_id"`
	Verdicts  []RecordVerdict `avro:"verdicts"`
}

// RecordVerdict is the answer to one record of an Update.
type RecordVerdict struct {
	Row     int64  `avro:"row" json:"row"`
	Code    string `avro:"code" json:"code"`
	Outcome string `avro:"outcome" json:"outcome"`
	Detail  Code   `avro:"detail" json:"detail,omitempty"`
	Field   string `avro:"field" json:"field,omitempty"`
	Reason  string `avro:"reason" json:"reason,omitempty"`
}
