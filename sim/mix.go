package sim

import (
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// Mix is what schedules are drawn from: what a list has twice is drawn twice as
// often.
type Mix struct {
	troubles []trouble
	pages    []int  // how many objects an answer to a listing has at most
	workers  []int  // in a small schedule
	narrow   []bool // whether all packages of a small schedule are for one subdir
	jobs     []job
}

// trouble is how many of the requests meet faults, and for how long; after that
// all must come right. The more faults, the sooner they end: in a longer time of
// many faults, the same is only tried more often.
type trouble struct {
	rate, plain float64 // plain: of the writes without a condition, of which there are few
	lasts       time.Duration
}

// Heavy is a mix of much work and many faults, from which the seeds that stay are
// drawn: any change of it makes others of them.
func Heavy() Mix {
	return Mix{
		troubles: []trouble{{0, 0, 30 * time.Minute}, {0.03, 0.06, 30 * time.Minute}, {0.1, 0.2, 20 * time.Minute}, {0.3, 0.6, 10 * time.Minute}},
		pages:    []int{3, 1000},
		workers:  []int{2, 3},
		narrow:   []bool{true, false},
		jobs: []job{
			publishAndCommit, publishAndCommit, publishAndReindex, publishAndReindex, reindexOnly, reindexUnlocked,
			removeAndRestoreTwice, removeAndPrune, removeAndPrune, claim,
		},
	}
}

// Light is a mix of what finds most for its requests, as counted with the mutants
// of scripts/bench/mutants: mostly two workers and one subdir, faults that leave
// most requests alone, and short jobs.
func Light() Mix {
	return Mix{
		troubles: slices.Concat(
			times(4, trouble{0, 0, 30 * time.Minute}), times(12, trouble{0.03, 0.12, 30 * time.Minute}),
			times(3, trouble{0.1, 0.4, 20 * time.Minute}), times(1, trouble{0.3, 0.8, 10 * time.Minute}),
		),
		pages:   []int{3, 1000, 1000, 1000},
		workers: []int{2, 2, 2, 2, 3},
		narrow:  []bool{true, true, true, true, false},
		jobs: slices.Concat(
			times(10, publishAndCommit), times(6, publishAndReindex), times(4, reindexOnly), times(5, reindexUnlocked),
			times(3, removeAndRestore), times(1, removeAndRestoreTwice), times(4, removeAndPrune), times(7, claim),
		),
	}
}

func times[T any](n int, v T) []T { return slices.Repeat([]T{v}, n) }

func one[T any](draw *rand.Rand, of []T) T { return of[draw.IntN(len(of))] }

// large is how often a schedule is one of many workers: it costs as much as four
// small ones, and small ones find most defects.
const large = 50

// staff draws the workers and what each does.
func (w *world) staff(draw *rand.Rand, from Mix) []*worker {
	workers, most, left := one(draw, from.workers), 1, w.packages
	switch {
	case w.seed%large == 0:
		workers, most = 2+draw.IntN(15), 3
	case one(draw, from.narrow):
		left = slices.DeleteFunc(slices.Clone(left), func(p Package) bool { return !strings.HasPrefix(p.Key, "noarch/") })
	}
	var all []*worker
	for id := range workers {
		n := min(1+draw.IntN(most), 1+6/workers, len(left))
		k := &worker{world: w, id: id, packages: left[:n], made: map[string]int{}, job: one(draw, from.jobs)}
		left = left[n:]
		k.skew = one(draw, []time.Duration{0, 0, 0, 10 * time.Minute, -10 * time.Minute, 20 * time.Minute})
		k.begin = time.Duration(draw.Int64N(int64(time.Minute)))
		k.clock = one(k.draw(request{method: "clock"}), []time.Duration{0, 0, 10 * time.Minute, -10 * time.Minute})
		w.prunes = w.prunes || k.job == removeAndPrune
		all = append(all, k)
	}
	if draw.IntN(10) == 0 {
		w.others, w.foreign, all[0].job = true, true, foreignIndexer
	} else if last := all[workers-1]; last.job.rarely() != "" && draw.IntN(3) == 0 {
		last.job = last.job.rarely()
	}
	for _, k := range all {
		if k.job.publishes() {
			w.given = append(w.given, k.packages...)
		}
	}
	return all
}
