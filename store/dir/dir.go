// Package dir keeps a channel in a folder of a local or network file system.
//
// An object is a file; it appears by link(2) or rename(2), whole or not at
// all. What a file system lacks lies in the folder .condaworker: a lock file
// that makes compare-and-rename one step, and metadata beside each object that
// has some. Start with Put.
package dir

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/condaworker/condaworker/store"
)

const (
	private  = ".condaworker" // below the root: never listed
	tempMark = ".tmp-"        // begins the name of a file that is being written
)

// Store is a channel in a folder.
type Store struct {
	root  string
	swept sync.Map // of folders in which abandoned files were looked for
	turn  chan struct{}
}

var _ store.Store = (*Store)(nil)

// Open returns the channel in root. It touches nothing: the folder is made by
// the first Put.
func Open(root string) *Store { return &Store{root: root, turn: make(chan struct{}, 1)} }

// file is where key lies. Keys come from package names and from listings, so
// one that leaves the folder is refused here, whoever made it.
func (s *Store) file(key string) (string, error) {
	if err := store.ValidKey(key); err != nil {
		return "", err
	}
	if strings.HasPrefix(key, private+"/") {
		return "", fmt.Errorf("%q is a key that the folder keeps for itself", key)
	}
	return filepath.Join(s.root, filepath.FromSlash(key)), nil
}

// Get opens part of an object. When another host replaces the object on a file server
// while it is read, the body may end with store.ErrConflict.
func (s *Store) Get(_ context.Context, key string, off, n int64) (io.ReadCloser, store.Info, error) {
	name, err := s.file(key)
	if err != nil {
		return nil, store.Info{}, err
	}
	p, err := again(func() (*part, error) { return s.open(name, key, off, n) })
	if err != nil {
		return nil, store.Info{}, err
	}
	return p, p.info, nil
}

// missing explains an error by the folder itself, where that is not there or is
// a file, or by a link that leads nowhere.
func (s *Store) missing(err error) error {
	err = circling(err)
	if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ENOTDIR) {
		return err
	}
	st, statErr := os.Stat(s.root)
	switch {
	case errors.Is(statErr, fs.ErrNotExist):
		return store.NoPlace("such folder", "correct the URL, or make it by publishing a package to it")
	case errors.Is(statErr, syscall.ENOTDIR), statErr == nil && !st.IsDir():
		return errors.New("it is not a folder: name the one that has the subdirs")
	case errors.Is(err, syscall.ENOTDIR):
		return noFolder(err)
	}
	return err
}

// noFolder says which file has a folder's place.
func noFolder(err error) error {
	failed, ok := errors.AsType[*fs.PathError](err)
	if !ok {
		return err
	}
	for name := failed.Path; ; name = filepath.Dir(name) {
		st, err := os.Stat(name)
		switch {
		case err == nil && !st.IsDir():
			return fmt.Errorf("%s is a file, where the channel has a folder: move it away", name)
		case err == nil || name == filepath.Dir(name):
			return failed // it is a folder by now
		}
	}
}

// circling explains an error by the link that leads in a circle.
func circling(err error) error {
	failed, ok := errors.AsType[*fs.PathError](err)
	if !ok || !errors.Is(err, syscall.ELOOP) {
		return err
	}
	return circle(failed.Path)
}

// circle is a link that leads nowhere. It matches fs.ErrPermission and not
// fs.ErrNotExist: a mount that fails looks the same, and nobody knows what is behind it.
type circle string

// Error tells what to do.
func (c circle) Error() string {
	return string(c) + " is a link that leads in a circle, or a mount that fails: mend it, or move it away"
}

// Is tells what the error matches.
func (circle) Is(target error) bool { return target == fs.ErrPermission }

