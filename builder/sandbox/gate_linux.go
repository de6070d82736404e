package sandbox

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// gate makes the connections of a command that uses our network, so that none
// leads to those who hand out the worker's credentials. The kernel stops each
// connect(2) and tells us of it (seccomp_unotify(2)); we connect a duplicate of
// the socket to our own copy of the address, for the command could change its
// own after we looked. What is sent without a connection is not looked at: those
// services speak TCP, and TCP's one way without connect(2) is refused.
type gate struct {
	calls  int         // the file that tells of calls
	thread uint32      // that has the command's rights and connects Unix sockets
	unixes chan func() // what it is to do; nil: the command may have no such sockets
	turns  chan struct{}
}

// mostConnecting bounds the connections that are being made at a time, each of
// which takes a thread.
const mostConnecting = 64

// hideMetadata makes this thread and all that it starts connect through a gate.
// From then on it has a working folder of its own.
func (k *keeper) hideMetadata() (string, error) {
	if err := canPeek(k.Root || k.User); err != nil {
		return "", err
	}
	if err := unix.Unshare(unix.CLONE_FS); err != nil {
		return "", fmt.Errorf("get a working folder of one's own: %w", err)
	}
	calls, err := installFilter(gateFilter(), unix.SECCOMP_FILTER_FLAG_NEW_LISTENER)
	if err != nil {
		return "", fmt.Errorf("be told of connections (kernels since 5.6, and one program at a time): %w", err)
	}
	k.gate = &gate{
		calls: calls, thread: uint32(unix.Gettid()), //nolint:gosec // it is positive
		turns: make(chan struct{}, mostConnecting),
	}
	if slices.Contains(k.families(), unix.AF_UNIX) {
		k.gate.unixes = make(chan func())
	}
	go k.gate.watch()
	return "", nil
}

// canPeek tells whether we may look into the command's memory. privileged: we
// may trace whatever is in our user namespace.
func canPeek(privileged bool) error {
	if _, err := unix.PidfdGetfd(-1, -1, 0); errors.Is(err, unix.ENOSYS) {
		return errors.New("the kernel has no pidfd_getfd (5.6)")
	}
	text, err := os.ReadFile("/proc/sys/kernel/yama/ptrace_scope")
	if scope := strings.TrimSpace(string(text)); err == nil && (scope == "3" || scope == "2" && !privileged) {
		return fmt.Errorf("kernel.yama.ptrace_scope=%s forbids to look at what is connected to", scope)
	}
	return nil
}

// gateFilter stops connect(2), and refuses to connect while sending: TCP's fast
// open, without which programs do.
func gateFilter() []unix.SockFilter {
	f := preamble()
	f = append(f, jump(unix.BPF_JEQ, unix.SYS_CONNECT, 0, 1), statement(unix.BPF_RET|unix.BPF_K, unix.SECCOMP_RET_USER_NOTIF))
	for call, flags := range map[uint32]uint32{unix.SYS_SENDTO: dataFourth, unix.SYS_SENDMSG: dataThird, unix.SYS_SENDMMSG: dataFourth} {
		f = append(f,
			jump(unix.BPF_JEQ, call, 0, 3), load(flags), jump(unix.BPF_JSET, unix.MSG_FASTOPEN, 0, 1), answer(unix.EOPNOTSUPP), load(dataCall))
	}
	return append(f, statement(unix.BPF_RET|unix.BPF_K, answerAllow))
}

// notification is the kernel's struct seccomp_notif.
type notification struct {
	id     uint64
	thread uint32
	_      uint32 // flags, of which there are none
	_      int32  // the call: the filter tells of one alone
	_      uint32 // the machine
	_      uint64
	args   [6]uint64
}

// reply is the kernel's struct seccomp_notif_resp.
type reply struct {
	id    uint64
	_     int64
	errno int32 // negative, or 0
	flags uint32
}

// watch hears of calls until no thread is left that could make one.
func (g *gate) watch() {
	for {
		poll := []unix.PollFd{{Fd: int32(g.calls), Events: unix.POLLIN}} //nolint:gosec // a file's number
		if _, err := unix.Poll(poll, -1); err != nil && !errors.Is(err, unix.EINTR) || poll[0].Revents&unix.POLLHUP != 0 {
			return
		}
		var n notification
		if g.ioctl(unix.SECCOMP_IOCTL_NOTIF_RECV, unsafe.Pointer(&n)) == 0 { // else who called is gone
			go g.answer(n)
		}
	}
}

// answer makes a connection and says how that went.
func (g *gate) answer(n notification) {
	r := reply{id: n.id}
	if n.thread == g.thread { // our own, for another
		r.flags = unix.SECCOMP_USER_NOTIF_FLAG_CONTINUE
	} else {
		r.errno = -int32(g.connect(n)) //nolint:gosec // a small number
	}
	g.ioctl(unix.SECCOMP_IOCTL_NOTIF_SEND, unsafe.Pointer(&r)) // who called may be gone
}

func (g *gate) ioctl(request uint, arg unsafe.Pointer) unix.Errno {
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(g.calls), uintptr(request), uintptr(arg))
	return errno
}

