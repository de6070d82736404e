package model

import (
	"fmt"
	"os"
	"testing"
)

// lockText is what the lock's object says. The zero value is an object that is
// not there. Each write has another op, so that no two are equal.
type lockText struct {
	there, held   bool
	epoch, served uint8
	lease, op     uint8 // whose: which lease of which job; and which write of it
}

type lockStep uint8

const (
	lockStore lockStep = iota // put the package
	lockLook
	lockDecide // on what was seen
	lockTake
	lockList
	lockCommit
	lockRelease
	lockDone
	lockDead
)

type locker struct {
	step     lockStep
	own      packages
	begun    packages // stored when it began to wait: what its success promises
	listed   packages
	enrolled uint8
	looked   bool
	leases   uint8    // taken, or tried
	renewed  bool     // once in a lease: more brings nothing new
	renewing bool     // a renewal of unknown end
	seen     lockText // the version that the next write replaces
	open     bool     // a write of unknown end
}

// lockWrite is a conditional PUT.
type lockWrite struct {
	sent       bool
	over, text lockText
}

const maxEpoch = 5 // of any walk

type lockWorld struct {
	lock          lockText
	stored, index packages
	granted       [maxEpoch + 1]uint8 // to which lease
	jobs          [3]locker
	late          lockWrite
	faults        uint8
	most          uint8 // epochs: the walk ends there
}

// lockMutant is the protocol with one rule left out.
type lockMutant struct {
	takeBlind, releaseBlind, epochLost, deleted, sameOp, servedEarly bool
	servedBefore, enrolEarly, noSteal, heldByConflict                bool
}

type lockWalk struct {
	lockMutant
	broken string
	from   lockWorld
	next   []lockWorld
}

func (w *lockWalk) fail(s lockWorld, why string) {
	if w.broken == "" {
		w.broken = fmt.Sprintf("%s: %+v then %+v", why, w.from, s)
	}
}

func (w *lockWalk) to(s lockWorld) { w.next = append(w.next, s) }

// land applies a write where its condition holds.
func (w *lockWalk) land(s lockWorld, p lockWrite) (lockWorld, bool) {
	blind := p.text.held && w.takeBlind || !p.text.held && w.releaseBlind
	if s.lock != p.over && !blind {
		return s, false
	}
	was := s.lock
	switch {
	case p.text.held && p.text.lease != was.lease && p.text.epoch <= was.epoch:
		w.fail(s, "S4: an epoch does not rise")
	case !p.text.held && was.held && was.lease != p.text.lease:
		w.fail(s, "a lock was released by another than its holder")
	}
	s.lock = p.text
	return s, true
}

// text is what job i writes next.
func (w *lockWalk) text(s lockWorld, i int) lockText {
	j := s.jobs[i]
	lease := uint8(i+1)<<4 | j.leases
	switch j.step {
	case lockTake:
		t := lockText{there: true, held: true, epoch: j.seen.epoch + 1, served: j.seen.served, lease: lease}
		if w.sameOp {
			t.lease = 1
		}
		if w.servedEarly {
			t.served = t.epoch
		}
		return t
	case lockRelease:
		t := lockText{there: true, epoch: j.seen.epoch, served: j.seen.epoch, lease: j.seen.lease, op: 9}
		if w.epochLost {
			t.epoch = 0
		}
		if w.deleted {
			t = lockText{}
		}
		return t
	default: // a renewal
		t := j.seen
		t.op++
		return t
	}
}

func (w *lockWalk) step(s lockWorld, i int) {
	w.from = s
	j := &s.jobs[i]
	switch j.step {
	case lockStore:
		j.step = lockLook
		s.stored |= j.own
		if w.enrolEarly {
			j.enrolled, j.looked = 0, true
		}
	case lockLook:
		w.look(s, i)
		return
	case lockDecide:
		w.decide(s, i)
		return
	case lockTake, lockRelease:
		w.put(s, i)
		return
	case lockList, lockCommit:
		if !j.renewed || j.renewing {
			w.put(s, i)
		}
		if j.renewing {
			return
		}
		j = &s.jobs[i]
		if j.step == lockList {
			j.step, j.listed = lockCommit, s.stored
		} else {
			j.step = lockRelease
			s.index |= j.listed
		}
	case lockDone, lockDead:
		return
	}
	w.to(s)
}

func (w *lockWalk) look(s lockWorld, i int) {
	j := &s.jobs[i]
	if !j.looked {
		j.looked, j.enrolled = true, s.lock.epoch
		j.begun = s.stored
	}
	if w.enrolEarly {
		j.begun = s.stored
	}
	j.seen, j.step = s.lock, lockDecide
	if s.lock.served > j.enrolled || w.servedBefore && s.lock.served > 0 && s.lock.served >= j.enrolled {
		w.finish(s, i)
		return
	}
	w.to(s)
}

// decide takes what is free. What is held is looked at again, or taken over:
// clocks and pauses may let a waiter do so at any time.
func (w *lockWalk) decide(s lockWorld, i int) {
	j := &s.jobs[i]
	if j.seen.held {
		again := s
		again.jobs[i].step = lockLook
		w.to(again)
		if w.noSteal {
			return
		}
	}
	if j.seen.epoch == s.most { // as far as this walk goes
		s.jobs[i] = locker{step: lockDead}
		w.to(s)
		return
	}
	j.step, j.open, j.renewed = lockTake, false, false
	j.leases++
	w.to(s)
}

// finish ends a job: all that was stored when it began to wait is in the index.
func (w *lockWalk) finish(s lockWorld, i int) {
	if s.jobs[i].begun&^s.index != 0 {
		w.fail(s, "S1: a worker leaves with success, and a package is not in the index")
	}
	s.jobs[i] = locker{step: lockDone}
	w.to(s)
}

