// Package source brings a recipe's sources into the work folder: it fetches
// them by hash and unpacks archives.
//
// Archives are foreign: every file is written through os.Root, and a member
// that would leave the folder is refused by name. It never runs anything.
// Start with Verify and Fetch.
package source

import (
	"context"
	"crypto/md5" //nolint:gosec // recipes give it
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"
)

// Spec is one source of a recipe.
type Spec struct {
	URLs     []string // mirrors, tried in order; a text without :// is a path
	Path     string   // a folder or file, relative to the recipe's folder
	Archive  string   // a local file in place of URLs
	SHA256   string   // lower-case hex; "" checks nothing
	MD5      string   // lower-case hex; "" checks nothing
	Folder   string   // below the work folder, slash-separated
	FileName string   // keep the file under this name, never unpack it
	NoHoist  bool     // keep a single top-level folder
}

// Options say where things are.
type Options struct {
	RecipeDir string // what relative paths begin at
	Download  string // a folder for downloads and for unpacking, on the work folder's file system

	// Transfer, when set, hears that a download of so many bytes begins, -1 when
	// its length is not known; moved hears of the bytes as they come.
	Transfer func(total int64) (moved func(n int))
}

// Result is what a source brought.
type Result struct {
	Newest   time.Time // the newest member of an archive; zero for files and folders
	Files    int
	Bytes    int64
	Warnings []string // what the author should change
}

// HashError reports a source whose bytes are not what the recipe says.
type HashError struct{ What, Kind, Want, Got string }

// Error names both hashes and what to change.
func (e *HashError) Error() string {
	return fmt.Sprintf("%s has the %s %s, the recipe says %s: correct the recipe, or give the right file", e.What, e.Kind, e.Got, e.Want)
}

// Verify checks the archives that were given in place of downloads. It is
// called before anything else is done.
func Verify(ctx context.Context, specs []Spec) error {
	for _, s := range specs {
		if s.Archive == "" {
			continue
		}
		f, err := os.Open(s.Archive)
		if err != nil {
			return fmt.Errorf("open source archive: %w", err)
		}
		err = s.check(ctx, f, s.Archive)
		if err = errors.Join(err, f.Close()); err != nil {
			return err
		}
	}
	return nil
}

// check reads f to its end and compares the hashes that s has.
func (s Spec) check(ctx context.Context, f io.Reader, what string) error {
	sums := s.sums()
	if _, err := io.Copy(sums.writer(), &interruptible{ctx, f}); err != nil {
		return fmt.Errorf("read %s: %w", what, err)
	}
	return sums.compare(what)
}

// sums are the hashes of a source under way.
type sums []struct {
	kind, want string
	hash       hash.Hash
}

// sums are the hashes that the recipe gives.
func (s Spec) sums() sums {
	var all sums
	if s.SHA256 != "" {
		all = append(all, sums{{"sha256", s.SHA256, sha256.New()}}...)
	}
	if s.MD5 != "" {
		all = append(all, sums{{"md5", s.MD5, md5.New()}}...) //nolint:gosec // what the recipe gives
	}
	return all
}

// writer computes the hashes of what is written to it.
func (s sums) writer() io.Writer {
	writers := []io.Writer{io.Discard}
	for _, one := range s {
		writers = append(writers, one.hash)
	}
	return io.MultiWriter(writers...)
}

// compare is a *HashError for the first hash that differs.
func (s sums) compare(what string) error {
	for _, one := range s {
		if got := hex.EncodeToString(one.hash.Sum(nil)); got != strings.ToLower(one.want) {
			return &HashError{what, one.kind, one.want, got}
		}
	}
	return nil
}

// Fetch brings s into work/Folder. What it unpacks was hashed through the same
// open file: nobody can change it in between.
func Fetch(ctx context.Context, s Spec, work string, o Options) (Result, error) {
	to := filepath.Join(work, filepath.FromSlash(s.Folder))
	if !filepath.IsLocal(filepath.FromSlash(path.Clean("./" + s.Folder))) {
		return Result{}, fmt.Errorf("the source's folder %q leaves the work folder", s.Folder)
	}
	if err := os.MkdirAll(to, 0o755); err != nil {
		return Result{}, err
	}
	if err := os.MkdirAll(o.Download, 0o755); err != nil {
		return Result{}, err
	}
	if s.Path != "" {
		return s.fromPath(ctx, s.local(s.Path, o), to, o)
	}
	f, name, warnings, err := s.open(ctx, o)
	if err != nil {
		return Result{}, err
	}
	r, err := s.place(ctx, f, name, to, o)
	r.Warnings = append(warnings, r.Warnings...)
	return r, errors.Join(err, f.Close())
}

