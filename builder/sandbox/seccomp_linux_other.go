//go:build linux && !amd64

package sandbox

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// machine is the one that seccomp's filter is for; 0 is none.
var machine = map[string]uint32{"arm64": unix.AUDIT_ARCH_AARCH64}[runtime.GOARCH]

// oldOwners are calls that only older machines have.
var oldOwners []uintptr
