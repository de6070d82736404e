package solve

import (
	"maps"
	"slices"

	"github.com/condaworker/condaworker/conda"
)

// clash is a set of terms that cannot hold together: a fact that was read from
// a record or a request, or one that was learned from two others.
type clash struct {
	terms []term
	fact  *fact     // why, if it was read
	from  [2]*clash // why, if it was learned
}

// term says that a name is in one of the states of in.
type term struct {
	name *name
	in   set
}

// step is an entry of the trail: a name was narrowed to the states in only.
type step struct {
	name  *name
	only  set    // what this step says
	state set    // what is left of the name after it
	level int    // how many decisions were made before and with it
	cause *clash // nil for a decision
}

// solver searches by PubGrub: narrow all that follows (propagate), choose a
// candidate (decide), and at a contradiction learn the clash behind it and go
// back to where it bites (resolve).
type solver struct {
	*pool
	dead    *clash // a clash without terms: nothing fits
	about   map[*name][]*clash
	trail   []step
	history map[*name][]int // the steps of a name, as indices of the trail
	decided map[*name]bool
	level   int
	changed []*name
}

// request adds a spec that the caller wants.
func (s *solver) request(spec conda.MatchSpec) {
	s.reach(spec.Name).requested = true
	s.need(nil, &fact{kind: requested, spec: spec, text: spec.String()})
}

// search returns nil when every name that must be there has been decided, and
// the clash without terms that proves that nothing fits.
func (s *solver) search() *clash {
	for {
		if dead := s.propagate(); dead != nil {
			return dead
		}
		n := s.next()
		if n == nil {
			return nil
		}
		s.decide(n)
	}
}

// reach makes a name part of the search.
func (s *solver) reach(text string) *name {
	n := s.get(text)
	if !s.load(n) {
		return n
	}
	if n.virtual { // it is there, whether anything asks for it or not
		s.add(&clash{terms: []term{{n, single(len(n.candidates)+1, 0)}}, fact: &fact{kind: present, target: n}})
	}
	for _, w := range n.waiting {
		s.constrain(w, n)
	}
	for _, p := range s.pins[text] {
		wrong := n.all.minus(s.allowed(n, p.spec, p.spec.String())).minus(single(len(n.candidates)+1, 0))
		s.add(&clash{terms: []term{{n, wrong}}, fact: &fact{kind: pinned, spec: p.spec, text: p.spec.String(), at: p.at, target: n}})
	}
	return n
}

func (s *solver) add(c *clash) {
	if s.about == nil {
		s.about, s.history, s.decided = map[*name][]*clash{}, map[*name][]int{}, map[*name]bool{}
	}
	c.terms = slices.DeleteFunc(c.terms, func(t term) bool { return t.name.all.within(t.in) })
	for _, t := range c.terms {
		s.about[t.name] = append(s.about[t.name], c)
		s.changed = append(s.changed, t.name)
	}
	if len(c.terms) == 0 {
		s.dead = c
	}
}

func (s *solver) state(n *name) set {
	if h := s.history[n]; len(h) > 0 {
		return s.trail[h[len(h)-1]].state
	}
	return n.all
}

func (s *solver) narrow(n *name, only set, cause *clash) {
	s.history[n] = append(s.history[n], len(s.trail))
	s.trail = append(s.trail, step{n, only, s.stateBefore(n).and(only), s.level, cause})
	s.changed = append(s.changed, n)
}

// stateBefore is state while the newest step of n is being made.
func (s *solver) stateBefore(n *name) set {
	if h := s.history[n]; len(h) > 1 {
		return s.trail[h[len(h)-2]].state
	}
	return n.all
}

// propagate narrows names until nothing follows any more. It returns a clash
// without terms if there is no way left.
func (s *solver) propagate() *clash {
	for len(s.changed) > 0 && s.dead == nil {
		n := s.changed[len(s.changed)-1]
		s.changed = s.changed[:len(s.changed)-1]
		about := s.about[n]
		for _, a := range slices.Backward(about) {
			open, holds := s.examine(a)
			if open != nil {
				s.narrow(open.name, open.name.all.minus(open.in), a)
			}
			if !holds {
				continue
			}
			for _, t := range s.resolve(a).terms {
				s.changed = append(s.changed, t.name)
			}
			break
		}
	}
	return s.dead
}

// examine reports whether all terms of c hold, and the one term that is open
// when all others hold.
func (s *solver) examine(c *clash) (open *term, holds bool) {
	for i := range c.terms {
		state := s.state(c.terms[i].name)
		switch {
		case state.within(c.terms[i].in):
		case open != nil || state.apart(c.terms[i].in):
			return nil, false
		default:
			open = &c.terms[i]
		}
	}
	return open, open == nil
}

// resolve takes a clash whose terms all hold back to its roots, until going
// back some decisions leaves it with one open term.
func (s *solver) resolve(c *clash) *clash {
	learned := false
	for len(c.terms) > 0 {
		last, before := s.satisfier(c)
		at := s.trail[last]
		if at.cause == nil || before < at.level {
			s.back(before)
			if learned {
				s.add(c)
			}
			return c
		}
		c = merge(c, at.cause, at.name)
		learned = true
	}
	s.dead = c
	return c
}

