package sandbox

import (
	"os"
	"os/exec"
	"syscall"
	"unsafe"

	"golang.org/x/sys/windows"
)

// contain puts the command in a job object: its processes end with the handle,
// so with us, however we end. Its token has lost every privilege that can be
// given up.
func contain(c Command, output *os.File) (*child, Layers, error) {
	job, err := newJob()
	if err != nil {
		return nil, Layers{}, err
	}
	layers := Layers{Held: []string{"job object"}}
	attributes := &syscall.SysProcAttr{CreationFlags: windows.CREATE_NEW_PROCESS_GROUP}
	if c.Walls.Mode != Off {
		token, err := restrictedToken()
		if err != nil {
			layers.Missing = []string{"restricted token: " + err.Error()}
		} else {
			attributes.Token = syscall.Token(token)
			layers.Held = append(layers.Held, "restricted token")
		}
	}
	cmd := &exec.Cmd{Path: c.Args[0], Args: c.Args, Dir: c.Dir, Env: c.Env, Stdout: output, Stderr: output, SysProcAttr: attributes}
	sweep := func(*os.Process) { _ = windows.TerminateJobObject(job, 1) } // none may be left
	return &child{cmd: cmd, sweep: sweep, tie: func(p *os.Process) error { return assign(job, p.Pid) }}, layers, nil
}

// newJob makes a job object that ends its processes when its handle is closed.
func newJob() (windows.Handle, error) {
	job, err := windows.CreateJobObject(nil, nil)
	if err != nil {
		return 0, err
	}
	var info windows.JOBOBJECT_EXTENDED_LIMIT_INFORMATION
	info.BasicLimitInformation.LimitFlags = windows.JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE
	_, err = windows.SetInformationJobObject(job, windows.JobObjectExtendedLimitInformation, uintptr(unsafe.Pointer(&info)), uint32(unsafe.Sizeof(info)))
	return job, err
}

// assign puts a process into the job.
func assign(job windows.Handle, pid int) error {
	process, err := windows.OpenProcess(windows.PROCESS_SET_QUOTA|windows.PROCESS_TERMINATE, false, uint32(pid))
	if err != nil {
		return err
	}
	defer windows.CloseHandle(process) //nolint:errcheck // it was only needed for the call
	return windows.AssignProcessToJobObject(job, process)
}

// restrictedToken is ours without its privileges.
func restrictedToken() (windows.Token, error) {
	var own, restricted windows.Token
	err := windows.OpenProcessToken(windows.CurrentProcess(), windows.TOKEN_DUPLICATE|windows.TOKEN_ASSIGN_PRIMARY|windows.TOKEN_QUERY, &own)
	if err != nil {
		return 0, err
	}
	defer own.Close() //nolint:errcheck // it was only needed for the call
	const disableMaxPrivilege = 1
	call := windows.NewLazySystemDLL("advapi32.dll").NewProc("CreateRestrictedToken")
	ok, _, err := call.Call(uintptr(own), disableMaxPrivilege, 0, 0, 0, 0, 0, 0, uintptr(unsafe.Pointer(&restricted)))
	if ok == 0 {
		return 0, err
	}
	return restricted, nil
}
