package audit

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"

	"golang.org/x/mod/sumdb/tlog"
)

// tileHeight is that of the tiles handed out: 256 hashes.
const tileHeight = 8

// maxNote is the largest checkpoint taken.
const maxNote = 16 << 10

// listing is what GET /v1/audit answers.
type listing struct {
	Key  string  `json:"key"` // public key of the log
	Logs []State `json:"logs"`
}

// Routes are what a witness asks: heads and hashes, which say nothing of anybody.
func (n *Notary) Routes() map[string]http.HandlerFunc {
	return map[string]http.HandlerFunc{
		"GET /v1/audit":                      n.list,
		"GET /v1/audit/{log}/checkpoint":     n.answer(func(l *logState) string { return l.head.Note }),
		"GET /v1/audit/{log}/cosigned":       n.answer(func(l *logState) string { return l.cosigned.Note }),
		"GET /v1/audit/{log}/tile/{path...}": n.tile,
		"POST /v1/audit/{log}/cosignature":   n.cosignature,
	}
}

func (n *Notary) list(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(listing{n.Key.Public, n.States()})
}

func (n *Notary) of(r *http.Request) *logState {
	p, err := strconv.Atoi(r.PathValue("log"))
	if err != nil {
		return nil
	}
	return n.log(p)
}

func (n *Notary) answer(which func(*logState) string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		l := n.of(r)
		if l == nil {
			http.NotFound(w, r)
			return
		}
		n.mu.Lock()
		text := which(l)
		n.mu.Unlock()
		if text == "" {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("Cache-Control", "no-store")
		_, _ = io.WriteString(w, text)
	}
}

// tile answers with a tile of the signed tree; its path is as tlog.Tile.Path has it.
func (n *Notary) tile(w http.ResponseWriter, r *http.Request) {
	l := n.of(r)
	t, err := tlog.ParseTilePath("tile/" + r.PathValue("path"))
	if l == nil || err != nil || t.H != tileHeight || t.L < 0 {
		http.NotFound(w, r)
		return
	}
	n.mu.Lock()
	size := l.head.Size
	n.mu.Unlock()
	if last := (t.N<<tileHeight + int64(t.W)) << (tileHeight * t.L); t.N >= size || last > size {
		http.NotFound(w, r)
		return
	}
	data, err := tlog.ReadTileData(t, flushedReader{l.tree.file})
	if err != nil {
		http.Error(w, "the tile cannot be read", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	_, _ = w.Write(data)
}

func (n *Notary) cosignature(w http.ResponseWriter, r *http.Request) {
	p, err := strconv.Atoi(r.PathValue("log"))
	if err != nil {
		http.NotFound(w, r)
		return
	}
	text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxNote))
	if err != nil {
		http.Error(w, "the checkpoint is too long", http.StatusRequestEntityTooLarge)
		return
	}
	switch err := n.Cosign(r.Context(), p, string(text)); {
	case errors.Is(err, ErrNotOurs):
		http.Error(w, err.Error(), http.StatusForbidden)
	case err != nil:
		http.Error(w, "the signature cannot be kept now", http.StatusServiceUnavailable)
	default:
		w.WriteHeader(http.StatusNoContent)
	}
}
