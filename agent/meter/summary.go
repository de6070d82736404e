package meter

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"unicode"
)

// Summary is the block at the end of a build's log. Its first lines are those of
// conda-build, which people's scripts search for; unlike there, the unit of the disk
// line is right. What conda-build has no line for comes after these.
func Summary(r Report) string {
	var text strings.Builder
	line := func(format string, values ...any) { fmt.Fprintf(&text, format+"\n", values...) }
	line("\n%s\nResource usage summary:\n", strings.Repeat("#", 84))
	line("Total time: %s", clock(r.Seconds))
	line("CPU usage: sys=%s, user=%s", clock(r.CPUSys), clock(r.CPUUser))
	line("Maximum memory usage observed: %s", size(r.MemoryPeak))
	line("Total disk usage observed (not including envs): %s", size(r.besidePrefixes()))
	line("Disk usage of all folders: %s", size(r.DiskPeak))
	line("Memory measured as: %s", methods[r.MemoryMethod])
	for _, name := range slices.Sorted(maps.Keys(r.DiskFolders)) {
		line("Disk usage of %s: %s", name, size(r.DiskFolders[name]))
	}
	line("Read and written: %s, %s", size(r.Read), size(r.Written))
	line("Process count: %d", r.Processes)
	for _, p := range r.Top {
		line("Most CPU: %s (process %d) %s", label(p.Name), p.PID, clock(p.CPU))
	}
	return text.String()
}

// besidePrefixes is what the folders other than prefixes occupied, each at its most.
func (r Report) besidePrefixes() (sum int64) {
	for name, bytes := range r.DiskFolders {
		if !strings.HasSuffix(name, "prefix") {
			sum += bytes
		}
	}
	return sum
}

// methods says what each means.
var methods = map[string]string{
	methodPSS:     "sum of the processes' proportional set sizes, sampled",
	methodRSS:     "sum of the processes' resident sets, sampled",
	methodLargest: "the largest process, by the kernel's own mark",
	methodGroup:   "this run's control group, cached files included",
	methodNone:    "not known on this system",
}

// PhaseLine is a line on what a step used, in the "label value" style of the
// worker agent's own metrics, so that the same log queries parse it, e.g.
// "phase fetch status ok seconds 1.52 cpu-user-seconds 0.31 ...".
func PhaseLine(p PhaseReport) string {
	line := fmt.Sprintf("phase %s status %s seconds %.2f cpu-user-seconds %.2f cpu-sys-seconds %.2f "+
		"memory-peak-bytes %d memory-method %s disk-peak-bytes %d read-bytes %d written-bytes %d processes %d",
		label(p.Name), p.Status, p.Seconds, p.CPUUser, p.CPUSys,
		p.MemoryPeak, p.MemoryMethod, p.DiskPeak, p.Read, p.Written, p.Processes)
	switch {
	case p.Signal != "":
		line += " signal " + label(p.Signal)
	case p.Code != nil:
		line += fmt.Sprintf(" exit-code %d", *p.Code)
	}
	return line
}

// label makes a foreign name one word of printable characters.
func label(name string) string {
	return strings.Join(strings.FieldsFunc(name, func(r rune) bool { return unicode.IsSpace(r) || !unicode.IsPrint(r) }), "-")
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
