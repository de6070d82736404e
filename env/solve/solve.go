// Package solve chooses which records to install so that all match specs hold:
// one record for each name, newest first.
//
// It is pure: it asks its caller for records and decides. The search is
// complete (a choice is found wherever there is one) and learns from each dead
// end, in the way of PubGrub: read solver.go for the search, pool.go for what
// there is to choose from, needs.go for conditions and groups of dependencies, explain.go
// for what is said when nothing fits.
package solve

import (
	"fmt"
	"strings"

	"github.com/condaworker/condaworker/conda"
)

// Problem says what is wanted and what there is.
type Problem struct {
	Specs []conda.MatchSpec // all must hold; each for one name, e.g. python >=3.11

	// Candidates returns the records of a name, in any order. It is asked once
	// for each name that the search reaches. The caller leaves out what channel
	// priority excludes.
	Candidates func(name string) []conda.Record

	// Prefer compares records of one name before all else: negative if a is the
	// better one. It may be nil.
	Prefer func(a, b *conda.Record) int

	// Virtual is what the system offers, e.g. __glibc 2.34. Specs can ask for
	// it and constrain it; it is never returned.
	Virtual []conda.Record

	// Pinned bind a name where anything draws it in, and ask for nothing: conda's
	// pinned packages, the variant of a build.
	Pinned []conda.MatchSpec

	// Locked records are the only ones of their names.
	Locked []conda.Record

	// Installed records are better than newer ones of their names, wherever the
	// specs allow them, even when no channel has them any more. They are not kept
	// for their own sake: what nothing asks for is not in the answer.
	Installed []conda.Record

	// For the words of an error; each may be nil. Names returns the names that
	// exist, Hidden the records of a name that the caller left out, Channels are
	// where Candidates come from, PinnedAt is where each of Pinned is written.
	Names    func() []string
	Hidden   func(name string) []Hidden
	Channels []string
	PinnedAt []string

	// Decided is told of the records of a solution in the order in which they were
	// chosen, see Solve; it may be nil.
	Decided func(conda.Record)
}

// Hidden are records that are no candidates.
type Hidden struct {
	Why     string // begins a sentence that ends with them, e.g. channel priority hides
	Records []conda.Record
}

// Solve returns the records to install, each behind what it depends on, as far
// as dependencies have no circle. For every name the best record is tried
// first: an installed one, the one with the fewest track_features, then the newest version, the
// highest build number, the newest dependencies, the newest timestamp and, where
// nothing of that differs, the last build string.
// The same problem has the same answer. If nothing fits, the error is an
// *UnsolvableError.
func Solve(p Problem) ([]conda.Record, error) {
	s := &solver{pool: newPool(p)}
	for _, spec := range p.Specs {
		if !spec.ExactName() {
			return nil, fmt.Errorf("solve %s: name one package, not a pattern", spec)
		}
	}
	for i, spec := range p.Pinned {
		if !spec.ExactName() {
			return nil, fmt.Errorf("solve with the pin %s: name one package, not a pattern", spec)
		}
		at := ""
		if i < len(p.PinnedAt) {
			at = p.PinnedAt[i]
		}
		s.pins[spec.Name] = append(s.pins[spec.Name], pin{spec, at})
	}
	for _, v := range p.Virtual {
		if _, err := conda.ParseVersion(v.Version); err != nil {
			return nil, fmt.Errorf("solve for a system with %s %q: %w: correct CONDA_OVERRIDE_%s", v.Name, v.Version, err, strings.ToUpper(strings.TrimLeft(v.Name, "_")))
		}
	}
	for _, v := range p.Virtual { // is there, whether anything draws it in or not
		if s.pins[v.Name] != nil {
			s.reach(v.Name)
		}
	}
	for _, spec := range p.Specs {
		s.request(spec)
	}
	if clash := s.search(); clash != nil {
		return nil, s.explain(clash)
	}
	if p.Decided != nil {
		s.tellDecisions()
	}
	return s.ordered(), nil
}
