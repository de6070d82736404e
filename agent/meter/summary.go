package meter

import (
	"fmt"
	"math"
	"strings"
)

// Summary is the block at the end of a build's log, in the layout of
// conda-build, which people's scripts search for. Unlike there, the disk line
// counts all watched folders, the prefix among them, and its unit is right.
func Summary(r Report) string {
	return fmt.Sprintf("\n%s\nResource usage summary:\n\n"+
		"Total time: %s\n"+
		"CPU usage: sys=%s, user=%s\n"+
		"Maximum memory usage observed: %s\n"+
		"Total disk usage observed: %s\n",
		strings.Repeat("#", 84), clock(r.Seconds), clock(r.CPUSys), clock(r.CPUUser), size(r.MemoryPeak), size(r.DiskPeak))
}

// PhaseLine is a line on what a step used, in the "label value" style of the
// worker agent's own metrics, so that the same log queries parse it, e.g.
// "phase fetch status ok seconds 1.52 cpu-user-seconds 0.31 ...".
func PhaseLine(p PhaseReport) string {
	return fmt.Sprintf("phase %s status %s seconds %.2f cpu-user-seconds %.2f cpu-sys-seconds %.2f "+
		"memory-peak-bytes %d disk-peak-bytes %d processes %d",
		strings.Join(strings.Fields(p.Name), "-"), p.Status, p.Seconds, p.CPUUser, p.CPUSys,
		p.MemoryPeak, p.DiskPeak, p.Processes)
}

// clock is seconds as conda-build prints them, H:MM:SS.s, but rounded before
// they are split: 59.97 is 0:01:00.0.
func clock(seconds float64) string {
	tenths := int64(math.Round(max(0, seconds) * 10))
	return fmt.Sprintf("%d:%02d:%02d.%d", tenths/36000, tenths/600%60, tenths/10%60, tenths%10)
}

// size is bytes as conda-build prints them: powers of 1,024, one decimal.
func size(bytes int64) string {
	if bytes < 1024 {
		return fmt.Sprintf("%dB", bytes)
	}
	const units = "KMGTPE"
	value, unit := float64(bytes)/1024, 0
	for value >= 1024 && unit < len(units)-1 {
		value, unit = value/1024, unit+1
	}
	return fmt.Sprintf("%.1f%c", value, units[unit])
}
