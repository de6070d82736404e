package pack

import (
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/condaworker/condaworker/conda/archive"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// prefixOf makes a prefix of n bytes somewhere.
func prefixOf(t testing.TB, n int) string {
	t.Helper()
	dir := t.TempDir() + "/_h_env"
	dir += strings.Repeat("_placehold", n/10)[:max(0, n-len(dir))]
	must(t, os.MkdirAll(dir, 0o755))
	return dir
}

func write(t testing.TB, prefix, name, content string, mode fs.FileMode) {
	t.Helper()
	full := filepath.Join(prefix, name)
	must(t, os.MkdirAll(filepath.Dir(full), 0o755))
	must(t, os.WriteFile(full, []byte(content), mode))
	must(t, os.Chmod(full, mode))
}

func link(t testing.TB, prefix, name, target string) {
	t.Helper()
	full := filepath.Join(prefix, name)
	must(t, os.MkdirAll(filepath.Dir(full), 0o755))
	must(t, os.Symlink(target, full))
}

const indexJSON = `{"name": "demo", "version": "1.0", "build": "h0_0"}`

// options packs all of prefix.
func options(t testing.TB, prefix string) Options {
	t.Helper()
	files, err := Scan(prefix, nil)
	must(t, err)
	return Options{
		Prefix: prefix, Placeholder: Placeholder(len(prefix)), Forbidden: filepath.Dir(prefix),
		Dist: "demo-1.0-h0_0", Files: files, Index: []byte(indexJSON), Epoch: time.Unix(1600000000, 999_999_999),
	}
}

func pack(t testing.TB, o Options) (Summary, *os.File, error) {
	t.Helper()
	out, err := os.Create(filepath.Join(t.TempDir(), "demo-1.0-h0_0.conda"))
	must(t, err)
	t.Cleanup(func() { _ = out.Close() })
	s, err := Write(t.Context(), out, o)
	return s, out, err
}

// member is what a test looks at of a tar's member.
type member struct {
	Name, Target, Content string
	Mode                  int64
}

// members reads a package, both parts in their order.
func members(t testing.TB, f *os.File) (pkg, info []member) {
	t.Helper()
	stat, err := f.Stat()
	must(t, err)
	must(t, archive.Walk(f, stat.Size(), f.Name(), func(e archive.Entry, r io.Reader) error {
		content, err := io.ReadAll(r)
		h := e.Header
		if h.Uid != 0 || h.Gid != 0 || h.Uname != "" || h.Gname != "" || h.ModTime.Unix() != 1600000000 || h.ModTime.Nanosecond() != 0 {
			t.Errorf("%s belongs to %d %d %q %q and is of %v", h.Name, h.Uid, h.Gid, h.Uname, h.Gname, h.ModTime)
		}
		m := member{h.Name, h.Linkname, string(content), h.Mode}
		if e.Part == archive.PkgPart {
			pkg = append(pkg, m)
		} else {
			info = append(info, m)
		}
		return err
	}))
	return pkg, info
}

func find(t testing.TB, all []member, name string) member {
	t.Helper()
	i := slices.IndexFunc(all, func(m member) bool { return m.Name == name })
	if i < 0 {
		t.Fatalf("no member %s", name)
	}
	return all[i]
}

func TestWrite(t *testing.T) {
	prefix := prefixOf(t, 120)
	placeholder := Placeholder(120)
	write(t, prefix, "bin/tool", "#!"+prefix+"/bin/python\n", 0o700)
	write(t, prefix, "lib/data", "plain", 0o600)
	write(t, prefix, "lib/data.so", "\x00"+prefix+"/lib\x00", fs.ModeSetuid|0o755)
	write(t, prefix, "lib/ü b", prefix, 0o444)
	link(t, prefix, "lib/link", "data")
	must(t, os.Mkdir(filepath.Join(prefix, "empty"), 0o755))
	o := options(t, prefix)
	o.About, o.HashInput = []byte("{}"), []byte(`{"a": 1}`)
	o.Extra = []InfoFile{{Path: "test/run_test.sh", Data: []byte("true\n"), Mode: 0o755}, {Path: "recipe/x", Source: filepath.Join(prefix, "bin/tool")}}
	s, out, err := pack(t, o)
	must(t, err)

	pkg, info := members(t, out)
	wantPkg := []member{
		{"bin/tool", "", "#!" + placeholder + "/bin/python\n", 0o775},
		{"lib/data", "", "plain", 0o664},
		{"lib/data.so", "", "\x00" + placeholder + "/lib\x00", 0o4775},
		{"lib/link", "data", "", 0o777},
		{"lib/ü b", "", placeholder, 0o664},
	}
	if diff := cmp.Diff(wantPkg, pkg); diff != "" {
		t.Error(diff)
	}
	var names []string
	for _, m := range info {
		names = append(names, fmt.Sprintf("%s %o", m.Name, m.Mode))
	}
	wantInfo := []string{
		"info/index.json 664", "info/about.json 664", "info/files 664", "info/has_prefix 664", "info/hash_input.json 664",
		"info/paths.json 664", "info/recipe/x 775", "info/test/run_test.sh 775",
	}
	if diff := cmp.Diff(wantInfo, names); diff != "" {
		t.Error(diff)
	}
	if got, want := find(t, info, "info/files").Content, "bin/tool\nlib/data\nlib/data.so\nlib/link\nlib/ü b\n"; got != want {
		t.Errorf("info/files: %q", got)
	}
	wantPrefix := fmt.Sprintf("%[1]s text bin/tool\n%[1]s binary lib/data.so\n%[1]s text \"lib/ü b\"\n", placeholder)
	if diff := cmp.Diff(wantPrefix, find(t, info, "info/has_prefix").Content); diff != "" {
		t.Error(diff)
	}
	checkPaths(t, find(t, info, "info/paths.json").Content, placeholder)
	checkSummary(t, s, out)
}

func checkPaths(t *testing.T, got, placeholder string) {
	t.Helper()
	const plain = "a116c9d1046d6e0419fa13cdfc3a7ee4a93cbf2d71ed90e6a6cbb9e7cb3bb2c7"
	want := `{
  "paths": [
    {
      "_path": "lib/data",
      "path_type": "hardlink",
      "sha256": "%s",
      "size_in_bytes": 5
    },
    {
      "_path": "lib/data.so",
      "file_mode": "binary",
      "path_type": "hardlink",
      "prefix_placeholder": "%s",
`
	var list struct{ Paths []map[string]any }
	must(t, json.Unmarshal([]byte(got), &list))
	sum, _ := list.Paths[1]["sha256"].(string)
	want = strings.TrimPrefix(fmt.Sprintf(want, sum, placeholder), "{\n  \"paths\": [\n")
	if !strings.Contains(got, want) || !strings.HasPrefix(got, "{\n  \"paths\": [\n    {\n      \"_path\"") || !strings.HasSuffix(got, "    }\n  ],\n  \"paths_version\": 1\n}") {
		t.Errorf("paths.json is\n%s\nwithout\n%s", got, want)
	}
	if len(sum) != len(plain) {
		t.Errorf("sha256 %q", sum)
	}
	softlink := map[string]any{"_path": "lib/link", "path_type": "softlink", "sha256": sum, "size_in_bytes": 5.0}
	if diff := cmp.Diff(softlink, list.Paths[3]); diff != "" {
		t.Error(diff)
	}
}

func checkSummary(t *testing.T, s Summary, out *os.File) {
	t.Helper()
	_, err := out.Seek(0, io.SeekStart)
	must(t, err)
	d, err := archive.Sum(t.Context(), out)
	must(t, err)
	if s.SHA256 != d.SHA256 || s.MD5 != d.MD5 || s.PackedBytes != d.Size || s.Files != 5 {
		t.Errorf("summary %+v of a file with %+v", s, d)
	}
	if diff := cmp.Diff([]string{"bin/tool", "lib/data.so", "lib/ü b"}, s.Prefixed); diff != "" {
		t.Error(diff)
	}
	if s.Largest[0].Path != "bin/tool" || len(s.Largest) != 4 || s.Bytes != s.Largest[0].Size+s.Largest[1].Size+s.Largest[2].Size+5 {
		t.Errorf("bytes %d, largest %v", s.Bytes, s.Largest)
	}
}

func TestBytesDoNotDependOnThePlace(t *testing.T) {
	var sums []string
	for i := range 2 {
		prefix := prefixOf(t, 200)
		write(t, prefix, "bin/tool", "#!"+prefix+"/bin/python\n", 0o755)
		write(t, prefix, "lib/m.pyc", "\x00\x00"+prefix, 0o644)
		write(t, prefix, "lib/large", strings.Repeat("x"+prefix+"\x00", 20_000), 0o644+fs.FileMode(i)*0o20)
		link(t, prefix, "lib/abs", filepath.Join(prefix, "lib/large"))
		s, out, err := pack(t, options(t, prefix))
		must(t, err)
		sums = append(sums, s.SHA256)
		_, info := members(t, out)
		if strings.Contains(find(t, info, "info/has_prefix").Content, ".pyc") {
			t.Error("a .pyc has a prefix record")
		}
	}
	if sums[0] != sums[1] {
		t.Error("two places, two packages")
	}
}

// Wherever the prefix begins in a file, it is found.
func TestPrefixAcrossPieces(t *testing.T) {
	prefix := prefixOf(t, 130)
	var want []member
	for i, at := range []int{pieceSize - 130, pieceSize - 129, pieceSize - 64, pieceSize - 1, pieceSize, 2*pieceSize - 50, 3*pieceSize - 130} {
		name := fmt.Sprintf("f%d", i)
		parts := []string{strings.Repeat("a", at), strings.Repeat("b", pieceSize)}
		write(t, prefix, name, strings.Join(parts, prefix), 0o644)
		want = append(want, member{name, "", strings.Join(parts, Placeholder(130)), 0o664})
	}
	s, out, err := pack(t, options(t, prefix))
	must(t, err)
	got, _ := members(t, out)
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("%s is wrong", want[i].Name)
		}
	}
	if len(s.Prefixed) != len(want) {
		t.Errorf("prefix records for %v", s.Prefixed)
	}
}

