//go:build linux

package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// canary must never be seen by a script. It stands in files, in our own
// environment and arguments and in what servers answer.
const (
	canary    = "canary-3f9a"
	canaryEnv = "CONDAWORKER_TEST_CANARY" // set in the runs that do the work
)

// tool is what hostile scripts run: this binary with a verb.
func tool(args []string) {
	switch args[0] {
	case "memory":
		var all [][]byte
		for range 4096 {
			b := make([]byte, mebi)
			for i := 0; i < len(b); i += 4096 {
				b[i] = 1
			}
			all = append(all, b)
		}
		fmt.Println(len(all))
	case "memfd": // MiB in a file without a name for a while, mapped if there is a second argument
		memfd(args[1], len(args) > 2)
	case "remap":
		remap()
	case "connect":
		c, err := net.Dial(args[1], args[2])
		if err != nil {
			fmt.Println("refused:", err)
			return
		}
		_, err = io.WriteString(c, "GET / HTTP/1.0\r\n\r\n")
		fmt.Println("connected", err)
		_ = c.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
		_, _ = io.Copy(os.Stdout, c)
	case "threads": // until the kernel gives no more, of which Go tells
		for {
			go func() {
				runtime.LockOSThread()
				_ = unix.Pause()
			}()
			runtime.Gosched()
		}
	case "share":
		id, err := unix.SysvShmGet(sharedKey(os.Getenv("US")), mebi, unix.IPC_CREAT|0o600)
		fmt.Println("shared memory", id, err)
	case "segment": // MiB of shared memory that nobody is attached to
		mebis, _ := strconv.Atoi(args[1])
		id, err := unix.SysvShmGet(unix.IPC_PRIVATE, mebis*mebi, unix.IPC_CREAT|0o600)
		text, more := unix.SysvShmAttach(id, 0, 0)
		for i := 0; i < len(text); i += 4096 {
			text[i] = 1
		}
		fmt.Println("segment", errors.Join(err, more, unix.SysvShmDetach(text)))
	case "reach":
		reach(args[1], args[2:]...)
	case "run": // runs a script as the program would, for whoever kills it
		c := Command{
			Args: []string{"/bin/sh", "-c", args[2]}, Env: []string{"PATH=/usr/bin:/bin"}, Output: os.Stdout, Dir: args[3],
			Walls: Walls{Mode: Mode(args[1]), Limits: Limits{Memory: 1 << 40}}, View: View{Write: []string{args[3]}}, // the kernel's limit is the lower one
		}
		fmt.Println(Run(context.Background(), c))
	}
}

func memfd(size string, mapped bool) {
	mebis, _ := strconv.Atoi(size)
	fd, err := unix.MemfdCreate("unnamed", 0)
	file := os.NewFile(uintptr(fd), "unnamed")
	defer file.Close() // not sooner
	for range mebis {
		_, more := file.Write(make([]byte, mebi))
		err = errors.Join(err, more)
	}
	if mapped {
		text, more := unix.Mmap(fd, 0, mebis*mebi, unix.PROT_READ, unix.MAP_SHARED|unix.MAP_POPULATE)
		err = errors.Join(err, more)
		defer unix.Munmap(text)
	}
	fmt.Println("memfd", err)
	if !mapped {
		time.Sleep(20 * time.Second) // many need time to begin
	}
	time.Sleep(time.Second)
}

// remap maps 200 MiB of a file without a name again and again.
func remap() {
	fd, err := unix.MemfdCreate("unnamed", 0)
	err = errors.Join(err, unix.Ftruncate(fd, 200*mebi))
	for range 100 {
		text, more := unix.Mmap(fd, 0, 200*mebi, unix.PROT_READ, unix.MAP_SHARED|unix.MAP_POPULATE)
		err = errors.Join(err, more, unix.Munmap(text))
	}
	fmt.Println("remapped", err)
}

