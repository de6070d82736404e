package dir_test

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"testing"

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
	if err != nil {
		t.Skip(err)
	}
	if out, err := exec.CommandContext(t.Context(), strace, "-qq", "-o", os.DevNull, "true").CombinedOutput(); err != nil {
		t.Skipf("strace may not look at processes here: %s", out)
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
