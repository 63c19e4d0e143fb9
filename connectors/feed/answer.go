package feed

import (
	"crypto/rand"
	"time"

	"cpis/connectors/hl7"
)

// answers are the messages that tell a sender of a verdict, in its own mode.
func (f *Feeds) answers(v verdict) [][]byte {
	if v.code == "" {
		return nil
	}
	if v.profile == nil || v.profile.Answer.Mode != "enhanced" || v.msg == nil {
		return [][]byte{f.ack(v, v.code)}
	}
	accept, application := v.msg.Value("MSH-15"), v.msg.Value("MSH-16")
	if accept == "" && application == "" {
		return [][]byte{f.ack(v, v.code)}
	}
	var out [][]byte
	if wanted(accept, v.code) {
		out = append(out, f.ack(v, v.code.Accept()))
	}
	if wanted(application, v.code) {
		out = append(out, f.ack(v, v.code))
	}
	return out
}

// wanted reads a condition of table 0155: always, never, on errors, on success.
func wanted(condition string, code hl7.AckCode) bool {
	switch condition {
	case "", "NE":
		return false
	case "ER":
		return code != hl7.AA
	case "SU":
		return code == hl7.AA
	}
	return true
}

// ack renders one acknowledgement. That of a message that was taken depends on
// its receipt alone, so a copy of it gets the same bytes.
func (f *Feeds) ack(v verdict, code hl7.AckCode) []byte {
	o := hl7.AckOptions{Now: f.now()}
	if v.receipt.EventID != "" {
		o.Now, o.ControlID = v.receipt.At, v.receipt.EventID[:18]+string(code)
	}
	if v.code != hl7.AA {
		o.Error = v.err
	}
	if v.profile != nil {
		o.Now = o.Now.In(v.profile.Place())
	}
	if v.msg == nil {
		return hl7.AckRaw(v.raw, code, o)
	}
	return hl7.Ack(v.msg, code, o)
}

// batchAnswer answers a batch as the profile of its first message says: a
// batch of answers, or the answer to one message that speaks for all: the first
// that was not taken, if there is one.
func (f *Feeds) batchAnswer(b *hl7.Batch, verdicts []verdict) [][]byte {
	policy := ""
	spokesman := verdicts[0]
	for _, v := range verdicts {
		if policy == "" && v.profile != nil {
			policy = v.profile.Answer.Batch
		}
		if spokesman.code == hl7.AA && v.code != hl7.AA {
			spokesman = v
		}
	}
	if policy == "one" {
		return f.answers(spokesman)
	}
	var all [][]byte
	for _, v := range verdicts {
		all = append(all, f.answers(v)...)
	}
	return [][]byte{b.Ack(all, rand.Text()[:20], f.now().UTC().Truncate(time.Second))}
}
