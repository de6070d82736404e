package meter

import (
	"os"
	"time"

	gopsutil "github.com/shirou/gopsutil/v3/process"
)

// tree is this process and its descendants.
type tree struct{}

// look sums up working sets.
func (*tree) look(int64, bool) sample {
	s := sample{method: methodRSS}
	seen := map[int32]bool{} // a parent's number may have been given again
	for todo := []*gopsutil.Process{{Pid: int32(os.Getpid())}}; len(todo) > 0; todo = todo[1:] {
		if seen[todo[0].Pid] {
			continue
		}
		seen[todo[0].Pid] = true
		if p, ok := readProcess(todo[0]); ok {
			s.processes = append(s.processes, p)
			s.memory += p.rss
		}
		if children, err := todo[0].Children(); err == nil {
			todo = append(todo, children...)
		}
	}
	s.now = s.memory
	return s
}

func readProcess(p *gopsutil.Process) (process, bool) {
	info, err := p.MemoryInfo()
	if err != nil {
		return process{}, false
	}
	r := process{id: processID{pid: int(p.Pid)}, rss: int64(info.RSS)}
	if at, err := p.CreateTime(); err == nil {
		r.id.start = uint64(at)
	}
	if t, err := p.Times(); err == nil {
		r.own = cpu{time.Duration(t.User * float64(time.Second)), time.Duration(t.System * float64(time.Second))}
	}
	r.name, _ = p.Name() // one of another user may have none
	return r, true
}

func (*tree) close() {}
