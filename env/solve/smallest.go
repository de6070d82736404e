package solve

import "slices"

// maxReasons bounds the work that is spent on a shorter explanation.
const maxReasons = 300

// smallest leaves out of a contradiction what it does not need, one fact after the
// other: the search comes to it by detours at times. Without any one of those that are
// left there would be a way.
func smallest(all []*clash) []*clash {
	if len(all) > maxReasons {
		return all
	}
	for i := range slices.Backward(all) {
		if without := slices.Delete(slices.Clone(all), i, i+1); contradict(without) {
			all = without
		}
	}
	return all
}

// contradict reports whether no choice of states bears all of these clashes.
func contradict(all []*clash) bool {
	s := &solver{pool: &pool{}}
	for _, c := range all {
		for _, t := range c.terms {
			if s.about[t.name] == nil {
				s.names = append(s.names, t.name)
			}
		}
		s.add(&clash{terms: slices.Clone(c.terms), fact: c.fact})
	}
	for s.propagate() == nil {
		i := slices.IndexFunc(s.names, func(n *name) bool { return !s.decided[n] })
		if i < 0 {
			return false
		}
		s.try(s.names[i])
	}
	return true
}

// try decides for the first of the states that are left to a name.
func (s *solver) try(n *name) {
	for i := range s.state(n).members {
		s.level++
		s.decided[n] = true
		s.narrow(n, single(len(n.candidates)+1, i), nil)
		return
	}
}
