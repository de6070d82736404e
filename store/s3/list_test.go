package s3_test

import (
	"cmp"
	"encoding/xml"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/condaworker/condaworker/store"
	"github.com/condaworker/condaworker/store/s3"
)

// shelf answers listings of its keys in pages of 1000, as S3 does.
type shelf struct {
	keys     []string
	requests atomic.Int32
	at       atomic.Int32
	together atomic.Int32 // the most requests at a time
	fail     string       // the start of the range that is refused
	wait     *sync.WaitGroup
}

type page struct {
	XMLName     xml.Name `xml:"ListBucketResult"`
	IsTruncated bool
	Next        string `xml:"NextContinuationToken,omitempty"`
	Contents    []entry
	Common      []folder `xml:"CommonPrefixes"`
}

type entry struct {
	Key  string
	ETag string
	Size int
}

type folder struct{ Prefix string }

func (h *shelf) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.requests.Add(1)
	h.together.Store(max(h.together.Load(), h.at.Add(1)))
	defer h.at.Add(-1)
	if h.wait != nil { // until as many are here as shall be
		h.wait.Done()
		h.wait.Wait()
	}
	q := r.URL.Query()
	after := cmp.Or(q.Get("continuation-token"), q.Get("start-after"))
	if h.fail != "" && after == h.fail {
		refuse(w, http.StatusForbidden, "AccessDenied")
		return
	}
	var p page
	first, _ := slices.BinarySearch(h.keys, after+"\x00")
	for i, key := range h.keys[first:] {
		rest := strings.TrimPrefix(key, q.Get("prefix"))
		name, _, inside := strings.Cut(rest, "/")
		common := q.Get("prefix") + name + "/"
		switch {
		case inside && (strings.HasPrefix(after, common) || len(p.Common) > 0 && p.Common[len(p.Common)-1].Prefix == common):
		case len(p.Contents)+len(p.Common) == 1000:
			p.IsTruncated, p.Next = true, h.keys[first+i-1]
		case inside:
			p.Common = append(p.Common, folder{common})
		default:
			p.Contents = append(p.Contents, entry{key, `"e"`, 1})
		}
		if p.IsTruncated {
			break
		}
	}
	w.Header().Set("Content-Type", "application/xml")
	_ = xml.NewEncoder(w).Encode(p)
}

func stock(n int) (all, known []string) {
	for i := range n {
		known = append(known, fmt.Sprintf("linux-64/p%06d-1.0-0.conda", i))
	}
	for _, k := range known {
		all = append(all, "Conda/"+k)
	}
	for i := range 3000 {
		all = append(all, fmt.Sprintf("Conda/linux-64/shards/%06d", i))
	}
	all = append(all, "Conda/linux-64/p000000-0.9-0.conda", "Conda/linux-64/repodata.json", "Conda/linux-64/zlib-1.0-0.conda")
	slices.Sort(all)
	return all, known
}

func listKeys(t *testing.T, s *s3.Store, o store.ListOptions) (keys []string, err error) {
	t.Helper()
	for in, err := range s.List(t.Context(), "linux-64/", o) {
		if err != nil {
			return keys, err
		}
		keys = append(keys, in.Key)
	}
	return keys, nil
}

func TestAListingOfKnownKeysIsMadeOfRanges(t *testing.T) {
	for _, n := range []int{0, 10, 990, 1001, 7999, 20500} {
		h := &shelf{}
		all, known := stock(n)
		h.keys = all
		s := answering(t, s3.Options{}, h.ServeHTTP)
		for _, after := range []string{"", "linux-64/p000500-1.0-0.conda"} {
			h.requests.Store(0)
			want, err := listKeys(t, s, store.ListOptions{Shallow: true, After: after})
			one := h.requests.Swap(0)
			if err != nil {
				t.Fatal(err)
			}
			got, err := listKeys(t, s, store.ListOptions{Shallow: true, After: after, Known: known})
			if err != nil || !slices.Equal(got, want) {
				t.Errorf("%d keys after %q: %d of %d, %v", n, after, len(got), len(want), err)
			}
			if many := h.requests.Load(); many > one+1 {
				t.Errorf("%d keys: %d requests in ranges, %d in one row", n, many, one)
			}
		}
	}
}

func TestRangesAreListedAtATime(t *testing.T) {
	h := &shelf{}
	all, known := stock(7860)
	h.keys = slices.DeleteFunc(all, func(k string) bool { return strings.Contains(k, "shards") || strings.Contains(k, "zlib") })
	h.wait = &sync.WaitGroup{}
	h.wait.Add(8)
	s := answering(t, s3.Options{}, h.ServeHTTP)
	done := make(chan error)
	go func() {
		_, err := listKeys(t, s, store.ListOptions{Shallow: true, Known: known})
		done <- err
	}()
	select {
	case err := <-done:
		if err != nil || h.together.Load() != 8 {
			t.Errorf("%d at a time, %v", h.together.Load(), err)
		}
	case <-time.After(20 * time.Second):
		t.Fatalf("not 8 at a time: %d", h.together.Load())
	}
}

func TestARefusedRangeEndsTheListing(t *testing.T) {
	h := &shelf{}
	all, known := stock(5000)
	h.keys, h.fail = all, "Conda/"+known[983+984]
	s := answering(t, s3.Options{}, h.ServeHTTP)
	keys, err := listKeys(t, s, store.ListOptions{Shallow: true, Known: known})
	if err == nil || !slices.IsSorted(keys) || len(keys) > 2000 {
		t.Errorf("%d keys, %v", len(keys), err)
	}
}
