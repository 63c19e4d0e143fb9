package hl7

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// MaxBatch is how many messages one batch may hold.
const MaxBatch = 500

// Batch is what stands in one frame that begins with FHS or BHS:
//
//	FHS|…            may be missing, with its FTS
//	BHS|…
//	MSH|… PID|… …    a message
//	MSH|… PID|… …    another
//	BTS|2
//	FTS|1
//
// Each message has its own separators and gets its own verdict; one that
// cannot be read takes no other with it.
type Batch struct {
	Messages [][]byte
	// Declared is how many messages BTS-1 says there are, summed; -1 where it
	// does not say. Some senders count wrong, so a difference is only noticed.
	Declared int

	file, batch []byte // the first FHS and BHS lines
}

// SplitBatch finds the messages of a batch; ok is false where the bytes are no
// batch. Errors are *Error.
func SplitBatch(raw []byte) (b *Batch, ok bool, err error) {
	body := trimStart(raw)
	if !bytes.HasPrefix(body, []byte("FHS")) && !bytes.HasPrefix(body, []byte("BHS")) {
		return nil, false, nil
	}
	if len(raw) > MaxMessage {
		return nil, true, &Error{"CPIS-H003", "BHS", fmt.Sprintf("%d bytes, at most %d", len(raw), MaxMessage)}
	}
	b = &Batch{Declared: -1}
	start := -1 // of the message that the line belongs to
	end := func(at int) {
		if start >= 0 {
			b.Messages = append(b.Messages, body[start:at])
		}
		start = -1
	}
	for at := 0; at < len(body); {
		line := firstLine(body[at:])
		switch name := string(bytes.ToUpper(line[:min(3, len(line))])); name {
		case "FHS", "BHS", "BTS", "FTS":
			end(at)
			if err := b.frame(name, line); err != nil {
				return nil, true, err
			}
		case "MSH":
			end(at)
			start = at
		default:
			if start < 0 && len(bytes.TrimSpace(line)) > 0 {
				return nil, true, &Error{"CPIS-H017", "BHS", "a line of the batch belongs to no message"}
			}
		}
		at += len(line) + 1
	}
	end(len(body))
	if n := len(b.Messages); n == 0 || n > MaxBatch {
		return nil, true, &Error{"CPIS-H017", "BHS", fmt.Sprintf("the batch holds %d messages, want 1 to %d", n, MaxBatch)}
	}
	return b, true, nil
}

// frame notes a header or trailer line.
func (b *Batch) frame(name string, line []byte) error {
	sep, err := separators(line[3:])
	switch name {
	case "FHS", "BHS":
		if err != nil {
			return &Error{"CPIS-H017", name + "-2", "the separators of the batch cannot be read"}
		}
		if name == "FHS" && b.file == nil {
			b.file = line
		} else if name == "BHS" && b.batch == nil {
			b.batch = line
		}
	case "BTS": // the separators are those of BHS, whose first one is at hand
		count := nth(string(line[3:]), fieldMark(line, sep), 2)
		if n, err := strconv.Atoi(strings.TrimSpace(count)); err == nil {
			b.Declared = max(b.Declared, 0) + n
		}
	}
	return nil
}

func fieldMark(line []byte, sep Separators) byte {
	if len(line) > 3 {
		return line[3]
	}
	return sep.Field
}

// Mismatch reports that the batch counts itself differently.
func (b *Batch) Mismatch() bool { return b.Declared >= 0 && b.Declared != len(b.Messages) }

// Ack answers a batch with the answers to its messages, in their order, as one
// batch. Its header has the sender's and receiver's names swapped, and names
// the batch it answers.
func (b *Batch) Ack(answers [][]byte, controlID string, now time.Time) []byte {
	var out bytes.Buffer
	for _, header := range [][]byte{b.file, b.batch} {
		if header != nil {
			out.Write(swapped(header, controlID, now))
			out.WriteByte('\r')
		}
	}
	for _, a := range answers {
		out.Write(a)
	}
	for i, trailer := range []string{"BTS", "FTS"} {
		header := [][]byte{b.batch, b.file}[i]
		if header != nil {
			fmt.Fprintf(&out, "%s%c%d\r", trailer, header[3], []int{len(answers), 1}[i])
		}
	}
	return out.Bytes()
}

// swapped is the header of the answer to FHS or BHS: 3 and 4 change places with
// 5 and 6, 7 is now, 11 is the answer's own id and 12 the id answered.
func swapped(header []byte, controlID string, now time.Time) []byte {
	sep := header[3:4]
	f := bytes.Split(header, sep)
	field := func(n int) []byte { // counted as the standard does: field 1 is the separator
		if n-1 < len(f) {
			return f[n-1]
		}
		return nil
	}
	out := [][]byte{header[:3], field(2), field(5), field(6), field(3), field(4), []byte(now.Format(ackTime)), nil, nil, nil, []byte(controlID), field(11)}
	return bytes.Join(out, sep)
}