// hostile is one kind of attack.
type hostile struct {
	name   string
	script string
	limits Limits
	want   string // in the error; "" when the script does no harm and ends well
	says   string // in the output
	small  string // its folder is a file system of this size, in the words of mount
}

// attacks use $TOOL, $HIDDEN (a home with credentials), $US (our process id),
// $PREFIX and $READ (a folder that it may read).
var attacks = []hostile{
	{name: "fork bomb", script: `f() { f | f & }; f; sleep 60`, limits: Limits{Processes: 300}, want: "--max-processes"},
	{name: "patient fork bomb", script: `while :; do setsid sleep 300 & done`, limits: Limits{Processes: 300}, want: "--max-processes"},
	{name: "memory bomb", script: `$TOOL memory`, limits: Limits{Memory: 256 * mebi}, want: "--max-memory"},
	{name: "memory of many", script: `for i in 1 2 3 4 5 6; do $TOOL memory & done; wait`, limits: Limits{Memory: 512 * mebi}, want: "--max-memory"},
	{name: "memory in a file without a name", script: `$TOOL memfd 4096`, limits: Limits{Memory: 256 * mebi}, want: "--max-memory"},
	{name: "memory in files of many", script: `for i in 1 2 3 4 5 6; do $TOOL memfd 100 & done; wait; sleep 60`, limits: Limits{Memory: 512 * mebi}, want: "--max-memory"},
	{name: "memory in a file, mapped", script: `$TOOL memfd 200 mapped`, limits: Limits{Memory: 320 * mebi}, says: "memfd <nil>"},
	{name: "memory in a file, mapped again and again", script: `$TOOL remap`, limits: Limits{Memory: 320 * mebi}, says: "remapped <nil>"},
	{name: "disk fill", script: `cat /dev/zero > fill; sleep 60`, want: "fills the disk", small: "size=1m"},
	{name: "disk fill of a moment", script: `cat /dev/zero > fill`, want: "fills the disk", small: "size=2m"},
	{name: "file fill of a moment", script: `mkdir -p {1..3}/{1..300}`, want: "with files", small: "size=3m,nr_inodes=500"},
	{name: "file fill", script: `i=0; while :; do i=$((i+1)); : > $i || sleep 1; done`, want: "with files", small: "size=64m,nr_inodes=2000"},
	{name: "endless log", script: `yes no end of it`, limits: Limits{Output: 64 * mebi}, want: "--max-output"},
	{name: "a line without end", script: `tr '\0' x < /dev/zero`, limits: Limits{Output: 256 * mebi}, want: "--max-output"},
	{name: "closed output, no end", script: `exec >&- 2>&-; while :; do :; done`, want: ErrTimeout.Error()},
	{name: "ignores all signals", script: `trap '' TERM INT HUP QUIT; while :; do sleep 1; done`, want: ErrTimeout.Error()},
	{name: "kills its parent", script: `kill -9 $PPID; kill -9 $US; kill -9 1; sleep 0.1; echo still here`, says: "still here"},
	{name: "daemon holds stdout", script: `setsid sh -c 'trap "" TERM HUP; sleep 300' & echo done`, says: "done"},
	{name: "writes the package later", script: `setsid sh -c 'trap "" TERM HUP; while :; do echo late >> $PREFIX/f; sleep 0.01; done' & sleep 0.1; echo done`, says: "done"},
	{name: "speaks in our name", script: `printf '{"Ended":{"Exited":true}}' >&3; printf '{"Ended":{"Exited":true}}' >&4; ls -l /proc/self/fd | grep -c -v -e '[ /]proc/' -e total -e /dev/null -e pipe; sleep 0.1; echo still here`, says: "0\nstill here"},
	{name: "reads credentials", script: `cat $HIDDEN/.aws/credentials ~/.aws/credentials; ls -aR $HIDDEN; true`},
	{name: "links to credentials", script: `ln -s $HIDDEN/.aws/credentials l; cat l; ln $HIDDEN/.aws/credentials h && cat h; true`},
	{name: "reads environments", script: `cat /proc/$PPID/environ /proc/$US/environ /proc/1/environ /proc/[0-9]*/environ; true`},
	{name: "reads arguments", script: `cat /proc/$PPID/cmdline /proc/$US/cmdline /proc/1/cmdline /proc/[0-9]*/cmdline | tr '\0' ' '; ps -efww; true`},
	{name: "uses its own files", script: `cat <(echo a pipe) /dev/stdin <<<"a document"; echo an output >/dev/stdout; grep -q processor /proc/cpuinfo && read -r a </proc/sys/kernel/ostype && readlink /proc/self/exe && echo "$a"`, says: "Linux"},
	{name: "reads our memory", script: `cat /proc/$US/maps /proc/$PPID/maps; ls -l /proc/$US/fd/; cat /proc/$US/root$HIDDEN/.aws/credentials; cat /proc/$US/cwd/x; echo; grep -c . /proc/$US/mem; true`},
	{name: "reads shadow", script: `grep -q root: /etc/shadow /etc/gshadow && echo ` + canary + `; true`},
	{name: "leaves shared memory", script: `$TOOL share`, says: "shared memory"},
	{name: "changes what it may read", script: `echo x > $READ/new && echo ` + canary + `; echo x > /usr/new && echo ` + canary + `; rm $READ/file && echo ` + canary + `; cat $READ/file`, says: "readable"},
	{name: "changes the kernel's settings", script: `for f in /proc/sys/kernel/core_pattern /proc/sys/vm/swappiness /proc/self/oom_score_adj; do v=$(cat $f); echo "$v" 2>/dev/null > $f && echo ` + canary + `; done; true`},
	{name: "makes namespaces", script: `unshare -Ur true && echo ` + canary + `; mount -t tmpfs none /tmp && echo ` + canary + `; true`},
	{name: "makes a device", script: `mknod d b 254 0 && echo ` + canary + `; true`},
	{name: "asks the metadata service", script: `$TOOL connect tcp $HTTP`, says: "refused"},
	{name: "TCP", script: `$TOOL connect tcp $TCP`, says: "refused"},
	{name: "UDP", script: `$TOOL connect udp $UDP`},
	{name: "abstract socket", script: `$TOOL connect unix @$ABSTRACT`, says: "refused"},
	{name: "path socket", script: `$TOOL connect unix $HIDDEN/socket; cd $HIDDEN && $TOOL connect unix socket; true`, says: "refused"},
}

