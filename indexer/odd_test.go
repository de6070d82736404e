package indexer

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/condaworker/condaworker/conda"
	"github.com/condaworker/condaworker/conda/condatest"
	"github.com/condaworker/condaworker/store"
	"github.com/condaworker/condaworker/store/dir"
	"github.com/condaworker/condaworker/store/mem"
)

// A folder may be reached by a symbolic link, and a subdir of it lie elsewhere:
// nothing of the index is lost.
func TestAChannelBehindLinks(t *testing.T) {
	top := t.TempDir()
	real, link := filepath.Join(top, "real"), filepath.Join(top, "link")
	s := dir.Open(real)
	publishOK(t, s, simple(t, "tool"))
	reindexOK(t, s, Options{})
	if err := os.Symlink(real, link); err != nil {
		t.Skipf("the file system has no symbolic links: %v", err)
	}
	elsewhere := filepath.Join(top, "elsewhere")
	if err := errors.Join(os.Rename(filepath.Join(real, "linux-64"), elsewhere), os.Symlink(elsewhere, filepath.Join(real, "linux-64"))); err != nil {
		t.Fatal(err)
	}
	for _, root := range []string{real, link} {
		r := reindexOK(t, dir.Open(root), Options{})
		if len(r.Subdirs) != 2 || r.Subdirs[0].Packages != 1 || r.Subdirs[0].Removed != nil || r.Subdirs[0].Written != 0 {
			t.Errorf("%s: %+v", root, r.Subdirs)
		}
	}
}

// edited is the index of linux-64 with another text for a part of tool's record.
func edited(t *testing.T, s store.Store, change func(record map[string]any)) {
	t.Helper()
	var all map[string]any
	if err := json.Unmarshal(stored(t, s, "linux-64/repodata.json"), &all); err != nil {
		t.Fatal(err)
	}
	change(all["packages.conda"].(map[string]any)["tool-1.0-0.conda"].(map[string]any))
	text, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	putRaw(t, s, "linux-64/repodata.json", text)
}

// With a record of no name conda reads nothing of an index; one whose hash is none
// cannot be installed.
func TestARecordThatNobodyCanReadIsMadeAnew(t *testing.T) {
	for name, change := range map[string]func(map[string]any){
		"no name":         func(r map[string]any) { delete(r, "name") },
		"a number":        func(r map[string]any) { r["name"] = 7 },
		"a short hash":    func(r map[string]any) { r["sha256"] = "abcd" },
		"no hexadecimals": func(r map[string]any) { r["md5"] = strings.Repeat("z", 32) },
	} {
		s := &mem.Store{}
		publishOK(t, s, simple(t, "tool"))
		reindexOK(t, s, Options{})
		want := anonymous(stored(t, s, "linux-64/repodata.json"))
		edited(t, s, change)
		check := reindexOK(t, s, Options{Check: true}).Subdirs[0]
		r := reindexOK(t, s, Options{}).Subdirs[0]
		for _, r := range []SubdirReport{check, r} {
			if n := len(r.Mended) + len(r.Updated); n != 1 || strings.HasPrefix(name, "no name") && r.Mended == nil {
				t.Errorf("%s: %+v", name, r)
			}
		}
		if got := anonymous(stored(t, s, "linux-64/repodata.json")); got != want {
			t.Errorf("%s: %s", name, got)
		}
		derivedRight(t, s)
	}
}

// So is one of which rattler would read no package of its name, as soon as it is
// looked at.
func TestARecordThatHidesItsNameIsMadeAnew(t *testing.T) {
	for key, value := range map[string]any{
		"build_number": nil, "depends": nil, "timestamp": 1.5e12 + 0.5, "purls": []string{"none"}, "run_exports": []string{"a"}, "license": "\\ud800",
	} {
		s := &mem.Store{}
		publishOK(t, s, simple(t, "tool"))
		reindexOK(t, s, Options{})
		want := anonymous(stored(t, s, "linux-64/repodata.json"))
		edited(t, s, func(r map[string]any) { r[key] = value })
		text := bytes.Replace(stored(t, s, "linux-64/repodata.json"), []byte(`\\ud800`), []byte(`\ud800`), 1)
		putRaw(t, s, "linux-64/repodata.json", text)
		if r := reindexOK(t, s, Options{Full: true}).Subdirs[0]; !slices.Equal(r.Mended, []string{"tool-1.0-0.conda"}) {
			t.Errorf("%s: %+v", key, r)
		}
		if got := anonymous(stored(t, s, "linux-64/repodata.json")); got != want {
			t.Errorf("%s: %s", key, got)
		}
	}
}

