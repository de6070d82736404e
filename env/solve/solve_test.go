package solve_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/condaworker/condaworker/conda"
	"github.com/condaworker/condaworker/env/solve"
)

// channel is a list of records as text, one a line:
//
//	name version build: dependency, dependency; constrains
//
// A comma inside a spec is written as "&". The build number is what stands
// behind the build's last "_".
func channel(t testing.TB, text string) []conda.Record {
	t.Helper()
	var all []conda.Record
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		head, tail, _ := strings.Cut(line, ":")
		f := strings.Fields(head)
		if len(f) != 3 {
			t.Fatalf("%q is no record", line)
		}
		r := conda.Record{Name: f[0], Version: f[1], Build: f[2], Timestamp: int64(len(all)), Subdir: "linux-64"}
		if _, n, ok := strings.Cut(r.Build, "_"); ok {
			if _, err := fmt.Sscan(n, &r.BuildNumber); err != nil {
				t.Fatal(err)
			}
		}
		depends, constrains, _ := strings.Cut(tail, ";")
		r.Depends, r.Constrains = list(depends), list(constrains)
		r.FileName = strings.Join(f, "-") + ".conda"
		all = append(all, r)
	}
	return all
}

func list(s string) []string {
	var out []string
	for one := range strings.SplitSeq(s, ",") {
		if one = strings.TrimSpace(strings.ReplaceAll(one, "&", ",")); one != "" {
			out = append(out, one)
		}
	}
	return out
}

func specs(t testing.TB, texts ...string) []conda.MatchSpec {
	t.Helper()
	out := make([]conda.MatchSpec, len(texts))
	for i, text := range texts {
		m, err := conda.ParseMatchSpec(text)
		if err != nil {
			t.Fatal(err)
		}
		out[i] = m
	}
	return out
}

func lookup(records []conda.Record) func(string) []conda.Record {
	return func(name string) []conda.Record {
		var out []conda.Record
		for _, r := range records {
			if r.Name == name {
				out = append(out, r)
			}
		}
		return out
	}
}

func dists(records []conda.Record) []string {
	var out []string
	for _, r := range records {
		out = append(out, r.Name+"-"+r.Version+"-"+r.Build)
	}
	return out
}

const tools = `
	python 3.10.1 0_0: openssl >=1&<2
	python 3.11.2 0_0: openssl >=3
	python 3.12.0 0_0: openssl >=3, pip
	pip 24.0 py_0: python >=3.8
	openssl 1.1.1w 0_0:
	openssl 3.0.0 0_0:
	openssl 3.1.0 0_0:
	numpy 1.26.0 py312_0: python 3.12.*
	numpy 1.26.0 py310_0: python 3.10.*
	numpy 1.26.0 py311_0: python 3.11.*
	numpy 1.25.0 py310_0: python 3.10.*
	old 1.0 0_0: openssl <3
	scipy 1.0 0_0: numpy ; python <3.12
	lonely 1.0 0_0: ; ghost >=2
	gpu 1.0 0_0: __cuda >=12
	glib 2.0 0_0: __glibc >=2.17
	glib 3.0 0_0: ; __glibc >=2.40
	build 1.0 a_0:
	build 1.0 b_2:
	build 1.0 c_1:
	dead 2.0 0_0: nothere
	dead 1.0 0_0:
	bad 2.0 0_0: x[
	bad 1.0 0_0:
	self 2.0 0_0: self <2
	self 1.0 0_0:
	app 1.0 0_0: lib
	tool 2.0 0_0: lib <2
	tool 1.0 0_0:
	tool 0.5 0_0:
	lib 2.0 0_0:
	lib 1.0 0_0:
`

