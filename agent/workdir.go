package agent

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/condaworker/condaworker/store/dir"
)

const (
	workName = "condaworker-"
	lockName = "." + workName // before the same ending, beside the folder
	lockEnd  = ".lock"
)

// workDir is a folder of one run's own. As long as the run lives, or a script of its,
// it holds a lock on a file beside the folder.
type workDir struct {
	path string
	lock *os.File
}

// makeWorkDir makes one below parent, or in the system's temporary folder, and
// removes there what runs that were killed have left. The name is short: a build
// prefix may be 255 bytes long in all.
func (d *desk) makeWorkDir(parent string) (workDir, error) {
	if err := makeFolder("--work-dir", parent); err != nil {
		return workDir{}, err
	}
	parent = absolutePath(cmp.Or(parent, os.TempDir()))
	parent, err := filepath.EvalSymlinks(parent) // scripts see the same path that pwd -P prints
	if err != nil {
		return workDir{}, fmt.Errorf("make a folder to build in: %w", err)
	}
	d.removeLeft(parent)
	for range 10 { // another run's removeLeft may have taken the file before it was locked
		lock, err := os.CreateTemp(parent, lockName+"*"+lockEnd)
		if err != nil {
			return workDir{}, fmt.Errorf("make a folder to build in: %w", err)
		}
		if w := (workDir{folderOf(lock.Name()), lock}); holds(lock) {
			if err := os.Mkdir(w.path, 0o700); err != nil {
				return workDir{}, errors.Join(fmt.Errorf("make a folder to build in: %w", err), w.release())
			}
			return w, nil
		}
		_ = lock.Close() // it is nobody's any more
	}
	return workDir{}, fmt.Errorf("make a folder to build in: %s is being emptied by others", parent)
}

// folderOf is the folder that a lock file stands for.
func folderOf(lock string) string {
	dir, name := filepath.Split(lock)
	return filepath.Join(dir, workName+strings.TrimSuffix(strings.TrimPrefix(name, lockName), lockEnd))
}

// holds locks a file and tells whether it is ours now: no other process has the
// lock, and the file is still there under its name.
func holds(lock *os.File) bool {
	if !tryLock(lock) {
		return false
	}
	open, err := lock.Stat()
	if err != nil {
		return false
	}
	named, err := os.Lstat(lock.Name())
	return err == nil && os.SameFile(open, named)
}

// release removes the lock file: a folder without one is nobody's to clean.
func (w workDir) release() error {
	return errors.Join(os.Remove(w.lock.Name()), w.lock.Close())
}

// removeLeft removes the folders whose runs are dead. What it may not remove, or
// cannot, it leaves: it is another user's, or the next run's.
func (d *desk) removeLeft(parent string) {
	locks, _ := fs.Glob(os.DirFS(parent), lockName+"*"+lockEnd) // a folder that cannot be read has nothing of ours
	for _, name := range locks {
		name = filepath.Join(parent, name)
		lock, err := openOwn(name)
		if err != nil {
			continue
		}
		if left := folderOf(name); holds(lock) {
			_, missing := os.Lstat(left)
			if dir.RemoveAll(left) == nil && os.Remove(name) == nil && missing == nil {
				d.out.Log().Info("removed what a run that was killed left: " + left)
			}
		}
		_ = lock.Close()
	}
}

// removeWork removes the scratch folder, read-only folders of a script's
// making included.
func (d *desk) removeWork(w workDir, keep bool) error {
	if keep {
		d.out.Log().Info("kept " + w.path)
		return w.release()
	}
	if err := dir.RemoveAll(w.path); err != nil {
		return errors.Join(fmt.Errorf("remove the build's folder: %w", err), w.lock.Close())
	}
	return w.release()
}

// absolute makes paths independent of the folder that a script runs in.
func absolute(paths []string) []string {
	out := make([]string, len(paths))
	for i, p := range paths {
		out[i] = absolutePath(p)
	}
	return out
}

// fromHome is a path that no shell has seen, where ~ is the user's home.
func fromHome(path string) string {
	if rest, ok := strings.CutPrefix(path, "~"); ok && (rest == "" || os.IsPathSeparator(rest[0])) {
		if home, err := os.UserHomeDir(); err == nil {
			return home + rest
		}
	}
	return path
}

// absolutePath leaves an empty path empty: it means that none was given.
func absolutePath(path string) string {
	if path == "" {
		return ""
	}
	if abs, err := filepath.Abs(path); err == nil {
		return abs
	}
	return path
}
