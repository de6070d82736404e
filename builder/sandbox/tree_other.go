//go:build !linux

package sandbox

import (
	"os"
	"syscall"
	"time"
)

func attributes() *syscall.SysProcAttr { return nil }

// tree is the command alone: these systems build no packages yet.
type tree struct{}

func newTree() *tree { return &tree{} }

func (*tree) end(_ time.Duration, leader *os.Process) {
	if leader != nil {
		_ = leader.Kill() // it may be gone already
	}
}
