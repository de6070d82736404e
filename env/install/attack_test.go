package install

import (
	"archive/tar"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// What an archive says must never reach outside of prefix and cache.
func TestAttacks(t *testing.T) {
	one := []pathEntry{{Path: "a", PathType: hardlink}}
	for name, c := range map[string]struct {
		m    made
		want string
	}{
		"dot dot":               {made{files: []file{{name: "../../x", content: "x"}}}, "not a path"},
		"dot dot inside":        {made{files: []file{{name: "a/../../x", content: "x"}}}, "not a path"},
		"absolute":              {made{files: []file{{name: "/tmp/condaworker-attack", content: "x"}}}, "not a path"},
		"through a link":        {made{files: []file{{name: "d", target: "/tmp"}, {name: "d/x", content: "x"}}}, "the package is broken"},
		"through a link, later": {made{files: []file{{name: "d/x", content: "x"}, {name: "d", target: "/tmp"}}}, "the package is broken"},
		"a file and a folder":   {made{files: []file{{name: "d", content: "x"}, {name: "d/x", content: "x"}}}, "the package is broken"},
		"a folder and a file":   {made{files: []file{{name: "d/x", content: "x"}, {name: "d", content: "x"}}}, "the package is broken"},
		"link to link":          {made{files: []file{{name: "d", target: "e"}, {name: "e", target: "/tmp"}, {name: "d/x"}}}, "d"},
		"hard link outside":     {made{files: []file{{name: "p", target: "/etc/passwd", kind: tar.TypeLink}}}, "hard link"},
		"hard link to a link":   {made{files: []file{{name: "l", target: "/etc/passwd"}, {name: "p", target: "l", kind: tar.TypeLink}}}, "hard link"},
		"device":                {made{files: []file{{name: "dev", kind: tar.TypeBlock}}}, "type"},
		"FIFO":                  {made{files: []file{{name: "pipe", kind: tar.TypeFifo}}}, "type"},
		"empty link":            {made{files: []file{{name: "l", kind: tar.TypeSymlink}}}, ""},
		"conda-meta":            {made{files: []file{{name: "conda-meta/other.json", content: "{}"}}}, "not for packages"},
		"a change's journal":    {made{files: []file{{name: changeDir + "/done.json", content: "{}"}}}, "not for packages"},
		"conda-meta in info":    {made{listed: []pathEntry{{Path: "Conda-Meta/x", PathType: hardlink}}}, "not for packages"},
		"twice":                 {made{files: []file{{name: "a"}, {name: "./a", unlisted: true}}}, "twice"},
		"unlisted":              {made{files: []file{{name: "a", unlisted: true}}}, "not in info/paths.json"},
		"unlisted link":         {made{files: []file{{name: "a", target: "b", unlisted: true}}}, "not in info/paths.json"},
		"listed, not there":     {made{listed: one}, "not in the archive"},
		"listed twice":          {made{listed: append(one, one...)}, "twice"},
		"listed path leaves":    {made{listed: []pathEntry{{Path: "../a", PathType: hardlink}}}, "not a path"},
		"another type":          {made{files: []file{{name: "a", target: "b", unlisted: true}}, listed: one}, "is a hardlink in"},
		"another size":          {made{files: []file{{name: "a", content: "12", unlisted: true}}, listed: one}, "has 2 bytes"},
		"another hash":          {made{files: []file{{name: "a", unlisted: true}}, listed: []pathEntry{{Path: "a", PathType: hardlink, SHA256: "00"}}}, "sha256"},
		"unknown version":       {made{paths: `{"paths": [], "paths_version": 2}`}, "version is 2"},
		"broken list":           {made{paths: `{`}, "paths.json"},
		"unknown type":          {made{listed: []pathEntry{{Path: "a", PathType: "pipe"}}}, "unknown path_type"},
		"a NUL":                 {made{listed: []pathEntry{{Path: "a\x00b", PathType: hardlink}}}, "not a path"},
		"too long a prefix":     {made{files: []file{{name: "a", content: "/x/y", record: binary("/x/y")}}}, "shorter path"},
		"unknown file mode":     {made{files: []file{{name: "a", content: "/x/y", record: pathEntry{Placeholder: "/x/y", FileMode: "z"}}}}, "file_mode"},
	} {
		t.Run(name, func(t *testing.T) {
			c.m.name = "demo"
			top := t.TempDir()
			prefix, cache := filepath.Join(top, "in/env"), filepath.Join(top, "in/pkgs")
			err := Install(t.Context(), []Package{c.m.write(t)}, prefix, Options{Cache: cache})
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "demo-1.0-0") {
				t.Errorf("got %v, want %q", err, c.want)
			}
			checkNothingMade(t, prefix, cache)
			outside, err := os.ReadDir(top)
			must(t, err)
			if len(outside) != 1 {
				t.Errorf("written outside: %v", outside)
			}
			if _, err := os.Lstat("/tmp/condaworker-attack"); err == nil {
				t.Error("it was written outside")
			}
		})
	}
}

