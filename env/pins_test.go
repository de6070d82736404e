package env_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/condaworker/condaworker/env"
	"github.com/condaworker/condaworker/env/solve"
)

// pinned is a request to update a prefix that has this file of pinned packages.
func pinned(t *testing.T, text string, specs ...string) env.Request {
	t.Helper()
	r := request(t, []string{"old"}, channel(t,
		pkg{"old", "1.0", "linux-64", nil}, pkg{"app", "1.0", "linux-64", []string{"lib"}}, pkg{"addon", "1.0", "linux-64", []string{"lib >=3"}},
		pkg{"lib", "1.0", "linux-64", nil}, pkg{"lib", "2.0", "linux-64", nil}, pkg{"lib", "3.0", "linux-64", nil}),
		channel(t, pkg{"lib", "2.5", "linux-64", nil}))
	create(t, r)
	if err := os.WriteFile(filepath.Join(r.Prefix, "conda-meta", "pinned"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	r.Specs, r.Update = specs, true
	return r
}

func TestPinnedPackagesOfAPrefix(t *testing.T) {
	for name, tt := range map[string]struct {
		file, spec string
		want       []string
	}{
		"no pins":               {"", "app", []string{"lib 3.0", "app 1.0"}},
		"a dependency":          {"lib <3", "app", []string{"lib 2.0", "app 1.0"}},
		"a request":             {"\ufeff# ours\r\n\r\n  lib ==1.0  # why\r\nabsent 7\r\n", "lib", []string{"lib 1.0"}},
		"two lines of a name":   {"lib <3\nlib >1\n", "app", []string{"lib 2.0", "app 1.0"}},
		"what nothing asks for": {"addon 1.0", "app", []string{"lib 3.0", "app 1.0"}},
	} {
		t.Run(name, func(t *testing.T) {
			r := pinned(t, tt.file, tt.spec)
			for range 2 {
				if got := create(t, r); !slices.Equal(got, tt.want) {
					t.Errorf("installed %q, want %q", got, tt.want)
				}
			}
			if text, err := os.ReadFile(filepath.Join(r.Prefix, "conda-meta", "pinned")); err != nil || string(text) != tt.file {
				t.Errorf("the pins became %q, %v", text, err)
			}
		})
	}
}

func TestAPinMayNameAChannel(t *testing.T) {
	r := pinned(t, "", "app")
	text := filepath.Base(r.Channels[1].URL) + "::lib"
	if err := os.WriteFile(filepath.Join(r.Prefix, "conda-meta", "pinned"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := create(t, r); !slices.Equal(got, []string{"lib 2.5", "app 1.0"}) {
		t.Errorf("%s: installed %q", text, got)
	}
}

func TestAPinIsAReason(t *testing.T) {
	r := pinned(t, "\nlib <3\n", "addon")
	_, err := env.Create(t.Context(), r)
	if _, unsolvable := errors.AsType[*solve.UnsolvableError](err); !unsolvable || !strings.Contains(err.Error(), "lib is pinned to lib <3 in "+filepath.Join(r.Prefix, "conda-meta", "pinned")+":2") {
		t.Error(err)
	}
	if installed, err := env.Installed(r.Prefix); err != nil || len(installed) != 1 || installed[0].Name != "old" {
		t.Error("the prefix became", installed, err)
	}
}

func TestBadPinsAreToldWithTheirPlaces(t *testing.T) {
	r := pinned(t, "lib <3\n  numpy >>1 # no\n\nl*\nx[\n", "app")
	file := filepath.Join(r.Prefix, "conda-meta", "pinned")
	for what, run := range map[string]func() error{
		"update":  func() error { _, err := env.Create(t.Context(), r); return err },
		"dry run": func() error { _, err := env.Solve(t.Context(), r); return err },
	} {
		err := run()
		for _, want := range []string{file + ":2:3: read match spec \"numpy >>1\": ", file + ":4:1: match spec \"l*\": pin one package, not a pattern", file + ":5:1: read match spec \"x[\": "} {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, not %s", what, err, want)
			}
		}
	}
	if err := errors.Join(os.Remove(file), os.Mkdir(file, 0o750)); err != nil {
		t.Fatal(err)
	}
	if _, err := env.Solve(t.Context(), r); err == nil || !strings.Contains(err.Error(), "read the pinned packages of the prefix: ") {
		t.Error(err)
	}
}
