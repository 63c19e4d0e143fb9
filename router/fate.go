package router

import (
	"errors"

	"cpis/connectors"
	"cpis/schemas"
)

// fate is what becomes of a record after its handler has returned.
type fate int

const (
	done  fate = iota // finished
	dead              // can never be finished: to the dead letters
	again             // not finished yet: try again, keeping its key's order
	anew              // not known whether finished: open the partition anew, which finds out
)

// fateOf reads the sentinels. Nothing else in the broker does.
func fateOf(err error) (fate, schemas.Code) {
	switch {
	case err == nil:
		return done, ""
	case errors.Is(err, schemas.ErrSealed):
		return dead, "CPIS-K002"
	case errors.Is(err, schemas.ErrInvalid):
		return dead, "CPIS-K001"
	case errors.Is(err, connectors.ErrRefused):
		return dead, "CPIS-K004"
	case errors.Is(err, errReadBack):
		return anew, ""
	}
	return again, ""
}
