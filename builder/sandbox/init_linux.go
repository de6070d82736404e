package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// initName is what the process between is called; nobody else starts a program
// with such a name.
const initName = "condaworker-sandbox"

// A program or a test binary that forgot to call Init would do its own work
// again inside of every command, without end. So whoever links this package is
// the process between before anything of its own runs.
func init() {
	if code, inside := Init(os.Args); inside {
		syscall.Exit(code) // nothing of the program has begun that would have to end
	}
}

// The files that the process between inherits.
const (
	connFile = 3 + iota
	doorFile // see group.door
	lastFile // Walls.InUse, which is the one before where there is no door
)

// Init turns this process into the one that stands between Run and a command,
// when it was started as that: inside is true then, and the program exits with
// code. args are the process's, its name first. To be called before anything
// else.
func Init(args []string) (code int, inside bool) {
	if len(args) != 1 || args[0] != initName {
		return 0, false
	}
	if err := serve(os.NewFile(connFile, "sandbox")); err != nil {
		return 1, true
	}
	return 0, true
}

// serve builds the walls, runs the command and ends all that it started. It is
// the parent of whatever loses its own: the first process of a namespace, or
// else a subreaper. When conn breaks, the program is gone and the command ends.
func serve(conn *os.File) error {
	runtime.LockOSThread()                                                                                   // PR_SET_PDEATHSIG is forgotten when its thread ends
	signal.Notify(make(chan os.Signal, 1), syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGQUIT) // ends are told over conn
	var o order
	hear, tell := json.NewDecoder(conn), json.NewEncoder(conn)
	if err := hear.Decode(&o); err != nil {
		return err
	}
	k := &keeper{order: o}
	failed := k.enter()
	if failed == nil {
		failed = k.start(tell)
	}
	if failed != nil {
		return tell.Encode(news{Failed: failed})
	}
	if k.out.Errno == 0 {
		k.keep(hear)
	}
	return tell.Encode(news{Ended: &k.out})
}

// keeper runs one command inside its walls.
type keeper struct {
	order
	layers Layers
	gate   *gate  // nil where the command has no network of ours
	disks  []disk // as they were before the command
	killed int    // processes of this machine for want of memory, before the command
	shmem  Size   // the least that all files in memory of this machine were together
	out    outcome
	pid    int
	exits  <-chan syscall.WaitStatus // of the command
	empty  <-chan struct{}           // closed when no process is left
}

// enter makes what holds for this process too: the namespaces' insides and what
// of us is hidden.
func (k *keeper) enter() *LayerError {
	for file := connFile; file <= lastFile; file++ {
		unix.CloseOnExec(file) // who had the first could speak to the program in our name
	}
	_ = unix.CloseRange(doorFile, ^uint(0), unix.CLOSE_RANGE_CLOEXEC) // what we inherited, wanted or not; kernels since 5.11
	_ = os.WriteFile("/proc/self/oom_score_adj", []byte("1000"), 0)   // when memory is short, not the worker's agent goes first
	_ = os.WriteFile("/proc/self/comm", []byte("sandbox"), 0)         // for those who look at a list of processes
	k.limitNumbers()
	var threads sync.WaitGroup
	threads.Go(k.startThreads)
	_ = unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) // kernels since 3.4 have it
	if k.Walls.Mode != Off {
		_, _ = unix.KeyctlJoinSessionKeyring("") // a fresh one; where keyrings are forbidden, there is nothing in them
	}
	if k.Spaces {
		if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0); err != nil {
			return &LayerError{"pid", err.Error()}
		}
		if failed := k.furnish(); failed != nil {
			return failed
		}
	}
	threads.Wait()
	goFirst()
	_ = unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0) // no process inside may trace this one
	k.disks, k.killed, k.shmem = k.writable(), killedForMemory(), machineMemory("Shmem")
	return nil
}

// furnish sets up what new namespaces hold.
func (k *keeper) furnish() *LayerError {
	if err := k.buildRoot(); err != nil {
		return &LayerError{"mount", err.Error()}
	}
	if err := unix.Sethostname([]byte("condaworker")); err != nil {
		return &LayerError{"uts", err.Error()}
	}
	if k.User {
		k.layers.Held = append(k.layers.Held, "user")
	}
	k.layers.Held = append(k.layers.Held, "mount", "pid", "ipc", "uts")
	if k.Walls.Network {
		return nil
	}
	if err := raiseLoopback(); err != nil {
		return &LayerError{"net", err.Error()}
	}
	k.layers.Held = append(k.layers.Held, "net")
	return nil
}

// raiseLoopback gives the command a network of its own that ends at itself:
// tests talk to servers that they start.
func raiseLoopback() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd) //nolint:errcheck // it was only needed for the call
	request, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	request.SetUint16(unix.IFF_UP)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, request)
}

