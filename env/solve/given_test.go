package solve_test

import (
	"cmp"
	"strings"
	"testing"

	"github.com/condaworker/condaworker/conda"
	"github.com/condaworker/condaworker/env/solve"
)

// What is there already, or decided before, bends the choice.
func TestGivenRecords(t *testing.T) {
	all := channel(t, `
		app 1.0 h_0: lib, python
		app 2.0 h_0: lib >=2, python
		lib 1.0 h_0:
		lib 2.0 h_0:
		lib 3.0 h_0:
		python 3.11 h_0:
		python 3.12 h_0:
		addon 1.0 h_0: ; lib <3
		LongUpper 1.0 h_0:
	`)
	gone := channel(t, "lib 2.5 h_0:")
	record := func(name, version string) []conda.Record {
		for _, r := range all {
			if r.Name == name && r.Version == version {
				return []conda.Record{r}
			}
		}
		t.Fatal(name, version)
		return nil
	}
	hidden := func(name string) []solve.Hidden {
		return []solve.Hidden{{Why: "channel priority hides", Records: channel(t, name+" 4.0 h_0:")}}
	}
	for name, tt := range map[string]struct {
		specs   string
		problem solve.Problem
		want    string // records, or a part of the error
	}{
		"nothing":                         {"app", solve.Problem{}, "lib-3.0 python-3.12 app-2.0"},
		"pinned":                          {"app", solve.Problem{Pinned: specs(t, "python 3.11.*", "lib <3", "addon 7")}, "lib-2.0 python-3.11 app-2.0"},
		"two pins of a name":              {"app", solve.Problem{Pinned: specs(t, "lib >1", "lib <3")}, "lib-2.0 python-3.12 app-2.0"},
		"a pin that fits nothing":         {"app", solve.Problem{Pinned: specs(t, "lib 9")}, "lib is pinned to lib 9, and there is only lib 3.0, 2.0 and 1.0"},
		"a pin against a request":         {"lib >=3", solve.Problem{Pinned: specs(t, "lib <3")}, "lib is pinned to lib <3"},
		"where a pin is written":          {"lib >=3", solve.Problem{Pinned: specs(t, "lib <3"), PinnedAt: []string{"pinned:7"}}, "lib is pinned to lib <3 in pinned:7"},
		"locked":                          {"app", solve.Problem{Locked: record("lib", "1.0")}, "lib-1.0 python-3.12 app-1.0"},
		"locked against a request":        {"lib >=3", solve.Problem{Locked: record("lib", "1.0")}, "you asked for lib >=3, which is locked at lib 1.0"},
		"locked, and wanted by nothing":   {"python", solve.Problem{Locked: record("lib", "1.0")}, "python-3.12"},
		"installed":                       {"app", solve.Problem{Installed: append(record("lib", "2.0"), record("python", "3.11")...)}, "lib-2.0 python-3.11 app-2.0"},
		"installed and too old":           {"app >=2", solve.Problem{Installed: record("lib", "1.0")}, "lib-3.0 python-3.12 app-2.0"},
		"installed, and gone meanwhile":   {"app", solve.Problem{Installed: gone}, "lib-2.5 python-3.12 app-2.0"},
		"installed, and constrained":      {"app,addon", solve.Problem{Installed: record("lib", "3.0")}, "addon-1.0 lib-2.0 python-3.12 app-2.0"},
		"older records are the better":    {"lib", solve.Problem{Prefer: func(a, b *conda.Record) int { return cmp.Compare(a.Version, b.Version) }}, "lib-1.0"},
		"a name that is all hidden":       {"lob >=4", solve.Problem{Hidden: hidden}, "nothing provides lob; channel priority hides lob 4.0"},
		"a system that cannot be":         {"lib", solve.Problem{Virtual: []conda.Record{{Name: "__cuda", Version: "12..4"}}}, "correct CONDA_OVERRIDE_CUDA"},
		"where there is what is asked":    {"lib >=4", solve.Problem{Hidden: hidden}, "channel priority hides lib 4.0"},
		"what is hidden does not fit":     {"lib >=5", solve.Problem{Hidden: hidden}, "there is only lib 3.0, 2.0 and 1.0"},
		"a name that only others have":    {"lob", solve.Problem{Names: func() []string { return []string{"lib", "python"} }, Channels: []string{"s3://a", "s3://b"}}, "nothing provides lob in s3://a and s3://b (did you mean lib?)"},
		"a name in upper case":            {"longupper", solve.Problem{Names: func() []string { return []string{"lib", "LongUpper"} }}, "nothing provides longupper; there is LongUpper, which no match spec can name"},
		"a pin that is a pattern":         {"lib", solve.Problem{Pinned: specs(t, "l*")}, "not a pattern"},
		"pins bind what is installed too": {"lib", solve.Problem{Installed: record("lib", "3.0"), Pinned: specs(t, "lib <3")}, "lib-2.0"},
	} {
		p := tt.problem
		p.Specs, p.Candidates = specs(t, list(tt.specs)...), lookup(all)
		records, err := solve.Solve(p)
		var got []string
		for _, r := range records {
			got = append(got, r.Name+"-"+r.Version)
		}
		if text := strings.Join(got, " "); err == nil && text != tt.want {
			t.Errorf("%s: %s, want %s", name, text, tt.want)
		}
		if err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %s", name, err, tt.want)
		}
	}
}