// What a hand changed in a record that clients can read stays.
func TestARecordThatWasChangedByHandStays(t *testing.T) {
	s := &mem.Store{}
	publishOK(t, s, simple(t, "tool"))
	reindexOK(t, s, Options{})
	edited(t, s, func(r map[string]any) { r["depends"] = []string{"mine"} })
	for _, full := range []bool{false, true} {
		reindexOK(t, s, Options{Full: full})
		if got := indexed(t, s, "linux-64")["tool-1.0-0.conda"].Depends; !slices.Equal(got, []string{"mine"}) {
			t.Errorf("full %v: %q", full, got)
		}
	}
}

// It stays too where it lacks a hash, or has one in capitals, and gets what it lacks.
func TestARecordThatLacksAHashStays(t *testing.T) {
	upper := func(r map[string]any, key string) { r[key] = strings.ToUpper(r[key].(string)) }
	for name, c := range map[string]struct {
		change func(map[string]any)
		full   bool // nothing but a look at everything finds it
		mended bool
	}{
		"null sha256":   {change: func(r map[string]any) { r["sha256"] = nil }},
		"null md5":      {change: func(r map[string]any) { r["md5"] = nil }},
		"null size":     {change: func(r map[string]any) { r["size"] = nil }},
		"no sha256":     {change: func(r map[string]any) { delete(r, "sha256") }},
		"no md5":        {change: func(r map[string]any) { delete(r, "md5") }, full: true},
		"no size":       {change: func(r map[string]any) { delete(r, "size") }},
		"md5 alone":     {change: func(r map[string]any) { delete(r, "sha256"); delete(r, "size"); upper(r, "md5") }},
		"sha256 alone":  {change: func(r map[string]any) { r["md5"] = nil; r["size"] = nil; upper(r, "sha256") }},
		"capitals":      {change: func(r map[string]any) { upper(r, "sha256") }},
		"null hashes":   {change: func(r map[string]any) { r["md5"], r["sha256"] = nil, nil }},
		"no hashes":     {change: func(r map[string]any) { delete(r, "sha256"); delete(r, "md5") }},
		"an empty hash": {change: func(r map[string]any) { r["md5"] = "" }, mended: true},
		"a size of -1":  {change: func(r map[string]any) { r["size"] = -1 }, mended: true},
	} {
		s := &mem.Store{}
		publishOK(t, s, simple(t, "tool"))
		reindexOK(t, s, Options{})
		edited(t, s, func(r map[string]any) { r["revoked"], r["depends"], r["mine"] = true, []string{"gone"}, []int{1} })
		reindexOK(t, s, Options{})
		want := anonymous(stored(t, s, "linux-64/repodata.json"))
		edited(t, s, c.change)
		for _, check := range []bool{true, false} {
			r := reindexOK(t, s, Options{Full: c.full, Check: check}).Subdirs[0]
			if r.Updated != nil || (r.Mended != nil) != c.mended {
				t.Errorf("%s: %+v", name, r)
			}
		}
		if got := anonymous(stored(t, s, "linux-64/repodata.json")); got != want {
			t.Errorf("%s: %s\nwant %s", name, got, want)
		}
		derivedRight(t, s)
		puts := s.Counts()["put"]
		if gets, _ := spent(s, func() { reindexOK(t, s, Options{}) }); gets > 4 || s.Counts()["put"] != puts {
			t.Errorf("%s: once more: %d reads, %d writes", name, gets, s.Counts()["put"]-puts)
		}
	}
}

