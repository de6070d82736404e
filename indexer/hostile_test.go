package indexer

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/condaworker/condaworker/conda"
	"github.com/condaworker/condaworker/conda/archive"
	"github.com/condaworker/condaworker/store"
	"github.com/condaworker/condaworker/store/dir"
	"github.com/condaworker/condaworker/store/mem"
)

// meddler changes what Get of packages answers.
type meddler struct {
	*mem.Store
	get func(body io.ReadCloser, n int64) io.ReadCloser
}

func (m meddler) Get(ctx context.Context, key string, off, n int64) (io.ReadCloser, store.Info, error) {
	body, in, err := m.Store.Get(ctx, key, off, n)
	if err == nil && isPackage(key) {
		body = m.get(body, n)
	}
	return body, in, err
}

// cut ends a body in its middle: with an error as net/http does, or with none.
func cut(err error) func(io.ReadCloser, int64) io.ReadCloser {
	return func(body io.ReadCloser, n int64) io.ReadCloser {
		if n == 0 {
			return body
		}
		some, _ := io.ReadAll(io.LimitReader(body, 100))
		return io.NopCloser(io.MultiReader(bytes.NewReader(some), failing{err}))
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func TestACutConnectionIsNotACutPackage(t *testing.T) {
	for _, fault := range []error{io.EOF, io.ErrUnexpectedEOF, errors.New("reset")} {
		s := &mem.Store{}
		putRaw(t, s, "linux-64/tool-1.0-0.conda", readFile(t, simple(t, "tool")))
		putRaw(t, s, "linux-64/old-0.9-py_3.tar.bz2", old(t))
		reindexOK(t, s, Options{})
		before := files(t, s, "linux-64")
		r, err := Reindex(t.Context(), meddler{s, cut(fault)}, Options{Full: true, Concurrency: 1})
		if err == nil || !strings.Contains(err.Error(), ".tar.bz2") && !strings.Contains(err.Error(), ".conda") {
			t.Errorf("%v: skipped %+v, error %v", fault, r.Skipped, err)
		}
		if got := files(t, s, "linux-64"); !slices.Equal(got, before) {
			t.Errorf("%v: indexed %q", fault, got)
		}
	}
}

// A cut in the pass that only hashes would give the hash of another archive.
func TestACutWhileHashing(t *testing.T) {
	s := &mem.Store{}
	putRaw(t, s, "linux-64/tool-1.0-0.conda", readFile(t, large(t, index("tool", "1.0", 0, "linux-64"))))
	for _, fault := range []error{io.EOF, io.ErrUnexpectedEOF} {
		whole := func(body io.ReadCloser, n int64) io.ReadCloser {
			if n < 0 {
				return cut(fault)(body, n)
			}
			return body
		}
		if r, err := Reindex(t.Context(), meddler{s, whole}, Options{}); err == nil {
			t.Errorf("%v: %+v", fault, r)
		}
	}
}

// An object that is replaced between two reads must not get a record with the
// index.json of one and the hash of the other.
func TestReplacedWhileItIsRead(t *testing.T) {
	for name, tt := range map[string]struct {
		meta map[string]string // of the first object
		when func(n int64) bool
	}{
		"before the info part": {map[string]string{metaSHA256: strings.Repeat("0", 64), metaMD5: strings.Repeat("0", 32)}, func(n int64) bool { return n > 0 }},
		"before the hashing":   {nil, func(n int64) bool { return n < 0 }},
	} {
		s := &mem.Store{}
		key := "linux-64/tool-1.0-0.conda"
		first, second := index("tool", "1.0", 0, "linux-64"), index("tool", "1.0", 0, "linux-64")
		first["license"], second["license"] = "A", "B"
		body, other := readFile(t, large(t, first)), readFile(t, large(t, second))
		if _, err := s.Put(t.Context(), key, bytes.NewReader(body), store.PutOptions{Meta: tt.meta}); err != nil {
			t.Fatal(err)
		}
		done := false
		swap := swapper{s, func(n int64) {
			if tt.when(n) && !done {
				done = true
				putRaw(t, s, key, other)
			}
		}}
		r := reindexOK(t, swap, Options{Subdirs: []string{"linux-64"}})
		sum, err := archive.Sum(t.Context(), bytes.NewReader(other))
		if got := indexed(t, s, "linux-64")["tool-1.0-0.conda"]; err != nil || got.License != "B" || got.SHA256 != sum.SHA256 || r.Subdirs[0].Attempts != 2 {
			t.Errorf("%s: %+v, %+v, %v", name, got, r, err)
		}
	}
}

// swapper calls before ahead of each Get of a package.
type swapper struct {
	*mem.Store
	before func(n int64)
}

func (s swapper) Get(ctx context.Context, key string, off, n int64) (io.ReadCloser, store.Info, error) {
	if isPackage(key) {
		s.before(n)
	}
	return s.Store.Get(ctx, key, off, n)
}

func TestGoneSinceTheListing(t *testing.T) {
	s := &mem.Store{}
	publishOK(t, s, simple(t, "stays"))
	publishOK(t, s, simple(t, "goes"))
	r := reindexOK(t, swapper{s, func(int64) {
		if err := s.Delete(t.Context(), "linux-64/goes-1.0-0.conda"); err != nil {
			t.Error(err)
		}
	}}, Options{Concurrency: 1})
	if got := files(t, s, "linux-64"); !slices.Equal(got, []string{"stays-1.0-0.conda"}) || len(r.Skipped) != 1 {
		t.Errorf("indexed %q, skipped %+v", got, r.Skipped)
	}
}

// Metadata that is not of its object is not believed: the package is looked
// into.
func TestLyingMetadata(t *testing.T) {
	path := simple(t, "tool")
	body := readFile(t, path)
	honest := &mem.Store{}
	publishOK(t, honest, path)
	_, info, err := honest.Get(t.Context(), "linux-64/tool-1.0-0.conda", 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	lie := func(key string, value any) string {
		var r map[string]any
		if err := json.Unmarshal([]byte(info.Meta[metaRecord]), &r); err != nil {
			t.Fatal(err)
		}
		r[key] = value
		text, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	want := indexedOf(t, body, info.Meta)
	for name, record := range map[string]string{
		"name": lie("name", "other"), "version": lie("version", "9"), "build": lie("build", "9"), "subdir": lie("subdir", "noarch"),
		"size": lie("size", 1), "sha256": lie("sha256", strings.Repeat("0", 64)), "md5": lie("md5", "none"), "null": "null",
		"upper case": lie("md5", strings.ToUpper(info.Meta[metaMD5])), "cut": info.Meta[metaRecord][:20], "number": "7", "path": lie("name", "../../x"),
	} {
		meta := maps.Clone(info.Meta)
		meta[metaRecord] = record
		if diff := cmp.Diff(want, indexedOf(t, body, meta)); diff != "" {
			t.Errorf("%s:\n%s", name, diff)
		}
	}
	for name, meta := range map[string]map[string]string{
		"no hex": {metaSHA256: strings.Repeat("z", 64), metaMD5: strings.Repeat("z", 32)},
		"short":  {metaSHA256: "00", metaMD5: info.Meta[metaMD5]},
		"half":   {metaSHA256: info.Meta[metaSHA256]},
	} {
		if diff := cmp.Diff(want, indexedOf(t, body, meta)); diff != "" {
			t.Errorf("%s:\n%s", name, diff)
		}
	}
}

// indexedOf is the record of tool-1.0-0.conda stored with these metadata, but for when
// it was indexed.
func indexedOf(t *testing.T, body []byte, meta map[string]string) conda.Record {
	t.Helper()
	s := &mem.Store{}
	if _, err := s.Put(t.Context(), "linux-64/tool-1.0-0.conda", bytes.NewReader(body), store.PutOptions{Meta: meta}); err != nil {
		t.Fatal(err)
	}
	reindexOK(t, s, Options{})
	r := indexed(t, s, "linux-64")["tool-1.0-0.conda"]
	r.IndexedTimestamp = 0
	return r
}

func TestEntriesThatAreNoPackages(t *testing.T) {
	s := &mem.Store{}
	publishOK(t, s, simple(t, "tool"))
	reindexOK(t, s, Options{})
	var all map[string]any
	if err := json.Unmarshal(stored(t, s, "linux-64/repodata.json"), &all); err != nil {
		t.Fatal(err)
	}
	record := all["packages.conda"].(map[string]any)["tool-1.0-0.conda"]
	all["packages"] = map[string]any{"tool-1.0-0.conda": record, "../../x-1-0.tar.bz2": record, "stray.whl": record}
	all["packages.conda"] = map[string]any{"tool-1.0-0.conda": 7, "gone-1.0-0.conda": nil}
	text, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	putRaw(t, s, "linux-64/repodata.json", text)
	r := reindexOK(t, s, Options{}).Subdirs[0]
	if want := []string{"../../x-1-0.tar.bz2", "gone-1.0-0.conda", "stray.whl", "tool-1.0-0.conda"}; !slices.Equal(r.Removed, want) {
		t.Errorf("removed %q, want %q", r.Removed, want)
	}
	data, err := conda.ParseRepoData(stored(t, s, "linux-64/repodata.json"))
	if err != nil || data.Packages.Len() != 0 || data.PackagesConda.Len() != 1 || indexed(t, s, "linux-64")["tool-1.0-0.conda"].Name != "tool" {
		t.Errorf("%+v, %v", data, err)
	}
}

func TestCheckIndex(t *testing.T) {
	good := `{"name":"tool","version":"1.0","build":"0","build_number":0,"subdir":"linux-64","depends":[]%s}`
	for more, want := range map[string]string{
		"":                                   "",
		`,"summary":"ü"`:                     "",
		",\"summary\":\"\xff\xfe\"":          "UTF-8",
		`,"build_number":1e400`:              "info/index.json",
		`,"depends":"python"`:                "info/index.json",
		`,"build_number":-1`:                 "build_number is -1, not a whole number",
		`,"timestamp":1e300`:                 ", not a time before",
		`,"timestamp":253402300800000`:       ", not a time before",
		`,"timestamp":1500000000`:            "",
		`,"noarch":"other"`:                  `noarch is "other"`,
		`,"noarch":true`:                     "",
		`,"x":"\\ud800 \ud83d\ude00 \u0041"`: "",
		`,"x":"\ud83d\u0041"`:                "half a character",
		`,"x":"a\ude00"`:                     "half a character",
		`,"mine":[{"a":-1e400}]`:             "info/index.json: its number -1e400 is beyond",
		`,"mine":` + strings.Repeat("[", 98) + strings.Repeat("]", 98):   "",
		`,"mine":` + strings.Repeat("[", 101) + strings.Repeat("]", 101): "deep within one another",
		`,"build_number":null`:                     "build_number is null, not a whole number from 0 on: build it again",
		`,"depends":null`:                          "depends is null, not a list of texts",
		`,"features":["a"]`:                        `features is ["a"], not a text`,
		`,"timestamp":1600000000000.5`:             "timestamp is 1600000000000.5, not a time",
		`,"timestamp":253402300799999`:             ", not a time before",
		`,"purls":["nope"]`:                        `purls is ["nope"], not a list of package URLs`,
		`,"legacy_bz2_md5":""`:                     `legacy_bz2_md5 is "", not 32 hexadecimal digits`,
		`,"run_exports":["a"]`:                     `run_exports is ["a"], not an object of lists of texts`,
		`,"arch":5,"md5":"","indexed_timestamp":1`: "",
		`,"subdir":"linux_99"`:                     "linux_99",
		`,"name":"Tool"`:                           "Tool",
		`}{`:                                       "info/index.json",
	} {
		subdir, err := checkIndex("tool-1.0-0.conda", []byte(strings.Replace(good, "%s", more, 1)), "")
		if want == "" && (err != nil || subdir != "linux-64") || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: %q, %v; want %q", more, subdir, err, want)
		}
	}
}

// A folder may hold names that no door of a channel takes. They are named, and
// the rest is served.
func TestKeysThatNoChannelHas(t *testing.T) {
	root := t.TempDir()
	s := dir.Open(root)
	publishOK(t, s, simple(t, "good"))
	for _, name := range []string{"new\nline-1.0-0.conda", "bad\xff-1.0-0.conda", `back\slash-1.0-0.tar.bz2`, "dir-1.0-0.conda/x-1.0-0.conda"} {
		path := filepath.Join(root, "linux-64", name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, readFile(t, simple(t, "x")), 0o600)); err != nil {
			t.Skipf("the file system has no such names: %v", err)
		}
	}
	for _, check := range []bool{false, true} {
		r := reindexOK(t, s, Options{Check: check})
		var named []string
		for _, k := range r.Skipped {
			named = append(named, k.Key)
			if !strings.Contains(k.Reason, "rename it") {
				t.Errorf("%s: %s", k.Key, k.Reason)
			}
		}
		slices.Sort(named)
		if diff := cmp.Diff([]string{`linux-64/back\\slash-1.0-0.tar.bz2`, `linux-64/bad\xff-1.0-0.conda`, `linux-64/new\nline-1.0-0.conda`}, named); diff != "" {
			t.Errorf("check %v: named as skipped:\n%s", check, diff)
		}
	}
	if got := files(t, s, "linux-64"); !slices.Equal(got, []string{"good-1.0-0.conda"}) {
		t.Errorf("indexed %q", got)
	}
}

// Packages of conda-build's first years name no subdir: they are of the one
// where they lie, and clients are told so.
func TestAPackageWithoutASubdir(t *testing.T) {
	for _, none := range []any{"absent", "", nil} {
		s := &mem.Store{}
		in := index("tool", "1.0", 0, "linux-64")
		in["subdir"] = none
		if none == "absent" {
			delete(in, "subdir")
		}
		putRaw(t, s, "linux-64/tool-1.0-0.conda", readFile(t, makePackage(t, "tool-1.0-0.conda", in, "x")))
		if r := reindexOK(t, s, Options{}); len(r.Skipped) > 0 {
			t.Errorf("%v: skipped %+v", none, r.Skipped)
		}
		if got := indexed(t, s, "linux-64")["tool-1.0-0.conda"]; got.Subdir != "linux-64" {
			t.Errorf("%v: %+v", none, got)
		}
	}
}

func FuzzASCII(f *testing.F) {
	f.Add("ü 😀 \x7f")
	f.Add("\ud7ff\ue000\uffff\U00010000\U0010ffff")
	f.Fuzz(func(t *testing.T, text string) {
		quoted, err := json.Marshal(text)
		if err != nil {
			t.Fatal(err)
		}
		out := ascii(quoted)
		if strings.ContainsFunc(out, func(r rune) bool { return r < ' ' || r > '~' }) {
			t.Fatalf("%q cannot be a header", out)
		}
		var back, want string
		if err := errors.Join(json.Unmarshal([]byte(out), &back), json.Unmarshal(quoted, &want)); err != nil || back != want {
			t.Fatalf("%q became %q: %v", want, back, err)
		}
	})
}
