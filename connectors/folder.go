package connectors

import (
	"errors"
	"fmt"
	"os"
)

// WriteWhole writes a file of a folder that others watch: under another name,
// synced and then moved into place, so that nobody sees a part of it.
func WriteWhole(root *os.Root, name string, text []byte) error {
	tmp := name + ".tmp"
	f, err := root.OpenFile(tmp, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	_, err = f.Write(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = root.Rename(tmp, name)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}
