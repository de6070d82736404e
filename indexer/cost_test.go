package indexer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/condaworker/condaworker/conda/archive"
	"github.com/condaworker/condaworker/store"
	"github.com/condaworker/condaworker/store/dir"
	"github.com/condaworker/condaworker/store/mem"
)

// inner is more than the metadata of the large packages here, and far less
// than their payload.
const inner = 80 << 10

// large makes a package of a payload that does not compress.
func large(t *testing.T, in map[string]any) string {
	t.Helper()
	var payload strings.Builder
	for r := rand.New(rand.NewPCG(1, 2)); payload.Len() < 1<<20; {
		fmt.Fprintf(&payload, "%016x", r.Uint64())
	}
	return makePackage(t, fmt.Sprintf("%s-%s-%s.conda", in["name"], in["version"], in["build"]), in, payload.String())
}

// spent runs do and returns what was read meanwhile, in requests and bytes.
func spent(s *mem.Store, do func()) (gets, read int) {
	before := s.Counts()
	do()
	after := s.Counts()
	return after["get"] - before["get"], after["bytes"] - before["bytes"]
}

func TestHashesThatAreCarriedAreNotComputed(t *testing.T) {
	s := &mem.Store{}
	path := large(t, index("tool", "1.0", 0, "linux-64"))
	sum, err := archive.Sum(t.Context(), bytes.NewReader(readFile(t, path)))
	if err != nil {
		t.Fatal(err)
	}
	meta := map[string]string{metaSHA256: sum.SHA256, metaMD5: sum.MD5} // as rattler uploads
	if _, err := s.Put(t.Context(), "linux-64/tool-1.0-0.conda", bytes.NewReader(readFile(t, path)), store.PutOptions{Meta: meta}); err != nil {
		t.Fatal(err)
	}
	if _, read := spent(s, func() { reindexOK(t, s, Options{}) }); read == 0 || read > inner {
		t.Errorf("%d bytes were read", read)
	}
	if got := indexed(t, s, "linux-64")["tool-1.0-0.conda"]; got.SHA256 != sum.SHA256 || got.MD5 != sum.MD5 {
		t.Errorf("%+v", got)
	}
}

func TestARecordTooLargeToCarry(t *testing.T) {
	s := &mem.Store{}
	in := index("tool", "1.0", 0, "linux-64")
	for i := range 100 {
		in["depends"] = append(in["depends"].([]string), fmt.Sprintf("a-long-name-%d >=1.0,<2.0a0", i))
	}
	got := publishOK(t, s, large(t, in))
	if _, read := spent(s, func() { reindexOK(t, s, Options{}) }); read == 0 || read > inner {
		t.Errorf("%d bytes were read", read)
	}
	if r := indexed(t, s, "linux-64")["tool-1.0-0.conda"]; len(r.Depends) != 100 || r.SHA256 != got.SHA256 {
		t.Errorf("%d depends, sha256 %s, want 100 and %s", len(r.Depends), r.SHA256, got.SHA256)
	}
	_, info, err := s.Get(t.Context(), got.Key, 0, 0)
	if err != nil || info.Meta[metaRecord] != "" || info.Meta[metaSHA256] != got.SHA256 {
		t.Errorf("metadata %v, %v", info.Meta, err)
	}
}

// S3 answers with an error to a Put of more.
func TestMetadataFitsIntoTwoKilobytes(t *testing.T) {
	p := Package{SHA256: strings.Repeat("a", 64), MD5: strings.Repeat("b", 32)}
	carriedSome := false
	for n := range 2100 {
		meta, size := metadata(p, []byte(strings.Repeat("ü", n/6)+strings.Repeat("x", n%6)), nil), 0
		for k, v := range meta {
			size += len("x-amz-meta-") + len(k) + len(v)
		}
		if size > 2048 {
			t.Fatalf("%d bytes of metadata", size)
		}
		carriedSome = carriedSome || size > 2020
	}
	if !carriedSome {
		t.Error("the room is not used")
	}
}

// A package that is refused is looked at in each run, so that must be cheap.
func TestWhatIsRefusedIsNotReadWhole(t *testing.T) {
	for name, key := range map[string]string{
		"other name":   "linux-64/other-1.0-0.conda",
		"other subdir": "noarch/tool-1.0-0.conda",
		"no name":      "linux-64/tool.conda",
	} {
		s := &mem.Store{}
		putRaw(t, s, key, readFile(t, large(t, index("tool", "1.0", 0, "linux-64"))))
		var r Report
		_, read := spent(s, func() { r = reindexOK(t, s, Options{}) })
		if len(r.Skipped) != 1 || r.Skipped[0].Key != key || read > inner {
			t.Errorf("%s: %d bytes were read, skipped %+v", name, read, r.Skipped)
		}
	}
}

func TestABuildNumberCostsNoPayload(t *testing.T) {
	s := &mem.Store{}
	putRaw(t, s, "linux-64/tool-1.0-7.conda", readFile(t, large(t, index("tool", "1.0", 7, "linux-64"))))
	_, read := spent(s, func() {
		if n, err := NextBuildNumber(t.Context(), s, "tool", "1.0", []string{"linux-64"}); n != 8 || err != nil {
			t.Errorf("%d, %v", n, err)
		}
	})
	if read > inner {
		t.Errorf("%d bytes were read", read)
	}
}

