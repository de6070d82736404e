package builder

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/condaworker/condaworker/builder/pack"
	"github.com/condaworker/condaworker/conda"
)

// fallbackTime is the time in a package whose sources carry none: the same
// inputs must give the same bytes, so it cannot be the clock's.
var fallbackTime = time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)

// packageTime is SOURCE_DATE_EPOCH, or else the newest time in the sources.
func (b *build) packageTime() time.Time {
	switch {
	case !b.Epoch.IsZero():
		return b.Epoch.UTC().Truncate(time.Second)
	case b.newest.Unix() > 0:
		return b.newest.UTC().Truncate(time.Second)
	}
	return fallbackTime
}

// pack writes what the script added to the prefix as a .conda. The package
// appears under its name only when it is whole.
func (b *build) pack(ctx context.Context) error {
	files, err := b.packageFiles()
	if err != nil {
		return err
	}
	b.packed = files
	if len(files) == 0 {
		b.Warn("the package has no files: did the script install to $PREFIX?")
	}
	n, err := b.runNeeds()
	if err != nil {
		return err
	}
	runExports, err := n.runExports()
	if err != nil {
		return err
	}
	options, err := b.packOptions(files, n, runExports)
	if err != nil {
		return err
	}
	dir := filepath.Join(b.dirs.packages, b.out.Subdir)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("make the output folder: %w", err)
	}
	path := filepath.Join(dir, b.dist()+".conda")
	summary, err := writePackage(ctx, path, options)
	if err != nil {
		return fmt.Errorf("pack %s: %w", b.dist(), err)
	}
	record, err := b.record(path, options.Index, summary)
	if err != nil {
		return err
	}
	b.made = Package{Path: path, Record: record, Index: options.Index, RunExports: runExports, Summary: summary}
	b.Info(fmt.Sprintf("packed %s: %d files, %d bytes of content in %d bytes, sha256 %s",
		filepath.Base(path), summary.Files, summary.Bytes, summary.PackedBytes, summary.SHA256))
	return nil
}

// writePackage writes under another name first, so that nobody takes half a
// package for one.
func writePackage(ctx context.Context, path string, o pack.Options) (summary pack.Summary, err error) {
	part, err := os.CreateTemp(filepath.Dir(path), ".tmp-*.conda")
	if err != nil {
		return summary, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, ignoreMissing(os.Remove(part.Name())))
		}
	}()
	summary, err = pack.Write(ctx, part, o)
	if err = errors.Join(err, part.Chmod(0o644), part.Sync(), part.Close()); err != nil {
		return summary, err
	}
	return summary, os.Rename(part.Name(), path)
}

// ignoreMissing is for removing what may be gone.
func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// record is the package's index record, as the channel will have it.
func (b *build) record(path string, index []byte, s pack.Summary) (conda.Record, error) {
	var r conda.Record
	if err := json.Unmarshal(index, &r); err != nil {
		return r, fmt.Errorf("read our own index.json: %w", err)
	}
	r.FileName = filepath.Base(path)
	r.SHA256, r.MD5, r.Size = s.SHA256, s.MD5, s.PackedBytes
	return r, nil
}

// packageFiles are the files that are new in the prefix, as the recipe
// filters them.
func (b *build) packageFiles() ([]string, error) {
	before := map[string]bool{}
	for _, f := range b.before {
		before[f] = true
	}
	added, err := pack.Scan(b.dirs.prefix, before)
	if err != nil {
		return nil, fmt.Errorf("list the new files of the prefix: %w", err)
	}
	return pack.Select(added, b.before, pack.Globs{
		Include: b.out.Build.FilesInclude, Exclude: b.out.Build.FilesExclude, Always: b.out.Build.AlwaysIncludeFiles,
	})
}
