package indexer

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/condaworker/condaworker/conda"
	"github.com/condaworker/condaworker/conda/archive"
	"github.com/condaworker/condaworker/conda/condatest"
	"github.com/condaworker/condaworker/store"
	"github.com/condaworker/condaworker/store/dir"
	"github.com/condaworker/condaworker/store/mem"
)

// TestMain makes the encoder that all share in the time that all share: one that the
// first of the tests with a time of its own makes is no other's.
func TestMain(m *testing.M) {
	archive.Zstd(nil)
	os.Exit(m.Run())
}

// oldPackage is old-0.9-py_3.tar.bz2, of linux-64: Go has no bzip2 writer.
const oldPackage = `
QlpoOTFBWSZTWTuJDI4AALJ7oM2AAAJQB/+wIIr3d99qCAAICDAAuWDUhoDSYAAhtAAAA1NTynqmT0QPUDRkAMg9RtT1AkkjSaAy
D0jTQAANBofueyYiYaxgA9yJIRmf4MpcCFExISiEMA1WRMmHDiqmeGLBwjdW8LGDDSW9zoTtXelI0J85REAQHqKCCMtCFB7DIuis
izJzB8wqcBCg1nUxRPwM+eGBeASvJOMGy/ZF54Q99CK7kIDHPegNOhcChTK1FOYGchNi6NImnY4Zogk/K3SabAxgH8XckU4UJA7i
QyOA`

