//go:build unix

// Command index times reindexing beside other indexers, in one run, on channels
// of tiny packages, twelve builds a name, in a folder or in a bucket:
//
//	go run ./scripts/bench/index -python PYTHON -n 1000,10000
//	go run ./scripts/bench/index -python PYTHON -n 1000,10000 -s3 VERSITYGW
//
//	go run ./scripts/bench/index -records 1000000
//
// With the program versitygw each indexer works on a bucket of it on loopback,
// and its requests and their bytes, both ways, are counted on the way;
// conda-index has no door to S3.
//
// PYTHON has the packages of scripts/e2e/requirements.txt installed: conda-index
// and py-rattler. A peer that cannot be run is said and left out. cold is a
// channel without an index, again the same without a change, more one package
// added; publish is that of one more package, which only condaworker has: the
// others have their more beside it. (limit) is what no indexer can do without:
// see limits. With -records it publishes
// into an index of so many records, for its peak of memory.
package main

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/condaworker/condaworker/conda/condatest"
)

func main() {
	python := flag.String("python", "python3", "a Python with conda-index and py-rattler")
	sizes := flag.String("n", "1000", "packages in the channel; several separated by commas")
	gateway := flag.String("s3", "", "the program versitygw: the channels are in a bucket of it")
	stock := flag.String("stock", "", "keep the packages in this folder, and take those that are there: to write 10^5 of them takes longer than to index them")
	records := flag.Int("records", 0, "publish into an index of so many records, beside nobody, and end")
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
	if err := run(context.Background(), *python, *sizes, *gateway, *stock, *records); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// indexer is one of those that are compared.
type indexer struct {
	name    string
	command func(root string) []string
}

func run(ctx context.Context, python, sizes, gateway, stock string, records int) error {
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
	if records > 0 {
		return large(ctx, program, work, records)
	}
	shim, err := filepath.Abs("scripts/e2e/testdata/conda_index")
	if err != nil {
		return err
	}
	if err := os.Setenv("PYTHONPATH", shim); err != nil {
		return err
	}
	var b *bucket
	all := []indexer{
		{"condaworker", func(root string) []string { return []string{program, "reindex", root} }},
		{"rattler", func(root string) []string { return []string{python, "-c", rattler, root} }},
		{"conda-index", func(root string) []string {
			return []string{python, "-m", "conda_index", root, "--zst", "--run-exports", "--write-shards"}
		}},
	}
	if gateway != "" {
		if b, err = startBucket(ctx, gateway, work); err != nil {
			return err
		}
		defer b.stop()
		all = []indexer{all[0], {"rattler", func(root string) []string { return []string{python, "-c", rattlerS3, root, b.endpoint} }}}
	}
	printHead()
	for text := range strings.SplitSeq(sizes, ",") {
		n, err := strconv.Atoi(text)
		if err != nil {
			return fmt.Errorf("-n %s: %w", sizes, err)
		}
		if err := compare(ctx, all, b, work, cmp.Or(stock, filepath.Join(work, fmt.Sprint("stock-", n))), n); err != nil {
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

// compare times all indexers on channels of n packages of the stock, in b or in
// folders. The ratio is to the first one's wall time.
func compare(ctx context.Context, all []indexer, b *bucket, work, stock string, n int) error {
	if _, err := os.Stat(filepath.Join(stock, "linux-64", file(n+1))); err != nil {
		if err := fillApart(ctx, stock, 0, n+2); err != nil {
			return err
		}
	}
	if strings.HasPrefix(stock, work) {
		defer os.RemoveAll(stock) //nolint:errcheck // of a temporary folder
	}
	first := map[string]float64{}
	for _, x := range all {
		c, err := newChannel(b, stock, work)
		if err != nil {
			return err
		}
		if err := c.fill(ctx, 0, n); err != nil {
			return err
		}
		for _, kind := range []string{"cold", "again", "more", "publish"} {
			command := x.command(c.root)
			switch {
			case kind == "publish" && x.name != "condaworker":
				continue
			case kind == "more":
				err = c.fill(ctx, n, n+1)
			case kind == "publish":
				command = []string{command[0], "publish", filepath.Join(stock, "linux-64", file(n+1)), "--to", c.root}
			}
			if err != nil {
				return err
			}
			used, err := measure(ctx, command, b)
			if err != nil {
				fmt.Printf("%-9d %-12s cannot be run: %v\n", n, x.name, err)
				break
			}
			if first[kind] == 0 {
				first[kind] = used.wall
			}
			printLine(n, x.name, kind, used, used.wall/first[kind])
			if kind == "more" && first["publish"] > 0 {
				printLine(n, x.name, "publish", used, used.wall/first["publish"])
			}
		}
		if x.name == "condaworker" {
			if err := limits(ctx, c, n); err != nil {
				return err
			}
		}
		if err := c.remove(); err != nil {
			return err
		}
	}
	return nil
}

func printHead() {
	fmt.Printf("%-9s %-12s %-8s %9s %9s %9s %8s %9s %9s\n", "packages", "indexer", "run", "wall s", "cpu s", "peak MB", "ratio", "requests", "MB")
}

func printLine(n int, name, kind string, used usage, ratio float64) {
	fmt.Printf("%-9d %-12s %-8s %9.3f %9.2f %9.0f %8.2f %9d %9.2f\n", n, name, kind, used.wall, used.cpu, used.peak, ratio, used.requests, float64(used.bytes)/1e6)
}

// usage is what a command used: seconds, megabytes, and of a bucket.
type usage struct {
	wall, cpu, peak float64
	requests, bytes int64
}

// measure runs a command; b may be nil.
func measure(ctx context.Context, command []string, b *bucket) (usage, error) {
	requests, bytes := b.counts()
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
	u.requests, u.bytes = b.counts()
	u.requests, u.bytes = u.requests-requests, u.bytes-bytes
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
	errs := make(chan error, runtime.NumCPU())
	for worker := range cap(errs) {
		go func() {
			for i := from + worker; i < to; i += cap(errs) {
				index := condatest.Index(fmt.Sprintf("package%d", i/builds), "1.0", i%builds, "linux-64")
				maps.Copy(index, map[string]any{"depends": []string{"python >=3.11,<3.12.0a0", "libstdcxx >=13"}, "license": "MIT", "timestamp": 1700000000000})
				if err := condatest.WriteFile(filepath.Join(dir, file(i)), index, map[string]string{"share/x": "x"}); err != nil {
					errs <- err
					return
				}
			}
			errs <- nil
		}()
	}
	for range cap(errs) {
		if err := <-errs; err != nil {
			return err
		}
	}
	return nil
}
