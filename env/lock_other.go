//go:build !unix

package env

import "os"

// lockFolder opens the folder: packages are not installed on this system yet.
func lockFolder(dir string) (*os.File, error) { return os.Open(dir) }
