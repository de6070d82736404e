package sim

import (
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/condaworker/condaworker/conda/archive"
	"github.com/condaworker/condaworker/conda/condatest"
)

// packages are as many as the largest schedule needs.
func packages(t *testing.T) []Package {
	t.Helper()
	for k, v := range map[string]string{
		"AWS_ENDPOINT_URL": "http://s3", "AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b",
		"AWS_CA_BUNDLE": "", "AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull,
	} {
		t.Setenv(k, v)
	}
	archive.Zstd(nil) // makes the encoder that all schedules share, in the time that all share
	var all []Package
	for i := range 48 {
		subdir := []string{"linux-64", "linux-64", "noarch"}[i%3]
		file := fmt.Sprintf("p%d-1.0-%d.conda", i/4, i%4) // names have several files
		path := condatest.Write(t, file, condatest.Index(fmt.Sprint("p", i/4), "1.0", i%4, subdir), nil)
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		sum, err := archive.Sum(t.Context(), f)
		if err != nil {
			t.Fatal(err)
		}
		f.Close()
		all = append(all, Package{path, subdir + "/" + file, sum.SHA256})
	}
	return all
}

// number reads a setting of a long run from the environment.
func number(t *testing.T, name string, otherwise uint64) uint64 {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// Seeds that once found a defect stay.
//
//	22, 257: run_exports.json lacked a package whose adder had died, or which a
//	conflicting writer had just added
//	27: a derived object that was read was taken for one of an older index
//	226: a package that came between the listing and the index was lost
//	1378: a commit left out shards that another run was about to write from an
//	older index
//	4729: a restore took the text that a prune had left for its own, and brought
//	a package back that was deleted
//	163200: a prune forgot another one's mark, since the index that it had read
//	was older; the package was restored, and then deleted
//	3050961: a package was deleted, a publish of it that had been lost landed, it
//	was restored, and then another attempt to delete it landed
//	2657: a prune forgot a removal that was being made, and with patch instructions
//	the package came back
//	3699: what instructions hid stayed hidden, since the run that hid it was
//	overtaken
//	1073300: 2657's again, where the patch instructions came before the remove
//	had seen to what it had noted
//	2293882: a refusal that was cut on the way was taken for one of the package,
//	and a run without that package for a whole one
//	2662300: a prune took off the mark of a package that another indexer had let
//	the index forget; it was restored, and then a prune that had marked it before
//	deleted it
//	4982269: a run whose listing was older than a package wrote
//	repodata_from_packages.json without it; that instructions had hidden the
//	package was forgotten, and it did not come back
//	8141419: a worker stood still at its write over another indexer's text, which
//	came once more after a package was removed; the package was back
func TestSeedsThatFoundSomething(t *testing.T) {
	all := packages(t)
	for _, seed := range []uint64{22, 27, 226, 257, 1378, 4729, 67726, 163200, 3050961, 2657, 3699, 1073300, 2293882, 2662300, 4982269, 8141419} {
		if r := Schedule(t, seed, Heavy(), all, true); len(r.Violations) > 0 {
			t.Errorf("seed %d:\n%s\n%s", seed, strings.Join(r.Violations, "\n"), strings.Join(r.Trace, "\n"))
		}
	}
}

// TestSchedules runs CONDAWORKER_SIM_SCHEDULES schedules from the seed
// CONDAWORKER_SIM_SEED on.
func TestSchedules(t *testing.T) {
	all := packages(t)
	runtime.MemProfileRate = 0                         // sampling costs more than a schedule can spare
	defer debug.SetGCPercent(debug.SetGCPercent(2000)) // a schedule's garbage is small
	defer deepStacks()()
	n, first := number(t, "CONDAWORKER_SIM_SCHEDULES", 100), number(t, "CONDAWORKER_SIM_SEED", 1)
	var next atomic.Uint64
	var mu sync.Mutex
	total := Result{Met: map[operation]map[outcome]int{}}
	var wg sync.WaitGroup
	for range 2 * runtime.GOMAXPROCS(0) { // one is always between two goroutines
		wg.Go(func() {
			for {
				i := next.Add(1) - 1
				if i > 0 && i%2000 == 0 {
					t.Logf("%d of %d schedules", i, n)
				}
				if i >= n || t.Failed() {
					return
				}
				r := Schedule(t, first+i, Light(), all, n == 1)
				mu.Lock()
				total.add(r)
				mu.Unlock()
				if len(r.Violations) > 0 {
					t.Errorf("seed %d:\n%s\n%s", r.Seed, strings.Join(r.Violations, "\n"), strings.Join(r.Trace, "\n"))
				}
			}
		})
	}
	wg.Wait()
	t.Logf("%d schedules, %d requests\n%s", n, total.Requests, total.Table())
	if t.Failed() || n < 1000 {
		return // too few for every cell of the table
	}
	for _, cell := range total.Scarce(map[bool]int{true: 100, false: 1}[n >= 10_000]) {
		t.Error("met too rarely: " + cell)
	}
}

// deepStacks lets goroutines begin with stacks as large as the SDK needs, which
// calls a hundred functions for a request: to grow them anew in each goroutine is
// a tenth of a schedule. With GODEBUG=adaptivestackstart=1 they begin with as much
// as the others use on average, and one with much raises that.
func deepStacks() (end func()) {
	done := make(chan struct{})
	deep := make(chan struct{})
	go hold(32, func() { close(deep); <-done })
	<-deep
	runtime.GC() // which takes the average
	return func() { close(done) }
}

// hold waits with n times 64 KiB of stack in use.
func hold(n int, wait func()) (used byte) {
	var room [64 << 10]byte
	if room[n]++; n == 0 {
		wait()
		return room[n]
	}
	return room[n] + hold(n-1, wait)
}

func TestASeedRepeatsItself(t *testing.T) {
	all := packages(t)
	for seed := range uint64(5) {
		a, b := Schedule(t, seed, Light(), all, true), Schedule(t, seed, Light(), all, true)
		if a.Requests == 0 {
			t.Fatal("no request was made")
		}
		if a.Hash != b.Hash {
			for i := range min(len(a.Trace), len(b.Trace)) {
				if a.Trace[i] != b.Trace[i] {
					t.Fatalf("seed %d differs:\n%s\n%s", seed, strings.Join(a.Trace[max(0, i-8):i+1], "\n"), b.Trace[i])
				}
			}
			t.Fatalf("seed %d: %d and %d requests", seed, len(a.Trace), len(b.Trace))
		}
	}
}
