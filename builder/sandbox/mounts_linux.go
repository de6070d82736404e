package sandbox

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// systemPaths are what a command sees of the system, for reading only. Home
// folders, /var/lib/deadline, /run with its sockets and the folders of other
// sessions are not among them.
var systemPaths = []string{
	"/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/opt", "/etc",
	"/nix/store", "/gnu/store", "/var/lib/rpm", "/var/lib/dpkg", "/sys/devices/system/cpu",
}

// devices are the files of /dev that are of no harm.
var devices = []string{"/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty"}

// sharedMemory bounds /dev/shm, which is memory that no process is charged for.
const sharedMemory = "size=1g"

// place is a path of the host that appears inside.
type place struct {
	from  string // without links
	to    string
	write bool
}

// places are what the command sees, each folder before what is in it.
func (k *keeper) places() ([]place, error) {
	var all []place
	add := func(from, to string, write bool) error {
		resolved, err := filepath.EvalSymlinks(from)
		if errors.Is(err, fs.ErrNotExist) || from == "" {
			return nil
		}
		all = append(all, place{resolved, to, write})
		if resolved != from && from == to { // whoever follows the link finds it as well
			all = append(all, place{resolved, resolved, write})
		}
		return err
	}
	var errs []error
	for _, path := range k.systemPaths() {
		errs = append(errs, add(path, path, false))
	}
	errs = append(errs, add(k.View.Tmp, "/tmp", true), add(k.View.Tmp, "/var/tmp", true))
	for _, path := range k.View.Read {
		errs = append(errs, add(path, path, false))
	}
	for _, path := range k.View.Write {
		errs = append(errs, add(path, path, true))
	}
	slices.SortStableFunc(all, func(a, b place) int { return strings.Compare(a.to, b.to) })
	return all, errors.Join(errs...)
}

// systemPaths adds what names are looked up with when there is a network: on
// many systems /etc/resolv.conf leads to /run.
func (k *keeper) systemPaths() []string {
	if !k.Walls.Network {
		return systemPaths
	}
	resolved, err := filepath.EvalSymlinks("/etc/resolv.conf")
	if err != nil || strings.HasPrefix(resolved, "/etc/") {
		return systemPaths
	}
	return append(slices.Clone(systemPaths), resolved)
}

// buildRoot replaces the file system by one that holds the places alone. It
// grows in memory beside the old one, which is let go of at the end.
func (k *keeper) buildRoot() error {
	places, err := k.places()
	if err != nil {
		return err
	}
	if err := moveAside(k.View.Tmp); err != nil {
		return err
	}
	for _, p := range places {
		if err := p.bind(); err != nil {
			return fmt.Errorf("show %s: %w", p.to, err)
		}
	}
	for _, path := range k.Closed {
		if err := cover(path); err != nil {
			return fmt.Errorf("hide %s: %w", path, err)
		}
	}
	if err := k.specials(); err != nil {
		return err
	}
	return letGo()
}

// moveAside makes the root an empty file system in memory, with the old one at
// /old and the new one to be built at /new. over is a folder of ours.
func moveAside(over string) error {
	if over == "" {
		over = "/tmp"
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("keep mounts to ourselves: %w", err)
	}
	if err := unix.Mount("tmpfs", over, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=755,size=4m"); err != nil {
		return fmt.Errorf("mount a file system in memory: %w", err)
	}
	for _, name := range []string{"old", "new", "nothing"} {
		if err := os.Mkdir(filepath.Join(over, name), 0o755); err != nil {
			return err
		}
	}
	if err := unix.PivotRoot(over, filepath.Join(over, "old")); err != nil {
		return fmt.Errorf("change the root: %w", err)
	}
	return errors.Join(os.Chdir("/"), unix.Mount("/new", "/new", "", unix.MS_BIND|unix.MS_REC, ""))
}

// bind makes the place appear.
func (p place) bind() error {
	from, to := "/old"+p.from, "/new"+p.to
	if err := appear(from, to); err != nil {
		return err
	}
	if err := unix.Mount(from, to, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return err
	}
	return protect(to, p.write)
}

// appear makes an empty thing at to of the kind that from is: only that can be
// covered by it.
func appear(from, to string) error {
	info, err := os.Stat(from)
	if err != nil {
		return err
	}
	if info.IsDir() {
		return os.MkdirAll(to, 0o755)
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	if _, err := os.Lstat(to); err == nil {
		return nil
	}
	return os.WriteFile(to, nil, 0o644)
}

// protect forbids set-user-id programs, devices and, unless write, writing, in
// a mount and all below it.
func protect(path string, write bool) error {
	set := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV}
	if !write {
		set.Attr_set |= unix.MOUNT_ATTR_RDONLY
	}
	err := unix.MountSetattr(unix.AT_FDCWD, path, unix.AT_RECURSIVE, &set)
	if !errors.Is(err, unix.ENOSYS) {
		return err
	}
	return protectOneByOne(path, write)
}

