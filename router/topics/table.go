package topics

import (
	"strconv"
	"time"

	"cpis/schemas"
)

// Cleanup is what Kafka does with old records.
type Cleanup string

const (
	Delete  Cleanup = "delete"  // after the retention time
	Compact Cleanup = "compact" // all but the newest of each key
)

// Spec is how a topic is kept, and who may write and read it.
type Spec struct {
	Topic           schemas.Topic
	Key             string // what the key of a record is
	Partitions      int    // never changed: the key decides the partition
	Cleanup         Cleanup
	Retention       time.Duration // zero for compacted topics
	MaxMessageBytes int
	Writers         []string
	Readers         []string
	Doc             string
}

const (
	day = 24 * time.Hour

	// maxMessageBytes is the largest record batch a topic takes. Values are
	// capped at half of it (schemas.MaxValueBytes).
	maxMessageBytes = 1 << 20

	// auditRetention is how long audit records are kept: eight years, so that
	// an inspection can go back through a childhood case file.
	auditRetention = 8 * 365 * day
)

// Table is the one list of topics. Creation, checks and documentation are
// rendered from it.
func Table() []Spec {
	return []Spec{
		{schemas.TopicRegistration, "subject ref", 3, Delete, day, maxMessageBytes, []string{"intake", "operators"}, []string{"intake", "matcher", "web"},
			"ADT messages taken from care settings. A registration that matches nothing leaves no identity behind after 24 hours."},
		// One partition: its next offset is the position of the index, one
		// number that proves the index whole and as new as it must be.
		{schemas.TopicIndicator, "LA code / subject ref / plan type", 1, Compact, 0, maxMessageBytes, []string{"web", "operators"}, []string{"matcher", "web"},
			"Plans shared by local authorities: the truth behind the index."},
		{schemas.TopicAuthority, "LA code", 1, Compact, 0, maxMessageBytes, []string{"web", "operators"}, []string{"matcher", "delivery", "web"},
			"Contacts of local authorities and the health of their feeds."},
		{schemas.TopicLink, "subject ref / subject ref", 1, Compact, 0, maxMessageBytes, []string{"matcher", "web"}, []string{"matcher", "web"},
			"NHS numbers that a care setting merged, where a plan stands under one of them."},
		{schemas.TopicOutcome, "care setting", 3, Delete, 7 * day, maxMessageBytes, []string{"matcher", "operators"}, []string{"matcher", "delivery", "web"},
			"Answers to care settings."},
		{schemas.TopicNotice, "LA code", 3, Delete, 30 * day, maxMessageBytes, []string{"matcher", "delivery", "web", "operators"}, []string{"matcher", "delivery", "web"},
			"Notices to local authorities that a person they protect was seen, or that something about their plans or their feed wants looking at."},
		{schemas.TopicDelivery, "LA code", 3, Delete, 30 * day, maxMessageBytes, []string{"delivery", "web", "operators"}, []string{"delivery", "web"},
			"What became of notices: delivered, given up, acknowledged by the authority."},
		{schemas.TopicUpload, "LA code / upload", 1, Compact, 0, maxMessageBytes, []string{"web", "operators"}, []string{"web"},
			"Files of local authorities and what became of them."},
		{schemas.TopicParcel, "LA code", 1, Delete, 7 * day, maxMessageBytes, []string{"web"}, []string{"web"},
			"Sealed parts of files that wait for a second person, and of what stood before a file, so that it can be undone."},
		{schemas.TopicUpdate, "LA code", 3, Delete, 7 * day, maxMessageBytes, []string{"local authorities", "operators"}, []string{"web"},
			"Records that local authorities stream, encrypted and signed."},
		{schemas.TopicVerdict, "LA code", 3, Delete, 7 * day, maxMessageBytes, []string{"web"}, []string{"local authorities"},
			"The answers to them."},
		{schemas.TopicAudit, "subject ref, or care setting where nothing matched", 3, Delete, auditRetention, maxMessageBytes, []string{"intake", "matcher", "delivery", "web", "audit", "operators"}, []string{"audit", "matcher", "delivery", "web", "analysts"},
			"What was decided, seen and changed."},
		{schemas.TopicCheckpoint, "log id", 1, Compact, 0, maxMessageBytes, []string{"audit"}, []string{"audit", "analysts"},
			"Signed heads of the audit log."},
		{schemas.TopicDeadLetter, "origin topic", 1, Delete, 30 * day, maxMessageBytes, []string{"intake", "matcher", "delivery", "web", "operators"}, []string{"web", "operators"},
			"What could not be processed, byte for byte, and why."},
	}
}

// configs is what a topic is created with and held to.
func (s Spec) configs(minInsync int) map[string]string {
	c := map[string]string{
		"cleanup.policy":                 string(s.Cleanup),
		"max.message.bytes":              strconv.Itoa(s.MaxMessageBytes),
		"min.insync.replicas":            strconv.Itoa(minInsync),
		"compression.type":               "uncompressed", // an unbounded decompression is a way to exhaust memory
		"unclean.leader.election.enable": "false",
	}
	if s.Cleanup == Delete {
		c["retention.ms"] = strconv.FormatInt(s.Retention.Milliseconds(), 10)
	}
	return c
}
