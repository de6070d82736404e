//go:build linux

// Command crash kills condaworker, or fails it, at its system calls and tells
// whether the next run makes the channel whole:
//
//	go run ./scripts/crash -all
//	go run ./scripts/crash -sample 200
//
// It runs build, publish and reindex on a folder channel under strace, once for
// each system call that changes a file, with SIGKILL in its place, or with the
// error ENOSPC or EIO. Between two such calls nothing on the disk changes, so
// that a kill anywhere else leaves what a kill at the next one leaves.
//
// After each it reads the channel as a client would: every index that is there
// must parse, and each package that it names be stored with the bytes that it
// says. Then the same command runs once more, undisturbed, and the channel must
// be what it is when nothing ever went wrong, but for times.
//
// strace counts the calls of each thread on its own, and threads share the
// program's work in another way each time. So the command runs for the 1st, 2nd,
// … call of any thread until none makes as many, and says at the end at which
// places, system call and file, it has struck, of those that there are.
package main

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

func main() {
	o := options{}
	flag.BoolVar(&o.all, "all", false, "strike everywhere")
	flag.IntVar(&o.sample, "sample", 200, "strike this often, spread evenly, unless -all")
	flag.StringVar(&o.command, "command", "", "build, publish or reindex only")
	flag.StringVar(&o.fault, "fault", "", "KILL, ENOSPC or EIO only")
	flag.Uint64Var(&o.seed, "seed", 1, "of the sample")
	flag.Parse()
	failed, err := run(context.Background(), o)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	if failed {
		os.Exit(1)
	}
}

type options struct {
	all            bool
	sample         int
	command, fault string
	seed           uint64
}

// The system calls at which each fault strikes: those that change files, and
// for a broken disk those that read them.
var (
	changing = strings.Fields("openat write pwrite64 rename renameat renameat2 link linkat unlink unlinkat fsync fdatasync mkdir mkdirat ftruncate fallocate utimensat fchmod fchmodat copy_file_range flock")
	full     = strings.Fields("openat write pwrite64 rename renameat renameat2 link linkat fsync fdatasync mkdir mkdirat ftruncate fallocate copy_file_range")
	reading  = strings.Fields("read pread64 getdents64 newfstatat openat")
	broken   = append(strings.Fields("read pread64 getdents64 newfstatat unlinkat flock utimensat fchmodat"), full...)
	strikes  = map[string][]string{"KILL": changing, "ENOSPC": full, "EIO": broken}
)

// point is where to strike: at the nth such call of a thread.
type point struct {
	command, fault, call string
	n                    int
}

func (p point) String() string { return fmt.Sprintf("%s %s %s %d", p.command, p.fault, p.call, p.n) }

// inject is p in strace's words.
func (p point) inject() string {
	if p.fault == "KILL" {
		return fmt.Sprintf("inject=%s:signal=KILL:when=%d", p.call, p.n)
	}
	return fmt.Sprintf("inject=%s:error=%s:when=%d", p.call, p.fault, p.n)
}

func run(ctx context.Context, o options) (failed bool, err error) {
	work, err := os.MkdirTemp("", "crash-")
	if err != nil {
		return false, err
	}
	defer os.RemoveAll(work) //nolint:errcheck // a temporary folder
	b, err := newBench(ctx, work)
	if err != nil {
		return false, err
	}
	points, err := b.points(ctx, o)
	if err != nil {
		return false, err
	}
	if !o.all && len(points) > o.sample {
		r := rand.New(rand.NewPCG(o.seed, 0)) //nolint:gosec // no secret
		r.Shuffle(len(points), func(i, j int) { points[i], points[j] = points[j], points[i] })
		points = points[:o.sample]
	}
	t := newTable(b.places)
	var wg sync.WaitGroup
	next := make(chan point)
	for range runtime.NumCPU() {
		wg.Go(func() {
			for p := range next {
				t.add(p, b.strike(ctx, p))
			}
		})
	}
	for _, p := range points {
		next <- p
	}
	close(next)
	wg.Wait()
	return t.print(), nil
}

