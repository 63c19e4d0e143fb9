// Package embedded lets the whole child protection information system run as one program on one computer, with
// nothing else to install: it carries its own message queue, its own list of message formats and its own cache.
//
// The three parts answer on loopback TCP and speak the real protocols (Kafka, the Confluent schema registry's REST
// interface, Redis), so the rest of the program cannot tell them from the real services and runs the same code.
// The Kafka part is franz-go's kfake, the Redis part is miniredis, the registry is this package's own. None of them
// asks who is calling, which is why an address that is not loopback is refused.
//
// # What is kept
//
// With Config.Dir set, records, topics and schemas are on disk and fsynced before they are acknowledged. Offsets of
// consumer groups survive kill -9 of the process; a power cut may take the last of them back, which repeats work, but
// never leaves one beyond the records. Redis content is never kept: it is a cache, and the system rebuilds it. With Dir
// empty nothing is kept.
//
// # What kfake does, and what is done about it
//
// Read in kfake of 2026-09-18; each point has a test in this package or is a stated limit.
//
//   - A torn tail of a log segment is cut off at start. A torn tail of groups.log and pids.log is skipped but left
//     in place, so what is appended behind it would be lost at the next start: this package cuts it before kfake
//     opens the directory.
//   - A partition emptied by retention starts again at offset 0 after a restart, which would make consumer groups
//     skip or reread: the end offsets are recorded before retention runs and planted again before kfake opens.
//   - Compaction deletes the segments before it writes the new ones, so a crash in between would lose the topic.
//     It is never run on a data directory. A compacted topic keeps every version of a record there.
//   - Retention of seven days is applied to compacted topics too unless the broker default says otherwise: the
//     default here is "keep for ever", and only a topic's own retention.ms deletes. After a restart kfake applies no
//     retention at all until a topic is made or altered; here it runs at start and every Config.MaintainEvery.
//   - A write that fails (disk full) is answered with UNKNOWN_SERVER_ERROR, but the producer's sequence is taken as
//     used, so that the retry would be answered as a duplicate, with success, of a record that does not exist.
//     After the first failed write nothing more is accepted until a restart (Health says so), and the sequence
//     memory is thrown away.
//   - The producer's sequence memory is only written by an orderly stop. After a crash a producer that resends an
//     unanswered batch writes it twice; consumers tell the copies apart by event id.
//   - With its SyncWrites, fsync runs in the one goroutine that serves every client, twice a batch, and its result is
//     ignored. So it is left out: an answer to a producer waits outside of kfake until the segment is fsynced, many
//     answers to a round (disk), and after the first fsync that fails nothing more is accepted until a restart.
//   - A request with an unknown key crashes the process and a large length is allocated at once: the listener
//     checks both and closes the connection instead.
package embedded