// merge returns the clash that follows from two about the name n: whatever
// state n is in, the rest of one of them must fail.
func merge(a, b *clash, n *name) *clash {
	in := map[*name]set{}
	var order []*name
	for _, t := range slices.Concat(a.terms, b.terms) {
		old, twice := in[t.name]
		switch {
		case !twice:
			in[t.name] = t.in
			order = append(order, t.name)
		case t.name == n:
			in[n] = old.or(t.in)
		default:
			in[t.name] = old.and(t.in)
		}
	}
	out := &clash{from: [2]*clash{a, b}}
	for _, one := range order {
		if !one.all.within(in[one]) {
			out.terms = append(out.terms, term{one, in[one]})
		}
	}
	return out
}

// satisfier finds the step that made the last term of c hold, and the highest
// level among what else was needed.
func (s *solver) satisfier(c *clash) (last, before int) {
	var of term
	last = -1
	for _, t := range c.terms {
		if at := s.holdsSince(t, t.name.all); at > last {
			last, of = at, t
		}
	}
	for _, t := range c.terms {
		if at := s.holdsSince(t, t.name.all); at != last && at >= 0 {
			before = max(before, s.trail[at].level)
		}
	}
	// The last step may have needed earlier ones of its own name.
	if at := s.holdsSince(of, s.trail[last].only); at >= 0 {
		before = max(before, s.trail[at].level)
	}
	return last, before
}

// holdsSince returns the first step after which the name's state, cut down to
// within, makes the term hold: -1 if it does from the start.
func (s *solver) holdsSince(t term, within set) int {
	if within.within(t.in) {
		return -1
	}
	for _, i := range s.history[t.name] {
		if s.trail[i].state.and(within).within(t.in) {
			return i
		}
	}
	panic("solve: a term that holds has no step that made it hold")
}

// back undoes all steps above a level.
func (s *solver) back(level int) {
	for len(s.trail) > 0 && s.trail[len(s.trail)-1].level > level {
		at := s.trail[len(s.trail)-1]
		s.trail = s.trail[:len(s.trail)-1]
		h := s.history[at.name]
		s.history[at.name] = h[:len(h)-1]
		switch {
		case at.cause == nil:
			delete(s.decided, at.name)
		case len(at.cause.terms) == 1: // holds whatever was decided
			s.changed = append(s.changed, at.name)
		}
	}
	s.level = level
}

// next returns the name to decide of those that must be there: what was asked
// for, in that order, so that it gets the newest versions, and then the one
// with the fewest candidates left.
func (s *solver) next() *name {
	var best *name
	fewest := 0
	for _, n := range s.names {
		state := s.state(n)
		if s.decided[n] || state.has(0) {
			continue
		}
		if n.requested {
			return n
		}
		if left := state.count(); best == nil || left < fewest {
			best, fewest = n, left
		}
	}
	return best
}

func (s *solver) decide(n *name) {
	i := s.choose(n, s.state(n))
	s.level++
	s.decided[n] = true
	s.narrow(n, single(len(n.candidates)+1, i), nil)
	if !n.virtual {
		s.follow(n, i)
	}
}

// follow adds what the chosen candidate depends on and constrains, each entry
// at once for all candidates of the name that share it.
func (s *solver) follow(n *name, state int) {
	r := n.candidates[state-1].record
	for _, text := range r.Depends {
		if who := s.first(n, text, false); who != nil {
			s.depend(n, who, text)
		}
	}
	for _, text := range r.Constrains {
		who := s.first(n, text, true)
		spec, err := s.spec(text)
		if who == nil || err != nil || !spec.ExactName() { // what cannot be read constrains nothing
			continue
		}
		target := s.get(spec.Name)
		w := waiting{n, who, text}
		if _, virtual := s.virtual[spec.Name]; virtual {
			s.reach(spec.Name)
		}
		if target.all == nil {
			target.waiting = append(target.waiting, w)
		} else {
			s.constrain(w, target)
		}
	}
	for _, e := range n.extras {
		s.followExtra(n, e, r)
	}
}

// first returns who shares an entry, nil if it was added before.
func (s *solver) first(n *name, text string, constrains bool) set {
	who := n.sharing(text, constrains)
	if who[0]&1 != 0 { // bit 0, "not installed", marks entries that were added
		return nil
	}
	out := slices.Clone(who)
	who.add(0)
	return out
}

func (s *solver) depend(n *name, who set, text string) {
	spec, err := s.spec(text)
	if err != nil || !spec.ExactName() {
		s.add(&clash{terms: []term{{n, who}}, fact: &fact{kind: unreadable, owner: n, who: who, text: text}})
		return
	}
	s.need([]term{{n, who}}, &fact{kind: depends, owner: n, who: who, spec: spec, text: text})
}

func (s *solver) constrain(w waiting, target *name) {
	spec, _ := s.spec(w.spec) // read before
	wrong := target.all.minus(s.allowed(target, spec, w.spec)).minus(single(len(target.candidates)+1, 0))
	f := &fact{kind: constrains, owner: w.owner, who: w.who, spec: spec, text: w.spec, target: target}
	for _, met := range s.conditions(spec) {
		s.forbid(append([]term{{w.owner, w.who}, {target, wrong}}, met...), f)
	}
}

// tellDecisions tells Decided of the choices that stand.
func (s *solver) tellDecisions() {
	for _, at := range s.trail {
		if at.cause == nil && !at.name.virtual {
			for i := range at.only.members {
				s.problem.Decided(*at.name.candidates[i-1].record)
			}
		}
	}
}

// chosen returns the records that are installed, by name.
func (s *solver) chosen() map[string]*conda.Record {
	out := map[string]*conda.Record{}
	for n := range maps.Keys(s.decided) {
		if n.virtual {
			continue
		}
		for i := range s.state(n).members {
			out[n.text] = n.candidates[i-1].record
		}
	}
	return out
}
