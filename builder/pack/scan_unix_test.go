//go:build unix

package pack

import (
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestScanRefusesFIFOs(t *testing.T) {
	prefix := t.TempDir()
	must(t, syscall.Mkfifo(filepath.Join(prefix, "pipe"), 0o644))
	if _, err := Scan(prefix, nil); err == nil || !strings.Contains(err.Error(), "pipe is a FIFO") {
		t.Errorf("got %v", err)
	}
}