// connect does what connect(2) would have done.
func (g *gate) connect(n notification) unix.Errno {
	thread := int(n.thread)
	address, err := peek(thread, n.args[1], n.args[2])
	if err != nil {
		return errnoOf(err)
	}
	socket, err := borrow(thread, int(int32(n.args[0]))) //nolint:gosec // an int, as the call takes it
	if err != nil {
		return errnoOf(err)
	}
	defer unix.Close(socket)                                                    //nolint:errcheck // the command has it as well
	if g.ioctl(unix.SECCOMP_IOCTL_NOTIF_ID_VALID, unsafe.Pointer(&n.id)) != 0 { // it may have been another with its number
		return unix.EINTR
	}
	switch {
	case leadsToCredentials(address):
		return unix.ECONNREFUSED
	case familyOf(address) == unix.AF_UNIX:
		return g.connectUnix(thread, socket, address)
	}
	g.turns <- struct{}{}
	defer func() { <-g.turns }()
	return connect(socket, address)
}

// connectUnix has the thread connect that reaches what the command reaches.
func (g *gate) connectUnix(caller, socket int, address []byte) unix.Errno {
	if g.unixes == nil {
		return unix.EACCES
	}
	done := make(chan unix.Errno)
	g.unixes <- func() {
		if err := unix.Chdir(filepath.Join("/proc", strconv.Itoa(caller), "cwd")); err != nil {
			done <- errnoOf(err)
			return
		}
		done <- connect(socket, address)
	}
	return <-done
}

// work connects Unix sockets on the thread that went through hideMetadata. Where
// there are none to connect it stays for ever too: whoever had its number after it
// would go through the gate as we do.
func (g *gate) work() {
	if g == nil {
		return
	}
	for connect := range g.unixes {
		connect()
	}
}

// peek copies an address out of the memory of a thread's process.
func peek(thread int, at, length uint64) ([]byte, error) {
	if length > unix.SizeofSockaddrAny+16 { // struct sockaddr_storage has 128 bytes
		return nil, unix.EINVAL
	}
	if length == 0 {
		return nil, nil
	}
	address := make([]byte, length)
	local := unix.Iovec{Base: &address[0]}
	local.SetLen(len(address))
	n, err := unix.ProcessVMReadv(thread, []unix.Iovec{local}, []unix.RemoteIovec{{Base: uintptr(at), Len: len(address)}}, 0)
	if err == nil && n < len(address) {
		err = unix.EFAULT
	}
	return address, err
}

// borrow returns a duplicate of a thread's file.
func borrow(thread, fd int) (int, error) {
	pidfd, err := unix.PidfdOpen(thread, unix.PIDFD_THREAD)
	if errors.Is(err, unix.EINVAL) { // kernels before 6.9 know processes alone, whose threads share their files
		pidfd, err = unix.PidfdOpen(processOf(thread), 0)
	}
	if err != nil {
		return -1, err
	}
	defer unix.Close(pidfd) //nolint:errcheck // it was only needed for the call
	return unix.PidfdGetfd(pidfd, fd, 0)
}

// processOf is the process that a thread belongs to; 0 when it is gone.
func processOf(thread int) int {
	text, _ := os.ReadFile(filepath.Join("/proc", strconv.Itoa(thread), "status"))
	_, rest, _ := bytes.Cut(text, []byte("\nTgid:"))
	number, _, _ := bytes.Cut(rest, []byte("\n"))
	process, _ := strconv.Atoi(string(bytes.TrimSpace(number)))
	return process
}

// connect is connect(2) with an address as the kernel takes it.
func connect(socket int, address []byte) unix.Errno {
	var at unsafe.Pointer
	if len(address) > 0 {
		at = unsafe.Pointer(&address[0])
	}
	_, _, errno := unix.Syscall(unix.SYS_CONNECT, uintptr(socket), uintptr(at), uintptr(len(address)))
	return errno
}

func errnoOf(err error) unix.Errno {
	if errno, ok := errors.AsType[unix.Errno](err); ok {
		return errno
	}
	return unix.EACCES
}

func familyOf(address []byte) uint16 {
	if len(address) < 2 {
		return unix.AF_UNSPEC
	}
	return binary.NativeEndian.Uint16(address)
}

// The networks in which clouds have the services of a machine: its metadata, its
// container's credentials, its time and its names.
var (
	services4 = netip.MustParsePrefix("169.254.0.0/16") // link-local, RFC 3927
	services6 = netip.MustParsePrefix("fd00:ec2::/32")  // Amazon's for its machines
	embedded4 = netip.MustParsePrefix("64:ff9b::/96")   // holds an IPv4 address, RFC 6052
)

// domain is the port of name servers, which are among the services.
const domain = 53

// leadsToCredentials tells whether an address, a struct sockaddr, is that of a
// service of the machine other than its name server.
func leadsToCredentials(address []byte) bool {
	const inet, inet6 = 8, 24 // where the IP address ends
	var ip netip.Addr
	switch {
	case familyOf(address) == unix.AF_INET && len(address) >= inet:
		ip, _ = netip.AddrFromSlice(address[4:inet])
	case familyOf(address) == unix.AF_INET6 && len(address) >= inet6:
		ip, _ = netip.AddrFromSlice(address[8:inet6])
	default:
		return false
	}
	if embedded4.Contains(ip) {
		ip, _ = netip.AddrFromSlice(address[inet6-4 : inet6])
	}
	ip = ip.Unmap()
	return (services4.Contains(ip) || services6.Contains(ip)) && binary.BigEndian.Uint16(address[2:]) != domain
}
