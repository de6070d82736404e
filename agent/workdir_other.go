//go:build !unix

package agent

import (
	"errors"
	"os"
)

// tryLock is not needed where nothing left is removed.
func tryLock(*os.File) bool { return true }

// openOwn leaves what killed runs left to the user: these systems build no
// packages yet.
func openOwn(string) (*os.File, error) { return nil, errors.ErrUnsupported }
