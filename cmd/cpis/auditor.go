package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"cpis/router/audit"
	"cpis/schemas"
)

// openNotary adds the log over the audit topic. Its hashes stand in the data folder;
// a process without one reads the topic again at every start.
func (s *system) openNotary(ctx context.Context) error {
	c := s.config
	key, err := audit.OpenKey(c.keyDir(), c.Audit.Name, c.Keys.Create)
	if err != nil {
		return &schemas.Refusal{Code: "CPIS-C002", Location: "keys.dir", Reason: "the role audit signs, and has no key: " + err.Error()}
	}
	dir := filepath.Join(c.Data, "audit")
	if c.Data == "" {
		if dir, err = os.MkdirTemp("", "cpis-audit-"); err != nil {
			return fmt.Errorf("make folder of the audit log: %w", err)
		}
		s.stop(func() error { return os.RemoveAll(dir) })
	}
	s.notary = &audit.Notary{Publisher: s.publish, Client: s.client, Key: key, Witnesses: c.Audit.Witnesses, Dir: dir, Logger: s.log}
	if err := s.notary.Open(ctx); err != nil {
		return err
	}
	s.stop(s.notary.Close)
	s.add("audit log", s.notary.Run)
	return nil
}
