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
	TopicUpload       Topic = "cpis.upload.v1"
	TopicParcel       Topic = "cpis.parcel.v1"
	TopicUpdate       Topic = "cpis.update.v1"
	TopicVerdict      Topic = "cpis.verdict.v1"
	TopicDelivery     Topic = "cpis.delivery.v1"
)

// NewRecord is an empty record of a topic's type, to decode into.
func NewRecord(t Topic) any {
	switch t {
	case TopicRegistration:
		return &Registration{}
	case TopicIndicator:
		return &Indicator{}
	case TopicAuthority:
		return &Authority{}
	case TopicLink:
		return &Link{}
	case TopicOutcome:
		return &Outcome{}
	case TopicNotice:
		return &Notice{}
	case TopicDelivery:
		return &Delivery{}
	case TopicAudit:
		return &Audit{}
	case TopicCheckpoint:
		return &Checkpoint{}
	case TopicUpload:
		return &Upload{}
	case TopicParcel:
		return &Parcel{}
	case TopicUpdate:
		return &Update{}
	case TopicVerdict:
		return &UpdateVerdict{}
	}
	return &Quarantine{}
}

// Subject is the schema registry's name for the values of a topic
// (TopicNameStrategy).
func (t Topic) Subject() string { return string(t) + "-value" }
