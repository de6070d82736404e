package env

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/condaworker/condaworker/conda"
)

func records(text string) []conda.Record {
	var all []conda.Record
	for f := range strings.FieldsSeq(text) {
		name, version, _ := strings.Cut(f, "=")
		r := conda.Record{Name: name, Version: version, Subdir: "linux-64", FileName: name + "-" + version + "-0.conda", SHA256: "aa"}
		if strings.HasPrefix(name, "py-") {
			r.Noarch, r.Subdir = "python", "noarch"
		}
		all = append(all, r)
	}
	return all
}

func TestDifference(t *testing.T) {
	for _, tt := range []struct{ installed, wanted, come, leave string }{
		{"", "a=1 b=1", "a b", ""},
		{"a=1 b=1", "b=1 a=1", "", ""},
		{"a=1 b=1", "a=2 c=1", "a c", "a b"},
		{"a=1", "", "", "a"},
		{"python=3.11.1 py-x=1 a=1", "python=3.11.2 py-x=1 a=1", "python", "python"},
		{"python=3.11.1 py-x=1 a=1", "python=3.12.1 py-x=1 a=1", "python py-x", "python py-x"},
	} {
		come, leave := difference(records(tt.installed), records(tt.wanted))
		var names []string
		for _, r := range come {
			names = append(names, r.Name)
		}
		if diff := cmp.Diff([]string{tt.come, tt.leave}, []string{strings.Join(names, " "), strings.Join(leave, " ")}); diff != "" {
			t.Errorf("%q to %q: %s", tt.installed, tt.wanted, diff)
		}
	}
	free := records("python=3.11.1 py-x=1 a=1")
	for path, moved := range map[string]int{"": 0, "lib/python3.11/site-packages": 0, "lib/python3.11t/site-packages": 1} {
		free[0].SitePackages = path
		free[0].FileName = "python-3.11.1-1.conda"
		if come, leave := difference(records("python=3.11.1 py-x=1 a=1"), free); len(come) != moved+1 || len(leave) != moved+1 {
			t.Errorf("python has its modules in %q: %v %v", path, come, leave)
		}
	}
	other := records("a=1")
	other[0].SHA256 = "bb"
	if come, leave := difference(records("a=1"), other); len(come) != 1 || len(leave) != 1 {
		t.Errorf("other bytes: %v %v", come, leave)
	}
	other[0].SHA256 = ""
	if come, leave := difference(records("a=1"), other); len(come)+len(leave) != 0 {
		t.Errorf("no hash: %v %v", come, leave)
	}
}
