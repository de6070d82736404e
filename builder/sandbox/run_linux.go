package sandbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// order is what the process between is told to do.
type order struct {
	Command  []string
	Dir      string
	Env      []string
	Grace    time.Duration
	Walls    Walls
	View     View
	Spaces   bool // it is in namespaces of its own
	User     bool // among them that of users
	Root     bool // we are root
	Required bool // a layer that is missing is an error
	Bounds   bounds
	Door     bool     // it inherits the file doorFile
	Closed   []string // system paths that are not shown
}

// news is what the process between tells us, in this order.
type news struct {
	Failed *LayerError `json:",omitempty"` // the walls do not stand, and nothing was run
	Layers *Layers     `json:",omitempty"` // they stand
	Ended  *outcome    `json:",omitempty"` // all processes are dead
}

// outcome is how the command ended.
type outcome struct {
	Exited bool               // the command has ended
	Status syscall.WaitStatus // how, then
	Limit  string             // what it used too much of; "" when it ended for another reason
	Left   []string           // the names of the processes that it left behind
	Start  string             // why it could not be started
	Errno  syscall.Errno      // the same as a number
}

// demand is what we tell the process between later; it also ends its command
// when it hears nothing of us any more.
type demand struct{ End bool }

// run tries the strongest walls first and weaker ones where the host does not
// let them stand.
func run(ctx context.Context, c Command) error {
	o := order{
		Command: c.Args, Dir: c.Dir, Env: c.Env, Grace: c.Grace, Walls: c.Walls, View: c.View,
		Root: os.Geteuid() == 0, Required: c.Walls.Mode == Require,
	}
	closed := sync.OnceValue(o.closed)
	go closed() // it takes as long as a process takes to start
	o.Bounds = boundsHere()
	if o.Walls.Limits.Memory == 0 {
		o.Walls.Limits.Memory = mostMemory()
	}
	var missing []string
	for _, spaces := range spacesFor(c.Walls.Mode, o.Root) {
		o.Spaces, o.User = spaces != 0, spaces&unix.CLONE_NEWUSER != 0
		began := func(l Layers) {
			if c.Began != nil {
				l.Missing = append(l.Missing, missing...)
				c.Began(l)
			}
		}
		err := attempt(ctx, c, o, spaces, closed, began)
		failed, none := errors.AsType[*LayerError](err)
		if !none || o.Required || !o.Spaces {
			return err
		}
		missing = []string{failed.Layer + " namespace: " + failed.Reason}
	}
	return nil
}

// allSpaces are the namespaces that a command gets when it may have no network.
const allSpaces = unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS | unix.CLONE_NEWNET

// spacesFor are the sets of namespaces to try, best first.
func spacesFor(m Mode, root bool) []uintptr {
	switch {
	case m == Off || m == Landlock:
		return []uintptr{0}
	case root: // may make them without that of users, where that is forbidden
		return []uintptr{allSpaces | unix.CLONE_NEWUSER, allSpaces, 0}
	}
	return []uintptr{allSpaces | unix.CLONE_NEWUSER, 0}
}

// attempt runs the command behind one set of walls. A *LayerError: it was not
// run.
func attempt(ctx context.Context, c Command, o order, spaces uintptr, closed func() []string, began func(Layers)) error {
	ours, theirs, err := connected()
	if err != nil {
		return err
	}
	defer ours.Close() //nolint:errcheck // it is a socket that has been read to its end
	read, write, err := os.Pipe()
	if err != nil {
		return errors.Join(err, theirs.Close())
	}
	p := &between{conn: ours, grace: c.Grace, left: c.Left, killed: killedForMemory()}
	if spaces == 0 { // else all end with their namespace
		p.tree = newTree()
	}
	inherited := []*os.File{theirs}
	if o.Walls.Mode != Off {
		p.most, p.group = o.Walls.Limits.Memory, newGroup(o.Walls.Limits, !o.Bounds.User)
		if door := p.group.door(); door != nil {
			inherited, o.Door = append(inherited, door), true
		}
	}
	p.cmd = exec.Cmd{
		Path: "/proc/self/exe", Args: []string{initName}, Dir: "/", Env: []string{},
		Stdout: write, Stderr: write, ExtraFiles: inherited, SysProcAttr: attributes(o, spaces),
	}
	if c.Walls.InUse != nil {
		p.cmd.ExtraFiles = append(slices.Clone(inherited), c.Walls.InUse)
	}
	err = errors.Join(p.startInGroup(), write.Close())
	for _, f := range inherited {
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		p.leave()
		if spaces == 0 {
			return errors.Join(fmt.Errorf("start the sandbox: %w; is /proc mounted?", err), read.Close())
		}
		return errors.Join(&LayerError{"user", err.Error()}, read.Close())
	}
	o.Bounds.Group = p.group != nil && p.group.counts
	o.Closed = closed()
	layers, err := p.begin(o)
	if err != nil {
		p.stop()
		<-p.exited
		p.leave()
		return errors.Join(err, read.Close())
	}
	if p.group != nil && p.group.dir != "" {
		layers.Held = append(layers.Held, "cgroup")
	}
	began(layers)
	return follow(ctx, c, p, read)
}

// connected makes the two ends of a socket.
func connected() (ours, theirs *os.File, err error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("connect the sandbox: %w", err)
	}
	return os.NewFile(uintptr(pair[0]), "sandbox"), os.NewFile(uintptr(pair[1]), "sandbox"), nil
}

