package topics

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/segmentio/kafka-go"

	"cpis/schemas"
)

// Principals of the cluster: one for each role of the broker, and those of others. On
// the cluster each is the user cpis-NAME, by SCRAM or as the common name of a
// certificate.
func Principals() []string {
	return []string{"intake", "matcher", "delivery", "web", "audit", "operator", "analyst", "authority"}
}

// User is what Kafka knows a principal by.
func User(principal string) string { return "cpis-" + principal }

// localAuthorities is how the table names whoever streams updates.
const localAuthorities = "local authorities"

// groups are the consumer groups, and the role whose processes share each.
func groups() map[string]string {
	return map[string]string{"cpis-matcher": "matcher", "cpis-index": "matcher", "cpis-delivery": "delivery", "cpis-tell": "delivery", "cpis-inform": "delivery", "cpis-updates": "web"}
}

// Grant is what a principal may do to one resource. Whatever is not granted is denied:
// the cluster must run with allow.everyone.if.no.acl.found=false.
type Grant struct {
	Principal  string   `json:"principal"`
	Resource   string   `json:"resource"` // topic, group or cluster
	Name       string   `json:"name"`
	Operations []string `json:"operations"`
}

// Grants renders the access lists from the table.
func Grants() []Grant {
	var out []Grant
	for _, p := range Principals() {
		for _, s := range Table() {
			var ops []string
			if reads(p, s) {
				ops = append(ops, "Read")
			}
			if writes(p, s) {
				ops = append(ops, "Write")
			}
			switch p {
			case "operator":
				ops = append(ops, "Create", "Alter", "AlterConfigs")
			case "analyst", "authority":
				if len(ops) == 0 {
					continue
				}
			}
			out = append(out, Grant{p, "topic", string(s.Topic), append(ops, "Describe", "DescribeConfigs")})
		}
		for _, group := range sortedGroups() {
			switch {
			case groups()[group] == p:
				out = append(out, Grant{p, "group", group, []string{"Read", "Describe"}})
			case p == "operator", p == "web": // the ledger and the operators' page ask how far they are
				out = append(out, Grant{p, "group", group, []string{"Describe"}})
			}
		}
		if p == "operator" {
			out = append(out, Grant{p, "cluster", "kafka-cluster", []string{"Describe", "DescribeConfigs"}})
		}
	}
	return out
}

func sortedGroups() []string {
	var out []string
	for g := range groups() {
		out = append(out, g)
	}
	slices.Sort(out)
	return out
}

// reads and writes read the table. An operator reads what there is, and writes what
// their commands put back, take out and put on record.
func reads(p string, s Spec) bool {
	switch p {
	case "operator":
		return true
	case "analyst":
		return slices.Contains(s.Readers, "analysts")
	case "authority":
		return slices.Contains(s.Readers, localAuthorities)
	}
	return slices.Contains(s.Readers, p)
}

func writes(p string, s Spec) bool {
	switch p {
	case "operator":
		return slices.Contains(s.Writers, "operators")
	case "authority":
		return slices.Contains(s.Writers, localAuthorities)
	}
	return slices.Contains(s.Writers, p)
}

// Writable reports whether a process with some roles may write a topic, as the table has
// it.
func Writable(roles []string, t schemas.Topic) bool {
	return slices.ContainsFunc(Table(), func(s Spec) bool {
		return s.Topic == t && slices.ContainsFunc(s.Writers, func(w string) bool { return slices.Contains(roles, w) })
	})
}

// Commands writes the grants for Kafka's own tool.
func Commands(bootstrap string) string {
	var b strings.Builder
	for _, g := range Grants() {
		fmt.Fprintf(&b, "kafka-acls.sh --bootstrap-server %s --add --allow-principal User:%s", bootstrap, User(g.Principal))
		for _, op := range g.Operations {
			fmt.Fprintf(&b, " --operation %s", op)
		}
		if g.Resource == "cluster" {
			b.WriteString(" --cluster\n")
		} else {
			fmt.Fprintf(&b, " --%s %s\n", g.Resource, g.Name)
		}
	}
	return b.String()
}

// ApplyGrants adds the grants to the cluster. What is granted beyond them stays.
func (c *Client) ApplyGrants(ctx context.Context) error {
	var req kafka.CreateACLsRequest
	for _, g := range Grants() {
		kind := map[string]kafka.ResourceType{"topic": kafka.ResourceTypeTopic, "group": kafka.ResourceTypeGroup, "cluster": kafka.ResourceTypeCluster}[g.Resource]
		for _, op := range g.Operations {
			req.ACLs = append(req.ACLs, kafka.ACLEntry{ResourceType: kind, ResourceName: g.Name, ResourcePatternType: kafka.PatternTypeLiteral, Principal: "User:" + User(g.Principal), Host: "*",
				Operation: operation(op), PermissionType: kafka.ACLPermissionTypeAllow})
		}
	}
	res, err := c.kafka.CreateACLs(ctx, &req)
	if err != nil {
		return fmt.Errorf("set access lists: %w", err)
	}
	if err := errors.Join(res.Errors...); err != nil {
		return fmt.Errorf("set access lists: %w", err)
	}
	return nil
}

func operation(name string) kafka.ACLOperationType {
	return map[string]kafka.ACLOperationType{"Read": kafka.ACLOperationTypeRead, "Write": kafka.ACLOperationTypeWrite, "Create": kafka.ACLOperationTypeCreate, "Alter": kafka.ACLOperationTypeAlter,
		"AlterConfigs": kafka.ACLOperationTypeAlterConfigs, "Describe": kafka.ACLOperationTypeDescribe, "DescribeConfigs": kafka.ACLOperationTypeDescribeConfigs}[name]
}
