// Package install puts packages into a prefix, as conda and rattler do: it
// unpacks archives into a cache folder, checks them against their own list of
// paths, links them into the prefix, replaces the prefix that was built in,
// and writes conda-meta.
//
// It never solves, and never writes outside of the prefix and the cache, whatever an
// archive says. Archives are brought, and programs of the prefix are run, only by
// functions that are handed in. Start with Install.
package install

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/condaworker/condaworker/conda"
	"github.com/condaworker/condaworker/conda/archive"
)

// Package is an archive to install.
type Package struct {
	Path   string       // the archive on disk, a .conda or .tar.bz2
	Record conda.Record // as its channel's index has it; without a Name the rest is the archive's own
	URL    string       // where it comes from; "" is Path as a file URL
	Spec   string       // the match spec that the user asked for it with; "" for a dependency

	// Fetch brings the archive to Path, compares it with the hashes of Record, and
	// returns what it is. It is called when the package is not in the cache; nil means
	// that the archive is there.
	Fetch func(context.Context) (archive.Digest, error)
}

// Options say where and how to unpack.
type Options struct {
	Cache  string    // the folder for unpacked packages, e.g. /work/pkgs; made if missing
	Now    time.Time // for conda-meta/history; zero is the clock's
	Remove []string  // names of packages that leave the prefix in the same step

	// Asked are the match specs that the user asks for packages with, by name, to be
	// recorded for those that stay, too; nil leaves what is recorded for them.
	Asked map[string]string

	// Run runs programs of the prefix: its python, which compiles the modules of
	// packages that are noarch: python; and Signer. Nil runs nothing.
	Run Runner
	// Signer is the program that signs Mach-O files, called with codesign's options;
	// "" is /usr/bin/codesign on macOS, and none elsewhere.
	Signer string
	// LinkScripts has Run also run the packages' own scripts, post-link and pre-unlink.
	// What these make beside the packages' files is theirs to remove.
	LinkScripts bool
	Warn        func(string) // takes what was done otherwise than the packages want; nil drops it
}

// Install links pkgs into prefix, which is made if it is missing, and takes out
// those that leave. It is done as a whole: on an error, and by the next Install or
// Recover after a kill, the prefix becomes again what it was. Before the first
// change everything is unpacked and checked. A package that is noarch: python is
// laid out for the python among pkgs or in prefix.
//
// conda's and rattler's rules hold: a file without its own content is a clone of the one
// in the cache where the file system can share blocks, or else a hard link to it, or
// else a copy; one with a prefix record is a copy with prefix in it, and in a binary file prefix must
// not be longer than what it replaces. When several packages have one path rattler's
// rule holds: the last of them, dependencies first, has it, and the others' files are
// in __clobbers__ until it leaves.
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
	p, err := l.plan(unpacked, o)
	if err != nil || p.nothing() {
		return err
	}
	return l.apply(ctx, p, o)
}

// apply does what was planned, or nothing.
func (l *prefix) apply(ctx context.Context, p *plan, o Options) error {
	for _, text := range p.warnings {
		o.warn(text)
	}
	if err := l.preUnlink(ctx, p.leaving, o); err != nil {
		return err
	}
	warnOfMenus(p.leaving, o)
	c, err := begin(l.root, p.journal)
	if err != nil {
		return fmt.Errorf("begin to change the prefix %s: %w", l.dir, err)
	}
	if err := l.fill(ctx, p, c, o); err != nil {
		return errors.Join(err, c.undo())
	}
	return c.commit()
}

// fill makes all that is new.
func (l *prefix) fill(ctx context.Context, p *plan, c *change, o Options) error {
	if err := l.root.MkdirAll("conda-meta", 0o755); err != nil {
		return err
	}
	if err := p.relocate(l, c, true); err != nil { // paths of the rest may lead through them
		return err
	}
	if err := l.link(ctx, p); err != nil {
		return err
	}
	if err := errors.Join(p.relocate(l, c, false), p.record(l)); err != nil {
		return err
	}
	if err := l.sign(ctx, p.arriving, o); err != nil {
		return fmt.Errorf("sign the programs in %s: %w", l.dir, err)
	}
	if err := l.compile(ctx, p.arriving, o); err != nil {
		return err
	}
	if err := inParallel(ctx, len(p.arriving), func(i int) error { return l.writeRecord(p.arriving[i]) }); err != nil {
		return err
	}
	if err := l.postLink(ctx, p.arriving, o); err != nil {
		return err
	}
	if err := l.writeHistory(p, c, o.Now); err != nil {
		return fmt.Errorf("write conda-meta/history: %w", err)
	}
	return nil
}

func (o Options) warn(text string) {
	if o.Warn != nil {
		o.Warn(text)
	}
}

// parallel is how many packages are on their way to the cache at a time: enough for
// small ones to hide each other's way from a server.
const parallel = 8

// unpackAll brings all packages into the cache.
func unpackAll(ctx context.Context, pkgs []Package, dir string) ([]*unpacked, error) {
	c, err := openCache(dir)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var (
		all   = make([]*unpacked, len(pkgs))
		errs  = make([]error, len(pkgs))
		slots = make(chan struct{}, parallel)
		work  sync.WaitGroup
	)
	for i, p := range pkgs {
		slots <- struct{}{}
		work.Go(func() {
			defer func() { <-slots }()
			if all[i], errs[i] = c.unpack(ctx, p); errs[i] != nil {
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

// distOf is the name, version and build of a package with this info/index.json, by which
// conda and rattler look for it in conda-meta.
func distOf(index map[string]any) string {
	return fmt.Sprintf("%v-%v-%v", index["name"], index["version"], index["build"])
}

// stem is an archive's name without suffix.
func stem(fileName string) string {
	return strings.TrimSuffix(strings.TrimSuffix(fileName, ".conda"), ".tar.bz2")
}
