// Package model walks every order of the store's operations that the index's
// protocol can come to, and every crash, lost answer and late write in it.
package model

import (
	"fmt"
	"os"
	"testing"
)

// packages is a set of packages, a bit each.
type packages uint8

// text is what an object says, and so its version too: versions are hashes of
// contents, and equal texts cannot be told apart. Each text of the index is signed
// with the version that it replaces: here it is enough to count, since of two
// versions that follow one another one has the higher number.
type text struct {
	in, removed packages
	edition     uint8
}

type kind uint8

const (
	commit kind = iota
	reindex
	remove
	restore
)

type step uint8

const (
	start     step = iota // put the package
	readFirst             // commit: the derived object's version; reindex: the index
	readNext              // commit: the index; reindex: LIST
	putIndex
	lookAgain // unchanged after a LIST: is the index still the one that was read
	putDerived
	askDerived
	catchUp
	askLate // only a mutant does
	done
	dead
)

type job struct {
	kind    kind
	step    step
	own     packages
	begun   packages // stored before this attempt
	listed  packages
	index   text // the version that was read
	derived text // the version that will be replaced
	open    bool // a write of unknown end
}

type object uint8

const (
	nothing object = iota
	indexObject
	derivedObject
)

// write is a conditional PUT.
type write struct {
	to         object
	over, text text
}

type state struct {
	stored, acked  packages
	out            packages // removed, and no restore was at work then or has begun since
	index, derived text
	jobs           [3]job
	late           write // sent, and will land or not
	faults         uint8
}

// mutant is the protocol with one rule left out.
type mutant struct {
	indexBlind, derivedBlind, versionLate, listFirst, derivedLate bool
	noLook, swallow, noCatchUp, derivedSwallow, recordFirst       bool
	unsigned, idle                                                bool
}

type walk struct {
	mutant
	broken string
	from   state
	next   []state
}

func (w *walk) fail(s state, why string) {
	if w.broken == "" {
		w.broken = fmt.Sprintf("%s: %+v then %+v", why, w.from, s)
	}
}

func (w *walk) to(s state) {
	if s.index.in&^s.stored != 0 {
		w.fail(s, "S2: the index names what is not stored")
	}
	if s.index.in&s.out != 0 {
		w.fail(s, "S6: what was removed is in the index again")
	}
	if s.acked&^(s.index.in|s.index.removed) != 0 {
		w.fail(s, "S1: what was reported is not in the index")
	}
	if s.from(w.from) {
		w.fail(s, "S0: a version replaced one that it does not hold")
	}
	if s.quiet() && s.derived != s.index {
		w.fail(s, "derived: an older text stays")
	}
	w.next = append(w.next, s)
}

func (s state) from(was state) bool {
	return was.index.in&^(s.index.in|s.index.removed) != 0
}

func (s state) quiet() bool {
	for _, j := range s.jobs {
		if j.step != done {
			return false
		}
	}
	return s.late.to == nothing
}

// land applies a write where its condition holds, and tells whether its text
// is what is stored then.
func (w *walk) land(s state, p write) (state, bool) {
	at, blind := &s.index, w.indexBlind
	if p.to == derivedObject {
		at, blind = &s.derived, w.derivedBlind
	}
	if blind || *at == p.over {
		*at = p.text
		return s, true
	}
	return s, false
}

// text is what the job makes of what it read. A text that says the same is the
// same, but for a removal's or a restore's: of another that was lost a write may
// be under way, over the version that was read.
func (w *walk) text(j job) text {
	t := j.change()
	if t == j.index && (w.idle || j.kind == commit || j.kind == reindex) {
		return t
	}
	if !w.unsigned {
		t.edition++
	}
	return t
}

func (j job) change() text {
	t := j.index
	switch j.kind {
	case commit:
		t.in |= j.own &^ t.removed
	case reindex:
		t.in = j.listed &^ t.removed
	case remove:
		t.in, t.removed = t.in&^j.own, t.removed|j.own
	case restore:
		t.in, t.removed = t.in|j.own, t.removed&^j.own
	}
	return t
}

func (w *walk) write(s state, j job) write {
	if j.step == putIndex {
		p := write{indexObject, j.index, w.text(j)}
		if w.versionLate {
			p.over = s.index
		}
		return p
	}
	return write{derivedObject, j.derived, j.index}
}

// finish ends a job: it reports what it promised.
func (s state) finish(i int) state {
	j := s.jobs[i]
	if j.kind == commit {
		s.acked |= j.own
	}
	s.acked |= j.begun
	s.jobs[i] = job{kind: j.kind, step: done}
	return s
}

// removed notes that j's removal holds from now on, unless a restore is at work,
// which may come after all.
func (s *state) removed(j job) {
	for _, other := range s.jobs {
		if other.kind == restore && other.step != start && other.step != done && other.step != dead {
			return
		}
	}
	if j.kind == remove {
		s.out |= j.own
	}
}

func (w *walk) step(s state, i int) {
	w.from = s
	j := &s.jobs[i]
	switch j.step {
	case start:
		j.step = readFirst
		if j.kind == commit && !w.recordFirst {
			s.stored |= j.own
		}
		if j.kind == restore {
			s.out &^= j.own
		}
	case readFirst:
		w.first(&s, j)
	case readNext:
		w.second(&s, j)
	case putIndex, putDerived:
		w.put(s, i)
		return
	case lookAgain:
		j.step = putDerived
		if s.index != j.index {
			j.step = readFirst
		}
	case askDerived:
		j.step, j.derived = catchUp, s.derived
	case askLate:
		j.step, j.derived = putDerived, s.derived
	case catchUp:
		j.step = putDerived
		if !w.noCatchUp {
			j.index = s.index
		}
	case done, dead:
		return
	}
	w.to(s)
}

