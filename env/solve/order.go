package solve

import (
	"maps"
	"slices"

	"github.com/condaworker/condaworker/conda"
)

// ordered returns the chosen records, dependencies first, names in
// alphabetical order where that leaves a choice.
func (s *solver) ordered() []conda.Record {
	o := orderer{solver: s, chosen: s.chosen(), seen: map[string]bool{}}
	for _, text := range slices.Sorted(maps.Keys(o.chosen)) {
		o.visit(text)
	}
	return o.out
}

type orderer struct {
	*solver
	chosen map[string]*conda.Record
	seen   map[string]bool
	out    []conda.Record
}

func (o *orderer) visit(text string) {
	r := o.chosen[text]
	if r == nil || o.seen[text] {
		return
	}
	o.seen[text] = true
	var needs []string
	for _, d := range r.Depends {
		spec, err := o.spec(d)
		if err != nil {
			continue
		}
		// Python asks for pip, and pip needs a Python to be installed with.
		if need := o.chosen[spec.Name]; need != nil && (text != "python" || need.Noarch != "python") {
			needs = append(needs, spec.Name)
		}
	}
	slices.Sort(needs)
	for _, need := range needs {
		o.visit(need)
	}
	o.out = append(o.out, *r)
}
