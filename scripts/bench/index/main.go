// Command index times reindexing beside other indexers, in one run, on folder
// channels of tiny packages, twelve builds a name:
//
//	go run ./scripts/bench/index -python PYTHON -n 1000,10000
//
// PYTHON has the packages of scripts/e2e/requirements.txt installed: conda-index
// and py-rattler. A peer that cannot be run is said and left out. cold is a
// channel without an index, again the same without a change, more one package
// added; publish is that of one more package, which only condaworker has.
package main

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/condaworker/condaworker/conda/condatest"
)

func main() {
	python := flag.String("python", "python3", "a Python with conda-index and py-rattler")
	sizes := flag.String("n", "1000", "packages in the channel; several separated by commas")
	folder := flag.String("fill", "", "write the packages from,to into this folder and end; the command calls itself so: a peak of memory is inherited by what a process starts")
	flag.Parse()
	if *folder != "" {
		var from, to int
		_, err := fmt.Sscanf(*sizes, "%d,%d", &from, &to)
		if err == nil {
			err = fill(*folder, from, to)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	if err := run(context.Background(), *python, *sizes); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// indexer is one of those that are compared.
type indexer struct {
	name    string
	command func(root string) []string
}

func run(ctx context.Context, python, sizes string) error {
	work, err := os.MkdirTemp("", "bench-index-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work) //nolint:errcheck // a temporary folder
	program := filepath.Join(work, "condaworker")
	build := exec.CommandContext(ctx, "go", "build", "-o", program, ".") //nolint:gosec // our own program
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build: %w: %s", err, out)
	}
	shim, err := filepath.Abs("scripts/e2e/testdata/conda_index")
	if err != nil {
		return err
	}
	if err := os.Setenv("PYTHONPATH", shim); err != nil {
		return err
	}
	all := []indexer{
		{"condaworker", func(root string) []string { return []string{program, "reindex", root} }},
		{"conda-index", func(root string) []string {
			return []string{python, "-m", "conda_index", root, "--zst", "--run-exports", "--write-shards"}
		}},
		{"rattler", func(root string) []string { return []string{python, "-c", rattler, root} }},
	}
	fmt.Printf("%-9s %-12s %-8s %9s %9s %9s %8s\n", "packages", "indexer", "run", "wall s", "cpu s", "peak MB", "ratio")
	for text := range strings.SplitSeq(sizes, ",") {
		n, err := strconv.Atoi(text)
		if err != nil {
			return fmt.Errorf("-n %s: %w", sizes, err)
		}
		if err := compare(ctx, all, program, work, n); err != nil {
			return err
		}
	}
	return nil
}

const rattler = `
import asyncio, os, sys
from rattler.index import index_fs
asyncio.run(index_fs(sys.argv[1], write_zst=True, write_shards=True))
sys.stdout.flush()
os._exit(0)
`

// compare times all indexers on channels of n packages. The ratio is to the
// first one's wall time.
func compare(ctx context.Context, all []indexer, program, work string, n int) error {
	first := map[string]float64{}
	for _, x := range all {
		root, err := os.MkdirTemp(work, "channel-")
		if err != nil {
			return err
		}
		if err := fillApart(ctx, root, 0, n); err != nil {
			return err
		}
		for _, kind := range []string{"cold", "again", "more"} {
			if kind == "more" {
				if err := fillApart(ctx, root, n, n+1); err != nil {
					return err
				}
			}
			used, err := measure(ctx, x.command(root))
			if err != nil {
				fmt.Printf("%-9d %-12s cannot be run: %v\n", n, x.name, err)
				break
			}
			if first[kind] == 0 {
				first[kind] = used.wall
			}
			fmt.Printf("%-9d %-12s %-8s %9.2f %9.2f %9.0f %8.2f\n", n, x.name, kind, used.wall, used.cpu, used.peak, used.wall/first[kind])
		}
		if x.name == "condaworker" {
			if err := publish(ctx, program, root, work, n); err != nil {
				return err
			}
		}
		if err := os.RemoveAll(root); err != nil {
			return err
		}
	}
	return nil
}

func publish(ctx context.Context, program, root, work string, n int) error {
	if err := fillApart(ctx, work, n+1, n+2); err != nil {
		return err
	}
	used, err := measure(ctx, []string{program, "publish", filepath.Join(work, "linux-64", file(n+1)), "--to", root})
	if err == nil {
		fmt.Printf("%-9d %-12s %-8s %9.2f %9.2f %9.0f\n", n, "condaworker", "publish", used.wall, used.cpu, used.peak)
	}
	return err
}

// usage is what a command used: seconds, and megabytes.
type usage struct{ wall, cpu, peak float64 }

func measure(ctx context.Context, command []string) (usage, error) {
	c := exec.CommandContext(ctx, command[0], command[1:]...) //nolint:gosec // the commands above
	begun := time.Now()
	out, err := c.CombinedOutput()
	if err != nil {
		return usage{}, fmt.Errorf("%w: %s", err, out[max(0, len(out)-300):])
	}
	u := usage{wall: time.Since(begun).Seconds(), cpu: (c.ProcessState.UserTime() + c.ProcessState.SystemTime()).Seconds()}
	if r, ok := c.ProcessState.SysUsage().(*syscall.Rusage); ok {
		u.peak = float64(r.Maxrss) / 1024
	}
	return u, nil
}

const builds = 12 // of each name

func file(i int) string { return fmt.Sprintf("package%d-1.0-%d.conda", i/builds, i%builds) }

// fillApart is fill in a process of its own.
func fillApart(ctx context.Context, root string, from, to int) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	out, err := exec.CommandContext(ctx, self, "-fill", root, "-n", fmt.Sprintf("%d,%d", from, to)).CombinedOutput() //nolint:gosec // ourselves
	if err != nil {
		return fmt.Errorf("write packages: %w: %s", err, out)
	}
	return nil
}

// fill writes the packages from..to into root's linux-64.
func fill(root string, from, to int) error {
	dir := filepath.Join(root, "linux-64")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for i := from; i < to; i++ {
		index := condatest.Index(fmt.Sprintf("package%d", i/builds), "1.0", i%builds, "linux-64")
		maps.Copy(index, map[string]any{"depends": []string{"python >=3.11,<3.12.0a0", "libstdcxx >=13"}, "license": "MIT", "timestamp": 1700000000000})
		if err := condatest.WriteFile(filepath.Join(dir, file(i)), index, map[string]string{"share/x": "x"}); err != nil {
			return err
		}
	}
	return nil
}
