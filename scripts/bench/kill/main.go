//go:build linux

// Command kill builds and publishes a package again and again, and indexes its
// channel, kills each run with SIGKILL at a random moment, and looks for what it
// leaves: processes, mounts, temporary folders, control groups, and locks that
// are held for longer than their lease. Several builds share one work folder, so
// that a run that removes what a dead one left would be seen to touch a live one.
//
//	go run ./scripts/bench/kill -n 10000
//
// It ends with 1 when anything was left, or when a run that was not killed
// failed.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// recipe's script leaves all kinds of processes, and folders that cannot be
// removed at once. MARK is in the arguments of each process.
const recipe = `
package: {name: killed, version: "1.0"}
build:
  noarch: generic
  script:
    - mkdir -p closed/folder && touch closed/folder/file && chmod -R a-w closed
    - (setsid sh -c 'trap "" TERM HUP; sleep 31536000; echo MARK' &)
    - setsid sh -c 'sleep 31536000; echo MARK' &
    - sh -c 'sleep 31536000; echo MARK' &
    - mkdir -p $PREFIX/share; for i in {1..20}; do echo $i > $PREFIX/share/$i; done
    - sleep 0.05
tests:
  - script: ["sh -c 'sleep 31536000; echo MARK' & test -f $PREFIX/share/1"]
`

// jobs are what is killed, one of each at a time: builds behind each kind of
// walls, and what indexes the channel of the first.
var jobs = []string{"auto", "landlock", "off", reindex}

const (
	reindex = "reindex"
	lockKey = ".s3-object-mutex-lock.json" // of a channel's lock
)