// protectOneByOne is for kernels before 5.12.
func protectOneByOne(path string, write bool) error {
	table, err := os.ReadFile("/old/proc/self/mountinfo")
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(table)) {
		fields := strings.Fields(line)
		if len(fields) < 5 || fields[4] != path && !strings.HasPrefix(fields[4], path+"/") {
			continue
		}
		flags := uintptr(unix.MS_REMOUNT | unix.MS_BIND | unix.MS_NOSUID | unix.MS_NODEV)
		if !write {
			flags |= unix.MS_RDONLY
		}
		for option, flag := range map[string]uintptr{"ro": unix.MS_RDONLY, "noexec": unix.MS_NOEXEC, "noatime": unix.MS_NOATIME, "nodiratime": unix.MS_NODIRATIME, "relatime": unix.MS_RELATIME} {
			if slices.Contains(strings.Split(fields[5], ","), option) { // the host's stay, or the kernel refuses
				flags |= flag
			}
		}
		if err := unix.Mount("", fields[4], "", flags, ""); err != nil {
			return err
		}
	}
	return nil
}

// cover puts nothing in the place of a path.
func cover(path string) error {
	to, from := "/new"+path, "/nothing"
	info, err := os.Lstat(to)
	if err != nil || info.Mode().Type() == fs.ModeSymlink {
		return nil // its end is looked at where it is
	}
	if !info.IsDir() {
		from = "/old/dev/null"
	}
	return unix.Mount(from, to, "", unix.MS_BIND, "")
}

// searched are the system's folders in which something may lie that is not for
// everybody, and how many folders down we look: of large ones not to the bottom, which
// would take a script's start seconds.
var searched = map[string]int{"/etc": 100, "/opt": 2, "/usr/local": 2}

// closed are the system's paths that are not for everybody, but for those that the
// command is shown. They matter to root, who may read them all.
func (o order) closed() []string {
	if !o.Root || o.Walls.Mode == Off {
		return nil
	}
	var all []string
	for top, depth := range searched {
		all = append(all, closedBelow(top, depth)...)
	}
	shown := slices.Concat(o.View.Read, o.View.Write, []string{o.View.Tmp})
	return slices.DeleteFunc(all, func(path string) bool {
		return slices.ContainsFunc(shown, func(s string) bool {
			return s != "" && (s == path || strings.HasPrefix(path, s+"/") || strings.HasPrefix(s, path+"/"))
		})
	})
}

func closedBelow(top string, depth int) []string {
	var all []string
	_ = filepath.WalkDir(top, func(path string, e fs.DirEntry, err error) error { // what cannot be walked is not seen
		if err != nil || e.Type() == fs.ModeSymlink {
			return nil
		}
		info, err := e.Info()
		switch {
		case err != nil:
		case e.IsDir() && info.Mode()&0o005 != 0o005:
			all = append(all, path)
			return fs.SkipDir
		case !e.IsDir() && info.Mode()&0o004 == 0:
			all = append(all, path)
		case e.IsDir() && strings.Count(path[len(top):], "/") == depth:
			return fs.SkipDir
		}
		return nil
	})
	return all
}

// specials makes what is no part of a disk: /proc, /dev.
func (k *keeper) specials() error {
	for _, dir := range []string{"/new/proc", "/new/dev/pts", "/new/dev/shm", "/new/run", "/new/var"} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	for _, device := range devices {
		if err := appear("/old"+device, "/new"+device); err != nil {
			return err
		}
		if err := unix.Mount("/old"+device, "/new"+device, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("show %s: %w", device, err)
		}
	}
	for link, target := range map[string]string{"fd": "/proc/self/fd", "stdin": "/proc/self/fd/0", "stdout": "/proc/self/fd/1", "stderr": "/proc/self/fd/2", "ptmx": "pts/ptmx"} {
		if err := os.Symlink(target, "/new/dev/"+link); err != nil {
			return err
		}
	}
	const quiet = unix.MS_NOSUID | unix.MS_NOEXEC
	err := unix.Mount("devpts", "/new/dev/pts", "devpts", quiet, "newinstance,ptmxmode=0666,mode=620")
	if err != nil {
		return fmt.Errorf("mount /dev/pts: %w", err)
	}
	if err := unix.Mount("tmpfs", "/new/dev/shm", "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=1777,"+sharedMemory); err != nil {
		return fmt.Errorf("mount /dev/shm: %w", err)
	}
	// Nobody needs to write here, and the first user of the host could to much.
	if err := unix.Mount("proc", "/new/proc", "proc", quiet|unix.MS_NODEV|unix.MS_RDONLY, ""); err != nil {
		return fmt.Errorf("mount /proc: %w", err)
	}
	return nil
}

// letGo makes /new the root, and the old file system unreachable.
func letGo() error {
	if err := unix.Unmount("/old", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("let the old file system go: %w", err)
	}
	if err := errors.Join(os.Chdir("/new"), unix.PivotRoot(".", ".")); err != nil {
		return fmt.Errorf("change the root: %w", err)
	}
	err := errors.Join(unix.Unmount(".", unix.MNT_DETACH), os.Chdir("/"))
	if err != nil {
		return fmt.Errorf("let the old root go: %w", err)
	}
	return unix.Mount("", "/", "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY|unix.MS_NOSUID|unix.MS_NODEV, "")
}
