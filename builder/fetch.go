package builder

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/condaworker/condaworker/builder/recipe"
	"github.com/condaworker/condaworker/builder/source"
	"github.com/condaworker/condaworker/conda"
	"github.com/condaworker/condaworker/env"
	"github.com/condaworker/condaworker/env/install"
)

// sources are the recipe's sources with the given archives in place of its
// url sources, in order.
func (b *build) sources() ([]source.Spec, error) {
	archives := b.Archives
	specs := make([]source.Spec, 0, len(b.out.Sources))
	for _, s := range b.out.Sources {
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

// environments makes the prefixes that the script builds with: host
// requirements in PREFIX, build requirements in BUILD_PREFIX.
func (b *build) environments(ctx context.Context) error {
	host, tools := recipe.Specs(b.out.Requirements.Host), recipe.Specs(b.out.Requirements.Build)
	if b.mergedPrefix() {
		host, tools = slices.Concat(host, tools), nil
	}
	for _, e := range []struct {
		prefix string
		specs  []string
	}{{b.dirs.prefix, host}, {b.dirs.buildPrefix, tools}} {
		records, err := env.Create(ctx, env.Request{
			Prefix: e.prefix, Specs: e.specs, Channels: b.Channels, Subdir: b.Platform,
			Virtual: b.virtual(), Cache: b.dirs.cache, Local: b.local(),
		})
		if err != nil {
			return fmt.Errorf("make the environment of %v: %w", e.specs, err)
		}
		for _, r := range records {
			b.Info(fmt.Sprintf("installed %s %s %s from %s", r.Name, r.Version, r.Build, r.Channel))
		}
	}
	return nil
}

// virtual is what the system offers to a solve.
func (b *build) virtual() []conda.Record {
	if b.Virtual == nil {
		return nil
	}
	return b.Virtual()
}

// needsEnvironments is false for most vendor archives, whose builds then need
// no channel at all.
func (b *build) needsEnvironments() bool {
	return len(b.out.Requirements.Host)+len(b.out.Requirements.Build) > 0
}

// mergedPrefix tells whether build and host requirements share PREFIX.
func (b *build) mergedPrefix() bool { return b.out.Build.MergeBuildHost }

// local are the packages that this run has built already.
func (b *build) local() []install.Package {
	var all []install.Package
	for _, p := range b.earlier {
		if p.Path != "" { // else it is in the channel
			all = append(all, install.Package{Path: p.Path, Record: p.Record, URL: "file://" + p.Path})
		}
	}
	return all
}