// points are all that a command has: up to the number of calls that any of its
// threads made in an undisturbed run, and a fifth more, for threads share the
// work in another way each time.
func (b *bench) points(ctx context.Context, o options) ([]point, error) {
	var all []point
	for _, command := range commands {
		if o.command != "" && command != o.command {
			continue
		}
		most, err := b.count(ctx, command)
		if err != nil {
			return nil, err
		}
		for _, fault := range []string{"KILL", "ENOSPC", "EIO"} {
			if o.fault != "" && fault != o.fault {
				continue
			}
			for _, call := range strikes[fault] {
				for n := 1; n <= most[call]+most[call]/5; n++ {
					all = append(all, point{command, fault, call, n})
				}
			}
		}
	}
	return all, nil
}

// table is what was struck, and what came of it.
type table struct {
	mu     sync.Mutex
	counts map[string]*count
	places map[string]map[string]bool // by command: all places, true when struck by a kill
	failed []string
}

type count struct{ points, struck, failed int }

func newTable(places map[string]map[string]bool) *table {
	return &table{counts: map[string]*count{}, places: places}
}

func (t *table) add(p point, r result) {
	t.mu.Lock()
	defer t.mu.Unlock()
	c := t.counts[p.command+" "+p.fault]
	if c == nil {
		c = &count{}
		t.counts[p.command+" "+p.fault] = c
	}
	c.points++
	if r.struck {
		c.struck++
	}
	if _, known := t.places[p.command][r.place]; known && p.fault == "KILL" {
		t.places[p.command][r.place] = true
	}
	if r.err != nil {
		c.failed++
		t.failed = append(t.failed, fmt.Sprintf("%s: at %s: %v", p, r.place, r.err))
	}
}

func (t *table) print() (failed bool) {
	fmt.Printf("%-16s %7s %7s %7s\n", "command fault", "points", "struck", "failed")
	for _, name := range sortedKeys(t.counts) {
		c := t.counts[name]
		fmt.Printf("%-16s %7d %7d %7d\n", name, c.points, c.struck, c.failed)
	}
	for _, command := range sortedKeys(t.places) {
		missed := slices.DeleteFunc(sortedKeys(t.places[command]), func(place string) bool { return t.places[command][place] })
		fmt.Printf("%s: killed at %d of %d places\n", command, len(t.places[command])-len(missed), len(t.places[command]))
	}
	points, struck := 0, 0
	for _, c := range t.counts {
		points, struck = points+c.points, struck+c.struck
	}
	if struck*2 < points { // a strace that does not strike finds nothing
		t.failed = append(t.failed, fmt.Sprintf("only %d of %d points were struck", struck, points))
	}
	slices.Sort(t.failed)
	for _, text := range t.failed {
		fmt.Println("FAILED", text)
	}
	return len(t.failed) > 0
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// output runs a program to its end and returns what it printed and its exit
// code. When ctx ends before, the program and all that it has started are told
// to show where they stand (SIGQUIT), then killed, and the error says so: a run
// that never ends is a finding, and must not keep this program from its own end.
func output(ctx context.Context, env []string, name string, args ...string) (string, int, error) {
	c := exec.CommandContext(ctx, name, args...) //nolint:gosec // the commands of this program
	c.Env = append(os.Environ(), env...)
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	c.Cancel = func() error {
		_ = syscall.Kill(-c.Process.Pid, syscall.SIGQUIT)
		time.Sleep(time.Second)
		return syscall.Kill(-c.Process.Pid, syscall.SIGKILL)
	}
	c.WaitDelay = 5 * time.Second
	out, err := c.CombinedOutput()
	if ctx.Err() != nil {
		return string(out), 0, fmt.Errorf("%s %s does not end: %w; it printed: %s", filepath.Base(name), strings.Join(args, " "), ctx.Err(), out)
	}
	if c.ProcessState == nil {
		return "", 0, fmt.Errorf("%s: %w", filepath.Base(name), err)
	}
	return string(out), c.ProcessState.ExitCode(), nil
}
