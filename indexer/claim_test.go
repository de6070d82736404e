package indexer

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/condaworker/condaworker/store"
	"github.com/condaworker/condaworker/store/dir"
	"github.com/condaworker/condaworker/store/mem"
)

func claimOK(t *testing.T, s store.Store, task string) (number int, again bool) {
	t.Helper()
	n, again, err := ClaimBuildNumber(t.Context(), s, Claim{Name: "tool", Version: "1.0", Subdirs: []string{"linux-64", "noarch"}, Task: task})
	if err != nil {
		t.Fatal(err)
	}
	return n, again
}

func TestClaims(t *testing.T) {
	for name, s := range map[string]store.Store{"memory": &mem.Store{}, "folder": dir.Open(t.TempDir() + "/channel")} {
		for i, tt := range []struct {
			task  string
			want  int
			again bool
		}{
			{"a", 0, false},
			{"b", 1, false},
			{"a", 0, true},
			{"", 2, false}, // somebody who does not come again
			{"", 3, false},
			{"b", 1, true},
			{"c", 4, false},
		} {
			if n, again := claimOK(t, s, tt.task); n != tt.want || again != tt.again {
				t.Errorf("%s, claim %d: %d, %v", name, i, n, again)
			}
		}
		publishOK(t, s, makePackage(t, "tool-1.0-9.conda", index("tool", "1.0", 9, "noarch"), "x")) // by somebody without a claim
		if n, _ := claimOK(t, s, "d"); n != 10 {
			t.Errorf("%s: %d after a package of number 9", name, n)
		}
		if n, _, err := ClaimBuildNumber(t.Context(), s, Claim{Name: "tool-1.0", Version: "2", Task: "a"}); n != 0 || err != nil {
			t.Errorf("%s: another package's claims count: %d, %v", name, n, err)
		}
		for _, sub := range reindexOK(t, s, Options{}).Subdirs {
			if strings.HasPrefix(sub.Subdir, ".") {
				t.Errorf("%s: claims are a subdir", name)
			}
		}
	}
}

// Twenty builders at once have twenty numbers, also when answers are lost.
func TestClaimsAreOnesOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var puts atomic.Int32
		s := &mem.Store{Delay: 10 * time.Millisecond}
		s.Fault = func(string) (bool, error) {
			if n := puts.Add(1); n%3 == 0 || n%4 == 0 {
				return n%3 != 0, os.ErrDeadlineExceeded
			}
			return true, nil
		}
		var mu sync.Mutex
		var got []int
		var wg sync.WaitGroup
		for w := range 20 {
			wg.Go(func() {
				n, _, err := ClaimBuildNumber(t.Context(), s, Claim{Name: "tool", Version: "1.0", Task: fmt.Sprint(w%10, w/10)})
				if err != nil {
					return // the store gave up: the farm tries again
				}
				mu.Lock()
				defer mu.Unlock()
				got = append(got, n)
			})
		}
		wg.Wait()
		slices.Sort(got)
		if len(slices.Compact(slices.Clone(got))) != len(got) || len(got) < 10 {
			t.Errorf("%v", got)
		}
	})
}

func TestClaimsOfOthersMakesAreNotOurs(t *testing.T) {
	s := &mem.Store{}
	putRaw(t, s, claimFolder+"/tool-1.0-3", []byte("junk"))
	putRaw(t, s, claimFolder+"/tool-1.0-x", []byte("junk"))
	if n, again := claimOK(t, s, "a"); n != 4 || again {
		t.Errorf("%d, %v", n, again)
	}
	broken := &mem.Store{Fault: func(string) (bool, error) { return false, os.ErrPermission }}
	if _, _, err := ClaimBuildNumber(t.Context(), broken, Claim{Name: "a", Version: "1"}); err == nil || errors.Is(err, store.ErrConflict) {
		t.Errorf("%v", err)
	}
}

func TestStored(t *testing.T) {
	s := &mem.Store{}
	want := publishOK(t, s, exporting(t, "lib"))
	got, ok, err := Stored(t.Context(), s, want.Key)
	if want.Existed = true; err != nil || !ok || fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%+v, %v\nwant %+v", got, err, want)
	}
	if _, ok, err := Stored(t.Context(), s, "linux-64/no-1-0.conda"); ok || err != nil {
		t.Errorf("%v, %v", ok, err)
	}
	putRaw(t, s, "linux-64/bad-1-0.conda", []byte("bad"))
	if _, _, err := Stored(t.Context(), s, "linux-64/bad-1-0.conda"); err == nil {
		t.Error("a broken package is taken for published")
	}
}
