package meter

import (
	"io/fs"
	"os"
	"path/filepath"

	"github.com/shirou/gopsutil/v3/process"
)

// memoryMethod is how the peak of memory is found. Samples alone would miss a
// short burst; the kernel's own maximum catches that of any single process.
const memoryMethod = "the larger of the sampled sum over the process tree (PSS, else RSS) and the kernel's maximum RSS of its largest process"

// treeMemory is the memory of this process and all its descendants now, in
// bytes, and how many they are. Pages that processes share count once (PSS)
// where the system tells.
func treeMemory() (bytes int64, processes int) {
	self, err := process.NewProcess(int32(os.Getpid())) //nolint:gosec // a pid is small
	if err != nil {
		return 0, 0
	}
	for todo := []*process.Process{self}; len(todo) > 0; todo = todo[1:] {
		p := todo[0]
		if n, ok := memoryOf(p); ok {
			bytes += n
			processes++
		}
		if children, err := p.Children(); err == nil {
			todo = append(todo, children...)
		}
	}
	return bytes, processes
}

// diskUse is what dirs hold, in allocated bytes; a file with several names
// counts once. What vanishes during the walk does not count.
func diskUse(dirs []string) int64 {
	var total int64
	seen := map[fileID]bool{}
	for _, dir := range dirs {
		_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
			if err != nil {
				return nil //nolint:nilerr // gone or unreadable: it does not count
			}
			info, err := d.Info()
			if err != nil {
				return nil //nolint:nilerr // gone
			}
			bytes, id := allocated(info)
			if id.links > 1 && !d.IsDir() {
				if seen[id] {
					return nil
				}
				seen[id] = true
			}
			total += bytes
			return nil
		})
	}
	return total
}

// fileID tells one file from another whatever its name.
type fileID struct {
	device, inode uint64
	links         uint64
}
