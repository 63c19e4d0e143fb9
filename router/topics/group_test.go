package topics

import (
	"testing"

	"github.com/segmentio/kafka-go"

	"cpis/schemas"
)

// TestPartitionsABrokerHasNotHeardOfAreShared: the broker asked knows one
// partition of a topic that was just made with three.
func TestPartitionsABrokerHasNotHeardOfAreShared(t *testing.T) {
	balancer := wholeTopics{specs: map[schemas.Topic]Spec{topic: {Topic: topic, Partitions: 3}}}
	members := []kafka.GroupMember{{ID: "a", Topics: []string{string(topic)}}, {ID: "b", Topics: []string{string(topic)}}}
	for name, found := range map[string][]kafka.Partition{
		"none":            nil,
		"one":             {{Topic: string(topic), ID: 1}},
		"all":             {{Topic: string(topic), ID: 0}, {Topic: string(topic), ID: 1}, {Topic: string(topic), ID: 2}},
		"all, and others": {{Topic: string(topic), ID: 0}, {Topic: "other", ID: 0}},
	} {
		held := map[int]int{}
		for _, assigned := range balancer.AssignGroups(members, found) {
			for _, p := range assigned[string(topic)] {
				held[p]++
			}
		}
		if held[0] != 1 || held[1] != 1 || held[2] != 1 || len(held) != 3 {
			t.Errorf("%s: %v", name, held)
		}
	}
}
