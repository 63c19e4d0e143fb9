package topics

import (
	"errors"
	"net"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol/rawproduce"
)

// verdict is what a broker's answer to a batch means.
type verdict int

const (
	accepted verdict = iota // appended, now or before
	refused                 // never will be
	lost                    // the broker does not know our sequence
	unsure                  // ask again
)

func judge(err error) verdict {
	var code kafka.Error
	switch {
	case err == nil, errors.Is(err, kafka.DuplicateSequenceNumber):
		return accepted
	case errors.Is(err, kafka.OutOfOrderSequenceNumber), errors.Is(err, kafka.UnknownProducerId),
		errors.Is(err, kafka.InvalidProducerEpoch), errors.Is(err, kafka.InvalidProducerIDMapping):
		return lost
	case errors.As(err, &code) && !code.Temporary() && !code.Timeout() && code > 0:
		return refused
	}
	return unsure
}

// definite reports whether an error says that nothing was appended: the broker
// answered so, or the request was never sent. A lost connection, a timeout and
// "not enough replicas after append" do not.
func definite(err error) bool {
	var route *rawproduce.Error
	var network *net.OpError
	if errors.As(err, &route) || errors.As(err, &network) && network.Op == "dial" {
		return true
	}
	var code kafka.Error
	if !errors.As(err, &code) {
		return false
	}
	switch code {
	case kafka.RequestTimedOut, kafka.NotEnoughReplicasAfterAppend, kafka.NetworkException, kafka.Unknown:
		return false
	}
	return true
}
