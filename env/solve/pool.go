package solve

import (
	"cmp"
	"slices"
	"strings"

	"github.com/condaworker/condaworker/conda"
)

// pool holds the names that the search has reached and their candidates.
type pool struct {
	problem Problem
	virtual map[string][]conda.Record
	locked  map[string][]conda.Record
	pins    map[string][]pin
	names   []*name          // in the order in which they were reached
	byName  map[string]*name // the same
	specs   map[string]conda.MatchSpec
	broken  map[string]error // specs that cannot be read
	fits    map[string]set   // spec to the states that it allows
}

// pin is a spec that binds a name, and where it is written.
type pin struct {
	spec conda.MatchSpec
	at   string
}

// name is a package name with all that could be installed under it.
type name struct {
	text       string
	virtual    bool
	locked     bool
	requested  bool
	candidates []*candidate // best first; candidate i is bit i+1 of a set
	all        set          // every state
	waiting    []waiting    // constrains to add if the name is ever reached
	dependents map[string]set
	extras     []*extra // that were asked for
}

// candidate is a record that could be installed.
type candidate struct {
	record    *conda.Record
	version   conda.Version
	installed bool
}

// waiting is a constrains entry of the records in who, on a name that nothing
// has asked for yet.
type waiting struct {
	owner *name
	who   set
	spec  string
}

func newPool(p Problem) *pool {
	out := &pool{
		problem: p, virtual: byName(p.Virtual), locked: byName(p.Locked), pins: map[string][]pin{}, byName: map[string]*name{},
		specs: map[string]conda.MatchSpec{}, broken: map[string]error{}, fits: map[string]set{},
	}
	return out
}

func byName(records []conda.Record) map[string][]conda.Record {
	out := map[string][]conda.Record{}
	for _, r := range records {
		out[r.Name] = append(out[r.Name], r)
	}
	return out
}

// get returns the name, reached or not. load fills it.
func (p *pool) get(text string) *name {
	n := p.byName[text]
	if n == nil {
		n = &name{text: text}
		p.byName[text] = n
	}
	return n
}

// load reads a name's candidates and reports whether this was the first time.
// Records whose version cannot be read cannot be ordered and are left out.
func (p *pool) load(n *name) bool {
	if n.all != nil {
		return false
	}
	records := p.records(n)
	for i := range records {
		v, err := conda.ParseVersion(records[i].Version)
		if err == nil && records[i].Name == n.text {
			n.candidates = append(n.candidates, &candidate{&records[i], v, p.isInstalled(&records[i])})
		}
	}
	slices.SortStableFunc(n.candidates, p.better)
	n.all = full(len(n.candidates))
	p.names = append(p.names, n)
	return true
}

// records are what could be installed under a name.
func (p *pool) records(n *name) []conda.Record {
	var records []conda.Record
	if records, n.virtual = p.virtual[n.text]; n.virtual {
		return records
	}
	if records, n.locked = p.locked[n.text]; n.locked {
		return records
	}
	records = p.problem.Candidates(n.text)
	for _, r := range p.problem.Installed {
		if r.Name == n.text && !slices.ContainsFunc(records, func(o conda.Record) bool { return same(&r, &o) }) {
			records = append(slices.Clip(records), r)
		}
	}
	return records
}

func (p *pool) isInstalled(r *conda.Record) bool {
	return slices.ContainsFunc(p.problem.Installed, func(o conda.Record) bool { return same(r, &o) })
}

// same tells whether two records are of one package, which channels may copy.
func same(a, b *conda.Record) bool {
	return a.Name == b.Name && a.Version == b.Version && a.Build == b.Build && a.Subdir == b.Subdir &&
		(a.SHA256 == b.SHA256 || a.SHA256 == "" || b.SHA256 == "")
}

// better orders candidates, best first; what it leaves equal is decided by
// their dependencies when it matters (choose).
func (p *pool) better(a, b *candidate) int {
	return cmp.Or(p.rank(a, b),
		cmp.Compare(b.record.Timestamp, a.record.Timestamp),
		cmp.Compare(b.record.Build, a.record.Build),
		cmp.Compare(a.record.Subdir, b.record.Subdir),
		cmp.Compare(a.record.FileName, b.record.FileName))
}

