package schemas

// SubjectRef stands for one NHS number: a keyed pseudonym with the id of the
// key in front. Without the key nobody can tell whose it is, and the same
// person has the same one everywhere, so it orders and joins.
type SubjectRef string
