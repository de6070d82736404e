package sim

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/condaworker/condaworker/indexer"
	"github.com/condaworker/condaworker/lock"
	"github.com/condaworker/condaworker/store"
	"github.com/condaworker/condaworker/store/s3"
)

// job is what a worker does.
type job string

const (
	publishAndCommit      job = "publish and commit"  // build --to, publish
	publishAndReindex     job = "publish and reindex" // --no-index, and a reindex under the lock
	reindexOnly           job = "reindex"
	reindexUnlocked       job = "reindex without the lock"
	removeAndRestore      job = "publish, remove and restore"
	removeAndRestoreTwice job = "publish, remove, restore, remove and restore"
	removeAndPrune        job = "publish, remove and prune"
	claim                 job = "claim a build number"

	// drawn apart: see staff
	foreignIndexer job = "index as others did"
	publishAgain   job = "publish, remove, prune, publish again and restore"
	patch          job = "publish, hide and show by patch instructions"
	thorough       job = "reindex with all there is"
)

// rarely is what the last worker does now and then in place of j.
func (j job) rarely() job {
	return map[job]job{removeAndPrune: publishAgain, removeAndRestore: patch, removeAndRestoreTwice: patch, reindexUnlocked: thorough}[j]
}

func (j job) publishes() bool {
	return slices.Contains([]job{publishAndCommit, publishAndReindex, removeAndRestore, removeAndRestoreTwice, removeAndPrune, publishAgain, patch}, j)
}

// worker is a process on a host of the farm.
type worker struct {
	world    *world
	id       int
	packages []Package
	job      job
	begin    time.Duration // when it comes
	clock    time.Duration // how far its own is off
	done     int           // steps of the job that were reported as done

	mu    sync.Mutex     // guards what follows
	made  map[string]int // requests, by what they ask for
	until time.Time      // the host stands still until then
	skew  time.Duration  // of the server's clock, as this host sees it

	life context.Context
	kill context.CancelFunc
}

// work does the job, again whenever it failed or its process was killed, as a
// farm does.
func (w *worker) work() {
	if w.job == foreignIndexer {
		w.indexAsOthers()
		return
	}
	for try := 0; ; try++ {
		spared := !w.world.faulty() // a process that began before may have been killed then
		err := w.once()
		if err == nil {
			return
		}
		if spared && try > 20 || time.Since(w.world.start) > 24*time.Hour {
			w.world.mu.Lock()
			w.world.wrong("L4: worker %d never gets its job done (%s): %v", w.id, w.job, err)
			w.world.mu.Unlock()
			return
		}
		time.Sleep(time.Minute)
	}
}

// once is one process. It begins with the step that the last one did not end.
func (w *worker) once() error {
	w.life, w.kill = context.WithCancel(w.world.t.Context())
	defer w.kill()
	ctx := store.WithChance(w.life, w.chance)
	s, err := s3.Open(ctx, s3.Options{Bucket: "bucket", Env: map[string]string{"AWS_ENDPOINT_URL": "http://s3"}, HTTP: w, Unsigned: true})
	if err != nil {
		return err
	}
	for steps := w.steps(); w.done < len(steps); w.done++ {
		if err := steps[w.done](ctx, s); err != nil {
			return err
		}
	}
	return nil
}

// chance is the pauses' source, by worker and order.
func (w *worker) chance(n int64) int64 {
	return w.draw(request{method: "pause"}).Int64N(n)
}

// step is a command that the farm runs again until it succeeds.
type step func(ctx context.Context, s store.Store) error

func (w *worker) steps() []step {
	switch w.job {
	case publishAndCommit:
		return []step{w.publish(w.commit)}
	case publishAndReindex:
		return []step{w.publish(w.reindexLocked)}
	case reindexOnly:
		return []step{w.reindex}
	case reindexUnlocked:
		return []step{w.reindexFreely}
	case removeAndRestore:
		return []step{w.publish(w.commit), w.remove, w.restore}
	case removeAndRestoreTwice:
		return []step{w.publish(w.commit), w.remove, w.restore, w.remove, w.restore}
	case removeAndPrune:
		return []step{w.publish(w.commit), w.remove, w.prune}
	case publishAgain:
		return []step{w.publish(w.commit), w.remove, w.prune, w.store, w.comeBack}
	case thorough:
		return []step{w.reindexFully}
	case patch:
		return []step{w.publish(w.commit), w.hide, w.show}
	}
	return []step{w.claim, w.claim}
}

// options are those of every index run of a host whose clock is off. A worker makes
// one request at a time where it can, so that a seed repeats itself.
func options(off time.Duration) indexer.Options {
	return indexer.Options{Concurrency: 1, Now: func() time.Time { return time.Now().Add(off) }}
}

// publish is a step that ends with an index run.
func (w *worker) publish(index func(context.Context, store.Store, []indexer.Published) error) step {
	return func(ctx context.Context, s store.Store) error {
		var done []indexer.Published
		for _, p := range w.packages {
			got, err := indexer.Publish(ctx, s, indexer.Package{Path: p.Path})
			if err != nil {
				return err
			}
			done = append(done, got)
		}
		err := index(ctx, s, done)
		if err == nil {
			w.world.ack(w.packages)
		}
		return err
	}
}

