//go:build unix

package dir_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/condaworker/condaworker/store"
	"github.com/condaworker/condaworker/store/dir"
)

// A group whose umask lets it write shares a channel: every folder and file has the
// mode that plain tools would give it, and every folder the group of its parent.
func TestModesFollowTheUmask(t *testing.T) {
	for umask, want := range map[int]struct{ folder, file fs.FileMode }{
		0o002: {0o775, 0o664},
		0o022: {0o755, 0o644},
		0o077: {0o700, 0o600},
	} {
		top := t.TempDir()
		if err := os.Chmod(top, fs.ModeSetgid|0o777); err != nil {
			t.Fatal(err)
		}
		was := syscall.Umask(umask) // of the whole process: no test here runs beside another
		write(t, dir.Open(filepath.Join(top, "channel")))
		syscall.Umask(was)
		found := 0
		err := filepath.WalkDir(filepath.Join(top, "channel"), func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			found++
			st, err := d.Info()
			if err != nil {
				return err
			}
			mode := want.file
			if d.IsDir() {
				mode = want.folder
			}
			if st.Mode().Perm() != mode {
				t.Errorf("umask %03o: %s has %s, want %s", umask, path, st.Mode(), mode)
			}
			if runtime.GOOS == "linux" && d.IsDir() && st.Mode()&fs.ModeSetgid == 0 {
				t.Errorf("umask %03o: %s does not hand on its group", umask, path)
			}
			return nil
		})
		if err != nil || found != 8 {
			t.Errorf("%d folders and files: %v", found, err)
		}
	}
}

// write makes every kind of file that a channel has, and replaces one.
func write(t *testing.T, s *dir.Store) {
	t.Helper()
	for _, o := range []store.PutOptions{{Cond: store.IfAbsent}, {Meta: map[string]string{"m": "1"}}} {
		if _, err := s.Put(t.Context(), "noarch/a", strings.NewReader("x"), o); err != nil {
			t.Error(err)
		}
	}
}
