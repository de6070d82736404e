package meter

import (
	"os"

	"github.com/shirou/gopsutil/v3/process"
)

// tree is this process and its descendants.
type tree struct{}

// look sums up working sets.
func (*tree) look(int64) peak {
	p := peak{method: methodRSS}
	seen := map[int32]bool{} // a parent's number may have been given again
	for todo := []*process.Process{{Pid: int32(os.Getpid())}}; len(todo) > 0; todo = todo[1:] {
		if seen[todo[0].Pid] {
			continue
		}
		seen[todo[0].Pid] = true
		if info, err := todo[0].MemoryInfo(); err == nil {
			p.memory += int64(info.RSS)
			p.processes++
		}
		if children, err := todo[0].Children(); err == nil {
			todo = append(todo, children...)
		}
	}
	return p
}
