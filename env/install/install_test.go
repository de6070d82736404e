package install

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/condaworker/condaworker/conda"
	"github.com/condaworker/condaworker/conda/archive"
	"github.com/condaworker/condaworker/store/dir"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

const placeholder = "/opt/build/_h_env_placehold_placehold_placehold_placehold_placehold_placehold_placehold_placehold_placehold_placehold_placehold_placehold_placehold"

// file is a member of a package that a test makes.
type file struct {
	name, content, target string
	mode                  int64
	kind                  byte      // of the tar; 0 is a file, or a symlink with a target
	record                pathEntry // what of it to put into paths.json
	unlisted              bool
}

// made is a package that a test makes.
type made struct {
	name, noarch string
	version      string // "" is 1.0
	subdir       string // "" is linux-64
	files        []file
	listed       []pathEntry // in paths.json beside those of files
	paths        string      // the whole paths.json; "" makes one
	info         []file
}

func or(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

func (m made) write(t testing.TB) Package {
	t.Helper()
	index := fmt.Sprintf(`{"name": %q, "version": %q, "build": "0", "build_number": 0, "depends": [], "subdir": %q, "noarch": %q, "x": 1}`, m.name, or(m.version, "1.0"), or(m.subdir, "linux-64"), m.noarch)
	info := append([]file{{name: "info/index.json", content: index}}, m.info...)
	if m.paths != "-" {
		info = append(info, file{name: "info/paths.json", content: m.pathsJSON(t)})
	}
	path := filepath.Join(t.TempDir(), m.name+"-1.0-0.conda")
	f, err := os.Create(path)
	must(t, err)
	defer func() { must(t, f.Close()) }()
	w, err := archive.NewWriter(f, m.name+"-1.0-0")
	must(t, err)
	for p, files := range map[archive.Part][]file{archive.PkgPart: m.files, archive.InfoPart: info} {
		data := tarOf(t, files)
		part, err := w.Part(p, int64(len(data)))
		must(t, err)
		_, err = part.Write(data)
		must(t, errors.Join(err, part.Close()))
	}
	must(t, w.Close())
	return Package{Path: path}
}

func (m made) pathsJSON(t testing.TB) string {
	t.Helper()
	if m.paths != "" {
		return m.paths
	}
	paths := append([]pathEntry{}, m.listed...)
	for _, f := range m.files {
		sum := sha256.Sum256([]byte(f.content))
		p := pathEntry{Path: f.name, PathType: hardlink, SHA256: hex.EncodeToString(sum[:]), Size: int64(len(f.content))}
		if f.target != "" && f.kind == 0 {
			p.PathType = softlink
		}
		p.Placeholder, p.FileMode, p.NoLink = f.record.Placeholder, f.record.FileMode, f.record.NoLink
		if !f.unlisted {
			paths = append(paths, p)
		}
	}
	text, err := json.Marshal(map[string]any{"paths": paths, "paths_version": 1})
	must(t, err)
	return string(text)
}

func tarOf(t testing.TB, files []file) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, f := range files {
		h := &tar.Header{Name: f.name, Linkname: f.target, Mode: f.mode, Size: int64(len(f.content)), Typeflag: f.kind, ModTime: time.Unix(1600000000, 0)}
		if h.Mode == 0 {
			h.Mode = 0o644
		}
		if f.target != "" && f.kind == 0 {
			h.Typeflag = tar.TypeSymlink
		} else if f.kind == 0 {
			h.Typeflag = tar.TypeReg
		}
		must(t, w.WriteHeader(h))
		_, err := io.WriteString(w, f.content)
		must(t, err)
	}
	must(t, w.Close())
	return b.Bytes()
}

func text(p string) pathEntry   { return pathEntry{Placeholder: p, FileMode: "text"} }
func binary(p string) pathEntry { return pathEntry{Placeholder: p, FileMode: "binary"} }

// tree is every file of a folder beside conda-meta: its mode and content, or
// the target of a symlink.
func tree(t testing.TB, dir string) map[string]string {
	t.Helper()
	got := map[string]string{}
	must(t, filepath.WalkDir(dir, func(full string, d fs.DirEntry, err error) error {
		name, _ := filepath.Rel(dir, full) // both are absolute
		if err != nil || d.IsDir() {
			if name == "conda-meta" {
				return fs.SkipDir
			}
			return err
		}
		if d.Type()&fs.ModeSymlink != 0 {
			target, err := os.Readlink(full)
			got[name] = "-> " + target
			return err
		}
		stat, err := d.Info()
		must(t, err)
		content, err := os.ReadFile(full)
		got[name] = fmt.Sprintf("%o %s", stat.Mode(), content)
		return err
	}))
	return got
}