// Every attack ends with a named reason, as root and as an ordinary user, behind
// namespaces and behind Landlock alone; the host's servers hear of none.
func TestHostile(t *testing.T) {
	if os.Getenv(canaryEnv) != "" {
		for _, m := range []Mode{Require, Landlock} {
			t.Run(string(m), func(t *testing.T) { attackAll(t, m) })
		}
		return
	}
	users := []uint32{uint32(os.Geteuid())}
	if users[0] == 0 {
		users = append(users, nobody)
	}
	for _, uid := range users {
		t.Run(fmt.Sprintf("user %d", uid), func(t *testing.T) { runAs(t, uid, "^TestHostile$") })
	}
}

// rootsStart runs what follows as a user, in a pid namespace with few numbers where
// the kernel gives each its own (since 6.14): a fork bomb of root's that gets away
// must not take the machine.
const rootsStart = `mount --make-rprivate / && mount -t proc proc /proc || exit
case $(uname -r) in
[0-5].*|6.[0-9].*|6.1[0-3].*) ;;
*) echo 16000 >/proc/sys/kernel/pid_max || exit ;;
esac
uid=$1; shift
setpriv --reuid "$uid" --regid "$uid" --clear-groups "$@"
exit $?`

// runAs runs tests of this binary as another user, in an environment with the
// canary.
func runAs(t *testing.T, uid uint32, tests string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "hostile") //nolint:usetesting // t.TempDir is not for other users
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	binary := filepath.Join(dir, "sandbox.test")
	tmp := filepath.Join(dir, "tmp")
	self, err := os.ReadFile("/proc/self/exe")
	err = errors.Join(err, os.Chmod(dir, 0o755), os.WriteFile(binary, self, 0o755), os.Mkdir(tmp, 0o755), os.Chown(tmp, int(uid), int(uid)))
	if err != nil {
		t.Fatal(err)
	}
	env := []string{canaryEnv + "=" + canary, "TMPDIR=" + tmp, "HOME=" + tmp, "PATH=" + os.Getenv("PATH"), "CONDAWORKER_TEST_NOSKIP=" + os.Getenv("CONDAWORKER_TEST_NOSKIP")}
	for _, a := range attacks {
		if a.small == "" || os.Geteuid() != 0 {
			continue
		}
		fs := filepath.Join(dir, strings.ReplaceAll(a.name, " ", "-"))
		if err := errors.Join(os.Mkdir(fs, 0o755), unix.Mount("tmpfs", fs, "tmpfs", 0, "mode=777,"+a.small)); err != nil {
			t.Fatal(err)
		}
		defer unix.Unmount(fs, unix.MNT_DETACH)
		env = append(env, strings.ReplaceAll(a.name, " ", "_")+"="+fs)
	}
	args := []string{binary, "-test.run", tests, "-test.v", "-test.timeout", "5m", canary}
	if os.Geteuid() == 0 {
		args = append([]string{"/bin/sh", "-c", rootsStart, "sh", strconv.Itoa(int(uid))}, args...)
	}
	cmd := exec.CommandContext(t.Context(), args[0], args[1:]...)
	cmd.Dir, cmd.Env = dir, env
	if os.Geteuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID | syscall.CLONE_NEWNS}
	}
	out, err := cmd.CombinedOutput()
	if err != nil || testing.Verbose() {
		t.Logf("%s", out)
	}
	if err != nil {
		t.Error(err)
	}
}

