package meter

import (
	"bufio"
	"bytes"
	"fmt"
	"os"

	"github.com/shirou/gopsutil/v3/process"
)

// maxrssUnit is the unit of ru_maxrss in bytes (getrusage(2)).
const maxrssUnit = 1024

// memoryOf is p's PSS, which counts a page shared by n processes as 1/n, else
// its RSS: another user's process does not show its PSS.
func memoryOf(p *process.Process) (int64, bool) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", p.Pid))
	if err == nil {
		for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
			var kib int64
			if n, _ := fmt.Sscanf(lines.Text(), "Pss: %d kB", &kib); n == 1 {
				return kib * 1024, true
			}
		}
	}
	info, err := p.MemoryInfo()
	if err != nil {
		return 0, false
	}
	return int64(info.RSS), true //nolint:gosec // no process is that large
}
