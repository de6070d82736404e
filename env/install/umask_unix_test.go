//go:build unix

package install

import (
	"os"
	"syscall"
	"testing"
)

// The tests say which modes files get; those follow the umask, as they should.
func TestMain(m *testing.M) {
	syscall.Umask(0o022)
	os.Exit(m.Run())
}