// servers are the host's: each counts whom it heard.
type servers struct {
	heard                    atomic.Int32
	http, tcp, udp, abstract string
}

func (s *servers) accept(t *testing.T, network, address string) string {
	t.Helper()
	return say(t, network, address, canary, &s.heard)
}

// say answers each connection with a word, and counts them.
func say(t *testing.T, network, address, word string, heard *atomic.Int32) string {
	t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			heard.Add(1)
			_, _ = io.WriteString(c, word)
			c.Close()
		}
	}()
	return l.Addr().String()
}

// startServers starts one of each kind; hidden gets a path socket.
func startServers(t *testing.T, hidden string) *servers {
	t.Helper()
	s := &servers{}
	s.tcp = s.accept(t, "tcp", "127.0.0.1:0")
	s.abstract = fmt.Sprintf("condaworker-test-%d-%d", os.Getpid(), time.Now().UnixNano()) // other namespaces have our number too
	s.accept(t, "unix", "@"+s.abstract)
	s.accept(t, "unix", filepath.Join(hidden, "socket"))
	packets, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { packets.Close() })
	s.udp = packets.LocalAddr().String()
	go func() {
		b := make([]byte, 100)
		for {
			if _, _, err := packets.ReadFrom(b); err != nil {
				return
			}
			s.heard.Add(1)
		}
	}()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	metadata := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		s.heard.Add(1)
		_, _ = io.WriteString(w, canary)
	})}
	s.http = l.Addr().String()
	go metadata.Serve(l)
	t.Cleanup(func() { metadata.Close() })
	return s
}

