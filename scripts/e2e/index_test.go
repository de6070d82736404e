package e2e

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/condaworker/condaworker/conda/condatest"
)

// bzip2Package writes a package of the older format, which Go cannot compress.
const bzip2Package = `
import io, json, sys, tarfile
path, index, exports = sys.argv[1:]
with tarfile.open(path, "w:bz2") as tar:
    for name, text in (("info/index.json", index), ("info/run_exports.json", exports), ("share/x", "x" * 5000)):
        if text:
            member = tarfile.TarInfo(name)
            member.size = len(text.encode())
            tar.addfile(member, io.BytesIO(text.encode()))
`

// variety fills a channel folder with packages of all the shapes that an
// indexer must agree with others about.
func (s suite) variety(t *testing.T, root string) {
	t.Helper()
	add := func(name string, number int, subdir string, more map[string]any, files map[string]string) {
		index := condatest.Index(name, "1.0", number, subdir)
		maps.Copy(index, more)
		file := fmt.Sprintf("%s-1.0-%d.conda", name, number)
		text, err := os.ReadFile(condatest.Write(t, file, index, files))
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(root, subdir, file), string(text))
	}
	add("plain", 0, "linux-64", nil, nil)
	add("plain", 1, "linux-64", map[string]any{"timestamp": 1700000000000, "license": "MIT"}, nil)
	add("keys", 0, "linux-64", map[string]any{
		"arch": "x86_64", "platform": "linux", "has_prefix": true, "constrains": []string{}, "depends": []string{"plain >=1.0"}, "summary": "ü",
		"unknown": map[string]any{"z": 1, "a": []any{nil, true, 1.5}}, "track_features": "x", "app_entry": "<b>&",
	}, nil)
	add("exports", 0, "linux-64", nil, map[string]string{"info/run_exports.json": `{"weak": ["exports >=1.0,<2.0a0"], "strong": ["s"]}`})
	add("list", 0, "noarch", map[string]any{"noarch": "generic"}, map[string]string{"info/run_exports.json": `["list"]`})
	for _, name := range []string{"Upper", "two__marks", strings.Repeat("long", 20)} { // CEP 26 has none of them, channels do
		add(name, 0, "noarch", map[string]any{"noarch": "generic"}, nil)
	}
	old := filepath.Join(root, "linux-64", "old-1.0-0.tar.bz2")
	index, err := json.Marshal(condatest.Index("old", "1.0", 0, "linux-64"))
	if err != nil {
		t.Fatal(err)
	}
	s.must(t, s.python, "-c", bzip2Package, old, string(index), `{"weak": ["old"]}`)
	write(t, filepath.Join(root, "linux-64", "broken-1.0-0.conda"), "no zip")
}

func readJSON(t *testing.T, path string) map[string]any {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var all map[string]any
	if err := json.Unmarshal(text, &all); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return all
}

// recordsOf are a subdir's records by file name, without what we add.
func recordsOf(t *testing.T, root, subdir string) map[string]any {
	t.Helper()
	all := map[string]any{}
	index := readJSON(t, filepath.Join(root, subdir, "repodata.json"))
	for _, kind := range []string{"packages", "packages.conda"} {
		for file, record := range index[kind].(map[string]any) {
			delete(record.(map[string]any), "indexed_timestamp")
			all[file] = record
		}
	}
	return all
}

func (s suite) condaIndex(t *testing.T, root string) {
	t.Helper()
	t.Setenv("PYTHONPATH", filepath.Join(s.root, "scripts", "e2e", "testdata", "conda_index"))
	s.must(t, s.python, "-m", "conda_index", root, "--zst", "--run-exports", "--threads", "1")
}

const rattlerIndex = `
import asyncio, os, sys
from rattler.index import index_fs
asyncio.run(index_fs(sys.argv[1], write_zst=True, write_shards=True))
sys.stdout.flush()
os._exit(0)
`

