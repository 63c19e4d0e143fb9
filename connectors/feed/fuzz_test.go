package feed

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"cpis/connectors/adt"
	"cpis/connectors/mllp"
)

// FuzzIntake gives any bytes to the frames, and what they hold to the feeds.
// Whatever comes: as many answers yes as messages taken or recognised, none for
// a torn frame, and no message taken holds a frame mark or was not sent as it
// is.
func FuzzIntake(f *testing.F) {
	for _, s := range adt.CodeSamples() {
		if len(s.Message) < 10<<10 {
			f.Add([]byte(s.Message))
		}
	}
	f.Add([]byte(frame(a04("1")) + vt + a04("2")[:90] + frame(a04("3"))))
	profile := ed()
	profile.Application, profile.Facility = "*", "*"
	f.Fuzz(func(t *testing.T, stream []byte) {
		b := newBooks()
		feeds := newFeeds(b, profile)
		yes := int64(0)
		for _, in := range mllp.Split(stream, 8<<10) {
			answers, err := feeds.Handle(context.Background(), mllp.Peer{}, in)
			if err != nil {
				t.Fatal(err)
			}
			for _, a := range answers {
				if bytes.ContainsAny(a, "\x0b\x1c") {
					t.Errorf("an answer holds a frame mark: %q", a)
				}
				for _, m := range splitAnswer(string(a)) {
					if len(m) > 3 && strings.Contains(m, "\rMSA"+m[3:4]+"AA"+m[3:4]) {
						yes++
					}
				}
			}
			if in.Fault != nil && len(b.refused) == 0 {
				t.Error("a fault is not kept")
			}
		}
		if got := feeds.Stats().Accepted; got != yes {
			t.Errorf("%d messages taken, %d answered yes", got, yes)
		}
		for _, raw := range b.bytes {
			if bytes.ContainsAny(raw, "\x0b\x1c") || !bytes.Contains(stream, raw) {
				t.Errorf("%q was not sent in one frame", raw)
			}
		}
	})
}