func attackAll(t *testing.T, m Mode) {
	_, err := shell(t, "true", Command{Walls: Walls{Mode: m}})
	skipWithoutLayer(t, err)
	hidden := t.TempDir()
	read := t.TempDir()
	err = errors.Join(
		os.Mkdir(filepath.Join(hidden, ".aws"), 0o755),
		os.WriteFile(filepath.Join(hidden, ".aws", "credentials"), []byte(canary), 0o644),
		os.WriteFile(filepath.Join(read, "file"), []byte("readable"), 0o644))
	if err != nil {
		t.Fatal(err)
	}
	s := startServers(t, hidden)
	for _, a := range attacks {
		t.Run(a.name, func(t *testing.T) {
			dir := t.TempDir()
			if a.small != "" {
				if dir = os.Getenv(strings.ReplaceAll(a.name, " ", "_")); dir == "" {
					return // only root can mount one
				}
				defer empty(t, dir)
			}
			attack(t, m, a, dir, read, []string{"HIDDEN=" + hidden, "HTTP=" + s.http, "TCP=" + s.tcp, "UDP=" + s.udp, "ABSTRACT=" + s.abstract})
			if s.heard.Load() > 0 {
				t.Error("a server of the host was reached")
				s.heard.Store(0)
			}
		})
	}
}

// sharedKey is what a script's shared memory is called that knows our process id.
func sharedKey(us string) int {
	pid, _ := strconv.Atoi(us)
	return 31_536_000 + pid
}

func empty(t *testing.T, dir string) {
	names, _ := filepath.Glob(filepath.Join(dir, "*"))
	for _, name := range names {
		if err := os.RemoveAll(name); err != nil {
			t.Error(err)
		}
	}
}

// firstOutput keeps the beginning of what a script prints.
type firstOutput struct {
	output
	n int
}

func (o *firstOutput) Write(p []byte) (int, error) {
	if o.n += len(p); o.n < mebi {
		_, _ = o.output.Write(p)
	}
	return len(p), nil
}

func attack(t *testing.T, m Mode, a hostile, dir, read string, env []string) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var out firstOutput
	c := Command{
		Args: []string{"/bin/bash", "-c", a.script}, Dir: dir, Output: &out, Timeout: 30 * time.Second, Grace: 100 * time.Millisecond,
		Env:   append(env, "PATH=/usr/bin:/bin:/usr/sbin:/sbin", "HOME="+dir, "PREFIX="+dir, "READ="+read, "TOOL="+self+" tool", "US="+strconv.Itoa(os.Getpid())),
		Walls: Walls{Mode: m, Limits: a.limits}, View: View{Write: []string{dir}, Read: []string{read, self}, Tmp: t.TempDir()},
		Began: func(l Layers) {
			if len(l.Missing) > 0 {
				t.Log(l)
			}
		},
	}
	if a.want == ErrTimeout.Error() {
		c.Timeout = 500 * time.Millisecond
	}
	err = Run(t.Context(), c)
	if a.want == "" && err != nil || a.want != "" && (err == nil || !strings.Contains(err.Error(), a.want)) {
		t.Errorf("the error is %v, want one with %q\n%.2000s", err, a.want, out.String())
	}
	if !strings.Contains(out.String(), a.says) {
		t.Errorf("it does not say %q\n%.2000s", a.says, out.String())
	}
	if strings.Contains(out.String(), canary) {
		t.Errorf("it got through\n%.2000s", out.String())
	}
	if left := children(); len(left) > 0 {
		t.Errorf("it left %v", left)
	}
	if id, err := unix.SysvShmGet(sharedKey(strconv.Itoa(os.Getpid())), 1, 0); err == nil {
		_, err = unix.SysvShmCtl(id, unix.IPC_RMID, nil)
		t.Error("it left shared memory", err)
	}
	before, _ := os.ReadFile(filepath.Join(dir, "f"))
	time.Sleep(50 * time.Millisecond)
	if after, _ := os.ReadFile(filepath.Join(dir, "f")); len(after) != len(before) {
		t.Error("something of it still writes")
	}
}