func (w *walk) first(s *state, j *job) {
	j.step, j.derived = readNext, s.derived
	if j.kind != reindex {
		return
	}
	j.begun = s.stored
	if w.listFirst {
		j.listed = s.stored
		return
	}
	j.index = s.index
}

func (w *walk) second(s *state, j *job) {
	j.step = putIndex
	if j.kind != reindex || w.listFirst {
		j.index = s.index
	} else {
		j.listed, j.derived = s.stored, s.derived
	}
	if w.text(*j) != j.index {
		return
	}
	j.step = putDerived
	s.removed(*j)
	if j.kind == reindex && !w.noLook && j.derived != j.index {
		j.step = lookAgain
	}
}

// put sends a write. It is answered, or its answer is lost, or it is on its
// way when the job tries again or dies.
func (w *walk) put(s state, i int) {
	p := w.write(s, s.jobs[i])
	if p.to == derivedObject && p.over == p.text { // it is current
		w.to(s.finish(i))
		return
	}
	after, ok := w.land(s, p)
	if ok && p.to == indexObject {
		after.removed(s.jobs[i])
	}
	w.to(w.answer(after, i, p, ok))
	if s.faults == 0 {
		return
	}
	after.faults, after.jobs[i].open = s.faults-1, true
	w.to(after)
	if s.late.to == nothing {
		late := s
		late.late, late.faults, late.jobs[i].open = p, s.faults-1, true
		w.to(late)
		late.jobs[i] = job{step: dead}
		w.to(late)
	}
}

func (w *walk) answer(s state, i int, p write, ok bool) state {
	j := &s.jobs[i]
	stored := s.index
	if p.to == derivedObject {
		stored = s.derived
	}
	ok = ok || j.open && stored == p.text // the first attempt landed
	j.open = false
	switch {
	case p.to == indexObject && (ok || w.swallow):
		j.index, j.step = p.text, putDerived
		if w.derivedLate {
			j.step = askLate
		}
		if w.recordFirst {
			s.stored |= j.own
		}
	case p.to == indexObject:
		j.step = readFirst
	case ok || w.derivedSwallow:
		return s.finish(i)
	default:
		j.step = askDerived
	}
	return s
}

// explore visits all states breadth first and returns how many there are and
// the first rule that was broken.
func explore(m mutant, first state) (int, string) {
	seen := map[state]bool{first: true}
	w := walk{mutant: m}
	for queue := []state{first}; len(queue) > 0 && w.broken == ""; queue = queue[1:] {
		s := queue[0]
		w.next = w.next[:0]
		for i := range s.jobs {
			w.step(s, i)
			w.crash(s, i)
		}
		w.from = s
		if s.late.to != nothing {
			landed, _ := w.land(s, s.late)
			landed.late = write{}
			w.to(landed)
		}
		for _, n := range w.next {
			if !seen[n] {
				seen[n] = true
				queue = append(queue, n)
			}
		}
	}
	return len(seen), w.broken
}

func (w *walk) crash(s state, i int) {
	w.from = s
	if step := s.jobs[i].step; s.faults > 0 && step != done && step != dead {
		s.faults--
		s.jobs[i] = job{step: dead}
		w.to(s)
	}
}

// full, an environment variable, asks for walks with more faults.
const full = "CONDAWORKER_TEST_MODEL"

// old is the package that is removed and restored.
const old packages = 1 << 7

func world(faults uint8, kinds ...kind) state {
	s := state{faults: faults}
	for i := range s.jobs {
		s.jobs[i].step = done
	}
	for i, k := range kinds {
		s.jobs[i] = job{kind: k, own: 1 << i}
		if k == remove || k == restore { // of one that was there before
			s.jobs[i].own = old
			s.stored, s.index.in, s.derived.in = old, old, old
		}
	}
	return s
}

func worlds() []state {
	n := uint8(3)
	switch {
	case os.Getenv(full) != "":
		n = 6
	case testing.Short():
		n = 2
	}
	return []state{world(n, commit, commit, reindex), world(n, commit, reindex, reindex), world(n, commit, reindex, remove), world(n, commit, commit, commit), world(n, remove, restore, remove), world(n, commit, remove, restore)}
}

func TestEveryOrderKeepsTheIndexRight(t *testing.T) {
	for _, first := range worlds() {
		n, broken := explore(mutant{}, first)
		if broken != "" {
			t.Error(broken)
		}
		t.Logf("%d states", n)
	}
}

func TestEachRuleIsNeeded(t *testing.T) {
	for name, m := range map[string]mutant{
		"the index is put without a condition":                {indexBlind: true},
		"a derived object is put without a condition":         {derivedBlind: true},
		"the index's version is asked for before its PUT":     {versionLate: true},
		"LIST comes before the index is read":                 {listFirst: true},
		"a derived object's version is read after the commit": {derivedLate: true},
		"an unchanged index is not looked at again":           {noLook: true},
		"a conflict at the index is taken for success":        {swallow: true},
		"a conflict at a derived object is ignored":           {derivedSwallow: true},
		"a conflict is answered with the older text":          {noCatchUp: true},
		"a record comes before its package":                   {recordFirst: true},
		"a text of the index comes twice":                     {unsigned: true},
		"a removal of what is removed writes nothing":         {idle: true},
	} {
		t.Run(name, func(t *testing.T) {
			for _, first := range worlds() {
				if _, broken := explore(m, first); broken != "" {
					return
				}
			}
			t.Error("no rule was broken")
		})
	}
}