// List yields the files below the folder in the order of their keys. In a shallow
// listing, what this user cannot look at has Size -1; a link that may lead to a file or
// to a folder is listed as both.
func (s *Store) List(ctx context.Context, prefix string, o store.ListOptions) iter.Seq2[store.Info, error] {
	return func(yield func(store.Info, error) bool) {
		all, err := s.list(ctx, prefix, o)
		if err != nil {
			yield(store.Info{}, err)
			return
		}
		for _, in := range all {
			if !yield(in, nil) {
				return
			}
		}
	}
}

// list looks below the deepest folder that can hold the prefix. Files that others
// are writing are left out.
func (s *Store) list(ctx context.Context, prefix string, o store.ListOptions) ([]store.Info, error) {
	st, err := os.Stat(s.root)
	if err == nil && !st.IsDir() {
		err = syscall.ENOTDIR
	}
	if err != nil {
		return nil, s.missing(err)
	}
	l := lister{root: s.root, prefix: prefix, o: o}
	folder := prefix[:max(strings.LastIndexByte(prefix, '/'), 0)]
	if !fs.ValidPath(folder) {
		folder = ""
	}
	err = l.folder(ctx, folder)
	slices.SortFunc(l.all, func(a, b store.Info) int { return strings.Compare(a.Key, b.Key) })
	return l.all, err
}

// lister collects what a listing shows.
type lister struct {
	root, prefix string
	o            store.ListOptions
	all          []store.Info
}

// folder lists a folder by its key, which has no slash at its end. Symbolic links
// are followed: a channel's disk may be full, and a subdir lie on another.
func (l *lister) folder(ctx context.Context, key string) error {
	entries, err := os.ReadDir(filepath.Join(l.root, filepath.FromSlash(key)))
	if err != nil {
		return there(circling(err))
	}
	for _, d := range entries {
		if err := ctx.Err(); err != nil {
			return err
		}
		at := path.Join(key, d.Name())
		if d.Name() == private || strings.HasPrefix(d.Name(), tempMark) || !strings.HasPrefix(at, l.prefix) {
			continue
		}
		if err := l.entry(ctx, at, d); err != nil {
			return err
		}
	}
	return nil
}

// entry adds a file, or what is in a folder, or a folder that a shallow listing
// shows.
func (l *lister) entry(ctx context.Context, key string, d fs.DirEntry) error {
	if d.IsDir() {
		return l.inside(ctx, key)
	}
	if key <= l.o.After && d.Type().IsRegular() {
		return nil
	}
	st, err := os.Stat(filepath.Join(l.root, filepath.FromSlash(key)))
	switch {
	case err != nil && there(err) == nil:
	case err != nil:
		return l.unseen(key, d, err)
	case st.IsDir():
		return l.inside(ctx, key)
	case st.Mode().IsRegular():
		l.add(info(key, st))
	}
	return nil
}

// inside adds what is in a folder, or the folder to a shallow listing. An empty one
// is none to a store; one that cannot be listed may hold anything.
func (l *lister) inside(ctx context.Context, key string) error {
	if !l.o.Shallow {
		return l.folder(ctx, key)
	}
	if key+"/" <= l.o.After {
		return nil
	}
	entries, err := os.ReadDir(filepath.Join(l.root, filepath.FromSlash(key)))
	if len(entries) > 0 || there(err) != nil {
		l.add(store.Info{Key: key + "/"})
	}
	return nil
}

// unseen adds what cannot be looked at: it must not seem to be gone, and a stray not
// end what is done with everything else. Where it may be a folder of objects that are
// asked for, it ends the listing.
func (l *lister) unseen(key string, d fs.DirEntry, err error) error {
	if !l.o.Shallow {
		return circling(err)
	}
	l.add(store.Info{Key: key, Size: -1, Version: "?"}) // no file has that version, and "" would be none to compare with
	if d.Type()&fs.ModeSymlink != 0 {
		l.add(store.Info{Key: key + "/"})
	}
	return nil
}

func (l *lister) add(in store.Info) {
	if in.Key > l.o.After {
		l.all = append(l.all, in)
	}
}

// there is err, but nil for what went away during a listing, or never was there.
func there(err error) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return nil
	}
	return err
}

