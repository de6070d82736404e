package sandbox

import (
	"errors"
	"slices"
	"unsafe"

	"golang.org/x/sys/unix"
)

// refused are system calls that no build needs: they change the machine, reach
// around the other layers, or have been the way out of sandboxes before.
var refused = []uintptr{
	unix.SYS_MOUNT, unix.SYS_UMOUNT2, unix.SYS_PIVOT_ROOT, unix.SYS_CHROOT, unix.SYS_SETNS, unix.SYS_UNSHARE,
	unix.SYS_OPEN_TREE, unix.SYS_MOVE_MOUNT, unix.SYS_FSOPEN, unix.SYS_FSCONFIG, unix.SYS_FSMOUNT, unix.SYS_FSPICK, unix.SYS_MOUNT_SETATTR,
	unix.SYS_SWAPON, unix.SYS_SWAPOFF, unix.SYS_REBOOT, unix.SYS_ACCT, unix.SYS_QUOTACTL, unix.SYS_SYSLOG, unix.SYS_VHANGUP,
	unix.SYS_INIT_MODULE, unix.SYS_FINIT_MODULE, unix.SYS_DELETE_MODULE, unix.SYS_KEXEC_LOAD, unix.SYS_KEXEC_FILE_LOAD,
	unix.SYS_SETTIMEOFDAY, unix.SYS_CLOCK_SETTIME, unix.SYS_CLOCK_ADJTIME, unix.SYS_ADJTIMEX, unix.SYS_SETHOSTNAME, unix.SYS_SETDOMAINNAME,
	unix.SYS_BPF, unix.SYS_PERF_EVENT_OPEN, unix.SYS_USERFAULTFD, unix.SYS_OPEN_BY_HANDLE_AT, unix.SYS_LOOKUP_DCOOKIE,
	unix.SYS_ADD_KEY, unix.SYS_REQUEST_KEY, unix.SYS_KEYCTL, unix.SYS_KCMP,
}

// unknown are calls that programs do without when the kernel has not got them,
// and whose arguments a filter cannot see.
var unknown = []uintptr{unix.SYS_CLONE3, unix.SYS_IO_URING_SETUP, unix.SYS_IO_URING_ENTER, unix.SYS_IO_URING_REGISTER}

// shared are the calls for what processes share by a number or a name, and what
// outlives them. Without a namespace of its own a command would share the machine's.
var shared = []uintptr{
	unix.SYS_SHMGET, unix.SYS_SHMAT, unix.SYS_SHMCTL, unix.SYS_SEMGET, unix.SYS_SEMOP, unix.SYS_SEMTIMEDOP, unix.SYS_SEMCTL,
	unix.SYS_MSGGET, unix.SYS_MSGSND, unix.SYS_MSGRCV, unix.SYS_MSGCTL, unix.SYS_MQ_OPEN, unix.SYS_MQ_UNLINK,
}

// owners are the calls that change a file's owner.
var owners = append([]uintptr{unix.SYS_FCHOWN, unix.SYS_FCHOWNAT}, oldOwners...)

// socketType are the bits of socket's second argument that tell its type.
const socketType = 0xf

// newSpaces are clone's flags for namespaces.
const newSpaces = unix.CLONE_NEWUSER | unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS | unix.CLONE_NEWCGROUP

// seccomp refuses system calls.
func (k *keeper) seccomp() (string, error) {
	_, err := installFilter(k.filter(), 0)
	return "", err
}

// installFilter has the kernel run a filter at each call of this thread and of
// all that it starts. What it returns depends on the flags.
func installFilter(filter []unix.SockFilter, flags uintptr) (int, error) {
	if machine == 0 {
		return 0, errors.New("this program has no filter for this kind of machine")
	}
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]} //nolint:gosec // some hundreds
	const setModeFilter = 1                                                 // SECCOMP_SET_MODE_FILTER
	result, _, errno := unix.Syscall(unix.SYS_SECCOMP, setModeFilter, flags, uintptr(unsafe.Pointer(&program)))
	if errno != 0 {
		return 0, errno
	}
	return int(result), nil //nolint:gosec // a file's number
}