func old(t *testing.T) []byte {
	t.Helper()
	b, err := base64.StdEncoding.DecodeString(strings.ReplaceAll(strings.TrimSpace(oldPackage), "\n", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func makePackage(t *testing.T, file string, index map[string]any, content string) string {
	t.Helper()
	return condatest.Write(t, file, index, map[string]string{"share/payload": content})
}

func index(name, version string, number int, subdir string) map[string]any {
	in := condatest.Index(name, version, number, subdir)
	in["summary of ü 😀"] = "kept"
	return in
}

// simple makes a package of linux-64 and returns its path.
func simple(t *testing.T, name string) string {
	t.Helper()
	return makePackage(t, name+"-1.0-0.conda", index(name, "1.0", 0, "linux-64"), strings.Repeat(name, 1000))
}

func publishOK(t *testing.T, s store.Store, path string) Published {
	t.Helper()
	got, err := Publish(t.Context(), s, Package{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func reindexOK(t *testing.T, s store.Store, o Options) Report {
	t.Helper()
	r, err := Reindex(t.Context(), s, o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func putRaw(t *testing.T, s store.Store, key string, body []byte) {
	t.Helper()
	if _, err := s.Put(t.Context(), key, bytes.NewReader(body), store.PutOptions{}); err != nil {
		t.Fatal(err)
	}
}

func readFile(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path) //nolint:gosec // ours
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func stored(t *testing.T, s store.Reader, key string) []byte {
	t.Helper()
	body, _, err := s.Get(t.Context(), key, 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(body)
	if err = errors.Join(err, body.Close()); err != nil {
		t.Fatal(err)
	}
	return b
}

// indexed is the index of a subdir by file name. The compressed one must say
// the same.
func indexed(t *testing.T, s store.Reader, subdir string) map[string]conda.Record {
	t.Helper()
	text := stored(t, s, subdir+"/repodata.json")
	zst, err := archive.Unzstd(stored(t, s, subdir+"/repodata.json.zst"), 1<<30)
	if err != nil || !bytes.Equal(text, zst) {
		t.Fatalf("%s: repodata.json.zst does not hold repodata.json: %v", subdir, err)
	}
	data, err := conda.ParseRepoData(text)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]conda.Record{}
	for _, records := range []*conda.Records{&data.Packages, &data.PackagesConda} {
		for file, raw := range records.All() {
			var r conda.Record
			if err := json.Unmarshal(raw, &r); err != nil {
				t.Fatal(err)
			}
			all[file] = r
		}
	}
	return all
}

func files(t *testing.T, s store.Reader, subdir string) []string {
	t.Helper()
	return slices.Sorted(maps.Keys(indexed(t, s, subdir)))
}

func TestAPackageThatCarriesItsRecordIsNotRead(t *testing.T) {
	s := &mem.Store{}
	path := large(t, index("tool", "1.0", 0, "linux-64"))
	got := publishOK(t, s, path)
	if got.Key != "linux-64/tool-1.0-0.conda" || got.Existed {
		t.Errorf("published %+v", got)
	}
	before := s.Counts()["bytes"]
	reindexOK(t, s, Options{})
	if read := s.Counts()["bytes"] - before; read != 0 {
		t.Errorf("%d bytes of the package were read", read)
	}
	r := indexed(t, s, "linux-64")["tool-1.0-0.conda"]
	sum, err := archive.Sum(t.Context(), bytes.NewReader(readFile(t, path)))
	if err != nil {
		t.Fatal(err)
	}
	if r.Name != "tool" || r.SHA256 != sum.SHA256 || r.MD5 != sum.MD5 || r.Size != sum.Size || got.SHA256 != sum.SHA256 {
		t.Errorf("record %+v, digest %+v", r, sum)
	}
	if !bytes.Contains(stored(t, s, "linux-64/repodata.json"), []byte(`"summary of ü 😀"`)) {
		t.Error("the record has lost a key that nothing here reads")
	}
	if len(files(t, s, "noarch")) != 0 {
		t.Error("noarch is not empty")
	}
}

func TestAForeignPackageIsLookedInto(t *testing.T) {
	s := &mem.Store{}
	path := simple(t, "tool")
	putRaw(t, s, "linux-64/tool-1.0-0.conda", readFile(t, path))
	putRaw(t, s, "linux-64/old-0.9-py_3.tar.bz2", old(t))
	r := reindexOK(t, s, Options{})
	if want := []string{"old-0.9-py_3.tar.bz2", "tool-1.0-0.conda"}; !slices.Equal(files(t, s, "linux-64"), want) {
		t.Errorf("indexed %q", files(t, s, "linux-64"))
	}
	got := indexed(t, s, "linux-64")["old-0.9-py_3.tar.bz2"]
	if got.BuildNumber != 3 || len(got.MD5) != 32 || len(got.SHA256) != 64 || got.Size != int64(len(old(t))) {
		t.Errorf("%+v", got)
	}
	if n := len(r.Subdirs[0].Added); r.Subdirs[0].Subdir != "linux-64" || n != 2 {
		t.Errorf("report %+v", r)
	}
}

func TestNoChangeWritesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &mem.Store{}
		for _, name := range []string{"a", "b", "c"} {
			publishOK(t, s, simple(t, name))
		}
		reindexOK(t, s, Options{})
		time.Sleep(2 * slack)
		reindexOK(t, s, Options{}) // trusts the records from now on
		was, before := stored(t, s, "linux-64/repodata.json"), s.Counts()
		r := reindexOK(t, s, Options{})
		after := s.Counts()
		if after["put"] != before["put"] || !bytes.Equal(was, stored(t, s, "linux-64/repodata.json")) {
			t.Errorf("%d writes", after["put"]-before["put"])
		}
		for _, sub := range r.Subdirs {
			if sub.Written != 0 || sub.Attempts != 1 {
				t.Errorf("%+v", sub)
			}
		}
	})
}

func TestASubdirWithoutChangeIsNotLookedInto(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &mem.Store{}
		for i := range 50 {
			putRaw(t, s, fmt.Sprintf("linux-64/p%d-1.0-0.conda", i), readFile(t, simple(t, fmt.Sprintf("p%d", i))))
		}
		time.Sleep(2 * slack)
		reindexOK(t, s, Options{})
		before := s.Counts()["get"]
		publishOK(t, s, simple(t, "new"))
		reindexOK(t, s, Options{})
		if gets := s.Counts()["get"] - before; gets > 10 {
			t.Errorf("%d reads for one new package", gets)
		}
		if n := len(files(t, s, "linux-64")); n != 51 {
			t.Errorf("%d packages", n)
		}
		before = s.Counts()["get"]
		reindexOK(t, s, Options{Full: true})
		if gets := s.Counts()["get"] - before; gets < 51 {
			t.Errorf("Full has %d reads for 51 packages", gets)
		}
	})
}

func TestPublishNeverReplaces(t *testing.T) {
	s := &mem.Store{}
	first, other := simple(t, "tool"), makePackage(t, "tool-1.0-0.conda", index("tool", "1.0", 0, "linux-64"), "other")
	publishOK(t, s, first)
	if got := publishOK(t, s, first); !got.Existed {
		t.Error("the same bytes again are not told apart from new ones")
	}
	_, err := Publish(t.Context(), s, Package{Path: other})
	if !errors.Is(err, store.ErrConflict) || !strings.Contains(err.Error(), "linux-64/tool-1.0-0.conda") {
		t.Errorf("other bytes: %v", err)
	}
	if !bytes.Equal(stored(t, s, "linux-64/tool-1.0-0.conda"), readFile(t, first)) {
		t.Error("the package was replaced")
	}
}

func TestPublishRefusesWhatIsNoPackage(t *testing.T) {
	with := func(key string, value any) map[string]any {
		m := index("tool", "1.0", 0, "linux-64")
		m[key] = value
		return m
	}
	for name, path := range map[string]string{
		"other name":   makePackage(t, "tool-1.0-0.conda", with("name", "other"), ""),
		"version":      makePackage(t, "tool-1.0-0.conda", with("version", "2.0"), ""),
		"path name":    makePackage(t, "tool-1.0-0.conda", with("name", "../tool"), ""),
		"subdir":       makePackage(t, "tool-1.0-0.conda", with("subdir", "../up"), ""),
		"no subdir":    makePackage(t, "tool-1.0-0.conda", with("subdir", nil), ""),
		"file name":    makePackage(t, "tool.conda", index("tool", "1.0", 0, "linux-64"), ""),
		"other type":   makePackage(t, "tool-1.0-0.conda", with("depends", 7), ""),
		"not a zip":    makeFile(t, "tool-1.0-0.conda", "no zip"),
		"empty":        makeFile(t, "tool-1.0-0.conda", ""),
		"cut":          makeFile(t, "tool-1.0-0.conda", string(readFile(t, simple(t, "tool"))[:500])),
		"not a bz2":    makeFile(t, "tool-1.0-0.tar.bz2", "no bz2"),
		"not a suffix": makeFile(t, "tool-1.0-0.zip", "zip"),
		"missing":      "/no/such/tool-1.0-0.conda",
	} {
		s := &mem.Store{}
		_, err := Publish(t.Context(), s, Package{Path: path})
		if err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", name, err)
		}
		if s.Counts()["put"] != 0 {
			t.Errorf("%s: something was written", name)
		}
	}
}

func makeFile(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestBadPackagesAreNamedAndTheRestIsServed(t *testing.T) {
	s := &mem.Store{}
	publishOK(t, s, simple(t, "good"))
	bad := map[string][]byte{
		"linux-64/junk-1.0-0.conda":      []byte("junk"),
		"linux-64/cut-1.0-0.conda":       readFile(t, simple(t, "cut"))[:600],
		"linux-64/lying-1.0-0.conda":     readFile(t, simple(t, "other")),
		"linux-64/empty-1.0-0.tar.bz2":   {},
		"linux-64/nameless.conda":        readFile(t, simple(t, "nameless")),
		"noarch/elsewhere-1.0-0.conda":   readFile(t, simple(t, "elsewhere")),
		"linux-64/odd name?-1.0-0.conda": readFile(t, simple(t, "odd")),
	}
	for key, body := range bad {
		putRaw(t, s, key, body)
	}
	putRaw(t, s, "linux-64/README.txt", []byte("a stray file"))
	putRaw(t, s, "linux-64/folder/deep-1.0-0.conda", readFile(t, simple(t, "deep")))
	putRaw(t, s, "somewhere/stray-1.0-0.conda", readFile(t, simple(t, "stray")))
	r := reindexOK(t, s, Options{})
	if got := files(t, s, "linux-64"); !slices.Equal(got, []string{"good-1.0-0.conda"}) {
		t.Errorf("indexed %q", got)
	}
	var named []string
	for _, k := range r.Skipped {
		named = append(named, k.Key)
		if k.Reason == "" {
			t.Errorf("%s: no reason", k.Key)
		}
	}
	slices.Sort(named)
	want := slices.Sorted(maps.Keys(bad))
	if diff := cmp.Diff(append(want, "somewhere/"), named); diff != "" {
		t.Errorf("named as skipped:\n%s", diff)
	}
}

func TestABrokenIndexIsMadeAnew(t *testing.T) {
	for _, text := range []string{"null", "{}", `{"packages`, "[]", `{"packages": 7}`, "", `{"packages": {"a-1-0.tar.bz2": null}}`} {
		s := &mem.Store{}
		publishOK(t, s, simple(t, "tool"))
		putRaw(t, s, "linux-64/repodata.json", []byte(text))
		var log []string
		reindexOK(t, s, Options{Warn: func(text string) { log = append(log, text) }})
		if got := files(t, s, "linux-64"); !slices.Equal(got, []string{"tool-1.0-0.conda"}) {
			t.Errorf("%q: indexed %q", text, got)
		}
		if !bytes.Contains(stored(t, s, "linux-64/repodata.json"), []byte(`"subdir":"linux-64"},"packages":`)) {
			t.Errorf("%q: no info", text)
		}
		broken := !json.Valid([]byte(text)) || text == "null" || text == "[]" || strings.Contains(text, "7")
		if said := strings.Contains(strings.Join(log, "\n"), "linux-64/repodata.json is broken"); said != broken {
			t.Errorf("%q: log %q", text, log)
		}
	}
}

func TestWhatNobodyReadsSurvives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &mem.Store{}
		publishOK(t, s, simple(t, "a"))
		publishOK(t, s, simple(t, "taken"))
		reindexOK(t, s, Options{})
		text := stored(t, s, "linux-64/repodata.json")
		var all map[string]any
		if err := json.Unmarshal(text, &all); err != nil {
			t.Fatal(err)
		}
		all["signatures"] = map[string]any{"a-1.0-0.conda": "sig"}
		all["removed"] = []string{"taken-1.0-0.conda"}
		records := all["packages.conda"].(map[string]any)
		records["a-1.0-0.conda"].(map[string]any)["patched"] = map[string]any{"by": "hand"}
		delete(records, "taken-1.0-0.conda")
		text, err := json.Marshal(all)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * slack)
		putRaw(t, s, "linux-64/repodata.json", text)
		publishOK(t, s, simple(t, "b"))
		for _, o := range []Options{{}, {Full: true}} {
			reindexOK(t, s, o)
			got := string(stored(t, s, "linux-64/repodata.json"))
			for _, want := range []string{`"signatures"`, `"patched"`, `"b-1.0-0.conda"`, `"removed"`} {
				if !strings.Contains(got, want) {
					t.Errorf("no %s in %s", want, got)
				}
			}
			if slices.Contains(files(t, s, "linux-64"), "taken-1.0-0.conda") {
				t.Error("a removed package is back")
			}
		}
	})
}

func TestOverwrittenAndGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &mem.Store{}
		key := "linux-64/tool-1.0-0.conda"
		putRaw(t, s, key, readFile(t, simple(t, "tool")))
		publishOK(t, s, simple(t, "stays"))
		publishOK(t, s, simple(t, "goes"))
		sized := func(content string) []byte {
			return readFile(t, makePackage(t, "sized-1.0-0.conda", index("sized", "1.0", 0, "linux-64"), content))
		}
		putRaw(t, s, "linux-64/sized-1.0-0.conda", sized("1"))
		reindexOK(t, s, Options{})
		time.Sleep(2 * slack)
		other := readFile(t, makePackage(t, "tool-1.0-0.conda", index("tool", "1.0", 0, "linux-64"), "other bytes"))
		putRaw(t, s, key, other)
		if len(sized("1")) != len(sized("2")) {
			t.Fatal("the test needs two packages of one size")
		}
		putRaw(t, s, "linux-64/sized-1.0-0.conda", sized("2"))
		if err := s.Delete(t.Context(), "linux-64/goes-1.0-0.conda"); err != nil {
			t.Fatal(err)
		}
		r := reindexOK(t, s, Options{}).Subdirs[0]
		if !slices.Equal(r.Updated, []string{"sized-1.0-0.conda", "tool-1.0-0.conda"}) || !slices.Equal(r.Removed, []string{"goes-1.0-0.conda"}) || r.Added != nil {
			t.Errorf("%+v", r)
		}
		if got := indexed(t, s, "linux-64"); len(got) != 3 || got["tool-1.0-0.conda"].Size != int64(len(other)) {
			t.Errorf("%+v", got)
		}
	})
}

