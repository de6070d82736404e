package indexer

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/condaworker/condaworker/conda/archive"
)

// Check finds what Publish would refuse in a package on disk whatever the
// channel: its metadata is broken, or of another package than its name says.
// What it installs is not read.
func Check(p Package) error {
	f, err := os.Open(p.Path)
	if err != nil {
		return err
	}
	return errors.Join(check(f, p.Path), f.Close())
}

func check(f *os.File, path string) error {
	st, err := f.Stat()
	if err != nil {
		return err
	}
	info, err := archive.ReadInfo(f, st.Size(), path)
	if err != nil {
		return err
	}
	if _, _, err := checkedRecord(filepath.Base(path), info.IndexJSON, "", "", st.Size()); err != nil {
		return fmt.Errorf("package %s: %w", path, err)
	}
	return nil
}
