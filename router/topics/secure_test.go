package topics

import (
	"context"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"cpis/connectors/identity"
	"cpis/schemas"
)

// TestABrokerThatAsksForProof speaks TLS with one that wants SCRAM too: what is
// produced is read back by a group, and nobody else gets anywhere.
func TestABrokerThatAsksForProof(t *testing.T) {
	ca, err := identity.NewIssuer(filepath.Join(t.TempDir(), "ca"))
	if err != nil {
		t.Fatal(err)
	}
	other, err := identity.NewIssuer(filepath.Join(t.TempDir(), "other"))
	if err != nil {
		t.Fatal(err)
	}
	files, err := ca.Issue(identity.Holder{File: "broker", Hosts: []string{"127.0.0.1"}, Valid: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	files.Authorities = ""
	server, err := identity.ServerTLS(files, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	f, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.TLS(server), kfake.EnableSASL(), kfake.Superuser("SCRAM-SHA-512", "cpis", "secret"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Close)
	reach := func(user, password string, by *identity.Issuer) *Client {
		t.Helper()
		c := Config{Brokers: f.ListenAddrs(), EventPartitions: 1, RequestTimeout: 2 * time.Second, DeliveryTimeout: time.Second, User: user, Password: password}
		if by != nil {
			if c.TLS, err = identity.ClientTLS(identity.TLSConfig{Authorities: by.File()}, "127.0.0.1"); err != nil {
				t.Fatal(err)
			}
			c.TLS.ServerName = "" // as the broker is called
		}
		out, err := Open(context.Background(), c)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = out.Close() })
		return out
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	c := reach("cpis", "secret", ca)
	if _, err := c.Apply(ctx); err != nil {
		t.Fatal(err)
	}
	if err := newProducer(t, c).Produce(ctx, rec(0)); err != nil {
		t.Fatal(err)
	}
	read := make(chan string, 1)
	inner, stop := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() {
		done <- c.RunGroup(inner, GroupConfig{ID: "g", Topics: []schemas.Topic{topic}}, func(ctx context.Context, a *Assignment) error {
			b, err := c.Fetch(ctx, topic, a.Partition, a.Offset, time.Second, 1<<20)
			if err == nil && len(b.Records) > 0 {
				read <- string(b.Records[0].Value)
			}
			<-ctx.Done()
			return err
		})
	}()
	select {
	case got := <-read:
		if got != "0" {
			t.Errorf("read %s", got)
		}
	case <-ctx.Done():
		t.Error("the group reads nothing")
	}
	stop()
	<-done
	for name, c := range map[string]*Client{"another password": reach("cpis", "wrong", ca), "nobody": reach("", "", ca), "in clear": reach("cpis", "secret", nil), "another authority's broker": reach("cpis", "secret", other)} {
		limited, cancel := context.WithTimeout(ctx, 3*time.Second)
		if err := c.Ping(limited); err == nil {
			if _, err := c.Ends(limited, topic); err == nil {
				t.Errorf("%s: gets there", name)
			}
		}
		cancel()
	}
}