// Workers that publish and index at once, without any lock, and whose answers
// are lost: every package is in the index that is committed last.
func TestTwoIndexersLoseNothing(t *testing.T) {
	const workers = 8
	var paths []string
	for w := range workers {
		paths = append(paths, simple(t, fmt.Sprint("p", w)))
	}
	for seed := range uint64(30) {
		synctest.Test(t, func(t *testing.T) {
			s := &mem.Store{Delay: 20 * time.Millisecond, Fault: loseAnswers(seed)}
			var wg sync.WaitGroup
			for _, path := range paths {
				wg.Go(func() {
					again(t, func() error { _, err := Publish(t.Context(), s, Package{Path: path}); return err })
					again(t, func() error {
						_, err := Reindex(t.Context(), s, Options{Subdirs: []string{"linux-64"}})
						return err
					})
				})
			}
			wg.Wait()
			if n := len(files(t, s, "linux-64")); n != workers {
				t.Errorf("seed %d: %d of %d packages are in the index", seed, n, workers)
			}
		})
	}
}

// again does what a farm does with a task that failed.
func again(t *testing.T, do func() error) {
	t.Helper()
	for try := 1; ; try++ {
		switch err := do(); {
		case err == nil:
			return
		case try == 5 || errors.Is(err, store.ErrConflict):
			t.Error(err)
			return
		}
	}
}

