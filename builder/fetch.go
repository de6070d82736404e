package builder

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/condaworker/condaworker/builder/source"
	"github.com/condaworker/condaworker/store"
)

// sources are the recipe's sources with the given archives in place of its
// url sources, in order. What lets us in by their URLs is a secret from now on.
func (b *build) sources() ([]source.Spec, error) {
	archives := b.Archives
	specs := make([]source.Spec, 0, len(b.out.Sources))
	for _, s := range b.out.Sources {
		for _, u := range s.URLs {
			b.Redact(store.Secrets(u)...)
		}
		spec := source.Spec{
			URLs: s.URLs, Path: s.Path, SHA256: s.SHA256, MD5: s.MD5,
			Folder: s.Folder, FileName: s.FileName, NoHoist: s.NoHoist,
		}
		if len(s.URLs) > 0 && len(archives) > 0 {
			spec.Archive, archives = archives[0], archives[1:]
		}
		specs = append(specs, spec)
	}
	if len(archives) > 0 {
		return nil, fmt.Errorf("%d source archives were given, but %s has %d url sources: leave out %q",
			len(b.Archives), b.File, len(b.Archives)-len(archives), archives)
	}
	return specs, nil
}

// verify checks the given archives against the recipe's hashes before
// anything else is done.
func (b *build) verify(ctx context.Context) error {
	specs, err := b.sources()
	if err != nil {
		return err
	}
	return source.Verify(ctx, specs)
}

// fetch brings every source into the work folder.
func (b *build) fetch(ctx context.Context) error {
	specs, err := b.sources()
	if err != nil {
		return err
	}
	for _, spec := range specs {
		got, err := source.Fetch(ctx, spec, b.dirs.work, source.Options{RecipeDir: b.Dir, Download: b.dirs.downloads, Transfer: b.transfer()})
		if err != nil {
			return err
		}
		for _, w := range got.Warnings {
			b.Warn(w)
		}
		b.Info(fmt.Sprintf("source %s: %d files, %d bytes", filepath.Join("$SRC_DIR", spec.Folder), got.Files, got.Bytes))
		if got.Newest.After(b.newest) {
			b.newest = got.Newest
		}
	}
	return nil
}