// start starts the command from a thread that has given up what it may do; the
// command inherits that. tell hears of the layers before.
func (k *keeper) start(tell *json.Encoder) *LayerError {
	result := make(chan *LayerError)
	onThreadOfItsOwn(func() {
		_ = unix.SchedSetAttr(0, &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_NORMAL}, 0) // what goFirst did is not for the command
		k.joinGroup()
		failed := k.restrict()
		if failed == nil {
			if err := tell.Encode(news{Layers: &k.layers}); err == nil {
				k.exec()
			}
		}
		result <- failed
		k.gate.work()
	})
	return <-result
}

// joinGroup puts this thread, and what it starts, into the control group that
// bounds the number of processes.
func (k *keeper) joinGroup() {
	if k.Door {
		door := os.NewFile(doorFile, "tasks")
		_, err := door.WriteString("0")
		k.Bounds.Group = errors.Join(err, door.Close()) == nil
	}
}

// onThreadOfItsOwn runs f on a thread that ends with it and that is not the
// process's first: others look at that one to judge the process.
func onThreadOfItsOwn(f func()) {
	go func() {
		runtime.LockOSThread() // for ever: nobody else may have this thread
		if unix.Gettid() != os.Getpid() {
			f()
			return
		}
		onThreadOfItsOwn(f)
		select {} // keeps the first thread
	}()
}

// exec starts the command, with nothing to read and our output.
func (k *keeper) exec() {
	null, err := os.Open(os.DevNull)
	if err == nil {
		defer null.Close() //nolint:errcheck // nothing was written
		k.pid, err = syscall.ForkExec(k.Command[0], k.Command, &syscall.ProcAttr{
			Dir: k.Dir, Env: k.Env, Files: []uintptr{null.Fd(), 1, 2}, Sys: &syscall.SysProcAttr{Setsid: true},
		})
	}
	if err != nil {
		k.out.Start = "start " + k.Command[0]
		if _, err := os.Stat(k.Dir); err != nil {
			k.out.Start += fmt.Sprintf(" in %s", k.Dir)
		}
		k.out.Errno = syscall.EIO
		_ = errors.As(err, &k.out.Errno)
		return
	}
	most := uint64(mostProcesses(k.Walls.Limits))                                       //nolint:gosec // it is positive
	_ = unix.Prlimit(k.pid, unix.RLIMIT_NPROC, &unix.Rlimit{Cur: most, Max: most}, nil) // the watch is behind it
	k.reap()
}

// reap waits for every process as it ends.
func (k *keeper) reap() {
	exits, empty := make(chan syscall.WaitStatus, 1), make(chan struct{})
	k.exits, k.empty = exits, empty
	go func() {
		defer close(empty)
		for {
			var status syscall.WaitStatus
			switch pid, err := syscall.Wait4(-1, &status, 0, nil); {
			case err == syscall.EINTR:
			case err != nil:
				return
			case pid == k.pid:
				exits <- status
			}
		}
	}()
}

// keep watches the command to its end and ends what it leaves.
func (k *keeper) keep(hear *json.Decoder) {
	over := make(chan struct{})
	go func() {
		defer close(over)
		var d demand
		if err := hear.Decode(&d); err != nil && !errors.Is(err, io.EOF) {
			return // the program is gone as well
		}
	}()
	tooMuch, stop := k.watchUse()
	defer stop()
	grace := k.Grace
	select {
	case k.out.Status = <-k.exits:
		k.out.Exited = true
		k.out.Limit, k.out.Left = k.lacked(), k.left()
	case <-over:
	case k.out.Limit = <-tooMuch:
		grace = 0 // it had its chance, and every moment costs
	}
	k.sweep(grace)
	if !k.out.Exited {
		select {
		case k.out.Status = <-k.exits:
			k.out.Exited = true
		default: // not even a KILL ended it
		}
	}
}

// alone tells whether no process is left, or none after a while. Mostly there are none.
func (k *keeper) alone(while time.Duration) bool {
	select {
	case <-k.empty:
		return true
	case <-time.After(while):
		return false
	}
}

// settle is how long the command's last processes may take to end by themselves, such
// as one that writes the end of a log.
const settle = 300 * time.Millisecond

// left names the processes that the command left behind.
func (k *keeper) left() []string {
	if k.alone(settle) {
		return nil
	}
	var names []string
	for _, pid := range k.processes() {
		if name, running := nameOf(pid); running {
			names = append(names, name)
		}
	}
	return names
}

// sweep asks all processes to end and kills those that do not within grace.
func (k *keeper) sweep(grace time.Duration) {
	if k.alone(time.Millisecond) {
		return
	}
	if grace > 0 {
		k.signal(syscall.SIGTERM)
	}
	asked := time.Now()
	for time.Since(asked) < grace+killTime {
		if time.Since(asked) >= grace {
			k.signal(syscall.SIGKILL)
		}
		select {
		case <-k.empty:
			return
		case <-time.After(look):
		}
	}
}

// signal reaches every process but this one: all of the namespace, or all that
// descend from us.
func (k *keeper) signal(s syscall.Signal) {
	if k.Spaces {
		_ = syscall.Kill(-1, s) // there may be none
		return
	}
	signalAll(descendants(), s)
}
