package socialcare

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"cpis/connectors"
	"cpis/schemas"
)

// Drop is a folder through which an authority exchanges files, in the manner of a
// MESH client:
//
//	in      the authority puts NAME.csv (.jsonl, .dat) there, and then NAME.ctl
//	out     the broker puts NAME.csv there, the same rows with code and
//	        what_to_do, and then NAME.ctl, which says what became of the whole
//	sent    files that were taken
//	failed  files that could not be used as a whole
//
// An answer to a notice is ANSWER_ID.json and ANSWER_ID.ctl in the inbox, where ID
// is the notice's.
//
// A control file is written last and says that its data file is whole. The digits
// at the end of NAME are the sequence number. The folder belongs to the authority:
// the broker never empties sent, failed or out. One process watches a folder.
type Drop struct {
	service   *Service
	authority schemas.AuthorityCode
	folder    string
	log       *slog.Logger
	answer    func(ctx context.Context, noticeID string, text []byte) error
}

// Folders of a drop.
const (
	dropIn     = "in"
	dropOut    = "out"
	dropSent   = "sent"
	dropFailed = "failed"
)

const (
	dropPause  = 2 * time.Second
	maxControl = 64 << 10 // bytes
)

// Control is a control file: the elements of a MESH control file that matter here.
type Control struct {
	XMLName     xml.Name `xml:"DTSControl"`
	Version     string   `xml:"Version"`
	AddressType string   `xml:"AddressType"`
	MessageType string   `xml:"MessageType"`
	From        string   `xml:"From_DTS,omitempty"`
	To          string   `xml:"To_DTS,omitempty"`
	Subject     string   `xml:"Subject,omitempty"` // full: all plans there are. In answers, what became of the file.
	LocalID     string   `xml:"LocalId,omitempty"` // sequence number, if not in the name
	Status      *Status  `xml:"StatusRecord,omitempty"`
}

// Status is what became of a file.
type Status struct {
	Time   string `xml:"DateTime"`
	Event  string `xml:"Event"`      // TRANSFER
	Status string `xml:"Status"`     // SUCCESS or ERROR
	Code   string `xml:"StatusCode"` // CPF01 to CPF06, empty while the file waits
	Words  string `xml:"Description"`
}

// WatchDrop prepares a folder. answer takes an authority's answer to a notice; nil
// means that it is durable, and a *schemas.Refusal that it cannot be used.
func (s *Service) WatchDrop(code schemas.AuthorityCode, folder string, answer func(ctx context.Context, noticeID string, text []byte) error) (*Drop, error) {
	for _, sub := range []string{dropIn, dropOut, dropSent, dropFailed} {
		if err := os.MkdirAll(path.Join(folder, sub), 0o700); err != nil {
			return nil, fmt.Errorf("prepare drop folder: %w", err)
		}
	}
	return &Drop{s, code, folder, s.log.With("authority", string(code)), answer}, nil
}