func (w *worker) commit(ctx context.Context, s store.Store, done []indexer.Published) error {
	_, err := indexer.Commit(ctx, s, done, options(w.clock))
	if _, none := errors.AsType[*indexer.NoIndexError](err); none {
		return w.reindexLocked(ctx, s, done)
	}
	return err
}

func (w *worker) reindexFreely(ctx context.Context, s store.Store) error {
	_, err := indexer.Reindex(ctx, s, options(w.clock))
	return err
}

// reindexFully looks into every package again, and makes what no other run does.
func (w *worker) reindexFully(ctx context.Context, s store.Store) error {
	o := options(w.clock)
	o.Full, o.Current, o.RSS, o.URL = true, true, true, "s3://bucket"
	_, err := indexer.Reindex(ctx, s, o)
	return err
}

func (w *worker) reindex(ctx context.Context, s store.Store) error {
	return w.reindexLocked(ctx, s, nil)
}

func (w *worker) reindexLocked(ctx context.Context, s store.Store, _ []indexer.Published) error {
	lease, locked, err := lock.Acquire(ctx, s, lock.Options{Holder: lock.Holder{WorkerID: fmt.Sprint(w.id)}, Share: true})
	if errors.Is(err, lock.ErrServed) {
		return nil
	}
	if err != nil {
		return err
	}
	_, err = indexer.Reindex(locked, s, options(w.clock))
	_ = lease.Release(context.WithoutCancel(ctx), err == nil) // others take it over
	return err
}

// keys are those of the package that this worker takes out.
func (w *worker) keys() []string { return []string{w.packages[0].Key} }

func (w *worker) remove(ctx context.Context, s store.Store) error {
	w.world.take(w.packages[0], true)
	_, err := indexer.Remove(ctx, s, w.keys(), options(w.clock))
	if w.world.others && errors.Is(err, fs.ErrNotExist) {
		w.world.mayStay(w.packages[0])
		return nil // a foreign index without it
	}
	if err == nil {
		w.world.checkTaken(w.packages[0])
	}
	return err
}

func (w *worker) restore(ctx context.Context, s store.Store) error {
	w.world.mayReturn(w.packages[0])
	_, err := indexer.Restore(ctx, s, w.keys(), options(w.clock))
	if w.world.prunes && errors.Is(err, fs.ErrNotExist) {
		return nil // it came too late
	}
	if err == nil {
		w.world.take(w.packages[0], false)
	}
	return err
}

// prune waits for half of the grace, so that there is something to wait for.
func (w *worker) prune(ctx context.Context, s store.Store) error {
	const grace = time.Minute
	if err := store.Pause(ctx, 0, 2*grace); err != nil {
		return err
	}
	_, err := indexer.Prune(ctx, s, indexer.PruneOptions{Grace: grace}, options(w.clock))
	return err
}

// store stores the package that was taken out, if it is there no more.
func (w *worker) store(ctx context.Context, s store.Store) error {
	_, err := indexer.Publish(ctx, s, indexer.Package{Path: w.packages[0].Path})
	return err
}

// comeBack restores what was deleted and is stored again, once that may be.
func (w *worker) comeBack(ctx context.Context, s store.Store) error {
	const lull, rounds = 30 * time.Minute, 5
	for round := 1; ; round++ {
		w.world.mayReturn(w.packages[0])
		_, err := indexer.Restore(ctx, s, w.keys(), options(w.clock))
		if err == nil {
			w.world.take(w.packages[0], false)
		}
		if !errors.Is(err, fs.ErrNotExist) || round == rounds {
			return err
		}
		if err := errors.Join(store.Pause(ctx, lull, lull+time.Second), w.store(ctx, s)); err != nil {
			return err
		}
	}
}

// hide takes the package out by instructions.
func (w *worker) hide(ctx context.Context, s store.Store) error {
	subdir, file, _ := strings.Cut(w.packages[0].Key, "/")
	w.world.take(w.packages[0], true)
	err := w.reindexWith(ctx, s, subdir, fmt.Sprintf(`{"patch_instructions_version": 1, "remove": [%q]}`, file))
	if err == nil {
		w.world.checkTaken(w.packages[0])
	}
	return err
}

// show corrects its record instead.
func (w *worker) show(ctx context.Context, s store.Store) error {
	subdir, file, _ := strings.Cut(w.packages[0].Key, "/")
	w.world.mayReturn(w.packages[0])
	err := w.reindexWith(ctx, s, subdir, fmt.Sprintf(`{"patch_instructions_version": 1, "packages.conda": {%q: {"license": %q}}}`, file, corrected))
	if err == nil {
		w.world.take(w.packages[0], false)
		w.world.correct(w.packages[0])
	}
	return err
}

func (w *worker) reindexWith(ctx context.Context, s store.Store, subdir, instructions string) error {
	o := options(w.clock)
	o.Patches = map[string][]byte{subdir: []byte(instructions)}
	_, err := indexer.Reindex(ctx, s, o)
	return err
}

func (w *worker) claim(ctx context.Context, s store.Store) error {
	n, _, err := indexer.ClaimBuildNumber(ctx, s, indexer.Claim{
		Name: "claimed", Version: "1.0", Subdirs: []string{"noarch"}, Task: fmt.Sprint("task ", w.id),
	})
	if err == nil {
		w.world.claimed(w.id, n)
	}
	return err
}