func list(t *testing.T, folder string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(folder)
	must(t, err)
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

var demo = made{name: "demo", files: []file{
	{name: "bin/tool", content: "#!" + placeholder + "/bin/python -s\nprint('" + placeholder + "')\n", mode: 0o755, record: text(placeholder)},
	{name: "lib/a", content: "plain"},
	{name: "lib/copy", content: "copied", record: pathEntry{NoLink: true}},
	{name: "lib/link", target: "a"},
	{name: "lib/lib.so", content: "\x00" + placeholder + "/lib\x00tail", record: binary(placeholder)},
	{name: "lib/none", target: "nowhere"},
}}

func TestInstall(t *testing.T) {
	prefix, cache := filepath.Join(t.TempDir(), "env"), t.TempDir()
	p := demo.write(t)
	p.URL = "https://user:secret@host/channel/linux-64/demo-1.0-0.conda"
	p.Spec = "https://user:secret@host/t/TOKEN/channel::demo >=1"
	must(t, Install(t.Context(), []Package{p}, prefix, Options{Cache: cache, Now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}))
	want := map[string]string{
		"bin/tool":   "755 #!" + prefix + "/bin/python -s\nprint('" + prefix + "')\n",
		"lib/a":      "644 plain",
		"lib/copy":   "644 copied",
		"lib/link":   "-> a",
		"lib/lib.so": "644 \x00" + prefix + "/lib\x00" + strings.Repeat("\x00", len(placeholder)-len(prefix)) + "tail",
		"lib/none":   "-> nowhere",
	}
	if diff := cmp.Diff(want, tree(t, prefix)); diff != "" {
		t.Error(diff)
	}
	history, err := os.ReadFile(filepath.Join(prefix, "conda-meta/history"))
	must(t, err)
	wantHistory := "==> 2026-01-02 03:04:05 <==\n# cmd: condaworker\n+https://host/channel/linux-64::demo-1.0-0\n# update specs: ['https://host/channel::demo >=1']\n"
	if diff := cmp.Diff(wantHistory, string(history)); diff != "" {
		t.Error(diff)
	}
	checkLinks(t, prefix)
	checkRecord(t, prefix, p)
}

func checkLinks(t *testing.T, prefix string) {
	t.Helper()
	var record struct {
		Dir  string `json:"extracted_package_dir"`
		Link struct {
			Type int `json:"type"` // a file system may share blocks instead
		} `json:"link"`
	}
	readRecord(t, prefix, &record)
	for name, linked := range map[string]bool{"lib/a": record.Link.Type == linkHard, "lib/copy": false, "bin/tool": false} {
		a, err := os.Stat(filepath.Join(prefix, name))
		must(t, err)
		b, err := os.Stat(filepath.Join(record.Dir, name))
		must(t, err)
		if os.SameFile(a, b) != linked || !a.ModTime().Equal(time.Unix(1600000000, 0)) {
			t.Errorf("%s: hard link %v, of %v", name, !linked, a.ModTime())
		}
	}
}

func readRecord(t *testing.T, prefix string, v any) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(prefix, "conda-meta/demo-1.0-0.json"))
	must(t, err)
	must(t, json.Unmarshal(text, v))
}

