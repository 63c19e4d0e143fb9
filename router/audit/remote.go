package audit

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/tlog"
)

// Remote asks a broker about its audit log.
type Remote struct {
	Server string       // address of the broker
	HTTP   *http.Client // default http.DefaultClient
}

const (
	remoteTime  = 30 * time.Second
	maxListing  = 64 << 10
	maxTileSize = tlog.HashSize << tileHeight
)

var errAbsent = errors.New("the broker has no such thing")

func (r Remote) call(ctx context.Context, method string, body []byte, limit int64, path ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, remoteTime)
	defer cancel()
	address, err := url.JoinPath(r.Server, append([]string{"v1", "audit"}, path...)...)
	if err != nil {
		return nil, fmt.Errorf("ask the broker: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, method, address, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("ask the broker: %w", err)
	}
	res, err := cmp.Or(r.HTTP, http.DefaultClient).Do(req)
	if err != nil {
		return nil, fmt.Errorf("ask the broker: %w", err)
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(res.Body, limit))
	switch {
	case err != nil:
		return nil, fmt.Errorf("read answer: %w", err)
	case res.StatusCode == http.StatusNotFound:
		return nil, errAbsent
	case res.StatusCode >= http.StatusMultipleChoices:
		return nil, fmt.Errorf("ask the broker: it answered %s: %s", res.Status, strings.TrimSpace(string(text)))
	}
	return text, nil
}

// List says which logs there are, and the public key they are said to be signed with.
func (r Remote) List(ctx context.Context) (key string, logs []State, err error) {
	text, err := r.call(ctx, http.MethodGet, nil, maxListing)
	if err != nil {
		return "", nil, err
	}
	var l listing
	if err := json.Unmarshal(text, &l); err != nil {
		return "", nil, fmt.Errorf("read answer: %w", err)
	}
	return l.Key, l.Logs, nil
}

// Head asks for the newest head; it is zero where nothing was ever signed.
func (r Remote) Head(ctx context.Context, v Verifiers, partition int) (Head, error) {
	text, err := r.call(ctx, http.MethodGet, nil, maxNote, strconv.Itoa(partition), "checkpoint")
	if errors.Is(err, errAbsent) {
		return Head{Log: partition}, nil
	}
	if err != nil {
		return Head{}, err
	}
	return v.Open(partition, string(text))
}

// Hashes reads hashes of the tree of a head; what does not belong to it is an error.
func (r Remote) Hashes(ctx context.Context, h Head) tlog.HashReader {
	return tlog.TileHashReader(tlog.Tree{N: h.Size, Hash: h.Root}, tiles{ctx, r, h.Log})
}

// tiles fetches tiles of one log. It implements tlog.TileReader, whose methods have no
// context of their own.
type tiles struct {
	ctx context.Context
	Remote
	log int
}

func (t tiles) Height() int { return tileHeight }

func (t tiles) ReadTiles(list []tlog.Tile) ([][]byte, error) {
	out := make([][]byte, len(list))
	for i, tile := range list {
		data, err := t.call(t.ctx, http.MethodGet, nil, maxTileSize, strconv.Itoa(t.log), tile.Path())
		if err != nil {
			return nil, err
		}
		if len(data) != tile.W*tlog.HashSize {
			return nil, fmt.Errorf("read tile: %d bytes instead of %d", len(data), tile.W*tlog.HashSize)
		}
		out[i] = data
	}
	return out, nil
}

func (t tiles) SaveTiles([]tlog.Tile, [][]byte) {}
