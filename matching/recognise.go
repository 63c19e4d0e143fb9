package matching

import (
	"cpis/matching/weigh"
)

// Identity is whom a registration seems to be about.
type Identity int

const (
	// Unknown: too little is known to tell. It is the zero value.
	Unknown Identity = iota
	// Certain: the verified number is held, and the descriptions agree.
	Certain
	// Crossed: the number is held and its descriptions are another's, or it is
	// not held and somebody held under another number fits for certain.
	Crossed
	// Unlisted: the number is held by nobody, and nobody fits.
	Unlisted
	// Fits: without a number, somebody fits as far as descriptions can tell.
	Fits
	// MayFit: without a number, somebody may fit.
	MayFit
	// NoFit: without a number, and nobody fits.
	NoFit
)

// Recognition is whom a registration seems to be about, and why.
type Recognition struct {
	Identity Identity
	weigh.Verdict
}

// ByNumber recognises somebody by a verified number. held are the descriptions
// under which the number is held, none where it is not; then others are people
// held under other numbers, who share something with the one registered.
//
// A verified number that nobody holds is no proof that nobody means this child:
// the authority may hold the number that was merged into it, or the number may
// have been picked from a list. Where somebody else's description fits beyond
// doubt, that is said; and "none" is not.
func ByNumber(s *weigh.Scale, asked []weigh.Record, held, others []weigh.Candidate) Recognition {
	for i, h := range held {
		if Disagree(h.Records, asked) {
			return Recognition{Crossed, weigh.Verdict{Best: i}}
		}
	}
	if len(held) > 0 {
		return Recognition{Certain, weigh.Verdict{Best: 0}}
	}
	r := Recognition{Unlisted, s.Judge(asked, others)}
	if r.Finding == weigh.Confirmed {
		r.Identity = Crossed
	}
	return r
}

// ByDescription recognises somebody without a number among those who share
// something with them.
func ByDescription(s *weigh.Scale, asked []weigh.Record, found []weigh.Candidate) Recognition {
	r := Recognition{Verdict: s.Judge(asked, found)}
	switch r.Finding {
	case weigh.Confirmed:
		r.Identity = Fits
	case weigh.Possibly:
		r.Identity = MayFit
	case weigh.Nobody:
		r.Identity = NoFit
	}
	return r
}
