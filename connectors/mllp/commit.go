package mllp

import (
	"errors"
	"fmt"
)

// Release 2 of MLLP puts a commit block before the answer: a frame of one byte
// that says whether the content is safe with the receiver.
//
//	VT 0x06 FS CR   it is safe: never send it again
//	VT 0x15 FS CR   it is not: send it again
//
// Both sides send them: the receiver for a message, the sender for the answer.
const (
	committed    = 0x06
	notCommitted = 0x15
)

// ErrNotCommitted is a message that a release 2 receiver could not make safe.
// It is to be sent again.
var ErrNotCommitted = errors.New("the receiver did not commit the message")

// errNoCommit is a receiver that does not speak release 2, or is out of step.
var errNoCommit = errors.New("the receiver answered without a commit block")

// commitBlock is whether a frame is a commit block, and which.
func (f Frame) commitBlock() (block byte, ok bool) {
	if f.Fault != nil || len(f.Message) != 1 {
		return 0, false
	}
	block = f.Message[0]
	return block, block == committed || block == notCommitted
}

// checkRelease takes what a configuration may say; 0 is release 1.
func checkRelease(release int) error {
	if release < 0 || release > 2 {
		return fmt.Errorf("mllp release %d: it is 1 or 2", release)
	}
	return nil
}
