package install

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// withOwnMounts runs a test in a process whose mounts end with it.
func withOwnMounts(t *testing.T, test func(t *testing.T)) {
	t.Helper()
	const mark = "CONDAWORKER_TEST_OWN_MOUNTS"
	if os.Getenv(mark) == t.Name() {
		test(t)
		return
	}
	if out, err := exec.Command("unshare", "--mount", "mount", "-t", "tmpfs", "none", t.TempDir()).CombinedOutput(); err != nil {
		if os.Getenv("CONDAWORKER_TEST_NOSKIP") != "" {
			t.Fatalf("nothing may be skipped: %v %s", err, out)
		}
		t.Skipf("not here: the right to mount: %v %s", err, out)
	}
	c := exec.Command("unshare", "--mount", os.Args[0], "-test.v", "-test.run=^"+t.Name()+"$") //nolint:gosec // this test
	c.Env = append(os.Environ(), mark+"="+t.Name())
	out, err := c.CombinedOutput()
	switch {
	case err != nil:
		t.Fatalf("%v\n%s", err, out)
	case bytes.Contains(out, []byte("--- SKIP")):
		t.Skipf("%s", out)
	case !bytes.Contains(out, []byte("--- PASS: "+t.Name())):
		t.Fatalf("it was not run\n%s", out)
	}
}

