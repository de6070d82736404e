package main

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/condaworker/condaworker"

// rooms says which of our rooms each room may import: the picture in
// ARCHITECTURE.md, kept true. "" is package main.
var rooms = map[string][]string{
	"":        {"agent"},
	"agent":   {"builder", "indexer", "lock", "env", "store", "conda"},
	"builder": {"env", "store", "conda"},
	"env":     {"store", "conda"},
	"indexer": {"store", "conda"},
	"lock":    {"store"},
	"conda":   {},
	"store":   {},
	"scripts": {"agent", "indexer", "env", "conda", "store"},
	"sim":     {"indexer", "lock", "store", "conda"},
}

// steps do not import one another: builder calls them and hands the values on.
var steps = []string{"builder/recipe", "builder/source", "builder/sandbox", "builder/pack"}

// foreign names the one package that imports each module that is not ours. What the
// standard library lacks of the kernel has two: one that contains commands, and one that
// shares blocks between files.
var foreign = map[string]string{
	"github.com/aws/":                   "store/s3",
	"github.com/mholt/archiver/v4":      "builder/source",
	"go.uber.org/zap":                   "agent/openjd",
	"github.com/shirou/gopsutil/v3":     "agent/meter",
	"github.com/klauspost/compress":     "conda/archive",
	"github.com/tinylib/msgp":           "conda/shards",
	"github.com/spf13/cobra":            "agent",
	"go.yaml.in/yaml/v4":                "builder/recipe/tree",
	"github.com/pelletier/go-toml/v2":   "builder/recipe",
	"golang.org/x/sys":                  "builder/sandbox env/install",
	"golang.org/x/term":                 "agent/openjd",
	"github.com/gofrs/flock":            "store/dir",
	"github.com/rogpeppe/go-internal":   "tests",
	"github.com/google/go-cmp":          "tests",
	"github.com/chromedp/":              "tests",
	"github.com/anishathalye/porcupine": "tests",
}

type goPackage struct {
	ImportPath string
	Imports    []string
	Standard   bool
}

func TestRooms(t *testing.T) {
	for p := range packages(t) {
		from := inside(p.ImportPath)
		for _, path := range p.Imports {
			if !ours(path) {
				continue
			}
			to := inside(path)
			if top(to) != top(from) && !slices.Contains(rooms[top(from)], top(to)) {
				t.Errorf("%s imports %s: %q may import only %q", p.ImportPath, path, top(from), rooms[top(from)])
			}
			if slices.ContainsFunc(steps, within(from)) && slices.ContainsFunc(steps, within(to)) && step(from) != step(to) {
				t.Errorf("%s imports %s: the steps of a build do not import one another", p.ImportPath, path)
			}
		}
	}
}

func TestForeignModulesHaveOneImporter(t *testing.T) {
	for p := range packages(t) {
		for _, path := range p.Imports {
			first, _, _ := strings.Cut(path, "/")
			if !strings.Contains(first, ".") || ours(path) {
				continue
			}
			importers, known := importersOf(path)
			switch {
			case !known:
				t.Errorf("%s imports %s, which no room is named for", p.ImportPath, path)
			case !slices.ContainsFunc(importers, within(inside(p.ImportPath))):
				t.Errorf("%s imports %s: only %s may", p.ImportPath, path, importers)
			}
		}
	}
}

func packages(t *testing.T) func(func(goPackage) bool) {
	t.Helper()
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports", "./...").Output()
	if err != nil {
		if exit, ok := errors.AsType[*exec.ExitError](err); ok {
			t.Fatalf("go list: %v\n%s", err, exit.Stderr)
		}
		t.Fatal(err)
	}
	return func(yield func(goPackage) bool) {
		for d := json.NewDecoder(strings.NewReader(string(out))); ; {
			var p goPackage
			if err := d.Decode(&p); errors.Is(err, io.EOF) {
				return
			} else if err != nil {
				t.Fatal(err)
			}
			if !yield(p) {
				return
			}
		}
	}
}

func ours(path string) bool     { return path == module || strings.HasPrefix(path, module+"/") }
func inside(path string) string { return strings.TrimPrefix(strings.TrimPrefix(path, module), "/") }

func top(room string) string {
	first, _, _ := strings.Cut(room, "/")
	return first
}

func within(room string) func(string) bool {
	return func(s string) bool { return room == s || strings.HasPrefix(room, s+"/") }
}

func step(room string) int { return slices.IndexFunc(steps, within(room)) }

func importersOf(path string) (rooms []string, known bool) {
	for prefix, names := range foreign {
		if path == prefix || strings.HasPrefix(path, strings.TrimSuffix(prefix, "/")+"/") {
			return strings.Fields(names), true
		}
	}
	return nil, false
}

// Each invariant of the channel and of its lock is in ARCHITECTURE.md and in
// the documentation of the code that keeps it, by its name.
func TestInvariantsAreDocumented(t *testing.T) {
	text, err := os.ReadFile("ARCHITECTURE.md")
	if err != nil {
		t.Fatal(err)
	}
	code := ""
	for _, pattern := range []string{"indexer/*.go", "lock/*.go"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			source, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			code += string(source)
		}
	}
	for _, name := range []string{"S0 chain", "S1 visibility", "S2 referential", "S3 readers", "S4 epochs", "S5 timed exclusion", "S6 fencing", "L1 takeover", "L2 turns", "L3 clocks", "L4 convergence"} {
		if !strings.Contains(string(text), "- **"+name+"**: ") {
			t.Errorf("ARCHITECTURE.md has no %s", name)
		}
		if !strings.Contains(code, "//   - "+name+": ") {
			t.Errorf("no package documents %s", name)
		}
	}
}
