package sim

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/condaworker/condaworker/indexer"
	"github.com/condaworker/condaworker/lock"
	"github.com/condaworker/condaworker/store"
	"github.com/condaworker/condaworker/store/s3"
)

// Package is a package that workers publish.
type Package struct{ Path, Key, SHA256 string }

// Result is what came of a schedule.
type Result struct {
	Seed       uint64
	Violations []string                  // of the invariants; none is what should come of it
	Trace      []string                  // every request, if it was asked for
	Hash       uint64                    // of the trace: equal for equal seeds
	Requests   int                       // in all
	Met        map[string]map[string]int // by operation and fault
}

// world is one schedule.
type world struct {
	t        *testing.T
	seed     uint64
	rate     float64 // of faults
	packages []Package
	start    time.Time
	keep     bool // the trace

	mu      sync.Mutex // guards what follows, and the order of requests
	bucket  bucket
	result  Result
	acked   []Package // whose publishing was reported as done
	epoch   int64     // of the lock
	nonce   string    // of its holder
	pending sync.WaitGroup
}

// troubled is how long there are faults; after that all must come right.
const troubled = 30 * time.Minute

func (w *world) faulty() bool { return time.Since(w.start) < troubled }

func (w *world) serve(q request) answer {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.bucket.serve(q)
}

// later lets a request land when nobody waits for it any more.
func (w *world) later(by *worker, q request, after time.Duration) {
	w.pending.Go(func() {
		time.Sleep(after)
		w.note(by, q, "landing late", w.serve(q).status)
	})
}

func (w *world) note(by *worker, q request, f fault, status int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	line := fmt.Sprintf("%-14s worker %d %s %s%s: %d %s", time.Since(w.start), by.id, q.operation(), q.key, q.query["prefix"], status, f)
	h := fnv.New64a()
	_ = binary.Write(h, binary.LittleEndian, w.result.Hash) // a hash takes everything
	_, _ = h.Write([]byte(line))
	w.result.Hash = h.Sum64()
	w.result.Requests++
	if w.keep {
		w.result.Trace = append(w.result.Trace, line)
	}
	op := q.operation()
	if w.result.Met[op] == nil {
		w.result.Met[op] = map[string]int{}
	}
	w.result.Met[op][string(f)]++
}

// wrong notes a violation. Its caller holds the mutex.
func (w *world) wrong(format string, args ...any) {
	w.result.Violations = append(w.result.Violations, fmt.Sprintf("%s: ", time.Since(w.start))+fmt.Sprintf(format, args...))
}

// Schedule runs one schedule from its seed to its end. packages are given to
// the workers in turn; keep asks for the trace.
func Schedule(t *testing.T, seed uint64, packages []Package, keep bool) Result {
	var result Result
	synctest.Test(t, func(t *testing.T) {
		draw := rand.New(rand.NewPCG(seed, 0))
		w := &world{t: t, seed: seed, packages: packages, start: time.Now(), keep: keep}
		w.rate = []float64{0, 0.03, 0.1, 0.3}[draw.IntN(4)]
		w.result = Result{Seed: seed, Met: map[string]map[string]int{}}
		w.bucket = bucket{objects: map[string]object{}, landed: w.landed}
		w.run(draw)
		result = w.result
	})
	return result
}

func (w *world) run(draw *rand.Rand) {
	workers := 2 + draw.IntN(3)
	if draw.IntN(20) == 0 {
		workers = 5 + draw.IntN(12)
	}
	left := w.packages
	var wg sync.WaitGroup
	for id := range workers {
		n := min(1+draw.IntN(3), len(left), 1+6/workers)
		k := &worker{world: w, id: id, packages: left[:n], made: map[string]int{}, job: job(draw.IntN(int(jobs)))}
		left = left[n:]
		k.skew = []time.Duration{0, 0, 0, 10 * time.Minute, -10 * time.Minute, 20 * time.Minute}[draw.IntN(6)]
		begin := time.Duration(draw.Int64N(int64(time.Minute)))
		wg.Go(func() {
			time.Sleep(begin)
			k.work()
		})
	}
	wg.Wait()
	w.pending.Wait()
	w.atRest(left)
}

