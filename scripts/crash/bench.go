//go:build linux

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/condaworker/condaworker/conda/condatest"
)

var commands = []string{"build", "publish", "reindex"}

// bench is what the strikes share.
type bench struct {
	program string
	work    string
	recipe  string
	seed    string                     // a channel with a package and no index
	extra   string                     // a package that the seed lacks
	whole   map[string]contents        // by command: the channel after an undisturbed run
	places  map[string]map[string]bool // by command: where an undisturbed run changes files
}

// newBench builds the program and a channel to start from.
func newBench(ctx context.Context, work string) (*bench, error) {
	b := &bench{program: filepath.Join(work, "condaworker"), work: work, seed: filepath.Join(work, "seed"), whole: map[string]contents{}, places: map[string]map[string]bool{}}
	if out, code, err := output(ctx, []string{"CGO_ENABLED=0"}, "go", "build", "-o", b.program, "."); err != nil || code != 0 {
		return nil, fmt.Errorf("build: %w: %s", err, out)
	}
	var err error
	if b.recipe, err = filepath.Abs("examples/hello"); err != nil {
		return nil, err
	}
	b.extra = filepath.Join(work, "extra-1.0-0.conda")
	for file, path := range map[string]string{"old-1.0-0.conda": filepath.Join(b.seed, "linux-64", "old-1.0-0.conda"), "extra-1.0-0.conda": b.extra} {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return nil, err
		}
		name, _, _ := strings.Cut(file, "-")
		if err := condatest.WriteFile(path, condatest.Index(name, "1.0", 0, "linux-64"), map[string]string{"share/" + name: name, "info/run_exports.json": `{"weak": ["x"]}`}); err != nil {
			return nil, err
		}
	}
	for _, command := range commands {
		s, err := b.stage(ctx, command, "undisturbed")
		if err != nil {
			return nil, err
		}
		if out, code, err := output(ctx, s.env(), b.program, s.args...); err != nil || code != 0 {
			return nil, fmt.Errorf("%s: %w: %s", command, err, out)
		}
		if b.whole[command], err = read(s.channel); err != nil {
			return nil, fmt.Errorf("%s: %w", command, err)
		}
	}
	return b, nil
}

// stage is a channel with one package and its index, and a command on it. It is
// indexed in its place: a folder's metadata holds for the very files.
type stage struct {
	dir, channel string
	args         []string
}

func (b *bench) stage(ctx context.Context, command, name string) (stage, error) {
	dir, err := os.MkdirTemp(b.work, command+"-"+name+"-")
	s := stage{dir: dir, channel: filepath.Join(dir, "channel")}
	if err != nil {
		return s, err
	}
	err = errors.Join(copyTree(b.seed, s.channel), os.Mkdir(filepath.Join(dir, "tmp"), 0o700))
	if out, code, runErr := output(ctx, s.env(), b.program, "reindex", s.channel); runErr != nil || code != 0 {
		return s, fmt.Errorf("reindex: %w: %s", errors.Join(err, runErr), out)
	}
	switch command {
	case "build":
		s.args = []string{"build", b.recipe, "--to", s.channel}
	case "publish":
		s.args = []string{"publish", b.extra, "--to", s.channel}
	case "reindex":
		s.args = []string{"reindex", s.channel}
		text, readErr := os.ReadFile(b.extra)
		err = errors.Join(err, readErr, os.WriteFile(filepath.Join(s.channel, "linux-64", filepath.Base(b.extra)), text, 0o600))
	}
	return s, err
}

// copyTree copies files.
func copyTree(from, to string) error {
	return filepath.WalkDir(from, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		target := filepath.Join(to, strings.TrimPrefix(name, from))
		if d.IsDir() {
			return os.MkdirAll(target, 0o755)
		}
		text, err := os.ReadFile(name) //nolint:gosec // our own folder
		if err != nil {
			return err
		}
		return os.WriteFile(target, text, 0o600)
	})
}

// env keeps caches and scratch of a run in its stage, and makes builds of one
// recipe equal.
func (s stage) env() []string {
	return []string{"TMPDIR=" + filepath.Join(s.dir, "tmp"), "XDG_CACHE_HOME=" + filepath.Join(s.dir, "cache"), "SOURCE_DATE_EPOCH=1700000000"}
}

// traced runs s under strace and returns its output, its exit code and the
// calls that it made.
func (b *bench) traced(ctx context.Context, s stage, calls []string, inject ...string) (out string, code int, log []string, err error) {
	file := filepath.Join(s.dir, "strace")
	args := []string{"-f", "-y", "-qq", "-s", "0", "-o", file, "-e", "signal=none", "-e", "trace=" + strings.Join(calls, ",")}
	for _, i := range inject {
		args = append(args, "-e", i)
	}
	out, code, err = output(ctx, s.env(), "strace", append(append(args, b.program), s.args...)...)
	if errors.Is(err, exec.ErrNotFound) {
		return out, code, nil, fmt.Errorf("%w (Debian: apt-get install strace)", err)
	}
	f, openErr := os.Open(file) //nolint:gosec // our own folder
	if openErr != nil {
		return out, code, nil, errors.Join(err, openErr)
	}
	defer f.Close() //nolint:errcheck // only read
	for lines := bufio.NewScanner(f); lines.Scan(); {
		log = append(log, lines.Text())
	}
	return out, code, log, err
}

var (
	callLine = regexp.MustCompile(`^(\d+) +(\w+)\((.*)`)
	namesIn  = regexp.MustCompile(`<(/[^>]*)>|"(/[^"]*)"`)
	random   = regexp.MustCompile(`\d{4,}|[0-9a-f]{32,}`)
)