func TestReplacer(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"", ""}, {"/p/old", "/q/new"}, {"x/p/old/p/old", "x/q/new/q/new"}, {"/p/ol", "/p/ol"}, {"/p//p/old", "/p//q/new"}, {"/p/p/old", "/p/q/new"},
	} {
		for size := 1; size <= len(c.text)+1; size++ {
			r := replacer{from: []byte("/p/old"), to: []byte("/q/new")}
			var out, buf []byte
			rest := c.text
			for last := false; !last; {
				n := min(size, len(rest))
				buf, rest, last = append(buf, rest[:n]...), rest[n:], n == len(rest)
				done := r.next(buf, last)
				out, buf = append(out, buf[:done]...), append([]byte{}, buf[done:]...)
			}
			if string(out) != c.want {
				t.Errorf("%q in pieces of %d: %q", c.text, size, out)
			}
		}
	}
}

func FuzzReplacer(f *testing.F) {
	f.Add([]byte("aab"), []byte("aaaabaab"), 3)
	f.Fuzz(func(t *testing.T, from, text []byte, size int) {
		if len(from) == 0 || size <= 0 {
			return
		}
		text = slices.Concat(text, from, text, from)
		to := []byte(strings.Repeat("\x01", len(from)))
		want := strings.ReplaceAll(string(text), string(from), string(to))
		r := replacer{from: from, to: to}
		var out, buf []byte
		for c := range slices.Chunk(text, size) {
			buf = append(buf, c...)
			done := max(0, r.next(buf, false))
			out, buf = append(out, buf[:done]...), slices.Clone(buf[done:])
		}
		done := r.next(buf, true)
		if out = append(out, buf[:done]...); string(out) != want {
			t.Errorf("replace %q in %q: %q", from, text, out)
		}
	})
}