// checkNothingMade finds what a refused package left: in the cache may be one that was
// found to be good.
func checkNothingMade(t *testing.T, prefix, cache string) {
	t.Helper()
	if entries, err := os.ReadDir(prefix); err == nil && len(entries) > 0 {
		t.Errorf("the prefix has %v", entries)
	}
	for _, name := range list(t, cache) {
		if strings.HasPrefix(name, ".") {
			t.Errorf("the cache has %s", name)
		}
		if _, err := os.Stat(filepath.Join(cache, name, marker)); err != nil {
			t.Error(err)
		}
	}
}

// A package that ends anywhere before its end is refused, in both formats.
func TestTruncatedPackages(t *testing.T) {
	for _, whole := range []string{made{name: "demo", files: []file{{name: "a", content: strings.Repeat("x", 1000)}}}.write(t).Path, "../testdata/late-2.0-0.tar.bz2"} {
		text, err := os.ReadFile(whole)
		must(t, err)
		for n := 0; n < len(text); n += max(1, len(text)/40) {
			top := t.TempDir()
			p := Package{Path: filepath.Join(top, filepath.Base(whole)), URL: "https://host/channel/noarch/" + filepath.Base(whole)}
			must(t, os.WriteFile(p.Path, text[:n], 0o600))
			prefix, cache := filepath.Join(top, "env"), filepath.Join(top, "pkgs")
			err := Install(t.Context(), []Package{p}, prefix, Options{Cache: cache})
			if err == nil || !strings.Contains(err.Error(), "unpack "+p.URL+": ") || !strings.Contains(err.Error(), "the package is broken: take another build of it") {
				t.Errorf("%d bytes of %s: %v", n, whole, err)
			}
			checkNothingMade(t, prefix, cache)
		}
	}
}

// A symlink that one package brings does not lead another one out.
func TestLinkOfAnotherPackageLeadsOut(t *testing.T) {
	top := t.TempDir()
	prefix := filepath.Join(top, "env")
	must(t, os.Mkdir(filepath.Join(top, "outside"), 0o755))
	a := made{name: "a", files: []file{{name: "d", target: "../outside"}}}
	b := made{name: "b", files: []file{{name: "d/x", content: "x"}}}
	err := Install(t.Context(), []Package{a.write(t), b.write(t)}, prefix, Options{Cache: filepath.Join(top, "pkgs")})
	if err == nil || !strings.Contains(err.Error(), "install b-1.0-0") {
		t.Errorf("got %v", err)
	}
	o := Options{Cache: filepath.Join(top, "pkgs")} // nor one that is there already
	must(t, Install(t.Context(), []Package{a.write(t)}, prefix, o))
	err = Install(t.Context(), []Package{b.write(t)}, prefix, o)
	if err == nil || !strings.Contains(err.Error(), "install b-1.0-0: make folder d: it leads out of the prefix, to "+filepath.Join(top, "outside")) {
		t.Errorf("got %v", err)
	}
	if diff := cmp.Diff(map[string]string{}, tree(t, filepath.Join(top, "outside"))); diff != "" {
		t.Error(diff)
	}
}

func TestSetUIDIsDropped(t *testing.T) {
	prefix := filepath.Join(t.TempDir(), "env")
	m := made{name: "demo", files: []file{{name: "a", mode: 0o4755}, {name: "b", mode: 0o4755, record: text("/never/there")}}}
	must(t, Install(t.Context(), []Package{m.write(t)}, prefix, Options{Cache: t.TempDir()}))
	if diff := cmp.Diff(map[string]string{"a": "755 ", "b": "755 "}, tree(t, prefix)); diff != "" {
		t.Error(diff)
	}
}

func FuzzPaths(f *testing.F) {
	f.Add([]byte(`{"paths": [{"_path": "a/b", "path_type": "hardlink"}], "paths_version": 1}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		paths, err := parsePaths(text)
		if err != nil {
			return
		}
		for _, p := range paths {
			if !filepath.IsLocal(p.Path) || strings.HasPrefix(p.Path, "conda-meta/") {
				t.Errorf("%q was taken", p.Path)
			}
		}
	})
}
