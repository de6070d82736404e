package solve

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/condaworker/condaworker/conda"
)

// randomContradiction is what a search ends with that finds no way; nil if it finds one.
func randomContradiction(t *testing.T, r *rand.Rand) *clash {
	t.Helper()
	names := 3 + r.IntN(3)
	spec := func() string {
		operator := []string{">=", "<", "<=", "!=", "=="}[r.IntN(5)]
		return fmt.Sprintf("p%d %s%d", r.IntN(names), operator, 1+r.IntN(3))
	}
	records := map[string][]conda.Record{}
	for n := range names {
		for v := range 1 + r.IntN(3) {
			rec := conda.Record{Name: fmt.Sprintf("p%d", n), Version: fmt.Sprint(v + 1), Build: "0"}
			for range r.IntN(3) {
				rec.Depends = append(rec.Depends, spec())
			}
			for range r.IntN(2) {
				rec.Constrains = append(rec.Constrains, spec())
			}
			records[rec.Name] = append(records[rec.Name], rec)
		}
	}
	s := &solver{pool: newPool(Problem{Candidates: func(n string) []conda.Record { return records[n] }})}
	for range 1 + r.IntN(3) {
		m, err := conda.ParseMatchSpec(spec())
		if err != nil {
			t.Fatal(err)
		}
		s.request(m)
	}
	return s.search()
}

// bearable tries every choice of states.
func bearable(all []*clash) bool {
	var names []*name
	for _, c := range all {
		for _, term := range c.terms {
			if !slices.Contains(names, term.name) {
				names = append(names, term.name)
			}
		}
	}
	chosen := map[*name]int{}
	var try func(i int) bool
	try = func(i int) bool {
		if i == len(names) {
			return !slices.ContainsFunc(all, func(c *clash) bool {
				return !slices.ContainsFunc(c.terms, func(t term) bool { return !t.in.has(chosen[t.name]) })
			})
		}
		for chosen[names[i]] = 0; chosen[names[i]] <= len(names[i].candidates); chosen[names[i]]++ {
			if try(i + 1) {
				return true
			}
		}
		return false
	}
	return try(0)
}

// What is said of a request that cannot be met proves it, and no sentence of it can be
// left out.
func TestNoReasonCanBeLeftOut(t *testing.T) {
	proofs, shorter := 0, 0
	for seed := range uint64(3000) {
		dead := randomContradiction(t, rand.New(rand.NewPCG(seed, 9)))
		if dead == nil {
			continue
		}
		all := leaves(dead)
		few := smallest(all)
		proofs++
		if len(few) < len(all) {
			shorter++
		}
		if bearable(few) {
			t.Fatalf("seed %d: the reasons prove nothing", seed)
		}
		for i := range few {
			if !bearable(slices.Delete(slices.Clone(few), i, i+1)) {
				t.Errorf("seed %d: a reason can be left out", seed)
			}
		}
	}
	if proofs < 500 || shorter == 0 {
		t.Errorf("%d proofs, of which %d became shorter", proofs, shorter)
	}
}
