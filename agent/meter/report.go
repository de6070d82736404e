package meter

import (
	"fmt"
	"math"
	"strings"
)

// Report is what a run used. Sizes are bytes, times seconds.
type Report struct {
	Status       string        `json:"status"` // ok or failed
	Seconds      float64       `json:"seconds"`
	CPUUser      float64       `json:"cpu_user"` // of the whole process tree
	CPUSys       float64       `json:"cpu_sys"`
	MemoryPeak   int64         `json:"memory_peak_bytes"`
	MemoryMethod string        `json:"memory_method"`   // how MemoryPeak was found
	DiskPeak     int64         `json:"disk_peak_bytes"` // allocated in the work folder, prefixes included
	Processes    int           `json:"processes"`       // the most at a time
	Phases       []PhaseReport `json:"phases"`
}

// PhaseReport is what one step used, in Report's units.
type PhaseReport struct {
	Name       string  `json:"name"` // e.g. fetch
	Seconds    float64 `json:"seconds"`
	CPUUser    float64 `json:"cpu_user"`
	CPUSys     float64 `json:"cpu_sys"`
	MemoryPeak int64   `json:"memory_peak_bytes"`
	DiskPeak   int64   `json:"disk_peak_bytes"`
	Processes  int     `json:"processes"`
	Error      string  `json:"error,omitempty"`
}

// Summary is the block at the end of a build's log, in conda-build's layout,
// which people's scripts search for. The disk line counts the prefix too.
func Summary(r Report) string {
	return fmt.Sprintf("\n%s\nResource usage summary:\n\n"+
		"Total time: %s\n"+
		"CPU usage: sys=%s, user=%s\n"+
		"Maximum memory usage observed: %s\n"+
		"Total disk usage observed: %s\n",
		strings.Repeat("#", 84), clock(r.Seconds), clock(r.CPUSys), clock(r.CPUUser), size(r.MemoryPeak), size(r.DiskPeak))
}

// PhaseLine is one line a phase, in the "label value" style of the worker
// agent's own metrics.
func PhaseLine(p PhaseReport) string {
	outcome := ""
	if p.Error != "" {
		outcome = " failed"
	}
	return fmt.Sprintf("phase %s%s seconds %.2f cpu-user %.2f cpu-sys %.2f memory-peak %s disk-peak %s",
		p.Name, outcome, p.Seconds, p.CPUUser, p.CPUSys, size(p.MemoryPeak), size(p.DiskPeak))
}

// clock is seconds as conda-build prints them: H:MM:SS.s.
func clock(seconds float64) string {
	tenths := int64(math.Round(seconds * 10))
	return fmt.Sprintf("%d:%02d:%02d.%d", tenths/36000, tenths/600%60, tenths/10%60, tenths%10)
}

// size is bytes as conda-build prints them: powers of 1,024, one decimal.
func size(bytes int64) string {
	if bytes < 1024 {
		return fmt.Sprintf("%dB", bytes)
	}
	value, unit := float64(bytes)/1024, 0
	for value >= 1024 && unit < len("KMGTP")-1 {
		value, unit = value/1024, unit+1
	}
	return fmt.Sprintf("%.1f%c", value, "KMGTP"[unit])
}
