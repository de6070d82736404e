package meter

import "github.com/shirou/gopsutil/v3/process"

// maxrssUnit is the unit of ru_maxrss in bytes (getrusage(2)).
const maxrssUnit = 1

func memoryOf(p *process.Process) (int64, bool) {
	info, err := p.MemoryInfo()
	if err != nil {
		return 0, false
	}
	return int64(info.RSS), true
}
