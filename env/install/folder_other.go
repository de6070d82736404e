//go:build !linux

package install

import (
	"io/fs"
	"os"
	"time"
)

// folder is an open one of a package that is being unpacked.
type folder struct{ *os.Root }

func openFolder(root *os.Root, name string) (*folder, error) {
	r, err := root.OpenRoot(name)
	if err != nil {
		return nil, err
	}
	return &folder{r}, nil
}

// create makes the new file name, which has no folder in it.
func (f *folder) create(name string, mode fs.FileMode) (*os.File, error) {
	return f.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
}

// setTime sets the times of the file name.
func (f *folder) setTime(name string, at time.Time) error { return f.Chtimes(name, at, at) }
