package solve

import (
	"slices"

	"github.com/condaworker/condaworker/conda"
)

// extra is a group of further dependencies of a name, wanted where all of given holds.
type extra struct {
	group string
	given []term
	added map[string]bool // what the group depends on, as far as it was added
}

// need adds that f.spec has to hold where all of given does and its condition is met,
// and the groups of dependencies that it asks for with it.
func (s *solver) need(given []term, f *fact) {
	f.target = s.reach(f.spec.Name)
	wrong := f.target.all.minus(s.allowed(f.target, f.spec, f.text))
	for _, met := range s.conditions(f.spec) {
		all := joined(slices.Concat(given, met))
		s.forbid(append(slices.Clip(all), term{f.target, wrong}), f)
		for _, group := range f.spec.Extras() {
			s.extend(f.target, &extra{group: group, given: all, added: map[string]bool{}})
		}
	}
}

// conditions are the alternatives of a spec's condition, as far as anything can meet
// them; a spec without a condition has one that asks for nothing.
func (s *solver) conditions(spec conda.MatchSpec) [][]term {
	alternatives := spec.When()
	if alternatives == nil {
		return [][]term{nil}
	}
	var all [][]term
	for _, specs := range alternatives {
		var terms []term
		for _, m := range specs {
			n := s.reach(m.Name)
			terms = append(terms, term{n, s.allowed(n, m, m.String())})
		}
		if !slices.ContainsFunc(terms, never) {
			all = append(all, terms)
		}
	}
	return all
}

// never reports whether a term cannot hold.
func never(t term) bool { return t.in.count() == 0 }

// joined are terms of which those of one name have become one.
func joined(terms []term) []term {
	var all []term
	for _, t := range terms {
		if i := slices.IndexFunc(all, func(o term) bool { return o.name == t.name }); i >= 0 {
			all[i].in = all[i].in.and(t.in)
		} else {
			all = append(all, t)
		}
	}
	return all
}

// forbid adds a fact as a clash, unless its terms never hold together.
func (s *solver) forbid(terms []term, f *fact) {
	if terms = joined(terms); !slices.ContainsFunc(terms, never) {
		s.add(&clash{terms: terms, fact: f})
	}
}

// extend notes that a group of n's further dependencies is asked for, unless it is
// already where less is given: groups may ask for one another.
func (s *solver) extend(n *name, e *extra) {
	if slices.ContainsFunc(n.extras, func(o *extra) bool { return o.group == e.group && follows(o.given, e.given) }) {
		return
	}
	n.extras = append(n.extras, e)
	if s.decided[n] {
		for i := range s.state(n).members {
			s.followExtra(n, e, n.candidates[i-1].record)
		}
	}
}

// follows reports whether all of terms holds wherever all of given does.
func follows(terms, given []term) bool {
	return !slices.ContainsFunc(terms, func(t term) bool {
		return !slices.ContainsFunc(given, func(g term) bool { return g.name == t.name && g.in.within(t.in) })
	})
}

// followExtra adds what a group of the chosen candidate depends on, each entry at once
// for all candidates that share it.
func (s *solver) followExtra(n *name, e *extra, r *conda.Record) {
	for _, text := range r.ExtraDepends[e.group] {
		if e.added[text] {
			continue
		}
		e.added[text] = true
		who := newSet(len(n.candidates) + 1)
		for i, c := range n.candidates {
			if slices.Contains(c.record.ExtraDepends[e.group], text) {
				who.add(i + 1)
			}
		}
		given := append(slices.Clip(e.given), term{n, who})
		f := &fact{kind: depends, owner: n, who: who, text: text, extra: e.group}
		spec, err := s.spec(text)
		if err != nil || !spec.ExactName() {
			f.kind = unreadable
			s.forbid(given, f)
			continue
		}
		f.spec = spec
		s.need(given, f)
	}
}
