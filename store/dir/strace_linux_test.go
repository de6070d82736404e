package dir_test

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/condaworker/condaworker/store"
	"github.com/condaworker/condaworker/store/dir"
)

// straced is the variable that names the folder of a test that runs under strace.
const straced = "CONDAWORKER_STRACED"

// underStrace runs the test that calls it once more, under strace with more of its
// options, and returns what the system calls were. There it returns the folder to
// work in, which is another one for the test outside, and the thread is one: strace
// counts the calls of each on its own.
func underStrace(t *testing.T, options func(folder string) []string) (folder, calls string) {
	t.Helper()
	if folder := os.Getenv(straced); folder != "" {
		runtime.LockOSThread()
		return folder, ""
	}
	strace, err := exec.LookPath("strace")
	switch {
	case err != nil && os.Getenv("CONDAWORKER_TEST_NOSKIP") != "":
		t.Fatal(err)
	case err != nil:
		t.Skip("not here: strace")
	}
	if out, err := exec.CommandContext(t.Context(), strace, "-qq", "-o", os.DevNull, "true").CombinedOutput(); err != nil {
		t.Skipf("not here: strace may not look at processes here: %s", out)
	}
	folder = t.TempDir()
	log := filepath.Join(t.TempDir(), "calls")
	args := append([]string{"-f", "-qq", "-o", log}, options(folder)...)
	//nolint:gosec // the test itself
	cmd := exec.CommandContext(t.Context(), strace, append(args, os.Args[0], "-test.run=^"+regexp.QuoteMeta(t.Name())+"$")...)
	cmd.Env = append(os.Environ(), straced+"="+folder)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
	text, err := os.ReadFile(log)
	must(t, err)
	return "", string(text)
}

// inOrder tells whether the text has all parts, each behind the one before.
func inOrder(text string, parts ...string) bool {
	for _, part := range parts {
		_, rest, found := strings.Cut(text, part)
		if !found {
			return false
		}
		text = rest
	}
	return true
}

// Linux locks a file of NFSv4 for one only who may write it, and else says EBADF.
func TestALockThatNeedsAFileOpenForWriting(t *testing.T) {
	folder, calls := underStrace(t, func(folder string) []string {
		return []string{"-P", filepath.Join(folder, "lock"), "-e", "trace=openat,flock", "-e", "inject=flock:error=EBADF:when=1"}
	})
	if folder != "" {
		syscall.Umask(0o022)
		release, err := dir.Lock(t.Context(), filepath.Join(folder, "lock"))
		must(t, err)
		must(t, release())
		return
	}
	if !inOrder(calls, "O_RDONLY", "EBADF", "O_RDWR", "LOCK_EX", " = 0", "LOCK_UN") {
		t.Errorf("the calls were\n%s", calls)
	}
}

// Who may not write the file there, is told what to do.
func TestALockFileOfAnotherUserOnNFS(t *testing.T) {
	folder, calls := underStrace(t, func(folder string) []string {
		return []string{"-P", filepath.Join(folder, "lock"), "-e", "trace=openat,flock", "-e", "inject=flock:error=EBADF:when=1", "-e", "inject=openat:error=EACCES:when=2"}
	})
	if folder != "" {
		syscall.Umask(0o022)
		_, err := dir.Lock(t.Context(), filepath.Join(folder, "lock"))
		if !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), "chmod g+w") {
			t.Error(err)
		}
		return
	}
	if !inOrder(calls, "O_RDONLY", "EBADF", "O_RDWR", "EACCES") {
		t.Errorf("the calls were\n%s", calls)
	}
}

// What an NFS client remembers of a file is some seconds old; opening it asks the server.
func TestAVersionIsComparedWithThatOfAnOpenFile(t *testing.T) {
	folder, calls := underStrace(t, func(folder string) []string {
		return []string{"-P", filepath.Join(folder, "k"), "-P", filepath.Join(folder, ".condaworker", "lock"), "-e", "trace=openat,flock"}
	})
	if folder != "" {
		s := dir.Open(folder)
		in, err := s.Put(t.Context(), "k", strings.NewReader("old"), store.PutOptions{Cond: store.IfAbsent})
		must(t, err)
		_, err = s.Put(t.Context(), "k", strings.NewReader("new"), store.PutOptions{Cond: store.IfVersion(in)})
		must(t, err)
		return
	}
	if !inOrder(calls, "LOCK_EX", "/k\", O_RDONLY", "LOCK_UN") {
		t.Errorf("the calls were\n%s", calls)
	}
}

// A file that another host replaces while it is opened is the next one of its name.
func TestAFileThatIsReplacedWhileItIsOpened(t *testing.T) {
	for _, call := range []string{"openat", "pread64"} {
		t.Run(call, func(t *testing.T) {
			folder, calls := underStrace(t, func(folder string) []string {
				return []string{"-P", filepath.Join(folder, "k"), "-e", "trace=" + call, "-e", "inject=" + call + ":error=ESTALE:when=1"}
			})
			if folder != "" {
				s := dir.Open(folder)
				_, err := s.Put(t.Context(), "k", strings.NewReader("text"), store.PutOptions{})
				must(t, err)
				body, _, err := s.Get(t.Context(), "k", 0, -1)
				must(t, err)
				if text, err := io.ReadAll(body); err != nil || string(text) != "text" {
					t.Errorf("%q, %v", text, err)
				}
				must(t, body.Close())
				return
			}
			if !inOrder(calls, "ESTALE", " = ") {
				t.Errorf("the calls were\n%s", calls)
			}
		})
	}
}

// Of one that is replaced later, the reader has the size and the version: whoever
// reads begins anew.
func TestAFileThatIsReplacedWhileItIsReadIsAConflict(t *testing.T) {
	folder, calls := underStrace(t, func(folder string) []string {
		return []string{"-P", filepath.Join(folder, "k"), "-e", "trace=pread64", "-e", "inject=pread64:error=ESTALE:when=2+"}
	})
	if folder != "" {
		s := dir.Open(folder)
		_, err := s.Put(t.Context(), "k", strings.NewReader(strings.Repeat("x", 1<<20)), store.PutOptions{})
		must(t, err)
		body, _, err := s.Get(t.Context(), "k", 0, -1)
		must(t, err)
		if _, err := io.ReadAll(body); !errors.Is(err, store.ErrConflict) || !strings.Contains(err.Error(), "read k") {
			t.Errorf("%v", err)
		}
		must(t, body.Close())
		return
	}
	if !strings.Contains(calls, "ESTALE") {
		t.Errorf("the calls were\n%s", calls)
	}
}

// The others need not wait until gigabytes are on the disk.
func TestALargeFileIsDurableBeforeTheLockIsTaken(t *testing.T) {
	folder, calls := underStrace(t, func(string) []string {
		return []string{"-e", "trace=fsync,flock", "-e", "inject=fsync:delay_enter=100000"}
	})
	if folder != "" {
		_, err := dir.Open(folder).Put(t.Context(), "k", strings.NewReader(strings.Repeat("x", 17<<20)), store.PutOptions{Meta: map[string]string{"m": "1"}})
		must(t, err)
		return
	}
	before, _, locked := strings.Cut(calls, "LOCK_EX")
	if !locked || !inOrder(before, "fsync", " = 0") {
		t.Errorf("the calls were\n%s", calls)
	}
}