func TestPublishedAgainIsNotSentAgain(t *testing.T) {
	s := &mem.Store{}
	if got := publishOK(t, s, simple(t, "small")); got.Existed {
		t.Errorf("%+v", got)
	}
	if got := publishOK(t, s, simple(t, "small")); !got.Existed {
		t.Errorf("%+v", got)
	}
	path := large(t, index("tool", "1.0", 0, "linux-64"))
	publishOK(t, s, path)
	before := s.Counts()["put"]
	if got := publishOK(t, s, path); !got.Existed || s.Counts()["put"] != before {
		t.Errorf("%+v after %d writes", got, s.Counts()["put"]-before)
	}
}

// Without metadata the bytes decide; metadata alone is not believed when the
// size contradicts it.
func TestPublishOverAStrangersObject(t *testing.T) {
	path := simple(t, "tool")
	body := readFile(t, path)
	sum, err := archive.Sum(t.Context(), bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		body     []byte
		meta     map[string]string
		conflict bool
	}{
		"same":  {body, nil, false},
		"other": {[]byte("other"), nil, true},
		"lying": {[]byte("other"), map[string]string{metaSHA256: sum.SHA256}, true},
	} {
		s := &mem.Store{}
		if _, err := s.Put(t.Context(), "linux-64/tool-1.0-0.conda", bytes.NewReader(tt.body), store.PutOptions{Meta: tt.meta}); err != nil {
			t.Fatal(err)
		}
		got, err := Publish(t.Context(), s, Package{Path: path})
		if errors.Is(err, store.ErrConflict) != tt.conflict || err == nil && !got.Existed {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

// Right after a package came its time says nothing yet, but its ETag does.
func TestAnETagThatIsTheMD5IsEnough(t *testing.T) {
	s := &mem.Store{}
	putRaw(t, s, "linux-64/tool-1.0-0.conda", readFile(t, large(t, index("tool", "1.0", 0, "linux-64"))))
	reindexOK(t, s, Options{})
	forget(t, s)
	gets, read := spent(s, func() { reindexOK(t, s, Options{}) })
	// of each subdir repodata.json, and what the state would have told of what
	// is derived from it
	if gets != 14 || read > 2000 {
		t.Errorf("%d requests and %d bytes: the package was read", gets, read)
	}
}

// forget removes what earlier runs learnt, as if another tool had indexed.
func forget(t *testing.T, s store.Store) {
	t.Helper()
	for _, subdir := range []string{"linux-64", "noarch"} {
		if err := s.Delete(t.Context(), subdir+"/"+stateName); err != nil {
			t.Fatal(err)
		}
	}
}

// multipart lists versions that are no MD5, as S3 does of what came in parts.
type multipart struct{ *mem.Store }

func (m multipart) List(ctx context.Context, prefix string, o store.ListOptions) iter.Seq2[store.Info, error] {
	return func(yield func(store.Info, error) bool) {
		for in, err := range m.Store.List(ctx, prefix, o) {
			if isPackage(in.Key) {
				in.Version += "-2"
			}
			if !yield(in, err) {
				return
			}
		}
	}
}

func TestWithoutAnETagTimeDecides(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := multipart{&mem.Store{}}
		putRaw(t, s, "linux-64/tool-1.0-0.conda", readFile(t, simple(t, "tool")))
		reindexOK(t, s, Options{})
		forget(t, s)
		if gets, _ := spent(s.Store, func() { reindexOK(t, s, Options{}) }); gets <= 14 {
			t.Errorf("%d requests: a package as new as the index is trusted", gets)
		}
		time.Sleep(2 * slack)
		publishOK(t, s, simple(t, "new"))
		reindexOK(t, s, Options{})
		forget(t, s)
		if gets, _ := spent(s.Store, func() { reindexOK(t, s, Options{}) }); gets != 16 { // one of them for new, four to see what it and the others export
			t.Errorf("%d requests: a package older than the index is not trusted", gets)
		}
	})
}

// Eight workers on one folder, without a lock.
func TestIndexersOfAFolderLoseNothing(t *testing.T) {
	root := filepath.Join(t.TempDir(), "channel")
	var want []string
	var wg sync.WaitGroup
	for w := range 8 {
		path := simple(t, fmt.Sprint("p", w))
		want = append(want, filepath.Base(path))
		wg.Go(func() {
			s := dir.Open(root)
			if _, err := Publish(t.Context(), s, Package{Path: path}); err != nil {
				t.Error(err)
			}
			if _, err := Reindex(t.Context(), s, Options{Subdirs: []string{"linux-64"}}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if got := files(t, dir.Open(root), "linux-64"); !slices.Equal(got, want) {
		t.Errorf("indexed %q", got)
	}
	before := stored(t, dir.Open(root), "linux-64/repodata.json")
	r := reindexOK(t, dir.Open(root), Options{})
	for _, sub := range r.Subdirs {
		if sub.Written != 0 {
			t.Errorf("nothing new, and %+v", sub)
		}
	}
	if !bytes.Equal(before, stored(t, dir.Open(root), "linux-64/repodata.json")) {
		t.Error("the index has other bytes")
	}
}
