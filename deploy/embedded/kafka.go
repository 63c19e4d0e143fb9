package embedded

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"

	"github.com/twmb/franz-go/pkg/kfake"
)

// brokerConfigs are kfake's broker-wide settings.
func brokerConfigs() map[string]string {
	return map[string]string{
		// Only a topic's own retention.ms deletes; kfake would delete from compacted topics after seven days.
		"log.retention.ms": "-1",
		// kfake removes whole segments only: small ones go soon after their last record is due.
		"log.segment.bytes": "16777216",
		// kfake's own timer for compaction and retention, set to ten years: maintain does what is safe.
		"log.cleaner.backoff.ms": "315360000000",
		// Sixty days, so that a consumer switched off over the summer still finds its place.
		"offsets.retention.minutes": "86400",
	}
}

// startKafka repairs the data directory, if there is one, and brings one broker up on it.
func (s *System) startKafka(cfg Config) error {
	dir := filepath.Join(cfg.Dir, "kafka")
	var kept *disk
	if cfg.Dir != "" {
		if err := repair(cfg.Dir); err != nil {
			return fmt.Errorf("repair data directory: %w", err)
		}
		var err error
		if kept, err = openDisk(filepath.Join(dir, "partitions"), cfg.fsync, func(err error) {
			if s.health.writeFailed() {
				cfg.Log.Error("records are refused until a restart", "reason", err)
			}
		}); err != nil {
			return err
		}
		s.onStop("disk", kept.close)
	}
	opts := []kfake.Opt{
		kfake.NumBrokers(1),
		kfake.ClusterID("cpis-embedded"),
		kfake.WithLogger(brokerLog{cfg.Log, s.health}),
		kfake.BrokerConfigs(brokerConfigs()),
		kfake.ListenFn(func(network, _ string) (net.Listener, error) {
			ln, err := net.Listen(network, cfg.KafkaListen)
			if err != nil {
				return nil, err
			}
			return guardListener{ln, s.health, kept}, nil
		}),
	}
	if cfg.Dir != "" {
		opts = append(opts, kfake.DataDir(dir))
	}
	cluster, err := kfake.NewCluster(opts...)
	if err != nil {
		return err
	}
	s.KafkaAddr = cluster.ListenAddrs()[0]
	s.onStop("kafka", func() error { return s.stopKafka(cluster, cfg.Dir) })
	if cfg.Dir != "" {
		// Read by now, and stale from the first record on: a crash must not leave it behind.
		if err := removeIfThere(filepath.Join(dir, "seq_windows.json")); err != nil {
			return err
		}
	}
	if err := maintain(cluster, cfg.Dir); err != nil {
		return err
	}
	s.every(cfg.MaintainEvery, "maintenance", func() {
		if err := maintain(cluster, cfg.Dir); err != nil {
			cfg.Log.Error("old records were not removed", "reason", err)
		}
	})
	return nil
}

// stopKafka ends the broker, which writes its state, and removes what must not be believed after a failed write.
func (s *System) stopKafka(cluster *kfake.Cluster, dir string) error {
	cluster.Close()
	if dir == "" || !s.health.lost() {
		return nil
	}
	return removeIfThere(filepath.Join(dir, "kafka", "seq_windows.json"))
}

// maintain removes the records whose retention is over. In memory it compacts as well; on disk kfake's compaction
// could lose a topic in a crash and is left out.
func maintain(cluster *kfake.Cluster, dir string) error {
	if dir == "" {
		cluster.Compact()
		return nil
	}
	// Before, so that a partition emptied now finds its end again after a crash. After, because a record with an
	// old timestamp can arrive and go in between.
	if err := recordEnds(cluster, dir); err != nil {
		return err
	}
	cluster.ApplyRetention()
	return recordEnds(cluster, dir)
}

// removeIfThere removes a file and is content when there is none.
func removeIfThere(path string) error {
	if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
		return err
	}
	return nil
}

// brokerLog passes kfake's warnings on and notices a failed write, which kfake tells nobody else. kfake logs before
// it answers, so the failure is known before the client can resend.
type brokerLog struct {
	log    *slog.Logger
	health *health
}

// Logf implements kfake.Logger. kfake's texts name topics, partitions, paths and peers, never record content.
func (l brokerLog) Logf(level kfake.LogLevel, format string, args ...any) {
	if level == kfake.LogLevelNone || level > kfake.LogLevelWarn {
		return
	}
	l.log.Log(context.Background(), slog.LevelWarn, fmt.Sprintf(format, args...), "from", "kfake")
	if strings.HasPrefix(format, "persist ") && l.health.writeFailed() {
		l.log.Error("records are refused until a restart", "reason", ErrWriteFailed)
	}
}
