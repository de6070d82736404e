package meter

import (
	"os"
	"path/filepath"
	"sync/atomic"
)

// inode tells one file from another whatever its name.
type inode struct{ device, number uint64 }

// file is what the walk wants to know of one.
type file struct {
	inode
	diskUse
	names uint64 // how many it has
	known bool   // inode and names are
}

// walk returns what dirs hold. What vanishes or cannot be read meanwhile does
// not count. It gives up, and says so, when stop is set.
func walk(dirs []string, stop *atomic.Bool) (use diskUse, done bool) {
	w := walker{seen: map[inode]bool{}}
	for _, dir := range dirs {
		info, err := os.Stat(dir) // the folder itself may be a link
		if err != nil || !info.IsDir() {
			continue
		}
		w.root = stat(info)
		if w.count(info) && !w.below(dir, stop) {
			return diskUse{}, false
		}
	}
	return w.use, true
}

type walker struct {
	use  diskUse
	root file
	seen map[inode]bool // folders, and files with several names
	todo []string       // folders to read
}

// below counts what is below a folder, unless told to stop.
func (w *walker) below(dir string, stop *atomic.Bool) (done bool) {
	for w.todo = append(w.todo, dir); len(w.todo) > 0; {
		if stop.Load() {
			return false
		}
		last := len(w.todo) - 1
		next := w.todo[last]
		w.todo = w.todo[:last]
		w.folder(next)
	}
	return true
}

// folder counts what path holds and notes its folders. It reads in portions:
// a folder may have a million files.
func (w *walker) folder(path string) {
	f, err := os.Open(path)
	if err != nil {
		return
	}
	defer f.Close() //nolint:errcheck // only read
	for {
		entries, err := f.ReadDir(512)
		for _, e := range entries {
			info, err := e.Info()
			if err != nil || !w.count(info) {
				continue
			}
			w.todo = append(w.todo, filepath.Join(path, e.Name()))
		}
		if err != nil { // io.EOF, or the folder is gone
			return
		}
	}
}

// count adds a file and reports whether it is a folder to go into: not one that
// was visited, nor another file system's (a mounted /proc, a network share).
func (w *walker) count(info os.FileInfo) (enter bool) {
	f := stat(info)
	if info.IsDir() && f.device != w.root.device {
		return false
	}
	if f.known && (info.IsDir() || f.names > 1) {
		if w.seen[f.inode] {
			return false
		}
		w.seen[f.inode] = true
	}
	w.use.allocated += f.allocated
	if info.Mode().IsRegular() {
		w.use.apparent += info.Size()
	}
	return info.IsDir()
}
