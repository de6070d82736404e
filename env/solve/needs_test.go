package solve_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/condaworker/condaworker/conda"
	"github.com/condaworker/condaworker/env/solve"
)

func rec(name, version string, depends ...string) conda.Record {
	return conda.Record{Name: name, Version: version, Build: "0", Depends: depends}
}

// studio has what repodata's version 3 adds.
func studio() []conda.Record {
	app := rec("app", "1", "lib")
	app.ExtraDepends = map[string][]string{
		"gui": {"qt", `wayland[when="__linux"]`}, "all": {"app[extras=[gui,test,all]]"}, "test": {"pytest"}, "bad": {"qt ==="},
	}
	old := rec("app", "0.5")
	old.ExtraDepends = map[string][]string{"gui": {"tk"}}
	cuda, cpu := rec("math", "1"), rec("math", "2")
	cuda.Flags, cpu.Flags = []string{"cuda", "blas:mkl"}, []string{"blas:openblas"}
	return []conda.Record{
		app, old, cuda, cpu, rec("lib", "1"), rec("lib", "2"), rec("qt", "6"), rec("wayland", "1"), rec("pytest", "8"),
		rec("tool", "1", `lib[version="<2",when="python[version='>=3.10'] and (qt or __cuda)"]`), rec("python", "3.9"), rec("python", "3.11"),
		rec("many", "1", "app[extras=[gui]]", "app[extras=[test]]"), rec("fast", "1", "math[flags=[cuda]]"),
		{Name: "strict", Version: "1", Build: "0", Constrains: []string{`lib[version="<2",when="python"]`}},
	}
}

func TestConditionsGroupsAndFlags(t *testing.T) {
	for text, want := range map[string]string{
		"app": "lib-2-0 app-1-0", "app[extras=[gui]]": "lib-2-0 app-1-0 qt-6-0 wayland-1-0", "app[extras=[none]]": "lib-2-0 app-1-0",
		"app[extras=[all]]": "lib-2-0 app-1-0 pytest-8-0 qt-6-0 wayland-1-0",
		"many":              "lib-2-0 app-1-0 many-1-0 pytest-8-0 qt-6-0 wayland-1-0",
		"tool":              "tool-1-0", "tool & lib & python": "lib-2-0 python-3.11-0 tool-1-0",
		"tool & python & qt": "lib-1-0 python-3.11-0 qt-6-0 tool-1-0", "tool & lib & python <3.10 & qt": "lib-2-0 python-3.9-0 qt-6-0 tool-1-0",
		"math": "math-2-0", "math[flags=['blas:*']]": "math-2-0", "fast": "math-1-0 fast-1-0",
		"strict & lib": "lib-2-0 strict-1-0", "strict & lib & python": "lib-1-0 python-3.11-0 strict-1-0",
		"qt[when=python]": "", "python & qt[when='python >=3']": "python-3.11-0 qt-6-0",
	} {
		got, err := solve.Solve(solve.Problem{
			Specs: specs(t, strings.Split(text, " & ")...), Candidates: lookup(studio()), Virtual: []conda.Record{{Name: "__linux", Version: "6", Build: "0"}},
		})
		if names := strings.Join(dists(got), " "); err != nil || names != want {
			t.Errorf("%s: %s, %v; want %s", text, names, err, want)
		}
	}
	for text, want := range map[string]string{
		"app[extras=[gui]] & app <1":          "app 0.5 with gui needs tk, and nothing provides tk",
		"fast & math >=2":                     "fast 1 needs math[flags=[cuda]]",
		"math[flags=[mpi]]":                   "you asked for math[flags=[mpi]], and there is only math 2 and 1",
		"app[extras=[bad]] & app >=1":         "app 1 cannot be used: read match spec \"qt ===\"",
		"tool & python >=3.10 & qt & lib >=2": `tool 1 needs lib[version="<2",when="python[version='>=3.10'] and (qt or __cuda)"]`,
	} {
		_, err := solve.Solve(solve.Problem{Specs: specs(t, strings.Split(text, " & ")...), Candidates: lookup(studio())})
		if _, is := errors.AsType[*solve.UnsolvableError](err); !is || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// A way back must not lose that a virtual package is there: a condition asks for it.
func TestTheSystemStaysOnTheWayBack(t *testing.T) {
	all := []conda.Record{rec("app", "2", "lib <3[when=__v]"), rec("lib", "1"), rec("lib", "2", "none", "other <3")}
	got, err := solve.Solve(solve.Problem{Specs: specs(t, "app"), Candidates: lookup(all), Virtual: []conda.Record{{Name: "__v", Version: "2", Build: "0"}}})
	if names := strings.Join(dists(got), " "); err != nil || names != "lib-1-0 app-2-0" {
		t.Error(names, err)
	}
}

// Which channels were asked is said at once, and of which of several a package is beside it.
func TestChannelsAreNamed(t *testing.T) {
	app, addon := rec("app", "1", "lib <2"), rec("addon", "1", "lib >=2")
	app.Channel, addon.Channel = "s3://a", "s3://b"
	all := []conda.Record{app, addon, rec("lib", "1"), rec("lib", "2")}
	for _, tt := range []struct {
		channels []string
		want     string
	}{
		{nil, "no packages fit together:\n  - you asked for app\n  - you asked for addon\n  - app 1 needs lib <2\n  - addon 1 needs lib >=2"},
		{[]string{"s3://a"}, "no packages in s3://a fit together:\n  - you asked for app\n  - you asked for addon\n  - app 1 needs lib <2\n  - addon 1 needs lib >=2"},
		{[]string{"s3://a", "s3://b"}, "no packages in s3://a and s3://b fit together:\n  - you asked for app\n  - you asked for addon\n  - app 1 in s3://a needs lib <2\n  - addon 1 in s3://b needs lib >=2"},
	} {
		_, err := solve.Solve(solve.Problem{Specs: specs(t, "app", "addon"), Candidates: lookup(all), Channels: tt.channels})
		if err == nil || err.Error() != tt.want {
			t.Errorf("%v: %v", tt.channels, err)
		}
	}
}