// loseAnswers delays every attempt and fails a quarter of them, half of those
// after they landed.
func loseAnswers(seed uint64) func(string) (bool, error) {
	var mu sync.Mutex
	r := rand.New(rand.NewPCG(seed, 0))
	draw := func(n int) int {
		mu.Lock()
		defer mu.Unlock()
		return r.IntN(n)
	}
	return func(string) (bool, error) {
		time.Sleep(time.Duration(draw(300)) * time.Millisecond)
		if draw(4) > 0 {
			return true, nil
		}
		return draw(2) == 0, errors.New("answer lost")
	}
}

func TestInAFolder(t *testing.T) {
	s := dir.Open(filepath.Join(t.TempDir(), "channel"))
	publishOK(t, s, simple(t, "tool"))
	publishOK(t, s, makePackage(t, "data-2.0-1.conda", index("data", "2.0", 1, "noarch"), "x"))
	publishOK(t, s, makePackage(t, "win-2.0-1.conda", index("win", "2.0", 1, "win-64"), "x"))
	r := reindexOK(t, s, Options{})
	var subdirs []string
	for _, sub := range r.Subdirs {
		subdirs = append(subdirs, fmt.Sprint(sub.Subdir, " ", sub.Packages))
	}
	if want := []string{"linux-64 1", "noarch 1", "win-64 1"}; !slices.Equal(subdirs, want) {
		t.Errorf("indexed %q, want %q", subdirs, want)
	}
	r = reindexOK(t, s, Options{Subdirs: []string{"win-64"}})
	if len(r.Subdirs) != 2 || r.Subdirs[1].Subdir != "win-64" {
		t.Errorf("%+v", r)
	}
}

