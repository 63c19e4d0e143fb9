// Package schemas is the vocabulary of the broker: who was registered where,
// which plan a local authority has shared, what staff were told, and who was
// informed. Every other package speaks in these words.
//
// Each topic has one Avro schema (topics/*.avsc) and one Go record; the codec
// carries a record to bytes and back in the Confluent wire format. A person's
// details never travel in clear: they are sealed with an AEAD key (Sealer) and
// found again by a keyed pseudonym (SubjectRef). Types that hold a person
// redact themselves wherever Go would print them.
package schemas
