package source

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/mholt/archiver/v4"
)

// archiveSuffixes are the names of what is unpacked. Everything else stays a
// file: a vendor's installer (.run, .sh, .exe, no suffix at all) often holds an
// archive that is the recipe's business.
var archiveSuffixes = []string{
	".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz", ".tbz2", ".tar.xz", ".txz", ".tar.zst", ".tzst", ".tar.lz4", ".zip", ".7z",
}

// isArchive tells by the name alone: a vendor's installer is often an archive
// as well, and must stay as it is.
func isArchive(name string) bool {
	for _, suffix := range archiveSuffixes {
		if strings.HasSuffix(strings.ToLower(name), suffix) {
			return true
		}
	}
	return false
}

// The bounds of an archive: beyond them it is taken for a bomb.
const (
	maxMembers   = 4_000_000
	maxDepth     = 64
	maxComponent = 255     // bytes, as file systems have it
	freeBytes    = 1 << 30 // an archive may always unpack to this much
	maxRatio     = 400     // and beyond it to this many times its own size
)

// unpackInto unpacks f into the folder to. It does so beside it first, so that
// an archive that turns out bad leaves nothing, and a single top-level folder
// can be lifted (conda-build's and rattler-build's rule).
func (s Spec) unpackInto(ctx context.Context, f *os.File, name, to string, o Options) (r Result, err error) {
	temp, err := os.MkdirTemp(o.Download, "unpack-")
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(temp)) }()
	r, err = unpack(ctx, f, name, temp)
	if err != nil {
		return Result{}, fmt.Errorf("unpack %s: %w", name, err)
	}
	from := temp
	entries, err := os.ReadDir(temp)
	if err != nil {
		return r, err
	}
	if len(entries) == 1 && entries[0].IsDir() && !s.NoHoist {
		from = filepath.Join(temp, entries[0].Name())
	}
	return r, moveInto(from, to)
}

