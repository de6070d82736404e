//go:build !linux

package sandbox

import (
	"context"
	"runtime"
)

// Probe knows no features of systems other than Linux.
func Probe(context.Context) []Feature {
	return []Feature{{Name: "namespaces and Landlock", What: "there are none on " + runtime.GOOS, Todo: "build on Linux"}}
}
