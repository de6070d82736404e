package agent

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"syscall"

	"github.com/condaworker/condaworker/conda/archive"
)

// stat looks at what the command line names. what is how it is named there,
// e.g. --patch.
func stat(what, path string) (os.FileInfo, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return nil, usageError{fmt.Errorf("%s %s: there is no such file", what, path)}
	}
	if err != nil {
		return nil, usageError{fmt.Errorf("%s %s: %w", what, path, reason(err))}
	}
	return info, nil
}

// checkFiles finds out before the work that files of a flag can be read.
func checkFiles(flag string, files ...string) error {
	for _, file := range files {
		info, err := stat(flag, file)
		if err != nil {
			return err
		}
		if !info.Mode().IsRegular() {
			return usageError{fmt.Errorf("%s %s: it is no regular file", flag, file)}
		}
		f, err := os.Open(file) //nolint:gosec // the user's
		if err != nil {
			return usageError{fmt.Errorf("%s %s: %w; let this user read it", flag, file, reason(err))}
		}
		_ = f.Close() // nothing was read
	}
	return nil
}

// checkPackages is checkFiles for packages, of which some may be at a URL.
func checkPackages(packages []string) error {
	for _, path := range packages {
		switch {
		case isURL(path):
			continue
		case !strings.HasSuffix(path, ".conda") && !strings.HasSuffix(path, ".tar.bz2"):
			return usageError{fmt.Errorf("package %s: a package's name ends in .conda or .tar.bz2; name the file, or its URL", path)}
		}
		if err := checkFiles("package", path); err != nil {
			return err
		}
	}
	return nil
}

// damaged adds what to do about a package that is no good.
func damaged(err error) error {
	if errors.Is(err, archive.ErrInvalid) {
		return fmt.Errorf("%w; build it again, or copy it again from where it is whole", err)
	}
	return err
}

// checkFolder finds out before the work that a path is a folder, or can be made one as far
// as other files are concerned.
func checkFolder(flag, path string) error {
	info, err := os.Stat(path)
	if errors.Is(err, syscall.ENOTDIR) || err == nil && !info.IsDir() {
		return usageError{fmt.Errorf("%s %s: a file is in the way; name a folder", flag, path)}
	}
	return nil
}

// makeFolder makes the folder that a flag names; "" is none.
func makeFolder(flag, path string) error {
	if path == "" {
		return nil
	}
	err := os.MkdirAll(path, 0o755)
	if errors.Is(err, syscall.ENOTDIR) || errors.Is(err, fs.ErrExist) {
		return usageError{fmt.Errorf("%s %s: a file is in the way; name a folder", flag, path)}
	}
	if err != nil {
		return fmt.Errorf("make %s %s: %w", flag, path, reason(err))
	}
	return nil
}

// reason is what the system said, without the call and the path.
func reason(err error) error {
	if failed, ok := errors.AsType[*fs.PathError](err); ok {
		return failed.Err
	}
	return err
}
