// Package solve chooses which records to install so that all match specs hold:
// one record for each name, newest first.
//
// It is pure: it asks its caller for records and decides. The search is
// complete (a choice is found wherever there is one) and learns from each dead
// end, in the way of PubGrub: read solver.go for the search, pool.go for what
// there is to choose from, explain.go for what is said when nothing fits.
package solve

import (
	"fmt"

	"github.com/condaworker/condaworker/conda"
)

// Problem says what is wanted and what there is.
type Problem struct {
	Specs []conda.MatchSpec // all must hold; each for one name, e.g. python >=3.11

	// Candidates returns the records of a name, in any order. It is asked once
	// for each name that the search reaches. The caller applies channel
	// priority: these are the records of the first channel that has the name.
	Candidates func(name string) []conda.Record

	// Virtual is what the system offers, e.g. __glibc 2.34. Specs can ask for
	// it and constrain it; it is never returned.
	Virtual []conda.Record

	// Names returns the names that exist, for suggestions in an error. It may
	// be nil.
	Names func() []string
}

// Solve returns the records to install, each behind what it depends on, as far
// as dependencies have no circle. For every name the best record is tried
// first: the one with the fewest track_features, then the newest version, the
// highest build number, the newest dependencies and the newest timestamp.
// The same problem has the same answer. If nothing fits, the error is an
// *UnsolvableError.
func Solve(p Problem) ([]conda.Record, error) {
	s := &solver{pool: newPool(p)}
	for _, spec := range p.Specs {
		if !spec.ExactName() {
			return nil, fmt.Errorf("solve %s: name one package, not a pattern", spec)
		}
		s.request(spec)
	}
	if clash := s.search(); clash != nil {
		return nil, s.explain(clash)
	}
	return s.ordered(), nil
}
