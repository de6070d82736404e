package openjdtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Runner runs actions in a session, one at a time in a process: what appears
// among our children meanwhile is taken for the action's.
type Runner struct {
	Policy Policy
	// Group sends the signal of a cancelation to the whole process group, as the
	// runtime in Rust does; else the leader alone gets it.
	Group bool
	Grace time.Duration // from the signal to SIGKILL for the group
	Dir   string        // the session's folder; it is the action's working folder and has its temporary one
	Env   []string      // besides what every session has
}

// Action is one that runs.
type Action struct {
	runner  Runner
	process *exec.Cmd
	read    *os.File
	exited  chan struct{}
	eof     chan struct{}
	mu      sync.Mutex
	output  []byte
	news    chan struct{} // there is more output
}

// Result is what became of an action.
type Result struct {
	ExitCode int    // -1: a signal ended it
	Killed   bool   // it had to be killed after the grace
	Output   string // all of it
	Status   string // the last openjd_status
	Fail     string // the last openjd_fail
	Progress string // the last openjd_progress
	Rogue    []string
	Took     time.Duration // from the signal, or what else ended it, to its end
	Left     []string      // processes, mounts, temporary files and holders of the pipe that outlive it
}

// Start begins an action: leader of a process group, nothing to read, one pipe
// for its output.
func (r Runner) Start(ctx context.Context, args ...string) (*Action, error) {
	if err := adopt(); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(r.temp(), 0o700); err != nil {
		return nil, err
	}
	read, write, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	c := exec.CommandContext(ctx, args[0], args[1:]...) //nolint:gosec // the test's own
	c.Dir, c.Stdout, c.Stderr, c.Env = r.Dir, write, write, append(r.session(), r.Env...)
	c.SysProcAttr = &syscall.SysProcAttr{Setsid: !r.Group, Setpgid: r.Group}
	if err := errors.Join(c.Start(), write.Close()); err != nil {
		return nil, errors.Join(err, read.Close())
	}
	a := &Action{runner: r, process: c, read: read, exited: make(chan struct{}), eof: make(chan struct{}), news: make(chan struct{}, 1)}
	go func() { defer close(a.exited); _ = c.Wait() }() // its state is read later
	go a.listen()
	return a, nil
}

func (r Runner) temp() string { return filepath.Join(r.Dir, "tmp") }

// session is a login's environment, without a language, and the farm's ids.
func (r Runner) session() []string {
	return []string{
		"HOME=" + r.Dir, "USER=job-user", "PATH=/usr/local/bin:/usr/bin:/bin", "TMPDIR=" + r.temp(),
		"OPENJD_SESSION_WORKING_DIR=" + r.Dir, "DEADLINE_SESSION_ID=session-0123456789abcdef0123456789abcdef",
		"DEADLINE_SESSIONACTION_ID=sessionaction-0123456789abcdef0123456789abcdef-1", "DEADLINE_FARM_ID=farm-0", "DEADLINE_QUEUE_ID=queue-0", "DEADLINE_JOB_ID=job-0",
	}
}

func (a *Action) listen() {
	defer close(a.eof)
	b := make([]byte, 64<<10)
	for {
		n, err := a.read.Read(b)
		a.mu.Lock()
		a.output = append(a.output, b[:n]...)
		a.mu.Unlock()
		select {
		case a.news <- struct{}{}:
		default:
		}
		if err != nil {
			return
		}
	}
}