func checkRecord(t *testing.T, prefix string, p Package) {
	t.Helper()
	data, err := os.ReadFile(p.Path)
	must(t, err)
	sum := sha256.Sum256(data)
	var got map[string]any
	readRecord(t, prefix, &got)
	tool, err := os.ReadFile(filepath.Join(prefix, "bin/tool"))
	must(t, err)
	inPrefix := sha256.Sum256(tool)
	paths := got["paths_data"].(map[string]any)["paths"].([]any)
	if paths[0].(map[string]any)["sha256_in_prefix"] != hex.EncodeToString(inPrefix[:]) {
		t.Errorf("paths_data has %v", paths[0])
	}
	for _, k := range []string{"paths_data", "link", "extracted_package_dir", "md5", "noarch"} {
		delete(got, k)
	}
	want := map[string]any{
		"name": "demo", "version": "1.0", "build": "0", "build_number": 0.0, "depends": []any{}, "subdir": "linux-64", "x": 1.0,
		"fn": "demo-1.0-0.conda", "channel": "https://host/channel", "url": "https://host/channel/linux-64/demo-1.0-0.conda",
		"sha256": hex.EncodeToString(sum[:]), "size": float64(len(data)), "requested_spec": "https://host/channel::demo >=1",
		"requested_specs":           []any{"https://host/channel::demo >=1"},
		"package_tarball_full_path": p.Path,
		"files":                     []any{"bin/tool", "lib/a", "lib/copy", "lib/link", "lib/lib.so", "lib/none"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestRecordOfTheChannelWins(t *testing.T) {
	prefix := filepath.Join(t.TempDir(), "env")
	p := demo.write(t)
	p.Record = conda.Record{Name: "demo", Version: "1.0", Build: "0", Depends: []string{"zlib"}, Subdir: "linux-64", FileName: "demo-1.0-0.conda", Channel: "s3://bucket/c"}
	must(t, Install(t.Context(), []Package{p}, prefix, Options{Cache: t.TempDir()}))
	var got struct {
		Depends []string
		Channel string
		X       int
	}
	readRecord(t, prefix, &got)
	if got.Channel != "s3://bucket/c" || len(got.Depends) != 1 || got.X != 1 {
		t.Errorf("got %+v", got)
	}
}

// rattler reads no record without a URL.
func TestAPackageOfAFolderHasAURL(t *testing.T) {
	for from, want := range map[string]string{
		"/c d/linux-64/demo-1.0-0.conda":       "file:///c%20d/linux-64/demo-1.0-0.conda",
		"s3://b/c/linux-64/demo-1.0-0.conda":   "s3://b/c/linux-64/demo-1.0-0.conda",
		"file:///c/linux-64/demo-1.0-0.conda":  "file:///c/linux-64/demo-1.0-0.conda",
		"https://u:p@h/c/noarch/d.conda?a=b#c": "https://h/c/noarch/d.conda",
		"https://h/t/TOKEN/c/noarch/d.conda":   "https://h/c/noarch/d.conda",
	} {
		if got := place(asURL(from)); got != want {
			t.Errorf("%s is %s, want %s", from, got, want)
		}
	}
}

func TestCacheIsUsedAndRepaired(t *testing.T) {
	cache := t.TempDir()
	p := demo.write(t)
	var dirs []string
	for i := range 4 {
		prefix := filepath.Join(t.TempDir(), "env")
		must(t, Install(t.Context(), []Package{p}, prefix, Options{Cache: cache}))
		if got := tree(t, prefix)["lib/a"]; got != "644 plain" {
			t.Fatalf("install %d: lib/a is %q", i, got)
		}
		var record struct {
			Dir string `json:"extracted_package_dir"`
		}
		readRecord(t, prefix, &record)
		dirs = append(dirs, record.Dir)
		switch i {
		case 0: // changed through the hard link, as build scripts do
			must(t, os.WriteFile(filepath.Join(prefix, "lib/a"), []byte("PLAIN"), 0o644))
			must(t, os.Chtimes(filepath.Join(prefix, "lib/a"), time.Time{}, time.Now().Add(time.Second)))
		case 1:
			must(t, os.Remove(filepath.Join(record.Dir, "lib/a")))
		case 2: // now the archive is not needed any more
			p.Record.FileName, p.Record.SHA256 = "demo-1.0-0.conda", sumOf(t, p.Path)
			must(t, os.Remove(p.Path))
		}
	}
	if dirs[0] != dirs[3] {
		t.Errorf("unpacked to %v", dirs)
	}
	left, err := os.ReadDir(cache)
	must(t, err)
	if len(left) != 1 {
		t.Errorf("the cache has %v", left)
	}
}

// A lock that a killed run left goes as well as what it had unpacked.
func TestWhatKilledRunsLeaveInTheCache(t *testing.T) {
	cache := t.TempDir()
	must(t, os.MkdirAll(filepath.Join(cache, tmpMark+"a-1-0-0123456789abcdef", "new", "lib"), 0o755))
	for _, name := range []string{"a-1-0-0123456789abcdef", "b-1-0-0123456789abcdef"} {
		must(t, os.WriteFile(filepath.Join(cache, lockMark+name), nil, 0o644))
	}
	free, err := dir.TryHold(filepath.Join(cache, lockMark+"held"))
	must(t, err)
	must(t, os.Mkdir(filepath.Join(cache, tmpMark+"held"), 0o755))
	_, err = openCache(cache)
	must(t, err)
	if diff := cmp.Diff([]string{lockMark + "held", tmpMark + "held"}, list(t, cache)); diff != "" {
		t.Error(diff)
	}
	must(t, free())
}

func sumOf(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(name)
	must(t, err)
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

func TestRefusedTogether(t *testing.T) {
	a := made{name: "a", files: []file{{name: "bin/x", content: "a"}}}.write(t)
	b := made{name: "b", files: []file{{name: "bin/x/y"}}}.write(t)
	for name, c := range map[string]struct {
		first, then []Package
		want        string
	}{
		"a file and a folder":        {nil, []Package{a, b}, "bin/x is a file of a-1.0-0 and a folder of b-1.0-0"},
		"a file, then a folder":      {[]Package{a}, []Package{b}, "bin/x is a file of a-1.0-0 and a folder of b-1.0-0"},
		"the same package again":     {[]Package{a}, []Package{a}, "has a-1.0-0 already"},
		"noarch python":              {nil, []Package{a, made{name: "n", noarch: "python"}.write(t)}, "ask for python"},
		"one of them is not whole":   {nil, []Package{a, {Path: os.DevNull}}, "null"},
		"another package than named": {nil, []Package{a, {Path: b.Path, Record: conda.Record{Name: "c", Version: "1.0", Build: "0"}}}, "the archive is b 1.0 0, not c 1.0 0"},
	} {
		t.Run(name, func(t *testing.T) {
			prefix, o := filepath.Join(t.TempDir(), "env"), Options{Cache: t.TempDir()}
			if c.first != nil {
				must(t, Install(t.Context(), c.first, prefix, o))
			}
			err := Install(t.Context(), c.then, prefix, o)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
			if _, err := os.Stat(filepath.Join(prefix, "bin")); (err == nil) != (c.first != nil) {
				t.Error("the prefix was changed")
			}
		})
	}
}

func TestFileOfNobodyInTheWay(t *testing.T) {
	prefix := t.TempDir()
	must(t, os.MkdirAll(filepath.Join(prefix, "lib"), 0o755))
	must(t, os.WriteFile(filepath.Join(prefix, "lib/a"), []byte("mine"), 0o644))
	err := Install(t.Context(), []Package{demo.write(t)}, prefix, Options{Cache: t.TempDir()})
	if err == nil || !strings.Contains(err.Error(), "lib/a is in the prefix already") {
		t.Errorf("got %v", err)
	}
	if got, _ := os.ReadFile(filepath.Join(prefix, "lib/a")); string(got) != "mine" {
		t.Errorf("it is now %q", got)
	}
}

func TestLinkFile(t *testing.T) {
	for _, way := range []int32{byClone, byLink, byCopy} {
		l := &prefix{}
		dir := t.TempDir()
		must(t, os.WriteFile(filepath.Join(dir, "a"), []byte("a"), 0o755))
		l.way.Store(way)
		must(t, l.linkFile(filepath.Join(dir, "a"), filepath.Join(dir, "b")))
		if diff := cmp.Diff(map[string]string{"a": "755 a", "b": "755 a"}, tree(t, dir)); diff != "" {
			t.Error(diff)
		}
		if err := l.linkFile(filepath.Join(dir, "a"), filepath.Join(dir, "b")); !errors.Is(err, fs.ErrExist) {
			t.Errorf("over an existing file: %v", err)
		}
	}
}

func TestFoldersOfOtherPackagesMayBeLinks(t *testing.T) {
	prefix, o := filepath.Join(t.TempDir(), "env"), Options{Cache: t.TempDir()}
	a := made{name: "a", files: []file{{name: "lib/a"}, {name: "lib64", target: "lib"}}}
	b := made{name: "b", files: []file{{name: "lib64/b", content: "b"}}}
	must(t, Install(t.Context(), []Package{a.write(t), b.write(t)}, prefix, o))
	want := map[string]string{"lib/a": "644 ", "lib/b": "644 b", "lib64": "-> lib"}
	if diff := cmp.Diff(want, tree(t, prefix)); diff != "" {
		t.Error(diff)
	}
}

// Files have the archive's modes but for what the umask takes. Set-user-id is not given,
// and who installs can read all of it, to replace the prefix and to compare.
func TestModes(t *testing.T) {
	prefix := filepath.Join(t.TempDir(), "env")
	m := made{name: "demo", files: []file{
		{name: "444", mode: 0o444},
		{name: "555", mode: 0o555, content: placeholder, record: text(placeholder)},
		{name: "666", mode: 0o666},
		{name: "111", mode: 0o111, content: placeholder, record: text(placeholder)},
		{name: "4755", mode: 0o4755},
		{name: "600", mode: 0o600},
	}}
	must(t, Install(t.Context(), []Package{m.write(t)}, prefix, Options{Cache: t.TempDir()}))
	want := map[string]string{"444": "444 ", "555": "555 " + prefix, "666": "644 ", "111": "511 " + prefix, "4755": "755 ", "600": "600 "}
	if diff := cmp.Diff(want, tree(t, prefix)); diff != "" {
		t.Error(diff)
	}
}

func TestLegacyPackage(t *testing.T) {
	prefix := filepath.Join(t.TempDir(), "env")
	m := made{name: "demo", paths: "-", files: []file{
		{name: "./bin/tool", content: legacyPlaceholder + "/x", mode: 0o755},
		{name: "bin/hard", target: "bin/tool", kind: tar.TypeLink},
		{name: "lib", kind: tar.TypeDir},
		{name: "lib/b c", content: placeholder + "\x00"},
		{name: "lib/d", content: "d"},
	}, info: []file{{name: "info/has_prefix", content: "bin/tool\n\"" + placeholder + "\" binary \"lib/b c\"\n"}, {name: "info/no_link", content: "lib/d\n"}}}
	must(t, Install(t.Context(), []Package{m.write(t)}, prefix, Options{Cache: t.TempDir()}))
	want := map[string]string{
		"bin/tool": "755 " + prefix + "/x", "bin/hard": "755 " + legacyPlaceholder + "/x",
		"lib/b c": "644 " + prefix + strings.Repeat("\x00", len(placeholder)-len(prefix)) + "\x00", "lib/d": "644 d",
	}
	if diff := cmp.Diff(want, tree(t, prefix)); diff != "" {
		t.Error(diff)
	}
}

// A package without paths.json has the files that its info/files lists.
func TestFilesOfALegacyPackage(t *testing.T) {
	for list, want := range map[string]string{
		"a\r\nlib/b c\n./a\n": "a lib/b c", "a\n\n": "a", "": "", "-": "a d lib/b c", "a\nlib/gone\n": "lib/gone is in info/files, but not in the archive; the package is broken",
	} {
		prefix := filepath.Join(t.TempDir(), "env")
		m := made{name: "demo", paths: "-", files: []file{{name: "a"}, {name: "lib/b c"}, {name: "d", target: "a"}}}
		if list != "-" {
			m.info = []file{{name: "info/files", content: list}}
		}
		got := ""
		if err := Install(t.Context(), []Package{m.write(t)}, prefix, Options{Cache: t.TempDir()}); err != nil {
			got = err.Error()
		} else {
			got = strings.Join(slices.Sorted(maps.Keys(tree(t, prefix))), " ")
		}
		if got != want && (!strings.Contains(want, "broken") || !strings.Contains(got, want)) {
			t.Errorf("%q: %s, want %s", list, got, want)
		}
	}
}

// conda passes over a record in conda-meta that is not called as its package.
func TestAnArchiveOfAnotherName(t *testing.T) {
	prefix := filepath.Join(t.TempDir(), "env")
	p := demo.write(t)
	p.Path = filepath.Join(filepath.Dir(p.Path), "other-2.0-1.conda")
	must(t, os.Rename(filepath.Join(filepath.Dir(p.Path), "demo-1.0-0.conda"), p.Path))
	must(t, Install(t.Context(), []Package{p}, prefix, Options{Cache: t.TempDir()}))
	var record struct {
		File string `json:"fn"`
	}
	readRecord(t, prefix, &record)
	history, err := os.ReadFile(filepath.Join(prefix, historyFile))
	if record.File != "other-2.0-1.conda" || err != nil || !strings.Contains(string(history), "::demo-1.0-0\n") {
		t.Errorf("%+v %s %v", record, history, err)
	}
}

func TestIndexesThatMakeNoFileName(t *testing.T) {
	for _, name := range []any{"../x", "a/b", "", nil, 7, ".x", "a b", "x\x00"} {
		index := map[string]any{"name": "x", "version": "1", "build": "0"}
		must(t, checkIndex(index))
		for key := range maps.Clone(index) {
			was := index[key]
			index[key] = name
			if checkIndex(index) == nil && (name != ".x" || key == "name") {
				t.Errorf("the %s %q was taken", key, name)
			}
			index[key] = was
		}
	}
}

// Where info/paths.json has no size of a file its hash is enough, or it is as it comes.
func TestFilesWithoutASize(t *testing.T) {
	sum := sha256.Sum256([]byte("x"))
	hash := `, "sha256": "` + hex.EncodeToString(sum[:]) + `"`
	for rest, want := range map[string]string{
		hash: "", hash + `, "size_in_bytes": null`: "", "": "",
		hash + `, "size_in_bytes": 0`: "says 0", `, "size_in_bytes": 2`: "says 2", `, "sha256": "00"`: "sha256",
	} {
		prefix, cache := filepath.Join(t.TempDir(), "env"), t.TempDir()
		m := made{name: "demo", files: []file{{name: "a", content: "x"}}, paths: `{"paths": [{"_path": "a", "path_type": "hardlink"` + rest + `}, {"_path": "b", "path_type": "directory"}], "paths_version": 1}`}
		p := m.write(t)
		for range 2 { // from the cache as well
			err := Install(t.Context(), []Package{p}, prefix, Options{Cache: cache})
			if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, want %q", rest, err, want)
			}
			if err != nil {
				break
			}
			text, err := os.ReadFile(filepath.Join(prefix, "conda-meta/demo-1.0-0.json"))
			if err != nil || !strings.Contains(string(text), `"size_in_bytes": 1`) || strings.Contains(string(text), ": -1") {
				t.Errorf("%s: %s %v", rest, text, err)
			}
			prefix += " 2"
		}
	}
}

// conda reads the specs in the history as python writes them.
func TestSpecsInTheHistory(t *testing.T) {
	for spec, want := range map[string]string{
		"demo >=1":                       `'demo >=1'`,
		`demo[version='>=1']`:            `"demo[version='>=1']"`,
		`demo[version=">=1"]`:            `'demo[version=">=1"]'`,
		`demo[version=">=1", build='0']`: `'demo[version=">=1", build=\'0\']'`,
		`demo[version='^1\.0*']`:         `"demo[version='^1\\.0*']"`,
		"demo\n>=1":                      `'demo\n>=1'`,
	} {
		if got := pythonList([]string{spec, "x"}); got != "["+want+", 'x']" {
			t.Errorf("%s is %s, want %s", spec, got, want)
		}
	}
	prefix := filepath.Join(t.TempDir(), "env")
	p := demo.write(t)
	p.Spec = "demo[version='>=1']"
	must(t, Install(t.Context(), []Package{p}, prefix, Options{Cache: t.TempDir()}))
	if text, err := os.ReadFile(filepath.Join(prefix, historyFile)); err != nil || !strings.Contains(string(text), "\n# update specs: [\"demo[version='>=1']\"]\n") {
		t.Errorf("%s %v", text, err)
	}
}

func TestArguments(t *testing.T) {
	if err := Install(t.Context(), nil, t.TempDir(), Options{}); err == nil || !strings.Contains(err.Error(), "cache") {
		t.Errorf("without a cache: %v", err)
	}
	err := Install(t.Context(), nil, t.TempDir(), Options{Cache: filepath.Join(os.DevNull, "pkgs")})
	if err == nil || !strings.Contains(err.Error(), "make the cache for packages: ") || !strings.Contains(err.Error(), "name another folder for it") {
		t.Errorf("a cache that cannot be made: %v", err)
	}
	p := demo.write(t)
	p.Record.FileName = "../x"
	if err := Install(t.Context(), []Package{p}, t.TempDir(), Options{Cache: t.TempDir()}); err == nil || !strings.Contains(err.Error(), "not a file name") {
		t.Errorf("a file name that leaves: %v", err)
	}
}
