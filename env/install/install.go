// Package install puts packages into a prefix, as conda and rattler do: it
// unpacks archives into a cache folder, checks them against their own list of
// paths, links them into the prefix, replaces the prefix that was built in,
// and writes conda-meta.
//
// It never runs anything of a package (no link scripts), never solves, never
// downloads, and never writes outside of the prefix and the cache, whatever an
// archive says. Start with Install.
package install

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/condaworker/condaworker/conda"
)

// Package is an archive to install.
type Package struct {
	Path   string       // the archive on disk, a .conda or .tar.bz2
	Record conda.Record // as its channel's index has it; the zero value takes the archive's own
	URL    string       // where it comes from; "" is Path as a file URL
	Spec   string       // the match spec that the user asked for it with; "" for a dependency
}

// Options say where and how to unpack.
type Options struct {
	Cache string    // the folder for unpacked packages, e.g. /work/pkgs; made if missing
	Now   time.Time // for conda-meta/history; zero is the clock's
}

// Install links pkgs, dependencies first, into prefix, which is made if it is
// missing. Before the first link everything is unpacked and checked, so that a
// broken archive or two packages with the same path leave the prefix as it
// was. A package that is noarch: python is laid out for the
// python among pkgs or in prefix; its modules are not compiled, for that would
// run it.
//
// conda's rules hold: a file without its own content is a hard link to the
// cache (a copy across devices), one with a prefix record is a copy with
// prefix in it, and in a binary file prefix must not be longer than what it
// replaces.
func Install(ctx context.Context, pkgs []Package, prefix string, o Options) error {
	prefix, err := filepath.Abs(prefix)
	if err != nil {
		return err
	}
	unpacked, err := unpackAll(ctx, pkgs, o.Cache)
	if err != nil {
		return err
	}
	l, err := openPrefix(prefix)
	if err != nil {
		return fmt.Errorf("open prefix %s: %w", prefix, err)
	}
	defer l.close()
	if err := l.findPython(unpacked); err != nil {
		return err
	}
	for _, u := range unpacked {
		if err := l.claim(u); err != nil {
			return err
		}
	}
	for _, u := range unpacked {
		if err := l.install(ctx, u); err != nil {
			return fmt.Errorf("install %s: %w", u.dist, err)
		}
	}
	if err := l.writeHistory(unpacked, o.Now); err != nil {
		return fmt.Errorf("write conda-meta/history: %w", err)
	}
	return nil
}

// unpackAll unpacks as many packages at a time as there are processors.
func unpackAll(ctx context.Context, pkgs []Package, cache string) ([]*unpacked, error) {
	if cache == "" {
		return nil, errors.New("install needs a cache folder")
	}
	cache, err := filepath.Abs(cache)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var (
		all   = make([]*unpacked, len(pkgs))
		errs  = make([]error, len(pkgs))
		slots = make(chan struct{}, runtime.GOMAXPROCS(0))
		work  sync.WaitGroup
	)
	for i, p := range pkgs {
		slots <- struct{}{}
		work.Go(func() {
			defer func() { <-slots }()
			if all[i], errs[i] = unpack(ctx, p, cache); errs[i] != nil {
				cancel()
			}
		})
	}
	work.Wait()
	return all, firstCause(errs)
}

// firstCause returns the first error that is not just the echo of another.
func firstCause(errs []error) error {
	var echo error
	for _, err := range errs {
		if err != nil && !errors.Is(err, context.Canceled) {
			return err
		}
		if echo == nil {
			echo = err
		}
	}
	return echo
}

// distOf is the package's name without suffix, e.g. blender-4.2.5-hb0f4dca_0.
func distOf(fileName string) string {
	return strings.TrimSuffix(strings.TrimSuffix(fileName, ".conda"), ".tar.bz2")
}