func TestCondaIndexAgrees(t *testing.T) {
	s := start(t)
	ours, theirs := t.TempDir(), t.TempDir()
	s.variety(t, ours)
	if err := os.CopyFS(theirs, os.DirFS(ours)); err != nil {
		t.Fatal(err)
	}
	out := s.must(t, s.program, "reindex", ours)
	if !strings.Contains(out, "broken-1.0-0.conda") {
		t.Errorf("the broken package is not named: %s", tail(out))
	}
	s.condaIndex(t, theirs)
	for _, subdir := range []string{"linux-64", "noarch"} {
		if diff := cmp.Diff(recordsOf(t, theirs, subdir), recordsOf(t, ours, subdir)); diff != "" {
			t.Errorf("%s: conda-index -, condaworker +\n%s", subdir, diff)
		}
		want, got := readJSON(t, filepath.Join(theirs, subdir, "run_exports.json")), readJSON(t, filepath.Join(ours, subdir, "run_exports.json"))
		delete(want["packages.conda"].(map[string]any), "broken-1.0-0.conda") // which has no record: CEP 12 has no place for it
		for _, kind := range []string{"packages", "packages.conda"} {
			if diff := cmp.Diff(normalExports(want[kind]), normalExports(got[kind])); diff != "" {
				t.Errorf("%s run_exports: conda-index -, condaworker +\n%s", subdir, diff)
			}
		}
	}
}

// normalExports writes a list as what it means: weak run_exports.
func normalExports(packages any) any {
	for _, entry := range packages.(map[string]any) {
		e := entry.(map[string]any)
		if list, ok := e["run_exports"].([]any); ok {
			e["run_exports"] = map[string]any{"weak": list}
		}
	}
	return packages
}

// Three indexers and the fast path take turns on one channel: none may lose a
// package, and ours ends by agreeing with what is stored.
func TestIndexersTakeTurns(t *testing.T) {
	s := start(t)
	root := t.TempDir()
	s.variety(t, root)
	if err := os.Remove(filepath.Join(root, "linux-64", "broken-1.0-0.conda")); err != nil {
		t.Fatal(err) // one of the others stops at it
	}
	turns := map[string]func(){
		"conda-index": func() { s.condaIndex(t, root) },
		"rattler":     func() { s.must(t, s.python, "-c", rattlerIndex, root) },
		"reindex":     func() { s.must(t, s.program, "reindex", root) },
		"publish": func() {
			s.must(t, s.program, "publish", condatest.Write(t, "fast-1.0-0.conda", condatest.Index("fast", "1.0", 0, "linux-64"), nil), "--to", root)
		},
	}
	want := 9
	for i, turn := range strings.Fields("reindex conda-index publish rattler reindex rattler conda-index publish reindex conda-index rattler reindex") {
		if !strings.HasPrefix(turn, "publish") {
			file := fmt.Sprintf("new%d-1.0-0.conda", i)
			text, err := os.ReadFile(condatest.Write(t, file, condatest.Index(fmt.Sprint("new", i), "1.0", 0, "linux-64"), nil))
			if err != nil {
				t.Fatal(err)
			}
			write(t, filepath.Join(root, "linux-64", file), string(text))
			want++
		} else if i == 2 {
			want++
		}
		turns[turn]()
		if got := len(recordsOf(t, root, "linux-64")) + len(recordsOf(t, root, "noarch")); got != want {
			t.Fatalf("after turn %d, %s: %d packages, want %d", i, turn, got, want)
		}
	}
	s.must(t, s.program, "reindex", "--check", root)
	for file, record := range recordsOf(t, root, "linux-64") {
		if record.(map[string]any)["sha256"] == nil {
			t.Errorf("%s: %v", file, record)
		}
	}
}

// gateway prints what py-rattler reads of a channel, with or without shards.
const gateway = `
import asyncio, json, os, sys, tempfile
from rattler import Channel, Gateway, Platform, SourceConfig
async def main(url, sharded, *names):
    g = Gateway(cache_dir=tempfile.mkdtemp(), default_config=SourceConfig(sharded_enabled=sharded == "shards", zstd_enabled=sharded != "json", bz2_enabled=False))
    found = await g.query([Channel(url)], [Platform("linux-64"), Platform("noarch")], list(names), recursive=False)
    rows = [[r.file_name, r.url, str(r.version), str(r.build), r.size, r.sha256.hex(), r.md5.hex(), [str(d) for d in r.depends]] for sub in found for r in sub]
    print(json.dumps(sorted(rows)))
asyncio.run(main(*sys.argv[1:]))
sys.stdout.flush()
os._exit(0)
`