// count runs a command undisturbed: how often each call is made at most by one
// thread, and at which places files are changed.
func (b *bench) count(ctx context.Context, command string) (map[string]int, error) {
	s, err := b.stage(ctx, command, "counted")
	if err != nil {
		return nil, err
	}
	calls := append(append([]string{}, broken...), changing...)
	out, code, log, err := b.traced(ctx, s, calls)
	if err != nil || code != 0 {
		return nil, fmt.Errorf("%s under strace: %w: %s", command, err, out)
	}
	most, ofThread := map[string]int{}, map[string]int{}
	b.places[command] = map[string]bool{}
	for _, line := range log {
		m := callLine.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		ofThread[m[1]+m[2]]++
		most[m[2]] = max(most[m[2]], ofThread[m[1]+m[2]])
		if changes(m[2], m[3]) {
			b.places[command][s.place(m[2], m[3])] = false
		}
	}
	return most, os.RemoveAll(s.dir)
}

// changes tells whether a call changes a file in the stage.
func changes(call, args string) bool {
	if call == "openat" && !strings.Contains(args, "O_CREAT") {
		return false
	}
	return slices.Contains(changing, call) && (strings.Contains(args, "/channel") || strings.Contains(args, "/tmp"))
}

// place is a call and the file that it is made on, by a name that is the same
// in each run.
func (s stage) place(call, args string) string {
	var names []string
	for _, m := range namesIn.FindAllStringSubmatch(args, -1) {
		name := strings.TrimPrefix(m[1]+m[2], s.dir)
		names = append(names, random.ReplaceAllString(name, "*"))
	}
	return call + " " + strings.Join(names, " ")
}

// result is what came of one strike.
type result struct {
	struck bool
	place  string
	err    error
}

// patience is for all runs of one strike together, which take about a second.
const patience = time.Minute

// strike runs p's command with the fault, reads the channel, runs the command
// again, and compares.
func (b *bench) strike(ctx context.Context, p point) (r result) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	s, err := b.stage(ctx, p.command, "struck")
	if err != nil {
		return result{err: err}
	}
	defer os.RemoveAll(s.dir) //nolint:errcheck // a temporary folder
	out, code, log, err := b.traced(ctx, s, []string{p.call}, p.inject())
	if err != nil && ctx.Err() != nil && brokePipe(log) {
		return result{}
	}
	if err != nil {
		return result{err: err}
	}
	r.struck, r.place = struck(s, p, code, log)
	if r.err = b.afterwards(p, s, r.place, out, code); r.err != nil || !r.struck || p.foreign() {
		return r
	}
	r.err = b.again(ctx, p, s)
	return r
}

// foreign tells whether the fault may have come to a program of the recipe's.
// A shell that cannot look at its script runs none of it and is content, and
// what is built is not what it would be.
func (p point) foreign() bool {
	return p.command == "build" && p.fault == "EIO" && slices.Contains(reading, p.call)
}

// brokePipe tells whether a pipe or a socket was struck. No disk breaks those,
// and who waits for the other end of one may wait for ever: Go does when it
// starts a program.
func brokePipe(log []string) bool {
	return slices.ContainsFunc(log, func(line string) bool {
		return strings.Contains(line, "INJECTED") && (strings.Contains(line, "<pipe:") || strings.Contains(line, "<socket:"))
	})
}

// struck tells where the fault came, from strace's log.
func struck(s stage, p point, code int, log []string) (bool, string) {
	for _, line := range slices.Backward(log) {
		m := callLine.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		if p.fault == "KILL" && code < 0 && m[2] == p.call || strings.Contains(line, "INJECTED") {
			return true, s.place(m[2], m[3])
		}
	}
	return false, ""
}

// afterwards judges what the disturbed run left.
func (b *bench) afterwards(p point, s stage, place, out string, code int) error {
	now, err := read(s.channel)
	if err != nil {
		return fmt.Errorf("a client finds: %w", err)
	}
	if p.fault == "KILL" || code < 0 || strings.Contains(out, "runtime: netpoll") { // its own signals failed
		return nil
	}
	if p.foreign() {
		return nil
	}
	if code == 0 {
		return now.differs(b.whole[p.command])
	}
	if code > 8 {
		return fmt.Errorf("it exits with %d: %s", code, out)
	}
	if says := place != "write "; says && !strings.Contains(out, "error: ") { // a pipe that is broken is told of no error
		return fmt.Errorf("it exits with %d and says no error: %s", code, out)
	}
	if len(now.temporary) > 0 && p.call != "unlinkat" {
		return fmt.Errorf("it left %q", now.temporary)
	}
	return nil
}

// again runs the command undisturbed. The lock of the killed run is freed
// before, as the next run would find it a minute later.
func (b *bench) again(ctx context.Context, p point, s stage) error {
	if err := os.Remove(filepath.Join(s.channel, ".s3-object-mutex-lock.json")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	out, code, err := output(ctx, s.env(), b.program, s.args...)
	if err != nil || code != 0 {
		return fmt.Errorf("the next run exits with %d, %w: %s", code, err, out)
	}
	now, err := read(s.channel)
	if err != nil {
		return fmt.Errorf("after the next run a client finds: %w", err)
	}
	if err := now.differs(b.whole[p.command]); err != nil {
		return fmt.Errorf("after the next run %w", err)
	}
	if out, code, err = output(ctx, s.env(), b.program, "reindex", "--check", s.channel); err != nil || code != 0 {
		return fmt.Errorf("the check after the next run: %w: %s", err, out)
	}
	return nil
}