// mounted is a folder with a file system of this size of its own.
func mounted(t *testing.T, kind, size string) string {
	t.Helper()
	dir := t.TempDir()
	args := []string{"-t", kind, "-o", "size=" + size, "none", dir}
	if kind != "tmpfs" {
		if _, err := exec.LookPath("mkfs." + kind); err != nil && os.Getenv("CONDAWORKER_TEST_NOSKIP") != "" {
			t.Fatal("nothing may be skipped: ", err)
		}
		image := filepath.Join(t.TempDir(), "image")
		must(t, os.WriteFile(image, nil, 0o600))
		for _, c := range [][]string{{"truncate", "-s", size, image}, {"mkfs." + kind, "-q", image}} {
			if out, err := exec.Command(c[0], c[1:]...).CombinedOutput(); err != nil {
				t.Skipf("not here: %s: %v %s", c[0], err, out)
			}
		}
		args = []string{"-t", kind, "-o", "loop", image, dir}
	}
	if out, err := exec.Command("mount", args...).CombinedOutput(); err != nil {
		t.Skipf("not here: a mount of %s: %v %s", kind, err, out)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func freeBytes(t *testing.T, dir string) int64 {
	t.Helper()
	f, err := os.Open(dir)
	must(t, err)
	var s unix.Statfs_t
	must(t, errors.Join(unix.Syncfs(int(f.Fd())), f.Close(), unix.Statfs(dir, &s))) //nolint:gosec // a small number
	return int64(s.Bfree) * s.Bsize                                                 //nolint:gosec // of a small disk
}

// A file comes from the cache as a clone, a hard link or a copy, as the file systems
// let it; what then happens to it in the prefix reaches the cache only over a link.
func TestWaysOfLinking(t *testing.T) {
	withOwnMounts(t, func(t *testing.T) {
		const size = 16 << 20
		m := made{name: "demo", files: []file{{name: "lib/big", content: strings.Repeat("x", size), mode: 0o755}, {name: "lib/none"}}}
		p := m.write(t)
		places := map[string]string{"btrfs": mounted(t, "btrfs", "300M"), "tmpfs": mounted(t, "tmpfs", "100M")}
		for _, tt := range []struct {
			cache, prefix string
			way           float64 // as conda-meta has it
			shares        bool    // its bytes, with the cache
		}{
			{"btrfs", "btrfs", linkCopy, true},
			{"tmpfs", "tmpfs", linkHard, true},
			{"btrfs", "tmpfs", linkCopy, false},
			{"tmpfs", "btrfs", linkCopy, false},
		} {
			at, cache := places[tt.prefix], filepath.Join(places[tt.cache], "pkgs-"+tt.prefix)
			must(t, Install(t.Context(), []Package{p}, filepath.Join(t.TempDir(), "env"), Options{Cache: cache}))
			before := freeBytes(t, at)
			prefix := filepath.Join(at, "env-"+tt.cache)
			must(t, Install(t.Context(), []Package{p}, prefix, Options{Cache: cache}))
			if used := before - freeBytes(t, at); (used < size/2) != tt.shares {
				t.Errorf("from %s to %s: it takes %d bytes", tt.cache, tt.prefix, used)
			}
			var record struct {
				Dir  string         `json:"extracted_package_dir"`
				Link map[string]any `json:"link"`
			}
			readRecord(t, prefix, &record)
			if record.Link["type"] != tt.way {
				t.Errorf("from %s to %s: %v", tt.cache, tt.prefix, record.Link)
			}
			if diff := cmp.Diff(tree(t, filepath.Join(record.Dir, "lib")), tree(t, filepath.Join(prefix, "lib"))); diff != "" {
				t.Error(diff)
			}
			a, err := os.Stat(filepath.Join(record.Dir, "lib/big"))
			must(t, err)
			b, err := os.Stat(filepath.Join(prefix, "lib/big"))
			must(t, err)
			if os.SameFile(a, b) != (tt.way == linkHard) || !a.ModTime().Equal(b.ModTime()) {
				t.Errorf("from %s to %s: one file: %v; %v and %v", tt.cache, tt.prefix, os.SameFile(a, b), a.ModTime(), b.ModTime())
			}
			must(t, os.RemoveAll(prefix))
		}
	})
}

// A disk that is full in the middle of a change leaves the prefix as it was and the
// cache clean, and the change goes through when there is room.
func TestFullDisk(t *testing.T) {
	withOwnMounts(t, func(t *testing.T) {
		big := strings.Repeat("x", 3<<20) + placeholder
		old := made{name: "old", files: []file{{name: "lib/old", content: "old"}}}
		m := made{name: "demo", files: []file{{name: "lib/a", content: big, record: text(placeholder)}, {name: "lib/b", content: big, record: text(placeholder)}}}
		for name, full := range map[string]string{"prefix": "env", "cache": "pkgs"} {
			t.Run(name, func(t *testing.T) {
				at := map[string]string{"env": t.TempDir(), "pkgs": t.TempDir()}
				at[full] = mounted(t, "tmpfs", "8M")
				prefix, o := filepath.Join(at["env"], "env"), Options{Cache: filepath.Join(at["pkgs"], "pkgs")}
				must(t, Install(t.Context(), []Package{old.write(t)}, prefix, o))
				before, records := tree(t, at["env"]), list(t, filepath.Join(prefix, "conda-meta"))
				filler := filepath.Join(at[full], "filler")
				must(t, os.WriteFile(filler, make([]byte, 4<<20), 0o600))
				if full == "env" {
					before["filler"] = tree(t, at["env"])["filler"]
				}
				o.Remove = []string{"old"}
				p := m.write(t)
				err := Install(t.Context(), []Package{p}, prefix, o)
				if !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "demo-1.0-0") {
					t.Errorf("got %v", err)
				}
				if diff := cmp.Diff(before, tree(t, at["env"])); diff != "" {
					t.Errorf("the prefix: %.500s", diff)
				}
				if diff := cmp.Diff(records, list(t, filepath.Join(prefix, "conda-meta"))); diff != "" {
					t.Errorf("conda-meta: %s", diff)
				}
				for _, name := range list(t, o.Cache) {
					if strings.HasPrefix(name, ".") {
						t.Errorf("the cache has %s", name)
					}
				}
				must(t, os.Remove(filler))
				must(t, Install(context.WithoutCancel(t.Context()), []Package{p}, prefix, o))
				if got := len(tree(t, prefix)); got != 2 {
					t.Errorf("the prefix has %d files", got)
				}
			})
		}
	})
}