// A program that is killed takes the script's processes with it.
func TestKilled(t *testing.T) {
	for _, m := range []Mode{Auto, Landlock, Off} {
		t.Run(string(m), func(t *testing.T) {
			marker := fmt.Sprintf("31536%03d.%d", os.Getpid()%1000, time.Now().UnixNano()%1e9)
			script := "trap '' TERM; setsid sleep " + marker + " & (setsid sh -c 'trap \"\" TERM HUP; sleep " + marker + "; true' &) ; echo ready; sleep " + marker
			cmd := exec.CommandContext(t.Context(), "/proc/self/exe", "tool", "run", string(m), script, t.TempDir())
			said, err := cmd.StdoutPipe()
			if err = errors.Join(err, cmd.Start()); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(said, make([]byte, len("ready"))); err != nil {
				t.Fatal(err)
			}
			if len(running(marker)) == 0 {
				t.Error("the script did not run")
			}
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
			for range 1000 { // ten seconds at most
				for _, orphan := range children() { // ours, if an earlier test made us the subreaper
					_, _ = syscall.Wait4(orphan, nil, syscall.WNOHANG, nil)
				}
				if len(running(marker))+len(children()) == 0 {
					return
				}
				time.Sleep(10 * time.Millisecond)
			}
			t.Errorf("left: %v", running(marker))
			for _, pid := range running(marker) {
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
		})
	}
}

// The process between that is killed takes the script's processes with it: with
// its namespaces, or because they become ours.
func TestKeeperKilled(t *testing.T) {
	for _, m := range []Mode{Auto, Landlock, Off} {
		t.Run(string(m), func(t *testing.T) {
			marker := fmt.Sprintf("31537%03d.%d", os.Getpid()%1000, time.Now().UnixNano()%1e9)
			deaf := "sh -c 'trap \"\" TERM HUP; while :; do sleep " + marker + "; done'"
			dir := t.TempDir()
			c := Command{
				Args: []string{"/bin/sh", "-c", "setsid " + deaf + " & (setsid " + deaf + " &) ; echo ready; " + deaf}, Dir: dir, Output: killsKeeper{marker, t},
				Env: []string{"PATH=/usr/bin:/bin"}, Grace: 10 * time.Millisecond, Walls: Walls{Mode: m}, View: View{Write: []string{dir}},
			}
			err := Run(t.Context(), c)
			exit, known := errors.AsType[*ExitError](err)
			if !known || exit.Signal != "killed" || !strings.Contains(err.Error(), "ended from outside") {
				t.Error(err)
			}
			if left := running(marker); len(left)+len(children()) > 0 {
				t.Errorf("left: %v, %v", left, children())
			}
		})
	}
}

// killsKeeper is where a script prints that it is ready for the process between to
// be killed.
type killsKeeper struct {
	marker string
	t      *testing.T
}

func (k killsKeeper) Write(p []byte) (int, error) {
	for len(running(k.marker)) < 4 { // the shell's own, and three that are deaf
		time.Sleep(look)
	}
	for _, pid := range children() {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			k.t.Error(err)
		}
	}
	return len(p), nil
}

// running are the processes with marker in their arguments.
func running(marker string) []int {
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	var pids []int
	for _, file := range files {
		text, _ := os.ReadFile(file)
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file))); err == nil && strings.Contains(string(text), marker) && pid != os.Getpid() {
			pids = append(pids, pid)
		}
	}
	return pids
}

// An open network is TCP and UDP; the host's Unix sockets stay out of reach.
func TestOpenNetwork(t *testing.T) {
	hidden := t.TempDir()
	s := startServers(t, hidden)
	for _, m := range []Mode{Auto, Landlock} {
		var layers Layers
		self, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		env := []string{"TOOL=" + self + " tool"}
		script := fmt.Sprintf("$TOOL connect tcp %s; $TOOL connect unix @%s; $TOOL connect unix %s/socket", s.tcp, s.abstract, hidden)
		out, err := shell(t, script, Command{
			Env: env, Walls: Walls{Mode: m, Network: true}, View: View{Read: []string{self}}, Began: func(l Layers) { layers = l },
		})
		if err != nil || strings.Count(out, canary) != 1 || strings.Count(out, "refused") != 2 || !strings.Contains(layers.String(), "network is open") {
			t.Errorf("%s: %v, %s\n%s", m, err, layers, out)
		}
	}
}
