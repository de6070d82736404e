package env_test

import (
	"errors"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/condaworker/condaworker/conda/condatest"
	"github.com/condaworker/condaworker/env"
	"github.com/condaworker/condaworker/indexer"
	"github.com/condaworker/condaworker/store/dir"
)

// A disk that an archive does not fit on gets back the room that it took, and the error
// says what to do.
func TestAFullCache(t *testing.T) {
	const mark = "CONDAWORKER_TEST_FULL_CACHE"
	cache := os.Getenv(mark)
	if cache == "" {
		cache = t.TempDir()
		if out, err := exec.Command("unshare", "--mount", "mount", "-t", "tmpfs", "none", cache).CombinedOutput(); err != nil {
			if os.Getenv("CONDAWORKER_TEST_NOSKIP") != "" {
				t.Fatalf("nothing may be skipped: %v %s", err, out)
			}
			t.Skipf("not here: the right to mount: %v %s", err, out)
		}
		const script = `mount -t tmpfs -o size=1m none "$1" && exec "$0" -test.v -test.run='^TestAFullCache$'`
		c := exec.Command("unshare", "--mount", "sh", "-c", script, os.Args[0], cache) //nolint:gosec // this test
		c.Env = append(os.Environ(), mark+"="+cache)
		if out, err := c.CombinedOutput(); err != nil || !strings.Contains(string(out), "--- PASS: TestAFullCache") {
			t.Fatalf("%v\n%s", err, out)
		}
		return
	}
	large := make([]byte, 2<<20)
	rng := rand.NewChaCha8([32]byte{})
	_, _ = rng.Read(large) // never fails
	file := condatest.Write(t, "large-1-0.conda", condatest.Index("large", "1", 0, "linux-64"), map[string]string{"large": string(large)})
	root := t.TempDir()
	s := dir.Open(root)
	if _, err := indexer.Publish(t.Context(), s, indexer.Package{Path: file}); err != nil {
		t.Fatal(err)
	}
	if _, err := indexer.Reindex(t.Context(), s, indexer.Options{}); err != nil {
		t.Fatal(err)
	}
	r := request(t, []string{"large"}, env.Channel{URL: root, Reader: s})
	r.Cache = cache
	_, err := env.Create(t.Context(), r)
	if !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "make room there, or name another place") || !strings.Contains(err.Error(), "large-1-0.conda from "+root) {
		t.Error(err)
	}
	if left, err := filepath.Glob(filepath.Join(cache, "archives", "*", ".*")); err != nil || len(left) > 0 {
		t.Error(left, err)
	}
	if _, err := os.Stat(r.Prefix); err == nil {
		t.Error("the prefix is there")
	}
}
