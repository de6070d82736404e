package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/condaworker/condaworker/conda"
	"github.com/condaworker/condaworker/conda/condatest"
)

// tree lists what is in a prefix but for conda-meta: of each file its mode and
// bytes, of each link its target. Who may write beside the owner is left out:
// py-rattler gives a file the archive's mode, we and conda that without what the
// umask takes. CACHEDIR.TAG is py-rattler's own.
func tree(t *testing.T, prefix string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(prefix, func(path string, e fs.DirEntry, err error) error {
		name, _ := filepath.Rel(prefix, path)
		switch {
		case err != nil:
			return err
		case name == "conda-meta":
			return fs.SkipDir
		case e.IsDir() || name == "CACHEDIR.TAG":
			return nil
		}
		if e.Type() == fs.ModeSymlink {
			all[name], err = os.Readlink(path)
			return err
		}
		info, err := e.Info()
		text, failed := os.ReadFile(path)
		if err = errors.Join(err, failed); err == nil {
			all[name] = fmt.Sprintf("%o %q", info.Mode().Perm()&^0o022, text)
		}
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return all
}

// Every package that a client must be able to install becomes the same tree as
// py-rattler makes, with what it depends on.
func TestInstalledTrees(t *testing.T) {
	s := start(t)
	channel := t.TempDir()
	copyChannel(t, filepath.Join(conformance(t, s), "client_tests"), channel, true)
	caches := t.TempDir()
	for file := range stored(t, channel, "noarch") {
		name, err := conda.ParseFileName(file)
		if err != nil {
			t.Fatal(err)
		}
		t.Run(file, func(t *testing.T) {
			prefix := filepath.Join(t.TempDir(), "prefix") // one path for both: it is in files
			report := filepath.Join(t.TempDir(), "report.json")
			spec := fmt.Sprintf("%s==%s=%s", name.Name, name.Version, name.Build)
			out, code := s.run(t, s.program, "env", "create", "-p", prefix, spec, "-c", channel, "--cache", filepath.Join(caches, "ours"), "--report", report)
			if name.Name == "unsatisfiable" {
				if code != 4 || !strings.Contains(out, "versioned <1.0") {
					t.Errorf("exit code %d\n%s", code, out)
				}
				return
			}
			if code != 0 {
				t.Fatal(out)
			}
			ours := tree(t, prefix)
			if err := os.RemoveAll(prefix); err != nil {
				t.Fatal(err)
			}
			args := []string{filepath.Join(s.root, "scripts", "e2e", "testdata", "install", "install.py"), channel, prefix, filepath.Join(caches, "theirs"), "linux-64"}
			s.must(t, s.python, append(args, packagesOf(t, report)...)...)
			if diff := cmp.Diff(tree(t, prefix), ours); diff != "" {
				t.Errorf("py-rattler -, condaworker +\n%s", diff)
			}
		})
	}
}

// What of conda_format_repo nobody can install, and what we say of it: these archives
// lost the targets of their symlinks, so py-rattler fails in the middle of them.
var broken = map[string]string{
	"linux-64/zlib-1.2.11-h7b6447c_3.conda":   "lib/libz.so.1 is a symlink without a target",
	"linux-64/zlib-1.2.11-h7b6447c_3.tar.bz2": "lib/libz.so is a softlink in info/paths.json, and a hardlink in the archive",
	"osx-64/zlib-1.2.11-h1de35cc_3.conda":     "lib/libz.1.dylib is a symlink without a target",
	"osx-64/zlib-1.2.11-h1de35cc_3.tar.bz2":   "lib/libz.1.dylib is a softlink in info/paths.json, and a hardlink in the archive",
}

// Packages of other platforms, in both formats, become the same tree as well: here by a
// list of URLs, for none of what they depend on is there.
func TestInstalledTreesOfOtherPlatforms(t *testing.T) {
	s := start(t)
	channel := t.TempDir()
	copyChannel(t, filepath.Join(conformance(t, s), "conda_format_repo"), channel, true)
	caches := t.TempDir()
	for _, subdir := range []string{"linux-64", "osx-64", "win-32", "win-64"} {
		for file := range stored(t, channel, subdir) {
			t.Run(subdir+"/"+file, func(t *testing.T) {
				prefix, list := filepath.Join(t.TempDir(), "prefix"), filepath.Join(t.TempDir(), "list.txt")
				write(t, list, "@EXPLICIT\n"+filepath.Join(channel, subdir, file)+"\n")
				out, code := s.run(t, s.program, "env", "create", "-p", prefix, "--explicit", list, "--platform", subdir, "--cache", filepath.Join(caches, "ours"))
				ours := tree(t, prefix)
				if err := os.RemoveAll(prefix); err != nil {
					t.Fatal(err)
				}
				said, failed := s.run(t, s.python, filepath.Join(s.root, "scripts", "e2e", "testdata", "install", "install.py"), channel, prefix, filepath.Join(caches, "theirs"), subdir, subdir+"/"+file)
				why, refused := broken[subdir+"/"+file]
				if (code != 0) != refused || (failed != 0) != refused || !strings.Contains(out, why) {
					t.Fatalf("condaworker exits with %d, py-rattler with %d\n%s\n%s", code, failed, out, said)
				}
				if diff := cmp.Diff(tree(t, prefix), ours); !refused && diff != "" {
					t.Errorf("py-rattler -, condaworker +\n%s", diff)
				}
			})
		}
	}
}

// packagesOf are the packages of a report as subdir/file.
func packagesOf(t *testing.T, report string) []string {
	t.Helper()
	text, err := os.ReadFile(report)
	var r struct {
		Environment struct {
			Packages []struct {
				Subdir string `json:"subdir"`
				File   string `json:"fn"`
			} `json:"packages"`
		} `json:"environment"`
	}
	if err = errors.Join(err, json.Unmarshal(text, &r)); err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, p := range r.Environment.Packages {
		all = append(all, p.Subdir+"/"+p.File)
	}
	return all
}

// chain makes a channel of p0 to p5, each of which depends on the one before.
func chain(t *testing.T, s suite) string {
	t.Helper()
	channel := t.TempDir()
	for i := range 6 {
		files := map[string]string{}
		for j := range 150 {
			files[fmt.Sprintf("share/p%d/%d", i, j)] = strings.Repeat(fmt.Sprintf("%d of %d\n", j, i), 200)
		}
		name := fmt.Sprintf("p%d", i)
		in := condatest.Index(name, "1.0", 0, "noarch")
		if i > 0 {
			in["depends"] = []string{fmt.Sprintf("p%d", i-1)}
		}
		if err := errors.Join(os.MkdirAll(filepath.Join(channel, "noarch"), 0o750), condatest.WriteFile(filepath.Join(channel, "noarch", name+"-1.0-0.conda"), in, files)); err != nil {
			t.Fatal(err)
		}
	}
	s.must(t, s.program, "reindex", channel)
	return channel
}

// kills is how often env create is killed.
const kills = 200

// Whenever env create is killed, the next run ends in the right prefix, also with
// the cache that the killed ones left.
func TestKilledEnvCreate(t *testing.T) {
	s := start(t)
	channel := chain(t, s)
	work := t.TempDir()
	create := func(prefix, cache string) []string {
		return []string{"env", "create", "-p", filepath.Join(work, prefix), "p5", "-c", channel, "--cache", filepath.Join(work, cache)}
	}
	timed := func(prefix string) time.Duration {
		begun := time.Now()
		s.must(t, s.program, create(prefix, "first")...)
		return time.Since(begun)
	}
	times := []time.Duration{timed("whole"), timed("warm")} // with an empty cache, and with a full one
	whole := tree(t, filepath.Join(work, "whole"))
	rng := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // repeatable on purpose
	killed, runs := 0, 0
	for ; killed < kills && runs < 5*kills; runs++ {
		cache := fmt.Sprintf("cache%d", runs/2)
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(rng.Int64N(int64(times[runs%2]))))
		err := exec.CommandContext(ctx, s.program, create("prefix", cache)...).Run() //nolint:gosec // the suite's own
		cancel()
		if err != nil {
			killed++
		}
		s.must(t, s.program, create("prefix", cache)...)
		prefix := filepath.Join(work, "prefix")
		if diff := cmp.Diff(whole, tree(t, prefix)); diff != "" {
			t.Fatalf("after run %d: whole -, made again +\n%s", runs, diff)
		}
		if err := os.RemoveAll(prefix); err != nil {
			t.Fatal(err)
		}
		if runs%2 == 1 {
			if err := os.RemoveAll(filepath.Join(work, cache)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if killed < kills/2 {
		t.Errorf("only %d of %d runs were killed before they ended", killed, runs)
	}
	t.Logf("%d of %d runs were killed before they ended", killed, runs)
}

// Whenever env create --update is killed, the next run makes the environment that it
// is asked for: the same one again, or the one before.
func TestKilledEnvUpdate(t *testing.T) {
	s := start(t)
	channel := chain(t, s)
	work := t.TempDir()
	prefix := filepath.Join(work, "prefix")
	update := func(spec string) []string {
		return []string{"env", "create", "-p", prefix, spec, "-c", channel, "--cache", filepath.Join(work, "cache"), "--update"}
	}
	other := map[string]string{"p1": "p5", "p5": "p1"}
	whole := map[string]map[string]string{}
	var took time.Duration
	for _, spec := range []string{"p5", "p1", "p5"} {
		begun := time.Now()
		s.must(t, s.program, update(spec)...)
		took = time.Since(begun)
		whole[spec] = tree(t, prefix)
	}
	rng := rand.New(rand.NewPCG(5, 6)) //nolint:gosec // repeatable on purpose
	killed, spec := 0, "p5"
	for i := range kills / 2 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(rng.Int64N(int64(took))))
		err := exec.CommandContext(ctx, s.program, update(other[spec])...).Run() //nolint:gosec // the suite's own
		cancel()
		if err != nil {
			killed++
		}
		if rng.IntN(2) == 0 {
			spec = other[spec]
		}
		s.must(t, s.program, update(spec)...)
		if diff := cmp.Diff(whole[spec], tree(t, prefix)); diff != "" {
			t.Fatalf("after run %d, of %s: whole -, made again +\n%s", i, spec, diff)
		}
	}
	if killed < kills/8 {
		t.Errorf("only %d of %d runs were killed before they ended", killed, kills/2)
	}
	t.Logf("%d of %d runs were killed before they ended", killed, kills/2)
}

// py-rattler takes what we recorded of a package with an entry for menus, as it records
// it itself where it makes no menus; and we keep what it made of menus outside.
func TestMenuRecords(t *testing.T) {
	s := start(t)
	channel, work := t.TempDir(), t.TempDir()
	for name, files := range map[string]map[string]string{
		"withmenu": {"Menu/withmenu.json": `{"menu_name": "x", "menu_items": []}`, "share/both": "withmenu"},
		"zother":   {"share/both": "zother"},
	} {
		file := filepath.Join(channel, "noarch", name+"-1.0-0.conda")
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o750), condatest.WriteFile(file, condatest.Index(name, "1.0", 0, "noarch"), files)); err != nil {
			t.Fatal(err)
		}
	}
	s.must(t, s.program, "reindex", channel)
	prefix := func(name string) string { return filepath.Join(work, name) }
	create := func(specs ...string) string {
		return s.must(t, s.program, append([]string{"env", "create", "--update", "-p", prefix("ours"), "-c", channel, "--cache", prefix("cache")}, specs...)...)
	}
	create("withmenu")
	s.must(t, s.python, filepath.Join(s.root, "scripts", "e2e", "testdata", "install", "install.py"), channel, prefix("theirs"), prefix("theircache"), "linux-64", "noarch/withmenu-1.0-0.conda")
	const record = "conda-meta/withmenu-1.0-0.json"
	const python = `import json, sys, rattler
ours, theirs = (rattler.PrefixRecord.from_path(p + "/` + record + `") for p in sys.argv[1:3])
assert ours.files == theirs.files, (ours.files, theirs.files)
assert [str(p.relative_path) for p in ours.paths_data.paths] == [str(p.relative_path) for p in theirs.paths_data.paths]
a, b = (json.load(open(p + "/` + record + `")).get("installed_system_menus") for p in sys.argv[1:3])
assert a == b, (a, b)
path = sys.argv[1] + "/` + record + `"
text = json.load(open(path))
text["installed_system_menus"] = [{"type": "linux", "install_mode": "User", "paths": ["/home/x/withmenu.desktop"]}]
json.dump(text, open(path, "w"))
`
	s.must(t, s.python, "-c", python, prefix("ours"), prefix("theirs"))
	create("withmenu", "zother")
	s.must(t, s.python, "-c", `import json, sys, rattler
rattler.PrefixRecord.from_path(sys.argv[1]).write_to_path(sys.argv[2], True)
menus = [json.load(open(p))["installed_system_menus"] for p in sys.argv[1:]]
assert menus[0] == menus[1] and menus[0][0]["paths"] == ["/home/x/withmenu.desktop"], menus
`, filepath.Join(prefix("ours"), record), filepath.Join(work, "again.json"))
	if out := create("zother"); !strings.Contains(out, "remove /home/x/withmenu.desktop") {
		t.Error(out)
	}
	if _, err := os.Stat(filepath.Join(prefix("ours"), "Menu")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the entry stays: %v", err)
	}
}
