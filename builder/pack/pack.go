// Package pack makes a .conda out of a prefix: it finds the new files (Scan),
// filters them (Select) and writes them with their metadata (Write). Each file
// is read once, streamed through the archive, and never copied beside it.
//
// A package's bytes depend on the files, their names, their execute bits and
// the Options, and on nothing else: not on the machine, the user, the time, or
// the folder in which the build took place. pack never changes the prefix.
// Start with Write.
package pack

import (
	"archive/tar"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"time"

	"github.com/condaworker/condaworker/conda/archive"
)

// Options say what goes into a package and how.
type Options struct {
	Prefix      string   // where the files are: absolute and clean, e.g. /work/_h_env_placehold_plac
	Placeholder string   // replaces Prefix in the files: of the same length; "" leaves Prefix in them
	Forbidden   string   // a folder that is gone after the build; symlinks into it are errors; "" is none
	Dist        string   // name-version-build, e.g. blender-4.2.5-hb0f4dca_0
	Files       []string // in Prefix, slash-separated, as from Scan

	IgnorePrefixFiles bool     // no file gets a prefix record, and none is changed
	IgnoreBinaryFiles bool     // the same for files with a NUL byte
	IgnorePrefixGlobs []string // the same for files that one of these globs matches

	Index     []byte     // info/index.json
	About     []byte     // info/about.json; nil is none
	HashInput []byte     // info/hash_input.json; nil is none
	Extra     []InfoFile // further files below info/
	Epoch     time.Time  // the modification time of everything, in whole seconds
}

// InfoFile is a file to place below info/.
type InfoFile struct {
	Path   string      // below info/, e.g. licenses/COPYING
	Data   []byte      // its content, unless Source is set
	Source string      // a file on disk to take the content from
	Mode   fs.FileMode // only its execute bits matter; 0 takes those of Source
}

// Summary describes a written package.
type Summary struct {
	Files       int64    // files and symlinks to install
	Bytes       int64    // of their content
	PackedBytes int64    // of the whole archive
	SHA256, MD5 string   // of the whole archive, lower-case hex
	Prefixed    []string // the files with a prefix record
	Largest     []Sized  // the 20 largest files, largest first
}

// Sized is a file with its size.
type Sized struct {
	Path string // in the prefix, e.g. lib/libcycles.so
	Size int64  // in bytes
}

const maxLargest = 20

// Write writes the package to out, which must be empty, and reads it back once
// for its hashes. An error names the file or the part of Options to correct;
// what is in out then is no package, and the caller removes it.
func Write(ctx context.Context, out io.ReadWriteSeeker, o Options) (Summary, error) {
	p, err := newPacker(o)
	if err != nil {
		return Summary{}, err
	}
	w, err := archive.NewWriter(out, o.Dist)
	if err != nil {
		return Summary{}, err
	}
	if err := p.writePkg(ctx, w); err != nil {
		return Summary{}, err
	}
	if err := p.writeInfo(ctx, w); err != nil {
		return Summary{}, err
	}
	if err := w.Close(); err != nil {
		return Summary{}, err
	}
	return p.summary(ctx, out)
}

// packer is one package while it is written.
type packer struct {
	Options
	ignore   globs
	resolved string // Prefix without symlinks
	entries  []*entry
	byPath   map[string]*entry
	info     []string // the files of Prefix that lie below info/
}

func newPacker(o Options) (*packer, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	ignore, err := compileGlobs(o.IgnorePrefixGlobs)
	if err != nil {
		return nil, err
	}
	if o.Placeholder == "" {
		o.Placeholder = o.Prefix
	}
	resolved, err := filepath.EvalSymlinks(o.Prefix)
	if err != nil {
		return nil, fmt.Errorf("find the prefix: %w", err)
	}
	p := &packer{Options: o, ignore: ignore, resolved: resolved, byPath: map[string]*entry{}}
	return p, p.list()
}

func (o *Options) check() error {
	if !filepath.IsAbs(o.Prefix) || filepath.Clean(o.Prefix) != o.Prefix {
		return fmt.Errorf("the prefix %q is not an absolute and clean path", o.Prefix)
	}
	if o.Placeholder != "" && len(o.Placeholder) != len(o.Prefix) {
		return fmt.Errorf("the placeholder has %d bytes, the prefix %d: they must have as many", len(o.Placeholder), len(o.Prefix))
	}
	var index struct{ Name, Version, Build string }
	if err := json.Unmarshal(o.Index, &index); err != nil {
		return fmt.Errorf("read index.json: %w", err)
	}
	if dist := index.Name + "-" + index.Version + "-" + index.Build; dist != o.Dist {
		return fmt.Errorf("index.json describes %s, but the package is %s", dist, o.Dist)
	}
	return nil
}

func (p *packer) summary(ctx context.Context, out io.ReadSeeker) (Summary, error) {
	if _, err := out.Seek(0, io.SeekStart); err != nil {
		return Summary{}, err
	}
	sum, err := archive.Sum(ctx, out)
	if err != nil {
		return Summary{}, fmt.Errorf("read the package back: %w", err)
	}
	s := Summary{Files: int64(len(p.entries)), PackedBytes: sum.Size, SHA256: sum.SHA256, MD5: sum.MD5}
	var files []*entry
	for _, e := range p.entries {
		if e.isLink() {
			continue
		}
		files = append(files, e)
		s.Bytes += e.size
		if e.prefixed {
			s.Prefixed = append(s.Prefixed, e.path)
		}
	}
	bySize := slices.SortedFunc(slices.Values(files), func(a, b *entry) int {
		return cmp.Or(cmp.Compare(b.size, a.size), cmp.Compare(a.path, b.path))
	})
	for _, e := range bySize[:min(len(bySize), maxLargest)] {
		s.Largest = append(s.Largest, Sized{e.path, e.size})
	}
	return s, nil
}

// header is the same for all: no owner, one time, and one of two modes.
func (p *packer) header(name string, mode fs.FileMode, size int64) *tar.Header {
	return &tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: tarMode(mode), Size: size, ModTime: p.Epoch.Truncate(time.Second)}
}

// tarMode is conda-build's rule: rw-rw-r--, or rwxrwxr-x when the owner may
// execute it. Set-uid and set-gid stay as they are; installers that do not
// run as root drop them.
func tarMode(m fs.FileMode) int64 {
	mode := int64(0o664)
	if m&0o100 != 0 {
		mode = 0o775
	}
	if m&fs.ModeSetuid != 0 {
		mode |= 0o4000
	}
	if m&fs.ModeSetgid != 0 {
		mode |= 0o2000
	}
	return mode
}

// tarSize bounds what a member takes in a tar, with the records that a long
// name, a long target or a size over 8 GiB need.
func tarSize(name, target string, size int64) int64 {
	return size + int64(2*(len(name)+len(target))) + 6*512
}