// put sends job i's next write: it is answered, or its answer is lost, or it is
// on its way when the job tries again or dies.
func (w *lockWalk) put(s lockWorld, i int) {
	p := lockWrite{true, s.jobs[i].seen, w.text(s, i)}
	after, ok := w.land(s, p)
	w.answer(after, i, p, ok)
	if s.faults == 0 {
		return
	}
	unknown := func(s lockWorld) lockWorld {
		s.faults--
		s.jobs[i].open = true
		s.jobs[i].renewing = s.jobs[i].step == lockList || s.jobs[i].step == lockCommit
		return s
	}
	w.to(unknown(after))
	if !s.late.sent {
		late := unknown(s)
		late.late = p
		w.to(late)
		late.jobs[i] = locker{step: lockDead}
		w.to(late)
	}
}

func (w *lockWalk) answer(s lockWorld, i int, p lockWrite, ok bool) {
	j := &s.jobs[i]
	ok = ok || (j.open || w.sameOp) && s.lock == p.text // the first attempt landed
	if w.heldByConflict && j.step == lockTake {
		ok = true
	}
	j.open, j.renewing = false, false
	switch {
	case j.step == lockRelease: // a conflict is the next holder
		w.finish(s, i)
		return
	case !ok:
		j.step, j.renewed = lockLook, false
	case j.step == lockTake:
		j.step, j.seen = lockList, p.text
		lease := uint8(i+1)<<4 | j.leases
		if to := s.granted[p.text.epoch]; to != 0 && to != lease {
			w.fail(s, "S4: an epoch is granted twice")
		}
		s.granted[p.text.epoch] = lease
	default:
		j.renewed, j.seen = true, p.text
	}
	w.to(s)
}

// exploreLock visits all states breadth first, and then looks whether each
// lets all who live come to their end.
func exploreLock(m lockMutant, first lockWorld) (int, string) {
	at := map[lockWorld]int{first: 0}
	all := []lockWorld{first}
	var before [][]int
	before = append(before, nil)
	w := lockWalk{lockMutant: m}
	for k := 0; k < len(all) && w.broken == ""; k++ {
		s := all[k]
		w.next = w.next[:0]
		for i := range s.jobs {
			w.step(s, i)
			if step := s.jobs[i].step; s.faults > 0 && step != lockDone && step != lockDead {
				dead := s
				dead.faults--
				dead.jobs[i] = locker{step: lockDead}
				w.to(dead)
			}
		}
		w.from = s
		if s.late.sent {
			landed, _ := w.land(s, s.late)
			landed.late = lockWrite{}
			w.to(landed)
		}
		for _, n := range w.next {
			to, seen := at[n]
			if !seen {
				to = len(all)
				at[n] = to
				all, before = append(all, n), append(before, nil)
			}
			before[to] = append(before[to], k)
		}
	}
	if w.broken != "" {
		return len(all), w.broken
	}
	return len(all), stuck(all, before)
}

// stuck names a state from which somebody can never leave (L1, L2).
func stuck(all []lockWorld, before [][]int) string {
	ends := make([]bool, len(all))
	var queue []int
	for k, s := range all {
		if s.ended() {
			ends[k] = true
			queue = append(queue, k)
		}
	}
	for len(queue) > 0 {
		k := queue[0]
		queue = queue[1:]
		for _, b := range before[k] {
			if !ends[b] {
				ends[b] = true
				queue = append(queue, b)
			}
		}
	}
	for k, end := range ends {
		if !end {
			return fmt.Sprintf("L1: nobody gets on from %+v", all[k])
		}
	}
	return ""
}

func (s lockWorld) ended() bool {
	for _, j := range s.jobs {
		if j.step != lockDone && j.step != lockDead {
			return false
		}
	}
	return true
}

func lockWorlds() []lockWorld {
	world := func(jobs int, faults, epochs uint8) lockWorld {
		s := lockWorld{faults: faults, most: epochs}
		for i := range s.jobs {
			s.jobs[i] = locker{step: lockDone}
			if i < jobs {
				s.jobs[i] = locker{own: 1 << i}
			}
		}
		return s
	}
	if os.Getenv(full) != "" {
		return []lockWorld{world(2, 3, 4), world(3, 0, 3)}
	}
	small := []lockWorld{world(2, 1, 3), world(2, 0, maxEpoch)}
	if testing.Short() {
		return small
	}
	return append(small, world(3, 0, 2))
}

func TestEveryOrderKeepsTheLockRight(t *testing.T) {
	for _, first := range lockWorlds() {
		n, broken := exploreLock(lockMutant{}, first)
		if broken != "" {
			t.Error(broken)
		}
		t.Logf("%d states", n)
	}
}

func TestEachRuleOfTheLockIsNeeded(t *testing.T) {
	for name, m := range map[string]lockMutant{
		"the lock is taken without a condition":                {takeBlind: true},
		"it is released without a condition":                   {releaseBlind: true},
		"the tombstone forgets the epoch":                      {epochLost: true},
		"release deletes the object":                           {deleted: true},
		"records of two workers can be equal":                  {sameOp: true},
		"work is called done when the lock is taken":           {servedEarly: true},
		"work that began before the waiting serves it":         {servedBefore: true},
		"a worker begins to wait before its package is stored": {enrolEarly: true},
		"nobody takes over a dead holder's lock":               {noSteal: true},
		"a conflict is taken for success":                      {heldByConflict: true},
	} {
		t.Run(name, func(t *testing.T) {
			for _, first := range lockWorlds() {
				if _, broken := exploreLock(m, first); broken != "" {
					return
				}
			}
			t.Error("no rule was broken")
		})
	}
}