// Run looks into the folder until ctx ends.
func (d *Drop) Run(ctx context.Context) error {
	tick := time.NewTicker(dropPause)
	defer tick.Stop()
	for {
		if err := d.Scan(ctx); err != nil && ctx.Err() == nil {
			d.log.Warn("the drop folder could not be worked through, trying again", "error", err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// Scan takes every file that is there, in the order of their numbers. A file that
// cannot be taken just now stays, and those after it wait for it.
func (d *Drop) Scan(ctx context.Context) error {
	root, err := os.OpenRoot(d.folder) // whatever a name says, nothing outside is touched
	if err != nil {
		return fmt.Errorf("open drop folder: %w", err)
	}
	defer func() { _ = root.Close() }()
	entries, err := fs.ReadDir(root.FS(), dropIn)
	if err != nil {
		return fmt.Errorf("read drop folder: %w", err)
	}
	data := map[string]string{} // data files by stem
	var stems []string
	for _, e := range entries {
		stem, ext := split(e.Name())
		switch {
		case !e.Type().IsRegular():
		case ext == ".ctl":
			stems = append(stems, stem)
		case slices.Contains([]string{".csv", ".jsonl", ".ndjson", ".dat", ".json"}, ext):
			data[stem] = e.Name()
		}
	}
	slices.SortFunc(stems, func(a, b string) int {
		if d := sequenceOf(a) - sequenceOf(b); d != 0 {
			return int(max(min(d, 1), -1))
		}
		return strings.Compare(a, b)
	})
	for _, stem := range stems {
		if data[stem] == "" {
			continue // its data file is still to come
		}
		if err := d.take(ctx, root, stem, data[stem]); err != nil {
			return fmt.Errorf("take a file: %w", err)
		}
	}
	return nil
}

func split(name string) (stem, ext string) {
	ext = strings.ToLower(path.Ext(name))
	return name[:len(name)-len(ext)], ext
}

// sequenceOf is the number at the end of a name, 0 for none.
func sequenceOf(stem string) int64 {
	n, _ := strconv.ParseInt(stem[len(strings.TrimRight(stem, "0123456789")):], 10, 64)
	return n
}

// take takes one file and answers it. An error means that the file stays.
func (d *Drop) take(ctx context.Context, root *os.Root, stem, data string) error {
	control, err := readAll(root, path.Join(dropIn, stem+".ctl"), maxControl)
	if err != nil {
		return err
	}
	text, err := readAll(root, path.Join(dropIn, data), MaxFile+1)
	if err != nil {
		return err
	}
	r := Request{Authority: d.authority, Format: FormatOf(text), Body: bytes.NewReader(text), Sequence: sequenceOf(stem), By: "drop folder"}
	answer := Control{Version: "1.0", AddressType: "DTS", MessageType: "Report", LocalID: strconv.FormatInt(r.Sequence, 10),
		Status: &Status{Time: d.service.config.Now().UTC().Format("20060102150405"), Event: "TRANSFER", Status: "SUCCESS"}}
	var result Result
	id, answers := strings.CutPrefix(stem, "ANSWER_")
	if answers {
		r.Sequence, answer.LocalID = 0, ""
		err = d.answer(ctx, id, text)
	} else {
		result, err = d.ask(ctx, r, control)
	}
	to := dropSent
	var refusal *schemas.Refusal
	switch {
	case errors.As(err, &refusal):
		to = dropFailed
		e, _ := schemas.Explain(string(refusal.Code))
		answer.Status.Status, answer.Status.Code, answer.Status.Words = "ERROR", fileCorrupt, fmt.Sprintf("%s %s. %s", refusal, e.Title, e.Fix)
		if refusal.Code == "CPIS-L035" {
			answer.Status.Code = fileUnsupported
		}
	case err != nil:
		return err
	case answers:
		answer.Status.Words = "the answer is on its way to the care setting"
	default:
		answer.Status.Code, answer.Status.Words = result.FileCode, result.FileWords
		answer.Subject = fmt.Sprintf("%d received, %d accepted, %d unchanged, %d refused", result.Received, result.Accepted, result.Unchanged+result.Superseded, result.Refused)
		var back bytes.Buffer
		if err := Annotate(&back, r.Format, text, result.Verdicts); err != nil {
			return err
		}
		if err := connectors.WriteWhole(root, path.Join(dropOut, data), back.Bytes()); err != nil {
			return err
		}
	}
	report, err := xml.MarshalIndent(answer, "", "  ")
	if err != nil {
		return fmt.Errorf("write answer: %w", err)
	}
	if err := connectors.WriteWhole(root, path.Join(dropOut, stem+".ctl"), append([]byte(xml.Header), report...)); err != nil {
		return err
	}
	// The control file goes first: without it the data file is not taken again.
	for _, name := range []string{stem + ".ctl", data} {
		if err := root.Rename(path.Join(dropIn, name), path.Join(to, name)); err != nil {
			return fmt.Errorf("move a file: %w", err)
		}
	}
	return nil
}

// ask reads the control file and takes the data file.
func (d *Drop) ask(ctx context.Context, r Request, control []byte) (Result, error) {
	var c Control
	if err := xml.Unmarshal(control, &c); err != nil {
		return Result{}, &schemas.Refusal{Code: "CPIS-L020", Location: "control file", Reason: "not a control file"}
	}
	if c.Version != "" && c.Version != "1.0" {
		return Result{}, &schemas.Refusal{Code: "CPIS-L035", Location: "control file", Reason: "want version 1.0"}
	}
	if r.Sequence == 0 && c.LocalID != "" {
		n, err := strconv.ParseInt(strings.TrimSpace(c.LocalID), 10, 64)
		if err != nil || n < 1 {
			return Result{}, &schemas.Refusal{Code: "CPIS-L020", Location: "control file", Reason: "LocalId is not a number"}
		}
		r.Sequence = n
	}
	r.Full = strings.EqualFold(strings.TrimSpace(c.Subject), "full")
	return d.service.Take(ctx, r)
}

func readAll(root *os.Root, name string, limit int64) ([]byte, error) {
	f, err := root.Open(name)
	if err != nil {
		return nil, fmt.Errorf("read drop folder: %w", err)
	}
	defer func() { _ = f.Close() }()
	text, err := io.ReadAll(io.LimitReader(f, limit))
	if err != nil {
		return nil, fmt.Errorf("read drop folder: %w", err)
	}
	return text, nil
}
