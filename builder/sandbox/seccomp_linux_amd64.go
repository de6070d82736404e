package sandbox

import "golang.org/x/sys/unix"

// machine is the one that seccomp's filter is for.
const machine = unix.AUDIT_ARCH_X86_64

// oldOwners are calls that newer machines have not got.
var oldOwners = []uintptr{unix.SYS_CHOWN, unix.SYS_LCHOWN}
