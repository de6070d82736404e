// Command install times whole runs that make an environment of many packages from a
// folder channel, ours beside py-rattler's, first with empty caches and then with full
// ones:
//
//	go run ./scripts/bench/install -python PYTHON-with-py-rattler
//
// The packages have the shape of conda-forge's: most files are small, some have the
// prefix in them. Each line has the median wall and processor time and the greatest memory of a run,
// and all wall times. It checks that both make as many files. Linux only.
package main

import (
	"context"
	_ "embed"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"

	"github.com/condaworker/condaworker/scripts/bench/measure"
)

//go:embed install.py
var oracle string

func main() {
	b := bench{}
	flag.StringVar(&b.python, "python", "python3", "a Python that has py-rattler")
	flag.StringVar(&b.program, "program", "", "the program to time (default: it is built)")
	flag.IntVar(&b.packages, "packages", 200, "how many")
	flag.IntVar(&b.files, "files", 100, "of each package")
	flag.IntVar(&b.runs, "n", 5, "runs of each kind")
	flag.StringVar(&b.keep, "keep", "", "a folder to make the channel in, or that has it already")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := b.run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// bench is what to time.
type bench struct {
	python, program, keep string
	packages, files, runs int
}

func (b bench) run(ctx context.Context) (err error) {
	dir, err := os.MkdirTemp("", "condaworker-install-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if b.program == "" {
		b.program = filepath.Join(dir, "condaworker")
		if out, err := exec.CommandContext(ctx, "go", "build", "-o", b.program, "github.com/condaworker/condaworker").CombinedOutput(); err != nil { //nolint:gosec // our own
			return fmt.Errorf("build the program: %w\n%s", err, out)
		}
	}
	channel := filepath.Join(dir, "channel")
	if b.keep != "" {
		channel = b.keep
	}
	if _, err := os.Stat(channel); err != nil {
		if err := b.makeChannel(ctx, channel); err != nil {
			return err
		}
	}
	for _, cache := range []string{"empty", "full"} {
		if err := b.compare(ctx, dir, channel, cache); err != nil {
			return err
		}
	}
	return nil
}

// client is a program that makes environments.
type client struct {
	name  string
	args  []string
	cache string
	runs  []measure.Result
}

// compare lets both run in turn.
func (b bench) compare(ctx context.Context, dir, channel, cache string) error {
	prefix := filepath.Join(dir, "prefix")
	ours, theirs := filepath.Join(dir, "ours"), filepath.Join(dir, "theirs")
	clients := []*client{
		{name: "condaworker", cache: ours, args: []string{b.program, "env", "create", "-p", prefix, "-c", channel, "--platform", "linux-64", "--cache", ours, nameOf(b.packages - 1)}},
		{name: "py-rattler", cache: theirs, args: []string{b.python, "-I", "-c", oracle, channel, theirs, prefix, nameOf(b.packages - 1)}},
	}
	for range b.runs {
		counts := map[int]bool{}
		for _, c := range clients {
			if err := os.RemoveAll(prefix); err != nil {
				return err
			}
			if cache == "empty" {
				if err := os.RemoveAll(c.cache); err != nil {
					return err
				}
			}
			r, err := measure.Run(ctx, c.args)
			if err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
			c.runs = append(c.runs, r)
			n, err := count(prefix)
			if err != nil {
				return err
			}
			counts[n] = true
		}
		if len(counts) != 1 {
			return fmt.Errorf("they made other numbers of files: %v", counts)
		}
	}
	for _, c := range clients {
		c.tell(cache)
	}
	return nil
}

func (c *client) tell(cache string) {
	var seconds, cpu []float64
	mib := 0
	for _, r := range c.runs {
		seconds, cpu = append(seconds, r.Seconds), append(cpu, r.CPU)
		mib = max(mib, r.MiB)
	}
	slices.Sort(seconds)
	slices.Sort(cpu)
	fmt.Printf("%s cache, %s: %.3f s, cpu %.3f s, %d MiB (%.3f); %s\n", cache, c.name, seconds[len(seconds)/2], cpu[len(cpu)/2], mib, seconds, c.runs[0].Last)
}

// count is how many files a prefix has, without what clients add for themselves.
func count(prefix string) (n int, err error) {
	err = filepath.WalkDir(prefix, func(_ string, e fs.DirEntry, err error) error {
		if err == nil && e.Name() == "conda-meta" {
			return fs.SkipDir
		}
		if err == nil && !e.IsDir() && e.Name() != "CACHEDIR.TAG" {
			n++
		}
		return err
	})
	return n, err
}
