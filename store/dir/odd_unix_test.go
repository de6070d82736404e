//go:build unix

package dir_test

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/condaworker/condaworker/store"
	"github.com/condaworker/condaworker/store/dir"
)

// Who opens a pipe waits for its other end, and no signal ends that. A file that has
// gone elsewhere behind a link may be a pipe, too.
func TestWhatIsNoRegularFileIsNotOpened(t *testing.T) {
	root := t.TempDir()
	t.Chdir(root) // a socket's path is short
	must(t, syscall.Mkfifo("pipe", 0o600))
	must(t, os.Symlink("pipe", "link"))
	socket, err := new(net.ListenConfig).Listen(t.Context(), "unix", "socket")
	must(t, err)
	defer socket.Close()
	s := dir.Open(root)
	for _, key := range []string{"pipe", "link", "socket"} {
		_, _, get := s.Get(t.Context(), key, 0, -1)
		_, absent := s.Put(t.Context(), key, strings.NewReader("x"), store.PutOptions{Cond: store.IfAbsent})
		_, version := s.Put(t.Context(), key, strings.NewReader("x"), store.PutOptions{Cond: "1"})
		for what, err := range map[string]error{"get": get, "put": absent, "replace": version} {
			if err == nil || errors.Is(err, fs.ErrNotExist) || errors.Is(err, store.ErrConflict) ||
				!strings.Contains(err.Error(), filepath.Join(root, key)+" is no regular file: move it away") {
				t.Errorf("%s %s: %v", what, key, err)
			}
		}
	}
}