// A client sees the same channel whichever of its forms it reads.
func TestClientsReadAllFormsAlike(t *testing.T) {
	s := start(t)
	root := t.TempDir()
	s.variety(t, root)
	s.must(t, s.program, "reindex", root)
	s.must(t, s.program, "publish", condatest.Write(t, "fast-1.0-0.conda", condatest.Index("fast", "1.0", 0, "linux-64"), nil), "--to", root)
	var asked []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.Path)
		http.FileServer(http.Dir(root)).ServeHTTP(w, r)
	}))
	defer server.Close()
	var first [][]any
	for form, file := range map[string]string{"shards": "/shards/", "zst": "/linux-64/repodata.json.zst", "json": "/linux-64/repodata.json"} {
		asked = nil
		out := s.must(t, s.python, "-c", gateway, server.URL, form, "plain", "keys", "exports", "list", "old", "fast", "two__marks")
		var rows [][]any
		if err := json.Unmarshal([]byte(out), &rows); err != nil {
			t.Fatalf("%s: %v", out, err)
		}
		if !slices.ContainsFunc(asked, func(path string) bool { return strings.Contains(path, file) }) {
			t.Errorf("%s: the client asked for %q", form, asked)
		}
		if first == nil {
			first = rows
		}
		if diff := cmp.Diff(first, rows); diff != "" || len(rows) != 8 {
			t.Errorf("%s: %d rows\n%s", form, len(rows), diff)
		}
	}
}

// The data of a channel says what conda-index says, but for a timestamp and a
// reference package that conda-index leaves out.
func TestCondaIndexAgreesOnChannelData(t *testing.T) {
	s := start(t)
	ours, theirs := t.TempDir(), t.TempDir()
	s.variety(t, ours)
	file := "told-2.0-0.conda"
	told, err := os.ReadFile(condatest.Write(t, file, condatest.Index("told", "2.0", 0, "linux-64"), map[string]string{
		"info/about.json":           `{"home": "https://h", "summary": "ü <b>", "description": "d", "dev_url": "https://dev", "doc_url": "https://doc", "license": "MIT", "tags": ["t"], "identifiers": ["i"], "keywords": ["k"]}`,
		"etc/conda/activate.d/a.sh": "", "etc/conda/deactivate.d/a.sh": "", "bin/.told-post-link.sh": "", "bin/.told-pre-unlink.sh": "",
	}))
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(ours, "linux-64", file), string(told))
	if err := os.CopyFS(theirs, os.DirFS(ours)); err != nil {
		t.Fatal(err)
	}
	s.must(t, s.program, "reindex", ours, "--channeldata", "--rss")
	t.Setenv("PYTHONPATH", filepath.Join(s.root, "scripts", "e2e", "testdata", "conda_index"))
	s.must(t, s.python, "-m", "conda_index", theirs, "--channeldata", "--threads", "1")
	want, got := readJSON(t, filepath.Join(theirs, "channeldata.json")), readJSON(t, filepath.Join(ours, "channeldata.json"))
	for name, p := range got["packages"].(map[string]any) {
		fields := p.(map[string]any)
		delete(fields, "reference_package")
		delete(fields, "timestamp")
		for _, e := range want["packages"].(map[string]any) {
			delete(e.(map[string]any), "timestamp")
		}
		if diff := cmp.Diff(listsAreWeak(want["packages"].(map[string]any)[name]), listsAreWeak(p)); diff != "" {
			t.Errorf("%s: conda-index -, condaworker +\n%s", name, diff)
		}
	}
	if got, want := len(got["packages"].(map[string]any)), len(want["packages"].(map[string]any)); got != want {
		t.Errorf("%d names, conda-index has %d", got, want)
	}
}

// listsAreWeak writes run_exports that are a list as what they mean.
func listsAreWeak(p any) any {
	if p, ok := p.(map[string]any); ok {
		for version, e := range p["run_exports"].(map[string]any) {
			if list, ok := e.([]any); ok {
				p["run_exports"].(map[string]any)[version] = map[string]any{"weak": list}
			}
		}
	}
	return p
}