func TestNextBuildNumber(t *testing.T) {
	s := &mem.Store{}
	next := func(name, version string) int {
		t.Helper()
		n, err := NextBuildNumber(t.Context(), s, name, version, []string{"linux-64", "noarch"})
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	if n := next("tool", "1.0"); n != 0 {
		t.Errorf("in an empty channel: %d", n)
	}
	for file, in := range map[string]map[string]any{
		"tool-1.0-0.conda":      index("tool", "1.0", 0, "linux-64"),
		"tool-1.0-9.conda":      index("tool", "1.0", 9, "linux-64"),
		"tool-1.0-10.conda":     index("tool", "1.0", 10, "noarch"),
		"tool-1.0-8.conda":      index("tool", "1.0", 8, "noarch"),
		"tool-1.0.1-20.conda":   index("tool", "1.0.1", 20, "linux-64"),
		"tool-1.0-1.0-60.conda": index("tool-1.0", "1.0", 60, "linux-64"),
		"tool-1.0-30.conda":     index("tool", "1.0", 30, "win-64"),
		"tool-kit-1.0-40.conda": index("tool-kit", "1.0", 40, "linux-64"),
	} {
		publishOK(t, s, makePackage(t, file, in, file))
	}
	putRaw(t, s, "linux-64/old-0.9-py_3.tar.bz2", old(t))
	for spec, want := range map[string]int{"tool 1.0": 11, "tool 1.0.1": 21, "tool 2": 0, "kit 1.0": 0, "old 0.9": 4} {
		name, version, _ := strings.Cut(spec, " ")
		if n := next(name, version); n != want {
			t.Errorf("%s: %d, want %d", spec, n, want)
		}
	}
	putRaw(t, s, "linux-64/tool-1.0-50.conda", []byte("junk"))
	if n, err := NextBuildNumber(t.Context(), s, "tool", "1.0", []string{"linux-64"}); err == nil {
		t.Errorf("a package that cannot be read is taken for none: %d", n)
	}
}

func FuzzCarried(f *testing.F) {
	sum, md := strings.Repeat("0a", 32), strings.Repeat("9f", 16)
	good := `{"name":"tool","version":"1.0","build":"0","build_number":0,"subdir":"linux-64","size":5,"sha256":"` + sum + `","md5":"` + md + `"}`
	if _, ok := carried(store.Info{Size: 5, Meta: map[string]string{metaRecord: good, metaSHA256: sum}}, "linux-64", "tool-1.0-0.conda"); !ok {
		f.Error("a good record is refused")
	}
	f.Add(good, sum)
	f.Add(strings.Replace(good, md, "", 1), sum)
	f.Add(`null`, "")
	f.Add(`{"name":"../x"}`, "")
	f.Fuzz(func(t *testing.T, text, sum string) {
		info := store.Info{Size: 5, Meta: map[string]string{metaRecord: text, metaSHA256: sum}}
		record, ok := carried(info, "linux-64", "tool-1.0-0.conda")
		if !ok {
			return
		}
		var r conda.Record
		if err := json.Unmarshal(record, &r); err != nil || r.Name != "tool" || r.Version != "1.0" || r.Size != 5 || r.SHA256 != sum || len(r.MD5) != 32 {
			t.Fatalf("%s is taken for a record: %+v %v", record, r, err)
		}
	})
}
