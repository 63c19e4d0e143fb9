package socialcare

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"cpis/schemas"
)

// Limits of a stream.
const (
	streamBatch = 500                    // records committed together
	streamPause = 100 * time.Millisecond // how long the first of them waits for more
	streamIdle  = 5 * time.Minute        // without a record
)

// stream answers records as they come. Records that arrive together are committed
// together: one round trip for many.
func (s *Service) stream(_ context.Context, in *Owner) (*huma.StreamResponse, error) {
	if err := in.check(); err != nil {
		return nil, err
	}
	if _, ok := s.store.Authority(in.Code); !ok {
		return nil, s.problem(&schemas.Refusal{Code: "CPIS-L022", Location: "authority", Reason: "its contacts are not loaded"})
	}
	return &huma.StreamResponse{Body: func(c huma.Context) {
		r, w := humago.Unwrap(c)
		control := http.NewResponseController(w)
		_ = control.EnableFullDuplex() // HTTP/2 always is
		w.Header().Set("Content-Type", JSONL)
		w.WriteHeader(http.StatusOK)
		_ = control.Flush()
		enc := json.NewEncoder(w)
		err := s.serveStream(r.Context(), in.Code, r.Body, control.SetReadDeadline, func(verdicts []Verdict) error {
			for _, v := range verdicts {
				if err := enc.Encode(v); err != nil {
					return err
				}
			}
			return control.Flush()
		})
		if err != nil { // where nobody listens any more, nobody is told
			_ = enc.Encode(s.problem(err))
			_ = control.Flush()
		}
	}}, nil
}

// line is a line of a stream, or its end.
type line struct {
	text []byte
	err  error
}

// serveStream reads lines, takes them in batches and hands out the verdicts. until
// sets by when the next line has to be there.
func (s *Service) serveStream(ctx context.Context, code schemas.AuthorityCode, in io.Reader, until func(time.Time) error, out func([]Verdict) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	lines := make(chan line, streamBatch)
	done := make(chan struct{})
	defer func() {
		cancel()
		_ = until(time.Now()) // ends the reader
		<-done
	}()
	go func() {
		defer close(done)
		defer close(lines)
		scan := bufio.NewScanner(in)
		scan.Buffer(make([]byte, 0, 4096), maxLine+1)
		for {
			if _ = until(time.Now().Add(streamIdle)); ctx.Err() != nil || !scan.Scan() {
				break
			}
			select {
			case lines <- line{text: bytes.Clone(scan.Bytes())}:
			case <-ctx.Done():
				return
			}
		}
		err := scan.Err()
		if errors.Is(err, bufio.ErrTooLong) {
			err = &schemas.Refusal{Code: "CPIS-L001", Location: "stream", Reason: "a line is too long"}
		}
		if err != nil {
			select {
			case lines <- line{err: err}:
			case <-ctx.Done():
			}
		}
	}()
	for from, open := 1, true; open; {
		var batch bytes.Buffer
		var failed error
		n := 0
		var pause <-chan time.Time
	gather:
		for n < streamBatch {
			select {
			case l, ok := <-lines:
				switch {
				case !ok:
					open = false
					break gather
				case l.err != nil:
					failed, open = l.err, false
					break gather
				}
				// What must not be shared ends the stream, and harms nothing before it.
				if failed = (&Row{Line: from + n, Raw: l.text, Fields: map[string]string{}}).parse(); failed != nil {
					open = false
					break gather
				}
				if pause == nil {
					pause = time.After(streamPause)
				}
				batch.Write(l.text)
				batch.WriteByte('\n')
				n++
			case <-pause:
				break gather
			}
		}
		if len(bytes.TrimSpace(batch.Bytes())) > 0 {
			result, err := s.Take(ctx, Request{Authority: code, Format: JSONL, Body: &batch, Stream: true})
			if err != nil {
				return err
			}
			for i := range result.Verdicts {
				result.Verdicts[i].Row += from - 1
			}
			if err := out(result.Verdicts); err != nil {
				return err
			}
		}
		if from += n; failed != nil {
			return failed
		}
	}
	return nil
}
