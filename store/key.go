package store

import (
	"fmt"
	"io/fs"
	"strings"
)

// ValidKey refuses a key that could leave the channel or mean another object
// in some door: keys are relative slash paths without empty, "." and ".."
// parts, backslashes and control characters. Every door asks it first.
func ValidKey(key string) error {
	control := strings.ContainsFunc(key, func(r rune) bool { return r < ' ' || r == 0x7f || r == '\\' })
	if !fs.ValidPath(key) || key == "." || control {
		return fmt.Errorf("%q is not a key of a channel", key)
	}
	return nil
}
