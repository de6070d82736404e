package sandbox

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// reach is the part of the test's tool that connects in other ways than Go does.
// It prints what it hears.
func reach(how string, addresses ...string) {
	var all []netip.AddrPort
	for _, a := range addresses {
		all = append(all, netip.MustParseAddrPort(a))
	}
	switch how {
	case "blocking":
		hear(unix.AF_INET, sockaddr4(all[0]), connect)
	case "mapped":
		hear(unix.AF_INET6, sockaddr6(netip.AddrFrom16(all[0].Addr().As16()), all[0].Port()), connect)
	case "fast open":
		hear(unix.AF_INET, sockaddr4(all[0]), func(fd int, address []byte) unix.Errno {
			return errnoOf(unix.Sendto(fd, []byte("GET / HTTP/1.0\r\n\r\n"), unix.MSG_FASTOPEN, &unix.SockaddrInet4{Port: int(all[0].Port()), Addr: all[0].Addr().As4()}))
		})
	case "change":
		change(sockaddr4(all[0]), sockaddr4(all[1]))
	case "own":
		own("unix", "@own")
		own("unix", "socket")
		own("tcp", "127.0.0.1:0")
	}
}

// hear tells whether it was let through.
func hear(family int, address []byte, connect func(int, []byte) unix.Errno) bool {
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		fmt.Println("no socket:", err)
		return false
	}
	defer unix.Close(fd)
	if errno := connect(fd, address); errno != 0 {
		fmt.Println("refused:", errno)
		return false
	}
	text := make([]byte, 100)
	n, _ := unix.Read(fd, text)
	fmt.Printf("%s\n", text[:max(0, n)])
	return true
}

// change connects while another thread changes where to, until both addresses have
// come: on a busy machine the other thread may wait with one of them for all tries.
func change(allowed, forbidden []byte) {
	address := make([]uint64, 2)
	bytes := unsafe.Slice((*byte)(unsafe.Pointer(&address[0])), 16)
	copy(bytes, allowed)
	good, bad := address[0], binary.NativeEndian.Uint64(forbidden)
	var stop atomic.Bool
	go func() {
		runtime.LockOSThread()
		for !stop.Load() {
			atomic.StoreUint64(&address[0], bad)
			atomic.StoreUint64(&address[0], good)
		}
	}()
	came := map[bool]bool{}
	for try := 0; try < 1000 || len(came) < 2 && try < 10_000; try++ {
		if try >= 1000 {
			time.Sleep(time.Millisecond)
		}
		came[hear(unix.AF_INET, bytes, connect)] = true
	}
	stop.Store(true)
}

// own connects to a server of the command's own.
func own(network, address string) {
	l, err := net.Listen(network, address)
	if err != nil {
		fmt.Println("no server:", err)
		return
	}
	defer l.Close()
	c, err := net.Dial(network, l.Addr().String())
	if err != nil {
		fmt.Println("refused:", err)
		return
	}
	fmt.Println("reached its own", network)
	c.Close()
}

func sockaddr4(a netip.AddrPort) []byte {
	b := make([]byte, unix.SizeofSockaddrInet4)
	binary.NativeEndian.PutUint16(b, unix.AF_INET)
	binary.BigEndian.PutUint16(b[2:], a.Port())
	copy(b[4:], a.Addr().AsSlice())
	return b
}

func sockaddr6(a netip.Addr, port uint16) []byte {
	b := make([]byte, unix.SizeofSockaddrInet6)
	binary.NativeEndian.PutUint16(b, unix.AF_INET6)
	binary.BigEndian.PutUint16(b[2:], port)
	copy(b[8:], a.AsSlice())
	return b
}

// A command that has our network reaches servers, and none that hands out the
// worker's credentials. The services stand in a network of the test's own.
func TestMetadataService(t *testing.T) {
	if os.Getenv(canaryEnv) != "" {
		for _, m := range []Mode{Require, Landlock} {
			t.Run(string(m), func(t *testing.T) { askServices(t, m) })
		}
		return
	}
	if os.Geteuid() != 0 {
		skip(t, "root, who can make a network with a metadata service in it")
	}
	for _, uid := range []uint32{0, nobody} {
		t.Run(fmt.Sprintf("user %d", uid), func(t *testing.T) {
			t.Parallel()           // most of it is waiting
			runtime.LockOSThread() // for ever: this thread's network is another
			if err := errors.Join(unix.Unshare(unix.CLONE_NEWNET), raiseLoopback(), addServices()); err != nil {
				t.Fatal(err)
			}
			runAs(t, uid, "^TestMetadataService$")
		})
	}
}

// The services' addresses: of the metadata, in both families, and of a
// container's credentials.
var services = []string{"169.254.169.254", "169.254.170.2", "fd00:ec2::254"}