// moveInto moves what is in from to the folder to, joining folders that both
// have; a file of from replaces one of to.
func moveInto(from, to string) error {
	entries, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	for _, e := range entries {
		source, target := filepath.Join(from, e.Name()), filepath.Join(to, e.Name())
		st, err := os.Lstat(target)
		switch {
		case err == nil && st.IsDir() && e.IsDir():
			err = moveInto(source, target)
		case err == nil && st.IsDir():
			err = fmt.Errorf("%s is a folder of one source and a file of another", e.Name())
		default:
			err = os.Rename(source, target)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func unpack(ctx context.Context, f *os.File, name, to string) (Result, error) {
	st, err := f.Stat()
	if err != nil {
		return Result{}, err
	}
	root, err := os.OpenRoot(to)
	if err != nil {
		return Result{}, err
	}
	u := &unpacker{root: root, dirs: map[string]bool{".": true}, limit: max(freeBytes, maxRatio*st.Size())}
	err = u.extract(ctx, f, name)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = fmt.Errorf("%w: the archive is cut off; get it again", err)
	}
	return u.result, errors.Join(err, u.closeDir(), root.Close())
}

// extract hands every member to u.member. Decompression runs ahead of the
// writing of files: each takes about half of the time.
func (u *unpacker) extract(ctx context.Context, f *os.File, name string) error {
	format, _, err := archiver.Identify(ctx, strings.ToLower(name), f)
	if err != nil {
		return fmt.Errorf("it is no archive of a kind that can be read: %w", err)
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	handle := func(ctx context.Context, m archiver.FileInfo) error {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return u.member(m)
	}
	if a, ok := format.(archiver.Archive); ok && a.Compression != nil && a.Extraction != nil {
		in, err := a.OpenReader(&interruptible{ctx, f})
		if err != nil {
			return err
		}
		ahead := readAhead(in)
		err = a.Extraction.Extract(ctx, ahead, handle)
		if err == nil {
			_, err = io.Copy(io.Discard, ahead) // a cut or corrupt end shows only now
		}
		if closed := errors.Join(ahead.Close(), in.Close()); err == nil {
			err = closed // else it says the same once more
		}
		return err
	}
	e, ok := format.(archiver.Extractor)
	if !ok {
		return errors.New("it is compressed but holds no archive")
	}
	return e.Extract(ctx, f, handle)
}

// unpacker writes the members of one archive.
type unpacker struct {
	root   *os.Root
	dirs   map[string]bool // known to be real folders, not links
	limit  int64           // bytes
	result Result

	dirName string   // the folder that was written to last
	dir     *os.Root // the same, open: most members follow one of their folder
}

// memberError names the member that an archive is refused for.
func memberError(name, why string) error { return fmt.Errorf("member %q %s", name, why) }

func (u *unpacker) member(m archiver.FileInfo) error {
	name, err := cleanName(m.NameInArchive)
	if err != nil || name == "." {
		return err
	}
	if u.result.Files++; u.result.Files > maxMembers {
		return fmt.Errorf("it has more than %d members", maxMembers)
	}
	mode := m.Mode()
	if h, ok := m.Header.(*tar.Header); ok && h.Typeflag == tar.TypeLink {
		return u.hardLink(name, m.LinkTarget)
	}
	switch {
	case mode.IsDir():
		u.result.Files--
		return u.makeDir(name)
	case mode&fs.ModeSymlink != 0:
		return u.symlink(name, m)
	case mode.IsRegular():
		return u.file(name, m)
	}
	return memberError(m.NameInArchive, "is a device, a pipe or a socket: only files, folders and links are unpacked")
}

// cleanName is a member's name as a relative slash path.
func cleanName(name string) (string, error) {
	clean := path.Clean(strings.TrimSuffix(name, "/"))
	parts := strings.Split(clean, "/")
	switch {
	case name == "" || name == "./":
		return ".", nil
	case strings.ContainsRune(name, 0):
		return "", memberError(name, "has a NUL in its name")
	case strings.HasPrefix(name, "/") || strings.HasPrefix(name, `\`) || len(name) > 1 && name[1] == ':':
		return "", memberError(name, "has an absolute name")
	case parts[0] == ".." || strings.HasPrefix(clean, `..\`) || strings.Contains(clean, `\..\`):
		return "", memberError(name, "leaves the folder")
	case len(parts) > maxDepth:
		return "", memberError(name, fmt.Sprintf("is more than %d folders deep", maxDepth))
	}
	for _, p := range parts {
		if len(p) > maxComponent {
			return "", memberError(name[:64]+"…", fmt.Sprintf("has a part of more than %d bytes", maxComponent))
		}
	}
	return clean, nil
}

// makeDir makes a folder and those above it. A link in the place of one is
// refused: what is written through it could lie anywhere.
func (u *unpacker) makeDir(name string) error {
	if u.dirs[name] {
		return nil
	}
	if err := u.makeDir(path.Dir(name)); err != nil {
		return err
	}
	err := u.root.Mkdir(name, 0o755)
	if errors.Is(err, fs.ErrExist) {
		st, statErr := u.root.Lstat(name)
		if statErr != nil {
			return statErr
		}
		if !st.IsDir() {
			return memberError(name, "is a folder here and a file or link elsewhere in the archive")
		}
		err = nil
	}
	u.dirs[name] = err == nil
	return err
}

// in opens the folder that name lies in.
func (u *unpacker) in(name string) (*os.Root, error) {
	dir := path.Dir(name)
	if u.dir != nil && u.dirName == dir {
		return u.dir, nil
	}
	if err := u.makeDir(dir); err != nil {
		return nil, err
	}
	if err := u.closeDir(); err != nil {
		return nil, err
	}
	opened, err := u.root.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	u.dir, u.dirName = opened, dir
	return opened, nil
}

func (u *unpacker) closeDir() error {
	if u.dir == nil {
		return nil
	}
	err := u.dir.Close()
	u.dir = nil
	return err
}

// replaceFile makes way for a member whose name an earlier one has: tar's
// appended versions. Only a plain file gives way.
func replaceFile(dir *os.Root, base, name string) error {
	st, err := dir.Lstat(base)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if !st.Mode().IsRegular() {
		return memberError(name, "is in the archive twice, first as a folder or link")
	}
	return dir.Remove(base)
}

func (u *unpacker) file(name string, m archiver.FileInfo) (err error) {
	if u.result.Bytes+m.Size() > u.limit {
		return fmt.Errorf("it unpacks to more than %d bytes, far more than an archive of its size should", u.limit)
	}
	dir, err := u.in(name)
	if err != nil {
		return err
	}
	base := path.Base(name)
	mode := fs.FileMode(0o644)
	if m.Mode()&0o111 != 0 {
		mode = 0o755 // and never set-uid, set-gid or sticky
	}
	to, err := dir.OpenFile(base, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if errors.Is(err, fs.ErrExist) {
		if err := replaceFile(dir, base, name); err != nil {
			return err
		}
		to, err = dir.OpenFile(base, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	defer func() { err = errors.Join(err, to.Close(), u.stamp(dir, base, m.ModTime())) }()
	from, err := m.Open()
	if err != nil {
		return fmt.Errorf("read member %s: %w", name, err)
	}
	n, err := io.Copy(to, io.LimitReader(from, u.limit-u.result.Bytes+1))
	u.result.Bytes += n
	if err = errors.Join(err, from.Close()); err != nil {
		return fmt.Errorf("unpack member %s: %w", name, err)
	}
	if n != m.Size() {
		return fmt.Errorf("member %s has %d bytes, the archive says %d", name, n, m.Size())
	}
	return nil
}

func (u *unpacker) stamp(dir *os.Root, base string, t time.Time) error {
	if t.Unix() <= 0 {
		return nil
	}
	if t.After(u.result.Newest) {
		u.result.Newest = t
	}
	return dir.Chtimes(base, t, t)
}

// symlink makes a link that stays in the folder, wherever it lies.
func (u *unpacker) symlink(name string, m archiver.FileInfo) error {
	target := m.LinkTarget
	if target == "" { // zip and 7z keep it as the member's content
		from, err := m.Open()
		if err != nil {
			return err
		}
		text, err := io.ReadAll(io.LimitReader(from, 4096))
		if err = errors.Join(err, from.Close()); err != nil {
			return err
		}
		target = string(text)
	}
	if target == "" || path.IsAbs(target) || strings.HasPrefix(target, `\`) || strings.ContainsRune(target, 0) ||
		!filepath.IsLocal(path.Join(path.Dir(name), target)) {
		return memberError(name, fmt.Sprintf("is a link to %q, which leaves the folder", target))
	}
	dir, err := u.in(name)
	if err != nil {
		return err
	}
	if err := replaceFile(dir, path.Base(name), name); err != nil {
		return err
	}
	return dir.Symlink(target, path.Base(name))
}

// hardLink links to a file that was unpacked before.
func (u *unpacker) hardLink(name, target string) error {
	clean, err := cleanName(target)
	if err != nil {
		return memberError(name, fmt.Sprintf("is a hard link to %q, which leaves the folder", target))
	}
	st, err := u.root.Lstat(clean)
	if err != nil || !st.Mode().IsRegular() {
		return memberError(name, fmt.Sprintf("is a hard link to %q, which is no file of this archive before it", target))
	}
	dir, err := u.in(name)
	if err != nil {
		return err
	}
	if err := replaceFile(dir, path.Base(name), name); err != nil {
		return err
	}
	return u.root.Link(clean, name)
}
