package persist

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Session is who uses an environment: an Open Job Description session, between
// whose actions none of its processes need run, or a shell.
type Session struct {
	ID      string `json:"id,omitempty"`      // what its runtime calls it; "" for a shell, and where it says nothing
	Folder  string `json:"folder,omitempty"`  // its working folder, which its runtime removes at the end; "" for a shell
	Machine string `json:"machine"`           // the name of its machine
	Boot    string `json:"boot,omitempty"`    // and of the machine's run since it was started
	Space   string `json:"space,omitempty"`   // and of the container on it
	Process int    `json:"process,omitempty"` // the runtime, or who started the shell; 0 if not known
	Started string `json:"started,omitempty"` // when that process began, in the kernel's ticks
}

// Machine is the one that this process runs on.
type Machine struct {
	Name string // of the host
	Boot string // differs after each start of the machine; "" if not known
	// Space is that of the processes, e.g. pid:[4026531836]: from one container nothing is
	// seen of another's, and they may have one name; "" if not known.
	Space string
	Proc  string // the folder of a Linux kernel's processes; elsewhere nothing is found there
}

// ThisMachine asks the system.
func ThisMachine() Machine {
	name, _ := os.Hostname() // an unknown name is one as well
	boot, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	space, _ := os.Readlink("/proc/self/ns/pid")
	return Machine{Name: name, Boot: strings.TrimSpace(string(boot)), Space: space, Proc: "/proc"}
}

// SessionOf is the session of process pid, with its name and its working folder, as far as
// they are known.
func (m Machine) SessionOf(id, folder string, pid int) Session {
	s := Session{ID: id, Folder: folder, Machine: m.Name, Boot: m.Boot, Space: m.Space}
	for p, ok := m.process(pid); ok && p.parent > 1; {
		pid = p.parent
		if p, ok = m.process(pid); ok && !slices.Contains(starters, p.name) {
			s.Process, s.Started = pid, p.started
			break
		}
	}
	return s
}

// starters stand between an action and the runtime that wants it, and end with
// the action.
var starters = []string{"bash", "sh", "dash", "zsh", "ksh", "sudo", "su", "runuser", "setsid", "env", "nice", "timeout", "condaworker"}

type process struct {
	name    string
	parent  int
	started string
}

// process reads /proc/<pid>/stat (proc_pid_stat(5)). A name may have any characters.
func (m Machine) process(pid int) (process, bool) {
	text, err := os.ReadFile(filepath.Join(m.Proc, strconv.Itoa(pid), "stat"))
	if err != nil {
		return process{}, false
	}
	begin, end := strings.IndexByte(string(text), '('), strings.LastIndexByte(string(text), ')')
	if begin < 0 || end < begin {
		return process{}, false
	}
	fields := strings.Fields(string(text[end+1:])) // from the third on
	if len(fields) < 20 {
		return process{}, false
	}
	parent, _ := strconv.Atoi(fields[1])
	return process{string(text[begin+1 : end]), parent, fields[19]}, true
}

// same tells whether both are one session.
func (s Session) same(other Session) bool {
	if s.Machine != other.Machine || s.Boot != other.Boot || s.Space != other.Space || s.ID != other.ID {
		return false
	}
	return s.ID != "" || s.Folder == other.Folder && (s.Folder != "" || s.Process == other.Process && s.Started == other.Started)
}

const (
	// quiet is how long the folder of a session whose runtime has ended must have
	// been left alone: a runtime writes there before each action.
	quiet = 24 * time.Hour
	// stranger is how long a session is believed in of which nothing can be found
	// out here, e.g. one of another machine or container.
	stranger = 30 * 24 * time.Hour
)

// over tells whether the reader's session has surely ended without a Leave. In
// doubt it has not.
func (m Machine) over(r reader, prefix string, now time.Time) bool {
	s := r.Session
	switch {
	case s.Machine != m.Name:
		return now.Sub(r.Entered) > stranger
	case s.Boot != m.Boot && s.Boot != "" && m.Boot != "":
		return true
	case s.Space != m.Space && s.Space != "" && m.Space != "":
		return now.Sub(r.Entered) > stranger
	}
	if s.Folder != "" {
		info, err := os.Stat(s.Folder)
		if errors.Is(err, fs.ErrNotExist) {
			return true
		}
		if err != nil || now.Sub(info.ModTime()) < quiet || now.Sub(r.Entered) < quiet {
			return false
		}
	}
	return (m.ended(s) || s.Process == 0 && now.Sub(r.Entered) > stranger) && !m.inUse(prefix)
}

// ended tells whether the session's runtime has ended.
func (m Machine) ended(s Session) bool {
	if s.Process == 0 {
		return false
	}
	if _, known := m.process(os.Getpid()); !known { // nothing is told of processes here
		return false
	}
	p, there := m.process(s.Process)
	return !there || p.started != s.Started
}

// inUse tells whether a process works in the prefix: one that it is active in,
// that runs a program of it, or that stands in it. Of other users' processes
// nothing is known.
func (m Machine) inUse(prefix string) bool {
	names := []string{prefix}
	if resolved, err := filepath.EvalSymlinks(prefix); err == nil { // as the kernel has it
		names = append(names, resolved)
	}
	entries, _ := os.ReadDir(m.Proc) // no such folder: nothing is known
	for _, entry := range entries {
		if pid, err := strconv.Atoi(entry.Name()); err != nil || pid == os.Getpid() { // an exit has the variables of its session
			continue
		}
		dir := filepath.Join(m.Proc, entry.Name())
		for _, link := range []string{"exe", "cwd"} {
			target, _ := os.Readlink(filepath.Join(dir, link)) // it may have ended, or be another user's
			if slices.ContainsFunc(names, func(name string) bool { return strings.HasPrefix(target+"/", name+"/") }) {
				return true
			}
		}
		environ, _ := os.ReadFile(filepath.Join(dir, "environ"))
		if slices.ContainsFunc(names, func(name string) bool {
			return strings.Contains("\x00"+string(environ), "\x00CONDA_PREFIX="+name+"\x00")
		}) {
			return true
		}
	}
	return false
}
