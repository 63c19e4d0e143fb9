package schemas

import "strings"

// SubjectRef stands for one NHS number: a keyed pseudonym with the id of the
// key in front. Without the key nobody can tell whose it is, and the same
// person has the same one everywhere, so it orders and joins.
type SubjectRef string

// Valid reports whether it has the shape of a pseudonym: eight hex digits of the key's
// id, a dash, and 32 of the pseudonym.
func (s SubjectRef) Valid() bool {
	return len(s) == 8+1+32 && s[8] == '-' && strings.IndexFunc(string(s[:8])+string(s[9:]), func(r rune) bool { return !strings.ContainsRune("0123456789abcdef", r) }) < 0
}
