package solve_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

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

// randomNewSpec is a spec with what repodata's version 3 adds.
func randomNewSpec(r *rand.Rand, names int) string {
	spec := randomSpec(r, names)
	for _, more := range []string{
		fmt.Sprintf("flags=[%c*]", 'a'+r.IntN(3)), "extras=[" + groups[r.IntN(2)] + "]",
		fmt.Sprintf("when='%s and (%s or %s)'", randomSpec(r, names), randomSpec(r, names), randomSpec(r, names)),
		fmt.Sprintf("when='%s'", randomSpec(r, names)),
	} {
		if r.IntN(3) == 0 {
			spec += "[" + more + "]"
			break
		}
	}
	return spec
}

var groups = []string{"gui", "test"}

// renew makes records and requests such that version 3 alone can have.
func (in *instance) renew(t testing.TB, r *rand.Rand) {
	names := 1
	for _, rec := range in.records {
		names = max(names, 1+int(rec.Name[1]-'0'))
	}
	for i := range in.records {
		rec := &in.records[i]
		rec.Flags = []string{string(rune('a' + r.IntN(3))), "z"}
		for _, list := range [][]string{rec.Depends, rec.Constrains} {
			for i := range list {
				list[i] = randomNewSpec(r, names)
			}
		}
		if r.IntN(2) == 0 {
			rec.ExtraDepends = map[string][]string{groups[r.IntN(2)]: {randomNewSpec(r, names), randomNewSpec(r, names)}}
		}
	}
	for i := range in.specs {
		in.specs[i] = specs(t, randomNewSpec(r, names))[0]
	}
	for _, given := range [][]conda.Record{in.locked, in.installed} {
		for i, old := range given {
			given[i] = in.records[slices.IndexFunc(in.records, func(o conda.Record) bool { return o.Name == old.Name && o.Version == old.Version })]
		}
	}
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
		if !needed(t, s, chosen, map[string]bool{}) {
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
			if !needed(t, s, chosen, map[string]bool{}) {
				return false
			}
		}
		for _, s := range specs(t, r.Constrains...) {
			if d := chosen[s.Name]; d != nil && counts(s, chosen) && !s.Match(d) {
				return false
			}
		}
	}
	return true
}

// counts evaluates a spec's condition.
func counts(s conda.MatchSpec, chosen map[string]*conda.Record) bool {
	missing := func(m conda.MatchSpec) bool { return chosen[m.Name] == nil || !m.Match(chosen[m.Name]) }
	return s.When() == nil || slices.ContainsFunc(s.When(), func(all []conda.MatchSpec) bool { return !slices.ContainsFunc(all, missing) })
}

// needed checks a dependency and the groups that it asks for; seen are those that were.
func needed(t testing.TB, s conda.MatchSpec, chosen map[string]*conda.Record, seen map[string]bool) bool {
	if !counts(s, chosen) {
		return true
	}
	d := chosen[s.Name]
	if d == nil || !s.Match(d) {
		return false
	}
	for _, group := range s.Extras() {
		if seen[s.Name+group] {
			continue
		}
		seen[s.Name+group] = true
		for _, more := range specs(t, d.ExtraDepends[group]...) {
			if !needed(t, more, chosen, seen) {
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
	in.decides(t, p)
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

// seeds are an eighth as many under -short.
func seeds(n int) int {
	if testing.Short() {
		return n / 8
	}
	return n
}

// decides checks that the records of a solution are told as they were chosen, and
// that no choice at all holds in which the first of them is a newer one.
func (in instance) decides(t testing.TB, p solve.Problem) {
	t.Helper()
	var told []conda.Record
	p.Decided = func(r conda.Record) { told = append(told, r) }
	got, _ := solve.Solve(p)
	sorted := cmpopts.SortSlices(strings.Compare)
	if diff := cmp.Diff(dists(got), dists(told), sorted, cmpopts.EquateEmpty()); diff != "" {
		t.Fatalf("(-chosen +told):\n%s", diff)
	}
	if len(told) == 0 || len(in.locked)+len(in.installed) > 0 {
		return
	}
	first := told[0]
	newer := func(r conda.Record) bool { return r.Name == first.Name && r.Version > first.Version } // of one digit
	for _, r := range slices.DeleteFunc(slices.Clone(in.records), func(r conda.Record) bool { return !newer(r) }) {
		other := in
		other.records = append(slices.DeleteFunc(slices.Clone(in.records), func(o conda.Record) bool { return o.Name == r.Name }), r)
		if other.solvable(t) {
			t.Fatalf("%s is possible, and %s was chosen first\n%v\n%+v", r.Version, first.Version, in.specs, in.records)
		}
	}
}

func TestAgainstEveryChoice(t *testing.T) {
	solved, unsolved := 0, 0
	for seed := range seeds(4000) {
		if randomInstance(t, rand.New(rand.NewPCG(uint64(seed), 1))).check(t) {
			solved++
		} else {
			unsolved++
		}
	}
	if least := seeds(1000); solved < least || unsolved < least {
		t.Errorf("%d could be solved and %d not: both kinds must be common", solved, unsolved)
	}
}

// The same with conditions, groups and flags.
func TestVersion3AgainstEveryChoice(t *testing.T) {
	solved, unsolved := 0, 0
	for seed := range seeds(4000) {
		r := rand.New(rand.NewPCG(uint64(seed), 3))
		in := randomInstance(t, r)
		in.renew(t, r)
		if in.check(t) {
			solved++
		} else {
			unsolved++
		}
	}
	if solved < seeds(500) || unsolved < seeds(1000) {
		t.Errorf("%d could be solved and %d not: both kinds must be common", solved, unsolved)
	}
}
