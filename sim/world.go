package sim

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/condaworker/condaworker/lock"
)

// Package is a package that workers publish.
type Package struct{ Path, Key, SHA256 string }

// Result is what came of a schedule.
type Result struct {
	Seed       uint64
	Violations []string                      // of the invariants; none is what should come of it
	Trace      []string                      // every request, if it was asked for
	Hash       uint64                        // of the trace, equal for equal seeds: what happens at one instant has no order
	Requests   int                           // in all
	Met        map[operation]map[outcome]int // how often each came to what
}

// world is one schedule.
type world struct {
	t        *testing.T
	seed     uint64
	trouble  trouble
	packages []Package
	start    time.Time
	keep     bool // the trace
	prunes   bool // somebody deletes removed packages
	others   bool // an indexer of another make comes, too

	mu       sync.Mutex // guards what follows, and the order of requests
	foreign  bool       // what it wrote may be in the index
	bucket   bucket
	result   Result
	given    []Package       // that workers publish
	acked    []Package       // whose publishing was reported as done
	taken    map[string]bool // packages that somebody takes out of the index, or took
	restored map[string]bool // packages that came back
	out      map[string]bool // packages whose removal was reported, and no restore has begun since
	patched  map[string]bool // packages whose record is corrected by instructions
	numbers  map[int]int     // who has a build number, by number
	texts    map[string]bool // keys with ETags of texts that were there
	epoch    int64           // of the lock
	nonce    string          // of its holder
	pending  sync.WaitGroup
}

func (w *world) faulty() bool { return time.Since(w.start) < w.trouble.lasts }

func (w *world) serve(q request) answer {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.bucket.serve(q)
}

// later lets a request land when nobody waits for it any more.
func (w *world) later(by *worker, q request, after time.Duration) {
	w.pending.Go(func() {
		time.Sleep(after)
		w.note(by, q, landsLate, w.serve(q).status)
	})
}

func (w *world) note(by *worker, q request, f fault, status int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	op := q.operation()
	line := time.Since(w.start).String() + " worker " + strconv.Itoa(by.id) + " " + string(op) + " " + q.key + q.query["prefix"] +
		": " + strconv.Itoa(status) + " " + string(f)
	h := fnv.New64a()
	_, _ = h.Write([]byte(line)) // a hash takes everything
	w.result.Hash += h.Sum64()
	w.result.Requests++
	if w.keep {
		w.result.Trace = append(w.result.Trace, line)
	}
	if w.result.Met[op] == nil {
		w.result.Met[op] = map[outcome]int{}
	}
	w.result.Met[op][outcomeOf(f, status)]++
}

// wrong notes a violation. Its caller holds the mutex.
func (w *world) wrong(format string, args ...any) {
	w.result.Violations = append(w.result.Violations, fmt.Sprintf("%s: ", time.Since(w.start))+fmt.Sprintf(format, args...))
}

// Schedule runs one schedule from its seed to its end, drawn from a mix. Workers
// publish some of packages; keep asks for the trace.
func Schedule(t *testing.T, seed uint64, from Mix, packages []Package, keep bool) Result {
	var result Result
	synctest.Test(t, func(t *testing.T) {
		draw := rand.New(rand.NewPCG(seed, 0))
		w := &world{t: t, seed: seed, packages: packages, start: time.Now(), keep: keep, taken: map[string]bool{}, restored: map[string]bool{}, out: map[string]bool{}, patched: map[string]bool{}, numbers: map[int]int{}, texts: map[string]bool{}}
		w.trouble = one(draw, from.troubles)
		w.result = Result{Seed: seed, Met: map[operation]map[outcome]int{}}
		w.bucket = bucket{objects: map[string]object{}, landed: w.landed, page: one(draw, from.pages)}
		w.run(w.staff(draw, from))
		result = w.result
	})
	return result
}

// run lets the workers work until all are done and every request has landed.
func (w *world) run(workers []*worker) {
	var wg sync.WaitGroup
	for _, k := range workers {
		wg.Go(func() {
			time.Sleep(k.begin)
			k.work()
		})
	}
	wg.Wait()
	w.pending.Wait()
	w.atRest()
}

// landed is called after each write, with the mutex held.
func (w *world) landed(key string, before, after object, existed bool, condition string) {
	subdir, name, _ := strings.Cut(key, "/")
	if key == lock.Key || name == "repodata.json" || name == ".condaworker-removed.json" {
		w.checkNew(key, after)
	}
	switch {
	case key == lock.Key:
		w.checkLock(after)
	case condition == deletion:
		w.checkDeletion(subdir, name)
	case name == "repodata.json":
		w.checkCommit(subdir, before, after, existed, condition)
	case condition == "" && !strings.HasPrefix(name, ".condaworker-state") && !strings.HasPrefix(key, ".condaworker-channeldata"): // what is known, by version
		w.wrong("%s is written without a condition", key)
	}
}

func (w *world) ack(packages []Package) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.acked = append(w.acked, packages...)
	w.checkVisible("S1 at success", packages)
}

// claimed notes that worker id was given a build number.
func (w *world) claimed(id, number int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if owner, had := w.numbers[number]; had && owner != id {
		w.wrong("build number %d is given to the workers %d and %d", number, owner, id)
	}
	for other, owner := range w.numbers {
		if owner == id && other != number {
			w.wrong("worker %d is given the build numbers %d and %d", id, other, number)
		}
	}
	w.numbers[number] = id
}