func main() {
	n := flag.Int("n", 1000, "how many builds to kill")
	program := flag.String("program", "", "the program; empty: built from here")
	seed := flag.Uint64("seed", 1, "of the moments")
	flag.Parse()
	if os.Getenv(alone) == "" && os.Getuid() == 0 {
		os.Exit(again())
	}
	if err := run(*n, *program, *seed); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// alone is set in the environment of a run with a table of mounts of its own.
const alone = "KILL_ALONE"

// again runs the command once more where nobody else mounts anything: what appears
// in its table of mounts is of its own runs. Only root may do that.
func again() (code int) {
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(os.Environ(), alone+"=yes")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	err := cmd.Run()
	if ended, is := errors.AsType[*exec.ExitError](err); is {
		return ended.ExitCode()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// bench is one run of the command.
type bench struct {
	program, dir, mark string
	whole              map[string]time.Duration // of a run of each job that is not killed
}

func run(n int, program string, seed uint64) (err error) {
	dir, err := os.MkdirTemp("", "kill")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	b := &bench{program: filepath.Join(dir, "condaworker"), dir: dir, mark: "mark" + filepath.Base(dir), whole: map[string]time.Duration{}}
	if err := b.prepare(program); err != nil {
		return err
	}
	mounted, groups := mounts(), len(deadGroups())
	begun := time.Now()
	ended, err := b.killAll(n, seed)
	if err != nil {
		return err
	}
	took := time.Since(begun)
	for _, job := range jobs { // the next run removes what killed ones left
		if out, err := b.command(job).CombinedOutput(); err != nil {
			return fmt.Errorf("%s after the last kill: %w\n%s", job, err, out)
		}
	}
	left := found{
		processes: b.running(), folders: b.folders(), locks: b.oldLocks(), groups: len(deadGroups()) - groups,
		mounts: slices.DeleteFunc(mounts(), func(m string) bool { return slices.Contains(mounted, m) }),
	}
	fmt.Printf("%d runs killed, %d ended before, in %s (%s each); left: %d processes, %d mounts, %d temporary folders, %d control groups, %d locks older than their lease\n",
		n, ended, took.Round(time.Second), (took / time.Duration(n)).Round(time.Millisecond), len(left.processes), len(left.mounts), len(left.folders), left.groups, len(left.locks))
	if len(left.processes)+len(left.folders)+len(left.locks)+len(left.mounts) > 0 || left.groups > 0 {
		return fmt.Errorf("left: %+v", left)
	}
	return nil
}

// found is what killed runs left.
type found struct {
	processes, folders, locks, mounts []string
	groups                            int
}

// prepare makes the program and the recipe, and measures a build.
func (b *bench) prepare(program string) error {
	text := strings.ReplaceAll(recipe, "MARK", b.mark)
	err := errors.Join(
		os.MkdirAll(filepath.Join(b.dir, "recipe"), 0o755),
		os.MkdirAll(filepath.Join(b.dir, "tmp"), 0o755),
		os.WriteFile(filepath.Join(b.dir, "recipe", "recipe.yaml"), []byte(text), 0o644))
	if err != nil {
		return err
	}
	if program == "" {
		program = "."
	}
	make := exec.Command("go", "build", "-o", b.program, program)
	if program != "." {
		make = exec.Command("cp", program, b.program) // a file of our own: who runs it is ours
	}
	if out, err := make.CombinedOutput(); err != nil {
		return fmt.Errorf("make the program: %w\n%s", err, out)
	}
	for _, job := range jobs {
		begun := time.Now()
		if out, err := b.command(job).CombinedOutput(); err != nil {
			return fmt.Errorf("%s that nobody kills: %w\n%s", job, err, out)
		}
		b.whole[job] = time.Since(begun)
	}
	return nil
}

// command is one run of a job. A kind of build has a channel of its own.
func (b *bench) command(job string) *exec.Cmd {
	cmd := exec.Command(b.program, "build", filepath.Join(b.dir, "recipe"), "--work-dir", filepath.Join(b.dir, "work"), "--sandbox", job, "--to", b.channel(job))
	if job == reindex {
		cmd = exec.Command(b.program, "reindex", "--full", b.channel("auto"))
	}
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + b.dir, "TMPDIR=" + filepath.Join(b.dir, "tmp")}
	return cmd
}

func (b *bench) channel(job string) string { return filepath.Join(b.dir, "channel-"+job) }

// killAll kills n runs, one at a time of each job. ended is how many ended
// before.
func (b *bench) killAll(n int, seed uint64) (ended int, err error) {
	var (
		group sync.WaitGroup
		mu    sync.Mutex
	)
	for i, job := range jobs {
		group.Go(func() {
			rng := rand.New(rand.NewPCG(seed, uint64(i))) //nolint:gosec // repeatable on purpose
			early, failed := b.killSome(job, (n+len(jobs)-1-i)/len(jobs), rng)
			mu.Lock()
			defer mu.Unlock()
			ended += early
			err = errors.Join(err, failed)
		})
	}
	group.Wait()
	return ended, errors.Join(err, b.waitForNone())
}

// killSome kills n runs of a job. How long one takes is known from the last that
// was not killed; one that waited for a dead one's lock tells nothing.
func (b *bench) killSome(job string, n int, rng *rand.Rand) (ended int, err error) {
	first := b.whole[job]
	whole := first
	for killed := 0; killed < n; {
		begun := time.Now()
		was, err := b.killOne(job, time.Duration(rng.Int64N(int64(whole*11/10))))
		switch {
		case err != nil:
			return ended, err
		case was:
			killed++
		default:
			ended++
			whole = min(time.Since(begun), 3*first)
		}
	}
	return ended, nil
}

// killOne starts a run and kills it after a while. killed is false when it
// ended before.
func (b *bench) killOne(job string, after time.Duration) (killed bool, err error) {
	cmd := b.command(job)
	log, err := os.CreateTemp(b.dir, "log") // not a pipe: what is left would hold it
	if err != nil {
		return false, err
	}
	defer os.Remove(log.Name()) //nolint:errcheck // its folder goes as well
	defer log.Close()           //nolint:errcheck // it is read by name
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return false, err
	}
	timer := time.AfterFunc(after, func() { _ = cmd.Process.Kill() })
	err = cmd.Wait()
	timer.Stop()
	if err == nil {
		return false, nil
	}
	if cmd.ProcessState.ExitCode() == -1 {
		return true, nil
	}
	text, _ := os.ReadFile(log.Name())
	return false, fmt.Errorf("%s that was not killed: %w\n%s", job, err, text)
}

// waitForNone gives the kernel ten seconds to end what the last kills hit.
func (b *bench) waitForNone() error {
	for range 1000 {
		if len(b.running()) == 0 {
			return nil
		}
		time.Sleep(10 * time.Millisecond)
	}
	return fmt.Errorf("still running: %v", b.running())
}

// running are the processes that run the program or were started by its script.
func (b *bench) running() []string {
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	var all []string
	for _, file := range files {
		pid := filepath.Dir(file)
		text, _ := os.ReadFile(file)
		exe, _ := os.Readlink(filepath.Join(pid, "exe"))
		if exe == b.program || bytes.Contains(text, []byte(b.mark)) {
			all = append(all, filepath.Base(pid)+" "+string(bytes.ReplaceAll(text, []byte{0}, []byte{' '})))
		}
	}
	return all
}

// mounts are those that this process sees, a line each. Without root they are the
// machine's, and others may mount something meanwhile.
func mounts() []string {
	table, _ := os.ReadFile("/proc/self/mountinfo")
	return strings.Split(strings.TrimSpace(string(table)), "\n")
}

// folders are what is left in the folders for work and for temporary files.
func (b *bench) folders() (left []string) {
	for _, dir := range []string{"work", "tmp"} {
		entries, _ := os.ReadDir(filepath.Join(b.dir, dir))
		for _, e := range entries {
			left = append(left, filepath.Join(dir, e.Name()))
		}
	}
	return left
}

// oldLocks are the channels whose lock is held although its time is over.
func (b *bench) oldLocks() (left []string) {
	for _, job := range jobs {
		name := filepath.Join(b.channel(job), lockKey)
		info, err := os.Stat(name)
		if err != nil {
			continue // nobody took it
		}
		text, err := os.ReadFile(name)
		if bytes.HasPrefix(text, []byte("#")) {
			continue // a free one is no JSON
		}
		var is struct {
			State     string `json:"state"`
			TTLMillis int64  `json:"ttlMs"`
		}
		lease := func() time.Duration { return time.Duration(is.TTLMillis) * time.Millisecond }
		if err = errors.Join(err, json.Unmarshal(text, &is)); err != nil || is.State == "held" && time.Since(info.ModTime()) > lease() {
			left = append(left, string(text))
		}
	}
	return left
}

// deadGroups are the control groups of runs of our pid namespace that are no more.
// Others on this machine may make some as well.
func deadGroups() (left []string) {
	space, _ := os.Readlink("/proc/self/ns/pid")
	space = strings.Trim(space, "pid:[]")
	_ = filepath.WalkDir("/sys/fs/cgroup", func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return nil //nolint:nilerr // it is gone, or closed to us
		}
		number, found := strings.CutPrefix(d.Name(), "condaworker-"+space+"-")
		if !found {
			return nil
		}
		number, _, _ = strings.Cut(number, "-")
		if _, err := os.Stat("/proc/" + number); err != nil {
			left = append(left, path)
		}
		return fs.SkipDir
	})
	return left
}