// A record of other bytes is replaced, whichever of its hashes says so, and one with none
// of which anything else says so.
func TestARecordOfOtherBytesIsReplaced(t *testing.T) {
	other := strings.Repeat("0", 64)
	for name, change := range map[string]func(map[string]any){
		"sha256":                  func(r map[string]any) { r["sha256"] = other },
		"sha256, no md5":          func(r map[string]any) { r["sha256"], r["md5"] = other, nil },
		"md5 alone":               func(r map[string]any) { r["sha256"], r["md5"] = nil, other[:32] },
		"size":                    func(r map[string]any) { r["size"] = 1 },
		"no hash, no size":        func(r map[string]any) { delete(r, "sha256"); delete(r, "md5"); delete(r, "size") },
		"no hash, another size":   func(r map[string]any) { r["sha256"], r["md5"], r["size"] = nil, nil, 1 },
		"no hash, another build":  func(r map[string]any) { r["sha256"], r["md5"], r["build"] = nil, nil, "1" },
		"no hash, another number": func(r map[string]any) { r["sha256"], r["md5"], r["build_number"] = nil, nil, 1 },
		"no hash, another time":   func(r map[string]any) { r["sha256"], r["md5"], r["timestamp"] = nil, nil, 1 },
	} {
		s := &mem.Store{}
		publishOK(t, s, simple(t, "tool"))
		reindexOK(t, s, Options{})
		want := anonymous(stored(t, s, "linux-64/repodata.json"))
		edited(t, s, func(r map[string]any) { r["depends"] = []string{"gone"}; change(r) })
		if r := reindexOK(t, s, Options{}).Subdirs[0]; r.Mended != nil || !slices.Equal(r.Updated, []string{"tool-1.0-0.conda"}) {
			t.Errorf("%s: %+v", name, r)
		}
		if got := anonymous(stored(t, s, "linux-64/repodata.json")); got != want {
			t.Errorf("%s: %s", name, got)
		}
	}
}

// A record without hashes of an object that came since is not taken for that object's,
// however alike they are; in a channel that another tool has indexed its age tells.
func TestARecordWithoutHashesOfANewerObject(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, older := range map[string]bool{"older than the index": true, "newer": false} {
			s := &mem.Store{}
			one, other := sized(t)
			putRaw(t, s, "linux-64/tool-1.0-0.conda", one)
			reindexOK(t, s, Options{})
			for _, known := range []bool{true, false} {
				if !known {
					forget(t, s)
				}
				time.Sleep(2 * slack)
				if !older {
					putRaw(t, s, "linux-64/tool-1.0-0.conda", other)
				}
				edited(t, s, func(r map[string]any) { r["depends"], r["md5"], r["sha256"] = []string{"mine"}, nil, nil })
				r := reindexOK(t, s, Options{}).Subdirs[0]
				if got := indexed(t, s, "linux-64")["tool-1.0-0.conda"]; slices.Contains(got.Depends, "mine") != older || got.SHA256 == "" || (r.Updated == nil) != older {
					t.Errorf("%s, known %v: %+v, %+v", name, known, got, r)
				}
				one, other = other, one
			}
		}
	})
}

// refusing refuses to read one object.
type refusing struct {
	*mem.Store
	key string
}

func (r refusing) Get(ctx context.Context, key string, off, n int64) (io.ReadCloser, store.Info, error) {
	if key == r.key {
		return nil, store.Info{}, fmt.Errorf("s3:GetObject on %s is refused: %w", key, fs.ErrPermission)
	}
	return r.Store.Get(ctx, key, off, n)
}

