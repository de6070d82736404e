package meter

import (
	"os"
	"time"

	gopsutil "github.com/shirou/gopsutil/v3/process"
)

// readCounters knows this process alone: Windows keeps no sum of children.
func readCounters() counters {
	c := counters{cpu: readCPU()}
	own := gopsutil.Process{Pid: int32(os.Getpid())}
	if io, err := own.IOCounters(); err == nil {
		c.read, c.written = int64(io.ReadBytes), int64(io.WriteBytes)
	}
	return c
}

// readCPU is the part of readCounters that each look needs.
func readCPU() cpu {
	own := gopsutil.Process{Pid: int32(os.Getpid())}
	t, err := own.Times()
	if err != nil {
		return cpu{}
	}
	return cpu{time.Duration(t.User * float64(time.Second)), time.Duration(t.System * float64(time.Second))}
}
