// Command mutants checks that the simulation (package sim) can fail: it breaks
// the code in one place at a time, in a copy of the repository, and insists that
// a schedule finds it.
//
//	go run ./scripts/bench/mutants            # in the repository's root
//
// It prints how many seconds each took and exits with 1 if one survives or no
// longer fits the code.
package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// mutant is a defect: in file, old becomes wrong.
type mutant struct{ name, file, old, wrong string }

// schedules bound the search for each.
const schedules = "10000"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	survived := 0
	for _, m := range mutants {
		begun := time.Now()
		seed, err := m.try(ctx)
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		verdict := "found by " + seed
		if seed == "" {
			survived++
			verdict = "SURVIVES"
		}
		fmt.Printf("%-60s %s in %s\n", m.name, verdict, time.Since(begun).Round(time.Second))
	}
	fmt.Printf("%d of %d found\n", len(mutants)-survived, len(mutants))
	if survived > 0 {
		os.Exit(1)
	}
}

// try returns the seed of a schedule that finds the mutant, "" if none does.
func (m mutant) try(ctx context.Context) (string, error) {
	dir, err := os.MkdirTemp("", "mutant-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a temporary folder
	if err := os.CopyFS(dir, os.DirFS(".")); err != nil {
		return "", err
	}
	name := filepath.Join(dir, m.file)
	text, err := os.ReadFile(name)
	if err != nil {
		return "", err
	}
	if n := strings.Count(string(text), m.old); n != 1 {
		return "", fmt.Errorf("%s: %q is in %s %d times", m.name, m.old, m.file, n)
	}
	if err := os.WriteFile(name, []byte(strings.Replace(string(text), m.old, m.wrong, 1)), 0o600); err != nil {
		return "", err
	}
	if out, err := run(ctx, dir, "vet", "./sim"); err != nil {
		return "", fmt.Errorf("%s does not compile: %s", m.name, out)
	}
	out, err := run(ctx, dir, "test", "-count=1", "-timeout=20m", "-run=^TestSchedules$", "./sim")
	seed := seedLine.FindString(out)
	if err != nil && seed == "" {
		return "", fmt.Errorf("%s: no schedule failed, but the test did: %s", m.name, out)
	}
	return seed, ctx.Err()
}

var seedLine = regexp.MustCompile("seed [0-9]+")

// run is go with args in dir.
func run(ctx context.Context, dir string, args ...string) (string, error) {
	c := exec.CommandContext(ctx, "go", args...) //nolint:gosec // the arguments above
	c.Dir = dir
	c.Env = append(os.Environ(), "CONDAWORKER_SIM_SCHEDULES="+schedules)
	out, err := c.CombinedOutput()
	return string(out), err
}