func TestSolve(t *testing.T) {
	for _, test := range []struct {
		name  string
		specs []string
		want  []string
	}{
		{"newest", []string{"openssl"}, []string{"openssl-3.1.0-0_0"}},
		{"highest build number", []string{"build"}, []string{"build-1.0-b_2"}},
		{
			"newest python among builds",
			[]string{"numpy"},
			[]string{"openssl-3.1.0-0_0", "python-3.12.0-0_0", "numpy-1.26.0-py312_0", "pip-24.0-py_0"},
		},
		{
			"a dependency forces an older one",
			[]string{"numpy", "old"},
			[]string{"openssl-1.1.1w-0_0", "python-3.10.1-0_0", "numpy-1.26.0-py310_0", "old-1.0-0_0"},
		},
		{
			"a constraint on what is there",
			[]string{"scipy"},
			[]string{"openssl-3.1.0-0_0", "python-3.11.2-0_0", "numpy-1.26.0-py311_0", "scipy-1.0-0_0"},
		},
		{"a constraint on what is not there", []string{"lonely"}, []string{"lonely-1.0-0_0"}},
		{"a virtual package", []string{"glib <3"}, []string{"glib-2.0-0_0"}},
		{"a constraint on a virtual package", []string{"glib"}, []string{"glib-2.0-0_0"}},
		{"nothing provides a dependency of the newest", []string{"dead"}, []string{"dead-1.0-0_0"}},
		{"the newest has a dependency that cannot be read", []string{"bad"}, []string{"bad-1.0-0_0"}},
		{"a package that excludes itself", []string{"self"}, []string{"self-1.0-0_0"}},
		{"what was asked for is newer than what it needs", []string{"app", "tool"}, []string{"lib-1.0-0_0", "app-1.0-0_0", "tool-2.0-0_0"}},
		{"two specs of one name", []string{"openssl >=3", "openssl <3.1"}, []string{"openssl-3.0.0-0_0"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			records := channel(t, tools)
			for i := range records {
				if records[i].Name == "pip" {
					records[i].Noarch = "python"
				}
			}
			got, err := solve.Solve(solve.Problem{
				Specs: specs(t, test.specs...), Candidates: lookup(records),
				Virtual: []conda.Record{{Name: "__glibc", Version: "2.34", Build: "0"}},
			})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, dists(got)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestTrackFeatures(t *testing.T) {
	records := channel(t, "a 2.0 0_0:\na 1.0 0_0:")
	records[0].TrackFeatures = conda.Features{"slow"}
	got, err := solve.Solve(solve.Problem{Specs: specs(t, "a"), Candidates: lookup(records)})
	if err != nil || got[0].Version != "1.0" {
		t.Errorf("got %v %v, want a 1.0: it has fewer track_features", dists(got), err)
	}
}

func TestUnsolvable(t *testing.T) {
	for _, test := range []struct {
		specs []string
		want  []string
	}{
		{[]string{"python >=3.11", "old"}, []string{
			"you asked for python >=3.11",
			"you asked for old",
			"python 3.12.0 and 3.11.2 need openssl >=3",
			"old 1.0 needs openssl <3",
		}},
		{[]string{"openssl >=4"}, []string{"you asked for openssl >=4, and there is only openssl 3.1.0, 3.0.0 and 1.1.1w"}},
		{[]string{"pyton"}, []string{"you asked for pyton, and nothing provides pyton (did you mean python?)"}},
		{[]string{"gpu"}, []string{"you asked for gpu", "gpu 1.0 needs __cuda >=12, which this system does not have"}},
		{[]string{"glib >=3"}, []string{
			"you asked for glib >=3", "this system has __glibc 2.34", "glib 3.0 works only with __glibc >=2.40",
		}},
		{[]string{"dead >=2"}, []string{"you asked for dead >=2", "dead 2.0 needs nothere, and nothing provides nothere"}},
	} {
		_, err := solve.Solve(solve.Problem{
			Specs: specs(t, test.specs...), Candidates: lookup(channel(t, tools)),
			Virtual: []conda.Record{{Name: "__glibc", Version: "2.34", Build: "0"}},
			Names:   func() []string { return []string{"python", "numpy", "openssl"} },
		})
		var unsolvable *solve.UnsolvableError
		if !errors.As(err, &unsolvable) {
			t.Errorf("%v: got %v, want an UnsolvableError", test.specs, err)
			continue
		}
		if diff := cmp.Diff(test.want, unsolvable.Reasons); diff != "" {
			t.Errorf("%v (-want +got):\n%s", test.specs, diff)
		}
	}
}

func TestPatternIsRefused(t *testing.T) {
	if _, err := solve.Solve(solve.Problem{Specs: specs(t, "py*"), Candidates: lookup(nil)}); err == nil {
		t.Error("a request for py* was solved")
	}
}

// Only names that the search needs are asked for: an index is large.
func TestAsksForLittle(t *testing.T) {
	asked := map[string]int{}
	find := lookup(channel(t, tools))
	_, err := solve.Solve(solve.Problem{Specs: specs(t, "old", "lonely"), Candidates: func(name string) []conda.Record {
		asked[name]++
		return find(name)
	}})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]int{"old": 1, "lonely": 1, "openssl": 1}, asked); diff != "" {
		t.Errorf("names asked for (-want +got):\n%s", diff)
	}
}
