package sandbox

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// seatbelt is the system's own sandbox; its profiles are Scheme.
const seatbelt = "/usr/bin/sandbox-exec"

// contain puts the command in a process group of its own and, where the system
// has it, behind a profile that forbids the network, the users' folders and
// writing outside of the view.
func contain(c Command, output *os.File) (*child, Layers, error) {
	args, layers := c.Args, Layers{}
	if c.Walls.Mode != Off {
		if _, err := os.Stat(seatbelt); err != nil {
			layers.Missing = []string{"seatbelt: " + err.Error()}
		} else {
			args = append([]string{seatbelt, "-p", profile(c)}, args...)
			layers.Held = []string{"seatbelt"}
		}
	}
	cmd := &exec.Cmd{
		Path: args[0], Args: args, Dir: c.Dir, Env: c.Env, Stdout: output, Stderr: output,
		SysProcAttr: &syscall.SysProcAttr{Setpgid: true},
	}
	return &child{cmd: cmd, sweep: killGroup}, layers, nil
}

// killGroup kills the processes that stayed in the command's group.
func killGroup(p *os.Process) { _ = syscall.Kill(-p.Pid, syscall.SIGKILL) } // none may be left

// profile is the command's view as a seatbelt profile; later rules win.
func profile(c Command) string {
	var text strings.Builder
	text.WriteString("(version 1)(allow default)(deny file-write*)(deny file-read* (subpath \"/Users\") (subpath \"/var/root\"))")
	if !c.Walls.Network {
		text.WriteString("(deny network*)")
	}
	text.WriteString(`(allow file-write* (subpath "/dev"))`)
	for _, path := range c.View.Read {
		fmt.Fprintf(&text, "(allow file-read* (subpath %q))", real(path))
	}
	for _, path := range append([]string{c.View.Tmp}, c.View.Write...) {
		if path != "" {
			fmt.Fprintf(&text, "(allow file-read* file-write* (subpath %q))", real(path))
		}
	}
	return text.String()
}

// real is a path without links: the profile's rules are about real paths.
func real(path string) string {
	if resolved, err := filepath.EvalSymlinks(path); err == nil {
		return resolved
	}
	return path
}