// attributes are how the process between starts. Its session is its own: what a
// farm sends to our process group we pass on in order.
func attributes(o order, spaces uintptr) *syscall.SysProcAttr {
	a := &syscall.SysProcAttr{Setsid: true}
	if o.Walls.Network {
		spaces &^= unix.CLONE_NEWNET
	}
	a.Cloneflags = spaces
	if !o.User {
		return a
	}
	uid, gid := os.Geteuid(), os.Getegid()
	inside, insideGroup := uid, gid
	if o.Root { // a script that is root without root's rights fails at what others do not try, e.g. tar at chown
		inside, insideGroup = nobody, nobody
	}
	a.UidMappings = []syscall.SysProcIDMap{{ContainerID: inside, HostID: uid, Size: 1}}
	a.GidMappings = []syscall.SysProcIDMap{{ContainerID: insideGroup, HostID: gid, Size: 1}}
	a.AmbientCaps = []uintptr{unix.CAP_SYS_ADMIN, unix.CAP_NET_ADMIN, unix.CAP_SETPCAP, unix.CAP_DAC_OVERRIDE, unix.CAP_SYS_PTRACE}
	return a
}

// nobody is the user and the group that systems have for strangers.
const nobody = 65534

// between is the process that stands between us and a command.
type between struct {
	cmd   exec.Cmd
	conn  *os.File
	tell  *json.Decoder
	tree  *tree // nil where it is in a namespace
	grace time.Duration
	group *group // nil where there is none
	most  Size   // memory
	left  func([]string)

	killed int             // processes of this machine for want of memory, before the command
	exited <-chan struct{} // closed when it has been waited for
}

// startInGroup starts the process in the command's control group. To move one that
// runs is slow: the kernel waits for all that others may be doing.
func (p *between) startInGroup() error {
	if p.group == nil || p.group.dir == "" {
		return p.start()
	}
	dir, err := os.Open(p.group.dir)
	if err != nil {
		return err
	}
	defer dir.Close() //nolint:errcheck // nothing was written
	inside, attributes := p.cmd, *p.cmd.SysProcAttr
	attributes.UseCgroupFD, attributes.CgroupFD = true, int(dir.Fd()) //nolint:gosec // a file's number
	inside.SysProcAttr = &attributes
	outside := p.cmd
	if p.cmd = inside; p.start() == nil {
		return nil
	}
	p.cmd = outside // kernels before 5.7, and containers that refuse clone3
	if err = p.start(); err == nil {
		p.group.take(p.cmd.Process.Pid)
	}
	return err
}

// start starts the process. A goroutine keeps its thread until the process is
// waited for: the kernel ends it with that thread.
func (p *between) start() error {
	started, exited := make(chan error), make(chan struct{})
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := p.cmd.Start()
		started <- err
		if err == nil {
			_ = p.cmd.Wait() // wait asks for the state
		}
		close(exited)
	}()
	p.exited = exited
	return <-started
}

// begin gives the order and hears whether the walls stand.
func (p *between) begin(o order) (Layers, error) {
	p.tell = json.NewDecoder(p.conn)
	if err := json.NewEncoder(p.conn).Encode(o); err != nil {
		return Layers{}, fmt.Errorf("tell the sandbox what to run: %w", err)
	}
	var first news
	err := p.tell.Decode(&first)
	switch {
	case err != nil:
		return Layers{}, fmt.Errorf("the sandbox did not start (the program must call sandbox.Init first): %w", err)
	case first.Failed != nil:
		return Layers{}, first.Failed
	case first.Layers == nil:
		return Layers{}, errors.New("the sandbox did not say what it is made of")
	}
	return *first.Layers, nil
}

// wait hears how the command ended, and ends what may be left.
func (p *between) wait() error {
	var last news
	err := p.tell.Decode(&last)
	<-p.exited
	if p.tree != nil {
		p.tree.end(p.grace)
	}
	full := p.leave()
	if err != nil || last.Ended == nil { // the command ended with it
		status, known := p.cmd.ProcessState.Sys().(syscall.WaitStatus)
		last.Ended = &outcome{Exited: known, Status: status}
		err = fmt.Errorf("the sandbox was ended from outside (%s)", p.cmd.ProcessState)
		if killedForMemory() > p.killed {
			err = &LimitError{fmt.Sprintf("%v, and the kernel %s", err, killedHint)}
		}
	}
	if p.left != nil && len(last.Ended.Left) > 0 {
		p.left(last.Ended.Left)
	}
	switch {
	case full:
		return &stopError{&LimitError{tooMuchMemory(p.most)}, last.Ended.end()}
	case err != nil:
		return &stopError{err, last.Ended.end()}
	}
	return last.Ended.err()
}

// leave ends the control group. full: the kernel killed in it for want of memory.
func (p *between) leave() (full bool) {
	if p.group != nil {
		full, p.group = p.group.end(), nil
	}
	return full
}

// err is the outcome as Run returns it.
func (o outcome) err() error {
	switch {
	case o.Limit != "":
		return &stopError{&LimitError{o.Limit}, o.end()}
	case o.Errno != 0:
		return fmt.Errorf("%s: %w", o.Start, o.Errno)
	case !o.Exited:
		return errors.New("a process of it does not end, not even when it is killed: the system must have a fault")
	}
	return ended(o.Status)
}

// end is how the command ended that was made to; nil where it did not.
func (o outcome) end() error {
	if err := ended(o.Status); !o.Exited || err != nil {
		return err
	}
	return &ExitError{}
}

// end asks the process between to end the command, and kills it when it does
// not within the time that it has for that.
func (p *between) end(grace time.Duration) {
	_ = json.NewEncoder(p.conn).Encode(demand{End: true}) // it may be dead already
	time.AfterFunc(grace+killTime+time.Second, p.stop)
}

// stop kills the process between, and with it its namespaces.
func (p *between) stop() { _ = p.cmd.Process.Kill() } // it may be dead already
