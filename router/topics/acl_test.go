package topics

import (
	"context"
	"errors"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kfake"

	"cpis/schemas"
)

// matrix is who may read (r) and write (w) each topic, written by hand in the order of
// Principals: intake, matcher, delivery, web, audit, operator, analyst, authority; and
// somebody whom nothing was granted.
func matrix() map[schemas.Topic]string {
	return map[schemas.Topic]string{
		//                         intake matcher delivery web audit operator analyst authority stranger
		schemas.TopicRegistration: "rw r  -  r  -  rw -  -  -",
		schemas.TopicIndicator:    "-  r  -  rw -  rw -  -  -",
		schemas.TopicAuthority:    "-  r  r  rw -  rw -  -  -",
		schemas.TopicLink:         "-  rw -  rw -  r  -  -  -",
		schemas.TopicOutcome:      "-  rw r  r  -  rw -  -  -",
		schemas.TopicNotice:       "-  rw rw rw -  rw -  -  -",
		schemas.TopicDelivery:     "-  -  rw rw -  rw -  -  -",
		schemas.TopicUpload:       "-  -  -  rw -  rw -  -  -",
		schemas.TopicParcel:       "-  -  -  rw -  r  -  -  -",
		schemas.TopicUpdate:       "-  -  -  r  -  rw -  w  -",
		schemas.TopicVerdict:      "-  -  -  w  -  r  -  r  -",
		schemas.TopicAudit:        "w  rw rw rw rw rw r  -  -",
		schemas.TopicCheckpoint:   "-  -  -  -  rw r  r  -  -",
		schemas.TopicDeadLetter:   "w  w  w  rw -  rw -  -  -",
	}
}

// ownGroups is whose processes may join which groups.
func ownGroups() map[string]string {
	return map[string]string{"cpis-matcher": "matcher", "cpis-index": "matcher", "cpis-delivery": "delivery", "cpis-tell": "delivery", "cpis-inform": "delivery", "cpis-updates": "web"}
}

// allowed tells an answer of a broker that denies from any other.
func allowed(err error) bool {
	return !errors.Is(err, kafka.TopicAuthorizationFailed) && !errors.Is(err, kafka.GroupAuthorizationFailed) && !errors.Is(err, kafka.ClusterAuthorizationFailed)
}

// holdToMatrix asks a cluster, as each principal, for everything there is. admin may do
// everything.
func holdToMatrix(t *testing.T, admin *Client, reach func(user string) *Client) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	if _, err := admin.Apply(ctx); err != nil {
		t.Fatal(err)
	}
	if err := admin.ApplyGrants(ctx); err != nil {
		t.Fatal(err)
	}
	if len(matrix()) != len(Table()) {
		t.Errorf("%d topics in the matrix, %d in the table", len(matrix()), len(Table()))
	}
	for i, p := range append(Principals(), "stranger") {
		c := reach(User(p))
		for topic, row := range matrix() {
			cell := strings.Fields(row)[i]
			_, err := c.Fetch(ctx, topic, 0, 0, time.Millisecond, 1<<16)
			if got, want := err == nil, strings.Contains(cell, "r"); got != want {
				t.Errorf("%s reads %s: %v (%v)", p, topic, got, err)
			}
			if got, want := produces(ctx, c, topic), strings.Contains(cell, "w"); got != want {
				t.Errorf("%s writes %s: %v", p, topic, got)
			}
		}
		for group, owner := range ownGroups() {
			res, err := c.kafka.JoinGroup(ctx, &kafka.JoinGroupRequest{GroupID: group, SessionTimeout: 10 * time.Second, RebalanceTimeout: 10 * time.Second, ProtocolType: "consumer",
				Protocols: []kafka.GroupProtocol{{Name: "range", Metadata: kafka.GroupProtocolSubscription{Topics: []string{string(schemas.TopicOutcome)}}}}})
			if err == nil {
				err = res.Error
			}
			if got, want := allowed(err), owner == p; got != want {
				t.Errorf("%s joins %s: %v (%v)", p, group, got, err)
			}
		}
		made, err := c.kafka.CreateTopics(ctx, &kafka.CreateTopicsRequest{Topics: []kafka.TopicConfig{{Topic: "cpis.other.v1", NumPartitions: 1, ReplicationFactor: 1}}})
		if err == nil {
			err = made.Errors["cpis.other.v1"]
		}
		if allowed(err) {
			t.Errorf("%s makes topics that are not in the table: %v", p, err)
		}
	}
}

// produces reports whether a broker takes records of a topic.
func produces(ctx context.Context, c *Client, topic schemas.Topic) bool {
	res, err := c.kafka.Produce(ctx, &kafka.ProduceRequest{Topic: string(topic), Partition: 0, RequiredAcks: kafka.RequireAll,
		Records: kafka.NewRecordReader(kafka.Record{Time: time.Now(), Key: kafka.NewBytes([]byte("k")), Value: kafka.NewBytes([]byte("v"))})})
	if err == nil {
		err = res.Error
	}
	return err == nil
}

func TestAccessListsHold(t *testing.T) {
	options := []kfake.Opt{kfake.NumBrokers(1), kfake.EnableSASL(), kfake.EnableACLs(), kfake.Superuser("SCRAM-SHA-512", "admin", "admin")}
	for _, p := range append(Principals(), "stranger") {
		options = append(options, kfake.User("SCRAM-SHA-512", User(p), User(p)))
	}
	f, err := kfake.NewCluster(options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Close)
	reach := func(user string) *Client { return as(t, f.ListenAddrs(), user, 1) }
	holdToMatrix(t, reach("admin"), reach)
}

// TestRealAccessListsHold asks Apache Kafka the same.
func TestRealAccessListsHold(t *testing.T) {
	seeds := realKafka(t)
	host, port, err := net.SplitHostPort(strings.Split(seeds[0], ",")[0])
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	admin, err := Open(context.Background(), Config{Brokers: seeds})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = admin.Close() })
	holdToMatrix(t, admin, func(user string) *Client { return as(t, []string{net.JoinHostPort(host, strconv.Itoa(n+2))}, user, 0) })
}

func as(t *testing.T, brokers []string, user string, partitions int) *Client {
	t.Helper()
	c, err := Open(context.Background(), Config{Brokers: brokers, EventPartitions: partitions, User: user, Password: user, RequestTimeout: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func TestGrantsAreRendered(t *testing.T) {
	text := Commands("k:9092")
	for _, want := range []string{
		"kafka-acls.sh --bootstrap-server k:9092 --add --allow-principal User:cpis-intake --operation Read --operation Write --operation Describe --operation DescribeConfigs --topic cpis.registration.v1\n",
		"--allow-principal User:cpis-matcher --operation Read --operation Describe --group cpis-matcher\n", "--allow-principal User:cpis-operator --operation Describe --operation DescribeConfigs --cluster\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in\n%s", want, text)
		}
	}
	if strings.Contains(text, "cpis-analyst --operation Read --operation Describe --operation DescribeConfigs --topic cpis.registration") {
		t.Error("analysts read registrations")
	}
}
