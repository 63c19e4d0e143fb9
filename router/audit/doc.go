// Package audit makes the audit topic a history that nobody can rewrite unseen.
//
// Each partition of cpis.audit.v1 is a log: the entry at place n is the record at
// offset n, so that any number of writers need no lock. Its entries are the leaves of
// a Merkle tree (RFC 6962, as golang.org/x/mod/sumdb/tlog has it). A Notary follows
// the topic and signs the head of the tree, at most a second or a thousand entries
// behind; a Witness, run by a local authority or a trust, holds each head against the
// one it saw before and signs it too. Whoever has a Copy and the public key finds any
// entry that was changed, dropped, moved, repeated or cut off, without asking anybody.
//
//	leaf       0x00 │ entry            node   0x01 │ left │ right
//	checkpoint origin ⏎ size ⏎ base64 root ⏎ ⏎ — name signature ⏎
package audit
