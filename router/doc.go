// Package router carries each registration to its answer and each answer to
// the people who wait for it, and proves that none was lost on the way.
//
//	cpis.registration.v1 ─▶ Decide ─▶ cpis.audit.v1, then cpis.outcome.v1 and cpis.notice.v1
//	cpis.outcome.v1      ─▶ Deliver ─▶ the care setting
//	anything unreadable  ─▶ DeadLetters ─▶ cpis.deadletter.v1
//
// A Stage reads one topic. Within a partition it keeps the order of records
// that share a key, and lets the others pass one that has to wait. What becomes
// of a record is decided by the error its handler returns, in one place (fate).
// An offset is committed only when everything before it is finished, so a crash
// repeats work and never skips it; ids derived from content make the repeat
// harmless.
package router