// Put writes body beside its place, makes it durable, and moves it there if
// o.Cond holds. ContentType and CacheControl have no place in a folder.
func (s *Store) Put(ctx context.Context, key string, body io.ReadSeeker, o store.PutOptions) (store.Info, error) {
	name, err := s.file(key)
	if err != nil {
		return store.Info{}, err
	}
	if err := makeFolder(filepath.Dir(name)); err != nil {
		return store.Info{}, fmt.Errorf("write %s: %w", key, s.missing(err))
	}
	s.sweep(filepath.Dir(name))
	if len(o.Meta) > 0 {
		s.sweep(filepath.Dir(s.metaFile(key))) // not under the lock, where its file is written: the others wait
	}
	temp, err := writeTemp(filepath.Dir(name), body)
	if err != nil {
		return store.Info{}, fmt.Errorf("write %s: %w", key, err)
	}
	defer temp.remove() // gone already when the write succeeded
	err = s.place(ctx, temp, name, key, o)
	if errors.Is(err, store.ErrConflict) {
		in, same, readErr := store.Same(ctx, s, key, body, o)
		if same || readErr != nil {
			return in, readErr
		}
		return in, fmt.Errorf("write %s: %w", key, cmp.Or(inTheWay(name), err))
	}
	if err != nil {
		return store.Info{}, fmt.Errorf("write %s: %w", key, err)
	}
	in := info(key, temp.st) // name may be another writer's by now
	in.Meta = o.Meta
	return in, syncDir(filepath.Dir(name))
}

// inTheWay says what has an object's place and can be none, nil for nothing. No
// other writer put that there, and to try again would not help.
func inTheWay(name string) error {
	st, err := os.Lstat(name)
	if err != nil || st.Mode().IsRegular() {
		return nil //nolint:nilerr // it is gone
	}
	if at, err := os.Stat(name); err == nil && at.Mode().IsRegular() {
		return nil
	}
	what := "something that is no file"
	switch {
	case st.IsDir():
		what = "a folder"
	case st.Mode()&fs.ModeSymlink != 0:
		what = "a link that leads to no file"
	}
	return fmt.Errorf("%s is %s: move it away", name, what)
}

// abandoned is how long ago a file was last written that nobody writes any more.
const abandoned = 24 * time.Hour

// sweep removes, once for each folder, what killed writers have left there. It
// is a courtesy and may fail.
func (s *Store) sweep(folder string) {
	if _, done := s.swept.LoadOrStore(folder, true); done {
		return
	}
	d, err := os.Open(folder) //nolint:gosec // the store's own
	if err != nil {
		return
	}
	defer d.Close() //nolint:errcheck // only read
	for err == nil {
		var names []string // unsorted: of 10^5 that takes longer than the rest
		names, err = d.Readdirnames(1024)
		for _, name := range names {
			if !strings.HasPrefix(name, tempMark) {
				continue
			}
			name = filepath.Join(folder, name)
			if st, err := os.Lstat(name); err == nil && time.Since(st.ModTime()) > abandoned {
				_ = os.Remove(name)
			}
		}
	}
}

// Who may do what with a channel is for the umask, the folder's group bit and its
// default ACL to say: several users may share one.
const (
	folderMode = 0o777
	fileMode   = 0o666
)

// makeFolder makes a folder and those above it, if they are missing.
func makeFolder(name string) error {
	return os.MkdirAll(name, folderMode) //nolint:gosec // less the umask
}

// createTemp makes a new file that others cannot take for an object.
// os.CreateTemp's are their maker's alone, whatever the umask.
func createTemp(dir string) (*os.File, error) {
	return os.OpenFile(filepath.Join(dir, tempMark+rand.Text()), os.O_RDWR|os.O_CREATE|os.O_EXCL, fileMode) //nolint:gosec // less the umask
}