// Where a filter finds what in the call's data (struct seccomp_data).
const (
	dataCall    = 0
	dataMachine = 4
	dataFirst   = 16 // the lower half of the first argument, on little endian machines
	dataSecond  = dataFirst + 8
	dataThird   = dataSecond + 8
	dataFourth  = dataThird + 8
)

// Answers of a filter.
const (
	answerAllow = 0x7fff0000 // SECCOMP_RET_ALLOW
	answerErrno = 0x00050000 // SECCOMP_RET_ERRNO
)

// filter is the program that the kernel runs at each call. Each rule is whole
// in itself and leads to the next when it does not hold.
func (k *keeper) filter() []unix.SockFilter {
	f := preamble()
	for _, call := range refused {
		f = append(f, jump(unix.BPF_JEQ, uint32(call), 0, 1), answer(unix.EPERM))
	}
	missing := unknown
	if !k.Spaces {
		missing = slices.Concat(unknown, shared)
	}
	for _, call := range missing {
		f = append(f, jump(unix.BPF_JEQ, uint32(call), 0, 1), answer(unix.ENOSYS))
	}
	if k.Root && !k.User { // a root without rights still tries to change owners, and gives up when it cannot
		for _, call := range owners {
			f = append(f, jump(unix.BPF_JEQ, uint32(call), 0, 1), answer(0))
		}
	}
	f = append(f,
		jump(unix.BPF_JEQ, unix.SYS_CLONE, 0, 4), load(dataFirst), jump(unix.BPF_JSET, newSpaces, 0, 1), answer(unix.EPERM), load(dataCall))
	if !slices.Contains(k.families(), unix.AF_UNIX) { // one of a pair of these can be sent to others too
		f = append(f, jump(unix.BPF_JEQ, unix.SYS_SOCKETPAIR, 0, 5), load(dataSecond), statement(unix.BPF_ALU|unix.BPF_AND|unix.BPF_K, socketType),
			jump(unix.BPF_JEQ, unix.SOCK_DGRAM, 0, 1), answer(unix.EPROTONOSUPPORT), load(dataCall))
	}
	f = append(f,
		jump(unix.BPF_JEQ, unix.SYS_SOCKET, 1, 0), statement(unix.BPF_RET|unix.BPF_K, answerAllow), load(dataFirst))
	for _, family := range k.families() {
		f = append(f, jump(unix.BPF_JEQ, family, 0, 1), statement(unix.BPF_RET|unix.BPF_K, answerAllow))
	}
	return append(f, answer(unix.EAFNOSUPPORT))
}

// preamble refuses calls of another machine's kind, which have other numbers, and
// loads the call's.
func preamble() []unix.SockFilter {
	f := []unix.SockFilter{load(dataMachine), jump(unix.BPF_JEQ, machine, 1, 0), answer(unix.ENOSYS), load(dataCall)}
	if machine == unix.AUDIT_ARCH_X86_64 { // x32 has the calls once more under other numbers
		f = append(f, jump(unix.BPF_JGE, 0x40000000, 0, 1), answer(unix.ENOSYS))
	}
	return f
}

// families are the kinds of sockets that lead nowhere they should not. Unix's
// lead to the host's where its file system or its abstract names are in reach.
func (k *keeper) families() []uint32 {
	var all []uint32
	if k.Spaces || k.Walls.Network {
		all = append(all, unix.AF_INET, unix.AF_INET6, unix.AF_NETLINK)
	}
	if k.Spaces && (!k.Walls.Network || landlockVersion() >= landVersionScopes) {
		all = append(all, unix.AF_UNIX)
	}
	return slices.Clip(all)
}

func statement(code uint16, value uint32) unix.SockFilter {
	return unix.SockFilter{Code: code, K: value}
}

func load(offset uint32) unix.SockFilter {
	return statement(unix.BPF_LD|unix.BPF_W|unix.BPF_ABS, offset)
}

// jump skips yes instructions when the loaded value compares, else no.
func jump(compare uint16, value uint32, yes, no uint8) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_K | compare, Jt: yes, Jf: no, K: value}
}

// answer makes the call fail with errno; 0 is success.
func answer(errno unix.Errno) unix.SockFilter {
	return statement(unix.BPF_RET|unix.BPF_K, answerErrno|uint32(errno))
}
