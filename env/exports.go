package env

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/condaworker/condaworker/conda"
	"github.com/condaworker/condaworker/conda/archive"
	"github.com/condaworker/condaworker/store"
)

// runExportsFile lies beside a subdir's index (CEP 12), and in packages.
const runExportsFile = "run_exports.json"

// maxRunExports bounds what one package may export.
const maxRunExports = 1 << 20

// Exporters tells what packages export to those that are built with them. It
// reads a subdir's run_exports.json at most once.
type Exporters struct {
	Request Request // its Channels, Local and Cache count

	files map[subdirOf]*conda.RunExports
}

// subdirOf names a subdir of a channel.
type subdirOf struct{ channel, subdir string }

// Of returns the run_exports of a record that Solve or Create returned for the
// request: what its index says, or else, unless it is offline, the channel's
// run_exports.json, or else the package itself. That is read from the cache, where Create left it, and
// fetched when it is not there. The error names the package.
func (e *Exporters) Of(ctx context.Context, r conda.Record) (conda.Exports, error) {
	text, err := e.text(ctx, r)
	var exports conda.Exports
	if err == nil {
		if exports, err = conda.ParseExports(text); err != nil {
			err = fmt.Errorf("%w: ignore the run_exports from %s in the recipe, or correct the package", err, r.Name)
		}
	}
	if err != nil {
		return exports, fmt.Errorf("what %s %s %s from %s exports: %w", r.Name, r.Version, r.Build, r.Channel, err)
	}
	return exports, nil
}

func (e *Exporters) text(ctx context.Context, r conda.Record) (text []byte, err error) {
	if r.RunExports != nil {
		return r.RunExports, nil
	}
	release, err := useCache(ctx, e.Request.Cache)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, release()) }()
	for _, c := range e.Request.Channels {
		if c.URL != r.Channel || c.Offline { // then the package says it, which is in the cache
			continue
		}
		all, err := e.file(ctx, c, r.Subdir)
		if err != nil {
			return nil, err
		}
		if text := all.Get(r.FileName); text != nil {
			return text, nil
		}
	}
	file, err := fetched(ctx, e.Request, r)
	if err != nil {
		return nil, err
	}
	return packed(file)
}

// file reads run_exports.json of a subdir: the compressed one, or where there is
// none, the plain one. Where there is neither, nothing is known of any package.
func (e *Exporters) file(ctx context.Context, c Channel, subdir string) (*conda.RunExports, error) {
	at := subdirOf{c.URL, subdir}
	if all, done := e.files[at]; done {
		return all, nil
	}
	text, err := readAll(ctx, c.Reader, subdir+"/"+runExportsFile+".zst")
	if err == nil {
		text, err = archive.Unzstd(text, maxRepoData)
	} else if errors.Is(err, fs.ErrNotExist) && !errors.Is(err, store.ErrNoChannel) {
		text, err = readAll(ctx, c.Reader, subdir+"/"+runExportsFile)
	}
	all := &conda.RunExports{}
	switch {
	case err == nil:
		all, err = conda.ParseRunExports(text)
	case errors.Is(err, fs.ErrNotExist):
		err = nil
	}
	if err != nil {
		return nil, fmt.Errorf("read %s/%s of channel %s: %w", subdir, runExportsFile, c.URL, err)
	}
	if e.files == nil {
		e.files = map[subdirOf]*conda.RunExports{}
	}
	e.files[at] = all
	return all, nil
}

// packed reads the run_exports of a package on disk; a package without them has
// none.
func packed(path string) (text []byte, err error) {
	f, err := os.Open(path) //nolint:gosec // a package of this run
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	stat, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if strings.HasSuffix(path, ".conda") {
		info, err := archive.ReadInfo(f, stat.Size(), path)
		return info.RunExports, err
	}
	// In an old package the file may lie anywhere.
	err = archive.Walk(f, stat.Size(), path, func(e archive.Entry, r io.Reader) (err error) {
		if e.Name == "info/"+runExportsFile {
			text, err = io.ReadAll(io.LimitReader(r, maxRunExports))
		}
		return err
	})
	return text, err
}