// temp is a file that was written whole and is becoming durable meanwhile.
type temp struct {
	name    string
	st      fs.FileInfo  // stays when the file gets another name
	durable func() error // waits until it is
}

// writeTemp writes a file of another name in the same folder: a rename within a
// file system is one step.
func writeTemp(dir string, body io.ReadSeeker) (t temp, err error) {
	if _, err := body.Seek(0, io.SeekStart); err != nil {
		return t, err
	}
	f, err := createTemp(dir)
	if err != nil {
		return t, err
	}
	_, err = io.Copy(f, body)
	err = errors.Join(err, f.Close())
	if err == nil {
		// The kernel's own time stamps have a few milliseconds; a version must
		// tell apart two writes that follow one another at once.
		now := time.Now()
		err = os.Chtimes(f.Name(), now, now)
	}
	if err == nil {
		t.st, err = os.Stat(f.Name())
	}
	if err != nil {
		return t, errors.Join(err, os.Remove(f.Name()))
	}
	synced := make(chan error, 1)
	go func() { synced <- syncFile(f.Name()) }()
	return temp{f.Name(), t.st, sync.OnceValue(func() error { return <-synced })}, nil
}

// syncFile makes a file's bytes and times durable.
func syncFile(name string) error {
	f, err := os.OpenFile(name, os.O_RDWR, 0) //nolint:gosec // a name of our own
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// move gives the file the name of another, which it replaces.
func (t temp) move(name string) error {
	if err := t.durable(); err != nil {
		return err
	}
	return os.Rename(t.name, name)
}

// remove deletes the file if it was not moved.
func (t temp) remove() {
	_ = t.durable()
	_ = os.Remove(t.name)
}

// large is the size in bytes of a file for which the others do not wait until it is
// durable: whoever writes it waits for that before it takes the lock.
const large = 16 << 20

// place moves temp to name if o.Cond holds.
func (s *Store) place(ctx context.Context, temp temp, name, key string, o store.PutOptions) error {
	if o.Cond == store.IfAbsent && len(o.Meta) == 0 {
		if done, err := temp.link(name); done {
			return err
		}
	}
	if temp.st.Size() > large {
		if err := temp.durable(); err != nil {
			return err
		}
	}
	unlock, err := s.lock(ctx)
	if err != nil {
		return err
	}
	return errors.Join(s.placeLocked(temp, name, key, o), unlock())
}

// placeLocked checks and moves. Metadata goes before its object, beside that of
// the object which is replaced: whichever is there after a crash has its own.
func (s *Store) placeLocked(temp temp, name, key string, o store.PutOptions) error {
	st, err := newest(name)
	exists := err == nil
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	switch {
	case o.Cond == store.IfAbsent && exists,
		o.Cond != store.Always && o.Cond != store.IfAbsent && (!exists || store.IfVersion(info(key, st)) != o.Cond):
		return store.ErrConflict
	}
	if len(o.Meta) > 0 {
		all := []sidecar{{info(key, temp.st).Version, o.Meta}}
		if exists {
			was := info(key, st)
			meta, err := s.meta(was)
			if err != nil {
				return err
			}
			all = append(all, sidecar{was.Version, meta})
		}
		if err := s.putMeta(key, all); err != nil {
			return err
		}
	}
	if o.Cond == store.IfAbsent { // also if somebody copies a file there by hand
		if done, err := temp.link(name); done {
			return err
		}
	}
	return temp.move(name)
}

// link gives the file a name that nothing has. It is not done where there are no
// hard links: there, the folder's lock makes check and rename one step.
func (t temp) link(name string) (done bool, err error) {
	if err := t.durable(); err != nil {
		return true, err
	}
	err = os.Link(t.name, name)
	if errors.Is(err, fs.ErrExist) {
		return true, store.ErrConflict
	}
	return err == nil, err
}

// patience is how long a write waits for others. What they do under the lock takes
// moments, and a server of NFSv4 forgets the locks of a host that is gone in 90 seconds.
const patience = 2 * time.Minute

// lock serialises the conditional writes to this folder among processes.
func (s *Store) lock(ctx context.Context) (unlock func() error, err error) {
	waiting, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	unlock, err = s.inTurn(waiting)
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		file := s.lockName()
		return nil, fmt.Errorf("%[1]s was locked for all of %[2]s, where a writer needs moments (%[3]w): "+
			"find the process that has it, by fuser -v %[1]s or lslocks on each host that writes here, and end it if it hangs; "+
			"if its host is down, start that again, or free its locks on the file server; "+
			"leave the file where it is: without it, two would write at once", file, patience, ErrHeld)
	}
	return unlock, err
}

