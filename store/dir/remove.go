package dir

import (
	"io/fs"
	"os"
	"path/filepath"
)

// RemoveAll removes path and what is below it, folders that may not be written
// included.
func RemoveAll(path string) error {
	if os.RemoveAll(path) == nil {
		return nil
	}
	_ = filepath.WalkDir(path, func(path string, e fs.DirEntry, _ error) error {
		if e != nil && e.IsDir() {
			_ = os.Chmod(path, 0o700) // whatever still fails shows below
		}
		return nil
	})
	return os.RemoveAll(path)
}
