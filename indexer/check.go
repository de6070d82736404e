package indexer

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/condaworker/condaworker/conda/archive"
	"github.com/condaworker/condaworker/store"
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

// Exists tells whether there is a channel: noarch has an index, or there is
// another subdir.
func Exists(ctx context.Context, s store.Store) (bool, error) {
	_, exists, err := head(ctx, s, noarch+"/"+indexName)
	if exists || err != nil {
		return exists, err
	}
	subdirs, err := Subdirs(ctx, s)
	return len(subdirs) > 1, err // noarch is always one of them
}
