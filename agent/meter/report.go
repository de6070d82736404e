package meter

import "time"

const (
	statusOK     = "ok"
	statusFailed = "failed"
)

// How MemoryPeak was found.
const (
	methodPSS     = "sum_pss"   // sampled: the sum of the tree's proportional set sizes
	methodRSS     = "sum_rss"   // sampled: of its resident sets; pages they share count several times
	methodLargest = "max_rss"   // the kernel's mark of the largest single process: more than any sample
	methodGroup   = "cgroup"    // the kernel's mark of this run's own control group, which counts cached files too
	methodNone    = "not_known" // this system tells neither
)

// Report is what a run used: its total, and every phase in order.
type Report struct {
	Status  string    `json:"status"` // ok, or failed if a phase has
	Started time.Time `json:"started"`
	Usage
	Phases []PhaseReport `json:"phases"`
	Series *Series       `json:"series,omitempty"`
}

// PhaseReport is what one step used.
type PhaseReport struct {
	Name   string  `json:"name"`   // e.g. fetch
	Start  float64 `json:"start"`  // seconds after the run's
	Status string  `json:"status"` // ok or failed
	Exit
	Usage
	Error string `json:"error,omitempty"` // why it failed
}

// Usage is what a stretch of time took. Times are in seconds, sizes in bytes.
type Usage struct {
	Seconds      float64          `json:"seconds"`                 // wall time
	CPUUser      float64          `json:"cpu_user"`                // of the whole process tree
	CPUSys       float64          `json:"cpu_sys"`                 // in the kernel on its behalf
	MemoryPeak   int64            `json:"memory_peak_bytes"`       // of the whole process tree
	MemoryMethod string           `json:"memory_method"`           // sum_pss, sum_rss, max_rss, cgroup or not_known
	DiskPeak     int64            `json:"disk_peak_bytes"`         // allocated in the watched folders
	DiskApparent int64            `json:"disk_apparent_bytes"`     // the lengths of the files that were there then
	DiskFolders  map[string]int64 `json:"disk_folders,omitempty"`  // the most allocated in each, at whatever time
	Read         int64            `json:"read_bytes"`              // from disks, caches not counted; 0 where not told
	Written      int64            `json:"written_bytes"`           // to disks
	Processes    int              `json:"processes"`               // the most seen at a time, this one included; 0 where not told
	Top          []Process        `json:"top_processes,omitempty"` // those that used most processor time, as last seen alive
}

// Process is one of the tree, and the processor time of its own threads.
type Process struct {
	PID  int     `json:"pid"`
	Name string  `json:"name"` // the program's, cut to 15 bytes by Linux
	CPU  float64 `json:"cpu_seconds"`
}