func TestIgnoredPrefixes(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Options)
		want   []string
	}{
		"none":     {func(*Options) {}, []string{"bin", "text"}},
		"all":      {func(o *Options) { o.IgnorePrefixFiles = true }, nil},
		"binaries": {func(o *Options) { o.IgnoreBinaryFiles = true }, []string{"text"}},
		"globs":    {func(o *Options) { o.IgnorePrefixGlobs = []string{"te*"} }, []string{"bin"}},
	} {
		t.Run(name, func(t *testing.T) {
			prefix := prefixOf(t, 100)
			write(t, prefix, "text", prefix, 0o644)
			write(t, prefix, "bin", prefix+"\x00", 0o644)
			o := options(t, prefix)
			c.change(&o)
			s, out, err := pack(t, o)
			must(t, err)
			if diff := cmp.Diff(c.want, s.Prefixed); diff != "" {
				t.Error(diff)
			}
			pkg, _ := members(t, out)
			for _, m := range pkg {
				if strings.Contains(m.Content, prefix) == slices.Contains(c.want, m.Name) {
					t.Errorf("%s holds %q", m.Name, m.Content)
				}
			}
		})
	}
}

func TestSymlinks(t *testing.T) {
	prefix := prefixOf(t, 100)
	write(t, prefix, "lib/a", "aa", 0o644)
	dependency := "in " + prefix
	write(t, prefix, "lib/dep", dependency, 0o644)
	for name, target := range map[string]string{
		"bin/abs":      filepath.Join(prefix, "lib/a"),
		"bin/again":    "abs",
		"bin/around":   "../../" + filepath.Base(prefix) + "/lib/a",
		"bin/dangling": "../lib/none",
		"bin/dep":      "../lib/dep",
		"bin/folder":   "../lib",
		"bin/outside":  "/etc/passwd",
		"bin/self":     "self",
		"top":          prefix,
	} {
		link(t, prefix, name, target)
	}
	o := options(t, prefix)
	o.Files = slices.DeleteFunc(o.Files, func(f string) bool { return f == "lib/dep" })
	_, out, err := pack(t, o)
	must(t, err)
	pkg, info := members(t, out)
	targets := map[string]string{}
	for _, m := range pkg {
		targets[m.Name] = m.Target
	}
	want := map[string]string{
		"bin/abs": "../lib/a", "bin/again": "abs", "bin/around": "../lib/a", "bin/dangling": "../lib/none", "bin/dep": "../lib/dep",
		"bin/folder": "../lib", "bin/outside": "/etc/passwd", "bin/self": "self", "lib/a": "", "top": ".",
	}
	if diff := cmp.Diff(want, targets); diff != "" {
		t.Error(diff)
	}
	var list struct {
		Paths []struct {
			Path string `json:"_path"`
			Size int    `json:"size_in_bytes"`
			Sum  string `json:"sha256"`
		}
	}
	must(t, json.Unmarshal([]byte(find(t, info, "info/paths.json").Content), &list))
	sizes := map[string]int{}
	for _, p := range list.Paths {
		sizes[p.Path] = p.Size
		if (p.Size == 0) != (p.Sum == emptySHA256) {
			t.Errorf("%s has %d bytes with sha256 %s", p.Path, p.Size, p.Sum)
		}
	}
	wantSizes := map[string]int{
		"bin/abs": 2, "bin/again": 2, "bin/around": 2, "bin/dangling": 0, "bin/dep": len(dependency),
		"bin/folder": 0, "bin/outside": 0, "bin/self": 0, "lib/a": 2, "top": 0,
	}
	if diff := cmp.Diff(wantSizes, sizes); diff != "" {
		t.Error(diff)
	}
}