// An object that another account put there, or that has a key of its own, is named
// and everything else served. What the index says of it stays, and it is looked
// into as soon as that is possible.
func TestAnObjectThatCannotBeRead(t *testing.T) {
	s := &mem.Store{}
	one, other := sized(t)
	putRaw(t, s, "linux-64/tool-1.0-0.conda", one)
	reindexOK(t, s, Options{})
	before := sumOf(t, s)
	putRaw(t, s, "linux-64/tool-1.0-0.conda", other)
	publishOK(t, s, simple(t, "new"))
	from := refusing{s, "linux-64/tool-1.0-0.conda"}
	for range 2 {
		r := reindexOK(t, from, Options{})
		if len(r.Skipped) != 1 || r.Skipped[0].Key != "linux-64/tool-1.0-0.conda" || !strings.Contains(r.Skipped[0].Reason, "s3:GetObject") || !r.Skipped[0].Kept {
			t.Errorf("%+v", r.Skipped)
		}
		if got := files(t, s, "linux-64"); !slices.Equal(got, []string{"new-1.0-0.conda", "tool-1.0-0.conda"}) || sumOf(t, s) != before {
			t.Errorf("indexed %q, sha256 %s", got, sumOf(t, s))
		}
	}
	if r := reindexOK(t, s, Options{}); sumOf(t, s) == before || !slices.Equal(r.Subdirs[0].Updated, []string{"tool-1.0-0.conda"}) {
		t.Errorf("once it can be read: %+v", r.Subdirs[0])
	}
	putRaw(t, s, "linux-64/tool-1.0-1.conda", one)
	if r := reindexOK(t, refusing{s, "linux-64/tool-1.0-1.conda"}, Options{}); len(r.Skipped) != 1 || r.Skipped[0].Kept {
		t.Errorf("one without a record: %+v", r.Skipped)
	}
	if _, err := Reindex(t.Context(), refusing{s, "linux-64/repodata.json"}, Options{}); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("an index that cannot be read: %v", err)
	}
}

// A record that is none is left out also where its package cannot be read.
func TestRemoveBesideABrokenRecord(t *testing.T) {
	s := &mem.Store{}
	body, _ := sized(t)
	putRaw(t, s, "linux-64/tool-1.0-0.conda", body)
	publishOK(t, s, simple(t, "other"))
	reindexOK(t, s, Options{})
	text := stored(t, s, "linux-64/"+indexName)
	data, err := conda.ParseRepoData(text)
	if err != nil {
		t.Fatal(err)
	}
	data.PackagesConda.Set("tool-1.0-0.conda", json.RawMessage("5"))
	broken, err := io.ReadAll(data.Encode().Reader())
	if err != nil {
		t.Fatal(err)
	}
	putRaw(t, s, "linux-64/"+indexName, broken)
	from := refusing{s, "linux-64/tool-1.0-0.conda"}
	removeOK(t, from, Options{}, "linux-64/other-1.0-0.conda")
	if got := files(t, s, "linux-64"); len(got) != 0 {
		t.Errorf("indexed %q", got)
	}
	putRaw(t, s, "linux-64/"+indexName, broken)
	if r := reindexOK(t, from, Options{}); len(r.Skipped) != 1 || r.Skipped[0].Kept || !slices.Equal(files(t, s, "linux-64"), []string{"other-1.0-0.conda"}) {
		t.Errorf("%+v, indexed %q", r, files(t, s, "linux-64"))
	}
}

// A client that meets run_exports of another shape in a shard reads nothing of it.
func TestRunExportsOfAnotherShapeAreLeftOut(t *testing.T) {
	s := &mem.Store{}
	p := condatest.Write(t, "lib-1.0-0.conda", index("lib", "1.0", 0, "linux-64"), map[string]string{"info/run_exports.json": `{"weak": "lib >=1.0"}`})
	commitOK(t, s, publishOK(t, s, p))
	exports, err := conda.ParseRunExports(stored(t, s, "linux-64/"+runExportsName))
	if err != nil || exports.Get("lib-1.0-0.conda") != nil {
		t.Errorf("%s, %v", exports.Get("lib-1.0-0.conda"), err)
	}
	derivedRight(t, s)
}