func (p *pool) rank(a, b *candidate) int {
	if a.installed != b.installed {
		return map[bool]int{true: -1, false: 1}[a.installed]
	}
	if p.problem.Prefer != nil {
		if c := p.problem.Prefer(a.record, b.record); c != 0 {
			return c
		}
	}
	return cmp.Or(
		cmp.Compare(len(a.record.TrackFeatures), len(b.record.TrackFeatures)),
		b.version.Compare(a.version),
		cmp.Compare(b.record.BuildNumber, a.record.BuildNumber))
}

// spec reads a dependency once.
func (p *pool) spec(text string) (conda.MatchSpec, error) {
	if m, ok := p.specs[text]; ok {
		return m, p.broken[text]
	}
	m, err := conda.ParseMatchSpec(text)
	p.specs[text], p.broken[text] = m, err
	return m, err
}

// allowed returns the candidates that fit the spec, without "not installed".
func (p *pool) allowed(n *name, spec conda.MatchSpec, text string) set {
	key := n.text + "\x00" + text
	if s, ok := p.fits[key]; ok {
		return s
	}
	s := newSet(len(n.candidates) + 1)
	for i, c := range n.candidates {
		if spec.MatchVersion(c.record, c.version) {
			s.add(i + 1)
		}
	}
	p.fits[key] = s
	return s
}

// sharing returns which candidates of n have the entry text among their
// depends or constrains: what is learned of one of them holds for all.
func (n *name) sharing(text string, constrains bool) set {
	if n.dependents == nil {
		n.dependents = map[string]set{}
		for i, c := range n.candidates {
			for _, d := range c.record.Depends {
				n.note("d"+d, i+1)
			}
			for _, d := range c.record.Constrains {
				n.note("c"+d, i+1)
			}
		}
	}
	if constrains {
		return n.dependents["c"+text]
	}
	return n.dependents["d"+text]
}

func (n *name) note(key string, state int) {
	if n.dependents[key] == nil {
		n.dependents[key] = newSet(len(n.candidates) + 1)
	}
	n.dependents[key].add(state)
}

// choose returns the best of the states that are left. Among builds that rank
// alike the one with the newest dependencies wins, so that a package with a
// build for each Python takes the newest Python.
func (s *solver) choose(n *name, left set) int {
	best := 0
	for i := range left.members {
		switch {
		case i == 0:
		case best == 0:
			best = i
		case s.rank(n.candidates[best-1], n.candidates[i-1]) != 0:
			return best
		case s.newerDependencies(n.candidates[i-1].record, n.candidates[best-1].record):
			best = i
		}
	}
	return best
}

// newerDependencies compares what a and b would draw in, name by name in
// alphabetical order, by the best candidates that are left of each name.
func (s *solver) newerDependencies(a, b *conda.Record) bool {
	mine, other := s.draws(a), s.draws(b)
	for _, text := range slices.Sorted(keys(mine)) {
		x, y := mine[text], other[text]
		if y == nil || x.best == y.best {
			continue
		}
		if x.best == nil || y.best == nil {
			return y.best == nil
		}
		if c := x.best.version.Compare(y.best.version); c != 0 {
			return c > 0
		}
	}
	return false
}

// draw is the best candidate of a dependency, nil if none is left.
type draw struct{ best *candidate }

func (s *solver) draws(r *conda.Record) map[string]*draw {
	out := map[string]*draw{}
	for _, text := range r.Depends {
		spec, err := s.spec(text)
		if err != nil || !spec.ExactName() || strings.HasPrefix(spec.Name, "__") || spec.When() != nil {
			continue
		}
		n := s.reach(spec.Name)
		d := &draw{}
		for i := range s.state(n).and(s.allowed(n, spec, text)).members {
			d.best = n.candidates[i-1]
			break
		}
		if old := out[spec.Name]; old == nil || d.best == nil {
			out[spec.Name] = d
		}
	}
	return out
}

func keys[V any](m map[string]V) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}