// inTurn waits for the lock. The writes of one process take turns before: whoever finds
// the file locked asks again later.
func (s *Store) inTurn(ctx context.Context) (unlock func() error, err error) {
	select {
	case s.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	free, err := s.lockFile(ctx)
	if err != nil {
		<-s.turn
		return nil, err
	}
	return func() error {
		defer func() { <-s.turn }()
		return free()
	}, nil
}

// lockFile locks the folder against other processes.
func (s *Store) lockFile(ctx context.Context) (unlock func() error, err error) {
	if err := makeFolder(filepath.Join(s.root, private)); err != nil {
		return nil, err
	}
	return Lock(ctx, s.lockName())
}

func (s *Store) lockName() string { return filepath.Join(s.root, private, "lock") }

// Delete removes an object and its metadata.
func (s *Store) Delete(_ context.Context, key string) error {
	name, err := s.file(key)
	if err != nil {
		return err
	}
	for _, f := range []string{name, s.metaFile(key)} {
		if err := os.Remove(f); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// CheckWritable tells in advance that Put would be refused. It leaves nothing
// behind, not even the folder.
func (s *Store) CheckWritable() error {
	dir := s.root
	for {
		f, err := os.CreateTemp(dir, tempMark)
		if err == nil {
			return errors.Join(f.Close(), os.Remove(f.Name()))
		}
		if parent := filepath.Dir(dir); errors.Is(err, fs.ErrNotExist) && parent != dir {
			dir = parent
			continue
		}
		if s.missing(err) != err { //nolint:errorlint // the very same
			return s.missing(err)
		}
		return fmt.Errorf("folder %s cannot be written: %w", dir, err)
	}
}

// info describes a file as an object.
func info(key string, st fs.FileInfo) store.Info {
	return store.Info{Key: key, Size: st.Size(), Version: version(st), Modified: st.ModTime()}
}

// sidecar is the metadata of one version of an object.
type sidecar struct {
	Version string            `json:"version"`
	Meta    map[string]string `json:"meta"`
}

// metaFile is where an object's metadata lies.
func (s *Store) metaFile(key string) string {
	return filepath.Join(s.root, private, "meta", filepath.FromSlash(path.Clean(key))+".json")
}

// meta reads what Put kept with exactly this version, nil if that is nothing:
// metadata is a shortcut, never the only copy.
func (s *Store) meta(in store.Info) (map[string]string, error) {
	text, err := again(func() ([]byte, error) { return os.ReadFile(s.metaFile(in.Key)) })
	if err != nil {
		return nil, there(err)
	}
	var all []sidecar
	_ = json.Unmarshal(text, &all) // what cannot be read is of no version
	for _, m := range all {
		if m.Version == in.Version {
			return m.Meta, nil
		}
	}
	return nil, nil
}

// putMeta keeps the metadata of the versions that key may have.
func (s *Store) putMeta(key string, all []sidecar) error {
	text, err := json.Marshal(all)
	if err != nil {
		return err
	}
	name := s.metaFile(key)
	if err := makeFolder(filepath.Dir(name)); err != nil {
		return err
	}
	temp, err := writeTemp(filepath.Dir(name), strings.NewReader(string(text)))
	if err != nil {
		return err
	}
	defer temp.remove() // gone already when the write succeeded
	return temp.move(name)
}
