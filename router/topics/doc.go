// Package topics is the broker's memory of what was registered, shared and
// answered: the Kafka topics, and the only code that speaks to Kafka.
//
// It stands on segmentio/kafka-go's low-level client. The package's Reader and
// Writer are not used anywhere: the Reader checks no CRC and hands out control
// records, the Writer's zero value waits for no acknowledgement and its
// retries duplicate. In their place are an idempotent Producer, a Fetch that
// verifies what it reads, and groups whose offsets are committed inside the
// generation that owns them.
//
// Everything the broker needs of Kafka is in this package's exported names, so
// that another client could take its place in one folder.
package topics
