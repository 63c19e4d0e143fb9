package topics

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/segmentio/kafka-go"
)

// Change is one difference between the table and the cluster.
type Change struct {
	Topic  string `json:"topic"`
	What   string `json:"what"` // "create", or the name of a configuration entry, or "partitions"
	Have   string `json:"have"`
	Want   string `json:"want"`
	Manual bool   `json:"manual"` // Apply cannot make it
}

// ErrManual means that the cluster differs from the table in a way that must
// not be changed by itself: keys would move to other partitions.
var ErrManual = errors.New("the cluster differs from the table in a way that cannot be changed in place")

// Plan lists what differs, in table order.
func (c *Client) Plan(ctx context.Context) ([]Change, error) {
	names := make([]string, 0, len(c.specs))
	for _, s := range Table() {
		names = append(names, string(s.Topic))
	}
	m, err := c.kafka.Metadata(ctx, &kafka.MetadataRequest{Topics: names})
	if err != nil {
		return nil, fmt.Errorf("read metadata: %w", err)
	}
	have := map[string]kafka.Topic{}
	for _, t := range m.Topics {
		if t.Error == nil {
			have[t.Name] = t
		}
	}
	configs, err := c.describe(ctx, have)
	if err != nil {
		return nil, err
	}
	_, insync := c.replication(len(m.Brokers))
	var out []Change
	for _, name := range names {
		s := c.specs[Table()[slices.Index(names, name)].Topic]
		t, ok := have[name]
		if !ok {
			out = append(out, Change{Topic: name, What: "create", Want: fmt.Sprintf("%d partitions, %s", s.Partitions, s.Cleanup)})
			continue
		}
		if len(t.Partitions) != s.Partitions {
			out = append(out, Change{name, "partitions", strconv.Itoa(len(t.Partitions)), strconv.Itoa(s.Partitions), true})
		}
		want := s.configs(insync)
		for _, key := range sortedKeys(want) {
			if configs[name][key] != want[key] {
				out = append(out, Change{Topic: name, What: key, Have: configs[name][key], Want: want[key]})
			}
		}
	}
	return out, nil
}

func sortedKeys(m map[string]string) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func (c *Client) replication(brokers int) (replicas, insync int) {
	replicas, insync = c.config.Replication, c.config.MinInsync
	if replicas == 0 {
		replicas = 1
		if brokers >= 3 {
			replicas = 3
		}
	}
	if insync == 0 {
		insync = 1
		if replicas >= 3 {
			insync = 2
		}
	}
	return replicas, insync
}

func (c *Client) describe(ctx context.Context, topics map[string]kafka.Topic) (map[string]map[string]string, error) {
	out := map[string]map[string]string{}
	if len(topics) == 0 {
		return out, nil
	}
	req := &kafka.DescribeConfigsRequest{}
	for name := range topics {
		req.Resources = append(req.Resources, kafka.DescribeConfigRequestResource{ResourceType: kafka.ResourceTypeTopic, ResourceName: name})
	}
	res, err := c.kafka.DescribeConfigs(ctx, req)
	if err != nil {
		return nil, fmt.Errorf("read topic configuration: %w", err)
	}
	for _, r := range res.Resources {
		if r.Error != nil {
			return nil, fmt.Errorf("read configuration of %s: %w", r.ResourceName, r.Error)
		}
		out[r.ResourceName] = map[string]string{}
		for _, e := range r.ConfigEntries {
			out[r.ResourceName][e.ConfigName] = e.ConfigValue
		}
	}
	return out, nil
}

// Apply creates what is missing and sets what differs, and returns what it
// changed. Differences it must not change are an error wrapping ErrManual.
func (c *Client) Apply(ctx context.Context) ([]Change, error) {
	changes, err := c.Plan(ctx)
	if err != nil {
		return nil, err
	}
	var made []Change
	var manual error
	settings := map[string][]kafka.IncrementalAlterConfigsRequestConfig{}
	for _, ch := range changes {
		switch {
		case ch.Manual:
			manual = errors.Join(manual, fmt.Errorf("%w: %s has %s %s, wants %s", ErrManual, ch.Topic, ch.Have, ch.What, ch.Want))
			continue
		case ch.What == "create":
			err = c.create(ctx, ch.Topic)
		default:
			settings[ch.Topic] = append(settings[ch.Topic], kafka.IncrementalAlterConfigsRequestConfig{Name: ch.What, Value: ch.Want, ConfigOperation: kafka.ConfigOperationSet})
		}
		if err != nil {
			return made, err
		}
		made = append(made, ch)
	}
	if err := c.alter(ctx, settings); err != nil {
		return made, err
	}
	if manual != nil {
		return made, manual
	}
	return made, c.awaitTopics(ctx)
}

func (c *Client) create(ctx context.Context, name string) error {
	m, err := c.kafka.Metadata(ctx, &kafka.MetadataRequest{Topics: []string{}})
	if err != nil {
		return fmt.Errorf("read metadata: %w", err)
	}
	var spec Spec
	for _, s := range c.specs {
		if string(s.Topic) == name {
			spec = s
		}
	}
	replicas, insync := c.replication(len(m.Brokers))
	config := kafka.TopicConfig{Topic: name, NumPartitions: spec.Partitions, ReplicationFactor: replicas}
	want := spec.configs(insync)
	for _, key := range sortedKeys(want) {
		config.ConfigEntries = append(config.ConfigEntries, kafka.ConfigEntry{ConfigName: key, ConfigValue: want[key]})
	}
	res, err := c.kafka.CreateTopics(ctx, &kafka.CreateTopicsRequest{Topics: []kafka.TopicConfig{config}})
	if err == nil {
		err = res.Errors[name]
	}
	if err != nil && !errors.Is(err, kafka.TopicAlreadyExists) {
		return fmt.Errorf("create %s: %w", name, err)
	}
	return nil
}

func (c *Client) alter(ctx context.Context, settings map[string][]kafka.IncrementalAlterConfigsRequestConfig) error {
	for name, configs := range settings {
		res, err := c.kafka.IncrementalAlterConfigs(ctx, &kafka.IncrementalAlterConfigsRequest{Resources: []kafka.IncrementalAlterConfigsRequestResource{
			{ResourceType: kafka.ResourceTypeTopic, ResourceName: name, Configs: configs}}})
		if err == nil {
			for _, r := range res.Resources {
				err = errors.Join(err, r.Error)
			}
		}
		if err != nil {
			return fmt.Errorf("configure %s: %w", name, err)
		}
	}
	return nil
}

// awaitTopics waits until every partition of every topic answers: a topic that
// was just created is not known everywhere at once.
func (c *Client) awaitTopics(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, c.config.RequestTimeout)
	defer cancel()
	for t, s := range c.specs {
		for {
			ends, err := c.Ends(ctx, t)
			if err == nil && len(ends) >= s.Partitions {
				break
			}
			err = cmp.Or(err, fmt.Errorf("%d of %d partitions are known", len(ends), s.Partitions))
			select {
			case <-ctx.Done():
				return fmt.Errorf("wait for %s: %w", t, err)
			case <-time.After(20 * time.Millisecond):
			}
		}
	}
	return nil
}
