package meter

import "syscall"

const (
	maxrssUnit = 1 // of ru_maxrss, in bytes: getrusage(2)
	blockUnit  = 0 // ru_inblock and ru_oublock count operations of any size
)

func ownPeak(own *syscall.Rusage) int64 { return own.Maxrss }
