package sandbox

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// Root who may make no user namespace may make the others all the same, and is told
// what a command gets.
func TestProbeWithoutUserNamespaces(t *testing.T) {
	if os.Getenv(canaryEnv) == "" {
		cmd := exec.CommandContext(t.Context(), "/proc/self/exe", "-test.v", "-test.run", "^TestProbeWithoutUserNamespaces$")
		cmd.Env = append(os.Environ(), canaryEnv+"="+canary)
		id := []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER, UidMappings: id, GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}}
		out, err := cmd.CombinedOutput()
		if errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.ENOSPC) {
			skip(t, "user namespaces: "+err.Error())
		}
		if bytes.Contains(out, []byte("--- SKIP")) {
			t.Skipf("%s", out)
		}
		if err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	if err := os.WriteFile("/proc/sys/user/max_user_namespaces", []byte("0"), 0); err != nil {
		t.Skip("not here: root's rights in a user namespace: " + err.Error())
	}
	found := map[string]bool{}
	for _, f := range Probe(t.Context()) {
		found[f.Name] = f.Found
		if !f.Found && f.Todo == "" {
			t.Errorf("%+v", f)
		}
	}
	if found["user namespaces"] || !found["mount namespaces"] || !found[pidSpaces] || !found["network namespaces"] {
		t.Errorf("%v", found)
	}
	var layers Layers
	_, err := shell(t, "true", Command{Began: func(l Layers) { layers = l }})
	if text := layers.String(); err != nil || !strings.HasPrefix(text, "sandbox: mount, pid, ipc, uts, net, ") || !strings.Contains(text, "not here: user namespace: ") {
		t.Errorf("%s, %v", text, err)
	}
}
