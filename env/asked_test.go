//go:build unix

package env_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/condaworker/condaworker/env"
)

// asked is what conda-meta says that packages were asked for with, by name.
func asked(t *testing.T, prefix string) map[string]string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(prefix, "conda-meta", "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, file := range files {
		text, err := os.ReadFile(file) //nolint:gosec // ours
		if err != nil {
			t.Fatal(err)
		}
		var r struct {
			Name  string
			Spec  string          `json:"requested_spec"`
			Specs []string        `json:"requested_specs"`
			Paths json.RawMessage `json:"paths_data"`
		}
		if err := json.Unmarshal(text, &r); err != nil || r.Paths == nil || strings.Join(r.Specs, " ") != r.Spec {
			t.Errorf("%s is %s, %v", file, text, err)
		}
		if r.Spec != "" {
			all[r.Name] = r.Spec
		}
	}
	return all
}

// What an update is asked for is recorded of packages that stay, too.
func TestAnUpdateRecordsWhatIsAskedFor(t *testing.T) {
	r := request(t, []string{"app >=1"}, channel(t,
		pkg{"app", "1.0", "linux-64", []string{"lib"}}, pkg{"lib", "1.0", "noarch", nil}, pkg{"other", "1.0", "linux-64", nil}))
	create(t, r)
	file := filepath.Join(r.Prefix, "conda-meta", "history")
	before, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	r.Update = true
	for _, tt := range []struct {
		specs   []string
		want    map[string]string
		history []string // lines that are added, but those with a time
	}{
		{[]string{"app >=1"}, map[string]string{"app": "app >=1"}, nil},
		{[]string{"app >=1", "lib"}, map[string]string{"app": "app >=1", "lib": "lib"}, []string{"# cmd: condaworker", "# update specs: ['lib']"}},
		{[]string{"app", "lib", "other"}, map[string]string{"app": "app", "lib": "lib", "other": "other"}, []string{"# cmd: condaworker", "+" + r.Channels[0].URL + "/linux-64::other-1.0-0", "# update specs: ['other', 'app']"}},
		{[]string{"app"}, map[string]string{"app": "app"}, []string{"# cmd: condaworker", "-" + r.Channels[0].URL + "/linux-64::other-1.0-0", "# remove specs: ['lib', 'other']"}},
		{[]string{"app"}, map[string]string{"app": "app"}, nil},
	} {
		r.Specs = tt.specs
		create(t, r)
		if diff := cmp.Diff(tt.want, asked(t, r.Prefix)); diff != "" {
			t.Errorf("%q: %s", tt.specs, diff)
		}
		after, err := os.ReadFile(file)
		if err != nil || !strings.HasPrefix(string(after), string(before)) {
			t.Fatalf("%q: the history became %s, %v", tt.specs, after, err)
		}
		var added []string
		for line := range strings.Lines(string(after[len(before):])) {
			if !strings.HasPrefix(line, "==>") {
				added = append(added, strings.TrimSpace(line))
			}
		}
		if diff := cmp.Diff(tt.history, added); diff != "" {
			t.Errorf("%q: history %s", tt.specs, diff)
		}
		before = after
	}
	// What is asked for twice is one spec, as conda has it.
	r.Specs = []string{"app >=0.5", "app <2", "lib"}
	create(t, r)
	const both = "app[version='>=0.5,<2']"
	if diff := cmp.Diff(map[string]string{"app": both, "lib": "lib"}, asked(t, r.Prefix)); diff != "" {
		t.Error(diff)
	}
	if text, err := os.ReadFile(file); err != nil || !strings.HasSuffix(string(text), "# update specs: [\""+both+"\", 'lib']\n") {
		t.Errorf("%s %v", text, err)
	}
	r.Specs = []string{"app"}
	create(t, r)
	// Without an update what is there stays as it is.
	r.Specs, r.Update = []string{"app", "lib"}, false
	create(t, r)
	if diff := cmp.Diff(map[string]string{"app": "app"}, asked(t, r.Prefix)); diff != "" {
		t.Error(diff)
	}
	if _, err := env.Installed(r.Prefix); err != nil {
		t.Error(err)
	}
}
