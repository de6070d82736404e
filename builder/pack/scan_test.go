package pack

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestScan(t *testing.T) {
	prefix := t.TempDir()
	for _, f := range []string{
		"a/b", "a-b", "a.b", "bin/x", "old", "conda-meta/x.json", "lib/libx.la", "lib/x.pyo", ".DS_Store", "lib/.git/config", "lib/.gitignore",
		"lib/old.py", "lib/old.pyc", "lib/__pycache__/old.cpython-311.pyc", "lib/__pycache__/new.cpython-311.pyc", "lib/new.py",
		"share/info/dir", "share/info/x.info", ".conda_trash_0", "CACHEDIR.TAG", "opt/CACHEDIR.TAG", "opt/conda-meta/y",
	} {
		write(t, prefix, f, "", 0o644)
	}
	link(t, prefix, "folder", "lib")
	link(t, prefix, "dangling", "none")
	must(t, os.Mkdir(filepath.Join(prefix, "empty"), 0o755))
	got, err := Scan(prefix, map[string]bool{"old": true, "lib/old.py": true})
	must(t, err)
	want := []string{
		"a-b", "a.b", "a/b", "bin/x", "dangling", "folder", "lib/.gitignore", "lib/__pycache__/new.cpython-311.pyc", "lib/new.py",
		"opt/CACHEDIR.TAG", "opt/conda-meta/y", "share/info/x.info",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if _, err := Scan(filepath.Join(prefix, "none"), nil); err == nil {
		t.Error("a missing prefix has files")
	}
}

func TestSelect(t *testing.T) {
	added := []string{"bin/a", "bin/b", "lib/c.so", "lib/sub/d.so"}
	before := []string{"etc/e", "lib/f.so"}
	for name, c := range map[string]struct {
		globs Globs
		want  []string
	}{
		"nothing said": {Globs{}, added},
		"include":      {Globs{Include: []string{"lib/*.so"}}, []string{"lib/c.so", "lib/sub/d.so"}},
		"exclude":      {Globs{Exclude: []string{"bin/b", "lib/sub/"}}, []string{"bin/a", "lib/c.so"}},
		"both":         {Globs{Include: []string{"bin"}, Exclude: []string{"**/a"}}, []string{"bin/b"}},
		"always":       {Globs{Include: []string{"bin/a"}, Always: []string{"etc/**"}}, []string{"bin/a", "etc/e"}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Select(added, before, c.globs)
			must(t, err)
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
	if _, err := Select(nil, nil, Globs{Exclude: []string{"{a"}}); err == nil || !strings.Contains(err.Error(), "{a") {
		t.Errorf("got %v", err)
	}
}

func TestGlobs(t *testing.T) {
	for _, c := range []struct {
		glob  string
		match string
		not   string
	}{
		{"lib", "lib lib/a lib/a/b", "lib2 xlib a/lib"},
		{"lib/", "lib/a lib/a/b", "lib libs/a"},
		{"*.py", "a.py a/b.py a.py/x", "a.pyc"},
		{"**/a", "a x/a x/y/a a/z", "ba xa"},
		{"x/**/a", "x/a x/y/z/a", "xa y/a"},
		{"x/**", "x/a x/b/c", "x xa"},
		{"a?c", "abc aéc a/c", "ac abbc"},
		{"[a-c]x", "ax cx", "dx x"},
		{"[!a]x", "bx", "ax"},
		{"[]]x", "]x", "x"},
		{"{a,b/c}.so", "a.so b/c.so", "b.so a"},
		{"a.b+c(d)", "a.b+c(d)", "axb+c(d)"},
		{`a\*`, "a*", "ab"},
		{"./a", "a", "b"},
		{"é*", "éa", "e"},
	} {
		g, err := compileGlobs([]string{c.glob})
		must(t, err)
		for name := range strings.FieldsSeq(c.match) {
			if !g.match(name) {
				t.Errorf("%s does not match %s", c.glob, name)
			}
		}
		for name := range strings.FieldsSeq(c.not) {
			if g.match(name) {
				t.Errorf("%s matches %s", c.glob, name)
			}
		}
	}
}

func FuzzGlobs(f *testing.F) {
	f.Add("{a,[!b-c]}/**/*?")
	f.Fuzz(func(t *testing.T, glob string) {
		if g, err := compileGlobs([]string{glob}); err == nil && len(g) == 1 {
			g.match("a/b/c")
		}
	})
}