// job is what a worker does.
type job int

const (
	publishAndCommit  job = iota // build --to, publish
	publishAndReindex            // --no-index, and a reindex under the lock
	reindexOnly
	reindexUnlocked
	jobs
)

// worker is a process on a host of the farm.
type worker struct {
	world    *world
	id       int
	packages []Package
	job      job
	skew     time.Duration // of the server's clock, as this host sees it

	mu   sync.Mutex
	made map[string]int // requests, by what they ask for

	life context.Context
	kill context.CancelFunc
}

// work does the job, again whenever it failed or its process was killed, as a
// farm does.
func (w *worker) work() {
	for try := 0; ; try++ {
		spared := !w.world.faulty() // a process that began before may have been killed then
		err := w.once()
		if err == nil {
			return
		}
		if spared && try > 20 || time.Since(w.world.start) > 24*time.Hour {
			w.world.mu.Lock()
			w.world.wrong("worker %d never gets its job done: %v", w.id, err)
			w.world.mu.Unlock()
			return
		}
		time.Sleep(time.Minute)
	}
}

// once is one process.
func (w *worker) once() error {
	w.life, w.kill = context.WithCancel(w.world.t.Context())
	defer w.kill()
	ctx := store.WithChance(w.life, w.chance)
	s, err := s3.Open(ctx, s3.Options{Bucket: "bucket", Env: map[string]string{"AWS_ENDPOINT_URL": "http://s3"}, HTTP: w})
	if err != nil {
		return err
	}
	var done []indexer.Published
	if w.job != reindexOnly && w.job != reindexUnlocked {
		for _, p := range w.packages {
			got, err := indexer.Publish(ctx, s, indexer.Package{Path: p.Path})
			if err != nil {
				return err
			}
			done = append(done, got)
		}
	}
	o := indexer.Options{Concurrency: 1}
	switch w.job {
	case publishAndCommit:
		_, err = indexer.Commit(ctx, s, done, o)
	case reindexUnlocked:
		_, err = indexer.Reindex(ctx, s, o)
	default:
		err = w.reindexLocked(ctx, s, o)
	}
	if err != nil {
		return err
	}
	if len(done) > 0 {
		w.world.ack(w.packages)
	}
	return nil
}

// chance is the pauses' source, by worker and order.
func (w *worker) chance(n int64) int64 {
	return w.draw(request{method: "pause"}).Int64N(n)
}

func (w *worker) reindexLocked(ctx context.Context, s store.Store, o indexer.Options) error {
	lease, locked, err := lock.Acquire(ctx, s, lock.Options{Holder: lock.Holder{WorkerID: fmt.Sprint(w.id)}, Share: true})
	if errors.Is(err, lock.ErrServed) {
		return nil
	}
	if err != nil {
		return err
	}
	_, err = indexer.Reindex(locked, s, o)
	_ = lease.Release(context.WithoutCancel(ctx), err == nil) // others take it over
	return err
}

// landed is called after each write, with the mutex held.
func (w *world) landed(key string, before, after object, existed bool, condition string) {
	subdir, name, _ := strings.Cut(key, "/")
	switch {
	case key == lock.Key:
		w.checkLock(after)
	case name == "repodata.json":
		w.checkCommit(subdir, before, after, existed, condition)
	case condition == "" && !strings.HasPrefix(name, ".condaworker-state"):
		w.wrong("%s is written without a condition", key)
	}
}

func (w *world) ack(packages []Package) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.acked = append(w.acked, packages...)
	w.checkVisible("S1 at success", packages)
}

var errNotThere = errors.New("not there")

// given are the packages that workers had.
func (w *world) given(left []Package) []Package {
	return slices.Clone(w.packages[:len(w.packages)-len(left)])
}
