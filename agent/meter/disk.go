package meter

import (
	"cmp"
	"maps"
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

// diskUse is what files occupy, in bytes.
type diskUse struct{ allocated, apparent int64 }

// folder is a watched one.
type folder struct{ name, path string }

// newFolder makes the path comparable with those that a walk meets.
func newFolder(name, path string) folder {
	if abs, err := filepath.Abs(path); err == nil {
		path = abs
	}
	return folder{name, path}
}

// folders is what the watched folders hold, or held at most.
type folders struct {
	diskUse
	each map[string]int64 // bytes allocated under each name
}

// most is the greater of two, for each name as well.
func (f folders) most(g folders) folders {
	r := folders{f.diskUse, maps.Clone(f.each)}
	if g.allocated > f.allocated {
		r.diskUse = g.diskUse
	}
	if r.each == nil {
		r.each = make(map[string]int64, len(g.each))
	}
	for name, n := range g.each {
		r.each[name] = max(r.each[name], n)
	}
	return r
}

// walk returns what the watched folders hold. What vanishes or cannot be read
// meanwhile does not count. It gives up, and says so, when stop is set.
func walk(watched []folder, stop *atomic.Bool) (use folders, done bool) {
	w := walker{seen: map[inode]bool{}, names: map[string]string{}, use: folders{each: map[string]int64{}}}
	for _, f := range watched {
		w.names[f.path] = f.name
	}
	for _, f := range watched {
		info, err := os.Stat(f.path) // the folder itself may be a link
		if err != nil || !info.IsDir() {
			continue
		}
		w.root = stat(info)
		if w.count(info, f.name) && !w.below(f, stop) {
			return folders{}, false
		}
	}
	return w.use, true
}

type walker struct {
	use   folders
	names map[string]string // of watched folders, by path
	root  file
	seen  map[inode]bool // folders, and files with several names
	todo  []folder       // to read
}

// below counts what is below a folder, unless told to stop.
func (w *walker) below(f folder, stop *atomic.Bool) (done bool) {
	for w.todo = append(w.todo, f); len(w.todo) > 0; {
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

// folder counts what f holds and notes its folders. It reads in portions: a
// folder may have a million files.
func (w *walker) folder(f folder) {
	dir, err := os.Open(f.path)
	if err != nil {
		return
	}
	defer dir.Close() //nolint:errcheck // only read
	for {
		entries, err := dir.ReadDir(512)
		for _, e := range entries {
			info, err := e.Info()
			if err != nil {
				continue
			}
			below := folder{name: f.name}
			if info.IsDir() {
				below.path = filepath.Join(f.path, e.Name())
				below.name = cmp.Or(w.names[below.path], f.name)
			}
			if w.count(info, below.name) {
				w.todo = append(w.todo, below)
			}
		}
		if err != nil { // io.EOF, or the folder is gone
			return
		}
	}
}

// count adds a file under a watched folder's name and reports whether it is a
// folder to go into: not one that was visited, nor another file system's (a
// mounted /proc, a network share).
func (w *walker) count(info os.FileInfo, name string) (enter bool) {
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
	w.use.each[name] += f.allocated
	if info.Mode().IsRegular() {
		w.use.apparent += info.Size()
	}
	return info.IsDir()
}