// A worker whose clock is years ahead does not end the daily look for years.
func TestAClockThatWasOff(t *testing.T) {
	s := &mem.Store{}
	commitOK(t, s, publishOK(t, s, simple(t, "tool")))
	reindexOK(t, s, Options{Now: func() time.Time { return time.Now().AddDate(5, 0, 0) }})
	key := "linux-64/" + shardKey(t, s, "tool")
	if err := s.Delete(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	reindexOK(t, s, Options{})
	if _, exists, err := head(t.Context(), s, key); !exists || err != nil {
		t.Errorf("the shard was not written again: %v", err)
	}
}

func shardKey(t *testing.T, s store.Reader, name string) string {
	t.Helper()
	sum := shardIndex(t, s).Shards[name]
	return sum.Key()
}

// The index of another subdir that was copied here says from now on whose it is.
func TestAnIndexOfAnotherSubdir(t *testing.T) {
	s := &mem.Store{}
	publishOK(t, s, simple(t, "tool"))
	putRaw(t, s, "linux-64/repodata.json", []byte(`{"info":{"subdir":"win-64","mine":1},"packages":{},"packages.conda":{}}`))
	reindexOK(t, s, Options{})
	if text := stored(t, s, "linux-64/repodata.json"); !bytes.Contains(text, []byte(`"mine":1,"subdir":"linux-64"`)) {
		t.Errorf("%s", text)
	}
}

// A package is published onto an index that another tool, or a hand, has spoilt:
// what cannot be changed is made anew from what is stored.
func TestPublishingOntoASpoiltIndex(t *testing.T) {
	for name, spoil := range map[string]func(text []byte) []byte{
		"null": func(text []byte) []byte {
			return bytes.Replace(text, []byte(`"tool-1.0-0.conda":`), []byte(`"tool-1.0-0.conda":null,"gone-1.0-0.conda":`), 1)
		},
		"a number": func(text []byte) []byte {
			return bytes.Replace(text, []byte(`"tool-1.0-0.conda":`), []byte(`"tool-1.0-0.conda":5,"gone-1.0-0.conda":`), 1)
		},
		"not UTF-8": func(text []byte) []byte { return bytes.Replace(text, []byte(`"kept"`), []byte("\"\xff\""), 1) },
	} {
		s := &mem.Store{}
		commitOK(t, s, publishOK(t, s, simple(t, "tool")))
		text := stored(t, s, "linux-64/repodata.json")
		spoilt := spoil(bytes.Clone(text))
		if bytes.Equal(text, spoilt) {
			t.Fatalf("%s: %s", name, text)
		}
		putRaw(t, s, "linux-64/repodata.json", spoilt)
		commitOK(t, s, publishOK(t, s, simple(t, "new")))
		if got := files(t, s, "linux-64"); !slices.Equal(got, []string{"new-1.0-0.conda", "tool-1.0-0.conda"}) {
			t.Errorf("%s: %q", name, got)
		}
		if after := stored(t, s, "linux-64/repodata.json"); !utf8.Valid(after) {
			t.Errorf("%s: %q", name, after)
		}
		derivedRight(t, s)
	}
}

// Who restores too late is told what to do.
func TestRestoreOfWhatIsDeleted(t *testing.T) {
	s := &mem.Store{}
	const key = "linux-64/tool-1.0-0.conda"
	path := simple(t, "tool")
	commitOK(t, s, publishOK(t, s, path))
	removeOK(t, s, Options{}, key)
	if err := s.Delete(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	if _, err := Restore(t.Context(), s, []string{key}, Options{}); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "publish it again, and then restore it") {
		t.Error(err)
	}
	publishOK(t, s, path)
	if _, err := Restore(t.Context(), s, []string{key}, Options{}); err != nil || len(files(t, s, "linux-64")) != 1 {
		t.Errorf("%q, %v", files(t, s, "linux-64"), err)
	}
}

// A studio's own subdir whose last package was deleted still has an index, which
// names it.
func TestTheLastPackageOfASubdirOfOnesOwn(t *testing.T) {
	s := &mem.Store{}
	p := publishOK(t, s, makePackage(t, "tool-1.0-0.conda", index("tool", "1.0", 0, "farm-gpu"), "x"))
	reindexOK(t, s, Options{})
	if err := s.Delete(t.Context(), p.Key); err != nil {
		t.Fatal(err)
	}
	putRaw(t, s, "notes-old/readme.txt", []byte("x")) // no subdir
	check := reindexOK(t, s, Options{Check: true}).Subdirs
	if len(check) != 2 || check[0].Subdir != "farm-gpu" || !slices.Equal(check[0].Removed, []string{"tool-1.0-0.conda"}) {
		t.Errorf("check says %+v", check)
	}
	reindexOK(t, s, Options{})
	if got := files(t, s, "farm-gpu"); len(got) != 0 {
		t.Errorf("in the index: %q", got)
	}
}
