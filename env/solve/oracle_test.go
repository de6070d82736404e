package solve_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/condaworker/condaworker/conda"
	"github.com/condaworker/condaworker/env/solve"
)

// instance is a small random problem.
type instance struct {
	records []conda.Record
	specs   []conda.MatchSpec
	virtual []conda.Record

	pinned            []conda.MatchSpec
	locked, installed []conda.Record // some of records
}

var operators = []string{"", " >=%d", " <%d", " <=%d", " !=%d", " %d.*", " %d|4"}

func randomSpec(r *rand.Rand, names int) string {
	op := operators[r.IntN(len(operators))]
	spec := fmt.Sprintf("p%d", r.IntN(names))
	if r.IntN(20) == 0 {
		spec = "__v"
	}
	if op != "" {
		spec += fmt.Sprintf(op, 1+r.IntN(4))
	}
	return spec
}

func randomInstance(t testing.TB, r *rand.Rand) instance {
	var in instance
	names := 2 + r.IntN(4)
	for n := range names {
		for v := range 1 + r.IntN(4) - r.IntN(10)/9 {
			rec := conda.Record{Name: fmt.Sprintf("p%d", n), Version: fmt.Sprint(v + 1), Build: "0"}
			for range r.IntN(3) {
				rec.Depends = append(rec.Depends, randomSpec(r, names))
			}
			for range r.IntN(2) {
				rec.Constrains = append(rec.Constrains, randomSpec(r, names))
			}
			in.records = append(in.records, rec)
		}
	}
	for range 1 + r.IntN(3) {
		in.specs = append(in.specs, specs(t, randomSpec(r, names))...)
	}
	if r.IntN(2) == 0 {
		in.virtual = []conda.Record{{Name: "__v", Version: "2", Build: "0"}}
	}
	if r.IntN(3) == 0 {
		in.pinned = specs(t, randomSpec(r, names))
	}
	if len(in.records) > 0 && r.IntN(4) == 0 {
		in.locked = []conda.Record{in.records[r.IntN(len(in.records))]}
	}
	if len(in.records) > 0 && r.IntN(4) == 0 {
		in.installed = []conda.Record{in.records[r.IntN(len(in.records))]}
	}
	return in
}

// holds checks a choice against every rule, one record for each name given.
func (in instance) holds(t testing.TB, chosen map[string]*conda.Record) bool {
	for i := range in.virtual {
		chosen[in.virtual[i].Name] = &in.virtual[i]
	}
	for _, s := range in.specs {
		if r := chosen[s.Name]; r == nil || !s.Match(r) {
			return false
		}
	}
	for _, s := range in.pinned {
		if r := chosen[s.Name]; r != nil && !s.Match(r) {
			return false
		}
	}
	for _, l := range in.locked {
		if r := chosen[l.Name]; r != nil && r.Version != l.Version {
			return false
		}
	}
	for _, r := range chosen {
		for _, s := range specs(t, r.Depends...) {
			if d := chosen[s.Name]; d == nil || !s.Match(d) {
				return false
			}
		}
		for _, s := range specs(t, r.Constrains...) {
			if d := chosen[s.Name]; d != nil && !s.Match(d) {
				return false
			}
		}
	}
	return true
}

// solvable tries every choice there is.
func (in instance) solvable(t testing.TB) bool {
	byName := map[string][]*conda.Record{}
	var names []string
	for i := range in.records {
		r := &in.records[i]
		if byName[r.Name] == nil {
			names = append(names, r.Name)
		}
		byName[r.Name] = append(byName[r.Name], r)
	}
	var try func(i int, chosen map[string]*conda.Record) bool
	try = func(i int, chosen map[string]*conda.Record) bool {
		if i == len(names) {
			return in.holds(t, chosen)
		}
		for _, r := range append([]*conda.Record{nil}, byName[names[i]]...) {
			if delete(chosen, names[i]); r != nil {
				chosen[names[i]] = r
			}
			if try(i+1, chosen) {
				return true
			}
		}
		return false
	}
	return try(0, map[string]*conda.Record{})
}

func (in instance) check(t testing.TB) (solved bool) {
	t.Helper()
	p := solve.Problem{
		Specs: in.specs, Candidates: lookup(in.records), Virtual: in.virtual,
		Pinned: in.pinned, Locked: in.locked, Installed: in.installed,
	}
	got, err := solve.Solve(p)
	var unsolvable *solve.UnsolvableError
	if err != nil && !errors.As(err, &unsolvable) {
		t.Fatal(err)
	}
	if want := in.solvable(t); want != (err == nil) {
		t.Fatalf("solvable: %v, but Solve said %v\n%v\n%+v", want, err, in.specs, in.records)
	}
	again, _ := solve.Solve(p)
	if diff := cmp.Diff(dists(got), dists(again)); diff != "" {
		t.Fatalf("the second time it chose otherwise (-first +second):\n%s", diff)
	}
	if err != nil {
		if len(unsolvable.Reasons) == 0 {
			t.Fatal("there is no reason")
		}
		return false
	}
	chosen := map[string]*conda.Record{}
	for i := range got {
		if chosen[got[i].Name] != nil {
			t.Fatalf("%s is chosen twice", got[i].Name)
		}
		chosen[got[i].Name] = &got[i]
	}
	if !in.holds(t, chosen) {
		t.Fatalf("the choice %v breaks a rule\n%v\n%+v", dists(got), in.specs, in.records)
	}
	return true
}

func TestAgainstEveryChoice(t *testing.T) {
	solved, unsolved := 0, 0
	for seed := range uint64(4000) {
		if randomInstance(t, rand.New(rand.NewPCG(seed, 1))).check(t) {
			solved++
		} else {
			unsolved++
		}
	}
	if solved < 1000 || unsolved < 1000 {
		t.Errorf("%d could be solved and %d not: both kinds must be common", solved, unsolved)
	}
}
