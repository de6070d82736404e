// Package picture shows a run's report to people: one HTML page that needs
// nothing else, no script either. It is pure: values in, bytes out. Start with
// Page.
package picture

import (
	"bytes"
	"cmp"
	_ "embed"
	"fmt"
	"html/template"
	"maps"
	"slices"

	"github.com/condaworker/condaworker/agent/meter"
)

// Run is what the page shows.
type Run struct {
	Verb     string // of condaworker, e.g. build
	Version  string // of condaworker
	Result   string // the sentence that says what was made
	Error    string // why it failed; "" if it did not
	ExitCode int
	meter.Report
	Packages []Package
}

// Package is a package that the run made or published. Its names are foreign.
type Package struct {
	Name    string // of the file
	Channel string // where it is now; "" for one that was not published
	SHA256  string
	Size    int64  // of the archive, in bytes
	Files   int64  // that it installs
	Bytes   int64  // of their content
	Largest []File // the largest of them, largest first; empty where they are not known
}

// File is one file of a package.
type File struct {
	Path string // in the prefix
	Size int64  // in bytes
}

//go:embed page.html
var text string

var page = template.Must(template.New("page").Funcs(template.FuncMap{
	"size": size, "duration": duration, "plain": plain, "percent": percent, "prose": prose, "count": Count[int64],
	"tenfold": func(percent float64) string { return fmt.Sprintf("%.1f", 10*percent) }, // in units of a chart's width
}).Parse(text))

// slowest is how many steps the page lists.
const slowest = 10

// Page returns the page, UTF-8.
func Page(r Run) ([]byte, error) {
	v := view{Run: r}
	if len(r.Packages) > 0 {
		v.Name = r.Packages[len(r.Packages)-1].Name
	}
	whole := wholeTime(r)
	v.Steps = steps(r.Phases, whole)
	v.Slowest = slices.Clone(v.Steps)
	slices.SortStableFunc(v.Slowest, func(a, b step) int { return cmp.Compare(b.Seconds, a.Seconds) })
	v.Slowest = v.Slowest[:min(slowest, len(v.Slowest))]
	v.Ticks = timeTicks(whole)
	v.Charts = charts(r, whole)
	v.Tiles = tiles(r)
	for _, name := range slices.Sorted(maps.Keys(r.DiskFolders)) {
		v.Folders = append(v.Folders, part{name, r.DiskFolders[name], share(r.DiskFolders[name], r.DiskPeak)})
	}
	for _, p := range r.Packages {
		v.Contents = append(v.Contents, contentsOf(p))
	}
	var out bytes.Buffer
	if err := page.Execute(&out, v); err != nil {
		return nil, fmt.Errorf("write the report's page: %w", err)
	}
	return out.Bytes(), nil
}

// view is what the template takes.
type view struct {
	Run
	Name     string // of the last package
	Tiles    []tile
	Steps    []step // as they came
	Slowest  []step
	Ticks    []tick
	Charts   []chart
	Folders  []part
	Contents []contents
}

// tile is one figure of the whole run.
type tile struct{ Label, Value, More string }

// step is a phase and its place on the time line, in per cent.
type step struct {
	meter.PhaseReport
	Left, Width float64
}

// CPU is its processor time in seconds.
func (s step) CPU() float64 { return s.CPUUser + s.CPUSys }

// Ended says how it did.
func (s step) Ended() string {
	switch {
	case s.Signal != "":
		return "signal " + s.Signal
	case s.Code != nil && *s.Code != 0:
		return fmt.Sprintf("exit code %d", *s.Code)
	}
	return s.Status
}

// part is a share of a whole.
type part struct {
	Name  string
	Size  int64
	Share float64 // 0 to 100
}

// contents is a package and what is in it.
type contents struct {
	Package
	Parts []part
	Rest  int64 // bytes of the files that are not named
}

// wholeTime is the length of the time line in seconds.
func wholeTime(r Run) float64 {
	end := r.Seconds
	for _, p := range r.Phases {
		end = max(end, p.Start+p.Seconds)
	}
	return max(end, 0.001)
}

func steps(phases []meter.PhaseReport, whole float64) []step {
	all := make([]step, len(phases))
	for i, p := range phases {
		all[i] = step{p, 100 * p.Start / whole, 100 * p.Seconds / whole}
	}
	return all
}

func contentsOf(p Package) contents {
	c := contents{Package: p, Rest: p.Bytes}
	for _, f := range p.Largest {
		c.Parts = append(c.Parts, part{f.Path, f.Size, share(f.Size, p.Largest[0].Size)})
		c.Rest -= f.Size
	}
	return c
}

func share(part, whole int64) float64 {
	if whole <= 0 {
		return 0
	}
	return min(100, 100*float64(part)/float64(whole))
}

// methods says how memory was measured.
var methods = map[string]string{
	"sum_pss": "all processes, shared pages once",
	"sum_rss": "all processes, shared pages each time",
	"max_rss": "the largest process",
	"cgroup":  "the control group, cached files too",
}

func tiles(r Run) []tile {
	used := r.CPUUser + r.CPUSys
	all := []tile{
		{"Time", duration(r.Seconds), Count(len(r.Phases), "step")},
		{"Processor", duration(used), fmt.Sprintf("%.1f in use on average", used/max(r.Seconds, 0.001))},
		{"Memory", size(r.MemoryPeak), cmp.Or(methods[r.MemoryMethod], "not known on this system")},
	}
	if r.DiskPeak > 0 {
		all = append(all, tile{"Disk", size(r.DiskPeak), "work folder and prefixes, at most"})
	}
	all = append(all, tile{"Written", size(r.Written), size(r.Read) + " read from disks"})
	if r.Processes > 0 {
		all = append(all, tile{"Processes", fmt.Sprint(r.Processes), "at a time, at most"})
	}
	return all
}
