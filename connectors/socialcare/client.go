package socialcare

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"

	"cpis/connectors"
	"cpis/schemas"
)

// Client sends an authority's files to a broker. A *schemas.Refusal is the
// broker's answer that the whole cannot be used.
type Client struct {
	Server    string // address of the broker
	Authority schemas.AuthorityCode
	HTTP      *http.Client // default http.DefaultClient
}

// Send sends a file.
func (c Client) Send(ctx context.Context, r Request) (Result, error) {
	q := url.Values{}
	set := func(name, value string, is bool) {
		if is {
			q.Set(name, value)
		}
	}
	set("sequence", strconv.FormatInt(r.Sequence, 10), r.Sequence > 0)
	set("full", "true", r.Full)
	set("check", "true", r.Check)
	set("snapshot", r.Snapshot, r.Snapshot != "")
	set("by", r.By, r.By != "")
	var result Result
	err := c.Call(ctx, http.MethodPost, "indicators", q, r.Format, r.Body, &result)
	return result, err
}

// Call calls an operation of the authority's: what is its path behind the
// authority, into is filled from the answer.
func (c Client) Call(ctx context.Context, method, what string, query url.Values, format string, body io.Reader, into any) error {
	ctx, cancel := context.WithTimeout(ctx, uploadTime)
	defer cancel()
	address, err := url.JoinPath(c.Server, "v1", "authorities", string(c.Authority), what)
	if err != nil {
		return fmt.Errorf("ask the broker: %w", err)
	}
	if len(query) > 0 {
		address += "?" + query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, method, address, body)
	if err != nil {
		return fmt.Errorf("ask the broker: %w", err)
	}
	if format != "" {
		req.Header.Set("Content-Type", format)
	}
	req.Header.Set("Cpis-Client", "1")
	res, err := cmp.Or(c.HTTP, http.DefaultClient).Do(req)
	if err != nil {
		return fmt.Errorf("ask the broker: %w", err)
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(res.Body, MaxFile*4))
	if err != nil {
		return fmt.Errorf("read answer: %w", err)
	}
	if res.StatusCode >= http.StatusMultipleChoices {
		var p connectors.Problem
		if json.Unmarshal(text, &p) == nil && p.Code != "" {
			return &schemas.Refusal{Code: p.Code, Location: p.Where, Reason: p.Reason}
		}
		return fmt.Errorf("ask the broker: it answered %s", res.Status)
	}
	if err := json.NewDecoder(bytes.NewReader(text)).Decode(into); err != nil {
		return fmt.Errorf("read answer: %w", err)
	}
	return nil
}
