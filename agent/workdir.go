package agent

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/condaworker/condaworker/store/dir"
)

// makeWorkDir makes a folder of this run's own. The name is short: a build
// prefix may be 255 bytes long in all.
func makeWorkDir(parent string) (string, error) {
	if parent != "" {
		if err := os.MkdirAll(parent, 0o755); err != nil {
			return "", fmt.Errorf("make --work-dir %s: %w", parent, err)
		}
	}
	dir, err := os.MkdirTemp(absolutePath(parent), "condaworker-")
	if err != nil {
		return "", fmt.Errorf("make a folder to build in: %w", err)
	}
	return filepath.EvalSymlinks(dir) // scripts see the same path that pwd -P prints
}

// removeWork removes the scratch folder, read-only folders of a script's
// making included.
func (d *desk) removeWork(work string, keep bool) error {
	if keep {
		d.out.Log().Info("kept " + work)
		return nil
	}
	if err := dir.RemoveAll(work); err != nil {
		return fmt.Errorf("remove the build's folder: %w", err)
	}
	return nil
}

// absolute makes paths independent of the folder that a script runs in.
func absolute(paths []string) []string {
	out := make([]string, len(paths))
	for i, p := range paths {
		out[i] = absolutePath(p)
	}
	return out
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
