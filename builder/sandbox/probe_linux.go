package sandbox

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Probe finds out what this host offers to contain and to measure foreign code.
// It runs true(1) in namespaces of its own, makes a control group, and leaves
// nothing changed.
func Probe(ctx context.Context) []Feature {
	features := []Feature{probeNamespace(ctx, namespace{"user namespaces", unix.CLONE_NEWUSER})}
	var user uintptr // root may make the others without one
	if features[0].Found {
		user = unix.CLONE_NEWUSER
	}
	if features[0].Found || os.Geteuid() == 0 {
		for _, n := range []namespace{
			{"mount namespaces", unix.CLONE_NEWNS},
			{pidSpaces, unix.CLONE_NEWPID},
			{"network namespaces", unix.CLONE_NEWNET},
			{"ipc and uts namespaces", unix.CLONE_NEWIPC | unix.CLONE_NEWUTS},
		} {
			n.flags |= user
			features = append(features, probeNamespace(ctx, n))
		}
	}
	pids := slices.ContainsFunc(features, func(f Feature) bool { return f.Name == pidSpaces && f.Found })
	return append(features, probeLandlock(), probeSeccomp(), probeGate(), probeSubreaper(), probeCgroup(), probeProcessLimit(pids))
}

const pidSpaces = "pid namespaces"

type namespace struct {
	name  string
	flags uintptr
}

// probeNamespace starts a process in n, as the sandbox would.
func probeNamespace(ctx context.Context, n namespace) Feature {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	c := exec.CommandContext(ctx, trueProgram())
	c.SysProcAttr = &syscall.SysProcAttr{Cloneflags: n.flags}
	if n.flags&unix.CLONE_NEWUSER != 0 {
		c.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		c.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	if err := c.Run(); err != nil {
		return Feature{Name: n.name, What: reason(err), Todo: namespaceHint()}
	}
	return Feature{Name: n.name, Found: true}
}

// reason is the system's own word for why a process could not start.
func reason(err error) string {
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
		return errno.Error()
	}
	return err.Error()
}

func trueProgram() string {
	for _, name := range []string{"/bin/true", "/usr/bin/true"} {
		if _, err := os.Stat(name); err == nil {
			return name
		}
	}
	return "true" // what exec says of it is the answer
}

// namespaceHint names the switch that distributions have for it.
func namespaceHint() string {
	for _, s := range []struct{ file, off, set string }{
		{"kernel/unprivileged_userns_clone", "0", "kernel.unprivileged_userns_clone=1"},
		{"user/max_user_namespaces", "0", "user.max_user_namespaces=10000"},
		{"kernel/apparmor_restrict_unprivileged_userns", "1", "kernel.apparmor_restrict_unprivileged_userns=0"},
	} {
		text, err := os.ReadFile(filepath.Join("/proc/sys", s.file))
		if err == nil && strings.TrimSpace(string(text)) == s.off {
			return "sysctl -w " + s.set
		}
	}
	return "allow unprivileged user namespaces: a container's seccomp profile may refuse them"
}

func probeLandlock() Feature {
	const version = 1 // LANDLOCK_CREATE_RULESET_VERSION
	abi, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, version)
	if errno != 0 {
		return Feature{Name: "Landlock", What: errno.Error(), Todo: "use a kernel from 5.13 on and have landlock in the boot parameter lsm="}
	}
	return Feature{Name: "Landlock", Found: true, What: fmt.Sprintf("ABI %d", abi)}
}

func probeSeccomp() Feature {
	actions, err := os.ReadFile("/proc/sys/kernel/seccomp/actions_avail")
	if err != nil {
		return Feature{Name: "seccomp filters", What: "the kernel has none", Todo: "use a kernel with CONFIG_SECCOMP_FILTER"}
	}
	return Feature{Name: "seccomp filters", Found: true, What: strings.TrimSpace(string(actions))}
}

// probeGate tells whether an open network can be had without the services that
// hand out credentials.
func probeGate() Feature {
	f := Feature{Name: "metadata service hidden from an open network", Todo: "use a kernel from 5.6 on and a kernel.yama.ptrace_scope below 2, or build without --network"}
	actions, _ := os.ReadFile("/proc/sys/kernel/seccomp/actions_avail") // without seccomp there are none
	if !slices.Contains(strings.Fields(string(actions)), "user_notif") {
		f.What = "the kernel tells nobody of calls"
		return f
	}
	if err := canPeek(os.Geteuid() == 0); err != nil {
		f.What = err.Error()
		return f
	}
	f.Found = true
	return f
}

func probeSubreaper() Feature {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil { // Run does the same
		return Feature{Name: "subreaper", What: err.Error(), Todo: "use a kernel from 3.4 on: without it daemons outlive their step"}
	}
	return Feature{Name: "subreaper", Found: true}
}

// probeCgroup tells whether a group with limits can be made below our own.
func probeCgroup() Feature {
	f := Feature{Name: "cgroup v2, delegated", Todo: "Delegate=yes in the unit of the worker agent; without it limits are watched and memory is sampled"}
	own := currentGroup(version2)
	if own == "" {
		f.What = "cgroup v2 is not mounted"
		return f
	}
	for _, name := range []string{own, filepath.Join(own, "cgroup.procs"), filepath.Join(own, "cgroup.subtree_control")} {
		if err := unix.Access(name, unix.W_OK); err != nil {
			f.What = fmt.Sprintf("%s cannot be written: %v", name, err)
			return f
		}
	}
	text, _ := os.ReadFile(filepath.Join(own, "cgroup.controllers")) // none are told as none
	controllers := strings.Fields(string(text))
	f.What = fmt.Sprintf("%s with the controllers %v", own, controllers)
	f.Found = slices.Contains(controllers, "memory") && slices.Contains(controllers, "pids")
	return f
}

// probeProcessLimit tells what bounds the number of a command's processes. spaces:
// it has a pid namespace.
func probeProcessLimit(spaces bool) Feature {
	b := boundsHere()
	b.Numbers = spaces && numbersPerSpace() && unix.Access(pidMax, unix.W_OK) == nil
	if g := newGroup(Limits{Memory: mostMemory()}.orDefault(), !b.User); g != nil {
		b.Group = g.counts || g.numbers != ""
		g.end()
	}
	if by := b.by(); by != "" {
		return Feature{Name: processLimit, Found: true, What: "by " + by}
	}
	return Feature{Name: processLimit, What: uncounted, Todo: uncountedHint}
}
