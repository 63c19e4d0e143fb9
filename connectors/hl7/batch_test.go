package hl7

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"
)

const batchHead = "FHS|^~\\&|PAS|RXX|CPIS|HUB|20261124||||F7\rBHS|^~\\&|PAS|RXX|CPIS|HUB|20261124||||B7\r"

func TestBatch(t *testing.T) {
	one, two := "MSH|^~\\&|a\rPID|1\r", "MSH#:~\\&#b\nPID#1\n"
	b, ok, err := SplitBatch([]byte("\r\n" + batchHead + one + two + "BTS|2\rFTS|1\r"))
	if err != nil || !ok || len(b.Messages) != 2 || string(b.Messages[0]) != one || string(b.Messages[1]) != two || b.Mismatch() {
		t.Fatalf("%+v %v %v", b, ok, err)
	}
	got := string(b.Ack([][]byte{[]byte("MSH|A\r"), []byte("MSH|B\r")}, "X1", time.Date(2026, 11, 24, 10, 0, 0, 0, time.UTC)))
	want := "FHS|^~\\&|CPIS|HUB|PAS|RXX|20261124100000+0000||||X1|F7\rBHS|^~\\&|CPIS|HUB|PAS|RXX|20261124100000+0000||||X1|B7\rMSH|A\rMSH|B\rBTS|2\rFTS|1\r"
	if got != want {
		t.Errorf("answer %q", got)
	}
	b, _, err = SplitBatch([]byte("BHS|^~\\&|PAS\r" + one + "BTS|5\r"))
	if err != nil || !b.Mismatch() {
		t.Errorf("a wrong count is not noticed: %+v %v", b, err)
	}
	if got := string(b.Ack([][]byte{[]byte("MSH|A\r")}, "X", time.Time{})); !strings.HasSuffix(got, "MSH|A\rBTS|1\r") || strings.Contains(got, "FHS") {
		t.Errorf("answer without a file: %q", got)
	}
	if _, ok, _ := SplitBatch([]byte(one)); ok {
		t.Error("a message is taken for a batch")
	}
}

func TestBatchRefusals(t *testing.T) {
	for name, text := range map[string]string{
		"empty": batchHead, "no separators": "BHS\rMSH|^~\\&|\r", "letters": "BHS|abcd\rMSH|^~\\&|\r", "a line of nobody": batchHead + "PID|1\rMSH|^~\\&|\r",
		"too many": batchHead + strings.Repeat("MSH|^~\\&|\r", MaxBatch+1),
	} {
		_, ok, err := SplitBatch([]byte(text))
		var e *Error
		if !ok || !errors.As(err, &e) || e.Code != "CPIS-H017" {
			t.Errorf("%s: %v %v", name, ok, err)
		}
	}
}

func FuzzBatch(f *testing.F) {
	f.Add([]byte(batchHead + "MSH|^~\\&|a\rPID|1\rMSH|^~\\&|b\rBTS|2\rFTS|1\r"))
	f.Add([]byte("BHS|^~\\&\rMSH|\nBTS\rFTS|"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		b, ok, err := SplitBatch(raw)
		if !ok || err != nil {
			return
		}
		for _, m := range b.Messages {
			if !bytes.Contains(raw, m) || bytes.Count(bytes.ToUpper(m), []byte("\rMSH")) > 0 {
				t.Errorf("%q is not one message of the batch", m)
			}
		}
		b.Ack(b.Messages, "1", time.Time{})
	})
}
