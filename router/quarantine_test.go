package router

import (
	"bytes"
	"context"
	"testing"

	"cpis/schemas"
)

// TestQuarantineKeepsEveryByte: of short inputs and of the longest that a
// listener takes, also where a sender sent it twice.
func TestQuarantineKeepsEveryByte(t *testing.T) {
	b := newBench(t, 1)
	ctx := context.Background()
	inputs := [][]byte{{}, []byte("MSH|"), bytes.Repeat([]byte("x"), quarantinePart), bytes.Repeat([]byte("yz"), 1<<19), bytes.Repeat([]byte("yz"), 1<<19)}
	for _, raw := range inputs {
		if err := b.dead.Quarantine(ctx, Refused{Origin: OriginMLLP, Feed: "ed", Refusal: schemas.Refusal{Code: "CPIS-H003"}, Raw: raw}); err != nil {
			t.Fatal(err)
		}
	}
	letters, err := b.dead.List(ctx)
	if err != nil || len(letters) != len(inputs) {
		t.Fatalf("%d letters, %v", len(letters), err)
	}
	for i, l := range letters {
		if _, raw, err := b.dead.Quarantined(ctx, l); err != nil || !bytes.Equal(raw, inputs[i]) {
			t.Errorf("input %d: %d bytes of %d, %v", i, len(raw), len(inputs[i]), err)
		}
	}
	torn := letters[3]
	torn.parts = torn.parts[:len(torn.parts)-1] // as a crash between two parts leaves it
	if _, raw, err := b.dead.Quarantined(ctx, torn); err == nil {
		t.Errorf("%d of %d bytes were opened as the whole", len(raw), len(inputs[3]))
	}
}
