package indexer

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/condaworker/condaworker/conda"
	"github.com/condaworker/condaworker/store"
	"github.com/condaworker/condaworker/store/mem"
)

// show shows packages to clients, as publish does.
func show(ctx context.Context, s store.Store, packages ...Published) (Report, error) {
	r, err := Commit(ctx, s, packages, Options{})
	if none, ok := errors.AsType[*NoIndexError](err); ok {
		var anew Report
		anew, err = Reindex(ctx, s, Options{Subdirs: none.Subdirs})
		r.Add(anew)
	}
	return r, err
}

func commitOK(t *testing.T, s store.Store, packages ...Published) Report {
	t.Helper()
	r, err := show(t.Context(), s, packages...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// channelOf is a channel whose index has n packages. Their objects are no
// packages, since nothing may look into them, but of the size and MD5 that the
// index has.
func channelOf(t *testing.T, n int) *mem.Store {
	t.Helper()
	base := conda.NewRepoData("linux-64")
	s := &mem.Store{}
	for i := range n {
		file := fmt.Sprintf("package-%d-1.0-h1234567_%d.conda", i/10, i%10)
		base.PackagesConda.Set(file, json.RawMessage(fmt.Sprintf(
			`{"build":"h1234567_%d","build_number":%d,"depends":["python >=3.11"],"md5":"%x","name":"package-%d","sha256":"%064x","size":%d,"subdir":"linux-64","version":"1.0"}`,
			i%10, i%10, md5.Sum([]byte(file)), i/10, i, len(file))))
		putRaw(t, s, "linux-64/"+file, []byte(file))
	}
	reindexOK(t, s, Options{Subdirs: []string{"noarch"}})
	r := run{s: s, subdir: "linux-64"}
	e := r.successor(&object{})
	e.base = base
	if err := e.finish(&r); err != nil {
		t.Fatal(err)
	}
	parts, err := r.ask(t.Context(), derivedNames)
	if err != nil {
		t.Fatal(err)
	}
	var report SubdirReport
	if err := r.write(t.Context(), e, parts, &report); err != nil {
		t.Fatal(err)
	}
	return s
}

// many is how many packages a large channel has. What one more costs does not depend
// on it, but how long a test takes does.
func many() int {
	if testing.Short() {
		return 10_000
	}
	return 100_000
}

func TestOneMorePackageCostsAHandfulOfRequests(t *testing.T) {
	s := channelOf(t, many())
	path := simple(t, "tool")
	var r Report
	most, read := indexBytes(t, s), s.Counts()["bytes"]
	all, lists, _ := requests(s, func() { r = commitOK(t, s, publishOK(t, s, path)) })
	read = s.Counts()["bytes"] - read
	t.Logf("%d requests, %d bytes read, %d written, of an index of %d", all, read, r.Subdirs[0].Written, most)
	if most += inner; int64(read) > most || r.Subdirs[0].Written > most {
		t.Errorf("%d bytes were read and %d written, want at most %d of each", read, r.Subdirs[0].Written, most)
	}
	if all > 12 || lists > 0 {
		t.Errorf("%d requests, %d of them LIST; want at most 12 without any", all, lists)
	}
	if n := len(indexed(t, s, "linux-64")); n != many()+1 {
		t.Errorf("%d packages in the index", n)
	}
}

// indexBytes are those of the objects that index linux-64, but for the shards.
func indexBytes(t *testing.T, s *mem.Store) (all int64) {
	t.Helper()
	for in, err := range s.List(t.Context(), "linux-64/", store.ListOptions{Shallow: true}) {
		if err != nil {
			t.Fatal(err)
		}
		if !isPackage(in.Key) {
			all += in.Size
		}
	}
	return all
}

// requests are all that do makes, and among them listings and writes.
func requests(s *mem.Store, do func()) (all, lists, puts int) {
	before := s.Counts()
	do()
	after := s.Counts()
	for _, name := range []string{"get", "put", "list", "delete"} {
		all += after[name] - before[name]
	}
	return all, after["list"] - before["list"], after["put"] - before["put"]
}

func TestReconcilingOneMorePackage(t *testing.T) {
	s := channelOf(t, many())
	reindexOK(t, s, Options{})
	publishOK(t, s, simple(t, "tool"))
	most, read := indexBytes(t, s)+inner, s.Counts()["bytes"]
	all, lists, puts := requests(s, func() { reindexOK(t, s, Options{}) })
	read = s.Counts()["bytes"] - read
	t.Logf("one more: %d requests, %d of them LIST, %d PUT, %d bytes read of an index of %d", all, lists, puts, read, most)
	if int64(read) > most {
		t.Errorf("%d bytes were read, want at most %d", read, most)
	}
	if all-lists > 15 || lists > 3 {
		t.Errorf("%d requests, %d of them LIST; want at most 15 and a LIST for the channel and for each subdir", all, lists)
	}
	if n := len(indexed(t, s, "linux-64")); n != many()+1 {
		t.Errorf("%d packages in the index", n)
	}
	all, lists, puts = requests(s, func() { reindexOK(t, s, Options{}) })
	t.Logf("no change: %d requests, %d of them LIST", all, lists)
	if puts != 0 || all-lists > 4 {
		t.Errorf("without a change %d requests, %d of them PUT", all, puts)
	}
}

func TestCommitTwiceWritesOnce(t *testing.T) {
	s := &mem.Store{}
	p := publishOK(t, s, simple(t, "tool"))
	commitOK(t, s, p)
	puts := s.Counts()["put"]
	r := commitOK(t, s, p)
	if n := s.Counts()["put"] - puts; n != 0 || r.Subdirs[0].Packages != 1 {
		t.Errorf("%d writes, %+v", n, r)
	}
	if got := files(t, s, "noarch"); len(got) != 0 {
		t.Errorf("noarch has %q", got)
	}
}

// A run that dies between the commit and what is derived from it leaves an old
// object, and the farm runs the task again.
func TestCommitTwiceMendsWhatWasNotDerived(t *testing.T) {
	s := &mem.Store{}
	publishOK(t, s, simple(t, "before"))
	reindexOK(t, s, Options{})
	old := stored(t, s, "linux-64/repodata.json.zst")
	p := publishOK(t, s, simple(t, "tool"))
	commitOK(t, s, p)
	putRaw(t, s, "linux-64/repodata.json.zst", old)
	commitOK(t, s, p)
	if got := files(t, s, "linux-64"); len(got) != 2 {
		t.Errorf("indexed %q", got)
	}
}

func TestCommitWithoutAnIndexTakesInWhatIsStored(t *testing.T) {
	for _, text := range []string{"", "null", `{"packages`} {
		s := &mem.Store{}
		publishOK(t, s, simple(t, "before"))
		if text != "" {
			putRaw(t, s, "linux-64/repodata.json", []byte(text))
		}
		commitOK(t, s, publishOK(t, s, simple(t, "tool")))
		if got := files(t, s, "linux-64"); !slices.Equal(got, []string{"before-1.0-0.conda", "tool-1.0-0.conda"}) {
			t.Errorf("%q: indexed %q", text, got)
		}
	}
}

func TestCommitKeepsWhatIsNotItsOwn(t *testing.T) {
	s := &mem.Store{}
	putRaw(t, s, "linux-64/repodata.json", []byte(`{"info":{"subdir":"linux-64","x":1},"packages":{"old-1-0.tar.bz2":{"name":"old","patched":true}},"packages.conda":{},"removed":["gone-1.0-0.conda"],"new_key":[1]}`))
	gone, tool := publishOK(t, s, simple(t, "gone")), publishOK(t, s, simple(t, "tool"))
	r := commitOK(t, s, gone, tool)
	text := stored(t, s, "linux-64/repodata.json")
	for _, want := range []string{`"x":1`, `"patched":true`, `"new_key":[1]`, `"tool-1.0-0.conda"`, `"removed":["gone-1.0-0.conda"]`} {
		if !bytes.Contains(text, []byte(want)) {
			t.Errorf("no %s in %s", want, text)
		}
	}
	if got := files(t, s, "linux-64"); !slices.Equal(got, []string{"old-1-0.tar.bz2", "tool-1.0-0.conda"}) || !slices.Equal(r.Subdirs[0].Added, []string{"tool-1.0-0.conda"}) {
		t.Errorf("indexed %q, %+v", got, r)
	}
}

// Workers that commit their own package and workers that index what is stored,
// at once and without any lock, while answers are lost.
func TestCommitsAndReindexesLoseNothing(t *testing.T) {
	const workers = 8
	var paths []string
	for w := range workers {
		paths = append(paths, simple(t, fmt.Sprint("p", w)))
	}
	for seed := range uint64(40) {
		synctest.Test(t, func(t *testing.T) {
			s := &mem.Store{Delay: 20 * time.Millisecond, Fault: loseAnswers(seed)}
			var wg sync.WaitGroup
			for w, path := range paths {
				wg.Go(func() {
					var p Published
					again(t, func() (err error) { p, err = Publish(t.Context(), s, Package{Path: path}); return err })
					again(t, func() error {
						if w%4 == 0 {
							_, err := Reindex(t.Context(), s, Options{Subdirs: []string{"linux-64"}})
							return err
						}
						_, err := show(t.Context(), s, p)
						return err
					})
				})
			}
			wg.Wait()
			if got := files(t, s, "linux-64"); len(got) != workers {
				t.Errorf("seed %d: the index has only %s", seed, strings.Join(got, " "))
			}
		})
	}
}