func TestInfoOfTheScript(t *testing.T) {
	prefix := prefixOf(t, 100)
	write(t, prefix, "info/mine.json", "{}", 0o644)
	write(t, prefix, "info/files", "wrong", 0o644)
	write(t, prefix, "a", "a", 0o644)
	_, out, err := pack(t, options(t, prefix))
	must(t, err)
	pkg, info := members(t, out)
	if len(pkg) != 1 || find(t, info, "info/mine.json").Content != "{}" || find(t, info, "info/files").Content != "a\n" {
		t.Errorf("pkg %v, info %v", pkg, info)
	}
}

func TestEmptyPackage(t *testing.T) {
	_, out, err := pack(t, options(t, prefixOf(t, 100)))
	must(t, err)
	pkg, info := members(t, out)
	if got := find(t, info, "info/paths.json").Content; len(pkg) != 0 || got != "{\n  \"paths\": [],\n  \"paths_version\": 1\n}" {
		t.Errorf("pkg %v, paths.json %s", pkg, got)
	}
}

func TestLongNamesAndHardLinks(t *testing.T) {
	prefix := prefixOf(t, 100)
	long := strings.Repeat(strings.Repeat("d", 100)+"/", 4) + strings.Repeat("é", 100)
	write(t, prefix, long, "x", 0o644)
	must(t, os.Link(filepath.Join(prefix, long), filepath.Join(prefix, "hard")))
	link(t, prefix, "soft", long)
	_, out, err := pack(t, options(t, prefix))
	must(t, err)
	pkg, _ := members(t, out)
	want := []member{{long, "", "x", 0o664}, {"hard", "", "x", 0o664}, {"soft", long, "", 0o777}}
	if diff := cmp.Diff(want, pkg); diff != "" {
		t.Error(diff)
	}
}

func TestPlaceholder(t *testing.T) {
	for _, n := range []int{0, 1, 10, 23, 24, 80, 255} {
		if got := Placeholder(n); len(got) != n || n > 0 && got[0] != '/' {
			t.Errorf("Placeholder(%d) = %q", n, got)
		}
	}
}
