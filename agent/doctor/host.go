package doctor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

// Host says where to look and what is known already.
type Host struct {
	Platform string            // this machine's, e.g. linux-64; "" when builds know none for it
	Env      map[string]string // the process's environment
	WorkDir  string            // folder to build in
	Cache    string            // folder for archives and unpacked packages
	Virtual  []string          // what the system offers to a solve, e.g. __glibc=2.36
}

// Look checks the host itself.
func Look(ctx context.Context, h Host) []Check {
	return slices.Concat(
		[]Check{h.platform(), h.shell(ctx), h.git(), h.user(), h.virtual()},
		h.folder(ctx, "work folder", h.WorkDir, "name another folder with --work-dir"),
		h.folder(ctx, "cache folder", h.Cache, "set XDG_CACHE_HOME, or give the user a home"),
		[]Check{h.session(), h.credentials()},
	)
}

func (h Host) platform() Check {
	found := fmt.Sprintf("%s, %d processors", h.Platform, runtime.NumCPU())
	if runtime.GOOS != "linux" || h.Platform == "" {
		return bad("platform", Missing, runtime.GOOS+"/"+runtime.GOARCH, "build on Linux: this system publishes and indexes only")
	}
	return good("platform", found)
}

// shell runs the one that build scripts are written for.
func (h Host) shell(ctx context.Context) Check {
	const bash = "/bin/bash"
	if err := run(ctx, bash, "-ec", "true"); err != nil {
		return bad("shell", Missing, err.Error(), "install bash: build scripts run with "+bash)
	}
	return good("shell", bash)
}

func (h Host) git() Check {
	path, err := exec.LookPath("git")
	if err != nil {
		return bad("git", Limited, "not on PATH", "install git, if a recipe's source is a git repository")
	}
	return good("git", path)
}

func (h Host) user() Check {
	name := fmt.Sprint("uid ", os.Getuid())
	if u, err := user.Current(); err == nil {
		name = fmt.Sprintf("%s, %s", u.Username, name)
	}
	if os.Getuid() == 0 {
		return bad("user", Limited, name, "run builds as a user of their own: root's scripts can do more than they need")
	}
	return good("user", name)
}

func (h Host) virtual() Check {
	return good("virtual packages", strings.Join(h.Virtual, " "))
}

const (
	needBytes  = 1 << 30  // less than that holds no build's environments
	adviseFree = 20 << 30 // as much as a vendor's archive, unpacked and packed, may take
	needInodes = 100_000
)

// folder checks that dir can be written, that programs in it run, and its room.
func (h Host) folder(ctx context.Context, name, dir, other string) []Check {
	if dir == "" {
		return []Check{bad(name, Limited, "there is none", other)}
	}
	at := existing(dir)
	scratch, err := os.MkdirTemp(at, ".condaworker-doctor-")
	if err != nil {
		return []Check{bad(name, Missing, err.Error(), "make it writable for this user, or "+other)}
	}
	defer func() { _ = os.RemoveAll(scratch) }() // ours, and empty but for one script
	if err := runsIn(ctx, scratch); err != nil {
		return []Check{bad(name, Missing, fmt.Sprintf("programs in %s do not run: %v", dir, err), "mount it without noexec, or "+other)}
	}
	return []Check{h.room(name, dir, at, other)}
}

func (h Host) room(name, dir, at, other string) Check {
	free, inodes, err := room(at)
	found := fmt.Sprintf("%s, %.1f GiB free", dir, float64(free)/(1<<30))
	switch {
	case err != nil:
		return bad(name, Limited, fmt.Sprintf("%s: %v", dir, err), "find out how much room it has")
	case free < needBytes:
		return bad(name, Missing, found, "make room, or "+other)
	case inodes > 0 && inodes < needInodes:
		return bad(name, Limited, fmt.Sprintf("%s, %d inodes left", found, inodes), "make room for more files, or "+other)
	case free < adviseFree:
		return bad(name, Limited, found, fmt.Sprintf("a large package needs %d GiB: make room, or %s", adviseFree>>30, other))
	}
	return good(name, found)
}

// existing is dir, or the folder above it that is there already.
func existing(dir string) string {
	for {
		parent := filepath.Dir(dir)
		if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) || parent == dir {
			return dir
		}
		dir = parent
	}
}

// runsIn runs a program that lies in dir.
func runsIn(ctx context.Context, dir string) error {
	if runtime.GOOS == "windows" {
		return nil // it has no such switch
	}
	program := filepath.Join(dir, "program")
	if err := os.WriteFile(program, []byte("#!/bin/sh\nexit 0\n"), 0o700); err != nil { //nolint:gosec // it is to be run
		return err
	}
	return run(ctx, program)
}

func run(ctx context.Context, name string, args ...string) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	return exec.CommandContext(ctx, name, args...).Run() //nolint:gosec // programs of ours and the system's
}

// session says who reads the output.
func (h Host) session() Check {
	const name = "Open Job Description session"
	switch dir := h.Env["OPENJD_SESSION_WORKING_DIR"]; {
	case h.Env["DEADLINE_SESSION_ID"] != "":
		return good(name, "yes, on a farm: "+h.Env["DEADLINE_SESSION_ID"]+", worker "+h.Env["DEADLINE_WORKER_ID"])
	case dir != "":
		return good(name, "yes, in "+dir)
	}
	return good(name, "no: the log has no directives")
}

// credentials finds what would win over the queue's role.
func (h Host) credentials() Check {
	const name = "AWS environment"
	profile, key := h.Env["AWS_PROFILE"], h.Env["AWS_ACCESS_KEY_ID"]
	for _, file := range []string{h.Env["AWS_CONFIG_FILE"], h.Env["AWS_SHARED_CREDENTIALS_FILE"]} {
		if file == "" {
			continue
		}
		if f, err := os.Open(file); err != nil { //nolint:gosec // the AWS SDK's own file
			return bad(name, Limited, err.Error(), "let this user read the file, or unset the variable that names it")
		} else if err := f.Close(); err != nil {
			return bad(name, Limited, err.Error(), "")
		}
	}
	switch {
	case key != "" && profile != "":
		return bad(name, Limited, "AWS_ACCESS_KEY_ID is set and wins over the profile "+profile, "unset AWS_ACCESS_KEY_ID where the queue's role is meant")
	case key != "":
		return good(name, "AWS_ACCESS_KEY_ID")
	case profile != "":
		return good(name, "profile "+profile)
	}
	return good(name, "no profile and no key: channels in S3 need one")
}
