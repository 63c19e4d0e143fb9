package schemas

// Topic is the name of a Kafka topic. The names are lower case with dots only,
// since a mix of dots and underscores collides in metric names, and end in a
// major version.
type Topic string

// The topics of the broker. router/topics holds how each is kept.
const (
	TopicRegistration Topic = "cpis.registration.v1"
	TopicIndicator    Topic = "cpis.indicator.v1"
	TopicAuthority    Topic = "cpis.authority.v1"
	TopicLink         Topic = "cpis.link.v1"
	TopicOutcome      Topic = "cpis.outcome.v1"
	TopicNotice       Topic = "cpis.notice.v1"
	TopicAudit        Topic = "cpis.audit.v1"
	TopicCheckpoint   Topic = "cpis.checkpoint.v1"
	TopicDeadLetter   Topic = "cpis.deadletter.v1"
)

// Subject is the schema registry's name for the values of a topic
// (TopicNameStrategy).
func (t Topic) Subject() string { return string(t) + "-value" }
