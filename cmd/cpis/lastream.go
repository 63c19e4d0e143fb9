package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"cpis/connectors/socialcare"
	"cpis/router"
	"cpis/router/topics"
	"cpis/schemas"
)

func (l *laShell) keygen() *cobra.Command {
	return &cobra.Command{
		Use: "keygen FOLDER", Short: "Make the keys that an authority signs its stream with", Args: usage(cobra.ExactArgs(1)),
		Long: `Makes two files in the folder: signing.json, which the authority keeps to itself,
and signing.pub.json, which the broker's operator names as stream_key.`,
		RunE: func(_ *cobra.Command, args []string) error {
			private, public, err := schemas.NewSigningKeys()
			if err != nil {
				return err
			}
			if err := os.MkdirAll(args[0], 0o700); err != nil {
				return fmt.Errorf("make keys: %w", err)
			}
			for name, text := range map[string][]byte{"signing.json": private, "signing.pub.json": public} {
				f, err := os.OpenFile(filepath.Join(args[0], name), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600) // never over a key that is there
				if err != nil {
					return fmt.Errorf("make keys: %w", err)
				}
				_, err = f.Write(text)
				if err = errors.Join(err, f.Close()); err != nil {
					return fmt.Errorf("make keys: %w", err)
				}
				fmt.Fprintln(l.out, f.Name())
			}
			return nil
		},
	}
}

// streamBatch is how many records go in one update.
const streamBatch = 100

// streamWait bounds how long a stream waits for its verdicts.
const streamWait = time.Minute

func (l *laShell) stream() *cobra.Command {
	var key string
	c := &cobra.Command{
		Use: "stream FILE", Short: "Send JSON Lines as signed, encrypted Avro on Kafka, and print a verdict per record", Args: usage(cobra.ExactArgs(1)),
		Long: `Writes the records to cpis.update.v1, up to a hundred in an update, encrypted for
the broker and signed by the authority, and waits for the verdicts on
cpis.verdict.v1. The file - is standard input. It shows what a case system has to
do that writes to the topic itself.`,
		Example: "  cpis la keygen keys\n  cpis la stream plans.jsonl --authority E09000019 --key keys/signing.json",
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			client, err := l.client()
			if err != nil {
				return err
			}
			signing, err := os.ReadFile(key)
			if err != nil {
				return exit{exitUsage, fmt.Errorf("--key: %w", err)}
			}
			broker, err := brokerKey(cmd.Context(), client)
			if err != nil {
				return err
			}
			sealer, err := schemas.NewUpdateSealer(client.Authority, broker, signing)
			if err != nil {
				return err
			}
			in := l.in
			if args[0] != "-" {
				f, err := os.Open(args[0])
				if err != nil {
					return fmt.Errorf("read file: %w", err)
				}
				defer func() { _ = f.Close() }()
				in = f
			}
			t, done, err := l.reach(cmd.Context())
			if err != nil {
				return err
			}
			defer done()
			return l.streamed(cmd.Context(), t, client.Authority, sealer, in)
		},
	}
	c.Flags().StringVar(&key, "key", "signing.json", "file with the authority's signing keys (cpis la keygen)")
	return c
}

// brokerKey fetches the key that updates are encrypted with.
func brokerKey(ctx context.Context, client socialcare.Client) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, client.Server+"/v1/keys/updates", nil)
	if err != nil {
		return nil, fmt.Errorf("fetch the broker's key: %w", err)
	}
	res, err := cmp.Or(client.HTTP, http.DefaultClient).Do(req)
	if err != nil {
		return nil, fmt.Errorf("fetch the broker's key: %w", err)
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("fetch the broker's key: it answered %s", res.Status)
	}
	return io.ReadAll(io.LimitReader(res.Body, 64<<10))
}

// streamed sends the records of a reader and prints their verdicts.
func (l *laShell) streamed(ctx context.Context, t *tools, code schemas.AuthorityCode, sealer *schemas.UpdateSealer, in io.Reader) error {
	next, err := t.client.Ends(ctx, schemas.TopicVerdict)
	if err != nil {
		return err
	}
	publish := &router.Publisher{Codec: t.codec, Log: t.producer, Now: time.Now}
	first := map[string]int{} // line before the first of each update
	line := 0
	scan := bufio.NewScanner(in)
	scan.Buffer(make([]byte, 0, 4096), 64<<10)
	for open := true; open; {
		var records bytes.Buffer
		from := line
		for line-from < streamBatch {
			if open = scan.Scan(); !open {
				break
			}
			records.Write(scan.Bytes())
			records.WriteByte('\n')
			line++
		}
		if records.Len() == 0 {
			break
		}
		u, err := sealer.Seal(records.Bytes())
		if err != nil {
			return err
		}
		r, err := publish.State(schemas.TopicUpdate, []byte(code), u.UpdateID, u)
		if err != nil {
			return err
		}
		if err := t.producer.Produce(ctx, r); err != nil {
			return err
		}
		first[u.UpdateID] = from
	}
	if err := scan.Err(); err != nil {
		return fmt.Errorf("read records: %w", err)
	}
	return l.streamVerdicts(ctx, t, code, next, first)
}

// streamVerdicts prints the verdicts of updates until all are there.
func (l *laShell) streamVerdicts(ctx context.Context, t *tools, code schemas.AuthorityCode, next []int64, open map[string]int) error {
	ctx, cancel := context.WithTimeout(ctx, streamWait)
	defer cancel()
	p := topics.PartitionFor([]byte(code), len(next))
	enc := json.NewEncoder(l.out)
	refused, waits := 0, false
	for len(open) > 0 {
		b, err := t.client.Fetch(ctx, schemas.TopicVerdict, p, next[p], followWait, followBytes)
		if err != nil {
			if ctx.Err() != nil {
				return fmt.Errorf("%d updates are not answered yet; they are on the topic and will be", len(open))
			}
			return err
		}
		next[p] = b.Next
		for _, r := range b.Records {
			var v schemas.UpdateVerdict
			if err := t.codec.Decode(ctx, schemas.TopicVerdict, r.Value, &v); err != nil {
				return err
			}
			from, ours := open[v.UpdateID]
			if !ours || v.Authority != code {
				continue
			}
			delete(open, v.UpdateID)
			if v.Code != "" {
				waits = waits || v.Code == "CPIS-L031"
				if err := enc.Encode(map[string]any{"first_row": from + 1, "code": v.Code, "file_code": v.FileCode, "upload_id": v.UploadID}); err != nil {
					return err
				}
			}
			for _, rec := range v.Verdicts {
				if rec.Outcome == "refused" {
					refused++
				}
				rec.Row += int64(from)
				if err := enc.Encode(rec); err != nil {
					return err
				}
			}
			if v.Code != "" && len(v.Verdicts) == 0 {
				refused++
			}
		}
	}
	if refused > 0 || waits {
		return exit{exitRefused, errors.New("records were refused, or wait for a second person")}
	}
	return nil
}
