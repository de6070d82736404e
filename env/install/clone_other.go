//go:build !linux && !darwin

package install

import "errors"

// cloneFile says that there is no such thing.
func cloneFile(_, _ string) error { return errors.ErrUnsupported }
