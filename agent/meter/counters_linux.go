package meter

import (
	"bytes"
	"os"
	"strconv"
	"syscall"
)

const (
	maxrssUnit = 1024 // of ru_maxrss, in bytes: getrusage(2)
	blockUnit  = 512  // of ru_inblock and ru_oublock
)

// ownPeak is the most that this process ever held: VmHWM, since the maxrss of
// getrusage also knows the program that exec replaced by this one.
func ownPeak(*syscall.Rusage) int64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	return kib(status, "VmHWM:")
}

// kib returns, in bytes, the number of kB after a label at a line's beginning,
// as the files of proc(5) have it; 0 if it is not there.
func kib(text []byte, label string) int64 {
	_, rest, found := bytes.Cut(text, []byte("\n"+label))
	if !found {
		return 0
	}
	line, _, _ := bytes.Cut(rest, []byte("\n"))
	n, err := strconv.ParseInt(string(bytes.TrimSpace(bytes.TrimSuffix(line, []byte("kB")))), 10, 64)
	if err != nil {
		return 0
	}
	return n * 1024
}
