package sandbox

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// restrict gives up what this thread may do, for it and all that it starts.
func (k *keeper) restrict() *LayerError {
	_ = unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}) // lowering is always allowed
	k.layers.Held = append(k.layers.Held, "rlimits")
	if k.Walls.Mode == Off {
		k.layers.Held = nil
		return nil
	}
	for _, l := range k.ownLayers() {
		detail, err := l.hold()
		switch {
		case err == nil:
			k.layers.Held = append(k.layers.Held, l.name+detail)
		case k.Required:
			return &LayerError{l.name, err.Error()}
		default:
			k.layers.Missing = append(k.layers.Missing, l.name+": "+err.Error())
		}
	}
	if k.Walls.Network {
		k.layers.Held = append(k.layers.Held, "the network is open")
	}
	return nil
}

// layer is something that a thread takes upon itself.
type layer struct {
	name string
	hold func() (detail string, err error)
}

// ownLayers are those of a thread, in the order in which they can be had.
func (k *keeper) ownLayers() []layer {
	all := []layer{
		{"no_new_privs", func() (string, error) { return "", unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) }},
		{"landlock", k.landlock},
		{"no capabilities", dropCapabilities},
	}
	if k.Walls.Network {
		all = append(all, layer{"metadata service hidden", k.hideMetadata})
	}
	return append(all, layer{"seccomp", k.seccomp}, layer{processLimit, k.processLimit})
}

// dropCapabilities leaves the thread none, nor a way to get any.
func dropCapabilities() (string, error) {
	for c := uintptr(0); c <= 63; c++ { // the kernel knows fewer
		if unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0) != nil {
			break // without the right to, no_new_privs must do
		}
	}
	_ = unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) // kernels since 4.3
	var none [2]unix.CapUserData
	return "", unix.Capset(&unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}, &none[0])
}

// What Landlock's versions know of.
const (
	landRead  = unix.LANDLOCK_ACCESS_FS_EXECUTE | unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_READ_DIR
	landFirst = landRead | unix.LANDLOCK_ACCESS_FS_WRITE_FILE | unix.LANDLOCK_ACCESS_FS_REMOVE_DIR | unix.LANDLOCK_ACCESS_FS_REMOVE_FILE |
		unix.LANDLOCK_ACCESS_FS_MAKE_CHAR | unix.LANDLOCK_ACCESS_FS_MAKE_DIR | unix.LANDLOCK_ACCESS_FS_MAKE_REG | unix.LANDLOCK_ACCESS_FS_MAKE_SOCK |
		unix.LANDLOCK_ACCESS_FS_MAKE_FIFO | unix.LANDLOCK_ACCESS_FS_MAKE_BLOCK | unix.LANDLOCK_ACCESS_FS_MAKE_SYM
	landFile = unix.LANDLOCK_ACCESS_FS_EXECUTE | unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_WRITE_FILE | unix.LANDLOCK_ACCESS_FS_TRUNCATE

	landVersionRefer    = 2
	landVersionTruncate = 3
	landVersionScopes   = 6 // abstract sockets and signals
)

// landlock lets the thread reach the view and the system's paths alone.
// detail is the version that the kernel has.
func (k *keeper) landlock() (detail string, err error) {
	version := landlockVersion()
	if version < 1 {
		return "", errors.New("the kernel has none")
	}
	rules := unix.LandlockRulesetAttr{Handled_access_fs: landFirst}
	if version >= landVersionRefer {
		rules.Handled_access_fs |= unix.LANDLOCK_ACCESS_FS_REFER
	}
	if version >= landVersionTruncate {
		rules.Handled_access_fs |= unix.LANDLOCK_ACCESS_FS_TRUNCATE
	}
	if version >= landVersionScopes {
		rules.Scoped = unix.LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET | unix.LANDLOCK_SCOPE_SIGNAL
	}
	fd, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(unsafe.Pointer(&rules)), unsafe.Sizeof(rules), 0)
	if errno != 0 {
		return "", errno
	}
	defer unix.Close(int(fd)) //nolint:errcheck // the kernel keeps the rules
	for path, access := range k.grants(rules.Handled_access_fs) {
		if err := allow(int(fd), path, access); err != nil {
			return "", fmt.Errorf("allow %s: %w", path, err)
		}
	}
	if _, _, errno = unix.Syscall(unix.SYS_LANDLOCK_RESTRICT_SELF, fd, 0, 0); errno != 0 {
		return "", errno
	}
	return fmt.Sprintf(" %d", version), nil
}

// landlockVersion is 0 or less where there is no Landlock.
func landlockVersion() int {
	version, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	if errno != 0 {
		return 0
	}
	return int(version)
}

// grants are the paths that may be reached and how. Behind mounts all that is
// there may be read.
func (k *keeper) grants(all uint64) map[string]uint64 {
	paths := map[string]uint64{}
	if k.Spaces {
		paths["/"] = landRead
		for _, path := range []string{"/dev", "/tmp", "/var/tmp"} {
			paths[path] = all
		}
	} else {
		for _, path := range slices.Concat(k.openPaths(), systemFacts(), k.View.Read) {
			paths[path] = landRead
		}
		for _, path := range devices {
			paths[path] = landRead | unix.LANDLOCK_ACCESS_FS_WRITE_FILE | all&unix.LANDLOCK_ACCESS_FS_TRUNCATE
		}
	}
	for _, path := range k.View.Write {
		paths[path] = all
	}
	return paths
}

// systemFacts are what /proc tells of the machine. Its folders of processes tell
// of all of them, and those of the command's own are not there yet.
func systemFacts() []string {
	entries, _ := os.ReadDir("/proc") // what cannot be listed is not allowed
	var all []string
	for _, e := range entries {
		if _, err := strconv.Atoi(e.Name()); err != nil && e.Type() != fs.ModeSymlink { // links lead to the reader's folder: ours
			all = append(all, filepath.Join("/proc", e.Name()))
		}
	}
	return all
}

// openPaths are the system's paths without what is not for everybody.
func (k *keeper) openPaths() []string {
	var open []string
	var add func(string)
	add = func(path string) {
		within := func(c string) bool { return strings.HasPrefix(c, path+"/") }
		switch {
		case slices.Contains(k.Closed, path):
		case slices.ContainsFunc(k.Closed, within):
			entries, _ := os.ReadDir(path) // what cannot be listed is not allowed either
			for _, e := range entries {
				if e.Type() != fs.ModeSymlink { // its end is what counts
					add(filepath.Join(path, e.Name()))
				}
			}
		default:
			open = append(open, path)
		}
	}
	for _, path := range k.systemPaths() {
		add(path)
	}
	return open
}

// allow adds one rule; a path that is not there needs none.
func allow(rules int, path string, access uint64) error {
	if path == "" {
		return nil
	}
	fd, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	if err != nil {
		return err
	}
	defer unix.Close(fd) //nolint:errcheck // the rule keeps what it needs
	var stat unix.Stat_t
	if err := unix.Fstat(fd, &stat); err != nil {
		return err
	}
	if stat.Mode&unix.S_IFMT != unix.S_IFDIR {
		access &= landFile
	}
	rule := unix.LandlockPathBeneathAttr{Allowed_access: access, Parent_fd: int32(fd)}
	_, _, errno := unix.Syscall6(unix.SYS_LANDLOCK_ADD_RULE, uintptr(rules), unix.LANDLOCK_RULE_PATH_BENEATH, uintptr(unsafe.Pointer(&rule)), 0, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}
