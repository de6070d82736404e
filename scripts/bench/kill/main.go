// Command kill builds a package again and again, kills each build with SIGKILL
// at a random moment, and looks for what it leaves: processes, mounts, folders.
// Several builds share one work folder, so that a run that removes what a dead
// one left would be seen to touch a live one.
//
//	go run ./scripts/bench/kill -n 10000
//
// It ends with 1 when anything was left, or when a build that was not killed
// failed.
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
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
    - mkdir -p $PREFIX/share; for i in $(seq 200); do echo $i > $PREFIX/share/$i; done
    - sleep 0.05
tests:
  - script: ["sh -c 'sleep 31536000; echo MARK' & test -f $PREFIX/share/1"]
`

// modes are the walls that the builds stand behind in turn.
var modes = []string{"auto", "landlock", "off"}

func main() {
	n := flag.Int("n", 1000, "how many builds to kill")
	program := flag.String("program", "", "the program; empty: built from here")
	seed := flag.Uint64("seed", 1, "of the moments")
	flag.Parse()
	if err := run(*n, *program, *seed); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// bench is one run of the command.
type bench struct {
	program, dir, mark string
	whole              time.Duration // of a build that is not killed
}

func run(n int, program string, seed uint64) (err error) {
	dir, err := os.MkdirTemp("", "kill")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	b := &bench{program: filepath.Join(dir, "condaworker"), dir: dir, mark: "mark" + filepath.Base(dir)}
	if err := b.prepare(program); err != nil {
		return err
	}
	before := mounts()
	begun := time.Now()
	ended, err := b.killAll(n, seed)
	if err != nil {
		return err
	}
	if out, err := b.build("auto").CombinedOutput(); err != nil {
		return fmt.Errorf("the build after the last kill: %w\n%s", err, out)
	}
	left, err := filepath.Glob(filepath.Join(dir, "work", "*"))
	hidden, _ := filepath.Glob(filepath.Join(dir, "work", ".*"))
	left = append(left, hidden...)
	fmt.Printf("%d builds killed, %d ended before, in %s; left: %d processes, %d mounts, %d folders\n",
		n, ended, time.Since(begun).Round(time.Second), len(b.running()), mounts()-before, len(left))
	if len(left) > 0 || mounts() != before || len(b.running()) > 0 {
		return fmt.Errorf("left: %v", left)
	}
	return err
}

// prepare makes the program and the recipe, and measures a build.
func (b *bench) prepare(program string) error {
	text := strings.ReplaceAll(recipe, "MARK", b.mark)
	err := errors.Join(
		os.MkdirAll(filepath.Join(b.dir, "recipe"), 0o755),
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
	begun := time.Now()
	if out, err := b.build("auto").CombinedOutput(); err != nil {
		return fmt.Errorf("a build that nobody kills: %w\n%s", err, out)
	}
	b.whole = time.Since(begun)
	return nil
}

// build is one build, with a folder for its package of its own.
func (b *bench) build(mode string) *exec.Cmd {
	cmd := exec.Command(b.program, "build", filepath.Join(b.dir, "recipe"), "--work-dir", filepath.Join(b.dir, "work"), "--sandbox", mode, "--output-dir", filepath.Join(b.dir, "out-"+mode))
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + b.dir}
	return cmd
}

// killAll kills n builds, one at a time for each mode. ended is how many ended
// before.
func (b *bench) killAll(n int, seed uint64) (ended int, err error) {
	var (
		group sync.WaitGroup
		mu    sync.Mutex
	)
	for i, mode := range modes {
		group.Go(func() {
			rng := rand.New(rand.NewPCG(seed, uint64(i))) //nolint:gosec // repeatable on purpose
			early, failed := b.killSome(mode, (n+len(modes)-1-i)/len(modes), rng)
			mu.Lock()
			defer mu.Unlock()
			ended += early
			err = errors.Join(err, failed)
		})
	}
	group.Wait()
	return ended, errors.Join(err, b.waitForNone())
}

// killSome kills n builds of one mode. How long one takes is known from the last
// that was not killed.
func (b *bench) killSome(mode string, n int, rng *rand.Rand) (ended int, err error) {
	whole := b.whole
	for killed := 0; killed < n; {
		begun := time.Now()
		was, err := b.killOne(mode, time.Duration(rng.Int64N(int64(whole*11/10))))
		switch {
		case err != nil:
			return ended, err
		case was:
			killed++
		default:
			ended++
			whole = time.Since(begun)
		}
	}
	return ended, nil
}

// killOne starts a build and kills it after a while. killed is false when it
// ended before.
func (b *bench) killOne(mode string, after time.Duration) (killed bool, err error) {
	cmd := b.build(mode)
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
	return false, fmt.Errorf("a build that was not killed: %w\n%s", err, text)
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

// mounts counts those of this machine.
func mounts() int {
	table, _ := os.ReadFile("/proc/self/mountinfo")
	return bytes.Count(table, []byte{'\n'})
}