// Await returns when the output has the text, or an error when the action ends
// or ctx does before.
func (a *Action) Await(ctx context.Context, text string) error {
	for {
		a.mu.Lock()
		found := bytes.Contains(a.output, []byte(text))
		a.mu.Unlock()
		if found {
			return nil
		}
		select {
		case <-a.news:
		case <-a.eof:
			return fmt.Errorf("the action ended without %q:\n%s", text, a.output)
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// Cancel notifies the action, with several signals one after the other, waits,
// and kills its group after the grace.
func (a *Action) Cancel(signals ...syscall.Signal) Result {
	at := time.Now()
	end := at.Add(a.runner.Grace).UTC().Format("2006-01-02T15:04:05Z")
	info := filepath.Join(a.runner.Dir, "cancel_info.json")
	_ = os.WriteFile(info, []byte(`{"NotifyEnd":"`+end+`"}`), 0o600) // a hint that need not be there
	for i, s := range signals {
		if i > 0 {
			time.Sleep(50 * time.Millisecond) // else the system makes them one
		}
		_ = syscall.Kill(a.target(), s) // it may have ended by itself
	}
	return a.wait(at)
}

func (a *Action) target() int {
	if a.runner.Group {
		return -a.process.Process.Pid
	}
	return a.process.Process.Pid
}

// Hang stops the action where it is: it hears no signal but the last.
func (a *Action) Hang() error { return a.process.Process.Signal(syscall.SIGSTOP) }

// Hurry makes the grace shorter.
func (a *Action) Hurry(grace time.Duration) { a.runner.Grace = grace }

// Leave closes the pipe, as a runtime does that dies.
func (a *Action) Leave() Result {
	at := time.Now()
	_ = a.read.Close() // the listener ends with it
	return a.wait(at)
}

// Wait lets the action run to its own end.
func (a *Action) Wait() Result { return a.wait(time.Now()) }

func (a *Action) wait(from time.Time) (r Result) {
	select {
	case <-a.exited:
	case <-time.After(a.runner.Grace):
		r.Killed = true
		_ = syscall.Kill(-a.process.Process.Pid, syscall.SIGKILL) // its end is waited for
		<-a.exited
		settle()
	}
	r.Took, r.ExitCode = time.Since(from), a.process.ProcessState.ExitCode()
	select {
	case <-a.eof:
	case <-time.After(held):
		r.Left = append(r.Left, "somebody holds the pipe")
	}
	_ = a.read.Close() // twice is no harm
	r.Left = append(r.Left, a.left()...)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.judge(&r)
	return r
}

// held is how long the runtime in Python waits for the pipe's end; the one in
// Rust waits for ever.
const held = 5 * time.Second

// judge reads the output as the session does.
func (a *Action) judge(r *Result) {
	r.Output = string(a.output)
	lines, err := a.runner.Policy.Lines(a.output)
	if err != nil {
		r.Rogue = append(r.Rogue, err.Error())
	}
	for _, line := range lines {
		m := wellFormed.FindStringSubmatch(line)
		switch {
		case m == nil && acts(line):
			r.Rogue = append(r.Rogue, line)
		case m == nil:
		case m[1] == "status":
			r.Status = m[2]
		case m[1] == "fail":
			r.Fail = m[2]
		case m[1] == "progress":
			r.Progress = m[2]
			if p, err := strconv.ParseFloat(m[2], 64); err != nil || p < 0 || p > 100 {
				r.Rogue = append(r.Rogue, line)
			}
		default: // a build sets no variables
			r.Rogue = append(r.Rogue, line)
		}
	}
}

// left names what outlives the action, and ends the processes among it.
func (a *Action) left() (all []string) {
	for _, pid := range children() {
		name, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid)) // it may be gone
		if len(name) > 0 {                                           // else it is dead and waits to be reaped
			all = append(all, fmt.Sprintf("process %d: %s", pid, bytes.ReplaceAll(name, []byte{0}, []byte{' '})))
		}
		_ = syscall.Kill(pid, syscall.SIGKILL)
		_, _ = syscall.Wait4(pid, nil, 0, nil)
	}
	if mounts, err := os.ReadFile("/proc/self/mountinfo"); err != nil || bytes.Contains(mounts, []byte(a.runner.Dir)) {
		all = append(all, "a mount in "+a.runner.Dir)
	}
	err := filepath.WalkDir(a.runner.temp(), func(path string, _ os.DirEntry, err error) error {
		if path != a.runner.temp() {
			all = append(all, "file "+path)
		}
		return err
	})
	if err != nil {
		all = append(all, err.Error())
	}
	return all
}

// settle waits, not for long, for what dies with a program that was killed: it
// hears of that death a moment later.
func settle() {
	for end := time.Now().Add(held); len(children()) > 0 && time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		for _, pid := range children() {
			_, _ = syscall.Wait4(pid, nil, syscall.WNOHANG, nil) // most are alive still
		}
	}
}

// adopt makes this process the parent of whatever loses its own.
func adopt() error {
	const setChildSubreaper = 36
	if _, _, errno := syscall.Syscall(syscall.SYS_PRCTL, setChildSubreaper, 1, 0); errno != 0 {
		return errno
	}
	return nil
}

// children are this process's, the ended ones included.
func children() (pids []int) {
	files, _ := filepath.Glob("/proc/self/task/*/children") // a pattern of ours
	for _, file := range files {
		f, err := os.Open(file) //nolint:gosec // of /proc
		if err != nil {
			continue // the thread is gone
		}
		text, _ := io.ReadAll(f) // what cannot be read is gone, too
		_ = f.Close()
		for word := range strings.FieldsSeq(string(text)) {
			if pid, err := strconv.Atoi(word); err == nil {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}