// local is a file's path; a relative one counts from the recipe's folder.
func (s Spec) local(p string, o Options) string {
	if filepath.IsAbs(p) {
		return p
	}
	return filepath.Join(o.RecipeDir, filepath.FromSlash(p))
}

// open returns the source's file at its beginning, its hashes checked, and the
// name that says what it is.
func (s Spec) open(ctx context.Context, o Options) (f *os.File, name string, warnings []string, err error) {
	if s.Archive != "" {
		f, err = s.openLocal(ctx, s.Archive)
		return f, s.nameOf(s.Archive), nil, err
	}
	if s.SHA256 == "" && s.MD5 == "" {
		warnings = append(warnings, fmt.Sprintf("the source %s has no sha256: nobody can tell whether it is the right one", s.URLs[0]))
	}
	var failures []error
	for _, u := range s.URLs {
		f, err = s.openURL(ctx, u, o)
		if err == nil {
			return f, path.Base(strings.TrimRight(withoutQuery(u), "/")), warnings, nil
		}
		failures = append(failures, err)
		if ctx.Err() != nil {
			break
		}
	}
	return nil, "", nil, errors.Join(failures...)
}

// nameOf is the name that tells a given archive's kind: its own, or else that
// of the url it stands for.
func (s Spec) nameOf(file string) string {
	if isArchive(file) || len(s.URLs) == 0 {
		return filepath.Base(file)
	}
	return path.Base(withoutQuery(s.URLs[0]))
}

// withoutQuery keeps what may be a secret out of logs and file names.
func withoutQuery(u string) string {
	u, _, _ = strings.Cut(u, "?")
	u, _, _ = strings.Cut(u, "#")
	if p, err := url.PathUnescape(u); err == nil {
		return p
	}
	return u
}

func (s Spec) openURL(ctx context.Context, u string, o Options) (*os.File, error) {
	scheme, rest, found := strings.Cut(u, "://")
	switch {
	case !found:
		return s.openLocal(ctx, s.local(u, o))
	case scheme == "file":
		return s.openLocal(ctx, s.local(withoutQuery(strings.TrimPrefix(rest, "localhost")), o))
	case scheme == "http" || scheme == "https":
		return s.download(ctx, u, o)
	}
	return nil, fmt.Errorf("source %s: only file, http and https are fetched; give the file with --source-archive", u)
}

func (s Spec) openLocal(ctx context.Context, file string) (*os.File, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("open source: %w; correct the recipe, or give the file with --source-archive", err)
	}
	err = s.check(ctx, f, file)
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// place unpacks f, or copies it, into the folder to.
func (s Spec) place(ctx context.Context, f *os.File, name, to string, o Options) (Result, error) {
	if s.FileName == "" && isArchive(name) {
		return s.unpackInto(ctx, f, name, to, o)
	}
	if s.FileName != "" {
		name = s.FileName
	}
	return copyFile(ctx, f, filepath.Join(to, filepath.Base(name)))
}

func (s Spec) fromPath(ctx context.Context, from, to string, o Options) (Result, error) {
	st, err := os.Stat(from)
	if err != nil {
		return Result{}, fmt.Errorf("open source: %w; correct the recipe's path", err)
	}
	if st.IsDir() {
		if s.SHA256 != "" || s.MD5 != "" {
			return Result{}, fmt.Errorf("source %s is a folder: it has no sha256; remove that from the recipe", from)
		}
		return copyTree(ctx, from, to)
	}
	f, err := s.openLocal(ctx, from)
	if err != nil {
		return Result{}, err
	}
	r, err := s.place(ctx, f, filepath.Base(from), to, o)
	return r, errors.Join(err, f.Close())
}

// interruptible is a reader that ends with its context.
type interruptible struct {
	ctx context.Context
	r   io.Reader
}

func (i *interruptible) Read(p []byte) (int, error) {
	if i.ctx.Err() != nil {
		return 0, context.Cause(i.ctx)
	}
	return i.r.Read(p)
}