// addServices gives loopback the addresses of the services.
func addServices() error {
	for i, address := range services {
		if ip := netip.MustParseAddr(address); ip.Is4() {
			request, err := unix.NewIfreq(fmt.Sprintf("lo:%d", i))
			if err == nil {
				err = request.SetInet4Addr(ip.AsSlice())
			}
			if err == nil {
				err = control(unix.AF_INET, func(fd int) error { return unix.IoctlIfreq(fd, unix.SIOCSIFADDR, request) })
			}
			if err != nil {
				return err
			}
			continue
		}
		request := struct { // struct in6_ifreq
			ip     [16]byte
			prefix uint32
			index  int32
		}{netip.MustParseAddr(address).As16(), 128, 1}
		err := control(unix.AF_INET6, func(fd int) error {
			_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCSIFADDR, uintptr(unsafe.Pointer(&request)))
			if errno != 0 {
				return errno
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func control(family int, do func(fd int) error) error {
	fd, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return do(fd)
}

func askServices(t *testing.T, m Mode) {
	var heard, friendly atomic.Int32
	var addresses []string
	for _, address := range services {
		addresses = append(addresses, say(t, "tcp", net.JoinHostPort(address, "0"), canary, &heard))
	}
	metadata, container, six := addresses[0], addresses[1], addresses[2]
	friend := say(t, "tcp", "127.0.0.1:"+strings.Split(metadata, ":")[1], "friend", &friendly)
	fewNumbers(t)
	for _, c := range []struct{ script, says string }{
		{"bash -c 'for i in {1..500}; do (cat </dev/tcp/" + strings.Replace(metadata, ":", "/", 1) + ") 2>/dev/null; done; echo refused'", "refused"},
		{"$TOOL connect tcp " + metadata, "refused"},
		{"$TOOL connect tcp " + container, "refused"},
		{"$TOOL connect tcp " + six, "refused"},
		{"$TOOL connect udp " + metadata, "refused"},
		{"$TOOL reach blocking " + metadata, "refused"},
		{"$TOOL reach mapped " + metadata, "refused"},
		{"$TOOL reach 'fast open' " + metadata, "refused"},
		{"$TOOL reach change " + friend + " " + metadata, "refused"},
		{"$TOOL reach change " + friend + " " + metadata, "friend"},
		{"bash -c 'exec 3<>/dev/tcp/" + strings.Replace(metadata, ":", "/", 1) + "' || echo refused", "refused"},
		{"$TOOL connect tcp " + friend, "friend"},
		{"$TOOL reach blocking " + friend, "friend"},
		{"$TOOL reach mapped " + friend, "friend"},
		{"bash -c 'cat </dev/tcp/" + strings.Replace(friend, ":", "/", 1) + "'", "friend"},
		{"$TOOL reach own", "reached its own tcp"},
	} {
		t.Run(c.script, func(t *testing.T) {
			var layers Layers
			self, err := os.Executable()
			if err != nil {
				t.Fatal(err)
			}
			out, err := shell(t, c.script, Command{
				Env: []string{"TOOL=" + self + " tool", "PATH=/usr/bin:/bin"}, Timeout: time.Minute,
				Walls: Walls{Mode: m, Network: true}, View: View{Read: []string{self}}, Began: func(l Layers) { layers = l },
			})
			if err != nil || !strings.Contains(out, c.says) {
				t.Errorf("%v, and it does not say %q; %s\n%.2000s", err, c.says, layers, out)
			}
			if strings.Contains(out, canary) || heard.Load() > 0 {
				t.Errorf("it reached a service\n%.2000s", out)
				heard.Store(0)
			}
			if !strings.Contains(layers.String(), "metadata service hidden, ") {
				t.Error(layers)
			}
			if m == Require && strings.Contains(c.script, "own") && strings.Count(out, "reached its own unix") != 2 {
				t.Errorf("it does not reach Unix sockets of its own\n%s", out)
			}
		})
	}
}

// fewNumbers leaves the test's own pid namespace, where it may, so few process
// numbers that a script can have each of them once.
func fewNumbers(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 || allProcesses() > 16_000 || !numbersPerSpace() {
		return
	}
	if err := os.WriteFile(pidMax, []byte("500"), 0); err != nil {
		t.Fatal(err)
	}
	const reserved = 300 // are given once
	for pid := 0; pid <= reserved; {
		cmd := exec.CommandContext(t.Context(), "true")
		if err := cmd.Run(); err != nil {
			t.Fatal(err)
		}
		pid = cmd.Process.Pid
	}
}

// Addresses of the services, in all their forms, and others.
func TestLeadsToCredentials(t *testing.T) {
	for address, want := range map[string]bool{
		"169.254.169.254:80": true, "169.254.170.2:80": true, "169.254.170.23:443": true,
		"[::ffff:169.254.169.254]:80": true, "[fd00:ec2::254]:80": true, "[fd00:ec2::23]:80": true, "[64:ff9b::a9fe:a9fe]:80": true,
		"169.254.169.253:53": false, "[fd00:ec2::253]:53": false,
		"169.253.169.254:80": false, "10.0.0.1:80": false, "[::1]:80": false, "[64:ff9b::a00:1]:80": false, "[fd00::254]:80": false,
	} {
		a := netip.MustParseAddrPort(address)
		bytes := sockaddr6(a.Addr(), a.Port())
		if a.Addr().Is4() {
			bytes = sockaddr4(a)
		}
		if got := leadsToCredentials(bytes); got != want {
			t.Errorf("%s: %v", address, got)
		}
	}
	for _, short := range []string{"", "\x02", "\x02\x00\x00\x50", "\x01\x00/run/socket"} {
		if leadsToCredentials([]byte(short)) {
			t.Errorf("%q", short)
		}
	}
}
